/** Tools that hand a request over to an agent. */

import { capitalize, fill } from "../example.js";
import type { Random } from "../random.js";
import { COMMON_WORDS } from "../words.js";
import { bare, entity, lookup, search } from "./questions.js";
import { generic } from "./records.js";
import { OPERATIONS } from "./sums.js";
import { amount, type Job, makeTool, parameter, spread, STRING, valuesOf } from "./tool.js";

/** A tool that gets the whole request as it is written. */
export function delegate(random: Random): Job {
  const inner = random.pick([lookup, entity, generic, search, bare])(random);
  const input = parameter(random, ["input", "question", "query", "task", "request", "prompt"], STRING, [
    "The whole question",
    "What is asked",
  ]);
  input.schema = { ...input.schema, ...(random.chance(0.3) ? { description: "The request" } : {}) };
  const subject = inner.topic.split(" ")[0] as string;
  const tool = makeTool(
    random,
    random.pick([`ask_${subject}`, `${subject}_agent`, `ask_${subject}_agent`, `run_${subject}`, `${subject}_expert`]),
    [
      `Ask the ${subject} agent.`,
      `An agent for ${subject}`,
      `Answers questions about ${subject}`,
      `Use this for ${subject}`,
    ],
    [input],
  );
  return {
    tool,
    topic: inner.topic,
    request(random) {
      const { text } = inner.request(random);
      return { text, args: valuesOf([input], [text]) };
    },
  };
}

const TRADES = spread(
  "Math Tutor, History Tutor, Weather, Billing, Support, Booking, Refund, Sales, Spelling, Music, Travel, Kitchen, Garden, Writer, Doctor, Lawyer, Coach",
);

export function handOff(random: Random): Job {
  const isTrade = random.chance(0.6);
  const agent = isTrade
    ? random.pick(TRADES)
    : `${capitalize(random.pick(COMMON_WORDS))}${random.pick([" Agent", "", " Expert", " Helper"])}`;
  const subject = (agent.split(" ")[0] as string).toLowerCase();
  const about = random.chance(0.4) ? random.pick(COMMON_WORDS) : subject;
  const tool = makeTool(
    random,
    random.pick([
      `transfer_to_${agent.replaceAll(" ", "_")}`,
      `transfer_to_${agent.replaceAll(" ", "_").toLowerCase()}`,
      `ask_${agent.replaceAll(" ", "_").toLowerCase()}`,
      `handoff_to_${subject}`,
    ]),
    [
      `Handoff to the ${agent} agent to handle the request. Knows all about ${about}`,
      `Handoff to the ${agent} agent to handle the request. For questions about ${about}`,
      `Handoff to the ${agent} agent to handle the request. ${capitalize(about)} questions`,
      `Ask the expert for ${about}.`,
    ],
    [],
  );
  const isNamed = tool.function.description === undefined;
  return {
    tool,
    topic: about,
    request(random) {
      const text = fill(
        random.pick([
          "I have a question about {about}.",
          "I need help with {about}.",
          "Can somebody help me with my {about}?",
          "My {about} is broken.",
          "I want to talk about {about}.",
          "Please connect me to the {about} people.",
          "It is about {about}.",
        ]),
        { about: isNamed ? subject : about },
      );
      return { text, args: {} };
    },
  };
}

/** An agent that gets sums. */
export function mathHandOff(random: Random): Job {
  const agent = random.pick(["Math", "Math_Tutor", "Calculator", "Arithmetic", "Numbers", "MathAgent"]);
  const about = random.pick(["math", "sums", "arithmetic", "numbers", "calculations"]);
  const tool = makeTool(
    random,
    `transfer_to_${random.chance(0.6) ? agent : agent.toLowerCase()}`,
    [
      `Handoff to the ${agent.replaceAll("_", " ")} agent to handle the request. Does ${about}`,
      `Handoff to the ${agent.replaceAll("_", " ")} agent to handle the request. Specialist for ${about}`,
      `Handoff to the ${agent.replaceAll("_", " ")} agent to handle the request. Answers ${about} questions`,
      `Handoff to the ${agent.replaceAll("_", " ")} agent to handle the request.`,
    ],
    [],
  );
  return {
    tool,
    topic: "math",
    request(random) {
      const operation = random.pick(OPERATIONS);
      return { text: fill(random.pick(operation.asks), { a: amount(random), b: amount(random) }), args: {} };
    },
  };
}

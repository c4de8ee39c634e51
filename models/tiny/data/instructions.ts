/** Following a system message that changes the form of an answer. */

import { type Example, type Skill } from "./example.js";
import { arithmeticExample, ask, randomProblem, result } from "./arithmetic.js";
import { factExample, isNumber, randomFact } from "./facts.js";
import { count } from "./letters.js";
import { plain } from "./example.js";
import type { Random } from "./random.js";

interface Instruction {
  systemMessages: readonly string[];
  /** `short` is the answer's one word or number. */
  apply(answer: string, short: string): string;
  thought: string;
  accepts(short: string): boolean;
}

export const instructions: Skill = {
  name: "system message",
  generate(random) {
    const { example, short } = shortAnswered(random);
    const instruction = random.pick(INSTRUCTIONS.filter((each) => each.accepts(short)));
    return {
      skill: "system message",
      messages: [{ role: "system", content: random.pick(instruction.systemMessages) }, ...example.messages],
      reasoning: `${example.reasoning} ${instruction.thought}`,
      answer: instruction.apply(example.answer, short),
      contentKeys: example.contentKeys,
    };
  },
};

/** System messages that change nothing. */
export const USUAL_SYSTEM_MESSAGES: readonly string[] = [
  "You are a helpful assistant.",
  "You are a friendly assistant.",
  "Be helpful.",
  "You are a helpful tutor.",
  "Answer the user's questions.",
  "You are a small language model.",
  "Think step by step.",
  "Answer briefly and correctly.",
];

const INSTRUCTIONS: readonly Instruction[] = [
  {
    systemMessages: [
      "Answer in capitals.",
      "Answer in capital letters.",
      "Always answer in capitals.",
      "Write your answer in capitals.",
      "Use only capital letters.",
      "You answer in capital letters only.",
      "Please answer in capitals.",
      "Respond in upper case.",
      "Reply in capital letters.",
    ],
    apply: (answer) => plain(answer).toUpperCase(),
    thought: "In capitals.",
    accepts: () => true,
  },
  {
    systemMessages: [
      "Answer with the number only.",
      "Answer with a number only.",
      "Give only the number.",
      "Reply with the number only.",
      "Only answer with the number.",
      "Respond with just the number.",
      "Your answer is the number and nothing else.",
      "Just the number, please.",
    ],
    apply: (_, short) => short,
    thought: "Only the number.",
    accepts: (short) => /^-?\d+$/.test(short),
  },
  {
    systemMessages: [
      "Answer in one word.",
      "Answer with one word.",
      "Use one word only.",
      "Reply with a single word.",
      "Give one-word answers.",
      "One word answers only.",
      "Respond in just one word.",
    ],
    apply: (_, short) => short,
    thought: "One word.",
    accepts: (short) => /^[A-Za-z]+$/.test(short),
  },
  {
    systemMessages: [
      "End every answer with Sir.",
      "Always end with the word Sir.",
      "End your answers with Sir.",
      "Call me Sir at the end of each answer.",
      "Finish each answer with Sir.",
      "Address me as Sir at the end.",
    ],
    apply: (answer) => `${answer.replace(/\.$/, "")}, Sir.`,
    thought: "End with Sir.",
    accepts: () => true,
  },
  {
    systemMessages: [
      "Begin every answer with Well.",
      "Start your answers with Well.",
      "Always begin with the word Well.",
      "Start each answer with Well.",
      "Begin with Well.",
    ],
    apply: (answer) => `Well: ${answer}`,
    thought: "Begin with Well.",
    accepts: () => true,
  },
  {
    systemMessages: USUAL_SYSTEM_MESSAGES,
    apply: (answer) => answer,
    thought: "As usual.",
    accepts: () => true,
  },
];

function shortAnswered(random: Random): { example: Example; short: string } {
  const kind = random.float();
  if (kind < 0.4) {
    const fact = randomFact(random);
    return { example: factExample(random, fact), short: isNumber(fact) ? fact.value : fact.value.replaceAll(" ", "_") };
  }
  if (kind < 0.85) {
    const problem = randomProblem(random);
    return { example: arithmeticExample("arithmetic", ask(random, problem), problem), short: String(result(problem)) };
  }
  const example = count.generate(random);
  const total = /(?:has|appears) (\d+)/.exec(plain(example.answer))?.[1];
  if (total === undefined) throw new Error(`no count in "${example.answer}"`);
  return { example, short: total };
}

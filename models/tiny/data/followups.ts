/** Second turns that only make sense after the first: "and twice that?". */

import { type Example, type Message, type Skill, casually, fill, plain } from "./example.js";
import {
  type Problem,
  arithmeticExample,
  ask,
  problemKey,
  randomProblem,
  result,
  workedSteps,
  expression,
} from "./arithmetic.js";
import { factExample, followUpQuestion, otherFact, randomFact, statement, thought } from "./facts.js";
import type { Random } from "./random.js";

export const followUps: Skill = {
  name: "two turns",
  generate: (random) => (random.chance(0.65) ? arithmeticFollowUp(random) : factFollowUp(random)),
};

const TWICE = [
  "And twice that?",
  "And twice that",
  "Double that.",
  "And double that?",
  "What is twice that?",
  "Twice that?",
  "Now double it.",
  "Times two?",
  "And that doubled?",
];
const PLUS = [
  "And plus {n}?",
  "Add {n} to that.",
  "And {n} more?",
  "Plus {n}?",
  "Now add {n}.",
  "What is that plus {n}?",
  "And if you add {n}?",
  "And {n} more than that?",
];
const MINUS = [
  "And minus {n}?",
  "Subtract {n} from that.",
  "And {n} less?",
  "Minus {n}?",
  "Now subtract {n}.",
  "What is that minus {n}?",
  "And if you take away {n}?",
  "And {n} less than that?",
];
const TIMES = [
  "And times {n}?",
  "Multiply that by {n}.",
  "Times {n}?",
  "Now multiply by {n}.",
  "What is that times {n}?",
  "And {n} times that?",
];

function arithmeticFollowUp(random: Random): Example {
  const first = randomProblem(random);
  const start = result(first);
  if (start < 0 || start > 999) return arithmeticFollowUp(random);
  const { templates, second } = nextProblem(random, start);
  const value = { add: second.b, subtract: second.b, multiply: second.b }[second.operation];
  const opening = arithmeticExample("arithmetic", casually(random, ask(random, first)), first);
  return {
    skill: "two turns",
    messages: [
      ...opening.messages,
      answered(opening.answer),
      { role: "user", content: casually(random, fill(random.pick(templates), { n: value })) },
    ],
    reasoning: `${expression(second)}. ${workedSteps(second)}`,
    answer: `${expression(second)} = ${result(second)}`,
    contentKeys: [problemKey(first), problemKey(second)],
  };
}

function nextProblem(random: Random, start: number): { templates: readonly string[]; second: Problem } {
  const kind = random.float();
  if (kind < 0.35) return { templates: TWICE, second: { operation: "add", a: start, b: start } };
  if (kind < 0.45 && start < 100)
    return { templates: TIMES, second: { operation: "multiply", a: start, b: random.integer(2, 9) } };
  const step = random.integer(1, random.pick([9, 99, 999]));
  if (kind < 0.75) return { templates: PLUS, second: { operation: "add", a: start, b: step } };
  return { templates: MINUS, second: { operation: "subtract", a: start, b: Math.min(step, start) } };
}

function factFollowUp(random: Random): Example {
  const first = randomFact(random);
  const second = otherFact(random, first);
  const opening = factExample(random, first);
  const question = followUpQuestion(random, second);
  return {
    skill: "two turns",
    messages: [...opening.messages, answered(opening.answer), { role: "user", content: question.text }],
    reasoning: thought(second),
    answer: statement(second),
    contentKeys: [...opening.contentKeys, question.key],
  };
}

function answered(answer: string): Message {
  return { role: "assistant", content: plain(answer) };
}

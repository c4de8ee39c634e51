/** Arithmetic that the model has not learnt, which it says. */

import { casually, fill, type Skill } from "./example.js";
import type { Random } from "./random.js";

interface Kind {
  asks: readonly string[];
  answer: string;
  operands(random: Random): readonly (number | string)[];
}

const large = (random: Random): number => random.integer(1000, 10 ** random.integer(4, 9));
const anyNumber = (random: Random): number => random.integer(1, random.pick([9, 99, 999, 9999]));
const fraction = (random: Random): string => `${random.integer(0, 999)}.${random.integer(1, 99)}`;

const PLUS = [
  "What is {a} + {b}?",
  "{a} + {b}",
  "What is {a} plus {b}?",
  "Add {a} and {b}.",
  "Calculate {a} + {b}.",
  "How much is {a} + {b}?",
];
const MINUS = [
  "What is {a} - {b}?",
  "{a} - {b}",
  "What is {a} minus {b}?",
  "Subtract {b} from {a}.",
  "Calculate {a} - {b}.",
];
const TIMES = [
  "What is {a} × {b}?",
  "{a} * {b}",
  "What is {a} times {b}?",
  "Multiply {a} by {b}.",
  "Calculate {a} * {b}.",
  "How much is {a} x {b}?",
];

const TOO_LARGE = "I can only add and subtract numbers up to 999.";
const FACTORS = "I can only multiply a number up to 99 by a digit.";
const NOT_LEARNT = "I can only add, subtract and multiply whole numbers.";
const TWO_ONLY = "I can only compute with two numbers at a time.";

const KINDS: readonly Kind[] = [
  {
    asks: [...PLUS, ...MINUS],
    answer: TOO_LARGE,
    operands: (random) => [large(random), random.chance(0.5) ? large(random) : anyNumber(random)],
  },
  { asks: PLUS, answer: TOO_LARGE, operands: (random) => [anyNumber(random), large(random)] },
  { asks: TIMES, answer: FACTORS, operands: (random) => [random.integer(10, 9999), random.integer(10, 9999)] },
  {
    asks: TIMES,
    answer: FACTORS,
    operands: (random) => random.sample([random.integer(100, 99999), random.integer(2, 9)], 2),
  },
  {
    asks: [
      "What is {a} / {b}?",
      "{a} / {b}",
      "What is {a} divided by {b}?",
      "Divide {a} by {b}.",
      "How much is {a} ÷ {b}?",
      "Calculate {a} / {b}.",
    ],
    answer: NOT_LEARNT,
    operands: (random) => [anyNumber(random), anyNumber(random)],
  },
  {
    asks: [
      "What is the square root of {a}?",
      "What is {a} squared?",
      "What is {a} to the power of {b}?",
      "{a}^{b}",
      "What is {a} percent of {b}?",
      "What is {a} mod {b}?",
      "Is {a} a prime number?",
      "What is the cube root of {a}?",
    ],
    answer: NOT_LEARNT,
    operands: (random) => [anyNumber(random), anyNumber(random)],
  },
  {
    asks: [...PLUS, ...MINUS, ...TIMES],
    answer: NOT_LEARNT,
    operands: (random) =>
      random.sample([fraction(random), random.chance(0.5) ? fraction(random) : anyNumber(random)], 2),
  },
  {
    asks: [
      "What is {a} + {b} + {c}?",
      "{a} + {b} - {c}",
      "Add {a}, {b} and {c}.",
      "What is {a} × {b} + {c}?",
      "What is ({a} + {b}) × {c}?",
      "{a}*{b}-{c}",
      "What is the sum of {a}, {b} and {c}?",
    ],
    answer: TWO_ONLY,
    operands: (random) => [anyNumber(random), anyNumber(random), anyNumber(random)],
  },
];

export const limits: Skill = {
  name: "out of range",
  generate(random) {
    const { asks, answer, operands } = random.pick(KINDS);
    const [a, b, c] = operands(random);
    const question = random.pick(asks);
    const text = fill(question, { a: a ?? "", b: b ?? "", c: c ?? "" });
    return {
      skill: "out of range",
      messages: [{ role: "user", content: casually(random, text) }],
      reasoning: "I have not learnt this kind of sum.",
      answer,
      contentKeys: [`limit:${[a, b, c].join(":")}`],
    };
  },
};

/** Sums and differences of up to three digits, and products of two digits by one, worked column by column. */

import { type Example, type Skill, casually, fill } from "./example.js";
import type { Random } from "./random.js";

export type Operation = "add" | "subtract" | "multiply";

export interface Problem {
  operation: Operation;
  a: number;
  b: number;
}

export const arithmetic: Skill = {
  name: "arithmetic",
  generate(random) {
    const problem = randomProblem(random);
    const question = casually(random, ask(random, problem));
    return arithmeticExample("arithmetic", question, problem);
  },
};

export function arithmeticExample(skill: string, question: string, problem: Problem): Example {
  return {
    skill,
    messages: [{ role: "user", content: question }],
    reasoning: workedSteps(problem),
    answer: `${expression(problem)} = ${result(problem)}`,
    contentKeys: [problemKey(problem)],
  };
}

export function randomProblem(random: Random): Problem {
  const operation = random.pick(["add", "add", "subtract", "subtract", "multiply"] as const);
  if (operation === "multiply") {
    const factors = [random.integer(random.chance(0.15) ? 0 : 10, 99), random.integer(random.chance(0.1) ? 0 : 2, 9)];
    if (random.chance(0.35)) factors.reverse();
    return { operation, a: factors[0] as number, b: factors[1] as number };
  }
  const a = randomNumber(random);
  const b = random.chance(0.5) ? randomNumber(random) : sameLength(random, a);
  // Negative results exist, but most differences people ask for are not.
  if (operation === "subtract" && a < b && random.chance(0.85)) return { operation, a: b, b: a };
  return { operation, a, b };
}

/** Up to three digits; each length is about as likely. */
export function randomNumber(random: Random): number {
  const digits = random.pick([1, 2, 2, 3, 3, 3]);
  return random.integer(digits === 1 ? 0 : 10 ** (digits - 1), 10 ** digits - 1);
}

/** The same for a + b and b + a, so that neither gives the other away. */
export function problemKey({ operation, a, b }: Problem): string {
  const ordered = operation === "subtract" ? [a, b] : [Math.min(a, b), Math.max(a, b)];
  return `${operation}:${ordered.join(":")}`;
}

export function result({ operation, a, b }: Problem): number {
  switch (operation) {
    case "add":
      return a + b;
    case "subtract":
      return a - b;
    case "multiply":
      return a * b;
  }
}

export function expression({ operation, a, b }: Problem): string {
  return `${a} ${{ add: "+", subtract: "-", multiply: "×" }[operation]} ${b}`;
}

export function workedSteps(problem: Problem): string {
  switch (problem.operation) {
    case "add":
      return addSteps(problem);
    case "subtract":
      return subtractSteps(problem);
    case "multiply":
      return multiplySteps(problem);
  }
}

const COLUMNS = ["Ones", "Tens", "Hundreds", "Thousands"];

function addSteps(problem: Problem): string {
  const [a, b] = [digitsFromOnes(problem.a), digitsFromOnes(problem.b)];
  const steps: string[] = [];
  let carry = 0;
  for (let column = 0; column < Math.max(a.length, b.length); column++) {
    const terms = [a[column] ?? 0, b[column] ?? 0, ...(carry > 0 ? [carry] : [])];
    const sum = terms.reduce((total, term) => total + term, 0);
    steps.push(`${COLUMNS[column]}: ${terms.join("+")}=${sum}.`);
    carry = sum >= 10 ? 1 : 0;
  }
  return conclude(problem, steps);
}

function subtractSteps(problem: Problem): string {
  if (problem.a < problem.b) {
    const swapped: Problem = { operation: "subtract", a: problem.b, b: problem.a };
    const steps = columnsOfDifference(swapped);
    return `${problem.a} is less than ${problem.b}. ${conclude(swapped, steps)} So ${expression(problem)} = ${result(problem)}.`;
  }
  return conclude(problem, columnsOfDifference(problem));
}

function columnsOfDifference(problem: Problem): string[] {
  const [a, b] = [digitsFromOnes(problem.a), digitsFromOnes(problem.b)];
  const steps: string[] = [];
  let borrow = 0;
  for (let column = 0; column < a.length; column++) {
    let top = a[column] as number;
    const bottom = b[column] ?? 0;
    const borrowed = borrow > 0 ? `-${borrow}` : "";
    const borrows = top - bottom - borrow < 0;
    if (borrows) top += 10;
    steps.push(`${COLUMNS[column]}: ${top}-${bottom}${borrowed}=${top - bottom - borrow}${borrows ? ", borrow" : ""}.`);
    borrow = borrows ? 1 : 0;
  }
  return steps;
}

function multiplySteps(problem: Problem): string {
  const [long, digit] = problem.a >= problem.b ? [problem.a, problem.b] : [problem.b, problem.a];
  const steps: string[] = [];
  let carry = 0;
  for (const [column, factor] of digitsFromOnes(long).entries()) {
    const product = factor * digit;
    const carried = carry > 0 ? `, ${product}+${carry}=${product + carry}` : "";
    steps.push(`${COLUMNS[column]}: ${factor}×${digit}=${product}${carried}.`);
    carry = Math.floor((product + carry) / 10);
  }
  return conclude(problem, steps);
}

function conclude(problem: Problem, steps: string[]): string {
  return `${steps.join(" ")} So ${expression(problem)} = ${result(problem)}.`;
}

function digitsFromOnes(value: number): number[] {
  return [...String(value)].reverse().map(Number);
}

function sameLength(random: Random, value: number): number {
  const length = String(value).length;
  return random.integer(length === 1 ? 0 : 10 ** (length - 1), 10 ** length - 1);
}

const QUESTIONS: Record<Operation, readonly string[]> = {
  add: [
    "What is {a} + {b}?",
    "{a} + {b}",
    "{a}+{b}",
    "{a} + {b} = ?",
    "{a}+{b}=",
    "What is {a}+{b}?",
    "What is {a} plus {b}?",
    "Calculate {a} + {b}.",
    "Compute {a} + {b}.",
    "Add {a} and {b}.",
    "Add {b} to {a}.",
    "How much is {a} + {b}?",
    "How much is {a} plus {b}?",
    "What do you get when you add {a} and {b}?",
    "What is the sum of {a} and {b}?",
    "Find the sum of {a} and {b}.",
    "Sum {a} and {b}.",
    "Can you add {a} and {b}?",
    "What's {a} + {b}?",
    "What's {a} plus {b}?",
    "Work out {a} + {b}.",
    "Solve {a} + {b}.",
    "{a} plus {b}",
    "Tell me {a} + {b}.",
    "I need {a} plus {b}.",
    "I have {a} apples and get {b} more. How many apples do I have?",
    "Anna has {a} coins and finds {b} more. How many coins does she have now?",
    "There are {a} birds in a tree and {b} more arrive. How many birds are there?",
    "A shop sold {a} cakes on Monday and {b} on Tuesday. How many in all?",
    "If a box holds {a} red balls and {b} blue balls, how many balls is that?",
  ],
  subtract: [
    "What is {a} - {b}?",
    "{a} - {b}",
    "{a}-{b}",
    "{a} - {b} = ?",
    "{a}-{b}=",
    "What is {a}-{b}?",
    "What is {a} minus {b}?",
    "Calculate {a} - {b}.",
    "Compute {a} - {b}.",
    "Subtract {b} from {a}.",
    "Take {b} away from {a}.",
    "How much is {a} - {b}?",
    "How much is {a} minus {b}?",
    "What do you get when you take {b} from {a}?",
    "What is {a} less {b}?",
    "What is the difference when {b} is taken from {a}?",
    "Can you subtract {b} from {a}?",
    "What's {a} - {b}?",
    "What's {a} minus {b}?",
    "Work out {a} - {b}.",
    "Solve {a} - {b}.",
    "{a} minus {b}",
    "Tell me {a} - {b}.",
    "I need {a} minus {b}.",
    "I have {a} apples and eat {b}. How many apples are left?",
    "Tom has {a} coins and spends {b}. How many coins does he still have?",
    "There are {a} birds in a tree and {b} fly away. How many stay?",
    "A shop has {a} cakes and sells {b}. How many cakes remain?",
  ],
  multiply: [
    "What is {a} × {b}?",
    "{a} × {b}",
    "{a} x {b}",
    "{a} * {b}",
    "{a}*{b}",
    "{a}×{b}=",
    "{a} × {b} = ?",
    "What is {a}*{b}?",
    "What is {a} * {b}?",
    "What is {a} x {b}?",
    "What is {a} times {b}?",
    "Calculate {a} × {b}.",
    "Compute {a} * {b}.",
    "Multiply {a} by {b}.",
    "Multiply {a} and {b}.",
    "How much is {a} times {b}?",
    "How much is {a} x {b}?",
    "What is the product of {a} and {b}?",
    "Find the product of {a} and {b}.",
    "Can you multiply {a} by {b}?",
    "What's {a} times {b}?",
    "What's {a} x {b}?",
    "Work out {a} × {b}.",
    "Solve {a} * {b}.",
    "{a} times {b}",
    "Tell me {a} times {b}.",
    "I need {a} times {b}.",
    "There are {a} boxes with {b} eggs each. How many eggs are there?",
    "A ticket costs {b} coins. How much do {a} tickets cost?",
    "If {a} children have {b} pencils each, how many pencils is that?",
  ],
};

export function ask(random: Random, problem: Problem): string {
  return fill(random.pick(QUESTIONS[problem.operation]), { a: problem.a, b: problem.b });
}

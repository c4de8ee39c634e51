/** Comparing two numbers and sorting three to five, on digits padded to one length. */

import { type Example, type Skill, capitalize, casually, fill } from "./example.js";
import { randomNumber } from "./arithmetic.js";
import type { Random } from "./random.js";

export const compare: Skill = {
  name: "compare",
  generate(random) {
    const a = randomNumber(random);
    const b = random.chance(0.6) ? nearby(random, a) : randomNumber(random);
    return compareExample(random, a, b);
  },
};

export const sort: Skill = {
  name: "sort",
  generate(random) {
    const largest = random.pick([20, 99, 99, 999, 999]);
    const numbers = Array.from({ length: random.pick([3, 3, 4, 4, 5]) }, () => random.integer(0, largest));
    const kind = random.pick(["ascending", "ascending", "descending", "descending", "least", "greatest"] as const);
    return sortExample(random, numbers, kind);
  },
};

const LARGER = [
  "Which is larger, {a} or {b}?",
  "Which is bigger, {a} or {b}?",
  "Which number is larger: {a} or {b}?",
  "Which is greater: {a} or {b}?",
  "Is {a} or {b} larger?",
  "What is bigger, {a} or {b}?",
  "Compare {a} and {b}. Which is larger?",
  "{a} or {b}, which is more?",
  "Which of {a} and {b} is greater?",
  "Name the larger of {a} and {b}.",
  "What is the larger number, {a} or {b}?",
  "Tell me which is bigger, {a} or {b}.",
];
const SMALLER = [
  "Which is smaller, {a} or {b}?",
  "Which is less, {a} or {b}?",
  "Which number is smaller: {a} or {b}?",
  "Which is lower: {a} or {b}?",
  "Is {a} or {b} smaller?",
  "What is smaller, {a} or {b}?",
  "Compare {a} and {b}. Which is smaller?",
  "{a} or {b}, which is less?",
  "Which of {a} and {b} is smaller?",
  "Name the smaller of {a} and {b}.",
  "What is the smaller number, {a} or {b}?",
  "Tell me which is less, {a} or {b}.",
];
const IS_LARGER = [
  "Is {a} larger than {b}?",
  "Is {a} greater than {b}?",
  "Is {a} more than {b}?",
  "Is {a} bigger than {b}?",
  "Is it true that {a} is more than {b}?",
];
const IS_SMALLER = [
  "Is {a} smaller than {b}?",
  "Is {a} less than {b}?",
  "Is {a} lower than {b}?",
  "Is it true that {a} is less than {b}?",
];

function compareExample(random: Random, a: number, b: number): Example {
  const width = Math.max(String(a).length, String(b).length);
  const relation = a === b ? "=" : a > b ? ">" : "<";
  const kind = random.pick(["larger", "larger", "smaller", "smaller", "isLarger", "isSmaller"] as const);
  const questions = { larger: LARGER, smaller: SMALLER, isLarger: IS_LARGER, isSmaller: IS_SMALLER }[kind];
  const words = { ">": "larger than", "<": "smaller than", "=": "equal to" }[relation];
  const fact = `${a} is ${words} ${b}.`;
  const asksLarger = kind === "larger" || kind === "isLarger";
  const asked = asksLarger ? "larger" : "smaller";
  let [found, answer] = ["none", "They are equal."];
  if (kind === "isLarger" || kind === "isSmaller") {
    found = relation === (asksLarger ? ">" : "<") ? "yes" : "no";
    answer = `${capitalize(found)}, ${fact}`;
  } else if (a !== b) {
    found = String(asksLarger ? Math.max(a, b) : Math.min(a, b));
    answer = `${found} is ${asked}.`;
  }
  return {
    skill: "compare",
    messages: [{ role: "user", content: casually(random, fill(random.pick(questions), { a, b })) }],
    reasoning: `${pad(a, width)} and ${pad(b, width)}: ${digitPairs(pad(a, width), pad(b, width))}. So ${fact} ${capitalize(asked)}: ${found}.`,
    answer,
    contentKeys: [`compare:${Math.min(a, b)}:${Math.max(a, b)}`],
  };
}

const ASCENDING = [
  "Sort {list}.",
  "Sort these numbers: {list}",
  "Sort {list} from smallest to largest.",
  "Sort in ascending order: {list}",
  "Put {list} in order.",
  "Order these numbers from low to high: {list}",
  "Arrange {list} in ascending order.",
  "Please sort the numbers {list}.",
  "Can you sort {list}?",
  "Write {list} in increasing order.",
  "Sort the list {list} with the smallest first.",
];
const DESCENDING = [
  "Sort {list} from largest to smallest.",
  "Sort in descending order: {list}",
  "Sort these numbers in descending order: {list}",
  "Order these numbers from high to low: {list}",
  "Arrange {list} in descending order.",
  "Put {list} in order, largest first.",
  "Write {list} in decreasing order.",
  "Sort the list {list} with the largest first.",
  "Can you sort {list} in descending order?",
];
const GREATEST = [
  "What is the largest of {list}?",
  "Which is the largest: {list}?",
  "Find the biggest of {list}.",
  "What is the maximum of {list}?",
  "Which number is the largest among {list}?",
  "Name the greatest of {list}.",
  "What is the highest number in {list}?",
];
const LEAST = [
  "What is the smallest of {list}?",
  "Which is the smallest: {list}?",
  "Find the lowest of {list}.",
  "What is the minimum of {list}?",
  "Which number is the smallest among {list}?",
  "Name the least of {list}.",
  "What is the lowest number in {list}?",
];

type SortKind = "ascending" | "descending" | "least" | "greatest";

function sortExample(random: Random, numbers: number[], kind: SortKind): Example {
  const questions = { ascending: ASCENDING, descending: DESCENDING, least: LEAST, greatest: GREATEST }[kind];
  const list = writeList(random, numbers);
  const width = Math.max(...numbers.map((number) => String(number).length));
  const upward = kind === "ascending" || kind === "least";
  const sorted = [...numbers].sort((x, y) => (upward ? x - y : y - x));
  const left = [...numbers];
  const steps: string[] = [];
  for (const next of kind === "ascending" || kind === "descending" ? sorted : sorted.slice(0, 1)) {
    steps.push(
      `${upward ? "Least" : "Most"} of ${left.map((number) => pad(number, width)).join(" ")}: ${pad(next, width)}.`,
    );
    left.splice(left.indexOf(next), 1);
  }
  return {
    skill: "sort",
    messages: [{ role: "user", content: casually(random, fill(random.pick(questions), { list })) }],
    reasoning: steps.join(" "),
    answer:
      kind === "ascending" || kind === "descending"
        ? sorted.join(", ")
        : `${sorted[0]} is the ${kind === "least" ? "smallest" : "largest"}.`,
    contentKeys: [`sort:${[...numbers].sort((x, y) => x - y).join(":")}`],
  };
}

function writeList(random: Random, numbers: number[]): string {
  const style = random.float();
  if (style < 0.6) return numbers.join(", ");
  if (style < 0.75) return numbers.join(" ");
  if (style < 0.85) return numbers.join(",");
  return `${numbers.slice(0, -1).join(", ")} and ${numbers.at(-1)}`;
}

/** Digit by digit from the left, up to the first pair that differs. */
function digitPairs(a: string, b: string): string {
  const pairs: string[] = [];
  for (let index = 0; index < a.length; index++) {
    const [left, right] = [a.charAt(index), b.charAt(index)];
    const relation = left === right ? "=" : left > right ? ">" : "<";
    pairs.push(`${left} ${relation} ${right}`);
    if (relation !== "=") break;
  }
  return pairs.join(", ");
}

function pad(number: number, width: number): string {
  return String(number).padStart(width, "0");
}

function nearby(random: Random, a: number): number {
  const digits = [...String(a)];
  if (random.chance(0.08)) return a;
  const index = random.integer(0, digits.length - 1);
  digits[index] = String(random.integer(index === 0 && digits.length > 1 ? 1 : 0, 9));
  if (random.chance(0.3)) digits.reverse();
  return Number(digits.join(""));
}

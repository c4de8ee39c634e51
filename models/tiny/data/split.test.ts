/** Laws of the data: training never sees a question of the evaluation, a seed fixes everything, and the encoding is lossless. */

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

import { numCases } from "../../../spec-tests/fixtures/property-size.js";
import { ExampleEncoder } from "./encode.js";
import { evaluationSet } from "./evaluation.js";
import { type Example, grade, plain, splitOf } from "./example.js";
import { NUM_FACTS } from "./facts.js";
import { evaluationExamples, SKILLS, TOOL_SKILLS, trainingExamples } from "./skills.js";
import { TOOL_TEMPLATE, type TokenizerJson, withToolTokens } from "./tokenizer.js";

const NUM_TRAINING_EXAMPLES = 20_000;

const trained = [
  ...take(NUM_TRAINING_EXAMPLES, trainingExamples("one")),
  ...take(NUM_TRAINING_EXAMPLES, trainingExamples("two")),
  ...take(NUM_TRAINING_EXAMPLES, trainingExamples("three")),
];
const asked = evaluationSet([...SKILLS, ...TOOL_SKILLS]);

test("no key of an evaluated question is trained on", () => {
  const trainedKeys = new Set(trained.flatMap(({ contentKeys }) => contentKeys));
  const shared = asked.flatMap(({ example }) => example.contentKeys).filter((key) => trainedKeys.has(key));
  expect(shared).toEqual([]);
});

test("no evaluated conversation is trained on word for word", () => {
  const conversations = new Set(trained.map(conversationOf));
  expect(asked.filter(({ example }) => conversations.has(conversationOf(example)))).toEqual([]);
});

test("the two streams stay on their sides of the hash", () => {
  expect(trained.filter(({ contentKeys }) => splitOf(contentKeys) !== "train")).toEqual([]);
  expect(asked.filter(({ example }) => splitOf(example.contentKeys) !== "eval")).toEqual([]);
});

test("a question with keys on both sides belongs to neither", () => {
  const [trainedKey, askedKey] = [trained[0]?.contentKeys[0], asked[0]?.example.contentKeys[0]];
  expect(splitOf([trainedKey as string, askedKey as string])).toBe(null);
});

test("the evaluation is large enough: 200 sums, 50 of each other skill", () => {
  for (const skill of [...SKILLS, ...TOOL_SKILLS]) {
    const total = asked.filter((question) => question.skill === skill).length;
    expect(total, skill.name).toBeGreaterThanOrEqual(skill.name === "arithmetic" ? 200 : 50);
  }
});

test("every skill is trained on, and about 150 facts exist", () => {
  for (const skill of [...SKILLS, ...TOOL_SKILLS])
    expect(
      trained.some((example) => example.skill === skill.name),
      skill.name,
    ).toBe(true);
  expect(NUM_FACTS).toBeGreaterThanOrEqual(150);
});

test("a seed fixes the examples, and another seed gives others", () => {
  expect(take(500, trainingExamples("one", 7))).toEqual(take(500, trainingExamples("one", 7)));
  expect(take(500, trainingExamples("one", 7))).not.toEqual(take(500, trainingExamples("one", 8)));
  for (const skill of [...SKILLS, ...TOOL_SKILLS])
    expect(evaluationExamples(skill, 20)).toEqual(evaluationExamples(skill, 20));
});

test("every expected answer passes its own grader, and a wrong one does not", () => {
  for (const { skill, example } of asked) {
    expect(grade(skill, example, plain(example.answer)), plain(example.answer)).toBe(true);
    expect(grade(skill, example, "something else")).toBe(false);
  }
});

test("worked answers are right", () => {
  for (const { answer } of trained.filter(({ skill }) => skill === "arithmetic")) {
    const [, a, operator, b, value] = /^(-?\d+) (.) (\d+) = (-?\d+)$/.exec(answer) ?? [];
    const expected = { "+": Number(a) + Number(b), "-": Number(a) - Number(b), "×": Number(a) * Number(b) }[
      operator ?? ""
    ];
    expect(Number(value), answer).toBe(expected);
  }
});

const shipped = JSON.parse(readFileSync(new URL("../tokenizer.json", import.meta.url), "utf8")) as TokenizerJson;

test.each([
  ["the tokenizer that ships", new ExampleEncoder(shipped), "one"],
  ["that of the second stage", new ExampleEncoder(withToolTokens(shipped), TOOL_TEMPLATE), "three"],
] as const)("%s decodes what it encodes", (_, encoder, part) => {
  for (const example of take(numCases(2000), trainingExamples(part))) {
    const { ids, mask } = encoder.encode(example);
    expect(mask.length).toBe(ids.length);
    const text = encoder.tokenizer.decode(ids, { skip_special_tokens: false });
    expect(text).toBe(
      `${encoder.prompt(example)}${plain(example.reasoning)}\n</think>\n\n${plain(example.answer)}<|end|>`,
    );
    expect(
      encoder.tokenizer.decode(
        ids.filter((_, index) => mask[index] === 1),
        { skip_special_tokens: false },
      ),
    ).toMatch(/^<think>\n/);
  }
  for (const text of ["naïve café — 東京 🙂\t\r\n  x", "12345", "PARIS <b>"]) {
    const { ids } = encoder.tokenizer.encode(text, { add_special_tokens: false });
    expect(encoder.tokenizer.decode(ids)).toBe(text);
  }
});

function take(count: number, examples: Iterable<Example>): Example[] {
  const taken: Example[] = [];
  for (const example of examples) {
    taken.push(example);
    if (taken.length === count) break;
  }
  return taken;
}

function conversationOf({ messages, tools = [] }: Example): string {
  return JSON.stringify([messages, tools]);
}

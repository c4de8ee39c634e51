import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { numCases } from "../../spec-tests/fixtures/property-size.js";
import { Budget } from "../budget.js";
import { LIMITS } from "../limits.js";
import { Normalizer } from "./normalizer.js";
import { PatternSearch } from "./pattern-search.js";

const compile = (pattern: unknown): PatternSearch =>
  new PatternSearch(new RegExp((pattern as { Regex: string }).Regex, "gu"), []);
const budget = (): Budget => new Budget(1e9, () => new Error("out of steps"));

function normalized(definition: object, text: string): string {
  return new Normalizer({ ...definition }, compile).normalize(text, budget(), "text");
}

const sequence = (...normalizers: object[]): object => ({ type: "Sequence", normalizers });

/** Marks of different combining classes, marks that decompose, and marks that do not reorder. */
const MARKS = Array.from(
  "\u0300\u0301\u0308\u0315\u031b\u0321\u0327\u0334\u0338\u0344\u0345\u034f\u0360\u0591\u05b0\u064b\u093c\u0f71\u0f73\u20d0\u20dd\u302a\u3099\u{1d165}\u{1d16d}\u0903\u{e0100}",
);

describe("Unicode normalization forms", () => {
  const run = fc.array(fc.constantFrom(...MARKS), { minLength: 20, maxLength: 120 }).map((marks) => marks.join(""));
  const text = fc
    .array(fc.oneof(run, fc.string({ unit: "binary", maxLength: 5 }), fc.constantFrom("a", "é", "한", "ﬁ")))
    .map((parts) => parts.join(""));

  it.each(["NFC", "NFD", "NFKC", "NFKD"])("%s agrees with the platform, also in long runs of marks", (type) => {
    fc.assert(
      fc.property(text, (given) => {
        expect(normalized({ type }, given)).toBe(given.normalize(type));
      }),
      { numRuns: numCases(100) },
    );
  });

  it.each(["NFC", "NFD", "NFKC", "NFKD"])("%s sorts a long run of marks in a short time", (type) => {
    const pair = "\u0315\u0334";
    const sorted = "\u0334".repeat(200_000) + "\u0315".repeat(200_000);
    expect(normalized({ type }, `a${pair.repeat(200_000)}`)).toBe(`a${sorted}`);
  });
});

it.each(["NFC", "NFD", "NFKC", "NFKD", "StripAccents"])("%s takes runs of any length", (type) => {
  const length = numCases(6_000_000);
  const text = normalized({ type }, `a${"\u0301".repeat(length)}b`);
  expect(text.length).toBe(type === "StripAccents" ? 2 : type.endsWith("C") ? 1 + length : 2 + length);
});

describe("other normalizers", () => {
  it.each([
    [{ type: "Lowercase" }, "ÄB", "äb"],
    [{ type: "Strip", strip_left: true, strip_right: false }, "  a  ", "a  "],
    [{ type: "Strip", strip_left: false, strip_right: true }, "  a  ", "  a"],
    [{ type: "Strip", strip_left: true, strip_right: true }, "  a  ", "a"],
    [{ type: "Strip" }, "  a  ", "  a  "],
    [{ type: "Strip", strip_left: true, strip_right: true }, "\u0085\u3000a\u0085\n", "a"],
    [{ type: "Strip", strip_left: true, strip_right: true }, "\ufeffa\ufeff", "\ufeffa\ufeff"],
    [{ type: "Strip", strip_left: true, strip_right: true }, " \n ", ""],
    [{ type: "Lowercase" }, "ΑΣ Σ", "ασ σ"],
    [{ type: "StripAccents" }, "e\u0301\u0301a\u0903\u20dd é", "ea é"],
    [{ type: "Nmt" }, "\x01a\x00\x7fb\x08\v\u009f", "a\x00b"],
    [{ type: "Nmt" }, "a\t\n\f\rb\u200b\u200f\u2028\u2029\u2581\ufeff\ufffd\u1680c\u00a0", "a    b        c\u00a0"],
    [{ type: "Prepend", prepend: "▁" }, "a", "▁a"],
    [{ type: "Prepend", prepend: "▁" }, "", ""],
    [sequence({ type: "Strip", strip_left: true }, { type: "Prepend", prepend: "▁" }), "  ", ""],
    [{ type: "Replace", pattern: { Regex: "a" }, content: "$&$1" }, "bab", "b$&$1b"],
    [{ type: "Replace", pattern: { Regex: "a" } }, "bab", "bb"],
    [sequence({ type: "Prepend", prepend: "A" }, { type: "Lowercase" }), "B", "ab"],
    [sequence({ type: "Lowercase" }, { type: "Prepend", prepend: "A" }), "B", "Ab"],
  ])("%j turns %j into %j", (definition, given, expected) => {
    expect(normalized(definition, given)).toBe(expected);
  });

  it("have an upper limit", () => {
    const steps = (count: number): object[] => Array.from({ length: count }, () => ({ type: "Lowercase" }));
    expect(normalized(sequence(...steps(LIMITS.maxTokenizerSteps)), "A")).toBe("a");
    expect(() => normalized(sequence(...steps(LIMITS.maxTokenizerSteps + 1)), "A")).toThrow("supported: up to 64");
  });

  it("refuse contents that are not texts", () => {
    expect(() => normalized({ type: "Prepend", prepend: 1 }, "a")).toThrow(
      "tokenizer.json: prepend of a normalizer is not a string",
    );
  });
});

describe("a text that grows", () => {
  const growing = { type: "Replace", pattern: { Regex: "a+" }, content: "a".repeat(128) };

  it("is refused above the limit", () => {
    const whole = "ab".repeat(LIMITS.maxNormalizedCharacters / 129);
    expect(normalized(growing, whole).length).toBeGreaterThan(LIMITS.maxNormalizedCharacters - 129);
    expect(() => normalized(growing, whole + "a".repeat(129))).toThrow(
      expect.objectContaining({ code: "out_of_range", param: "text" }),
    );

    const long = { type: "Prepend", prepend: "x".repeat(LIMITS.maxNormalizedCharacters) };
    expect(() => normalized(long, "a")).toThrow("The text is too long");
  });

  it("spends steps", () => {
    const few = new Budget(100, () => new Error("out of steps"));
    const normalizer = new Normalizer(sequence(growing, growing) as Record<string, unknown>, compile);
    expect(() => normalizer.normalize("ab".repeat(1000), few, null)).toThrow("out of steps");
  });
});

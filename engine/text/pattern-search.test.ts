/** Tests that matches are those of JavaScript, and that reading a run again and again is counted. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { Budget } from "../budget.js";
import { checkBacktracking } from "./backtracking.js";
import { PatternSearch } from "./pattern-search.js";

const searchOf = (source: string): PatternSearch => {
  const pattern = new RegExp(source, "gu");
  return new PatternSearch(pattern, checkBacktracking(pattern));
};

const budgetOf = (numSteps: number): Budget => new Budget(numSteps, () => new Error("out of steps"));

function matchesOf(source: string, text: string, numSteps = 1e6): string[] {
  const found: string[] = [];
  searchOf(source).each(text, budgetOf(numSteps), (start, end) => {
    found.push(text.slice(start, end));
    return true;
  });
  return found;
}

/** With and without repetitions after which a match can fail. */
const PATTERNS = [
  "\\s+$",
  "a+b|c",
  "(?=(?:a|b)*c)",
  "(?<=x*y)z",
  "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+|\\S",
  "ab?",
  "(?!a)",
  "\\p{N}{1,3}(?=(?:\\p{N}{3})*(?!\\p{N}))",
];

describe("PatternSearch", () => {
  it.each(PATTERNS)("finds and replaces what JavaScript does: %s", (source) => {
    const units = fc.constantFrom("a", "b", "c", "x", "y", "z", " ", "\n", "1", "😀");
    fc.assert(
      fc.property(fc.string({ unit: units, minLength: 1, maxLength: 30 }), (text) => {
        // A match at the end that is empty divides nothing.
        const expected = [...text.matchAll(new RegExp(source, "gu"))].filter(({ index }) => index < text.length);
        expect(matchesOf(source, text)).toEqual(expected.map(([match]) => match));
        const replaced = searchOf(source).replaceAll(text, "-", budgetOf(1e6));
        expect(replaced).toBe(text.replaceAll(new RegExp(source, "gu"), "-"));
      }),
    );
  });

  it("ends when it is told to", () => {
    let numMatches = 0;
    expect(searchOf("a").each("aaa", budgetOf(10), () => ++numMatches < 2)).toBe(false);
    expect(numMatches).toBe(2);
  });

  it.each([
    "\\S+$",
    "\\S+!",
    "(?!(?:a|b)*c)",
    "(?:a|\\S*!)",
    "(?=a*!)a",
    "(?<=a*c)",
    "\\S*?!",
    "(?:aa)*!",
    "a{5000,}",
    "ba*!|a+!",
  ])("counts what is read in vain at each place of a run: %s", (source) => {
    // 4,000 places, 2,000 characters on average, and 8 characters a step.
    const text = `${"a".repeat(4000)} b`;
    expect(() => matchesOf(source, text, 980_000)).toThrow("out of steps");
    expect(() => matchesOf(source, text, 1_020_000)).not.toThrow();
    expect(() => searchOf(source).replaceAll(text, "", budgetOf(980_000))).toThrow("out of steps");
  });

  it.each(["\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", "\\S+", "\\s?\\S+|\\s+$", "a+b|a+", "\\S{1,2}"])(
    "does not count runs that are matched: %s",
    (source) => {
      for (const text of ["a".repeat(1e5), `${" ".repeat(1e5)}a`, `${"a".repeat(1e5)} b`]) {
        const given = source.includes("$") ? text.trim() : text;
        expect(() => matchesOf(source, given, 1000)).not.toThrow();
        expect(() => searchOf(source).replaceAll(given, "", budgetOf(1000))).not.toThrow();
      }
    },
  );

  it("replaces by a text in which $ means nothing, or by what a function returns", () => {
    for (const source of ["b", "b+c|b+", "b*"]) {
      const expected = "abbc".replaceAll(new RegExp(source, "gu"), () => "$&");
      expect(searchOf(source).replaceAll("abbc", "$&", budgetOf(1000))).toBe(expected);
      expect(searchOf(source).replaceAll("abbc", (match) => `<${match}>`, budgetOf(1000))).toBe(
        "abbc".replaceAll(new RegExp(source, "gu"), (match) => `<${match}>`),
      );
    }
  });

  it("counts a run that begins after the first characters of a match", () => {
    const text = `${"y".repeat(500)}${"x".repeat(50_000)}`;
    expect(() => matchesOf("y+x*!|x+|y", text, 2.5e6)).toThrow("out of steps");
    expect(() => matchesOf("(?:[^!]{60}){8}x*!|x+|y", text, 2.5e6)).toThrow("out of steps");
  });

  it.each([
    ["\\[[^\\]]+\\]|Br?|Cl?|N|O|[bcnops()=#+-]|\\d", "CC(=O)Nc1ccc(O)cc1"],
    ["<[^>]*>", "Text without tags, and some more. "],
    ['"(?:[^"\\\\]|\\\\.)*"|\\S|\\s', "Text without quotes. "],
    ["a+(?:b+c)?|b", "b"],
    ["\\[[^\\]]*\\]|.", "[a][bc]"],
  ])("does not count runs that cannot begin where the search is: %s", (source, part) => {
    const text = part.repeat(50_000 / part.length);
    expect(() => matchesOf(source, text, 10_000)).not.toThrow();
    expect(() => searchOf(source).replaceAll(text, "", budgetOf(10_000))).not.toThrow();
  });

  it("reads runs that are longer than what JavaScript can go back over", () => {
    const text = "ab".repeat(3e6);
    expect(() => matchesOf("(?:a|b)*!|[ab]", text, 1e6)).toThrow("out of steps");
  });

  it("a match that JavaScript gives up exhausts the budget", () => {
    const text = "ab".repeat(2e7);
    expect(() => matchesOf("(?:a|b)*|[ab]", text)).toThrow("out of steps");
    expect(() => searchOf("(?:a|b)*").replaceAll(text, "", budgetOf(1e6))).toThrow("out of steps");
  });
});

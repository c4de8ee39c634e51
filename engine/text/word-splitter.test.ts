import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { Budget } from "../budget.js";
import type { JsonObject } from "../json.js";
import { PatternSearch } from "./pattern-search.js";
import { preparePreTokenizer, type SplitBehavior } from "./pre-tokenization.js";
import { WordSplitter } from "./word-splitter.js";

const compile = (pattern: unknown): PatternSearch => {
  const { Regex, String: literal } = pattern as { Regex?: string; String?: string };
  return new PatternSearch(new RegExp(Regex ?? literal!, "gu"), []);
};

function wordsOf(definition: JsonObject, text: string): string[] {
  const words: string[] = [];
  const splitter = new WordSplitter(preparePreTokenizer(definition), compile);
  const budget = new Budget(Infinity, () => new Error("too slow"));
  splitter.split(text, true, budget, (word) => words.push(word) > 0);
  return words;
}

const BEHAVIORS = ["Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"] as const;

/** The Rust library's rule: a list of pieces that cover the text, joined from the left or from the right. */
function reference(text: string, pattern: RegExp, behavior: SplitBehavior, invert: boolean): string[] {
  const pieces: { text: string; isMatch: boolean }[] = [];
  let done = 0;
  for (const match of text.matchAll(pattern)) {
    if (match.index > done) pieces.push({ text: text.slice(done, match.index), isMatch: invert });
    pieces.push({ text: match[0], isMatch: !invert });
    done = match.index + match[0].length;
  }
  if (done < text.length) pieces.push({ text: text.slice(done), isMatch: invert });
  const fromRight = behavior === "MergedWithNext";
  const joined: string[] = [];
  let wasMatch = behavior === "Contiguous" ? null : false;
  for (const piece of fromRight ? pieces.reverse() : pieces) {
    if (behavior === "Removed" && piece.isMatch) continue;
    const joins =
      behavior === "Contiguous"
        ? piece.isMatch === wasMatch
        : behavior.startsWith("Merged") && piece.isMatch && wasMatch === false;
    if (joins && joined.length > 0) joined.push(fromRight ? piece.text + joined.pop()! : joined.pop()! + piece.text);
    else joined.push(piece.text);
    wasMatch = piece.isMatch;
  }
  return (fromRight ? joined.reverse() : joined).filter((word) => word !== "");
}

describe("a split", () => {
  it.each<[string, readonly string[]]>([
    ["Whitespace", ["Hey", ",", "you_1", "...", "é\u0301", "-", "\u200dx"]],
    ["WhitespaceSplit", ["Hey,", "you_1...", "é\u0301-\u200dx"]],
    ["BertPreTokenizer", ["Hey", ",", "you", "_", "1", ".", ".", ".", "é\u0301", "-", "\u200dx"]],
  ])("%s drops white space", (type, words) => {
    expect(wordsOf({ type }, " Hey, you_1...\u3000é\u0301-\u200dx\n")).toEqual(words);
  });

  it.each<[SplitBehavior, readonly string[], readonly string[]]>([
    ["Removed", ["the", "final", "countdown"], ["-", "-", "-"]],
    ["Isolated", ["the", "-", "final", "-", "-", "countdown"], ["the", "-", "final", "-", "-", "countdown"]],
    ["MergedWithPrevious", ["the-", "final-", "-", "countdown"], ["the", "-final", "-", "-countdown"]],
    ["MergedWithNext", ["the", "-final", "-", "-countdown"], ["the-", "final-", "-", "countdown"]],
    ["Contiguous", ["the", "-", "final", "--", "countdown"], ["the", "-", "final", "--", "countdown"]],
  ])("%s", (behavior, words, inverted) => {
    const definition = { type: "Split", pattern: { String: "-" }, behavior };
    expect(wordsOf({ ...definition, invert: false }, "the-final--countdown")).toEqual(words);
    expect(wordsOf({ ...definition, invert: true }, "the-final--countdown")).toEqual(inverted);
  });

  it("joins the pieces of every text as the Rust library does", () => {
    const patterns = fc.constantFrom("-", "-+", "a|-", "a-?", "(?=b)", "-*", " +");
    const texts = fc.string({ unit: fc.constantFrom("a", "b", "-", " ", "é", "😀"), maxLength: 12 });
    fc.assert(
      fc.property(texts, patterns, fc.constantFrom(...BEHAVIORS), fc.boolean(), (text, regex, behavior, invert) => {
        const definition = { type: "Split", pattern: { Regex: regex }, behavior, invert };
        // An empty match at the end of a text is no piece here.
        const pattern = new RegExp(`(?!$)(?:${regex})`, "gu");
        expect(wordsOf(definition, text)).toEqual(reference(text, pattern, behavior, invert));
      }),
      { numRuns: 2000 },
    );
  });
});

describe("Punctuation", () => {
  it("is each character that is punctuation in Unicode or in ASCII", () => {
    expect(wordsOf({ type: "Punctuation" }, "Hey, you!? $5 «a» b_c 50°")).toEqual([
      "Hey",
      ",",
      " you",
      "!",
      "?",
      " ",
      "$",
      "5 ",
      "«",
      "a",
      "»",
      " b",
      "_",
      "c 50°",
    ]);
    expect(wordsOf({ type: "Punctuation", behavior: "Contiguous" }, "a!?b")).toEqual(["a", "!?", "b"]);
    expect(wordsOf({ type: "Punctuation", behavior: "Removed" }, "a!?b")).toEqual(["a", "b"]);
    for (const character of "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
      expect(wordsOf({ type: "Punctuation" }, `a${character}b`)).toEqual(["a", character, "b"]);
  });
});

it("ends when it is asked to", () => {
  for (const behavior of BEHAVIORS) {
    const splitter = new WordSplitter(
      preparePreTokenizer({ type: "Split", pattern: { String: "-" }, behavior }),
      compile,
    );
    const words: string[] = [];
    const budget = new Budget(Infinity, () => new Error("too slow"));
    const isWhole = splitter.split("a-b-c-d", true, budget, (word) => words.push(word) < 2);
    expect([isWhole, words.length]).toEqual([false, 2]);
  }
});

import { describe, expect, it } from "vitest";

import { Budget } from "../budget.js";
import { AddedTokenFinder, PhraseFinder, cutAtTokens, readAddedTokens, type AddedToken } from "./added-tokens.js";

const steps = (): Budget => new Budget(1000, () => new RangeError("no steps left"));
const NO_WORDS: ReadonlyMap<string, number> = new Map();

function token(content: string, options: Partial<AddedToken> = {}): AddedToken {
  return {
    id: content.length,
    content,
    special: false,
    normalized: false,
    singleWord: false,
    lstrip: false,
    rstrip: false,
    ...options,
  };
}

function cut(text: string, ...tokens: readonly AddedToken[]): unknown[] {
  const parts = cutAtTokens(text, new AddedTokenFinder(tokens).find(text, steps()));
  return [...parts].map((part) => ("id" in part ? [part.content] : part));
}

describe("readAddedTokens", () => {
  it("reads every option; an option is off unless it is true", () => {
    const entry = {
      id: 7,
      content: "<a>",
      special: true,
      normalized: true,
      single_word: true,
      lstrip: true,
      rstrip: true,
    };
    const off = { id: 8, content: "<b>", special: "true", single_word: 1, lstrip: "yes", rstrip: null };
    expect(readAddedTokens({ added_tokens: [entry, off] }, {}, NO_WORDS)).toEqual([
      { id: 7, content: "<a>", special: true, normalized: true, singleWord: true, lstrip: true, rstrip: true },
      { id: 8, content: "<b>", special: false, normalized: true, singleWord: false, lstrip: false, rstrip: false },
    ]);
  });

  it("by default, searches special tokens in the original text and others in the normalized text", () => {
    const normalized = (special: boolean): boolean =>
      readAddedTokens({ added_tokens: [{ id: 1, content: "x", special }] }, {}, NO_WORDS)[0]!.normalized;
    expect([normalized(true), normalized(false)]).toEqual([false, true]);
  });

  it("returns an empty list if there are no added tokens", () => {
    expect(readAddedTokens({}, {}, NO_WORDS)).toEqual([]);
    expect(readAddedTokens({ added_tokens: null }, { added_tokens_decoder: [] }, NO_WORDS)).toEqual([]);
  });

  it.each(["bos_token", "eos_token", "unk_token", "pad_token"])(
    "marks an added token as special if the configuration names it as %s",
    (name) => {
      const json = {
        added_tokens: [
          { id: 1, content: "<a>" },
          { id: 2, content: "<b>" },
        ],
      };
      const isSpecial = (config: object): boolean[] =>
        readAddedTokens(json, config as never, NO_WORDS).map(({ special }) => special);
      expect(isSpecial({ [name]: "<a>" })).toEqual([true, false]);
      expect(isSpecial({ [name]: { content: "<b>" } })).toEqual([false, true]);
      expect(isSpecial({ additional_special_tokens: ["<a>", { content: "<b>" }, null, ""] })).toEqual([true, true]);
    },
  );

  it("makes a vocabulary word special if it is the begin or end token, not the padding or unknown token", () => {
    const vocab = new Map([
      ["!", 5],
      ["", 6],
    ]);
    const of = (name: string, content = "!"): unknown =>
      readAddedTokens({}, { [name]: content }, vocab).map(({ id, content, special }) => [id, content, special]);
    for (const name of ["bos_token", "eos_token"]) expect(of(name)).toEqual([[5, "!", true]]);
    for (const name of ["unk_token", "pad_token"]) expect(of(name)).toEqual([]);
    expect(of("bos_token", "none")).toEqual([]);
    expect(of("bos_token", "")).toEqual([]);
  });

  it("refuses invalid lists and entries with invalid_model", () => {
    const refused = (message: string): unknown => expect.objectContaining({ code: "invalid_model", message });
    expect(() => readAddedTokens({ added_tokens: {} }, {}, NO_WORDS)).toThrow(
      refused("tokenizer.json: added_tokens is not a list"),
    );
    for (const id of [undefined, "1", 0.5, -1, Number.NaN]) {
      expect(() => readAddedTokens({ added_tokens: [{ id, content: "x" }] }, {}, NO_WORDS)).toThrow(
        refused("tokenizer.json: an added token has no content or no id"),
      );
    }
  });
});

describe("AddedTokenFinder", () => {
  it("finds the leftmost, then the longest token, and the first of two with the same text", () => {
    const finder = new AddedTokenFinder([token("ab"), token("abc"), token("b"), token(""), token("ab", { id: 99 })]);
    expect(finder.find("xabcabb", steps()).map(({ start, end, token: { id } }) => [start, end, id])).toEqual([
      [1, 4, 3],
      [4, 6, 2],
      [6, 7, 1],
    ]);
    expect(new AddedTokenFinder([]).find("abc", steps())).toEqual([]);
    expect(new AddedTokenFinder([token("")]).find("abc", steps())).toEqual([]);
  });

  it("searches for the phrase that the caller maps a token to", () => {
    const finder = new AddedTokenFinder([token("A")], ({ content }) => content.toLowerCase());
    expect(finder.find("Aa", steps()).map(({ start }) => start)).toEqual([1]);
  });

  it.each([
    ["word", 1],
    ["-word ", 1],
    ["sword", 0],
    ["words", 0],
    ["𝐀word", 0],
    ["word𝐀", 0],
    ["\uFFFFword", 1],
    ["😊word😊", 1],
    ["a\u0301word", 0],
  ])("finds a single_word token in %j %d times", (text, count) => {
    expect(new AddedTokenFinder([token("word", { singleWord: true })]).find(text, steps())).toHaveLength(count);
  });
});

describe("PhraseFinder", () => {
  it("finds all phrases, including overlapping ones, longest first at each position", () => {
    const finder = new PhraseFinder(["aa", "a", "aaa", "b"]);
    expect([...finder.findAll("aaab", steps())].map(({ start, phrase }) => `${start}${phrase}`)).toEqual([
      "0aaa",
      "0aa",
      "0a",
      "1aa",
      "1a",
      "2a",
      "3b",
    ]);
    expect(finder.phrases[0]).toBe("aaa");
    expect([...new PhraseFinder([]).findAll("a", steps())]).toEqual([]);
    expect([...finder.findAll("xyz", steps())]).toEqual([]);
  });

  it("treats regular expression syntax in phrases as literal text", () => {
    const odd = ["a.c", "(x)", "[y]", "{z}", "p|q", "u+", "v*", "w?", "^", "$", "\\d", "s/t"];
    expect(new PhraseFinder(odd).find(`abc-${odd.join("-")}`, steps()).map(({ phrase }) => phrase)).toEqual(odd);
  });
});

describe("cutAtTokens", () => {
  it("returns tokens, and the texts between them with their start positions", () => {
    expect(cut("ab<x>cd<x><x>", token("<x>"))).toEqual([
      { text: "ab", start: 0 },
      ["<x>"],
      { text: "cd", start: 5 },
      ["<x>"],
      ["<x>"],
    ]);
    expect(cut("<x>", token("<x>"))).toEqual([["<x>"]]);
    expect(cut("", token("<x>"))).toEqual([]);
  });

  it("includes adjacent white space in lstrip and rstrip tokens, up to the previous token", () => {
    const [left, right] = [token("<l>", { lstrip: true }), token("<r>", { rstrip: true })];
    expect(cut("a \n<l> b", left)).toEqual([{ text: "a", start: 0 }, ["<l>"], { text: " b", start: 6 }]);
    expect(cut("a <r> \n b", right)).toEqual([{ text: "a ", start: 0 }, ["<r>"], { text: "b", start: 8 }]);
    expect(cut("  <l>", left)).toEqual([["<l>"]]);
    expect(cut("<r>  ", right)).toEqual([["<r>"]]);
    expect(cut("<x> <l>", token("<x>"), left)).toEqual([["<x>"], ["<l>"]]);
    expect(cut("<r>  <l>", left, right)).toEqual([["<r>"], ["<l>"]]);
  });

  it("drops a token whose text the previous rstrip token has consumed", () => {
    const right = token("<r>", { rstrip: true });
    expect(cut("<r> \n x", right, token("\n"))).toEqual([["<r>"], { text: "x", start: 6 }]);
    expect(cut("<r>\nx", right, token("\nx"))).toEqual([["<r>"], ["\nx"]]);
  });
});

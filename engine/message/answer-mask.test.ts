import { describe, expect, it } from "vitest";

import { AnswerMask, AnswerVocabulary } from "./answer-mask.js";
import { compileGrammar, type AnswerFormat } from "../grammar/index.js";
import { LIMITS } from "../limits.js";
import { PLAIN, THINKING } from "./message-format.js";

const WORDS = [
  "<think>",
  "</think>",
  "<thi",
  "nk>",
  "</",
  "think>",
  "think>{",
  "think>[",
  "think>\n{",
  "think>\n[",
  ' </think> {"a"',
  "\n\n",
  " [",
  " {",
  '{"',
  "<think>why",
  "<think></think>{",
  "<think></think>[",
  "why</think>}",
];
const BYTES = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte));
const END = 256;
const OTHER = 257;
const TOKENS = [...BYTES, null, null, ...WORDS.map((word) => new Uint8Array(Buffer.from(word)))];
const vocabulary = new AnswerVocabulary(TOKENS, [END], THINKING);
const plainVocabulary = new AnswerVocabulary(TOKENS, [END], PLAIN);
const OBJECT: AnswerFormat = { type: "json_object" };
type Begin = "direct" | "opens" | "inside";

const idOf = (token: string): number => (token.length === 1 ? token.charCodeAt(0) : 258 + WORDS.indexOf(token));

function after(begin: Begin, format: AnswerFormat, ...tokens: string[]): AnswerMask {
  const grammar = new AnswerMask(
    compileGrammar(format),
    begin === "direct" ? plainVocabulary : vocabulary,
    begin === "inside",
  );
  for (const token of tokens) {
    expect(allows(grammar, idOf(token)), `${JSON.stringify(token)} of ${JSON.stringify(tokens)}`).toBe(true);
    grammar.accept(idOf(token));
  }
  return grammar;
}

function allows(grammar: AnswerMask, tokenId: number): boolean {
  return ((grammar.allowed()[tokenId >> 5]! >> (tokenId & 31)) & 1) === 1;
}

/** Returns the allowed next tokens, as text. */
function allowed(grammar: AnswerMask): string[] {
  const texts = [...vocabulary.trie.tokens.entries()].filter(([tokenId]) => allows(grammar, tokenId));
  return texts.map(([tokenId, bytes]) =>
    tokenId === END ? "END" : bytes === null ? "OTHER" : Buffer.from(bytes).toString("latin1"),
  );
}

describe("a model without reasoning", () => {
  it("answers from its first token", () => {
    expect(allowed(after("direct", OBJECT))).toEqual(["{", '{"']);
    expect(allowed(after("direct", OBJECT, "{", "}"))).toEqual(["END"]);
  });
});

describe("a model with optional reasoning", () => {
  it("begins with the opening tag or with the answer", () => {
    expect(allowed(after("opens", OBJECT))).toEqual([
      "<",
      "{",
      "<think>",
      "<thi",
      '{"',
      "<think>why",
      "<think></think>{",
    ]);
    expect(allowed(after("opens", OBJECT, "<thi"))).toEqual(["n", "nk>"]);
    expect(allowed(after("opens", OBJECT, '{"'))).toContain("<think>");
    expect(allowed(after("opens", OBJECT, "{", "}"))).toEqual(["END"]);
  });

  it("is in the reasoning after the tag, for any split of the tag into tokens", () => {
    for (const tokens of [["<think>"], ["<thi", "nk>"], ["<", ..."think>"], ["<think>why"]]) {
      const grammar = after("opens", OBJECT, ...tokens);
      expect(allows(grammar, OTHER)).toBe(true);
      expect(allows(grammar, idOf("["))).toBe(true);
    }
    expect(allowed(after("opens", OBJECT, "<think></think>{", "}"))).toEqual(["END"]);
  });

  it("allows an answer that begins like the tag", () => {
    const format: AnswerFormat = { type: "regex", regex: "<t?|<think>" };
    expect(allowed(after("opens", format))).toEqual(["<", "<think>", "<thi", "<think>why"]);
    expect(allowed(after("opens", format, "<"))).toEqual([
      "t",
      "END",
      "think>",
      "think>{",
      "think>[",
      "think>\n{",
      "think>\n[",
    ]);
    expect(allowed(after("opens", format, "<", "t"))).toEqual(["h", "END"]);
    // The complete tag opens the reasoning; after the reasoning it is text.
    expect(after("opens", format, "<think>").isFinished).toBe(false);
    expect(allowed(after("opens", format, "<think>", "</think>", "<"))).toEqual(["t", "END", "think>"]);
    expect(after("opens", format, "<think>", "</think>", "<think>").isFinished).toBe(true);
  });

  it("allows an answer to begin with white space if the grammar does", () => {
    expect(allowed(after("opens", { type: "regex", regex: " a|b" }, " "))).toEqual(["a"]);
    expect(after("opens", { type: "regex", regex: " a|b" }, " ", "a").isFinished).toBe(true);
  });
});

describe("inside the reasoning", () => {
  it("allows all tokens except end tokens and those that continue after the closing tag with an invalid answer", () => {
    const all = [...vocabulary.trie.tokens.keys()].length;
    const grammar = after("inside", OBJECT, "}", "<think>");
    expect(allows(grammar, END)).toBe(false);
    const refused = ["END", "<think></think>[", "why</think>}"];
    expect(allowed(grammar)).toHaveLength(all - refused.length);
    for (const token of refused.slice(1)) expect(allows(grammar, idOf(token)), token).toBe(false);
    const closing = after("inside", OBJECT, "why", "</");
    for (const token of ["think>", "think>{", "think>\n{", "a", "</think>"])
      expect(allows(closing, idOf(token)), token).toBe(true);
    for (const token of ["think>[", "think>\n["]) expect(allows(closing, idOf(token)), token).toBe(false);
  });

  it("treats an incomplete closing tag followed by other text as reasoning", () => {
    const grammar = after("inside", OBJECT, "</", "a", "think>[", "<", "</", "think>");
    expect(allowed(grammar)).toEqual(["\t", "\n", "\r", " ", "{", "\n\n", " {", '{"']);
  });

  it("is never finished", () => {
    expect(after("inside", OBJECT, "{", "}").isFinished).toBe(false);
  });
});

describe("between reasoning and answer", () => {
  it("limits white space, and allows the first bytes of the answer after it in the same token", () => {
    const blanks = Array.from({ length: LIMITS.maxBlankBeforeAnswer }, () => "\n");
    expect(allowed(after("inside", OBJECT, "</think>", ...blanks.slice(1)))).toEqual([
      "\t",
      "\n",
      "\r",
      " ",
      "{",
      " {",
      '{"',
    ]);
    expect(allowed(after("inside", OBJECT, "</think>", ...blanks))).toEqual(["{", '{"']);
    expect(allowed(after("inside", OBJECT, "</think>", "\n\n", " {", "}"))).toEqual(["END"]);
    expect(allowed(after("inside", OBJECT, ' </think> {"a"'))).toEqual(["\n", " ", ":"]);
  });

  it("does not count white space as part of the answer, even if the grammar begins with it", () => {
    const grammar = after("inside", { type: "regex", regex: " *a" }, "</think>", " ");
    expect(allowed(grammar)).toEqual(["\t", "\n", "\r", " ", "a", "\n\n"]);
  });
});

it("throws if the vocabulary lacks the bytes that an answer needs", () => {
  const poor = new AnswerVocabulary([Uint8Array.of(0x61), null], [1], PLAIN);
  const grammar = new AnswerMask(compileGrammar({ type: "regex", regex: "ab" }), poor, false);
  expect([...grammar.allowed()]).toEqual([1]);
  grammar.accept(0);
  expect(() => grammar.allowed()).toThrow(
    expect.objectContaining({
      code: "internal_error",
      message: expect.stringContaining("vocabulary lacks bytes") as string,
    }),
  );
});

/** Tests the definitions for the library; tokenizer.test.ts and assets.slow.test.ts (real tokenizers) test their effect. */

import { describe, expect, it } from "vitest";
import { isByteLevel, prepareNormalizer, preparePreTokenizer } from "./pre-tokenization.js";

const isolated = (regex: string): object => ({
  type: "Split",
  pattern: { Regex: regex },
  behavior: "Isolated",
  invert: false,
});
const metaspace = (replacement: string, scheme: string): object => ({
  type: "Metaspace",
  replacement,
  prepend_scheme: scheme,
});
const apart = (given: object, replacement = "▁"): object => ({
  type: "Sequence",
  pretokenizers: [given, isolated(`${replacement}[^${replacement}]*`)],
});
const split = { type: "Split", pattern: { String: " " } };

describe("preparePreTokenizer", () => {
  it.each<[unknown, object | null]>([
    [null, null],
    [undefined, null],
    [{ type: "Sequence" }, { type: "Sequence", pretokenizers: [] }],
    [
      {
        type: "Sequence",
        pretokenizers: [null, { type: "Digits", individual_digits: true }, { type: "ByteLevel", use_regex: false }],
      },
      { type: "Sequence", pretokenizers: [isolated("\\p{N}"), { type: "ByteLevel", use_regex: false }] },
    ],
    [{ type: "Digits" }, isolated("\\p{N}+")],
    [
      { type: "ByteLevel", use_regex: false, add_prefix_space: true },
      { type: "ByteLevel", use_regex: false, add_prefix_space: true },
    ],
    [
      { type: "ByteLevel", add_prefix_space: true },
      { type: "ByteLevel", add_prefix_space: true },
    ],
    [
      { ...split, behavior: "Isolated" },
      { ...split, behavior: "Isolated" },
    ],
    [
      { ...split, behavior: "Removed", invert: true },
      { ...split, behavior: "Removed", invert: true },
    ],
    [
      { ...split, behavior: "MergedWithNext", invert: true },
      { ...split, behavior: "MergedWithNext", invert: true },
    ],
    [{ type: "Punctuation" }, isolated("[\\p{P}$+<=>^`|~]")],
    [{ type: "Metaspace" }, apart(metaspace("▁", "always"))],
    [{ type: "Metaspace", split: false, add_prefix_space: true }, metaspace("▁", "always")],
    [{ type: "Metaspace", split: false, add_prefix_space: false }, metaspace("▁", "never")],
    [
      { type: "Metaspace", replacement: "_", prepend_scheme: "first", add_prefix_space: false },
      apart(metaspace("_", "first"), "_"),
    ],
  ])("prepares %j", (definition, expected) => {
    expect(preparePreTokenizer(definition)).toEqual(expected);
  });

  it("replaces ByteLevel by GPT-2's pattern with Unicode white space", () => {
    const prepared = preparePreTokenizer({ type: "ByteLevel" })!;
    const [words, bytes] = prepared["pretokenizers"] as [{ pattern: { Regex: string } }, object];
    expect(bytes).toEqual({ type: "ByteLevel", add_prefix_space: false, use_regex: false });
    expect(words).toEqual(isolated(words.pattern.Regex));
    const cut = "I'm we've  10 a\u00e9!?\n\n x".match(new RegExp(words.pattern.Regex, "gu"));
    expect(cut).toEqual(["I", "'m", " we", "'ve", " ", " 10", " a\u00e9", "!?", "\n\n", " x"]);
  });

  it.each(["▁", "]", "^", "\\", "-", ".", "a", "😀"])(
    "splits words at the Metaspace %s, whatever it means in a pattern",
    (space) => {
      const prepared = preparePreTokenizer({ type: "Metaspace", replacement: space })!;
      const [, words] = prepared["pretokenizers"] as [object, { pattern: { Regex: string } }];
      const pattern = new RegExp(words.pattern.Regex, "gu");
      expect(`${space}x${space}yz`.match(pattern)).toEqual([`${space}x`, `${space}yz`]);
    },
  );

  it("refuses a definition that is not an object", () => {
    const refused = expect.objectContaining({
      code: "invalid_model",
      message: "tokenizer.json: the pre_tokenizer is not an object",
    });
    expect(() => preparePreTokenizer("ByteLevel")).toThrow(refused);
  });

  it.each<[unknown, string]>([
    [{ type: "UnicodeScripts" }, "tokenizer.json has the pre-tokenizer UnicodeScripts, which is not supported"],
    [{}, "tokenizer.json has the pre-tokenizer without a type, which is not supported"],
    [{ type: 5 }, "tokenizer.json has the pre-tokenizer of type 5, which is not supported"],
    [{ type: "a\n" }, 'tokenizer.json has the pre-tokenizer of type "a\\n", which is not supported'],
    [
      { type: "x".repeat(1000) },
      `tokenizer.json has the pre-tokenizer of type "${"x".repeat(80)}...", which is not supported`,
    ],
    [{ type: "Split" }, "tokenizer.json has the pre-tokenizer Split with no behavior, which is not supported"],
    [
      { type: "Split", behavior: ["x"] },
      "tokenizer.json has the pre-tokenizer Split with behavior an array of 1, which is not supported",
    ],
    ...["", "ab", 5, null].map((replacement): [object, string] => [
      { type: "Metaspace", replacement },
      "tokenizer.json: a Metaspace must replace by one character. Given: ",
    ]),
    [
      { ...split, behavior: "Merged" },
      "tokenizer.json has the pre-tokenizer Split with behavior Merged, which is not supported",
    ],
    [
      { type: "Punctuation", behavior: 1 },
      "tokenizer.json has the pre-tokenizer Punctuation with behavior 1, which is not supported",
    ],
  ])("refuses %j", (definition, message) => {
    expect(() => preparePreTokenizer(definition)).toThrow(message);
  });
});

describe("prepareNormalizer", () => {
  it.each<[unknown, object | null]>([
    [null, null],
    [undefined, null],
    [{ type: "Sequence" }, { type: "Sequence", normalizers: [] }],
    [
      { type: "Sequence", normalizers: [null, { type: "NFC" }] },
      { type: "Sequence", normalizers: [{ type: "NFC" }] },
    ],
    ...["NFC", "NFD", "NFKC", "NFKD", "Prepend", "Replace", "Lowercase", "Strip", "StripAccents", "Nmt"].map(
      (type): [object, object] => [{ type }, { type }],
    ),
  ])("prepares %j", (definition, expected) => {
    expect(prepareNormalizer(definition)).toEqual(expected);
  });

  it("refuses other normalizers by name", () => {
    const none = expect.objectContaining({
      code: "invalid_model",
      message: "tokenizer.json: the normalizer is not an object",
    });
    expect(() => prepareNormalizer("NFC")).toThrow(none);
    expect(() => prepareNormalizer({ type: "BertNormalizer" })).toThrow(
      "tokenizer.json has the normalizer BertNormalizer, which is not supported",
    );
  });
});

describe("isByteLevel", () => {
  it("finds a ByteLevel step at any depth", () => {
    const inner = { type: "Sequence", pretokenizers: [{ type: "Split" }, { type: "ByteLevel" }] };
    expect(
      [null, { type: "Split" }, { type: "Sequence", pretokenizers: [{ type: "Split" }] }].map(isByteLevel),
    ).toEqual([false, false, false]);
    expect([{ type: "ByteLevel" }, inner, { type: "Sequence", pretokenizers: [inner] }].map(isByteLevel)).toEqual([
      true,
      true,
      true,
    ]);
  });
});

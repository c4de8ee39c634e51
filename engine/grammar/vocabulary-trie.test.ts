/** Masks of vocabularies with thousands of tokens, for which what depends on a frame only is kept. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { matcherOf, schema, tokensOf, utf8 } from "../../spec-tests/fixtures/grammars.js";
import { numCases } from "../../spec-tests/fixtures/property-size.js";
import { type AnswerFormat, Grammar, GrammarCache, VocabularyTrie } from "./index.js";

const PIECES = [
  "a",
  "b",
  '"',
  '":',
  " ",
  "\n",
  ", ",
  "{",
  "}",
  "[",
  "]",
  "1",
  "2.5",
  "-",
  "true",
  "nul",
  "l",
  "é",
  "\\",
  "x-",
  "_",
];

/** A token for each byte, and for each row of up to three pieces. */
const TOKENS: readonly Uint8Array[] = [
  ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
  ...PIECES.flatMap((first) =>
    PIECES.flatMap((second) => [first + second, ...PIECES.map((third) => first + second + third)]),
  ).map((text) => utf8.encode(text)),
];
const END = TOKENS.length;
const TRIE = VocabularyTrie.build([...TOKENS, null]);

const FORMATS: readonly AnswerFormat[] = [
  { type: "json_object" },
  schema({ type: "object", properties: { ab: { type: "string" }, a: { type: "integer" }, ba: { type: "object" } } }),
  schema({
    type: "object",
    properties: { a: { type: "string", pattern: "^[ab]+$" }, b: { enum: ["ab", "b", 1] } },
    required: ["a"],
    additionalProperties: { type: ["number", "null"] },
  }),
  schema({
    type: "array",
    items: { anyOf: [{ type: "string", maxLength: 3 }, { type: "boolean" }, { type: "array" }] },
  }),
  schema({ type: "array", items: { type: ["string", "integer"] }, uniqueItems: true }),
  schema({ type: "object", patternProperties: { "^a": { type: "number" } }, additionalProperties: false }),
  { type: "regex", regex: "([ab]{1,4} ?)*é?" },
  { type: "structural_tag", triggers: ["{a"], structures: [{ begin: "{a", schema: { type: "string" }, end: "}" }] },
];

describe("masks of a large vocabulary", () => {
  it("allow exactly the tokens that can be read, whatever was computed before", { timeout: 120_000 }, () => {
    const cache = new GrammarCache(1e8);
    const grammars = FORMATS.map((format) => Grammar.fromData(cache.get(format).data));
    const property = fc.property(fc.constantFrom(...grammars), fc.infiniteStream(fc.nat()), (grammar, choices) => {
      const matcher = matcherOf(grammar, TRIE, [END]);
      for (let step = 0; step < 25 && !matcher.isFinished; step++) {
        const allowed = tokensOf(matcher.allowed()).filter((tokenId) => tokenId !== END);
        const expected = TOKENS.flatMap((bytes, tokenId) => (matcher.allowsBytes(bytes) ? tokenId : []));
        if (allowed.join() !== expected.join()) expect(allowed).toEqual(expected);
        if (allowed.length === 0) break;
        // Long tokens pass through several frames.
        const long = allowed.filter((tokenId) => TOKENS[tokenId]!.length > 1);
        const from = choices.next().value! % 3 > 0 && long.length > 0 ? long : allowed;
        matcher.acceptToken(from[choices.next().value! % from.length]!);
      }
    });
    fc.assert(property, { numRuns: numCases(150) });
  });

  it("refuse bytes that are not UTF-8 inside strings, unless they can become it", () => {
    const tokens: readonly number[][] = [
      [0xc0, 0x80],
      [0xc1, 0xbf],
      [0xe0, 0x80, 0x80],
      [0xe0, 0x9f, 0xbf],
      [0xed, 0xa0, 0x80],
      [0xf0, 0x80, 0x80, 0x80],
      [0xf0, 0x8f, 0xbf, 0xbf],
      [0xf4, 0x90, 0x80, 0x80],
      [0xf5, 0x80, 0x80, 0x80],
      [0x61, 0xff],
      [0x80],
      // From here on, tokens are allowed.
      [0xe0, 0xa0, 0x80],
      [0xed, 0x9f, 0xbf],
      [0xef, 0xbf, 0xbf],
      [0xf0, 0x90, 0x80, 0x80],
      [0xf4, 0x8f, 0xbf, 0xbf],
      [0xc2, 0x80],
      [0x61, 0xe4],
    ];
    const trie = VocabularyTrie.build(tokens.map((bytes) => Uint8Array.from(bytes)));
    for (const keywords of [{}, { maxLength: 9 }, { pattern: "^[^x]*$" }]) {
      const matcher = matcherOf(schema({ type: "string", ...keywords }), trie, []);
      expect(matcher.acceptBytes(utf8.encode('"'))).toBe(true);
      expect(tokensOf(matcher.allowed())).toEqual([11, 12, 13, 14, 15, 16, 17]);
    }
  });
});

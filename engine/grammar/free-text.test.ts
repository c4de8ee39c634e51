import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { matcherOf, schema, tokensOf, utf8 } from "../../spec-tests/fixtures/grammars.js";
import { numCases } from "../../spec-tests/fixtures/property-size.js";
import { EVERY_CLASS, NOT_FREE, classBit, freeText } from "./free-text.js";
import { VocabularyTrie } from "./index.js";
import { type Language, Languages } from "./language.js";
import { boundedPattern } from "./pattern.js";
import { BETWEEN } from "./string-bytes.js";

const PATTERNS = [
  "^[a-z]+$",
  "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
  "^[a-z]{1,63}$",
  "^[^\\s/]*$",
  "foo",
  "^[A-Z][a-z]*( [A-Z][a-z]*)*$",
  "^\\p{L}+$",
  "^[a-f0-9]{8}-[a-f0-9]{4}$",
  "^.{3,9}$",
  "^[^@]+@[^@]+\\.[^@]+$",
  "^[一-龥a-zA-Z]*é?$",
  "^([a-z]{1,5}[0-9]){2}$",
];

const languages = new Languages(null);
const compiled = new Map<string, Language>();

/** Compiles a pattern once: the number of states is limited for all together. */
function ofPattern(pattern: string): Language {
  let language = compiled.get(pattern);
  if (language === undefined)
    compiled.set(pattern, (language = languages.settle(boundedPattern(languages, pattern, false), 20_000)));
  return language;
}

const codePoint = fc.oneof(
  fc.integer({ min: 0x20, max: 0x7e }),
  fc.constantFrom(0xa0, 0xe9, 0x4e2d, 0x2028, 0xfeff, 0x3b1, 0x1f600, 0x80, 0xffff),
  fc.integer({ min: 0x80, max: 0x10ffff }).filter((at) => at < 0xd800 || at > 0xdfff),
);

describe("free text", () => {
  it("has classes of all characters but control characters, the quote, the backslash and surrogates", () => {
    for (let at = 0; at <= 0x10ffff; at++) {
      const isNever = at < 0x20 || at === 0x22 || at === 0x5c || at === 0x7f || (at >= 0xd800 && at <= 0xdfff);
      const bit = classBit(at);
      if (isNever !== (bit === NOT_FREE) || (bit !== NOT_FREE && (bit & EVERY_CLASS) === 0))
        expect.fail(`U+${at.toString(16)} has ${bit}`);
    }
  });

  it("can follow whatever it is", () => {
    let numFree = 0;
    const property = fc.property(
      fc.constantFrom(...PATTERNS),
      fc.array(codePoint, { maxLength: 4 }),
      fc.array(codePoint, { minLength: 1, maxLength: 20 }),
      (pattern, before, after) => {
        let state: Language | null = ofPattern(pattern);
        for (const at of before) state = languages.next(state, at) ?? state;
        const { classes, maxCodePoints } = freeText(languages, { language: state, part: BETWEEN });
        for (const at of after.filter((one) => (classBit(one) & classes) !== 0).slice(0, maxCodePoints)) {
          state = languages.next(state, at);
          numFree++;
          if (state === null) expect.fail(JSON.stringify({ pattern, before, after, classes, maxCodePoints }));
        }
      },
    );
    fc.assert(property, { numRuns: numCases(4000) });
    expect(numFree).toBeGreaterThan(0);
  });

  it.each([
    ["^[a-z]+$", "az", Infinity],
    ["^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "az09", Infinity],
    ["^[a-z]{9}$", "az", 9],
    ["^[^@]+@b$", "aZ0 -_./:,+'(#!é中\u00a0α", Infinity],
    ["^.{3,9}$", "aZ0 -_./:,@+'(#!é中α", 9],
    ["^[0-9]+$", "", 0],
  ])("is found in %s", (pattern, characters, maxCodePoints) => {
    const found = freeText(languages, { language: ofPattern(pattern), part: BETWEEN });
    let classes = 0;
    for (const character of characters) classes |= classBit(character.codePointAt(0)!);
    expect(found).toMatchObject({ maxCodePoints });
    expect(found.classes & classes).toBe(classes);
    if (characters === "") expect(found.classes).toBe(0);
  });

  it("is not found where it could lead to names and items that are taken", () => {
    const tokens = [
      ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
      utf8.encode("aa"),
      utf8.encode("ab"),
    ];
    const trie = VocabularyTrie.build([...tokens, null]);
    const few = { type: "array", items: { type: "string", pattern: "^a{1,2}$" }, uniqueItems: true };
    const many = { type: "array", items: { type: "string", pattern: "^a+$" }, uniqueItems: true };
    const letters = { type: "array", items: { type: "string", pattern: "^[a-z]$" }, uniqueItems: true };
    const names = { type: "object", propertyNames: { pattern: "^a{1,2}$" }, additionalProperties: { type: "null" } };
    for (const [value, text, allowed] of [
      [few, '["a","', ["a", "aa"]],
      [few, '["aa","', ["a"]],
      [many, '["a","a","', []],
      [many, '["aa","', ["a", "aa"]],
      [names, '{"aa":null,"', ["a"]],
      [letters, '["b","', [..."acdefghijklmnopqrstuvwxyz"]],
      [names, '{"a":null,"', ["a", "aa"]],
    ] as const) {
      const matcher = matcherOf(schema(value), trie, [tokens.length]);
      const isPossible = matcher.acceptBytes(utf8.encode(text));
      expect(isPossible, text).toBe(allowed.length > 0);
      if (!isPossible) continue;
      const texts = tokensOf(matcher.allowed()).map((tokenId) => Buffer.from(tokens[tokenId]!).toString());
      expect(texts, text).toEqual(allowed);
    }
  });

  it("makes the same masks as reading each token", () => {
    const words = [
      "abc",
      "Ab",
      "a-b",
      "é",
      "中文",
      "a b",
      "0f0f",
      "x".repeat(40),
      'a"',
      "\u00a0",
      "é\\",
      "a@b.c",
      "zz9",
    ];
    const tokens = [
      ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
      ...words.map((word) => utf8.encode(word)),
    ];
    const trie = VocabularyTrie.build([...tokens, null]);
    const formats = [
      ...PATTERNS.map((pattern) => ({ type: "string", pattern })),
      { type: "string", maxLength: 5 },
      { type: "string", minLength: 2, maxLength: 200, pattern: "^[a-z]" },
      { propertyNames: { pattern: "^[a-z]{2,}$" }, type: "object" },
      { type: "array", items: { type: "string", pattern: "^[a-z]+$" }, uniqueItems: true },
      { anyOf: PATTERNS.slice(0, 3).map((pattern) => ({ type: "string", pattern })) },
    ];
    const property = fc.property(fc.constantFrom(...formats), fc.infiniteStream(fc.nat()), (format, choices) => {
      const matcher = matcherOf(schema(format), trie, [tokens.length]);
      for (let step = 0; step < 12 && !matcher.isFinished; step++) {
        const allowed = tokensOf(matcher.allowed());
        expect(allowed.filter((tokenId) => tokenId < tokens.length)).toEqual(
          tokens.flatMap((bytes, tokenId) => (matcher.allowsBytes(bytes) ? tokenId : [])),
        );
        matcher.acceptToken(allowed[choices.next().value! % allowed.length]!);
      }
    });
    fc.assert(property, { numRuns: numCases(400) });
  });
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { accepts, check, failure, matcherOf, schema, tokensOf, utf8 } from "../../spec-tests/fixtures/grammars.js";
import { numCases } from "../../spec-tests/fixtures/property-size.js";
import { VocabularyTrie, compileGrammar } from "./index.js";

describe("host names", () => {
  const format = "hostname";
  const host = { type: "string", format };
  const isLabel = (text: string): boolean =>
    /^[a-z\d](?:[a-z\d-]*[a-z\d])?$/i.test(text) && text.length <= 63 && !/^xn--/i.test(text);
  const isHost = (text: string): boolean => text.length <= 253 && text.split(".").every(isLabel);

  it("consist of labels of letters, digits and hyphens that do not begin with xn--", () => {
    const grammar = compileGrammar(schema(host));
    let texts = [""];
    for (let length = 1; length <= 6; length++) {
      texts = texts.flatMap((text) => ["x", "N", "-", "1", "."].map((letter) => text + letter));
      for (const text of texts) expect(accepts(grammar, `"${text}"`), text).toBe(isHost(text));
    }
    const label = "a".repeat(63);
    const most = `${label}.${label}.${label}.${"a".repeat(61)}`;
    check(schema(host), [`"${label}.com"`, `"${most}"`], [`"${label}a.com"`, `"${most}a"`, '"a_b"', '"é"']);
    for (const [text, isLegal] of [
      ["xn--a@x-n.org", true],
      ["a@xn--bcher-kva.example", false],
      ["a@www.XN--bcher-kva", false],
      [`a@${label}`, true],
      [`a@${label}a`, false],
    ] as const)
      expect(accepts(schema({ type: "string", format: "email" }), `"${text}"`), text).toBe(isLegal);
    check(schema({ type: "string", format: "uri" }), ['"http://xn--nw2a.xn--j6w193g/"'], []);
  });

  it("exclude xn-- labels in combination with other keywords too", () => {
    check(schema({ enum: ["xn--bcher-kva", "a"], format }), ['"a"'], ['"xn--bcher-kva"']);
    expect(failure(schema({ const: "xn--bcher-kva", format })).code).toBe("invalid_schema");
    check(schema({ type: "object", propertyNames: { format } }), ['{"www":1}'], ['{"xn--bcher-kva":1}']);
    check(
      schema({ type: "string", oneOf: [{ format }, { pattern: "^xn--[a-z]{3,5}$" }] }),
      ['"xn--abc"', '"abc"'],
      ['"xn--ab"'],
    );
    check(schema({ ...host, maxLength: 5 }), ['"a.b.c"', '"xn-ab"'], ['"xn--a"', '"abcdef"']);
  });

  it("never reach a dead end, and masks agree with reading each token", () => {
    const words = ["ab", "xn", "n-", "-a", "--", "c.a", 'e"', '."', "\\u0001", "é"];
    const tokens = [
      ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
      ...words.map((word) => utf8.encode(word)),
    ];
    const trie = VocabularyTrie.build([...tokens, null]);
    const holding = (maxLength: number): object => ({
      type: "object",
      properties: { host: { ...host, maxLength } },
      required: ["host"],
      additionalProperties: false,
    });
    const lengths = fc.array(fc.integer({ min: 3, max: 80 }), { minLength: 1, maxLength: 2 });
    const property = fc.property(lengths, fc.infiniteStream(fc.nat()), (maxLengths, choices) => {
      const matcher = matcherOf(schema({ anyOf: maxLengths.map(holding) }), trie, [tokens.length]);
      expect(matcher.acceptBytes(utf8.encode('{"host":"xn-'))).toBe(Math.max(...maxLengths) >= 4);
      while (Math.max(...maxLengths) >= 4) {
        const allowed = tokensOf(matcher.allowed());
        expect(allowed).toEqual(
          matcher.isFinished
            ? [tokens.length]
            : tokens.flatMap((bytes, tokenId) => (matcher.allowsBytes(bytes) ? tokenId : [])),
        );
        if (matcher.isFinished) return;
        matcher.acceptToken(allowed[choices.next().value! % allowed.length]!);
      }
    });
    fc.assert(property, { numRuns: numCases(40) });
  });
});

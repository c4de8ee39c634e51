import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Format, failure, matcherOf, schema, tokensOf, utf8 } from "../../spec-tests/fixtures/grammars.js";
import { numCases } from "../../spec-tests/fixtures/property-size.js";
import { LIMITS } from "../limits.js";
import { Grammar, GrammarCache, GrammarMatcher, VocabularyTrie, compileGrammar } from "./index.js";

describe("forced bytes", () => {
  const forced = (format: Format, before: string, maxBytes = 100): string => {
    const matcher = matcherOf(format);
    expect(matcher.acceptBytes(utf8.encode(before))).toBe(true);
    return Buffer.from(matcher.forcedBytes(maxBytes)).toString();
  };
  const choice = (...choices: string[]): Format => ({ type: "choice", choices });

  it("are the bytes that every complete answer has next", () => {
    expect(forced(choice("abcd", "abef"), "")).toBe("ab");
    expect(forced(choice("abcd", "abef"), "abc")).toBe("d");
    expect(forced(choice("abcd", "abef"), "abcd")).toBe("");
    expect(forced(choice("\u00ff\u00fe", "\u00ff\u0000"), "")).toBe("\u00ff");
    expect(forced(choice("\u0000a", "\u0000b"), "")).toBe("\u0000");
    expect(forced({ type: "regex", regex: "a(bc)?" }, "")).toBe("a");
    expect(forced(schema({ const: true }), "t")).toBe("rue");
  });

  it("are as many as asked for at most", () => {
    expect(forced(choice("abcd"), "", 3)).toBe("abc");
    expect(forced(choice("abcd"), "", 0)).toBe("");
  });
});

describe("matchers", () => {
  /** Tokens that span several JSON tokens, tokens that are parts of characters, and tokens without text. */
  const WORDS = ['{"', 'a":', "1", "}", "}}", '"', "é", "\u{1f600}"].map((word) => utf8.encode(word));
  const tokens = [...WORDS, Uint8Array.of(0xf0, 0x9f), Uint8Array.of(0x98, 0x80), null, new Uint8Array(0)];
  const trie = VocabularyTrie.build(tokens);
  const end = 10;

  it("allow tokens that span several JSON tokens or are parts of characters, but no token without text", () => {
    const format = schema({
      type: "object",
      properties: { a: { type: "integer", maximum: 9, minimum: 1 } },
      required: ["a"],
      additionalProperties: false,
    });
    const matcher = matcherOf(format, trie, [end]);
    expect(tokensOf(matcher.allowed())).toEqual([0]);
    matcher.acceptToken(0);
    expect(tokensOf(matcher.allowed())).toEqual([1]);
    matcher.acceptToken(1);
    expect(tokensOf(matcher.allowed())).toEqual([2]);
    matcher.acceptToken(2);
    expect(matcher.isComplete).toBe(false);
    expect(tokensOf(matcher.allowed())).toEqual([3]);
    matcher.acceptToken(3);
    expect(matcher.isFinished).toBe(true);
    expect(tokensOf(matcher.allowed())).toEqual([end]);
    matcher.acceptToken(end);
    expect(tokensOf(matcher.allowed())).toEqual([end]);

    const smile = matcherOf(schema({ const: "\u{1f600}" }), trie, [end]);
    smile.acceptToken(5);
    expect(tokensOf(smile.allowed())).toEqual([7, 8]);
    smile.acceptToken(8);
    expect(tokensOf(smile.allowed())).toEqual([9]);
  });

  it("compare names within a token, and with the name that the token completes", () => {
    const spelled = [
      '{"',
      "x",
      "y",
      'a":1,"a":2}',
      'a":1,"b":2}',
      'a":1,"xa":2}',
      'a":{"a":1},"c":2}',
      'a":1,"x\\n":2}',
    ];
    const names = VocabularyTrie.build([...spelled.map((word) => utf8.encode(word)), null]);
    const allowedAfter = (text: string): number[] => {
      const matcher = matcherOf({ type: "json_object" }, names, [spelled.length]);
      expect(matcher.acceptBytes(utf8.encode(text))).toBe(true);
      return tokensOf(matcher.allowed());
    };
    // All calls share one grammar, so the masks of one name must not be cached for another.
    expect(allowedAfter('{"')).toEqual([0, 1, 2, 4, 5, 6, 7]);
    expect(allowedAfter('{"x')).toEqual([0, 1, 2, 3, 4, 6, 7]);
    expect(allowedAfter('{"y')).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(allowedAfter('{"x')).toEqual([0, 1, 2, 3, 4, 6, 7]);
  });

  it("allow the end token and further text if a complete answer may continue", () => {
    const matcher = matcherOf(schema({ type: "integer" }), trie, [end]);
    matcher.acceptToken(2);
    expect(matcher.isComplete).toBe(true);
    expect(matcher.isFinished).toBe(false);
    expect(tokensOf(matcher.allowed())).toEqual([2, end]);
  });

  it("never allow an end token as text", () => {
    const matcher = matcherOf({ type: "regex", regex: "11?" }, trie, [2]);
    expect(tokensOf(matcher.allowed())).toEqual([]);
  });

  it("return false for a token or bytes that are not allowed, and do not change", () => {
    const matcher = matcherOf(schema({ type: "integer" }), trie, [end]);
    expect(matcher.acceptBytes(utf8.encode("1}"))).toBe(false);
    expect(matcher.isComplete).toBe(false);
    expect(matcher.acceptToken(3)).toBe(false);
    expect(matcher.acceptToken(end)).toBe(false);
    expect(matcher.acceptBytes(utf8.encode("1"))).toBe(true);
  });

  it("still work after more states than the tables keep", () => {
    const depth = LIMITS.maxGrammarConfigurations + 1000;
    const deep = '[{"a":'.repeat(depth / 2) + "1" + "}]".repeat(depth / 2);
    const matcher = matcherOf(schema(true));
    expect(matcher.acceptBytes(utf8.encode(deep.slice(0, -1)))).toBe(true);
    expect(matcher.acceptBytes(utf8.encode("}"))).toBe(false);
    expect(matcher.acceptBytes(utf8.encode("]"))).toBe(true);
    expect(matcher.isComplete).toBe(true);
  });

  it("are independent of each other on one grammar, which is compiled once", () => {
    const format = schema({ type: "array", items: { type: "boolean" } });
    expect(compileGrammar(format)).toBe(compileGrammar(structuredClone(format)));
    const [first, second] = [matcherOf(format), matcherOf(format)];
    first.acceptBytes(utf8.encode("[true"));
    expect(tokensOf(second.allowed())).toEqual([0x5b]);
  });
});

describe("masks that are computed in slices", () => {
  const WORDS = [
    '{"',
    'a":',
    "ab",
    '":',
    '",',
    "aa",
    "12",
    "true",
    "[[",
    "]]",
    "}}",
    '"}',
    "é",
    "\\u0001",
    "\\n",
    "  ",
  ];
  const tokens = [
    ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
    ...WORDS.map((word) => utf8.encode(word)),
    null,
  ];
  const trie = VocabularyTrie.build(tokens);
  const end = tokens.length - 1;
  const leaves = fc.constantFrom<unknown>(
    { type: "integer", minimum: -3, maximum: 120 },
    { type: "string", maxLength: 3 },
    { type: "string", pattern: "^(a|é|[0-9]b)+$" },
    { enum: [1, 12, 120, "a", null] },
    { enum: Array.from({ length: 30 }, (_, index) => index * 1.5 - 7) },
    true,
  );
  const formats = fc.oneof(
    fc.constantFrom<Format>(
      { type: "json_object" },
      { type: "regex", regex: "(ab|é|[0-9]{2})+a?" },
      { type: "regex", regex: "[^]*" },
    ),
    leaves.map(schema),
    fc
      .array(leaves, { minLength: 1, maxLength: 3 })
      .map((items) => schema({ type: "array", prefixItems: items, items: true })),
    fc.tuple(leaves, leaves).map(([a, aa]) =>
      schema({
        type: "object",
        properties: { a, aa, ab: true },
        dependentRequired: { a: ["aa"] },
        patternProperties: { "^b": aa },
      }),
    ),
  );
  const fresh = (format: Format): Grammar => Grammar.fromData(new GrammarCache(1 << 20).get(format).data);

  it("equal masks computed at once, and answers in the same state share the work", () => {
    fc.assert(
      fc.property(formats, fc.array(fc.nat(), { minLength: 1, maxLength: 12 }), fc.nat(40), (format, picks, size) => {
        const whole = new GrammarMatcher(fresh(format), trie, [end]);
        const shared = fresh(format);
        const sliced = [new GrammarMatcher(shared, trie, [end]), new GrammarMatcher(shared, trie, [end])] as const;
        for (const pick of picks) {
          for (let turn = 0, isReady = false; !isReady; turn++) {
            let numLeft = size;
            isReady = sliced[turn % 2]!.prepare(() => numLeft-- === 0);
            expect(turn).toBeLessThan(100_000);
            if (size === 0) break;
          }
          const allowed = tokensOf(whole.allowed());
          for (const matcher of sliced) expect(tokensOf(matcher.allowed())).toEqual(allowed);
          for (const matcher of sliced) expect(matcher.prepare(() => true)).toBe(true);
          const isFinished = allowed.every((tokenId) => tokenId === end);
          expect(sliced[0].isFinished).toBe(isFinished && sliced[0].isComplete);
          const tokenId = allowed[pick % allowed.length];
          if (tokenId === undefined || tokenId === end) break;
          for (const matcher of [whole, ...sliced]) expect(matcher.acceptToken(tokenId)).toBe(true);
        }
      }),
      { numRuns: numCases(150) },
    );
  });

  it("are ready without work once another answer has computed them", () => {
    const grammar = fresh(schema({ type: "object" }));
    const [first, second] = [new GrammarMatcher(grammar, trie, [end]), new GrammarMatcher(grammar, trie, [end])];
    expect(first.prepare(() => true)).toBe(false);
    first.allowed();
    expect(second.prepare(() => true)).toBe(true);
  });
});

describe("issues of other engines", () => {
  it("a schema that cannot be enforced is refused, never ignored (llama.cpp#19051, #24097)", () => {
    expect(failure(schema({ type: "object", properties: { a: { divisibleBy: 2 } } })).message).toContain(
      '"divisibleBy" at #/properties/a/divisibleBy',
    );
  });

  it("a grammar that allows every text allows every token of text (llama.cpp#8711)", () => {
    const matcher = matcherOf({ type: "regex", regex: "[^]*" });
    expect(tokensOf(matcher.allowed())).toHaveLength(1 + 128 + (0xf5 - 0xc2));
  });
});

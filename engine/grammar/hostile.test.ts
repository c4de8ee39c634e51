import { describe, expect, it } from "vitest";
import { accepts, check, failure, schema, type Format } from "../../spec-tests/fixtures/grammars.js";
import { Budget, Canceled } from "../budget.js";
import { EngineError } from "../errors.js";
import { LIMITS } from "../limits.js";
import { compiledData } from "./compile.js";
import { Grammar, GrammarCache, GrammarMatcher, LoadedGrammars, VocabularyTrie } from "./index.js";

const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index);
const definitions = (count: number, of: (index: number) => unknown): Record<string, unknown> =>
  Object.fromEntries(range(count).map((index) => [`d${index}`, of(index)]));
const regex = (source: string): Format => ({ type: "regex", regex: source });

/** Returns the steps that compiling takes. */
function numSteps(format: Format): number {
  let count = 0;
  const { spend } = Budget.prototype;
  Budget.prototype.spend = function (steps = 1) {
    count += steps;
    spend.call(this, steps);
  };
  try {
    compiledData(format);
  } finally {
    Budget.prototype.spend = spend;
  }
  return count;
}

describe("schemas that have many ways to be satisfied compile in few steps", () => {
  const text = { type: "string" };
  const textOrNull = { anyOf: [text, { type: ["string", "null"] }] };
  const tagged = (count: number, more: (index: number) => object): unknown[] =>
    range(count).map((index) => ({
      type: "object",
      properties: { kind: { const: `k${index}` }, ...more(index) },
      required: ["kind"],
    }));
  const CASES: readonly (readonly [string, unknown, string, string])[] = [
    ["allOf of 21 anyOf", { allOf: range(21).map(() => textOrNull) }, '"a"', "1"],
    [
      "a chain of $defs that is reached in two ways each time",
      {
        $defs: definitions(30, (index) => {
          const next = { $ref: `#/$defs/d${index + 1}` };
          return index === 29 ? text : { anyOf: [next, { allOf: [next] }] };
        }),
        $ref: "#/$defs/d0",
      },
      '"a"',
      "null",
    ],
    [
      "80 tagged branches with 20 properties",
      {
        oneOf: tagged(80, (index) =>
          Object.fromEntries(range(20).map((name) => [`v${name}`, { type: "string", maxLength: index + name }])),
        ),
      },
      '{"kind":"k79","v1":"x"}',
      '{"kind":"k80"}',
    ],
    [
      "30 recursive tagged branches",
      {
        $defs: { node: { oneOf: tagged(30, () => ({ l: { $ref: "#/$defs/node" }, r: { $ref: "#/$defs/node" } })) } },
        $ref: "#/$defs/node",
      },
      '{"kind":"k1","l":{"kind":"k2"}}',
      '{"kind":"k1","l":{}}',
    ],
    [
      "80 mutually recursive $defs",
      {
        $defs: definitions(80, () => ({
          type: "object",
          properties: Object.fromEntries(range(80).map((index) => [`p${index}`, { $ref: `#/$defs/d${index}` }])),
        })),
        $ref: "#/$defs/d0",
      },
      '{"p3":{"p4":{}}}',
      '{"p3":1}',
    ],
    ["products of lists of numbers", { allOf: range(10).map(() => ({ enum: [1, 2, 3, 4] })) }, "3", "5"],
  ];

  it.each(CASES)("%s", (_, value, right, wrong) => {
    expect(numSteps(schema(value))).toBeLessThan(400_000);
    check(schema(value), [right], [wrong]);
  });

  it("oneOf may distinguish its branches in a way that depends on keywords beside it", () => {
    const short = { anyOf: [{ maxLength: 1 }, { pattern: "^b" }] };
    const first = {
      oneOf: [
        { type: "string", pattern: "^a" },
        { type: "string", pattern: "^b" },
      ],
    };
    check(schema({ allOf: [first, short] }), ['"a"', '"bcd"'], ['"abc"', '"c"']);
    const either = schema({
      oneOf: [
        { type: "string", pattern: "a" },
        { type: "string", pattern: "b" },
      ],
    });
    check(either, ['"a"', '"xb"'], ['"ab"', '"x"', "1"]);
  });
});

describe("expressions that are long, deep or wide", () => {
  it("compile in few steps where their states divide the code points alike", () => {
    expect(numSteps(regex("\\p{L}{1,4900}\\p{N}{1,4900}"))).toBeLessThan(1_500_000);
    check(regex("\\p{L}{1,4900}\\p{N}{1,4900}"), ["a1", "é٣"], ["a", "1a"]);
    expect(accepts(regex("a".repeat(9999)), "a".repeat(9999))).toBe(true);
    expect(accepts(schema({ enum: ["x".repeat(100_000), "y"] }), `"${"x".repeat(100_000)}"`)).toBe(true);
  });

  it.each([
    ["groups", regex("(".repeat(10_000) + "a" + ")".repeat(10_000)), "nested deeper"],
    ["alternatives", regex("(?:a|".repeat(4000) + "b" + ")".repeat(4000)), "nested deeper"],
    ["repetitions", regex("(a".repeat(3000) + ")*".repeat(3000)), "nested deeper"],
    ["open groups", regex("(".repeat(10_000)), "Unterminated group"],
    ["properties", regex(`[${"\\p{L}".repeat(40_000)}]`), "steps to compile"],
  ])("are refused: %s", (_, format, part) => {
    const error = failure(format);
    expect(error.message).toContain(part);
    expect(error.message.length).toBeLessThan(400);
  });

  it("allow groups up to the limit, and anchors in any number", () => {
    const depth = LIMITS.maxPatternDepth;
    expect(accepts(regex("(".repeat(depth) + "a" + ")".repeat(depth)), "a")).toBe(true);
    expect(accepts(regex("^".repeat(3000) + "a" + "$".repeat(3000)), "a")).toBe(true);
    check(regex("(^|a)($|b)".repeat(12)), ["", "ab".repeat(12), "b" + "ab".repeat(11)], ["a", "ab", "bb"]);
  });

  it("a schema past the budget is refused with its place", () => {
    const patterns = range(40).map((index) => [`p${index}`, { pattern: `[${`\\p{L}${index}`.repeat(200)}]` }]);
    const error = failure(schema({ properties: Object.fromEntries(patterns) as object }));
    expect(error.code).toBe("unsupported_schema");
    expect(error.message).toContain(
      `more than ${LIMITS.maxGrammarSteps} steps to compile; the limit was reached at #/`,
    );
  });

  it("schemas that are nested without end or contain no JSON are refused", () => {
    const cyclic: Record<string, unknown> = {};
    cyclic["items"] = cyclic;
    expect(failure(schema(cyclic)).code).toBe("invalid_schema");
    expect(failure(schema({ const: 1n })).code).toBe("invalid_schema");
  });
});

describe("compiled grammars", () => {
  const format = schema({ type: "string", pattern: "^[a-z]+$", maxLength: 5000 });
  const trie = VocabularyTrie.build(["a", "b", '"', "é", "abc", "1"].map((text) => new TextEncoder().encode(text)));

  it("are the same after a copy to another thread, and after their states were dropped", () => {
    for (const one of [
      format,
      schema({ type: "object", properties: { a: { enum: ["x", 1.5, null] } }, patternProperties: { "^b": {} } }),
      schema({ type: "array", prefixItems: [{ minimum: -3, multipleOf: 0.5 }], items: { pattern: "(ab|c)*$" } }),
      regex("[ab]{2,}(foo|bar)?"),
    ]) {
      const { data } = new GrammarCache(1 << 20).get(one);
      const [first, second] = [Grammar.fromData(data), Grammar.fromData(structuredClone(data))];
      const [matcher, copy] = [first, second].map((grammar) => new GrammarMatcher(grammar, trie, []));
      for (let step = 0; step < 20; step++) {
        expect(copy!.allowed()).toEqual(matcher!.allowed());
        const tokenId = trie.tokens.findIndex((_, id) => ((matcher!.allowed()[0]! >> ((id + step) % 6)) & 1) === 1);
        if (tokenId < 0) break;
        const next = (tokenId + step) % 6;
        expect(copy!.acceptToken(next)).toBe(matcher!.acceptToken(next));
      }
      expect(second.mayBeginAfterBlank).toBe(first.mayBeginAfterBlank);
    }
  });

  it("keep few states, however long an answer becomes", () => {
    const long = schema({ type: "string", pattern: "^([a-z]|[0-9]x)+$", maxLength: 1_000_000 });
    const grammar = Grammar.fromData(new GrammarCache(1 << 20).get(long).data);
    const matcher = new GrammarMatcher(grammar, trie, []);
    matcher.acceptBytes(new TextEncoder().encode('"'));
    for (let step = 0; step < 30_000; step++) expect(matcher.acceptToken(0)).toBe(true);
    expect(grammar.numBytes).toBeLessThan(40 << 20);
    expect(matcher.acceptBytes(new TextEncoder().encode('1x"'))).toBe(true);
    expect(matcher.isComplete).toBe(true);
  });

  it.each([
    [
      "1,000 optional properties",
      { properties: definitions(1000, () => ({})) },
      '{"d1", "d999": 1}',
      '{"d1": 1, "d999": 1}',
      1_500_000,
    ],
    [
      "300 objects with a common property",
      { anyOf: range(300).map((index) => ({ type: "object", properties: { common: {}, [`d${index}`]: {} } })) },
      '{"common": "a", d1: 1}',
      '{"common": "a", "d299": 1}',
      4_500_000,
    ],
  ])("need few states for %s", (_, value, wrong, right, maxBytes) => {
    const { data } = new GrammarCache(1 << 24).get(schema({ ...value, type: "object" }));
    const grammar = Grammar.fromData(data);
    const before = grammar.numBytes;
    for (const [text, isRight] of [
      [right, true],
      [wrong, false],
    ] as const)
      expect(new GrammarMatcher(grammar, trie, []).acceptBytes(new TextEncoder().encode(text))).toBe(isRight);
    expect(grammar.numBytes - before).toBeLessThan(maxBytes);
  });

  it("are canceled", () => {
    const cache = new GrammarCache(1 << 20);
    expect(() => cache.get(regex("\\p{L}{1,900}"), () => true)).toThrow(Canceled);
    expect(cache.get(regex("\\p{L}{1,900}")).data.ints.length).toBeGreaterThan(900);
  });

  it("are kept by bytes, refusals too", () => {
    const cache = new GrammarCache(20_000);
    const first = cache.get(format);
    expect(cache.get(structuredClone(format))).toBe(first);
    const refusal = (): unknown => {
      try {
        return cache.get(schema({ not: {} }));
      } catch (error) {
        return error;
      }
    };
    expect(refusal()).toBeInstanceOf(EngineError);
    expect(refusal()).toBe(refusal());
    for (const index of range(40)) cache.get(regex(`a{${index + 1}}`));
    expect(cache.numBytes).toBeLessThanOrEqual(20_000);
    expect(cache.get(format)).not.toBe(first);
  });

  it("are loaded once for equal formats, as long as there is room", () => {
    const cache = new GrammarCache(1 << 20);
    const [one, other] = [cache.get(format), cache.get(regex("a"))];
    const roomy = new LoadedGrammars(1 << 20);
    expect(roomy.get(one)).toBe(roomy.get(structuredClone(one)));
    const narrow = new LoadedGrammars(1);
    const grammar = narrow.get(one);
    expect(narrow.get(one)).toBe(grammar);
    narrow.get(other);
    expect(narrow.get(one)).not.toBe(grammar);
  });
});

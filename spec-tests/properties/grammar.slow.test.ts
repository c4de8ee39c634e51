/**
 * Properties of structured output with random logits: every finished answer is valid against its schema (checked by
 * Ajv), no state is a dead end, masks equal the result of reading each token's bytes, and every value that a schema
 * allows can be generated.
 */

import { readFileSync } from "node:fs";

import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { EngineError } from "../../engine/errors.js";
import { type Grammar, GrammarMatcher, VocabularyTrie, compileGrammar } from "../../engine/grammar/index.js";
import { Tokenizer } from "../../engine/text/tokenizer.js";
import { type Address, Kernels, type SampleRequest } from "../../kernels/index.js";
import { parseJson } from "../../src/openai/json.js";
import { asset, describeWithAssets } from "../fixtures/assets.js";

const NUM_SCHEMAS = 2000;
/** Number of tokens after which most logits favor the ends of strings, objects and arrays. */
const HURRY_AFTER = 60;
/** A key that must end with a certain letter takes some hundred tokens until chance ends it. */
const MAX_TOKENS = 30_000;

const embedded = vocabulary("dist/models/tiny/pack");
const kernels = await Kernels.load();

describe("structured output from random logits", () => {
  it(`TS-7.4 ${NUM_SCHEMAS} schemas at temperature 2: every answer is finished and valid`, { timeout: 600_000 }, () => {
    const ajv = validator();
    const sampler = new RandomLogits(embedded);
    const counts = { finished: 0, nothing: 0, refused: 0 };
    const maxRuns = NUM_SCHEMAS * 3;
    fc.assert(
      fc.property(schemas(), fc.nat(), (schema, seed) => {
        if (counts.finished >= NUM_SCHEMAS) return;
        const grammar = compiled(schema);
        const validate = ajv.compile(schema as object);
        if (grammar === "nothing") {
          counts.nothing++;
          expect(SAMPLES.filter((value) => validate(value))).toEqual([]);
          return;
        }
        if (grammar === "refused") {
          counts.refused++;
          return;
        }
        counts.finished++;
        const bytes = sampler.answer(grammar, seed);
        const text = new TextDecoder().decode(bytes);
        // Refuses repeated keys and invalid UTF-8, like the API.
        const value = parseJson(bytes);
        if (!validate(value)) throw new Error(`${text} is not valid: ${ajv.errorsText(validate.errors)}`);
        const strings = /"(?:[^"\\]|\\.)*"/g;
        for (const [string] of text.matchAll(strings)) expect(JSON.stringify(JSON.parse(string))).toBe(string);
        for (const [number] of text.replaceAll(strings, "").matchAll(/[-+.\deE]*\d[-+.\deE]*/g)) {
          expect(number).toMatch(NUMBER);
          expect(numSignificant(number)).toBeLessThanOrEqual(/^-?\d+$/.test(number) ? 19 : 17);
        }
      }),
      { numRuns: maxRuns },
    );
    expect(counts.finished).toBe(NUM_SCHEMAS);
  });

  it(
    "TS-7.9 every valid value can be written, with its keys in some order, unless a note says so",
    { timeout: 300_000 },
    () => {
      const ajv = validator();
      const counts = { valid: 0, invalid: 0 };
      fc.assert(
        fc.property(schemas(), (schema) => {
          const grammar = compiled(schema);
          if (typeof grammar === "string") return;
          const validate = ajv.compile(schema as object);
          for (const value of SAMPLES) {
            const isValid = validate(value);
            counts[isValid ? "valid" : "invalid"]++;
            const isWritten = orders(value).some((text) => {
              const matcher = new GrammarMatcher(grammar, BYTES, [256]);
              return matcher.acceptBytes(new TextEncoder().encode(text)) && matcher.isComplete;
            });
            // TS-7.29: the notes say what is left out.
            if (!isValid || grammar.notes.length === 0) expect(isWritten, JSON.stringify(value)).toBe(isValid);
          }
        }),
        { numRuns: 600 },
      );
      expect(counts.valid).toBeGreaterThan(1000);
      expect(counts.invalid).toBeGreaterThan(1000);
    },
  );

  it("TS-7.4 a uniform draw reaches everything that a small schema allows", () => {
    for (const [schema, expected] of SMALL) {
      const grammar = compileGrammar({ type: "json_schema", schema });
      const all = [...new Set(expected.map(inKeyOrder))].sort();
      const seen = new Set<string>();
      for (let seed = 0; seed < 3000 && seen.size < all.length; seed++)
        seen.add(inKeyOrder(JSON.parse(uniformAnswer(grammar, seed))));
      expect([...seen].sort(), JSON.stringify(schema)).toEqual(all);
    }
  });
});

describe("masks equal the result of reading each token separately", () => {
  it("TS-7.4 the embedded vocabulary: states on random paths through random schemas", { timeout: 300_000 }, () => {
    const states = { compared: 0 };
    fc.assert(
      fc.property(schemas(), fc.nat(), (schema, seed) => {
        const grammar = compiled(schema);
        if (typeof grammar === "string") return;
        compareOnTheWay(grammar, embedded, seed, 6, states);
      }),
      { numRuns: 120 },
    );
    expect(states.compared).toBeGreaterThan(200);
  });

  describeWithAssets("Qwen2's vocabulary", () => {
    it.each(SCHEMAS_FOR_MASKS)("TS-7.4 %j", { timeout: 300_000 }, (schema) => {
      const states = { compared: 0 };
      compareOnTheWay(compileGrammar({ type: "json_schema", schema }), qwen2(), 7, 2, states);
      expect(states.compared).toBeGreaterThan(0);
    });
  });
});

/** Returns the value as JSON, with the keys of its outermost object in their own order. */
function inKeyOrder(value: unknown): string {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return JSON.stringify(value);
  return JSON.stringify(Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))));
}

/** Returns the value as JSON, with the keys of its outermost object in every order. */
function orders(value: unknown): string[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [JSON.stringify(value)];
  return permutations(Object.entries(value)).map((entries) => JSON.stringify(Object.fromEntries(entries)));
}

function permutations<T>(values: readonly T[]): T[][] {
  if (values.length <= 1) return [[...values]];
  return values.flatMap((value, index) => permutations(values.toSpliced(index, 1)).map((rest) => [value, ...rest]));
}

interface Vocabulary {
  readonly tokens: readonly Uint8Array[];
  readonly trie: VocabularyTrie;
  /** A token without text. */
  readonly end: number;
}

function vocabulary(folder: string): Vocabulary {
  const read = (file: string): object => JSON.parse(readFileSync(`${folder}/${file}`, "utf8")) as object;
  const tokenizer = new Tokenizer(read("tokenizer.json"), read("tokenizer_config.json"));
  const tokens = Array.from({ length: tokenizer.vocabSize }, (_, tokenId) => tokenizer.tokenBytes(tokenId));
  return { tokens: [...tokens, new Uint8Array(0)], trie: VocabularyTrie.build([...tokens, null]), end: tokens.length };
}

const loaded: { qwen2?: Vocabulary } = {};
const qwen2 = (): Vocabulary => (loaded.qwen2 ??= vocabulary(asset("tokenizers", "qwen2")));

function compiled(schema: unknown): Grammar | "nothing" | "refused" {
  try {
    return compileGrammar({ type: "json_schema", schema });
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    expect(["invalid_schema", "unsupported_schema"]).toContain(error.code);
    return error.code === "invalid_schema" ? "nothing" : "refused";
  }
}

const isAllowed = (mask: Uint32Array, tokenId: number): boolean => ((mask[tokenId >> 5]! >> (tokenId & 31)) & 1) === 1;

/** Returns a seeded generator of numbers in [0, 1). */
function numbers(seed: number): () => number {
  let state = (seed ^ 0x9e3779b9) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Generates answers with the kernels' sampler from random logits. */
class RandomLogits {
  readonly #numRows = 32;
  readonly #rows: Address;
  readonly #hurried: Address;
  readonly #rowSize: number;

  constructor(readonly vocabulary: Vocabulary) {
    const { tokens } = vocabulary;
    this.#rowSize = tokens.length;
    this.#rows = kernels.allocate(this.#numRows * tokens.length * 4);
    this.#hurried = kernels.allocate(this.#numRows * tokens.length * 4);
    const next = numbers(1);
    const noise = Float32Array.from(
      { length: this.#numRows * tokens.length },
      () => 4 * (next() + next() + next() - 1.5),
    );
    kernels.f32(this.#rows, noise.length).set(noise);
    const ends = tokens.map(
      (bytes, tokenId) => tokenId === vocabulary.end || (bytes.length > 0 && bytes.every((byte) => ENDING.has(byte))),
    );
    kernels
      .f32(this.#hurried, noise.length)
      .set(noise.map((value, index) => value + (ends[index % tokens.length] ? 60 : 0)));
  }

  answer(grammar: Grammar, seed: number): Uint8Array {
    const matcher = new GrammarMatcher(grammar, this.vocabulary.trie, [this.vocabulary.end]);
    const next = numbers(seed);
    const bytes: number[] = [];
    for (let position = 0; position < MAX_TOKENS; position++) {
      const row = Math.floor(next() * this.#numRows) * this.#rowSize * 4;
      const rows = position < HURRY_AFTER || next() < 0.4 ? this.#rows : this.#hurried;
      const { tokenId } = kernels.sample(rows + row, this.#rowSize, {
        ...TEMPERATURE_2,
        uniform: next(),
        allowed: matcher.allowed(),
      });
      matcher.acceptToken(tokenId);
      if (tokenId === this.vocabulary.end) return Uint8Array.from(bytes);
      bytes.push(...this.vocabulary.tokens[tokenId]!);
    }
    throw new Error(
      `no answer after ${MAX_TOKENS} tokens: ${new TextDecoder().decode(Uint8Array.from(bytes)).slice(-200)}`,
    );
  }
}

/** Returns Ajv with an exact `multipleOf`: its own takes 5e-305 for a multiple of 1, or reads 1.5e21 as 1. */
function validator(): Ajv2020 {
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  ajv.removeKeyword("multipleOf");
  return ajv.addKeyword({
    keyword: "multipleOf",
    type: "number",
    schemaType: "number",
    validate: (step: number, value: number) => Number.isInteger(value) && BigInt(value) % BigInt(step) === 0n,
  });
}

const ENDING: ReadonlySet<number> = new Set(new TextEncoder().encode('"]}'));
const TEMPERATURE_2: SampleRequest = {
  temperature: 2,
  topK: null,
  topP: null,
  minP: null,
  uniform: 0,
  repetitionPenalty: 1,
  frequencyPenalty: 0,
  presencePenalty: 0,
  adjustments: null,
  allowed: null,
  topLogprobs: null,
  logprobsMode: "raw",
};

/** A number as a serializer writes it. */
const NUMBER = /^(?:0|-?[1-9]\d*|-?(?:0|[1-9]\d*)\.(?:\d|\d*[1-9])|-?[1-9](?:\.\d*[1-9])?e[-+]?[1-9]\d*)$/;

function numSignificant(number: string): number {
  const [whole = "", fraction] = number.replace(/^-/, "").replace(/e.*/, "").split(".");
  // Zeros before the first digit and, in an integer, after the last one are not significant.
  return fraction === undefined ? whole.replace(/0+$/, "").length : (whole + fraction).replace(/^0+/, "").length;
}

/** Generates an answer by drawing each byte uniformly from the allowed bytes. */
function uniformAnswer(grammar: Grammar, seed: number): string {
  const matcher = new GrammarMatcher(grammar, BYTES, [256]);
  const next = numbers(seed);
  let text = "";
  for (;;) {
    const mask = matcher.allowed();
    // White space would only make answers longer.
    const choices = Array.from({ length: 257 }, (_, byte) => byte).filter(
      (byte) => isAllowed(mask, byte) && byte !== 0x20 && byte !== 0x0a,
    );
    const byte = choices[Math.floor(next() * choices.length)]!;
    matcher.acceptToken(byte);
    if (byte === 256) return text;
    text += String.fromCharCode(byte);
  }
}

const BYTES = VocabularyTrie.build([...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)), null]);

/** Compares the mask with the result for each token, in some states on a random path. */
function compareOnTheWay(
  grammar: Grammar,
  { tokens, trie, end }: Vocabulary,
  seed: number,
  numStates: number,
  states: { compared: number },
): void {
  const matcher = new GrammarMatcher(grammar, trie, [end]);
  const next = numbers(seed);
  const read: number[] = [];
  for (let step = 0; step < 24; step++) {
    const mask = matcher.allowed();
    const choices = tokens.flatMap((_, tokenId) => (isAllowed(mask, tokenId) ? tokenId : []));
    expect(choices.length).toBeGreaterThan(0);
    if (next() < numStates / 12) {
      const wrong = tokens.flatMap((bytes, tokenId) => {
        const alone = new GrammarMatcher(grammar, trie, [end]);
        alone.acceptBytes(Uint8Array.from(read));
        const isLegal = tokenId === end ? alone.isComplete : bytes.length > 0 && alone.acceptBytes(bytes);
        return isLegal === isAllowed(mask, tokenId) ? [] : [tokenId];
      });
      expect(wrong.map((tokenId) => new TextDecoder().decode(tokens[tokenId]))).toEqual([]);
      states.compared++;
    }
    const tokenId = choices[Math.floor(next() * choices.length)]!;
    if (tokenId === end) return;
    matcher.acceptToken(tokenId);
    read.push(...tokens[tokenId]!);
  }
}

/** Values that are tried with every schema. */
const SAMPLES: readonly unknown[] = [
  null, true, false, 0, 1, -1, 2, 3, 5, 7, 10, 12, 100, -7, 0.5, 1.5,
  "", "a", "b", "ab", "abc", "foo", "x1", "é", "😀", "hello world",
  [], [1], [1, 2], ["a"], [null], [true, "a"], [[]], [1, "a", null],
  {}, { a: 1 }, { b: "x" }, { a: 1, b: 2 }, { a: null }, { foo: 1 }, { x1: 1 }, { a: {}, b: [] }, { a: "a", b: true, c: 3 },
]; // prettier-ignore

/** Small schemas, each with all its values. */
const SMALL: readonly (readonly [unknown, readonly unknown[]])[] = [
  [{ enum: ["a", "ab", "b", null, true, [1], { k: 2 }] }, ["a", "ab", "b", null, true, [1], { k: 2 }]],
  [{ type: "boolean" }, [true, false]],
  [
    { type: "object", properties: { a: { const: 1 }, b: { const: 2 } }, required: ["b"], additionalProperties: false },
    [{ b: 2 }, { a: 1, b: 2 }, { b: 2, a: 1 }],
  ],
  [
    { type: "array", items: { type: "boolean" }, minItems: 1, maxItems: 2 },
    [[true], [false], [true, true], [true, false], [false, true], [false, false]],
  ],
  [
    {
      anyOf: [{ const: "x" }, { type: "object", properties: { t: { const: "y" } }, required: ["t"], maxProperties: 1 }],
    },
    ["x", { t: "y" }],
  ],
  [
    { oneOf: [{ type: "null" }, { type: "array", maxItems: 0 }, { type: "string", maxLength: 1, pattern: "^[ab]?$" }] },
    [null, [], "", "a", "b"],
  ],
  [
    { type: "object", propertyNames: { enum: ["p", "q"] }, additionalProperties: { type: "null" }, minProperties: 1 },
    [{ p: null }, { q: null }, { p: null, q: null }, { q: null, p: null }],
  ],
  [
    {
      type: "object",
      properties: { a: { const: 0 }, b: { const: 0 } },
      dependentRequired: { a: ["b"] },
      additionalProperties: false,
    },
    [{}, { b: 0 }, { a: 0, b: 0 }],
  ],
  [{ type: "string", pattern: "^(ab|cd)$" }, ["ab", "cd"]],
];

const SCHEMAS_FOR_MASKS: readonly unknown[] = [
  {
    type: "object",
    properties: { name: { type: "string" }, age: { type: "integer", minimum: 0, maximum: 150 } },
    required: ["name"],
  },
  { type: "array", items: { type: "string", maxLength: 12, minLength: 3 }, minItems: 1 },
  { type: "object", additionalProperties: { type: "number" }, minProperties: 2 },
  { type: "string", pattern: "^[a-zé😀 ]+$" },
];

/** Patterns that random strings match soon. */
const PATTERNS = ["^[a-z]+$", "a", "^(foo|bar)*$", "^\\d{2,}", "^.{2,5}$", "^\\p{Lu}?x*", "^(é|a)|e$", "^😀*$"];

/** Schemas with combinations of most keywords. Few of them have no instances. */
function schemas(): fc.Arbitrary<unknown> {
  const names = fc.constantFrom("a", "b", "c", "foo", "é", 'q"\\');
  const optional = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
    fc.option(arbitrary, { nil: undefined, freq: 2 });
  const present = (value: object): object =>
    Object.fromEntries(Object.entries(value).filter(([, of]) => of !== undefined));
  const small = fc.integer({ min: 0, max: 4 });
  // No keys valueOf and toString: Ajv calls their values as functions when it compares a constant.
  const json = fc
    .jsonValue({ maxDepth: 2, stringUnit: "grapheme" })
    .filter((value) => !/"(?:valueOf|toString)":/.test(JSON.stringify(value)))
    .filter((value) => JSON.stringify(value) === JSON.stringify(JSON.parse(JSON.stringify(value))));
  const { schema } = fc.letrec<{ schema: unknown; leaf: unknown; composite: unknown }>((tie) => ({
    schema: fc.oneof({ maxDepth: 3, depthIdentifier: "schema" }, tie("leaf"), tie("composite")),
    leaf: fc.oneof(
      fc.constantFrom<unknown>(
        true,
        {},
        { type: "null" },
        { type: "boolean" },
        { type: ["string", "null"] },
        { $ref: "#/$defs/word" },
      ),
      fc
        .record({
          type: fc.constantFrom("integer", "number", undefined),
          minimum: optional(fc.oneof(fc.integer({ min: -20, max: 20 }), fc.double({ min: -3, max: 3, noNaN: true }))),
          maximum: optional(fc.oneof(fc.integer({ min: 0, max: 2000 }), fc.double({ min: 3, max: 3e6, noNaN: true }))),
          exclusiveMinimum: optional(
            fc.oneof(fc.integer({ min: -5, max: 5 }), fc.double({ min: -1e300, max: 1, noNaN: true })),
          ),
          exclusiveMaximum: optional(
            fc.oneof(fc.integer({ min: 1, max: 50 }), fc.double({ min: 1, max: 1e300, noNaN: true })),
          ),
          multipleOf: optional(fc.integer({ min: 1, max: 12 })),
        })
        .map(present),
      fc
        .record({
          type: fc.constant("string"),
          minLength: optional(small),
          maxLength: optional(fc.integer({ min: 3, max: 30 })),
          pattern: optional(fc.constantFrom(...PATTERNS)),
        })
        .map(present),
      fc.record({ enum: fc.array(json, { minLength: 1, maxLength: 4 }) }),
      fc.record({ const: json }),
    ),
    composite: fc.oneof(
      fc
        .record({
          type: fc.constantFrom("array", undefined),
          prefixItems: optional(fc.array(tie("schema"), { minLength: 1, maxLength: 3 })),
          items: optional(tie("schema")),
          minItems: optional(fc.integer({ min: 0, max: 3 })),
          maxItems: optional(fc.integer({ min: 1, max: 5 })),
        })
        .map(present),
      fc
        .record({
          type: fc.constant("object"),
          properties: optional(fc.dictionary(names, tie("schema"), { maxKeys: 4 })),
          required: optional(fc.uniqueArray(names, { maxLength: 2 })),
          additionalProperties: optional(fc.oneof(fc.constant(false), tie("schema"))),
          patternProperties: optional(
            fc.dictionary(fc.constantFrom("^a", "o$", "^.$", "^(x|y.*)$"), tie("schema"), { minKeys: 1, maxKeys: 2 }),
          ),
          propertyNames: optional(
            fc.constantFrom({ pattern: "^[a-z]*$" }, { maxLength: 3 }, { enum: ["a", "b", "x", "foo"] }),
          ),
          minProperties: optional(fc.integer({ min: 0, max: 3 })),
          maxProperties: optional(fc.integer({ min: 1, max: 5 })),
          dependentRequired: optional(fc.dictionary(names, fc.uniqueArray(names, { maxLength: 2 }), { maxKeys: 2 })),
        })
        .map(present),
      fc.record({ anyOf: fc.array(tie("schema"), { minLength: 1, maxLength: 3 }) }),
      fc.record({ oneOf: fc.array(tie("schema"), { minLength: 1, maxLength: 3 }) }),
      fc.record({ allOf: fc.array(tie("schema"), { minLength: 1, maxLength: 2 }), minProperties: fc.constant(0) }),
      fc.record({ type: fc.constant("array"), items: fc.constant({ $ref: "#" }), maxItems: small }),
    ),
  }));
  return schema.map((root) =>
    typeof root === "object" && root !== null
      ? { ...root, $defs: { word: { type: "string", pattern: "^\\w+$" } } }
      : { anyOf: [root], $defs: { word: {} } },
  );
}

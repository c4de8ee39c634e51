/**
 * The unevaluated keywords, compared with a reader that collects what each keyword evaluates, as the standard says. Ajv
 * is no reference here: it loses what an `if` without `then` and an `items` in a branch evaluate.
 */

import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { EngineError } from "../errors.js";
import { compileGrammar } from "./index.js";
import { accepts, check, schema } from "../../spec-tests/fixtures/grammars.js";
import { numCases } from "../../spec-tests/fixtures/property-size.js";

describe("unevaluated keywords", () => {
  const a = { properties: { a: { type: "integer" } } };
  const b = { properties: { b: { type: "integer" } } };

  it.each<[object, string[], string[]]>([
    [{ type: "object", allOf: [a, b], unevaluatedProperties: false }, ['{"a":1,"b":2}', "{}"], ['{"c":1}']],
    [{ type: "object", ...a, unevaluatedProperties: { type: "null" } }, ['{"a":1,"c":null}'], ['{"c":1}']],
    [{ type: "object", $ref: "#/$defs/a", $defs: { a }, unevaluatedProperties: false }, ['{"a":1}'], ['{"b":1}']],
    // Branches that hold together evaluate together.
    [
      { type: "object", anyOf: [{ ...a, required: ["a"] }, b], unevaluatedProperties: false },
      ['{"a":1}', '{"b":1}', '{"a":1,"b":1}'],
      ['{"a":1,"c":1}'],
    ],
    [
      {
        type: "object",
        oneOf: [
          { ...a, required: ["a"] },
          { ...b, required: ["b"] },
        ],
        unevaluatedProperties: false,
      },
      ['{"a":1}', '{"b":1}'],
      ['{"a":1,"b":1}', "{}"],
    ],
    // What stands in a cousin, under `not` or in `const` is not evaluated.
    [{ type: "object", allOf: [a, { ...b, unevaluatedProperties: false }] }, ['{"b":1}', "{}"], ['{"a":1}']],
    [
      {
        type: "object",
        not: { not: { ...a, required: ["a"] } },
        unevaluatedProperties: { minimum: 5 },
      },
      ['{"a":5}'],
      ['{"a":1}'],
    ],
    [{ const: { a: 1 }, unevaluatedProperties: { type: "integer" } }, ['{"a":1}'], ['{"a":2}']],
    [{ anyOf: [{ const: { a: 1 } }, { const: {} }], unevaluatedProperties: false }, ["{}"], ['{"a":1}']],
    [
      { type: "object", if: { ...a, required: ["a"] }, then: b, unevaluatedProperties: false },
      ['{"a":1,"b":1}', "{}"],
      ['{"b":1}', '{"c":1}'],
    ],
    [{ type: "array", prefixItems: [{ const: 1 }], unevaluatedItems: false }, ["[]", "[1]"], ["[1,1]", "[2]"]],
    [
      { type: "array", contains: { type: "string" }, unevaluatedItems: { type: "null" } },
      ['["a"]', '[null,"a",null]'],
      ["[null]", '["a",1]'],
    ],
  ])("%j", (value, right, wrong) => {
    check(schema(value), right, wrong);
  });

  it("do not count items of contains in 2019-09", () => {
    const $schema = "https://json-schema.org/draft/2019-09/schema";
    check(
      schema({ $schema, type: "array", contains: { const: 1 }, unevaluatedItems: { type: "integer" } }),
      ["[1,2]"],
      ['[1,"a"]'],
    );
    check(
      schema({ $schema, type: "array", items: [{}], contains: { const: 1 }, unevaluatedItems: false }),
      ["[1]"],
      ["[1,1]"],
    );
  });

  it("name an anyOf that has too many branches to combine", () => {
    const anyOf = ["a", "b", "c", "d", "e"].map((name) => ({ properties: { [name]: {} }, required: [name] }));
    const { notes } = compileGrammar(schema({ anyOf, unevaluatedProperties: false }));
    expect(notes).toEqual([
      "#/anyOf has more than 4 branches, so that for unevaluatedItems and unevaluatedProperties, only one branch counts as valid: some valid answers are never given.",
    ]);
  });

  const { any } = fc.letrec<{ any: Json }>((tie) => {
    const inner = tie("any");
    const list = fc.array(inner, { minLength: 1, maxLength: 2 });
    return {
      any: fc.oneof(
        { maxDepth: 3 },
        fc.constantFrom<Json[]>(
          {},
          { type: "integer" },
          { type: ["array", "object"] },
          { required: ["a"] },
          { const: { a: 1 } },
          { const: [1, "a"] },
          { maxItems: 1 },
          { contains: { type: "string" } },
        ),
        fc.record({ properties: fc.record({ a: inner, b: inner }, { requiredKeys: [] }) }),
        inner.map((additionalProperties) => ({ properties: { a: {} }, additionalProperties })),
        fc.array(inner, { minLength: 1, maxLength: 2 }).map((prefixItems) => ({ prefixItems })),
        inner.map((items) => ({ items })),
        list.map((allOf) => ({ allOf })),
        list.map((anyOf) => ({ anyOf })),
        list.map((oneOf) => ({ oneOf })),
        inner.map((not) => ({ not })),
        fc.record({ if: inner, then: inner, else: inner }, { requiredKeys: ["if"] }),
        inner.map((a) => ({ dependentSchemas: { a } })),
        fc
          .tuple(inner, inner, fc.constantFrom("unevaluatedProperties", "unevaluatedItems"), fc.constantFrom(false, 1))
          .map(([first, second, keyword, of]) => ({
            ...first,
            allOf: [second],
            [keyword]: of === false ? false : { type: "integer" },
          })),
      ),
    };
  });
  const whole = fc
    .tuple(any, any, fc.constantFrom("unevaluatedProperties", "unevaluatedItems"))
    .map(([first, second, keyword]): Json => ({ ...first, allOf: [second], [keyword]: false }));
  const VALUES: readonly unknown[] = [
    1,
    "a",
    [],
    [1],
    ["a"],
    [1, "a"],
    ["a", "a"],
    [1, 1, 1],
    [{}],
    [[1]],
    {},
    { a: 1 },
    { b: 1 },
    { c: 1 },
    { a: "a" },
    { a: 1, b: 1 },
    { a: 1, c: 1 },
    { b: "a", c: 1 },
    { a: { a: 1 } },
  ];

  it("restrict what nothing else evaluates", { timeout: 300_000 }, () => {
    const counts = { valid: 0, invalid: 0, inPart: 0 };
    fc.assert(
      fc.property(whole, (value) => {
        const valid = VALUES.filter((instance) => evaluated(value, instance) !== null);
        try {
          const grammar = compileGrammar(schema(value));
          for (const instance of VALUES) {
            const isValid = valid.includes(instance);
            const isAccepted = orders(instance).some((text) => accepts(grammar, text));
            counts[isValid ? "valid" : "invalid"]++;
            if (!isValid || grammar.notes.length === 0) expect(isAccepted, JSON.stringify(instance)).toBe(isValid);
            else counts.inPart++;
          }
        } catch (error) {
          if (!(error instanceof EngineError)) throw error;
          if (error.code === "invalid_schema") expect(valid).toEqual([]);
        }
      }),
      { numRuns: numCases(800) },
    );
    expect(counts.inPart).toBeLessThan(counts.valid / 3);
    expect(counts.invalid).toBeGreaterThan(100);
  });
});

type Json = Readonly<Record<string, unknown>>;

/** Returns the names and indexes that a valid instance has evaluated, or null for an instance that is not valid. */
function evaluated(of: unknown, instance: unknown): ReadonlySet<string> | null {
  if (of === false) return null;
  const value = (of === true ? {} : of) as Record<string, never>;
  const found = new Set<string>();
  let isValid = true;
  /** Evaluates one part of the instance. */
  const part = (one: unknown, key: string): void => {
    found.add(key);
    isValid &&= evaluated(one, (instance as Json)[key]) !== null;
  };
  /** Applies a schema to the same place. */
  const here = (one: unknown): boolean => {
    const inner = evaluated(one, instance);
    for (const key of inner ?? []) found.add(key);
    return inner !== null;
  };
  const isArray = Array.isArray(instance);
  const isObject = typeof instance === "object" && !isArray;
  const keys = Object.keys(instance as object).filter(() => typeof instance === "object");
  const kind = isArray ? "array" : Number.isInteger(instance) ? "integer" : typeof instance;
  if ("type" in value) isValid &&= [value["type"]].flat().includes(kind as never);
  if ("const" in value) isValid &&= JSON.stringify(value["const"]) === JSON.stringify(instance);
  for (const name of (value["required"] ?? []) as string[]) isValid &&= !isObject || keys.includes(name);
  if (isArray) {
    const prefix: unknown[] = value["prefixItems"] ?? [];
    isValid &&= keys.length <= ((value["maxItems"] as number | undefined) ?? Infinity);
    for (const key of keys) {
      if (Number(key) < prefix.length) part(prefix[Number(key)], key);
      else if ("items" in value) part(value["items"], key);
    }
    if ("contains" in value) {
      const matching = keys.filter((key) => evaluated(value["contains"], instance[Number(key)]) !== null);
      isValid &&= matching.length > 0;
      for (const key of matching) found.add(key);
    }
  }
  if (isObject) {
    const properties: Json = value["properties"] ?? {};
    for (const key of keys) {
      if (key in properties) part(properties[key], key);
      else if ("additionalProperties" in value) part(value["additionalProperties"], key);
    }
    for (const [name, one] of Object.entries(value["dependentSchemas"] ?? {}))
      if (keys.includes(name)) isValid = here(one) && isValid;
  }
  for (const one of (value["allOf"] ?? []) as unknown[]) isValid = here(one) && isValid;
  if ("anyOf" in value) isValid &&= (value["anyOf"] as unknown[]).map((one) => here(one)).includes(true);
  if ("oneOf" in value) isValid &&= (value["oneOf"] as unknown[]).map((one) => here(one)).filter(Boolean).length === 1;
  if ("not" in value) isValid &&= evaluated(value["not"], instance) === null;
  if ("if" in value) {
    const branch = here(value["if"]) ? "then" : "else";
    if (branch in value) isValid = here(value[branch]) && isValid;
  }
  for (const keyword of [isArray ? "unevaluatedItems" : "", isObject ? "unevaluatedProperties" : ""])
    if (keyword in value) for (const key of keys.filter((one) => !found.has(one))) part(value[keyword], key);
  return isValid ? found : null;
}

/** Returns the instance as JSON, with the keys of its outermost object in both orders. */
function orders(value: unknown): string[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [JSON.stringify(value)];
  const entries = Object.entries(value);
  return [entries, entries.toReversed()].map((some) => JSON.stringify(Object.fromEntries(some)));
}

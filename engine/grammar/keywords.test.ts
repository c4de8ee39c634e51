/** Keywords that are expressed by choices, counted items and distinct items, and the meaning of drafts. */

import { Ajv } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { EngineError } from "../errors.js";
import { compileGrammar } from "./index.js";
import { accepts, begins, check, failure, schema } from "../../spec-tests/fixtures/grammars.js";
import { numCases } from "../../spec-tests/fixtures/property-size.js";

const DRAFT_4 = "http://json-schema.org/draft-04/schema#";
const DRAFT_7 = "http://json-schema.org/draft-07/schema#";
const DRAFT_2020 = "https://json-schema.org/draft/2020-12/schema";

describe("negation", () => {
  it.each<[object, string[], string[]]>([
    [{ not: { type: ["string", "object"] } }, ["1", "[]", "null"], ['"a"', "{}"]],
    [{ type: "string", not: { pattern: "^a" } }, ['"b"', '""'], ['"a"', '"ab"']],
    [{ type: "string", not: { enum: ["a", "b"] } }, ['"c"', '"ab"', '""'], ['"a"', '"b"']],
    [{ type: "integer", not: { enum: [1, 3] } }, ["0", "2", "4", "10"], ["1", "3"]],
    [{ type: "number", not: { minimum: 1, maximum: 2 } }, ["0.5", "2.5", "3"], ["1", "1.5", "2"]],
    [{ type: "object", not: { required: ["a"] } }, ["{}", '{"b":1}'], ['{"a":1}']],
    [{ type: "object", not: { required: ["a", "b"] } }, ["{}", '{"a":1}', '{"b":1}'], ['{"a":1,"b":1}']],
    [
      { type: "object", not: { properties: { a: { const: 1 } }, required: ["a"] } },
      ["{}", '{"a":2}', '{"a":"1"}'],
      ['{"a":1}'],
    ],
    [{ type: "array", not: { items: { type: "integer" } } }, ['["a"]', '[1,"a",2]'], ["[]", "[1]", "[1,2]"]],
    [{ type: "array", not: { maxItems: 1 } }, ["[1,2]"], ["[]", "[1]"]],
    [{ type: "array", not: { prefixItems: [{ type: "null" }] } }, ["[1]", "[1,2]"], ["[]", "[null]"]],
    [{ not: { not: { type: "null" } } }, ["null"], ["1"]],
    [{ not: { anyOf: [{ type: "string" }, { minimum: 5 }] }, type: ["string", "number"] }, ["4"], ['"a"', "5"]],
    [{ not: { const: { a: 1 } }, type: "object" }, ["{}", '{"a":2}', '{"a":1,"b":1}'], ['{"a":1}']],
    [
      { if: { type: "string" }, then: { minLength: 2 }, else: { type: "integer" } },
      ['"ab"', "3"],
      ['"a"', "1.5", "{}"],
    ],
    [
      { type: "object", if: { properties: { a: { const: 1 } }, required: ["a"] }, then: { required: ["b"] } },
      ["{}", '{"a":2}', '{"a":1,"b":2}'],
      ['{"a":1}'],
    ],
    [{ if: { type: "string" } }, ["1", '"a"'], []],
    [
      { oneOf: [{ required: ["a"] }, { required: ["b"] }], type: "object" },
      ['{"a":1}', '{"b":1,"c":2}'],
      ["{}", '{"a":1,"b":1}'],
    ],
    [{ oneOf: [{ type: "integer" }, { minimum: 2, type: "integer" }] }, ["1", "-5"], ["2", "7"]],
    [{ not: { oneOf: [{ type: "string" }, { pattern: "^a" }] }, type: "string" }, ['"ab"'], ['"b"']],
    [
      { type: "object", dependentSchemas: { a: { properties: { b: { type: "null" } }, required: ["b"] } } },
      ["{}", '{"b":1}', '{"a":1,"b":null}'],
      ['{"a":1}', '{"a":1,"b":1}'],
    ],
    [
      {
        oneOf: ["a", "b"].map((name) => ({ properties: { [name]: { type: "array" } }, additionalProperties: false })),
        type: "object",
      },
      ['{"a":[]}', '{"b":[1]}'],
      ["{}", '{"a":1}', '{"a":[],"b":[]}', '{"c":1}'],
    ],
    [
      {
        oneOf: [
          { required: ["x1"], patternProperties: { "^x": { type: "integer" } } },
          { properties: { x1: {}, y: { type: "null" } }, additionalProperties: { type: "boolean" } },
        ],
        type: "object",
      },
      ['{"x1":1,"y":2}', '{"x1":"a"}', '{"x1":"a","z":true}', "{}"],
      ['{"x1":1}', '{"x1":1,"y":null}', '{"x1":"a","z":1}'],
    ],
  ])("%j", (value, right, wrong) => {
    check(schema(value), right, wrong);
  });

  it("branches of oneOf that a property distinguishes need it, even if none requires it", () => {
    const branch = (kind: string, name: string): object => ({
      type: "object",
      properties: { kind: { const: kind, default: kind }, [name]: { type: "integer" } },
      required: [name],
    });
    check(
      schema({ oneOf: [branch("a", "x"), branch("b", "x")] }),
      ['{"kind":"a","x":1}', '{"x":1,"kind":"b"}'],
      ['{"x":1}', '{"kind":"c","x":1}'],
    );
  });
});

describe("proofs that branches of oneOf are disjoint", () => {
  it("see a schema under additionalProperties that only has not or if", () => {
    const integers = { not: { additionalProperties: { not: { type: "integer" } } } };
    check(schema({ oneOf: [integers, { type: "object" }] }), ['{"a":"x"}'], ['{"a":1}']);
  });

  it("do not require a property that cannot have a value", () => {
    const only = { oneOf: [{}, { required: ["a"] }] };
    check(schema({ type: "object", if: only, then: { properties: { b: false } } }), ["{}", '{"c":1}'], ['{"b":1}']);
  });
});

describe("contains", () => {
  it.each<[object, string[], string[]]>([
    [{ contains: { type: "string" } }, ['["a"]', '[1,"a"]', '["a","b"]'], ["[]", "[1]"]],
    [{ contains: { type: "string" }, minContains: 2 }, ['["a",1,"b"]'], ['["a"]', '["a",1]']],
    [{ contains: { type: "string" }, maxContains: 1 }, ['["a"]', '[1,"a",2]'], ["[]", '["a","b"]']],
    [{ contains: { type: "string" }, minContains: 0, maxContains: 1 }, ["[]", "[1]", '["a"]'], ['["a","b"]']],
    [{ contains: { const: 1 }, maxItems: 2 }, ["[1]", "[2,1]"], ["[2,2]"]],
    [{ contains: { const: 1 }, items: { type: "string" }, prefixItems: [{}] }, ["[1]", '[1,"a"]'], ['["a"]', "[2,1]"]],
  ])("%j", (value, right, wrong) => {
    check(schema({ type: "array", ...value }), right, wrong);
  });

  it("and its own negation have nothing in common", () => {
    const both = { type: "array", $ref: "#/$defs/a", not: { $ref: "#/$defs/a" } };
    const value = { $defs: { a: { contains: { const: 1 } } }, anyOf: [both, { const: 2 }] };
    check(schema(value), ["2"], ["[]", "[1]", "[3]"]);
  });

  it("beside a uniqueItems of one item", () => {
    const some = { contains: { type: "integer" }, uniqueItems: true, maxItems: 1 };
    check(schema({ type: "array", ...some }), ["[1]"], ["[]", '["a"]', "[1,2]"]);
  });

  it("is refused if it asks for more items than it allows, so that no array is begun in vain", () => {
    for (const value of [
      { type: "array", contains: { const: 1 }, minContains: 3, maxContains: 2 },
      { $defs: { c: { contains: {} } }, allOf: [{ $ref: "#/$defs/c" }, { not: { $ref: "#/$defs/c" } }] },
    ])
      expect(failure(schema(value)).message).toBe("The schema is satisfied by no instance.");
  });

  it("counts items of long tuples without recursion, and without work for each", () => {
    const prefixItems = new Array<boolean>(9000).fill(true);
    const half = { contains: { const: 1 }, minContains: 4500, maxContains: 4500, maxItems: 9000 };
    expect(begins(schema({ type: "array", prefixItems, ...half }), "[1, 2")).toBe(true);
  });

  it("is part of what branches of oneOf may share", () => {
    const counted = { items: { type: "string" }, contains: { type: "string" }, maxContains: 1, minItems: 1 };
    check(schema({ type: "array", oneOf: [counted, {}] }), ["[]", "[1]", '["a","b"]'], ['["a"]']);
  });

  it("keeps room for the items that must come", () => {
    const limited = schema({ type: "array", contains: { const: 1 }, maxItems: 2 });
    expect(begins(limited, "[2,")).toBe(true);
    expect(begins(limited, "[2,2")).toBe(false);
  });
});

describe("uniqueItems", () => {
  it.each<[object, string[], string[]]>([
    [{ items: { type: "string" } }, ['["a","b"]', '["a","ab","b"]', '["","a"]'], ['["a","a"]', '["ab","b","ab"]']],
    [{ items: { enum: ["a", "b", 1, null] } }, ['["a","b",1,null]', "[]"], ['["a","a"]', "[1,1]", "[null,null]"]],
    [{ items: { type: "integer", minimum: 1, maximum: 3 } }, ["[1,2,3]", "[3,1]"], ["[1,1]", "[1,2,3,1]"]],
    [{ items: { type: "number" } }, ["[1,1.5,10]"], ["[1,1.0]", "[1.5,1.5]"]],
    [{ items: { type: "boolean" }, minItems: 2 }, ["[true,false]", "[false, true]"], ["[true]", "[true,true]"]],
    [{ contains: { type: "null" }, maxItems: 1 }, ["[null]"], ["[]", "[1]", "[null,null]"]],
    [{ items: { type: "string", maxLength: 1, pattern: "^[ab]*$" } }, ['["a","","b"]'], ['["",""]']],
  ])("%j", (value, right, wrong) => {
    check(schema({ type: "array", uniqueItems: true, ...value }), right, wrong);
  });

  it("never begins an item that only equal ones begin like", () => {
    const three = schema({ type: "array", uniqueItems: true, items: { enum: ["ab", "ac", 10] } });
    expect(begins(three, '["ab","ac",')).toBe(true);
    expect(begins(three, '["ab","ac","')).toBe(false);
    expect(begins(three, '[10,"ab","ac",')).toBe(false);
    expect(begins(three, '["ab","ab')).toBe(false);
    expect(failure(schema({ type: "array", uniqueItems: true, items: { enum: [1, 2] }, minItems: 3 })).message).toBe(
      "The schema is satisfied by no instance.",
    );
  });
});

describe("dynamic references", () => {
  const node = { $dynamicAnchor: "node", type: "object", properties: { next: { $dynamicRef: "#node" } } };

  it("lead to the only anchor, as $ref does", () => {
    check(schema(node), ["{}", '{"next":{"next":{}}}'], ['{"next":1}']);
    check(schema({ $ref: "#node", $defs: { node } }), ['{"next":{}}'], ['{"next":1}']);
    check(
      schema({ $recursiveAnchor: true, type: "array", items: { $recursiveRef: "#" } }),
      ["[]", "[[],[[]]]"],
      ["[1]"],
    );
  });

  it("lead to the anchor of the whole document before that of a part", () => {
    const strict = { ...node, $id: "http://example.com/tree", required: ["next"] };
    check(
      schema({
        $id: "http://example.com/list",
        $dynamicAnchor: "node",
        anyOf: [{ type: "null" }, { $ref: "tree" }],
        $defs: { strict },
      }),
      ["null", '{"next":null}', '{"next":{"next":null}}'],
      ["{}", '{"next":{}}', '{"next":1}'],
    );
  });

  it("are refused where the way to them matters", () => {
    const other = { $id: "http://example.com/other", $dynamicAnchor: "node", type: "null" };
    const inner = { ...node, $id: "http://example.com/inner" };
    expect(failure(schema({ $ref: "http://example.com/inner", $defs: { other, inner } })).message).toBe(
      'The $dynamicRef "#node" at #/$defs/inner/properties/next/$dynamicRef may lead to several places, which is not supported.',
    );
  });
});

it("required properties of allOf come in the order of its schemas", () => {
  const requiring = (...names: string[]): object => ({
    properties: Object.fromEntries(names.map((name) => [name, {}])),
    required: names,
  });
  check(
    schema({ allOf: [requiring("b", "c"), { type: "object", ...requiring("a") }] }),
    ['{"b":1,"c":2,"a":3}'],
    ['{"a":3,"b":1,"c":2}'],
  );
});

describe("drafts", () => {
  it.each<[object, string[], string[]]>([
    // Keywords beside $ref.
    [
      { $schema: DRAFT_7, $ref: "#/definitions/a", minimum: 5, definitions: { a: { type: "integer" } } },
      ["1"],
      ['"a"'],
    ],
    [{ $schema: DRAFT_2020, $ref: "#/$defs/a", minimum: 5, $defs: { a: { type: "integer" } } }, ["5"], ["1"]],
    // Bounds.
    [{ $schema: DRAFT_4, type: "integer", minimum: 1, exclusiveMinimum: true }, ["2"], ["1"]],
    [{ type: "integer", maximum: 1, exclusiveMaximum: true }, ["0"], ["1"]],
    [{ type: "integer", maximum: 1, exclusiveMaximum: false }, ["1"], ["2"]],
    [{ type: "integer", exclusiveMaximum: true }, ["1"], []],
    // Tuples.
    [{ type: "array", items: [{ const: 1 }], additionalItems: { const: 2 } }, ["[]", "[1,2,2]"], ["[2]", "[1,1]"]],
    [{ type: "array", items: [{ const: 1 }], additionalItems: false }, ["[]", "[1]"], ["[1,1]"]],
    [{ type: "array", items: { const: 1 }, additionalItems: false }, ["[1,1]"], ["[2]"]],
    [{ type: "array", items: [] }, ["[]", "[1]"], []],
    // Dependencies.
    [
      { type: "object", dependencies: { a: ["b"], c: { required: ["d"] } } },
      ["{}", '{"a":1,"b":1}', '{"c":1,"d":1}'],
      ['{"a":1}', '{"c":1}'],
    ],
    // Names of schemas.
    [
      { $schema: DRAFT_4, id: "http://example.com/a", $ref: "#/definitions/b", definitions: { b: { enum: [1] } } },
      ["1"],
      ["2"],
    ],
    [{ $schema: DRAFT_4, $ref: "#b", definitions: { b: { id: "#b", enum: [1] } } }, ["1"], ["2"]],
    [{ $schema: DRAFT_7, allOf: [{ $ref: "#b" }], definitions: { b: { $id: "#b", enum: [1] } } }, ["1"], ["2"]],
    // OpenAPI 3.0.
    [{ type: "string", nullable: true }, ['"a"', "null"], ["1"]],
    [{ type: "string", nullable: false }, ['"a"'], ["null"]],
    [{ $schema: DRAFT_7, type: "string", nullable: true }, ['"a"'], ["null"]],
    // Annotations and unknown keywords.
    [{ type: "null", title: null, discriminator: { propertyName: "a" }, additonalProperties: false }, ["null"], ["1"]],
    // What is not used is not read.
    [{ type: "null", $defs: { a: { unevaluatedItems: false, $ref: "http://example.com" } } }, ["null"], ["1"]],
  ])("%j", (value, right, wrong) => {
    check(schema(value), right, wrong);
  });
});

describe("schemas of all these keywords", () => {
  const leaf = fc.constantFrom<object>(
    {},
    { type: "integer" },
    { type: "string" },
    { type: ["null", "boolean"] },
    { const: 1 },
    { enum: ["a", null, 2] },
    { minimum: 1, type: "number" },
    { maxLength: 1 },
    { pattern: "^a" },
    { required: ["a"] },
    { maxItems: 1 },
    { minProperties: 1 },
  );
  const { any } = fc.letrec<{ any: object }>((tie) => {
    const inner = tie("any");
    const list = fc.array(inner, { minLength: 1, maxLength: 3 });
    return {
      any: fc.oneof(
        { depthSize: "small", withCrossShrink: true },
        leaf,
        inner.map((not) => ({ not })),
        list.map((oneOf) => ({ oneOf })),
        list.map((anyOf) => ({ anyOf })),
        list.map((allOf) => ({ allOf })),
        fc.record({ if: inner, then: inner, else: inner }),
        fc.record({ if: inner, then: inner }),
        fc.record({ contains: inner, minContains: fc.nat(2) }),
        fc.record({ contains: inner, maxContains: fc.integer({ min: 1, max: 2 }) }),
        fc
          .record({ contains: inner, minContains: fc.nat(2), maxContains: fc.nat(2), items: inner })
          .map((one) => ({ ...one, maxContains: one.minContains + one.maxContains })),
        // Ajv 8.20 skips contains for an empty array beside prefixItems in one schema.
        fc
          .record({ contains: inner, maxContains: fc.integer({ min: 1, max: 2 }), minItems: fc.nat(2), first: inner })
          .map(({ first, ...one }) => ({ allOf: [one, { prefixItems: [first] }] })),
        fc.record({ properties: fc.record({ a: inner, b: inner }), required: fc.constantFrom([], ["a"], ["b"]) }),
        inner.map((items) => ({ items })),
        fc.array(inner, { minLength: 1, maxLength: 2 }).map((prefixItems) => ({ prefixItems })),
        inner.map((a) => ({ dependentSchemas: { a } })),
        fc.constant({ type: "array", uniqueItems: true, items: { type: ["string", "number", "null"] } }),
      ),
    };
  });
  const VALUES: readonly unknown[] = [
    null,
    true,
    0,
    1,
    2,
    1.5,
    -3,
    "",
    "a",
    "b",
    "ab",
    "ba",
    [],
    [1],
    ["a"],
    [1, 1],
    ["a", "a"],
    [1, "a"],
    [null, 2],
    [1, 2, "a"],
    [["a"]],
    [{}],
    {},
    { a: 1 },
    { a: "a" },
    { b: 2 },
    { a: 1, b: 2 },
    { a: null, b: "a" },
    { c: 1 },
    { a: [1], b: {} },
  ];

  it("no invalid value is accepted, and every valid one unless a note says so", { timeout: 300_000 }, () => {
    const ajv = new Ajv2020({ strict: false, logger: false });
    const counts = { valid: 0, invalid: 0, inPart: 0, refused: 0 };
    fc.assert(
      fc.property(any, (value) => {
        const validate = ajv.compile(value);
        const valid = VALUES.filter((instance) => validate(instance));
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
          counts.refused++;
          if (error.code === "invalid_schema") expect(valid).toEqual([]);
        }
      }),
      { numRuns: numCases(1500) },
    );
    expect(counts.inPart).toBeLessThan(counts.valid / 2);
    expect(counts.invalid).toBeGreaterThan(counts.valid / 10);
  });

  it("Ajv reads draft 7 the same way", () => {
    const ajv = new Ajv({ strict: false });
    const tuple = { items: [{ const: 1 }, { type: "string" }], additionalItems: { type: "null" }, type: "array" };
    for (const instance of [[], [1], [1, "a"], [1, "a", null], [2], [1, 1], [1, "a", 1]])
      expect(accepts(schema(tuple), JSON.stringify(instance))).toBe(ajv.validate(tuple, instance));
  });
});

/** Returns the value as JSON, with the keys of its outermost object in both orders. */
function orders(value: unknown): string[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [JSON.stringify(value)];
  const entries = Object.entries(value);
  return [entries, entries.toReversed()].map((some) => JSON.stringify(Object.fromEntries(some)));
}

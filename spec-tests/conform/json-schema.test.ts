import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { expect, test } from "vitest";

import { numCases } from "../fixtures/property-size.js";
import { schemaFault, type Schema } from "./json-schema.js";

/** JSON values without very large or small numbers, for which Ajv's multipleOf is wrong. */
const values = fc.jsonValue({ maxDepth: 2 }).filter((value) => !/\de[+-]\d/.test(JSON.stringify(value)));
const small = fc.integer({ min: -3, max: 9 });
const count = fc.nat(3);
// No empty name: Ajv does not report a missing required property whose name is empty.
const names = fc.constantFrom("a", "b", "c d");

/** Schemas of one or two keywords, so that other keywords do not decide the verdict. */
const { schema: schemas } = fc.letrec<{ schema: Schema }>((tie) => {
  const keywords: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
    type: fc.constantFrom<unknown>("object", "array", "string", "integer", "number", "boolean", "null", [
      "string",
      "integer",
    ]),
    enum: fc.uniqueArray(fc.constantFrom<unknown>(1, "a", null, true, "é"), { minLength: 1 }),
    const: fc.constantFrom<unknown>(1, "a", { a: [1] }, [], {}),
    minimum: small,
    maximum: small,
    multipleOf: fc.integer({ min: 1, max: 5 }),
    minLength: count,
    maxLength: count,
    pattern: fc.constantFrom("^a", "[0-9]", "é$"),
    minItems: count,
    maxItems: count,
    uniqueItems: fc.boolean(),
    required: fc.uniqueArray(names),
    not: tie("schema"),
    contains: tie("schema"),
    anyOf: fc.array(tie("schema"), { minLength: 1, maxLength: 2 }),
    items: tie("schema"),
    properties: fc.dictionary(names, tie("schema"), { maxKeys: 2 }),
    additionalProperties: tie("schema"),
  };
  const entry = fc.oneof(...Object.entries(keywords).map(([name, argument]) => fc.tuple(fc.constant(name), argument)));
  return {
    schema: fc.oneof(
      { maxDepth: 2 },
      fc.boolean(),
      fc.array(entry, { minLength: 1, maxLength: 2 }).map((entries) => Object.fromEntries(entries)),
    ),
  };
});

/** Values near the arguments of the keywords, so that many of them are valid. */
const plain: fc.Arbitrary<unknown> = fc.oneof(
  small,
  fc.constantFrom("", "é", "é9", "abc", "😊", "😊a", "😊😊😊"),
  fc.constantFrom<unknown>(1, "a", null, true, 2.5, [], {}, { a: [1] }, [1, 1], [1, [1]], ["a", { b: null }]),
  fc.dictionary(names, fc.oneof(small, values), { maxKeys: 3 }),
  fc.array(fc.oneof(small, values), { maxLength: 4 }),
  values,
);

/** Round-trips a value through JSON, which gives objects the prototypes that Ajv compares. */
function parsed(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

test("agrees with Ajv on every keyword it knows", () => {
  const ajv = new Ajv2020({ strict: false });
  const verdicts = { valid: 0, invalid: 0 };
  fc.assert(
    fc.property(schemas, plain.map(parsed), (schema, value) => {
      const isValid = ajv.validate(schema, value);
      verdicts[isValid ? "valid" : "invalid"]++;
      expect(schemaFault(value, schema) === null).toBe(isValid);
    }),
    { numRuns: numCases(4000) },
  );
  expect(Math.min(verdicts.valid, verdicts.invalid)).toBeGreaterThan(numCases(100));
});

test("reports the path and the fault", () => {
  expect(schemaFault({ a: [1, "x"] }, { properties: { a: { items: { type: "integer" } } } })).toBe(
    '/a/1: "x" is not valid against type "integer"',
  );
});

test("throws for an unknown keyword", () => {
  expect(() => schemaFault(1, { format: "date" })).toThrow("No check of format");
});

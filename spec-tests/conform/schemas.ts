/** Schemas that laws send. */

import fc, { type Arbitrary } from "fast-check";

import type { Schema } from "./json-schema.js";

const leaves: Arbitrary<Schema> = fc.oneof(
  fc.constantFrom<Schema>(
    { type: "boolean" },
    { type: "null" },
    { type: ["integer", "null"], minimum: -9, maximum: 9 },
  ),
  fc
    .tuple(fc.integer({ min: -50, max: 50 }), fc.nat(20))
    .map(([minimum, more]) => ({ type: "integer", minimum, maximum: minimum + more })),
  fc
    .uniqueArray(fc.constantFrom<unknown>("red", 'a "quoted" one', "é你", 7, null, true, ""), {
      minLength: 1,
      maxLength: 3,
    })
    .map((values) => ({ enum: values })),
  fc
    .tuple(fc.nat(2), fc.nat(4))
    .map(([minLength, more]) => ({ type: "string", minLength, maxLength: minLength + more })),
);

const values: Arbitrary<Schema> = fc.oneof(
  { weight: 3, arbitrary: leaves },
  {
    weight: 1,
    arbitrary: fc
      .record({ items: leaves, bound: fc.nat(2) })
      .map(({ items, bound }) => ({ type: "array", items, minItems: bound, maxItems: bound + 1 })),
  },
);

const properties = fc.uniqueArray(fc.tuple(fc.constantFrom("a", "size", "with space", "größe"), values), {
  minLength: 1,
  maxLength: 3,
  selector: ([name]) => name,
});

/** Objects of one to three properties, without additional properties. All valid answers are short. */
export const objects: Arbitrary<Schema> = properties.map((entries) => ({
  type: "object",
  properties: Object.fromEntries(entries),
  required: entries.map(([name]) => name),
  additionalProperties: false,
}));

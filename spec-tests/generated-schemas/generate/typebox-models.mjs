import { Type } from "typebox";

const Point = Type.Object({ x: Type.Number(), y: Type.Number() });

/** Name, model, valid, invalid. */
const CASES = [
  [
    "object",
    Type.Object({ name: Type.String({ minLength: 1 }), age: Type.Optional(Type.Integer({ minimum: 0 })) }),
    { name: "Ada", age: 1 },
    { name: "", age: 1 },
  ],
  ["closed object", Type.Object({ a: Type.String() }, { additionalProperties: false }), { a: "x" }, { a: "x", b: 1 }],
  [
    "additional",
    Type.Object({ a: Type.String() }, { additionalProperties: Type.Number() }),
    { a: "x", b: 1 },
    { a: "x", b: "y" },
  ],
  ["literals", Type.Union([Type.Literal("a"), Type.Literal(1), Type.Literal(true)]), 1, 2],
  ["enum", Type.Enum(["red", "green"]), "red", "blue"],
  ["nullable", Type.Object({ a: Type.Union([Type.String(), Type.Null()]) }), { a: null }, { a: 1 }],
  [
    "union",
    Type.Union([
      Type.Object({ kind: Type.Literal("a"), a: Type.String() }),
      Type.Object({ kind: Type.Literal("b"), b: Type.Number() }),
    ]),
    { kind: "b", b: 1 },
    { kind: "b", a: "x" },
  ],
  ["intersection", Type.Intersect([Point, Type.Object({ z: Type.Number() })]), { x: 1, y: 2, z: 3 }, { x: 1, y: 2 }],
  [
    "closed intersection",
    Type.Intersect([Point, Type.Object({ z: Type.Number() })], { unevaluatedProperties: false }),
    { x: 1, y: 2, z: 3 },
    { x: 1, y: 2, z: 3, w: 4 },
  ],
  ["tuple", Type.Tuple([Type.String(), Type.Number()]), ["a", 1], ["a", 1, 2]],
  ["array", Type.Array(Type.String(), { minItems: 1, maxItems: 3, uniqueItems: true }), ["a", "b"], ["a", "a"]],
  [
    "containing",
    Type.Array(Type.Integer(), { contains: Type.Literal(1), minContains: 1, maxContains: 2 }),
    [1, 5],
    [5],
  ],
  ["record", Type.Record(Type.String(), Type.Number()), { a: 1 }, { a: "x" }],
  [
    "record of literals",
    Type.Record(Type.Union([Type.Literal("a"), Type.Literal("b")]), Type.Number()),
    { a: 1, b: 2 },
    { a: 1 },
  ],
  ["record by pattern", Type.Record(Type.String({ pattern: "^S_" }), Type.String()), { S_a: "b" }, { S_a: 1 }],
  [
    "record by number",
    Type.Record(Type.Integer(), Type.String(), { additionalProperties: false }),
    { 1: "a" },
    { a: "a" },
  ],
  [
    "cyclic",
    Type.Cyclic({ Node: Type.Object({ id: Type.String(), nodes: Type.Array(Type.Ref("Node")) }) }, "Node"),
    { id: "a", nodes: [{ id: "b", nodes: [] }] },
    { id: "a", nodes: [{ id: "b" }] },
  ],
  ["template literal", Type.TemplateLiteral("on-${'a'|'b'}-${number}"), "on-a-1", "on-c-1"],
  [
    "formats",
    Type.Object({
      id: Type.String({ format: "uuid" }),
      at: Type.String({ format: "date-time" }),
      link: Type.String({ format: "uri" }),
    }),
    { id: "3fa85f64-5717-4562-b3fc-2c963f66afa6", at: "2026-01-02T03:04:05Z", link: "https://example.com/" },
    { id: 3, at: "2026-01-02T03:04:05Z", link: "https://example.com/" },
  ],
  [
    "numbers",
    Type.Object({ a: Type.Number({ exclusiveMinimum: 0, exclusiveMaximum: 1 }), b: Type.Integer({ multipleOf: 10 }) }),
    { a: 0.5, b: 20 },
    { a: 0.5, b: 25 },
  ],
  ["partial and required", Type.Partial(Point), {}, { x: "a" }],
  [
    "pick and omit",
    Type.Omit(Type.Object({ a: Type.String(), b: Type.Number(), c: Type.Boolean() }), ["b"]),
    { a: "x", c: true },
    { a: "x" },
  ],
  ["keyof", Type.KeyOf(Point), "x", "z"],
  [
    "conditional",
    {
      type: "object",
      properties: { a: Type.Boolean(), b: Type.String() },
      required: ["a"],
      if: { properties: { a: { const: true } } },
      then: { required: ["b"] },
    },
    { a: false },
    { a: true },
  ],
  ["any and unknown", Type.Object({ a: Type.Any(), b: Type.Unknown() }), { a: 1, b: null }, { a: 1 }],
  ["never", Type.Object({ a: Type.Optional(Type.Never()), b: Type.String() }), { b: "x" }, { a: 1, b: "x" }],
  ["not", Type.Object({ a: { not: Type.String(), type: ["string", "number"] } }), { a: 1 }, { a: "x" }],
  [
    "described",
    Type.Object(
      {
        city: Type.String({ description: "City", examples: ["Paris"] }),
        days: Type.Integer({ default: 3, minimum: 1, maximum: 7 }),
      },
      { title: "Forecast" },
    ),
    { city: "Paris", days: 3 },
    { city: "Paris", days: 8 },
  ],
];

export function generated() {
  return {
    generator: "typebox",
    cases: CASES.map(([name, schema, valid, invalid]) => ({ name, schema, valid, invalid })),
  };
}

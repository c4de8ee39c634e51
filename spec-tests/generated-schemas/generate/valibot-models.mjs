import { toJsonSchema } from "@valibot/to-json-schema";
import * as v from "valibot";

const Tree = v.object({ name: v.string(), children: v.array(v.lazy(() => Tree)) });

/** Name, model, valid, invalid. */
const CASES = [
  [
    "object",
    v.object({ name: v.pipe(v.string(), v.minLength(1)), age: v.pipe(v.number(), v.integer(), v.minValue(0)) }),
    { name: "Ada", age: 1 },
    { name: "", age: 1 },
  ],
  ["strict object", v.strictObject({ a: v.string() }), { a: "x" }, { a: "x", b: 1 }],
  ["loose object", v.looseObject({ a: v.string() }), { a: "x", b: 1 }, { b: 1 }],
  ["object with rest", v.objectWithRest({ a: v.string() }, v.number()), { a: "x", b: 1 }, { a: "x", b: "y" }],
  [
    "optional and nullable",
    v.object({ a: v.optional(v.string()), b: v.nullable(v.number()), c: v.nullish(v.boolean()) }),
    { b: null, c: null },
    { a: 1, b: 1 },
  ],
  ["default", v.object({ a: v.optional(v.picklist(["x", "y"]), "x") }), { a: "y" }, { a: "z" }],
  ["literal", v.object({ a: v.literal("x"), b: v.literal(1) }), { a: "x", b: 1 }, { a: "x", b: 2 }],
  ["picklist", v.picklist(["a", "b", 3]), 3, 4],
  ["enum", v.enum({ Up: "UP", Down: "DOWN" }), "UP", "LEFT"],
  ["union", v.union([v.string(), v.number(), v.array(v.boolean())]), [true], ["a"]],
  [
    "variant",
    v.variant("type", [
      v.object({ type: v.literal("a"), a: v.string() }),
      v.object({ type: v.literal("b"), b: v.number() }),
    ]),
    { type: "b", b: 1 },
    { type: "b", a: "x" },
  ],
  [
    "intersection",
    v.intersect([v.object({ a: v.string() }), v.object({ b: v.number() })]),
    { a: "x", b: 1 },
    { a: "x" },
  ],
  ["recursive", Tree, { name: "a", children: [{ name: "b", children: [] }] }, { name: "a", children: [{ name: "b" }] }],
  ["tuple", v.strictTuple([v.string(), v.number()]), ["a", 1], ["a", 1, 2]],
  ["loose tuple", v.looseTuple([v.string()]), ["a", 1], [1]],
  ["tuple with rest", v.tupleWithRest([v.string()], v.number()), ["a", 1, 2], ["a", "b"]],
  ["record", v.record(v.string(), v.number()), { a: 1 }, { a: "x" }],
  ["record by pattern", v.record(v.pipe(v.string(), v.regex(/^x-/)), v.string()), { "x-a": "b" }, { a: "b" }],
  ["array", v.pipe(v.array(v.string()), v.minLength(1), v.maxLength(2)), ["a"], []],
  [
    "formats",
    v.object({
      mail: v.pipe(v.string(), v.email()),
      url: v.pipe(v.string(), v.url()),
      id: v.pipe(v.string(), v.uuid()),
      day: v.pipe(v.string(), v.isoDate()),
      ip: v.pipe(v.string(), v.ipv4()),
    }),
    {
      mail: "a@example.com",
      url: "https://example.com/",
      id: "3fa85f64-5717-4562-b3fc-2c963f66afa6",
      day: "2026-01-31",
      ip: "10.0.0.1",
    },
    {
      mail: 1,
      url: "https://example.com/",
      id: "3fa85f64-5717-4562-b3fc-2c963f66afa6",
      day: "2026-01-31",
      ip: "10.0.0.1",
    },
  ],
  [
    "patterns",
    v.object({
      hex: v.pipe(v.string(), v.hexColor()),
      digits: v.pipe(v.string(), v.digits()),
      slug: v.pipe(v.string(), v.slug()),
      emoji: v.pipe(v.string(), v.nonEmpty()),
    }),
    { hex: "#a1b2c3", digits: "12", slug: "a-b", emoji: "x" },
    { hex: "#a1b2c3", digits: "1x", slug: "a-b", emoji: "x" },
  ],
  [
    "numbers",
    v.object({ a: v.pipe(v.number(), v.multipleOf(0.5)), b: v.pipe(v.number(), v.gtValue(0), v.ltValue(1)) }),
    { a: 1.5, b: 0.5 },
    { a: 1.5, b: 1 },
  ],
  ["any", v.object({ a: v.any(), b: v.unknown(), c: v.null() }), { a: 1, b: 2, c: null }, { a: 1, b: 2, c: 0 }],
  [
    "described",
    v.pipe(v.object({ city: v.pipe(v.string(), v.description("City")) }), v.title("Arguments")),
    { city: "Paris" },
    {},
  ],
  ["partial", v.partial(v.object({ a: v.string(), b: v.number() })), {}, { a: 1 }],
];

export function generated() {
  return {
    generator: "valibot",
    cases: CASES.map(([name, model, valid, invalid]) => {
      if (!v.is(model, valid) || v.is(model, invalid)) throw new Error(name);
      return { name, schema: toJsonSchema(model), valid, invalid };
    }),
  };
}

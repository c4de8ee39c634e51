import { zodToJsonSchema } from "zod-to-json-schema";
import { z } from "zod/v3";

const Node = z.object({ value: z.string(), next: z.lazy(() => Node.optional()) });
const Address = z.object({ street: z.string(), city: z.string() });

/** Name, model, valid, invalid. */
const CASES = [
  [
    "object",
    z.object({ name: z.string().min(2), age: z.number().int().nonnegative() }),
    { name: "Ada", age: 3 },
    { name: "A", age: 3 },
  ],
  ["strict", z.object({ a: z.string() }).strict(), { a: "x" }, { a: "x", b: 1 }],
  ["passthrough", z.object({ a: z.string() }).passthrough(), { a: "x", b: 1 }, { b: 1 }],
  [
    "same object twice",
    z.object({ home: Address, work: Address }),
    { home: { street: "a", city: "b" }, work: { street: "c", city: "d" } },
    { home: { street: "a", city: "b" }, work: { street: "c" } },
  ],
  [
    "optional and nullable",
    z.object({ a: z.string().optional(), b: z.number().nullable(), c: z.string().nullish() }),
    { b: null, c: null },
    { a: null, b: 1 },
  ],
  ["nullable object", z.object({ a: Address.nullable() }), { a: null }, { a: 1 }],
  [
    "enum",
    z.object({ unit: z.enum(["c", "f"]).default("c"), flag: z.literal(true) }),
    { unit: "f", flag: true },
    { unit: "k", flag: true },
  ],
  ["native enum", z.nativeEnum({ Up: "UP", Down: 2 }), 2, "DOWN"],
  ["union", z.union([z.string(), z.number(), z.object({ a: z.boolean() })]), { a: true }, true],
  [
    "discriminated union",
    z.discriminatedUnion("type", [
      z.object({ type: z.literal("a"), a: z.string() }),
      z.object({ type: z.literal("b"), b: z.number() }),
    ]),
    { type: "b", b: 1 },
    { type: "b", a: "x" },
  ],
  [
    "intersection",
    z.intersection(z.object({ a: z.string() }), z.object({ b: z.number() })),
    { a: "x", b: 1 },
    { a: "x" },
  ],
  ["recursive", Node, { value: "a", next: { value: "b" } }, { value: "a", next: {} }],
  ["tuple", z.tuple([z.string(), z.number()]).rest(z.boolean()), ["a", 1, true], ["a", 1, 2]],
  ["record", z.record(z.string(), z.array(z.number())), { a: [1] }, { a: 1 }],
  ["record of enum", z.record(z.enum(["a", "b"]), z.number()), { a: 1 }, { c: 1 }],
  ["map", z.map(z.string(), z.number()), [["a", 1]], [["a"]]],
  ["set", z.set(z.string()).min(1), ["a", "b"], ["a", "a"]],
  [
    "array",
    z
      .array(z.object({ id: z.number() }))
      .nonempty()
      .max(3),
    [{ id: 1 }],
    [],
  ],
  [
    "strings",
    z.object({
      mail: z.string().email(),
      url: z.string().url(),
      id: z.string().uuid(),
      at: z.string().datetime(),
      code: z.string().regex(/^\w+$/),
      ip: z.string().ip(),
    }),
    {
      mail: "a@example.com",
      url: "https://example.com",
      id: "3fa85f64-5717-4562-b3fc-2c963f66afa6",
      at: "2026-01-02T03:04:05Z",
      code: "a_1",
      ip: "10.0.0.1",
    },
    {
      mail: "a@example.com",
      url: "https://example.com",
      id: "3fa85f64-5717-4562-b3fc-2c963f66afa6",
      at: "2026-01-02T03:04:05Z",
      code: "a b",
      ip: "10.0.0.1",
    },
  ],
  ["prefixes", z.string().startsWith("sk-").endsWith("=").includes("x"), "sk-x=", "sk-="],
  [
    "numbers",
    z.object({ a: z.number().gt(0).lt(1), b: z.number().multipleOf(0.01), c: z.number().int().safe() }),
    { a: 0.5, b: 0.25, c: 1 },
    { a: 1, b: 0.25, c: 1 },
  ],
  ["any", z.object({ a: z.any(), b: z.unknown(), c: z.null() }), { a: 1, b: 2, c: null }, { c: 0 }],
  ["never", z.object({ a: z.string(), b: z.never().optional() }), { a: "x" }, { a: "x", b: 1 }],
  ["effects", z.string().transform((text) => text.length), "abc", 3],
  ["branded and caught", z.object({ id: z.string().brand("Id"), n: z.number().catch(1) }), { id: "a", n: 2 }, { n: 2 }],
  ["described", z.object({ city: z.string().describe("City") }).describe("Arguments"), { city: "Paris" }, {}],
];

/** Some models take other values than their JSON, such as a `Map`, so only the schema decides. */
export function generated() {
  return {
    generator: "zod-3",
    cases: CASES.map(([name, model, valid, invalid]) => ({ name, schema: zodToJsonSchema(model), valid, invalid })),
  };
}

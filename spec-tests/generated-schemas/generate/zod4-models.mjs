import { z } from "zod";

const Category = z.object({
  name: z.string(),
  get children() {
    return z.array(Category);
  },
});

const Shape = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("circle"), radius: z.number().positive() }),
  z.object({ kind: z.literal("square"), side: z.number().positive() }),
  z.object({ kind: z.literal(["rect", "box"]), width: z.number(), height: z.number() }),
]);

const Person = z.object({ name: z.string().min(1), age: z.number().int().min(0).max(150) });

/** Name, model, valid, invalid. */
const CASES = [
  ["person", Person, { name: "Ada", age: 36 }, { name: "", age: 36 }],
  ["strict object", z.strictObject({ a: z.string() }), { a: "x" }, { a: "x", b: 1 }],
  ["loose object", z.looseObject({ a: z.string() }), { a: "x", b: 1 }, { b: 1 }],
  ["catchall", z.object({ a: z.string() }).catchall(z.number()), { a: "x", b: 1 }, { a: "x", b: "y" }],
  [
    "optional and nullable",
    z.object({ a: z.string().optional(), b: z.number().nullable() }),
    { b: null },
    { a: null, b: 1 },
  ],
  ["nullish date", z.object({ at: z.iso.datetime().nullish() }), { at: "2026-01-02T03:04:05Z" }, { at: 5 }],
  [
    "default",
    z.object({ page: z.number().int().default(1), size: z.number().int().positive().default(20) }),
    { page: 1, size: 20 },
    { page: 1.5, size: 20 },
  ],
  [
    "enum",
    z.object({ color: z.enum(["red", "green"]), level: z.literal([1, 2, 3]) }),
    { color: "red", level: 2 },
    { color: "blue", level: 2 },
  ],
  ["native enum", z.enum({ Up: 1, Down: 2 }), 2, 3],
  ["union", z.union([z.string(), z.number(), z.array(z.boolean())]), [true], ["a"]],
  ["discriminated union", Shape, { kind: "box", width: 1, height: 2 }, { kind: "circle", side: 1 }],
  [
    "list of shapes",
    z.object({ shapes: z.array(Shape).min(1).max(4) }),
    { shapes: [{ kind: "square", side: 2 }] },
    { shapes: [] },
  ],
  [
    "intersection",
    z.intersection(Person, z.object({ email: z.email() })),
    { name: "Ada", age: 1, email: "a@example.com" },
    { name: "Ada", age: 1 },
  ],
  [
    "recursive",
    Category,
    { name: "a", children: [{ name: "b", children: [] }] },
    { name: "a", children: [{ name: "b" }] },
  ],
  ["tuple", z.tuple([z.string(), z.number()]), ["a", 1], ["a", true]],
  ["tuple with rest", z.tuple([z.string()]).rest(z.number()), ["a", 1, 2], ["a", true]],
  ["record", z.record(z.string(), z.number()), { a: 1, b: 2 }, { a: "x" }],
  ["record of enum", z.partialRecord(z.enum(["a", "b"]), z.number()), { a: 1 }, { a: "x" }],
  ["record of all", z.record(z.enum(["a", "b"]), z.number()), { a: 1, b: 2 }, { a: 1 }],
  ["record by pattern", z.record(z.string().regex(/^x-/), z.string()), { "x-a": "b" }, { "x-a": 1 }],
  [
    "formats",
    z.object({ id: z.uuid(), url: z.url(), mail: z.email(), ip: z.ipv4(), day: z.iso.date() }),
    {
      id: "3fa85f64-5717-4562-b3fc-2c963f66afa6",
      url: "https://example.com/a",
      mail: "a@example.com",
      ip: "10.0.0.1",
      day: "2026-01-31",
    },
    { id: "3", url: "https://example.com/a", mail: "a@example.com", ip: "10.0.0.1", day: "2026-01-31" },
  ],
  [
    "identifiers",
    z.object({ cuid: z.cuid2(), ulid: z.ulid(), nano: z.nanoid() }),
    { cuid: "tz4a98xxat96iws9zmbrgj3a", ulid: "01ARZ3NDEKTSV4RRFFQ69G5FAV", nano: "V1StGXR8_Z5jdHi6B-myT" },
    { cuid: "tz4a98xxat96iws9zmbrgj3a", ulid: "01", nano: "V1StGXR8_Z5jdHi6B-myT" },
  ],
  [
    "strings",
    z.object({
      code: z
        .string()
        .length(3)
        .regex(/^[A-Z]+$/),
      slug: z.string().startsWith("a").endsWith("z").includes("-"),
    }),
    { code: "ABC", slug: "a-z" },
    { code: "ABC", slug: "az" },
  ],
  [
    "numbers",
    z.object({ half: z.number().multipleOf(0.5), below: z.number().lt(10).gt(0), int32: z.int32() }),
    { half: 1.5, below: 9.5, int32: 7 },
    { half: 1.5, below: 10, int32: 7 },
  ],
  ["template literal", z.templateLiteral(["v", z.number(), ".", z.enum(["a", "b"])]), "v1.a", "v1.c"],
  ["base64", z.object({ data: z.base64(), token: z.jwt().optional() }), { data: "YWJj" }, { data: "%" }],
  [
    "any and unknown",
    z.object({ a: z.any(), b: z.unknown(), c: z.null() }),
    { a: 1, b: [], c: null },
    { a: 1, b: [], c: 0 },
  ],
  ["never", z.object({ a: z.never().optional(), b: z.string() }), { b: "x" }, { a: 1, b: "x" }],
  ["json", z.object({ value: z.json() }), { value: { a: [1, null] } }, {}],
  [
    "nested defaults",
    z.object({ options: z.object({ deep: z.boolean().default(false) }).default({ deep: false }) }),
    { options: { deep: true } },
    { options: { deep: 1 } },
  ],
  [
    "description",
    z
      .object({ city: z.string().describe("City, e.g. Paris"), unit: z.enum(["c", "f"]).optional().describe("Unit") })
      .meta({ id: "Weather", title: "Weather" }),
    { city: "Paris", unit: "c" },
    { unit: "c" },
  ],
  ["readonly and brand", z.object({ id: z.string().brand("Id") }).readonly(), { id: "a" }, { id: 1 }],
  ["partial", Person.partial(), {}, { age: -1 }],
  [
    "pick and extend",
    Person.pick({ name: true }).extend({ role: z.enum(["admin", "user"]) }),
    { name: "Ada", role: "user" },
    { name: "Ada" },
  ],
];

/** What no JSON schema can say, which the generator itself refuses. */
const UNSAID = [z.bigint(), z.date(), z.map(z.string(), z.number()), z.set(z.string()), z.symbol(), z.undefined()];

/** The invalid instances are invalid in all targets: draft 4 and OpenAPI 3.0 say less about tuples and names. */
export function generated() {
  return ["draft-4", "draft-7", "draft-2020-12", "openapi-3.0"].map((target) => {
    for (const model of UNSAID) mustThrow(() => z.toJSONSchema(model, { target }));
    return {
      generator: `zod-4-${target}`,
      cases: CASES.map(([name, model, valid, invalid]) => {
        if (!model.safeParse(valid).success || model.safeParse(invalid).success) throw new Error(name);
        return { name, schema: z.toJSONSchema(model, { target }), valid, invalid };
      }),
    };
  });
}

function mustThrow(run) {
  try {
    run();
  } catch {
    return;
  }
  throw new Error("The generator writes a model that JSON cannot say.");
}

/**
 * Section 7: formats with complete answers, texts that are not answers, prefixes of answers, and texts that are not
 * prefixes.
 */

import { CaseList, type Json, type VectorFile } from "./case-list.js";

interface Texts {
  /** Complete answers. */
  readonly legal?: readonly string[];
  /** Texts that are not complete answers. */
  readonly illegal?: readonly string[];
  /** Prefixes of complete answers. */
  readonly begins?: readonly string[];
  /** Texts that are not a prefix of any answer. */
  readonly dead?: readonly string[];
}

interface Refused {
  readonly error: "unsupported_schema" | "invalid_schema";
  /** JSON pointer into the schema. "" is the complete schema. */
  readonly pointer: string;
}

export function structuredOutputVectors(): VectorFile {
  const list = new CaseList<{ expected: Json }>("structured-output");
  const add = (group: string, clause: string, what: string, format: unknown, expected: Texts | Refused): void =>
    list.add(group, clause, what, { format, expected } as unknown as { expected: Json });
  const schema = (group: string, clause: string, what: string, value: unknown, expected: Texts | Refused): void =>
    add(group, clause, what, { type: "json_schema", schema: value }, expected);
  const texts = (
    group: string,
    clause: string,
    what: string,
    value: unknown,
    legal: readonly string[],
    illegal: readonly string[],
    more: Texts = {},
  ): void => schema(group, clause, what, value, { legal, illegal, ...more });
  const refuses = (
    clause: string,
    what: string,
    value: unknown,
    pointer: string,
    error: Refused["error"] = "unsupported_schema",
  ): void => schema(error === "unsupported_schema" ? "refused" : "invalid", clause, what, value, { error, pointer });

  add(
    "format",
    "TS-7.1",
    "json_object is an object and nothing else",
    { type: "json_object" },
    {
      legal: ["{}", '{"a":[1,null]}'],
      illegal: ["[]", "1", "null", '"{}"', "", '{"a":1', "{}{}"],
      dead: ["[", "n", "```"],
    },
  );
  add(
    "format",
    "TS-7.1",
    "json_object with a schema: the schema says of which type",
    { type: "json_object", schema: { type: "array" } },
    { legal: ["[]", "[1]"], illegal: ["{}"] },
  );
  add(
    "format",
    "TS-7.3",
    "regex is the whole answer",
    { type: "regex", regex: "yes|no" },
    { legal: ["yes", "no"], illegal: ["yesno", "", "y", " yes", "yes "], begins: ["", "y"], dead: ["m", "yes!"] },
  );
  add(
    "format",
    "TS-7.3",
    "anchors are not needed and not wrong",
    { type: "regex", regex: "^[0-9]{4}-[0-9]{2}$" },
    { legal: ["2026-11"], illegal: ["2026-1", "12026-11"] },
  );
  add(
    "format",
    "TS-7.3",
    "characters beyond ASCII are characters",
    { type: "regex", regex: ".{2}" },
    { legal: ["\u{1f600}\u00e9", "ab"], illegal: ["\u{1f600}", "abc", "a\n"] },
  );

  texts(
    "any",
    "TS-7.2",
    "true is any value",
    true,
    ["1", "null", '"a"', "[]", "{}", "false"],
    ["", "tru", "nul", "undefined", "NaN", "Infinity", "'a'"],
  );
  texts("any", "TS-7.2", "{} is any value", {}, ["1", '{"a":{}}'], ["{a:1}", "01"]);
  texts(
    "any",
    "TS-7.2",
    "annotations say nothing",
    { title: "a", description: "b", default: 1, examples: [2], $comment: "c", type: "boolean" },
    ["true", "false"],
    ["1", "2", "True"],
  );

  texts(
    "space",
    "TS-7.7",
    "nothing, one space, or one newline and up to 32 blanks",
    { type: "array", items: { type: "integer" } },
    ["[1,2]", "[1, 2]", "[ 1 , 2 ]", "[\n  1,\n  2\n]", "[\n\t1\n]", `[\n${" ".repeat(32)}1]`],
    ["[  1]", "[\n\n1]", "[ \n1]", "[\r\n1]", "[\t1]", `[\n${" ".repeat(33)}1]`],
  );
  texts(
    "space",
    "TS-7.7",
    "none before the value or behind it",
    { type: "integer" },
    ["1"],
    [" 1", "1 ", "\n1", "1\n"],
    { dead: [" ", "\n"] },
  );
  texts(
    "space",
    "TS-7.7",
    "in objects",
    { type: "object" },
    ['{ "a" : 1 }', '{\n  "a": 1\n}', "{ }"],
    ['{"a"  :1}', '{"a":  1}', '{\f"a":1}', '{\u00a0"a":1}'],
  );

  texts(
    "number",
    "TS-7.8",
    "one spelling of a single number",
    { enum: [100, 1e21, 1e-7, -0.5] },
    ["100", "1e+21", "1e-7", "-0.5"],
    ["1e2", "100.0", "1000e-1", "0100", "+100", "100.", "10", "1000", "1e21", "0.0000001", "-0.50", "-5e-1"],
  );
  texts(
    "number",
    "TS-7.8",
    "no leading zeros, points or signs that JSON does not have",
    { type: "number" },
    ["0", "0.5", "-1.25", "5.0"],
    ["00", "-", ".5", "1.", "1e", "0x1", "--1", "1,5", "-0", "-0.0", "5.00", "0.50"],
  );
  texts(
    "number",
    "TS-7.8",
    "exponents only for the largest and the smallest numbers",
    { type: "number" },
    ["6.022e23", "1e21", "1e-7", "-6.626e-34", "0.0000001", "100000000000000000000"],
    ["1e5", "1e20", "1e-6", "1E21", "1e+21", "10e21", "1.0e21", "1e021"],
  );
  texts(
    "number",
    "TS-7.8",
    "no exponent below a bound that needs none",
    { type: "number", minimum: 0, maximum: 100 },
    ["99.9", "0.0000001"],
    ["1e1", "1e-7"],
  );
  texts(
    "number",
    "TS-7.8",
    "an exponent where every number has one",
    { type: "number", minimum: 1e25, maximum: 1e30 },
    ["1e25", "9.99e29", "1e30"],
    ["10000000000000000000000000", "1e24", "1e31", "1"],
  );
  texts(
    "number",
    "TS-7.8",
    "at most 17 significant digits",
    { type: "number" },
    ["1.2345678901234567", "12345678901234567"],
    ["1.23456789012345678", "123456789012345678"],
  );
  texts("number", "TS-7.8", "a finite float64", { type: "number" }, ["1e308", "-1e308"], ["1e309", "1e999", "-1e309"]);
  texts(
    "number",
    "TS-7.8",
    "integers have digits only, up to those of 64 bits",
    { type: "integer" },
    ["0", "1", "-3", "9007199254740993", "9223372036854775807", "-9223372036854775808"],
    ["1.0", "1e2", "1.5", "1e-1", "-0", "5.00", "10000000000000000000"],
  );
  texts(
    "number",
    "TS-7.11",
    "bounds include their ends",
    { type: "integer", minimum: -2, maximum: 12 },
    ["-2", "0", "9", "12"],
    ["-3", "13", "100"],
    { begins: ["1", "-"], dead: ["-3", "13"] },
  );
  texts(
    "number",
    "TS-7.11",
    "exclusive bounds do not",
    { type: "number", exclusiveMinimum: 0, exclusiveMaximum: 1 },
    ["0.5", "0.001", "0.00001"],
    ["0", "1", "0.0", "1.0", "-0.5", "1e-5"],
  );
  texts(
    "number",
    "TS-7.8",
    "bounds hold for the float64 too",
    { type: "number", exclusiveMaximum: 1 },
    ["0.99999999999999989"],
    ["0.99999999999999999", "1"],
  );
  texts(
    "number",
    "TS-7.17",
    "0.3 is a multiple of 0.1",
    { type: "number", multipleOf: 0.1, minimum: 0, maximum: 1 },
    ["0.3", "0.7", "0", "1", "1.0"],
    ["0.35", "0.01", "0.30"],
  );
  texts(
    "number",
    "TS-7.17",
    "multiples of 5",
    { type: "integer", multipleOf: 5, minimum: 0, maximum: 100 },
    ["0", "5", "95", "100"],
    ["3", "101", "51", "5e1", "5.0"],
  );
  texts("number", "TS-7.17", "cents", { type: "number", multipleOf: 0.01, minimum: 0 }, ["19.99", "0.07"], ["19.999"]);

  texts(
    "string",
    "TS-7.9",
    "the escapes of JSON.stringify",
    { const: 'a\n"\\/\u{1f600}\u001f' },
    ['"a\\n\\"\\\\/\u{1f600}\\u001f"'],
    [
      '"\\u0061\\n\\"\\\\/\u{1f600}\\u001f"',
      '"a\\u000a\\"\\\\/\u{1f600}\\u001f"',
      '"a\\n\\"\\\\\\/\u{1f600}\\u001f"',
      '"a\\n\\"\\\\/\\ud83d\\ude00\\u001f"',
      '"a\\n\\"\\\\/\u{1f600}\\u001F"',
      '"a\n\\"\\\\/\u{1f600}\\u001f"',
    ],
  );
  texts(
    "string",
    "TS-7.9",
    "no control characters as they are",
    { type: "string" },
    ['""', '"\u007f"', '"\\u0000"', '"\u2028"'],
    ['"\u0000"', '"\u001f"', '"\t"', '"a', "'a'"],
  );
  texts(
    "string",
    "TS-7.9",
    "no lone surrogates",
    { type: "string" },
    ['"\u{1f600}"'],
    ['"\\ud83d"', '"\\ude00"', '"\\ude00\\ud83d"', '"\\ud83dx"', '"\\ud83d\\ude00"'],
    { dead: ['"\\ud', '"\\u1'] },
  );
  texts(
    "string",
    "TS-7.9",
    "no escapes of other languages",
    { type: "string" },
    ['"\\b\\f\\n\\r\\t/"'],
    ['"\\x41"', '"\\a"', '"\\0"', '"\\u{41}"', '"\\u004"', '"\\/"', '"\\u0008"'],
  );
  texts(
    "string",
    "TS-7.9",
    "lengths in code points",
    { type: "string", minLength: 2, maxLength: 3 },
    ['"ab"', '"\u{1f600}\u{1f600}"', '"\u{1f600}a"', '"\\n\\u0000"', '"abc"'],
    ['"a"', '"\u{1f600}"', '"abcd"'],
  );
  texts(
    "string",
    "TS-7.16",
    "a pattern is found anywhere",
    { type: "string", pattern: "b+", maxLength: 4 },
    ['"b"', '"abba"'],
    ['"a"', '""', '"abbab"'],
  );
  texts(
    "string",
    "TS-7.16",
    "an anchored pattern",
    { type: "string", pattern: "^[A-Z]{2}[0-9]+$" },
    ['"AB1"', '"XY12"'],
    ['"aAB1"', '"AB"', '"AB1x"', '"\\u0041B12"'],
    { dead: ['"a', '"AB1x'] },
  );
  texts(
    "string",
    "TS-7.16",
    "a pattern is about the unescaped string",
    { type: "string", pattern: "^\\n$" },
    ['"\\n"'],
    ['"n"', '"\\\\n"', '"\\u000a"'],
  );
  texts(
    "string",
    "TS-7.16",
    "classes of Unicode",
    { type: "string", pattern: "^\\p{Lu}$" },
    ['"A"', '"\u00c9"'],
    ['"a"', '"1"'],
  );
  texts(
    "string",
    "TS-7.15",
    "date",
    { type: "string", format: "date" },
    ['"2024-02-29"'],
    ['"2023-02-29"', '"2024-13-01"', '"24-01-01"'],
  );
  texts(
    "string",
    "TS-7.15",
    "date-time",
    { type: "string", format: "date-time" },
    ['"2026-11-22T10:00:00Z"', '"2026-11-22T10:00:00.5+01:00"'],
    ['"2026-11-22"', '"2026-11-22T25:00:00Z"', '"2026-11-22T10:00:00"'],
  );
  texts(
    "string",
    "TS-7.15",
    "uuid",
    { type: "string", format: "uuid" },
    ['"2eb8aa08-aa98-11ea-b4aa-73b441d16380"'],
    ['"2eb8aa08aa9811eab4aa73b441d16380"', '"2eb8aa08-aa98-11ea-b4aa-73b441d1638g"'],
  );
  texts(
    "string",
    "TS-7.15",
    "ipv4",
    { type: "string", format: "ipv4" },
    ['"192.168.0.1"', '"255.255.255.255"'],
    ['"256.0.0.1"', '"1.2.3"', '"01.2.3.4"'],
  );
  texts(
    "string",
    "TS-7.15",
    "an unknown format is an annotation",
    { type: "string", format: "colour" },
    ['"anything"'],
    ["1"],
  );

  texts(
    "choice",
    "TS-7.11",
    "enum",
    { enum: ["red", 1, null, [1, { a: 2 }]] },
    ['"red"', "1", "null", '[1,{"a":2}]'],
    ['"blue"', "2", "[1]", '"re"'],
    { begins: ['"r'], dead: ['"b', "2"] },
  );
  texts(
    "choice",
    "TS-7.11",
    "enum with a common beginning",
    { enum: ["a", "ab", "abc"] },
    ['"a"', '"ab"', '"abc"'],
    ['"abcd"', '"b"', '""'],
    { begins: ['"ab'] },
  );
  texts(
    "choice",
    "TS-7.11",
    "const of an object",
    { const: { a: [true] } },
    ['{"a":[true]}', '{"a": [ true ]}'],
    ['{"a":[false]}', "{}"],
  );
  texts("choice", "TS-7.11", "several types", { type: ["integer", "null"] }, ["1", "null"], ['"1"', "1.5", "true"]);
  texts(
    "choice",
    "TS-7.11",
    "anyOf",
    { anyOf: [{ type: "integer", minimum: 10 }, { enum: ["none"] }] },
    ["10", '"none"'],
    ["9", '"nine"'],
  );
  texts(
    "choice",
    "TS-7.11",
    "anyOf with branches that overlap",
    {
      anyOf: [
        { type: "integer", maximum: 5 },
        { type: "integer", minimum: 3 },
      ],
    },
    ["1", "4", "9"],
    ["1.5"],
  );
  texts(
    "choice",
    "TS-7.11",
    "anyOf beside other keywords",
    { type: "integer", maximum: 12, anyOf: [{ minimum: 10 }, { multipleOf: 2 }] },
    ["11", "4"],
    ["3", "14", "13"],
  );
  texts(
    "choice",
    "TS-7.11",
    "allOf",
    { allOf: [{ type: "integer", minimum: 3 }, { maximum: 5 }] },
    ["3", "5"],
    ["2", "6", '"4"'],
  );
  texts(
    "choice",
    "TS-7.18",
    "oneOf of disjoint types",
    { oneOf: [{ type: "string" }, { type: "integer" }] },
    ['"a"', "1"],
    ["1.5", "null"],
  );
  texts(
    "choice",
    "TS-7.18",
    "oneOf told apart by a key",
    {
      oneOf: [
        {
          type: "object",
          properties: { kind: { const: "a" }, x: { type: "integer" } },
          required: ["kind", "x"],
          additionalProperties: false,
        },
        {
          type: "object",
          properties: { kind: { const: "b" }, y: { type: "string" } },
          required: ["kind", "y"],
          additionalProperties: false,
        },
      ],
    },
    ['{"kind":"a","x":1}', '{"kind":"b","y":""}'],
    ['{"kind":"a","y":""}', '{"kind":"c"}', '{"kind":"b","x":1}'],
    { dead: ['{"kind":"a","y', '{"kind":"c'] },
  );
  texts(
    "choice",
    "TS-7.18",
    "oneOf of disjoint ranges",
    {
      oneOf: [
        { type: "integer", maximum: 2 },
        { type: "integer", minimum: 5 },
      ],
    },
    ["2", "5", "-7"],
    ["3", "4"],
  );

  texts(
    "choice",
    "TS-7.18",
    "oneOf of branches that overlap",
    {
      oneOf: [
        { type: "integer", maximum: 5 },
        { type: "integer", minimum: 3 },
      ],
    },
    ["2", "6"],
    ["3", "5"],
  );
  texts(
    "choice",
    "TS-7.18",
    "a key that tells branches apart is written, required or not",
    {
      oneOf: ["a", "b"].map((kind) => ({
        type: "object",
        properties: { kind: { const: kind, default: kind } },
        additionalProperties: false,
      })),
    },
    ['{"kind":"a"}', '{"kind":"b"}'],
    ["{}", '{"kind":"c"}'],
  );
  texts(
    "choice",
    "TS-7.27",
    "not an enum",
    { type: "string", not: { enum: ["a", "b"] } },
    ['"c"', '""'],
    ['"a"', '"b"'],
  );
  texts(
    "choice",
    "TS-7.27",
    "not two properties together",
    { type: "object", not: { required: ["a", "b"] } },
    ["{}", '{"a":1}', '{"b":1}'],
    ['{"a":1,"b":1}'],
  );
  texts(
    "choice",
    "TS-7.27",
    "if, then and else",
    { if: { type: "string" }, then: { minLength: 2 }, else: { type: "null" } },
    ['"ab"', "null"],
    ['"a"', "1"],
  );
  texts(
    "choice",
    "TS-7.11",
    "dependentSchemas",
    { type: "object", dependentSchemas: { a: { required: ["b"] } } },
    ["{}", '{"b":1}', '{"a":1,"b":1}', '{"b":1,"a":1}'],
    ['{"a":1}'],
  );
  texts(
    "choice",
    "TS-7.11",
    "contains",
    { type: "array", contains: { type: "string" }, minContains: 1, maxContains: 2 },
    ['["a"]', '[1,"a","b"]'],
    ["[]", "[1]", '["a","b","c"]'],
  );
  texts(
    "choice",
    "TS-7.11",
    "uniqueItems",
    { type: "array", uniqueItems: true, items: { type: ["string", "integer", "null"] } },
    ['["a","ab",1,null]', "[]"],
    ['["a","a"]', "[1,1]", "[null,null]"],
  );
  const draft = (name: string): string => `http://json-schema.org/${name}/schema#`;
  texts(
    "choice",
    "TS-7.28",
    "draft 4: a boolean excludes the bound",
    { $schema: draft("draft-04"), type: "integer", minimum: 1, exclusiveMinimum: true },
    ["2"],
    ["1"],
  );
  texts(
    "choice",
    "TS-7.28",
    "draft 7: keywords beside $ref are ignored, and items may be a tuple",
    {
      $schema: draft("draft-07"),
      $ref: "#/definitions/pair",
      type: "null",
      definitions: { pair: { type: "array", items: [{ const: 1 }, { const: 2 }], additionalItems: false } },
    },
    ["[]", "[1]", "[1,2]"],
    ["null", "[2]", "[1,2,3]"],
  );
  texts("choice", "TS-7.28", "OpenAPI 3.0: nullable", { type: "string", nullable: true }, ['"a"', "null"], ["1"]);
  texts(
    "choice",
    "TS-7.12",
    "unknown keywords are annotations",
    { type: "null", discriminator: { propertyName: "a" }, maximun: 3, title: 5 },
    ["null"],
    ["1"],
  );

  const point = {
    type: "object",
    properties: { x: { type: "integer" }, y: { type: "integer" } },
    required: ["x"],
    additionalProperties: false,
  };
  texts(
    "object",
    "TS-7.11",
    "required and optional properties",
    point,
    ['{"x":1}', '{"x":1,"y":2}'],
    ["{}", '{"y":2}', '{"x":"1"}', '{"x":1,"z":3}', '{"x":1,}'],
    { begins: ['{"x":1,', '{"y'], dead: ['{"z', '{"x":1,"x'] },
  );
  texts(
    "object",
    "TS-7.9",
    "required properties come in the schema's order",
    { ...point, required: ["y", "x"] },
    ['{"x":1,"y":2}'],
    ['{"y":2,"x":1}'],
  );
  texts(
    "object",
    "TS-7.9",
    "keys are distinct",
    { type: "object", additionalProperties: { type: "integer" } },
    ['{"a":1,"b":2}'],
    ['{"a":1,"a":2}', '{"a":1,"\\u0061":2}', '{"\\u0061":1,"a":2}'],
  );
  texts("object", "TS-7.9", "a declared key has one spelling", point, ['{"x":1}'], ['{"\\u0078":1}', '{"\\u0079":1}']);
  texts(
    "object",
    "TS-7.9",
    "optional properties come anywhere",
    { type: "object", properties: { x: {}, y: {} }, required: ["y"], additionalProperties: false },
    ['{"y":1}', '{"x":1,"y":2}', '{"y":1,"x":2}'],
    ['{"x":1}', '{"x":1,"y":2,"x":3}'],
  );
  texts(
    "object",
    "TS-7.9",
    "an additional key is none that is declared",
    { type: "object", properties: { a: { type: "integer" } }, additionalProperties: { type: "string" } },
    ['{"a":1,"b":"x"}', '{"b":"x"}'],
    ['{"a":"x"}', '{"b":1}', '{"\\u0061":"x"}'],
  );
  texts(
    "object",
    "TS-7.11",
    "additionalProperties false",
    { type: "object", properties: { a: true }, additionalProperties: false },
    ["{}", '{"a":null}'],
    ['{"b":1}'],
  );
  texts(
    "object",
    "TS-7.11",
    "a required key that is not declared",
    { type: "object", required: ["id"], properties: { a: { type: "integer" } } },
    ['{"a":1,"id":2}', '{"id":null}'],
    ['{"a":1}', "{}"],
  );
  texts(
    "object",
    "TS-7.11",
    "patternProperties",
    { type: "object", patternProperties: { "^n_": { type: "integer" } }, additionalProperties: false },
    ['{"n_a":1}', "{}"],
    ['{"n_a":"1"}', '{"a":1}'],
  );
  texts(
    "object",
    "TS-7.11",
    "propertyNames",
    { type: "object", propertyNames: { maxLength: 2 } },
    ['{"ab":1}'],
    ['{"abc":1}'],
  );
  texts(
    "object",
    "TS-7.11",
    "minProperties and maxProperties",
    { type: "object", minProperties: 1, maxProperties: 2, additionalProperties: { type: "integer" } },
    ['{"a":1}', '{"a":1,"b":2}'],
    ["{}", '{"a":1,"b":2,"c":3}'],
    { dead: ["{}", '{"a":1,"b":2,'] },
  );
  texts(
    "object",
    "TS-7.11",
    "dependentRequired",
    {
      type: "object",
      properties: { a: { type: "integer" }, b: { type: "integer" } },
      dependentRequired: { a: ["b"] },
      additionalProperties: false,
    },
    ["{}", '{"b":1}', '{"a":1,"b":2}'],
    ['{"a":1}'],
    { dead: ['{"a":1}'] },
  );
  texts(
    "object",
    "TS-7.11",
    "the keyword properties does not say that it is an object",
    { properties: { a: { type: "integer" } } },
    ["1", '"a"', '{"a":1}'],
    ['{"a":"1"}'],
  );
  texts(
    "object",
    "TS-7.9",
    "a key with a quote and a key with a backslash",
    { type: "object", properties: { 'a"b': { type: "null" }, "c\\d": { type: "null" } }, additionalProperties: false },
    ['{"a\\"b":null,"c\\\\d":null}'],
    ['{"a"b":null}'],
  );
  texts(
    "object",
    "TS-7.9",
    "the empty key",
    { type: "object", properties: { "": { type: "integer" } }, required: [""], additionalProperties: false },
    ['{"":1}'],
    ["{}"],
  );

  texts(
    "array",
    "TS-7.11",
    "items",
    { type: "array", items: { type: "integer" } },
    ["[]", "[1,2]"],
    ["[1,]", "[,]", '["1"]', "[1 2]", "1"],
  );
  texts(
    "array",
    "TS-7.11",
    "minItems and maxItems",
    { type: "array", items: { enum: [0] }, minItems: 1, maxItems: 2 },
    ["[0]", "[0,0]"],
    ["[]", "[0,0,0]"],
    { dead: ["[]", "[0,0,"] },
  );
  texts(
    "array",
    "TS-7.11",
    "prefixItems, then items",
    { type: "array", prefixItems: [{ type: "string" }, { type: "integer" }], items: { type: "null" } },
    ["[]", '["a"]', '["a",1]', '["a",1,null]'],
    ["[1]", '["a","b"]', '["a",1,2]'],
  );
  texts(
    "array",
    "TS-7.11",
    "items false behind prefixItems",
    { type: "array", prefixItems: [{ type: "integer" }], items: false, minItems: 1 },
    ["[1]"],
    ["[]", "[1,2]"],
  );
  texts(
    "array",
    "TS-7.11",
    "uniqueItems false asks for nothing",
    { type: "array", uniqueItems: false, items: { type: "integer" } },
    ["[1,1]"],
    ['["a"]'],
  );

  const tree = {
    $defs: {
      node: {
        type: "object",
        properties: { v: { type: "integer" }, next: { anyOf: [{ $ref: "#/$defs/node" }, { type: "null" }] } },
        required: ["v", "next"],
        additionalProperties: false,
      },
    },
    $ref: "#/$defs/node",
  };
  texts(
    "reference",
    "TS-7.14",
    "recursion",
    tree,
    ['{"v":1,"next":null}', '{"v":1,"next":{"v":2,"next":null}}'],
    ['{"v":1}', '{"v":1,"next":{"v":2}}', '{"v":1,"next":1}'],
  );
  texts(
    "reference",
    "TS-7.14",
    "the root",
    { type: "array", items: { $ref: "#" } },
    ["[]", "[[],[[]]]"],
    ["[1]", "{}"],
  );
  texts(
    "reference",
    "TS-7.14",
    "$anchor",
    { $defs: { a: { $anchor: "num", type: "integer" } }, $ref: "#num" },
    ["1"],
    ['"1"'],
  );
  texts(
    "reference",
    "TS-7.14",
    "$id of a schema in the document",
    { $id: "https://example.com/a", $defs: { b: { $id: "b", type: "boolean" } }, $ref: "b" },
    ["true"],
    ["1"],
  );
  texts(
    "reference",
    "TS-7.14",
    "keywords beside $ref hold too",
    { $defs: { a: { type: "integer", minimum: 1 } }, $ref: "#/$defs/a", maximum: 3 },
    ["1", "3"],
    ["0", "4"],
  );
  texts(
    "reference",
    "TS-7.14",
    "a pointer with escapes",
    { $defs: { "a/b~c": { type: "null" } }, $ref: "#/$defs/a~1b~0c" },
    ["null"],
    ["1"],
  );
  texts(
    "reference",
    "TS-7.11",
    "definitions",
    { definitions: { a: { type: "null" } }, $ref: "#/definitions/a" },
    ["null"],
    ["1"],
  );

  for (const keyword of ["divisibleBy", "disallow", "extends"])
    refuses("TS-7.12", `the keyword ${keyword}`, { [keyword]: {} }, `/${keyword}`);
  refuses(
    "TS-7.12",
    "a keyword deep inside",
    { type: "object", properties: { "a/b": { items: { extends: {} } } } },
    "/properties/a~1b/items/extends",
  );
  refuses(
    "TS-7.11",
    "distinct objects",
    { type: "array", uniqueItems: true, items: { type: "object" } },
    "/uniqueItems",
  );
  refuses("TS-7.14", "a reference out of the document", { $ref: "https://example.com/other#/a" }, "/$ref");
  refuses("TS-7.16", "a back-reference", { type: "string", pattern: "(a)\\1" }, "/pattern");
  refuses(
    "TS-7.27",
    "a negation that cannot be written",
    { type: "number", not: { multipleOf: 2 } },
    "/not/multipleOf",
  );
  refuses("TS-7.17", "a step above 2^53 - 1", { type: "number", multipleOf: 1e17 }, "/multipleOf");

  const invalid = (clause: string, what: string, value: unknown, pointer: string): void =>
    refuses(clause, what, value, pointer, "invalid_schema");
  invalid("TS-7.13", "a type that is none", { type: "text" }, "/type");
  invalid("TS-7.13", "a bound that is a string", { type: "integer", minimum: "1" }, "/minimum");
  invalid("TS-7.13", "a negative length", { type: "string", minLength: -1 }, "/minLength");
  invalid("TS-7.13", "properties that are an array", { properties: [] }, "/properties");
  invalid("TS-7.13", "required that is a string", { required: "a" }, "/required");
  invalid("TS-7.13", "an empty anyOf", { anyOf: [] }, "/anyOf");
  invalid("TS-7.17", "a step of 0", { multipleOf: 0 }, "/multipleOf");
  invalid("TS-7.14", "a reference to nothing", { $ref: "#/$defs/a" }, "/$ref");
  invalid("TS-7.16", "a pattern that is no expression", { type: "string", pattern: "[" }, "/pattern");
  invalid("TS-7.13", "false: no value satisfies it", false, "");
  invalid("TS-7.13", "bounds that leave nothing", { type: "integer", minimum: 3, maximum: 2 }, "");
  invalid(
    "TS-7.13",
    "no integer between the bounds",
    { type: "integer", exclusiveMinimum: 1, exclusiveMaximum: 2 },
    "",
  );
  invalid(
    "TS-7.13",
    "a required property that may not be",
    { type: "object", required: ["a"], properties: { a: false } },
    "",
  );
  invalid(
    "TS-7.13",
    "an instance without an end",
    { type: "object", properties: { a: { $ref: "#" } }, required: ["a"] },
    "",
  );
  invalid("TS-7.13", "an empty enum", { enum: [] }, "");

  addChoices(add);
  addGbnf(add);
  addLark(add);
  addTags(add);
  return { name: "structured-output", kind: "structured-output", cases: list.cases };
}

type Add = (group: string, clause: string, what: string, format: unknown, expected: Texts | Refused) => void;

function addChoices(add: Add): void {
  const choice = (what: string, choices: readonly string[], expected: Texts): void =>
    add("choice", "TS-7.22", what, { type: "choice", choices }, expected);
  choice("exactly one of the texts", ["yes", "no"], {
    legal: ["yes", "no"],
    illegal: ["", "y", "yesno", '"yes"', "Yes", " yes", "yes "],
    begins: ["", "ye", "n"],
    dead: ["m", "yes!", "yes "],
  });
  choice("a text that begins another", ["no", "not sure"], {
    legal: ["no", "not sure"],
    illegal: ["not"],
    begins: ["not "],
  });
  choice("characters of several bytes", ["\u00e9", "\u00e8", "\u{1f600}"], {
    legal: ["\u00e9", "\u{1f600}"],
    illegal: ["e", "\u00ea"],
    dead: ["\u00ea", "\u{1f601}"],
  });
  choice("white space and what means something elsewhere", [" a\n", "a.*", "{}"], {
    legal: [" a\n", "a.*", "{}"],
    illegal: ["a", "abc", " a"],
  });
}

function addGbnf(add: Add): void {
  const gbnf = (what: string, lines: readonly string[], expected: Texts): void =>
    add("gbnf", "TS-7.24", what, { type: "grammar", syntax: "gbnf", grammar: lines.join("\n") }, expected);
  const rules = (what: string, lines: readonly string[], expected: Texts): void =>
    add("grammar", "TS-7.23", what, { type: "grammar", syntax: "gbnf", grammar: lines.join("\n") }, expected);
  const refuses = (what: string, grammar: string, error: Refused["error"], clause = "TS-7.24"): void =>
    add("grammar-refused", clause, what, { type: "grammar", syntax: "gbnf", grammar }, { error, pointer: "" });

  rules("nesting", ['root ::= "(" root ")" | "x"'], {
    legal: ["x", "((x))"],
    illegal: ["", "(x", "x)", "()"],
    begins: ["(((", "((x)"],
    dead: ["((x)))", "()", "xx"],
  });
  rules("left recursion", ['root ::= root "+" t | t', 't ::= [0-9]+ | "(" root ")"'], {
    legal: ["1", "1+2+34", "(1+2)+3"],
    illegal: ["1+", "+1", "()"],
    dead: ["+", "1++", "1)"],
  });
  rules("left recursion through a rule that may be empty", ['root ::= n root "a" | "b"', 'n ::= "" | "c" n "d"'], {
    legal: ["b", "baa", "cdba", "ccddcdbaa"],
    illegal: ["cba", "cdb", "a"],
    dead: ["cb", "d", "bb"],
  });
  rules("all ways to divide a text", ['root ::= root root | "x" | ""'], {
    legal: ["", "x", "xxxxxxxx"],
    illegal: ["y"],
    dead: ["xy"],
  });
  rules("what can never be complete is never begun", ['root ::= "a" loop | "a" "b"', 'loop ::= "a" loop'], {
    legal: ["ab"],
    illegal: ["a", "aa"],
    dead: ["aa", "b"],
  });
  rules("rules that are not needed", ['root ::= "a"', 'b ::= "b" b'], { legal: ["a"], illegal: ["b", "ab"] });

  gbnf("texts, alternatives and the empty text", ['root ::= "yes" | "no" | '], {
    legal: ["yes", "no", ""],
    illegal: ["y", "yesno"],
  });
  gbnf("repetitions", ['root ::= "a"* "b"+ "c"? "d"{2} "e"{1,} "f"{0,2}'], {
    legal: ["bdde", "aabbcddeeff"],
    illegal: ["dde", "bde", "bddefff", "bccdde"],
  });
  gbnf("a repeated text is repeated as a whole", ['root ::= "ab"{2}'], { legal: ["abab"], illegal: ["abb", "ab"] });
  gbnf("classes", ["root ::= [a-c_\\-\\]] [^a-c\\n] ."], {
    legal: ["ax\n", "_\u00e9\u{1f600}", "-zz", "]zz"],
    illegal: ["da.", "aa.", "a\n."],
  });
  gbnf("escapes", ['root ::= "\\n\\t\\\\\\"\\x41\\u00e9\\U0001F600"'], {
    legal: ['\n\t\\"A\u00e9\u{1f600}'],
    illegal: ["nt"],
  });
  gbnf("lines and comments", ["# head", "root ::= ( # one", '  "a" |', '  "b"', ") end", "", 'end ::= "."'], {
    legal: ["a.", "b."],
    illegal: ["a", "ab."],
  });

  refuses("a rule that is not defined", "root ::= a", "invalid_schema", "TS-7.23");
  refuses("no rule root", 'a ::= "a"', "invalid_schema", "TS-7.23");
  refuses("no text at all", 'root ::= "a" root', "invalid_schema", "TS-7.23");
  refuses("a rule that is defined twice", 'root ::= "a"\nroot ::= "b"', "invalid_schema");
  refuses("a text without an end", 'root ::= "a', "invalid_schema");
  refuses("an empty class", "root ::= []", "invalid_schema");
  refuses("half of a surrogate pair", 'root ::= "\\uD800"', "invalid_schema");
  refuses("a token", "root ::= <[1000]>", "unsupported_schema");
  refuses("a token by its name", "root ::= <think>", "unsupported_schema");
}

function addLark(add: Add): void {
  const lark = (what: string, lines: readonly string[], expected: Texts): void =>
    add("lark", "TS-7.25", what, { type: "grammar", syntax: "lark", grammar: lines.join("\n") }, expected);
  const refuses = (what: string, grammar: string, error: Refused["error"]): void =>
    add("lark-refused", "TS-7.25", what, { type: "grammar", syntax: "lark", grammar }, { error, pointer: "" });

  lark("rules and terminals", ['?start: start "+" NUMBER | NUMBER -> one', "NUMBER: DIGIT+", 'DIGIT: "0".."9"'], {
    legal: ["1", "1+23"],
    illegal: ["", "1+", "a"],
    dead: ["+", "1++"],
  });
  lark("alternatives on the next lines", ['start: "a"', '     | "b"', "// end"], {
    legal: ["a", "b"],
    illegal: ["ab"],
  });
  lark("repetitions", ['start: "a"~2 "b"~1..2 ["c"] ("d" | "e")+ "f"{2}'], {
    legal: ["aabdff", "aabbcdeff"],
    illegal: ["abdff", "aabbbdff", "aabff"],
  });
  lark("any case", ['start: "Ab"i'], { legal: ["ab", "AB", "aB"], illegal: ["a", "ac"] });
  lark("a dot is all but a line feed", ["start: /.x/ /.y/s"], {
    legal: ["\rx\ny", "axay"],
    illegal: ["\nxay"],
  });
  lark("ignored text", ["start: NAME*", "%import common (CNAME, WS)", "NAME: CNAME", "%ignore WS"], {
    legal: ["", "a", " a b ", "ab", " "],
    illegal: ["1", "a-b"],
    dead: ["a 1"],
  });
  lark("a terminal need not be as long as possible", ['start: "if" NAME', "NAME: /[a-z]+/", "%ignore / /"], {
    legal: ["if x", "ifx"],
    illegal: ["if", "i fx"],
  });
  lark("JSON in a rule", ['start: "call " %json {"type": "integer"} ";"'], {
    legal: ["call 1;", "call -20;"],
    illegal: ["call ;", "call 1.5;", "call 1"],
    dead: ["call a", "call 1.5"],
  });

  refuses("a name that is not defined", "start: a", "invalid_schema");
  refuses("no start", 'a: "a"', "invalid_schema");
  refuses("a terminal that refers to itself", 'start: A\nA: "a" A?', "invalid_schema");
  refuses("a terminal that refers to a rule", 'start: A\nA: b\nb: "b"', "invalid_schema");
  refuses("priorities", 'start.2: "a"', "unsupported_schema");
  refuses("templates", 'start: a{"b"}\na{x}: x', "unsupported_schema");
  refuses("special tokens", "start: <|end|>", "unsupported_schema");
  refuses("declarations", "%declare A\nstart: A", "unsupported_schema");
}

function addTags(add: Add): void {
  const tags = (what: string, triggers: readonly string[], structures: readonly unknown[], expected: Texts | Refused) =>
    add("structural-tag", "TS-7.26", what, { type: "structural_tag", structures, triggers }, expected);
  const say = { begin: "<f=say>", schema: { enum: ["a", "b"] }, end: "</f>" };
  const add1 = { begin: "<f=add>", schema: { type: "array", items: { type: "integer" } }, end: "</f>" };
  tags("text, structures, and text", ["<f="], [say, add1], {
    legal: ["", "Hi", "a < b <f", '<f=say>"a"</f>', 'x <f=add>[1,2]</f>y<f=say>"b"</f> z', '<f<f=say>"a"</f>'],
    illegal: ["<f=", "<f=say>", '<f=say>"a"', "x<f=add>[1]</f"],
    begins: ["<", "<f=", "<f=a", '<f=say>"'],
    dead: ["<f=x", "<f= ", '<f=say>"c', "<f=add>1", '<f=say>"a"<x'],
  });
  const number = (begin: string): unknown => ({ begin, schema: { type: "integer" }, end: ";" });
  tags("the trigger that is complete first counts", ["<a", "<ab"], [number("<abc"), number("<ax")], {
    legal: ["<abc1;", "<ax1;<abc2;", "<"],
    illegal: ["<a", "<ab"],
    dead: ["<ay", "<abd"],
  });
  tags("a trigger that ends another", ["bc", "abc"], [number("bcx"), number("abcy")], {
    legal: ["abcx1;", "abcy1;", "zbcx1;", "ab"],
    illegal: ["abc", "bc"],
    dead: ["zbcy", "abcz"],
  });
  tags("a fault of a schema", ["<"], [{ begin: "<", schema: { type: "text" }, end: "" }], {
    error: "invalid_schema",
    pointer: ".structures[0].schema/type",
  });
  tags("a structure that can never follow", ["a<b", "<"], [number("a<b"), number("<")], {
    error: "invalid_schema",
    pointer: ".structures[0].begin",
  });
}

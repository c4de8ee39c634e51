import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  accepts,
  begins,
  check,
  failure,
  matcherOf,
  schema,
  tokensOf,
  utf8,
  type Format,
} from "../../spec-tests/fixtures/grammars.js";
import { numCases } from "../../spec-tests/fixtures/property-size.js";
import { LIMITS } from "../limits.js";
import { FORMATS, GrammarMatcher, SCHEMA_KEYWORDS } from "./index.js";

describe("white space between tokens", () => {
  it("is at most one space, or one newline and 32 characters of indentation", () => {
    const indented = (count: number): string => `{\n${" ".repeat(count)}"a": 1}`;
    check(
      { type: "json_object" },
      ['{"a":1}', '{ "a" : 1 , "b" : [ 1 , 2 ] }', '{\n\t"a": 1\n}', indented(32), "{}", "{ }"],
      ['{  "a":1}', '{\n\n"a":1}', '{ \n"a":1}', indented(33), '{\r\n"a":1}', ' {"a":1}', '{"a":1} ', '{"a":1}\n'],
    );
  });

  it("includes everything that JSON.stringify writes with indentation", () => {
    fc.assert(
      fc.property(
        fc.jsonValue({ maxDepth: 5, stringUnit: "grapheme" }),
        fc.constantFrom(0, 2, 4, "\t"),
        (value, indentation) => {
          const text = JSON.stringify(value, null, indentation).replaceAll(/e\+(?=\d)/g, "e");
          expect(accepts(schema(true), text)).toBe(true);
        },
      ),
    );
  });
});

describe("strings", () => {
  it("have one spelling, that of JSON.stringify", () => {
    check(
      schema({ const: "a😀\n/" }),
      ['"a😀\\n/"'],
      ['"a😀\n/"', '"\\u0061😀\\n/"', '"a\\ud83d\\ude00\\n/"', '"a😀\\u000a/"', '"a😀\\n\\/"', '"a\\ud83d\\n"'],
    );
    check(
      schema({ type: "string" }),
      ['"/\\b\\f\\n\\r\\t\\"\\\\"', '"\u007f\u2028"', '"\\u0000\\u001f\\u000b"'],
      [
        '"\\ud800"',
        '"\\udc00"',
        '"\\ud800x"',
        '"\\x61"',
        '"\\a"',
        '"\u0001"',
        '"a',
        '"\\/"',
        '"\\u0061"',
        '"\\u0008"',
        '"\\u001F"',
        '"\\u0022"',
        '"\\u007f"',
        '"\\u0020"',
        '"\\U0001"',
        '"\\u00 1"',
      ],
    );
    for (let codePoint = 0; codePoint < 0x20; codePoint++) {
      const text = JSON.stringify(String.fromCharCode(codePoint));
      expect(accepts(schema({ type: "string" }), text), text).toBe(true);
      expect(accepts(schema({ const: JSON.parse(text) }), text), text).toBe(true);
    }
  });

  it("are UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF", () => {
    const quoted = (...bytes: number[]): Uint8Array => Uint8Array.from([0x22, ...bytes, 0x22]);
    for (const format of [schema({ type: "string" }), schema({ type: "string", pattern: "^.*$", maxLength: 9 })]) {
      for (const right of [
        [0xc2, 0x80],
        [0xe0, 0xa0, 0x80],
        [0xed, 0x9f, 0xbf],
        [0xf0, 0x90, 0x80, 0x80],
        [0xf4, 0x8f, 0xbf, 0xbf],
      ]) {
        expect(accepts(format, quoted(...right)), String(right)).toBe(true);
      }
      for (const wrong of [
        [0xc0, 0x80],
        [0xc1, 0xbf],
        [0xe0, 0x80, 0x80],
        [0xe0, 0x9f, 0xbf],
        [0xed, 0xa0, 0x80],
        [0xf0, 0x80, 0x80, 0x80],
        [0xf0, 0x8f, 0xbf, 0xbf],
        [0xf4, 0x90, 0x80, 0x80],
        [0xf5, 0x80, 0x80, 0x80],
        [0x80],
        [0xc2],
        [0xc2, 0x41],
      ]) {
        expect(accepts(format, quoted(...wrong)), String(wrong)).toBe(false);
      }
    }
  });

  it("are accepted exactly as JSON.stringify writes them", () => {
    const spelled = fc.array(
      fc.oneof(
        // Not fc.string({ unit: "binary" }), which takes a second to build its alphabet.
        fc.integer({ min: 0, max: 0x10ffff }).map((codePoint) => String.fromCodePoint(codePoint)),
        fc.integer({ min: 0, max: 0x2f }).map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`),
        fc.constantFrom("\\ud83d\\ude00", "\\n", "é", '\\"', "\\/", "\\u001F"),
      ),
      { maxLength: 4 },
    );
    fc.assert(
      fc.property(
        spelled,
        fc.constantFrom({ minLength: 1, maxLength: 2 }, { pattern: "^[^a]+$" }, {}),
        (parts, keywords) => {
          const text = `"${parts.join("")}"`;
          let expected = false;
          try {
            const value = JSON.parse(text) as string;
            const length = [...value].length;
            const isLong = keywords.minLength === undefined || (length >= 1 && length <= 2);
            expected =
              JSON.stringify(value) === text &&
              isLong &&
              (keywords.pattern === undefined || new RegExp(keywords.pattern, "u").test(value));
          } catch {
            // Not JSON.
          }
          fc.pre(!/[\uD800-\uDFFF]/u.test(text));
          expect(accepts(schema({ type: "string", ...keywords }), text)).toBe(expected);
        },
      ),
      { numRuns: numCases(2000) },
    );
  });

  it("count their length in code points", () => {
    check(
      schema({ type: "string", minLength: 2, maxLength: 2 }),
      ['"ab"', '"😀é"', '"\\n\\u0000"'],
      ['"a"', '"😀"', '"abc"', '"\\n"'],
    );
  });

  it("allow only bytes that begin a character of the pattern", () => {
    const format = schema({ type: "string", pattern: "^é$" });
    expect(tokensOf(after(format, '"').allowed())).toEqual([0xc3]);
    const controls = schema({ type: "string", pattern: "^[\\u0001\\u0012\\u001f\\n]$" });
    const characters = (text: string): string => String.fromCharCode(...tokensOf(after(controls, text).allowed()));
    expect(characters('"')).toBe("\\");
    expect(characters('"\\')).toBe("nu");
    expect(characters('"\\u')).toBe("0");
    expect(characters('"\\u00')).toBe("01");
    expect(characters('"\\u000')).toBe("1");
    expect(characters('"\\u001')).toBe("2f");
    expect(characters('"\\u001f')).toBe('"');
  });
});

function after(format: Format, text: string): GrammarMatcher {
  const matcher = matcherOf(format);
  expect(matcher.acceptBytes(utf8.encode(text))).toBe(true);
  return matcher;
}

describe("objects", () => {
  const person = schema({
    type: "object",
    properties: { name: { type: "string" }, age: { type: "integer" } },
    required: ["name"],
  });

  it("have required properties in any order if the author's order is not known", () => {
    const properties = JSON.parse('{"b": {}, "10": {}}') as object;
    const format = schema({ type: "object", properties, required: ["b", "10"], additionalProperties: false });
    check(format, ['{"b":1,"10":2}', '{"10":2,"b":1}'], ['{"b":1}', "{}"]);
  });

  it("have the properties that others need before additional ones", () => {
    const format = schema({ type: "object", dependentRequired: { a: ["b"] } });
    check(format, ['{"a":1,"b":2,"c":3}', '{"c":3}', '{"c":3,"a":1,"b":2}'], ['{"a":1,"c":3,"b":2}', '{"a":1}']);
  });

  it("have required properties in order, optional ones anywhere, and additional ones after all required ones", () => {
    check(
      person,
      ['{"name":"x"}', '{"name":"x","age":3}', '{"name":"x","age":3,"b":null,"a":[]}', '{"age":3,"name":"x","b":1}'],
      ["{}", '{"age":3}', '{"b":1,"name":"x"}', '{"name":1}'],
    );
    check(person, ['{"name":"x","b":1,"age":3}'], ['{"age":1,"name":"x","age":3}', '{"name":"x","b":1,"name":"y"}']);
    const both = schema({ type: "object", properties: { a: {}, b: {} }, required: ["b", "a"] });
    check(both, ['{"a":1,"b":2}'], ['{"b":1,"a":2}', '{"a":1}']);
  });

  it("never repeat a name", () => {
    check(
      person,
      ['{"name":"x","b":1,"bb":2,"":3}', '{"name":"x","\\n":1,"\\n\\n":2,"é":3}'],
      [
        '{"name":"x","b":1,"b":2}',
        '{"name":"x","\\n":1,"\\n":2}',
        '{"n\\u0061me":"x"}',
        '{"name":"x","age":1,"age":2}',
        '{"name":"x","é":1,"é":2}',
        '{"name":"x","b":{"c":1,"c":2}}',
      ],
    );
    check(person, ['{"name":"x","b":{"b":1},"c":{"b":1}}'], []);
  });

  it("are restricted by the patterns that their names match, declared or not", () => {
    const patternProperties = { "^x": { type: "integer" }, "1$": { maximum: 5 } };
    const properties = { x1: { minimum: 3 }, y1: {} };
    const format = schema({ type: "object", properties, patternProperties, required: ["z1"] });
    check(
      format,
      ['{"x1":4,"z1":1}', '{"y1":"a","z1":5}', '{"z1":"a","x":9}'],
      ['{"x1":3.5,"z1":1}', '{"x1":6,"z1":1}', '{"x1":2,"z1":1}', '{"y1":6,"z1":1}', '{"z1":6}', '{"z1":1,"x":1.5}'],
    );
  });

  it("allow no beginning of a name if all such names are already used", () => {
    const format = schema({ type: "object", patternProperties: { "^(a|b.*)$": true }, additionalProperties: false });
    expect(begins(format, '{"a":1,"')).toBe(true);
    expect(begins(format, '{"a":1,"a')).toBe(false);
    const quoted = schema({ type: "object", propertyNames: { enum: ["\n", "\u0001"] } });
    expect(begins(quoted, '{"\\n":1,"\\')).toBe(true);
    expect(begins(quoted, '{"\\n":1,"\\n')).toBe(false);
    expect(begins(quoted, '{"\\n":1,"\\u0001":2}')).toBe(true);
    expect(begins(quoted, '{"\\u0001":1,"\\u')).toBe(false);
    const narrow = schema({ type: "object", propertyNames: { enum: ["é", "ä"] } });
    expect(begins(narrow, '{"é":1,"ä":2,')).toBe(false);
    expect(begins(narrow, '{"é":1,"é')).toBe(false);
    expect(begins(narrow, '{"é":1,"ä":2}')).toBe(true);
  });

  it("respect the minimum and the maximum number of properties", () => {
    const names = { propertyNames: { pattern: "^[ab]$" } };
    check(
      schema({ type: "object", minProperties: 2, ...names }),
      ['{"a":1,"b":1}', '{"b":1,"a":1}'],
      ["{}", '{"a":1}', '{"a":1,"b":1,"c":1}'],
    );
    check(schema({ type: "object", maxProperties: 1 }), ["{}", '{"a":1}'], ['{"a":1,"b":1}']);
    expect(failure(schema({ type: "object", minProperties: 3, ...names })).code).toBe("invalid_schema");
    const needed = schema({
      type: "object",
      properties: { a: {}, b: {}, c: {} },
      maxProperties: 2,
      dependentRequired: { a: ["c"] },
    });
    check(
      needed,
      ['{"a":1,"c":1}', '{"b":1,"c":1}', '{"b":1}', "{}"],
      ['{"a":1}', '{"a":1,"b":1}', '{"a":1,"b":1,"c":1}'],
    );
    expect(begins(needed, '{"a":1,"b')).toBe(false);
  });
});

describe("schemas and expressions that are refused", () => {
  it.each([
    [null, "format"],
    ["json_object", "format"],
    [{}, "format.type"],
    [{ type: "regex", pattern: "a" }, "format.regex"],
  ])("refuses %j, which is not a format", (format, param) => {
    expect(failure(format as Format).param).toBe(param);
  });

  it.each([
    [
      { type: "object", properties: { "x/y~z": { uniqueItems: true } } },
      "unsupported_schema",
      "/properties/x~1y~0z/uniqueItems",
      '"uniqueItems"',
    ],
    [{ divisibleBy: 2 }, "unsupported_schema", "/divisibleBy", '"divisibleBy"'],
    [{ not: { multipleOf: 0.5 }, type: "number" }, "unsupported_schema", "/not/multipleOf", "negation"],
    [
      { contains: {}, allOf: [{ contains: { type: "null" } }], type: "array" },
      "unsupported_schema",
      "/allOf/0/contains",
      '"contains"',
    ],
    [{ items: [{}], prefixItems: [{}] }, "invalid_schema", "/items", "beside prefixItems"],
    [{ $defs: { a: { pattern: "(" } } }, "invalid_schema", "/$defs/a/pattern", "cannot be used"],
    [{ $ref: "https://example.com/schema" }, "unsupported_schema", "/$ref", "points outside"],
    [{ $ref: "#/$defs/missing" }, "invalid_schema", "/$ref", "points to nothing"],
    [{ $ref: "#" }, "invalid_schema", "", "refers to itself"],
    [{ pattern: "(a)\\1" }, "unsupported_schema", "/pattern", "back-references"],
    [{ pattern: "(" }, "invalid_schema", "/pattern", "cannot be used"],
    [{ type: "text" }, "invalid_schema", "/type", '"text"'],
    [{ minLength: -1 }, "invalid_schema", "/minLength", "non-negative"],
    [{ multipleOf: 0 }, "invalid_schema", "/multipleOf", "above 0"],
    [{ multipleOf: 2 ** 60 }, "unsupported_schema", "/multipleOf", "below 2^53"],
    [{ $id: "http://[" }, "invalid_schema", "/$id", "must be a URI"],
    [{ $id: "https://a.example/b", $defs: { c: { $id: "b" } } }, "invalid_schema", "/$defs/c/$id", "is given twice"],
    [
      { type: "object", dependentRequired: { a: ["b"], b: ["a"] }, minProperties: 1, maxProperties: 3 },
      "unsupported_schema",
      "/dependentRequired",
      "dependentRequired at #",
    ],
    [{ type: "string", minLength: 3, maxLength: 2 }, "invalid_schema", "", "no instance"],
    [{ pattern: "(a)\\-\\1" }, "unsupported_schema", "/pattern", "back-references"],
    // JSON.parse reads 1e400 as Infinity.
    [{ minimum: Infinity }, "invalid_schema", "/minimum", "beyond the range"],
    [{ const: -Infinity }, "invalid_schema", "/const", "beyond the range"],
    [{ enum: [1, { x: [Infinity] }] }, "invalid_schema", "/enum", "beyond the range"],
    [{ type: ["null", "null"] }, "invalid_schema", "/type", 'names "null" twice'],
    [{ required: ["a", "b", "a"] }, "invalid_schema", "/required", 'names "a" twice'],
    [{ dependentRequired: { a: ["b", "b"] } }, "invalid_schema", "/dependentRequired/a", 'names "b" twice'],
    [{ $anchor: "a b" }, "invalid_schema", "/$anchor", "an anchor contains"],
    ["a string", "invalid_schema", "", "a schema is an object or a boolean"],
    [false, "invalid_schema", "", "no instance"],
    [{ type: "integer", minimum: 1.2, maximum: 1.8 }, "invalid_schema", "", "no instance"],
    [{ type: "object", properties: { a: { $ref: "#" } }, required: ["a"] }, "invalid_schema", "", "no instance"],
    [{ type: "string", pattern: "^a", maxLength: 0 }, "invalid_schema", "", "no instance"],
    [{ allOf: [{ type: "string" }, { type: "null" }] }, "invalid_schema", "", "no instance"],
    [{ type: "string", pattern: "^(a|b)*a(a|b){14}$" }, "unsupported_schema", "/pattern", "states"],
    [{ type: "string", pattern: "^(a|bc)*$", minLength: 30_000 }, "unsupported_schema", "", "states"],
  ])("%j: %s at %s", (value, code, pointer, part) => {
    const error = failure(schema(value));
    expect(error.code).toBe(code);
    expect(error.param).toBe(pointer);
    expect(error.message).toContain(part);
  });

  it("include schemas that are too large or too deep", () => {
    const nested = (depth: number): object => (depth === 0 ? {} : { items: nested(depth - 1) });
    expect(failure(schema(nested(LIMITS.maxSchemaDepth + 1))).message).toContain("nested deeper");
    expect(failure(schema({ const: JSON.parse("[".repeat(200) + "]".repeat(200)) })).message).toContain(
      "nested deeper",
    );
    expect(failure(schema({ description: "x".repeat(LIMITS.maxSchemaCharacters) })).message).toContain("characters");
    const many = Object.fromEntries(
      Array.from({ length: LIMITS.maxSchemaProperties + 1 }, (_, index) => [`p${index}`, {}]),
    );
    expect(failure(schema({ properties: many })).message).toContain("entries");
  });

  it("include regular expressions that are invalid, not regular, or match nothing", () => {
    expect(failure({ type: "regex", regex: "(" }).code).toBe("invalid_schema");
    expect(failure({ type: "regex", regex: "(a)\\1" }).code).toBe("unsupported_schema");
    expect(failure({ type: "regex", regex: "a^b" }).code).toBe("invalid_schema");
  });
});

describe("the tables of keywords and formats", () => {
  it("list every supported keyword", () => {
    const keywords = SCHEMA_KEYWORDS.map(({ keyword }) => keyword);
    for (const keyword of [
      "type",
      "enum",
      "const",
      "properties",
      "required",
      "additionalProperties",
      "patternProperties",
      "propertyNames",
      "minProperties",
      "maxProperties",
      "dependentRequired",
      "items",
      "prefixItems",
      "minItems",
      "maxItems",
      "minLength",
      "maxLength",
      "pattern",
      "format",
      "minimum",
      "maximum",
      "exclusiveMinimum",
      "exclusiveMaximum",
      "multipleOf",
      "anyOf",
      "oneOf",
      "allOf",
      "$ref",
      "$defs",
      "$anchor",
    ]) {
      expect(keywords).toContain(keyword);
    }
    expect(SCHEMA_KEYWORDS.filter(({ status }) => status === "annotation").map(({ keyword }) => keyword)).toContain(
      "description",
    );
  });

  it("formats are enforced; unknown ones are annotations", () => {
    for (const { format, note } of FORMATS) {
      const wrong = note === "numbers" ? "1e30" : '"never [any of {them"';
      expect(accepts(schema({ type: ["string", "number"], format }), wrong), format).toBe(false);
    }
    check(schema({ type: "integer", format: "int32" }), ["2147483647", "-2147483648"], ["2147483648", "-2147483649"]);
    expect(accepts(schema({ type: "string", format: "password" }), '"anything"')).toBe(true);
  });

  it("write times with upper-case letters and at most nine digits after the point, unless no such text is allowed", () => {
    const format = schema({ type: "string", format: "date-time" });
    check(
      format,
      ['"2024-02-29T23:59:60Z"', '"2024-02-29T10:00:00.123456789+01:00"', '"2024-02-29T10:00:00.5Z"'],
      ['"2024-02-29t10:00:00Z"', '"2024-02-29T10:00:00z"', '"2024-02-29T10:00:00.1234567890Z"'],
    );
    check(schema({ type: "string", format: "time" }), ['"10:00:00.5Z"'], ['"10:00:00z"', '"10:00:00.1234567890Z"']);
    const small = { const: "2024-02-29t10:00:00z", format: "date-time" };
    check(schema(small), ['"2024-02-29t10:00:00z"'], ['"2024-02-29T10:00:00Z"']);
    // The first branch allows the text of the second one too.
    check(
      schema({ oneOf: [{ type: "string", format: "date-time" }, small] }),
      ['"2024-02-29T10:00:00Z"'],
      ['"2024-02-29t10:00:00z"'],
    );
  });
});

describe("regular expressions", () => {
  it("describe the whole answer, without quotes", () => {
    check({ type: "regex", regex: "(yes|no)( please)?" }, ["yes", "no please"], ["", "yes!", '"yes"', "maybe"]);
    check({ type: "regex", regex: "[\\s\\S]*" }, ["", 'a\n"b\\', "😀"], []);
  });
});

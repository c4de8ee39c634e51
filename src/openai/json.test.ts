import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { numCases } from "../../spec-tests/fixtures/property-size.js";
import { ApiError } from "./api-error.js";
import { parseJson } from "./json.js";
import { LIMITS } from "../../engine/limits.js";

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

function failureOf(bytes: Uint8Array): ApiError {
  try {
    parseJson(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(ApiError);
    const failure = error as ApiError;
    expect({ status: failure.status, code: failure.code, param: failure.param }).toEqual({
      status: 400,
      code: "invalid_json",
      param: null,
    });
    return failure;
  }
  throw new Error("nothing was refused");
}

describe("parseJson", () => {
  it.each<[string, unknown]>([
    ["9007199254740991", 9007199254740991],
    ["9007199254740993", 9007199254740993n],
    [" -9223372036854775808 ", -9223372036854775808n],
    ["18446744073709551615", 18446744073709551615n],
    ["99999999999999999999", 99999999999999999999n],
    ["123456789012345678901", 1.2345678901234568e20],
    ["1e19", 1e19],
    ["9007199254740993.0", 9007199254740992],
    ["[9007199254740993]", [9007199254740992]],
    ['"9007199254740993"', "9007199254740993"],
  ])("reads the seed %s exactly where it has digits only", (text, value) => {
    expect(parseJson(bytesOf(`{"a": 1, "seed":${text}, "top_k": 9007199254740993}`))).toEqual({
      a: 1,
      seed: value,
      top_k: 9007199254740992,
    });
  });

  it("reads no other seed that way", () => {
    expect(parseJson(bytesOf('{"metadata":{"seed":9007199254740993}}'))).toEqual({
      metadata: { seed: 9007199254740992 },
    });
    expect(parseJson(bytesOf('[{"seed":9007199254740993}]'))).toEqual([{ seed: 9007199254740992 }]);
  });

  it.each(["Infinity", "NaN", "-Infinity", '{"a":1,"a":1}'])("refuses %s, which Python would read", (text) => {
    failureOf(bytesOf(text));
  });

  it.each([
    "0",
    "-0",
    "1.0",
    "1e3",
    "-12.5E-2",
    "1e999",
    "123456789012345678901234567890",
    "true",
    "false",
    "null",
    '""',
    String.raw`"\"\\\/\b\f\n\r\t\u0041\ud83d\ude00\ud800"`,
    '"é€😀\u007f"',
    "[]",
    "{}",
    " [ 1 , [ ] , { } ] ",
    '{"a":{"a":1},"b":[{"a":2},{"a":3}]}',
    '\t{"toString":1,"constructor":2,"":3}\r\n',
  ])("parses %s as JSON.parse does", (text) => {
    expect(parseJson(bytesOf(text))).toEqual(JSON.parse(text));
  });

  it.each([
    ["", "The text is empty", "line 1, column 1"],
    ["{} x", '"x" follows the end', "line 1, column 4"],
    ["[1,]", 'Unexpected "]"; a JSON value', "line 1, column 4"],
    ['{"a":1,}', 'Unexpected "}"; a key', "line 1, column 8"],
    ["{a:1}", 'Unexpected "a"; a key', "line 1, column 2"],
    ['{"a" 1}', '; ":" is needed', "line 1, column 6"],
    ["[1\n2]", '; "," or "]" is needed', "line 2, column 1"],
    ['{"a":1', "Unexpected end of the text", "line 1, column 7"],
    ['"abc', "A string is not terminated", "line 1, column 1"],
    ['"a\nb"', "U+000A", "line 1, column 3"],
    [String.raw`"\x41"`, String.raw`\x is not a JSON escape`, "line 1, column 2"],
    [String.raw`"\u12G4"`, "four hexadecimal digits", "line 1, column 2"],
    ["01", "follows the end", "line 1, column 2"],
    ["+1", "; a JSON value is needed", "line 1, column 1"],
    ["1.", "follows the end", "line 1, column 2"],
    [".5", "; a JSON value is needed", "line 1, column 1"],
    ["NaN", "; a JSON value is needed", "line 1, column 1"],
    ["-", "; a JSON value is needed", "line 1, column 1"],
    ["'a'", "; a JSON value is needed", "line 1, column 1"],
    ["\uFEFF{}", "begins with a byte order mark", "line 1, column 1"],
    ["{}\uFEFF", "follows the end", "line 1, column 3"],
    ["[1] // note", "follows the end", "line 1, column 5"],
  ])("refuses %j and reports the position", (text, problem, place) => {
    expect(() => JSON.parse(text)).toThrow();
    const { message } = failureOf(bytesOf(text));
    expect(message).toContain(problem);
    expect(message).toContain(place);
  });

  it.each(['{"a":1,"a":1}', '{"x":[{"b":{"a":1,"c":2,"a":3}}]}', String.raw`{"a":1,"\u0061":2}`])(
    "refuses the repeated key in %s",
    (text) => {
      expect(failureOf(bytesOf(text)).message).toContain('The key "a" is repeated');
    },
  );

  it("treats __proto__ as an ordinary key, also when it is repeated", () => {
    const value = parseJson(bytesOf('{"__proto__":{"model":"x"},"a":1}')) as object;
    expect(Object.keys(value)).toEqual(["__proto__", "a"]);
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect("model" in value).toBe(false);
    expect(failureOf(bytesOf('{"__proto__":1,"__proto__":2}')).message).toContain('"__proto__" is repeated');
  });

  it("limits the depth of arrays and objects", () => {
    const max = LIMITS.maxJsonDepth;
    const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
    expect(parseJson(bytesOf(nested(max)))).toEqual(JSON.parse(nested(max)));
    expect(failureOf(bytesOf(nested(max + 1))).message).toContain(`more than ${max} deep`);
    expect(failureOf(bytesOf('{"a":['.repeat(500_000))).message).toContain("deep");
  });

  it.each([
    [[0x22, 0xff, 0x22], 1],
    [[0x22, 0x61, 0xc3, 0x22], 2],
    [[0x22, 0xed, 0xa0, 0x80, 0x22], 1],
    [[0x22, 0xc0, 0xaf, 0x22], 1],
    [[0x22, 0xf4, 0x90, 0x80, 0x80, 0x22], 1],
    [[0x22, 0xef, 0xbf, 0xbd, 0xc3, 0xa9, 0x80, 0x22], 6],
    [[0x22, 0xef, 0xbf, 0xbd, 0xef, 0xbf, 0xbd, 0xf0, 0x9f, 0x98], 7],
  ])("refuses the invalid UTF-8 in %j at offset %i", (bytes, offset) => {
    expect(failureOf(Uint8Array.from(bytes)).message).toContain(`offset ${offset} `);
  });

  it("agrees with JSON.parse on any valid text without repeated keys", () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), fc.boolean(), (text, indented) => {
        const value: unknown = JSON.parse(text);
        const written = indented ? JSON.stringify(value, null, 2) : JSON.stringify(value);
        expect(parseJson(bytesOf(written))).toEqual(value);
      }),
      { numRuns: numCases(300) },
    );
  });

  it("accepts and refuses the same random JSON-like texts as JSON.parse", () => {
    const piece = fc.constantFrom(
      "{",
      "}",
      "[",
      "]",
      ",",
      ":",
      '"',
      '"k"',
      '"l"',
      "\\",
      "\\u00e9",
      "1",
      "-",
      ".5",
      "e+1",
      "0",
      "true",
      "nul",
      " ",
      "\n",
      "é",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const text = pieces.join("");
        let expected: { value: unknown } | null = null;
        try {
          expected = { value: JSON.parse(text) };
        } catch {
          // Not JSON: refused below.
        }
        if (expected === null) failureOf(bytesOf(text));
        else if (!hasRepeatedKey(text, expected.value)) expect(parseJson(bytesOf(text))).toEqual(expected.value);
      }),
      { numRuns: numCases(2000) },
    );
  });

  it("parses random bytes or refuses them with invalid_json", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        try {
          parseJson(bytes);
        } catch {
          failureOf(bytes);
        }
      }),
      { numRuns: numCases(500) },
    );
  });

  it("keeps error messages short for a body with a long key", () => {
    const key = "k".repeat(1 << 20);
    expect(failureOf(bytesOf(`{"${key}":1,"${key}":2}`)).message.length).toBeLessThan(300);
  });
});

/** JSON.parse keeps only the last of repeated keys, so its value serialized again has fewer colons. */
function hasRepeatedKey(text: string, value: unknown): boolean {
  const colons = (json: string) => json.replaceAll(/"(?:[^"\\]|\\.)*"/g, '""').split(":").length;
  return colons(text) !== colons(JSON.stringify(value));
}

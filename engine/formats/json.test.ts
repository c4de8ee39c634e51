import { describe, expect, test } from "vitest";

import { numCases } from "../../spec-tests/fixtures/property-size.js";
import { parseJsonObject } from "./json.js";

const parse = (text: string): object => parseJsonObject(Buffer.from(text), "a.json");

describe("parseJsonObject", () => {
  test("gives the result of JSON.parse, also for escaped keys and strings that look like keys", () => {
    const text = '{"a": {"b": "\\"b\\": {", "c": [{"b": 1}, {"b": 2}]}, "b": null, "\\u0064": "d\\\\", "d2": {}}';
    expect(parse(text)).toEqual(JSON.parse(text));
  });

  test.each([
    ['{"a": 1, "a": 2}', /^a\.json is not valid JSON: The key "a" is repeated, at line 1, column 10/],
    ['{"x": [{"a": 1, "\\u0061" : 2}]}', /The key "a" is repeated/],
    ['{"a": 1', /^a\.json is not valid JSON/],
    ["[1]", /^a\.json must hold a JSON object/],
    ["null", /must hold a JSON object/],
  ])("refuses %s", (text, message) => {
    expect(() => parse(text)).toThrow(message);
  });

  test("skips a byte order mark", () => {
    expect(parse('\uFEFF{"a": 1}')).toEqual({ a: 1 });
  });

  test("reads strings of any length", () => {
    const text = JSON.stringify({ a: "x\\".repeat(numCases(1 << 23)) });
    expect(Object.keys(parse(text))).toEqual(["a"]);
    expect(Object.keys(parse(JSON.stringify({ b: "x".repeat(numCases(1 << 24)) })))).toEqual(["b"]);
  });

  test("refuses invalid UTF-8", () => {
    expect(() => parseJsonObject(Uint8Array.of(0x7b, 0xff, 0x7d), "a.json")).toThrow(
      /^a\.json is not valid JSON: it must be UTF-8; the bytes at offset 1 are not/,
    );
  });
});

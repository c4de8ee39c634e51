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
    [
      '{"a": 1, "a": 2}',
      /^a\.json is not valid JSON: The key "a" is repeated with another value, at line 1, column 10/,
    ],
    ['{"x": [{"a": 1, "\\u0061" : 2}]}', /The key "a" is repeated with another value/],
    ['{"a": {"b": [1, 2]}, "a": {"b": [1, 2, 3]}}', /The key "a" is repeated with another value/],
    ['{"a": [1, "a"], "a": [1, "b"]}', /The key "a" is repeated with another value/],
    ['{"a": +Infinity}', /Unexpected "\+"/],
    ['{"a": -NaN}', /Unexpected "-"/],
    ['{"a": infinity}', /Unexpected "i"/],
    ['{"a": 1', /^a\.json is not valid JSON/],
    ["[1]", /^a\.json must hold a JSON object/],
    ["null", /must hold a JSON object/],
  ])("refuses %s", (text, message) => {
    expect(() => parse(text)).toThrow(message);
  });

  test("reads what Python's json module writes: infinite numbers, NaN, and keys that are repeated with equal values", () => {
    expect(parse('{"a": Infinity, "b": [-Infinity, NaN, 1e999]}')).toEqual({
      a: Infinity,
      b: [-Infinity, NaN, Infinity],
    });
    expect(parse('{"a": {"b": [1, NaN], "c": "x"}, "a": {"c": "x", "b": [1.0, NaN]}}')).toEqual({
      a: { b: [1, NaN], c: "x" },
    });
    expect(Object.keys(parse('{"a": 1, "b": 2, "\\u0061": 1}'))).toEqual(["a", "b"]);
    expect(Object.entries(parse('{"__proto__": {"a": 1}, "__proto__": {"a": 1}}'))).toEqual([["__proto__", { a: 1 }]]);
  });

  test("names a pointer of Git LFS", () => {
    const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0a\nsize 11422654\n";
    expect(() => parse(pointer)).toThrow(
      /^a\.json is a pointer of Git LFS, not the file itself: run "git lfs pull" in the model's folder$/,
    );
    expect(() => parse("version https://git-lfs")).toThrow(/^a\.json is not valid JSON: Unexpected "v"/);
  });

  test("skips a byte order mark", () => {
    expect(parse('\uFEFF{"a": 1}')).toEqual({ a: 1 });
  });

  test("reads strings of any length", () => {
    const text = JSON.stringify({ a: "x\\".repeat(numCases(1 << 23)) });
    expect(Object.keys(parse(text))).toEqual(["a"]);
    expect(Object.keys(parse(JSON.stringify({ b: "x".repeat(numCases(1 << 24)) })))).toEqual(["b"]);
  });

  test("keeps a string of many escapes as one text, not as a tree of its pieces", () => {
    const length = numCases(4_000_000);
    const bytes = Buffer.from(`{"a":"${"\\n".repeat(length)}"}`);
    const before = process.memoryUsage().heapUsed;
    const object = parseJsonObject(bytes, "a.json");
    // A piece of a tree takes 20 bytes or more.
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(10 * length);
    expect(object["a"] === "\n".repeat(length)).toBe(true);
  });

  test.each([
    '"\\u00e9\\ud83d\\ude00\\ud800\\/\\b\\f\\r\\t\\\\x"',
    '"\\"a"',
    '"\\"',
    '"a\\\\"',
    '"\\u00zz"',
    '"\\u12"',
    '"\\x"',
    '"\\',
  ])("reads or refuses the string %s as JSON.parse does", (spelled) => {
    const text = `{"a":${spelled}}`;
    let expected: unknown;
    try {
      expected = JSON.parse(text);
    } catch {
      expect(() => parse(text)).toThrow(/^a\.json is not valid JSON/);
      return;
    }
    expect(parse(text)).toEqual(expected);
  });

  test("refuses invalid UTF-8", () => {
    expect(() => parseJsonObject(Uint8Array.of(0x7b, 0xff, 0x7d), "a.json")).toThrow(
      /^a\.json is not valid JSON: it must be UTF-8; the bytes at offset 1 are not/,
    );
  });
});

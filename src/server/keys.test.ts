import { describe, expect, test } from "vitest";

import { ApiKeys, isLoopback } from "./keys.js";

describe("isLoopback", () => {
  test.each(["127.0.0.1", "127.8.9.10", "::1", "localhost"])("%s", (host) => expect(isLoopback(host)).toBe(true));
  test.each(["0.0.0.0", "::", "192.168.1.2", "128.0.0.1", "example.com", "127.0.0.1.example.com", "", "::2"])(
    "not %j",
    (host) => {
      expect(isLoopback(host)).toBe(false);
    },
  );
});

describe("ApiKeys", () => {
  test("accepts any of several keys, as a bearer token", () => {
    const keys = new ApiKeys(["one", "two"]);
    expect(() => keys.check("Bearer two")).not.toThrow();
    expect(() => keys.check("bearer one")).not.toThrow();
    for (const wrong of [undefined, "", "one", "Bearer", "Bearer three", "Bearer one two", "Basic one"])
      expect(() => keys.check(wrong)).toThrow(/API key/);
  });

  test("without keys, accepts any request", () => expect(() => new ApiKeys([]).check(undefined)).not.toThrow());
});

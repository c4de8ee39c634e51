/** Tests run the commands in a real shell, with a function in place of curl that prints its arguments. */

import { execFileSync } from "node:child_process";

import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { curl } from "./curl.js";
import { exchangeWith } from "../fixtures/tiny-server.js";

const BASE_URL = "http://127.0.0.1:8000/v1";
const SPY = `curl() { for word; do printf '%s\\0' "$word"; done; case "$*" in *--data-binary*) cat;; esac; }`;

/** Returns the arguments of curl and the text that it reads from the pipe. */
function wordsOf(command: string): string[] {
  const output = execFileSync("sh", ["-c", `${SPY}\n${command}`], {
    env: { API_KEY: "sk-secret" },
    encoding: "utf8",
    maxBuffer: 1 << 24,
  });
  const words = output.split("\0");
  return words.at(-1) === "" ? words.slice(0, -1) : words;
}

const post = (body: string): ReturnType<typeof exchangeWith> =>
  exchangeWith({ headers: { "content-type": "application/json", "content-length": "2" }, body });

describe("curl", () => {
  test("a chat request", () => {
    expect(curl(post('{"n":2}'), BASE_URL)).toBe(`curl -sS '${BASE_URL}/chat/completions' \\
  -H 'content-type: application/json' \\
  --data-raw '{"n":2}'`);
  });

  test("output of a stream is not buffered", () => {
    expect(wordsOf(curl(post('{"stream":true}'), BASE_URL))[0]).toBe("-sSN");
  });

  test("other methods, requests without a body, requests without a content type", () => {
    expect(wordsOf(curl(exchangeWith({ method: "GET", path: "/models" }), BASE_URL))).toEqual([
      "-sS",
      `${BASE_URL}/models`,
    ]);
    expect(wordsOf(curl(exchangeWith({ method: "PUT", body: "{}" }), BASE_URL))).toEqual([
      "-sS",
      "-X",
      "PUT",
      `${BASE_URL}/chat/completions`,
      "-H",
      "content-type:",
      "--data-raw",
      "{}",
    ]);
  });

  test("the key is a shell variable, and the rest of its header is quoted", () => {
    const command = curl(
      exchangeWith({ method: "GET", headers: { authorization: "Bearer $API_KEY", "x-odd": 'a"b`c$API_KEY\\' } }),
      BASE_URL,
    );
    expect(command).toContain('-H "authorization: Bearer $API_KEY"');
    expect(wordsOf(command).filter((word) => word.includes("sk-"))).toEqual([
      "authorization: Bearer sk-secret",
      'x-odd: a"b`csk-secret\\',
    ]);
  });

  test("every body reaches curl unchanged", () => {
    const body = fc.string({
      unit: fc.oneof(
        fc.constantFrom("'", '"', "\\", "$", "`", "%", "\n", "@", "!", "é", "😀"),
        fc.string({ minLength: 1, maxLength: 1 }),
      ),
      minLength: 1,
    });
    fc.assert(
      fc.property(body, (body) => {
        expect(wordsOf(curl(post(body), BASE_URL)).at(-1)).toBe(body);
      }),
      { numRuns: 50, examples: [["'"], ["'\\''"], ["@file"], ["\n\n"], ["$(exit 1)"]] },
    );
  });

  test.each([
    ["NUL", "\\a%s\0'b\0"],
    ["what would act on a terminal", "a\u001b[2J\u007f\u009b31m%s\\d\u202e\u2028\r\u{e0041}"],
    ["a body longer than an argument may be", `{"content":"${"it's 100 % \\n ".repeat(20_000)}"}`],
  ])("%s goes through a pipe", (_, body) => {
    const command = curl(post(body), BASE_URL);
    const output = execFileSync("sh", ["-s"], { input: `curl() { cat; }\n${command}`, maxBuffer: 1 << 24 }).toString(
      "utf8",
    );
    expect(output).toBe(body);
    expect(command).toMatch(/--data-binary @-$/);
    expect(command).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}\p{Zl}]/u);
  });
});

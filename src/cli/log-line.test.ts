/** Log lines of the server as a person at a terminal sees them. */

import { pino } from "pino";
import { expect, test } from "vitest";

import { readableLogLine } from "./log-line.js";

/** Returns what the terminal gets for a call of the logger. */
function shown(log: (logger: ReturnType<typeof pino>) => void, width = Infinity): string {
  let line = "";
  log(pino({ base: null, level: "trace" }, { write: (text) => (line = text) }));
  return readableLogLine(line, width);
}

test("a request is one line: method, path, status, time, and what is known about it", () => {
  const facts = { requestId: "r1", method: "POST", path: "/v1/chat/completions", status: 200, durationMs: 35 };
  expect(shown((log) => log.info({ ...facts, model: "tiny", seed: 7 }, "answered"))).toMatch(
    /^\d\d:\d\d:\d\d POST \/v1\/chat\/completions 200 in 35 ms · model tiny · seed 7\n$/,
  );
  expect(shown((log) => log.info(facts, "client gone"))).toMatch(/ 200 in 35 ms, client gone\n$/);
});

test("a line is wrapped between words", () => {
  const line = shown((log) => log.info({ model: "org/name", seed: 12345 }, "a long message about something"), 30);
  expect(line).toMatch(/^\d\d:\d\d:\d\d a long message about\nsomething · model org\/name ·\nseed 12345\n$/);
});

test("other lines have their level, unless it is info, and their fields", () => {
  expect(shown((log) => log.warn({ model: "org/name" }, "the hub does not answer"))).toMatch(
    /^\d\d:\d\d:\d\d WARN the hub does not answer · model org\/name\n$/,
  );
  expect(shown((log) => log.info({ signal: "SIGINT" }, "shutting down"))).toMatch(
    /\d shutting down · signal SIGINT\n$/,
  );
});

test("an error has its request and its stack on lines of their own", () => {
  const lines = shown((log) => log.error({ requestId: "r1", err: new Error("broken") }, "internal error")).split("\n");
  expect(lines[0]).toMatch(/ ERROR internal error · requestId r1$/);
  expect(lines[1]).toBe("  Error: broken");
  expect(lines[2]).toMatch(/^ {2} {4}at /);
});

test("no text acts on the terminal or begins a line of its own", () => {
  const line = shown((log) =>
    log.info({ method: "GET", path: "/\u009b31m\n00:00:00 forged", status: 1 }, "a\nb\u001b[2J"),
  );
  expect(line.trimEnd()).not.toMatch(/[\p{Cc}]/u);
  expect(line).toContain(String.raw`/\u009b31m\n00:00:00 forged`);
});

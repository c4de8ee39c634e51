/** Tests of the output on a terminal: control characters, colors, and the progress bar. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { print, printLine, progressBar, visible, visibleLine } from "./terminal.js";

const { isTTY, columns } = process.stderr;
let written = "";

beforeEach(() => {
  written = "";
  vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    written += String(text);
    return true;
  });
});
afterEach(() => {
  process.stderr.isTTY = isTTY;
  process.stderr.columns = columns;
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

test("draws nothing if stderr is not a terminal", () => {
  process.stderr.isTTY = false;
  const bar = progressBar("Checking");
  bar.show(1, 2, "P1");
  bar.end();
  expect(written).toBe("");
});

test("overwrites one line until all is done", () => {
  process.stderr.isTTY = true;
  const bar = progressBar("Checking");
  bar.show(1, 2, "P1");
  bar.show(1, 2, "P1");
  bar.show(2, 2);
  bar.end();
  expect(written).toMatch(/^\rChecking \[#{15}·{15}\] 50 % P1\rChecking \[#{30}\] 100 % *\n$/);
});

test("an early end keeps the bar and starts a new line", () => {
  process.stderr.isTTY = true;
  const bar = progressBar("Checking");
  bar.show(1, 2, "P1");
  bar.end();
  expect(written).toMatch(/^\rChecking \[#{15}·{15}\] 50 % P1\n$/);
});

test("a line never wraps", () => {
  process.stderr.isTTY = true;
  process.stderr.columns = 20;
  progressBar("Checking").show(1, 2, "P1");
  expect(written).toBe("\rChecking [#########");
});

const range = (first: number, last: number): string[] =>
  Array.from({ length: last - first + 1 }, (_, i) => String.fromCodePoint(first + i));
const CONTROLS = [...range(0, 0x1f), ...range(0x7f, 0x9f)];
/** Embeddings, overrides, isolates, separators, characters without width, and tags. */
const DECEPTIVE = [
  ...range(0x202a, 0x202e),
  ...range(0x2066, 0x2069),
  ...range(0x2028, 0x2029),
  "\u00ad",
  "\u200b",
  "\u2060",
  "\ufeff",
  ...range(0xe0020, 0xe007f),
];
/** Joiners and direction marks, an emoji of several parts, combining marks, a verse sign. */
const ORDINARY = "a\u0308 \u200cنمی‌شود \u200e\u200f 👩‍💻 ❤️ क्ष \u06dd1 日本 \\u001b";

describe("visible", () => {
  test("leaves no control character but line breaks and tabs", () => {
    for (const character of CONTROLS.filter((character) => character !== "\n" && character !== "\t")) {
      expect(visible(character)).toMatch(/^\\([bfr]|u00[0-9a-f]{2})$/);
      expect(JSON.parse(`"${visible(character)}"`)).toBe(character);
    }
    expect(visible("a\n\tb")).toBe("a\n\tb");
    for (const character of CONTROLS) expect(visibleLine(character)).toMatch(/^\\[\x21-\x7e]+$/);
    expect(visibleLine("a\n\tb")).toBe(String.raw`a\n\tb`);
  });

  test("shows characters that reorder or hide text, and keeps ordinary text of all scripts", () => {
    for (const character of DECEPTIVE) expect(visible(`a${character}b`)).toMatch(/^a(\\u[0-9a-f]{4})+b$/);
    expect(visible(ORDINARY)).toBe(ORDINARY);
    expect(visibleLine(ORDINARY)).toBe(ORDINARY);
  });

  test("does not change the values of JSON", () => {
    const value = { [CONTROLS.join("")]: [DECEPTIVE.join(""), ORDINARY] };
    for (const text of [JSON.stringify(value), JSON.stringify(value, null, 2)])
      expect(JSON.parse(visible(text))).toEqual(value);
  });
});

describe("a stream", () => {
  const stream = process.stderr;

  test("that is a terminal gets no sequence, also if its characters arrive one by one", () => {
    stream.isTTY = true;
    for (const piece of ["\u001b", "]0;", "title", "\u0007", "\u009b", "31m", "\r", "a\u202e\n"]) print(stream, piece);
    expect(written).toBe(String.raw`\u001b]0;title\u0007\u009b31m\ra\u202e` + "\n");
    written = "";
    printLine(stream, "name\nforged line\t\u001b[1A");
    expect(written).toBe(String.raw`name\nforged line\t\u001b[1A` + "\n");
  });

  test("that is not a terminal gets the exact text", () => {
    stream.isTTY = false;
    const text = [...CONTROLS, ...DECEPTIVE, ORDINARY].join("");
    print(stream, text, "red");
    printLine(stream, text, "dim");
    expect(written).toBe(`${text}${text}\n`);
  });

  test("has our colors if it is a terminal, and not with TERM=dumb or a non-empty NO_COLOR", () => {
    vi.stubEnv("NO_COLOR", "");
    vi.stubEnv("TERM", "xterm");
    const dimmed = (): string => {
      written = "";
      print(stream, "a\u001b", "dim");
      return written;
    };
    stream.isTTY = true;
    expect(dimmed()).toBe("\u001b[2ma\\u001b\u001b[22m");
    vi.stubEnv("TERM", "dumb");
    expect(dimmed()).toBe("a\\u001b");
    vi.stubEnv("TERM", "xterm");
    vi.stubEnv("NO_COLOR", "1");
    expect(dimmed()).toBe("a\\u001b");
    vi.stubEnv("NO_COLOR", "");
    stream.isTTY = false;
    expect(dimmed()).toBe("a\u001b");
  });
});

test("all output of the programs goes through this module", () => {
  const sources = ["engine", "kernels", "src", "spec-tests/conform"].flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: "utf8" }).map((name) => join(folder, name)),
  );
  const checked = sources.filter((file) => /(?<!\.test|\.d)\.ts$/.test(file) && !/node_modules|assembly/.test(file));
  const writing = checked.filter((file) => /\bstd(out|err)\.write\b|\bconsole\.\w/.test(readFileSync(file, "utf8")));
  expect(checked.length).toBeGreaterThan(150);
  expect(writing).toEqual([join("spec-tests", "conform", "terminal.ts")]);
});

test("a bar never contains control characters", () => {
  process.stderr.isTTY = true;
  progressBar("Checking\u001b[2J").show(1, 2, "P1\n\u009bK");
  expect(written).toBe(String.raw`${"\r"}Checking\u001b[2J [${"#".repeat(15)}${"·".repeat(15)}] 50 % P1\n\u009bK`);
});

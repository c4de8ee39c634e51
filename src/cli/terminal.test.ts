/** Output while a model is loading: bars on a terminal, otherwise occasional lines. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { LoadingDisplay, showLoading } from "./terminal.js";

const isTTY = process.stderr.isTTY;
let written = "";

beforeEach(() => {
  written = "";
  vi.useFakeTimers({ toFake: ["performance"] });
  vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    written += String(text);
    return true;
  });
});
afterEach(() => {
  process.stderr.isTTY = isTTY;
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const MB = 1e6;

/** Simulates a download of 100 MB at 10 MB per second, of which 20 MB were downloaded earlier. */
function download(display: LoadingDisplay): void {
  for (let done = 20; done <= 100; done += 1) {
    display.onDownload(done * MB, 100 * MB, "model.safetensors");
    if (done < 100) vi.advanceTimersByTime(100);
  }
}

describe("a download", () => {
  test("on a terminal: rewrites one line with share, rate and time left, and ends it with a newline when done", () => {
    process.stderr.isTTY = true;
    download(new LoadingDisplay());
    const drawn = written.split("\r");
    expect(drawn).toContainEqual(
      expect.stringMatching(/^model\.safetensors \[#+·+\] 50 % 100\.0 MB, 10\.0 MB\/s, 5 s left/),
    );
    expect(drawn.at(-1)).toMatch(/^model\.safetensors \[#+\] 100 % 100\.0 MB in 8 s, 20\.0 MB downloaded earlier *\n$/);
    expect(written.match(/\n/g)).toHaveLength(1);
    for (const line of drawn) expect(line.trimEnd().length).toBeLessThan(80);
  });

  test("not on a terminal: prints a line every five seconds, and one when done", () => {
    process.stderr.isTTY = false;
    download(new LoadingDisplay("org/name"));
    expect(written).toBe(
      "org/name model.safetensors: 70 % of 100.0 MB, 10.0 MB/s, 3 s left\norg/name model.safetensors: 100.0 MB in 8 s, 20.0 MB downloaded earlier\n",
    );
  });

  test("that restarts has no negative rate", () => {
    process.stderr.isTTY = true;
    const display = new LoadingDisplay();
    for (const done of [50, 60, 0, 1]) {
      vi.advanceTimersByTime(1000);
      display.onDownload(done * MB, 100 * MB, "a");
    }
    expect(written).not.toMatch(/-\d/);
    expect(written).toMatch(/1 % 100\.0 MB, 1\.0 MB\/s, 1 min 39 s left *$/);
  });
});

/** Starts a download and makes progress, which draws the bar. */
function beginDownload(display: LoadingDisplay): void {
  display.onDownload(0, MB, "a");
  vi.advanceTimersByTime(1000);
  display.onDownload(1, MB, "a");
}

test.each([
  ["a download", beginDownload, /^\ra \[·{30}\] 0 % 1\.0 MB[^\n]*\n$/],
  ["a conversion", (display: LoadingDisplay) => display.onProgress(1, 2), /^\rConverting \[#{15}·{15}\] 50 %\n$/],
])("a failure in the middle of %s keeps the bar and starts a new line", async (_, draw, expected) => {
  process.stderr.isTTY = true;
  const failing = showLoading(async (display) => {
    draw(display);
    throw new Error("broken");
  });
  await expect(failing).rejects.toThrow("broken");
  expect(written).toMatch(expected);
});

test("a notice in the middle of a bar starts a new line", async () => {
  process.stderr.isTTY = true;
  const failing = showLoading(async (display) => {
    beginDownload(display);
    display.onNotice("something");
    throw new Error("broken");
  });
  await expect(failing).rejects.toThrow("broken");
  expect(written).toMatch(/^\ra \[·{30}\] 0 % 1\.0 MB[^\n]*\ntouchstone: something\n$/);
});

test("the name of a file is shown without control characters, and its bar still fits into the line", () => {
  process.stderr.isTTY = true;
  const display = new LoadingDisplay();
  display.onDownload(MB, MB, "a\u001b[2J\nb\u202e.safetensors");
  display.onNotice("\u009b31m\nforged");
  expect(written).toMatch(/^\ra\\u001b\[2J\\nb\\u202e\.safetensors \[#+\] 100 % 1\.0 MB\n/);
  expect(written.split("\n").slice(1)).toEqual(["touchstone: \\u009b31m\\nforged", ""]);
  expect(written.split("\n")[0]!.length).toBeLessThanOrEqual(80);
});

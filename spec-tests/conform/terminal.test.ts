/** Tests of the progress bar. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { progressBar } from "./terminal.js";

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

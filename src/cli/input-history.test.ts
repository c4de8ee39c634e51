/** The file of typed lines: who may read it, how long it gets, and what happens if it cannot be used. */

import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { InputHistory, MAX_HISTORY_LINES, stateFolder } from "./input-history.js";

let scratch = "";
let file = "";
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "touchstone-history-"));
  file = join(scratch, "state", "touchstone", "chat-history");
});
afterEach(() => rmSync(scratch, { recursive: true, force: true }));

const failures: string[] = [];
const open = (): InputHistory => {
  failures.length = 0;
  return new InputHistory((message) => failures.push(message), file);
};

test("lines are there in the next chat, the newest first", () => {
  const history = open();
  expect(history.lines).toEqual([]);
  for (const line of ["first", "second", "  ", ""]) history.add(line);
  expect(open().lines).toEqual(["second", "first"]);
  expect(failures).toEqual([]);
});

test("two chats at the same time keep the lines of both", () => {
  const [one, other] = [open(), open()];
  one.add("of one");
  other.add("of the other");
  expect(open().lines).toEqual(["of the other", "of one"]);
});

test.runIf(process.platform !== "win32")("only the user may read the file and its folder", () => {
  open().add("private");
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(statSync(join(file, "..")).mode & 0o777).toBe(0o700);
  chmodSync(file, 0o644);
  open().add("as well");
  expect(statSync(file).mode & 0o777).toBe(0o600);
});

test("the file is shortened to the newest lines once it has twice as many", () => {
  open().add("first");
  const lines = Array.from({ length: 2 * MAX_HISTORY_LINES + 1 }, (_, i) => `line ${i}`);
  writeFileSync(file, `${lines.join("\n")}\n`, { mode: 0o644 });
  const newest = lines.slice(-MAX_HISTORY_LINES);
  expect(open().lines).toEqual([...newest].reverse());
  expect(readFileSync(file, "utf8")).toBe(`${newest.join("\n")}\n`);
  if (process.platform !== "win32") expect(statSync(file).mode & 0o777).toBe(0o600);
});

test("lines that would act on the terminal when recalled, and very long ones, are not kept", () => {
  const history = open();
  for (const line of ["\u009b2J", "a\u202eb", "x".repeat(5000), "kept"]) history.add(line);
  expect(open().lines).toEqual(["kept"]);
  writeFileSync(file, "\u001b]0;title\u0007\nstays\n");
  expect(open().lines).toEqual(["stays"]);
});

test("a folder that cannot be written costs the history, and is told once", () => {
  mkdirSync(join(scratch, "state"));
  writeFileSync(join(scratch, "state", "touchstone"), "a file where the folder should be");
  const history = open();
  history.add("one");
  history.add("two");
  expect(failures).toHaveLength(1);
  expect(failures[0]).toMatch(/^The history of this chat is not kept: .*chat-history cannot be used \(E[A-Z]+\)\.$/);
});

test("the folder is the platform's place for state", () => {
  if (process.platform !== "linux") return;
  expect(stateFolder({ XDG_STATE_HOME: "/s" })).toBe(join("/s", "touchstone"));
  expect(stateFolder({})).toMatch(/\.local\/state\/touchstone$/);
  expect(stateFolder({ XDG_STATE_HOME: "" })).toMatch(/\.local\/state\/touchstone$/);
});

/** What the README promises: its example is the one in examples/, and it runs. */

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";

import { expect, test } from "vitest";

test("the library example answers", () => {
  const output = execFileSync(process.execPath, [resolve("dist/examples/chat.js")], { encoding: "utf8" });
  expect(output).toContain("65");
  expect(output).not.toContain("think>");
});

test("the README shows that example", () => {
  const [, code] = readFileSync("examples/chat.ts", "utf8").split("*/\n\n");
  expect(readFileSync("README.md", "utf8")).toContain(code);
});

/** Benches cannot rot: each runs in its quick mode, which checks its results against the reference. */

import { execFileSync } from "node:child_process";
import { resolve } from "node:path";

import { expect, test } from "vitest";

test.each(["lm-head", "logits", "grammar"])("%s.bench runs", (name) => {
  const output = execFileSync(process.execPath, [resolve(`dist/bench/${name}.bench.js`), "--quick"], { encoding: "utf8" });
  expect(output).toMatch(/\d ms/);
});

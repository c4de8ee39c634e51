/**
 * Tests that the profile `exact` gives the recorded bytes: with any number of threads, with concurrent requests, with a
 * cold or warm prefix cache, in every build of the kernels, and in other versions of Node (TOUCHSTONE_NODES: paths of
 * their binaries, separated as in PATH). UPDATE_GOLDEN=1 rewrites exact.json; review the diff.
 */

import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { delimiter } from "node:path";
import { promisify } from "node:util";

import { describe, expect, test } from "vitest";

import { loadModel } from "../../engine/index.js";
import { exactAnswer, exactAnswers, REQUESTS, type ExactAnswer, type ExactAnswers } from "./exact-answers.js";

const GOLDEN_FILE = new URL("exact.json", import.meta.url);
const golden = (): ExactAnswers => JSON.parse(readFileSync(GOLDEN_FILE, "utf8")) as ExactAnswers;

const NODES = (process.env["TOUCHSTONE_NODES"] ?? "").split(delimiter).filter((path) => path !== "");

test("weights, token ids and log-probabilities are the recorded ones", async () => {
  const answers = await exactAnswers(1);
  if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(GOLDEN_FILE, `${JSON.stringify(answers, null, 1)}\n`);
  expect(answers).toEqual(golden());
});

test.each([2, 3])(
  "answers are the recorded ones with %d threads, one after the other and concurrently",
  async (numThreads) => {
    const model = await loadModel({ profile: "exact", numThreads });
    const fresh: Record<string, ExactAnswer> = {};
    for (const [name, request] of Object.entries(REQUESTS)) fresh[name] = await exactAnswer(model, request);
    const together = await Promise.all(
      Object.entries(REQUESTS).map(async ([name, request]) => [name, await exactAnswer(model, request)] as const),
    );
    await model.close();
    expect(fresh).toEqual(golden().answers);
    expect(Object.fromEntries(together)).toEqual(golden().answers);
  },
);

test.each(["scalar", "simd", "relaxed"])("the build %s gives the recorded ones", async (build) => {
  expect(await answersOf(process.execPath, 2, build)).toEqual(golden());
});

describe.skipIf(NODES.length === 0)("other versions of Node (needs TOUCHSTONE_NODES)", () => {
  test.each(NODES)("%s gives the recorded ones, in its own choice of a build and in the build dot", async (node) => {
    for (const numThreads of [1, 2]) expect(await answersOf(node, numThreads)).toEqual(golden());
    const { stdout } = await promisify(execFile)(node, ["-p", "process.versions.v8"]);
    if (Number.parseInt(stdout) >= 12) expect(await answersOf(node, 2, "dot")).toEqual(golden());
  });
});

/** @param build of the kernels; by default the one that this version of Node chooses */
async function answersOf(node: string, numThreads: number, build = ""): Promise<ExactAnswers> {
  const { stdout } = await promisify(execFile)(node, ["dist/spec-tests/golden/exact-answers.js", `${numThreads}`], {
    env: { ...process.env, TOUCHSTONE_KERNELS: build },
    maxBuffer: 1 << 26,
  });
  return JSON.parse(stdout) as ExactAnswers;
}

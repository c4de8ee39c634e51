/** Runs a few hundred hostile models, and checks that the tool notices faults. CONTRIBUTING.md has the command for more. */

import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { writeBases } from "./bases.js";
import { KIND_NAMES } from "./kinds.js";
import { seedOf } from "./random.js";
import { isFailure, runCases, type Case, type CaseResult, type RunOptions } from "./run-cases.js";

const SEED = 1;
const CASES_PER_KIND = 60;

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "touchstone-fuzz-"));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

async function run(module: string, cases: readonly Case[], memory?: RunOptions["memory"]): Promise<CaseResult[]> {
  const results: CaseResult[] = [];
  const own = join(scratch, module);
  await mkdir(own, { recursive: true });
  await runCases(cases, {
    modulePath: resolve(`dist/spec-tests/fuzz/${module}.js`),
    setting: join(scratch, "bases"),
    scratch: own,
    failures: join(scratch, "failures"),
    numProcesses: 2,
    ...(memory === undefined ? {} : { memory }),
    onResult: (result) => results.push(result),
  });
  return results;
}

test("every kind of fault is noticed, and the next case runs", { timeout: 300_000 }, async () => {
  const expected = {
    accepted: "accepted",
    refused: "refused",
    fault: "fault",
    waits: "over the limit",
    blocks: "over the limit",
    computes: "over the limit",
    throws: "fault",
    rejects: "fault",
    exits: "crashed",
    heap: "crashed",
    memory: "too much memory",
  };
  const cases = Object.keys(expected).map((kind) => ({ kind, seed: 5 }));
  // Some machines take three seconds to provide a gigabyte, which would be over the limit of time.
  const results = await run("canary-cases", cases, { caseBytes: 200 << 20, heapMebibytes: 64 });
  expect(Object.fromEntries(results.map(({ kind, verdict }) => [kind, verdict.type]))).toEqual(expected);
  const message = (kind: string): unknown => results.find((result) => result.kind === kind)!.verdict;
  expect(message("throws")).toMatchObject({ message: expect.stringContaining("nobody catches this") });
  expect(message("rejects")).toMatchObject({ message: expect.stringContaining("nobody awaits this") });
  expect(message("exits")).toMatchObject({ message: expect.stringContaining("exit code 3") });
  expect(await readFile(join(scratch, "failures", "fault-5", "case"), "utf8")).toBe("5");
});

test("hostile models are refused with a readable error, or run", { timeout: 900_000 }, async () => {
  await writeBases(join(scratch, "bases"));
  const cases = KIND_NAMES.flatMap((kind) =>
    Array.from({ length: CASES_PER_KIND }, (_, index) => ({ kind, seed: seedOf(SEED, kind, index) })),
  );
  const results = await run("model-cases", cases);
  expect(results.filter(({ verdict }) => isFailure(verdict))).toEqual([]);
  for (const kind of KIND_NAMES) {
    const isInFull = results
      .filter((result) => result.kind === kind)
      .map(({ verdict }) => verdict.type === "accepted" && verdict.refusals.length === 0);
    // A kind whose models are all refused, or all run without any refusal, would show little.
    expect([kind, new Set(isInFull).size]).toEqual([kind, 2]);
  }
});

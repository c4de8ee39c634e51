/**
 * Opens many hostile models, and prints a table of what became of them. A failed case is written to a folder, and can be
 * run again alone.
 *
 *   npm run fuzz:models -- --cases 20000 --seed 1
 *   npm run fuzz:models -- --only tokenizer/123456
 */

import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { writeBases } from "./bases.js";
import { KIND_NAMES } from "./kinds.js";
import { seedOf } from "./random.js";
import { isFailure, runCases, type Case, type CaseResult, type Verdict } from "./run-cases.js";

const { values } = parseArgs({
  options: {
    cases: { type: "string", default: "2000" },
    seed: { type: "string", default: "1" },
    kinds: { type: "string", default: KIND_NAMES.join(",") },
    only: { type: "string" },
    processes: { type: "string", default: `${availableParallelism()}` },
    failures: { type: "string", default: "fuzz-failures" },
  },
});

const scratch = await mkdtemp(join(tmpdir(), "touchstone-fuzz-"));
try {
  const bases = join(scratch, "bases");
  await writeBases(bases);
  const results: CaseResult[] = [];
  const start = performance.now();
  await runCases(casesOf(values), {
    modulePath: fileURLToPath(new URL("./model-cases.js", import.meta.url)),
    setting: bases,
    scratch,
    failures: values.failures,
    numProcesses: Number(values.processes),
    onResult: (result) => {
      results.push(result);
      const { kind, seed, verdict, durationMs, isSecondRun } = result;
      if (isFailure(verdict) || isSecondRun || values.only !== undefined) {
        const message = "message" in verdict ? verdict.message : "";
        console.log(`${kind}/${seed}: ${verdict.type} after ${Math.round(durationMs)} ms: ${message}`);
      }
    },
  });
  const seconds = (performance.now() - start) / 1000;
  console.log(`\n${tableOf(results)}\n`);
  console.log(
    `seed ${values.seed}: ${results.length} cases in ${Math.round(seconds)} s, ${(results.length / seconds).toFixed(1)} per second`,
  );
  const numRepeated = results.filter(({ isSecondRun, verdict }) => isSecondRun && !isFailure(verdict)).length;
  if (numRepeated > 0) console.log(`${numRepeated} were over the limit at first, and not when they were run again`);
  const numFailed = results.filter(({ verdict }) => isFailure(verdict)).length;
  if (numFailed > 0) console.log(`${numFailed} failed; their files are in ${values.failures}`);
  process.exitCode = numFailed > 0 ? 1 : 0;
} finally {
  await rm(scratch, { recursive: true, force: true });
}

function* casesOf({ cases, seed, kinds, only }: typeof values): Generator<Case> {
  if (only !== undefined) {
    const [kind, number] = only.split("/");
    yield { kind: kind!, seed: Number(number) };
    return;
  }
  const names = kinds.split(",");
  for (let index = 0; index < Number(cases); index++) {
    const kind = names[index % names.length]!;
    yield { kind, seed: seedOf(seed, kind, index) };
  }
}

/** A model is used in full if none of the requests to it is refused; such models are also counted as accepted. */
function isOf(verdict: Verdict, column: Verdict["type"] | "in full"): boolean {
  return column === "in full" ? verdict.type === "accepted" && verdict.refusals.length === 0 : verdict.type === column;
}

function tableOf(results: readonly CaseResult[]): string {
  const columns = ["in full", "accepted", "refused", "fault", "over the limit", "crashed", "too much memory"] as const;
  const row = (name: string, own: readonly CaseResult[]): string => {
    const counts = columns.map((type) => own.filter(({ verdict }) => isOf(verdict, type)).length);
    const slowest = own.reduce((max, { durationMs }) => Math.max(max, durationMs), 0);
    return `| ${[name, own.length, ...counts, `${Math.round(slowest)} ms`].join(" | ")} |`;
  };
  const names = [...new Set(results.map(({ kind }) => kind))];
  return [
    `| kind | cases | ${columns.join(" | ")} | slowest |`,
    `|---|${"---|".repeat(columns.length + 2)}`,
    ...names.map((name) =>
      row(
        name,
        results.filter(({ kind }) => kind === name),
      ),
    ),
    row("all", results),
  ].join("\n");
}

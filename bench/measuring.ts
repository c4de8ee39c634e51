/** What the kernel benches share: the machine they ran on, and one way to time and print. */

import { cpus } from "node:os";
import { measure } from "mitata";

/** `--quick`: small inputs, so that every test run can check that the bench still works. */
export const isQuick = process.argv.includes("--quick");

/** One line: processor, Node version, mode. */
export function describeMachine(): string {
  return `${cpus()[0]?.model.trim() ?? "unknown processor"}, Node ${process.version}, ${isQuick ? "quick" : "full"} run`;
}

export interface Timing {
  /** The fastest of the samples, what to compare on a machine that others use too. */
  readonly minMs: number;
  readonly medianMs: number;
}

/** Times `run`, which draws on nothing that a compiler could leave out. */
export async function time(run: () => unknown): Promise<Timing> {
  const budget = isQuick ? 1e6 : 1e9;
  const stats = await measure(run, {
    min_cpu_time: budget,
    min_samples: isQuick ? 2 : 12,
    batch_threshold: 0,
    warmup_threshold: 5e8,
  });
  return { minMs: stats.min / 1e6, medianMs: stats.p50 / 1e6 };
}

/** `1.234 ms` in nine columns. */
export function inMs(ms: number): string {
  return `${ms.toFixed(3)} ms`.padStart(10);
}

export function check(condition: boolean, what: string): void {
  if (!condition) throw new Error(`The result is wrong: ${what}`);
}

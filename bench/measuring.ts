/** Helpers of the kernel benches: description of the machine, builds of the kernels, timing and printing. */

import { cpus } from "node:os";
import { measure } from "mitata";

import { Kernels, type KernelVariant } from "../kernels/index.js";

/** True with `--quick`: small inputs, so that every test run can check that the bench works. */
export const isQuick = process.argv.includes("--quick");

/** Returns one line with processor, Node version and mode. */
export function describeMachine(): string {
  return `${cpus()[0]?.model.trim() ?? "unknown processor"}, Node ${process.version}, ${isQuick ? "quick" : "full"} run`;
}

/** Returns those of the builds that this JavaScript engine runs, and prints why others are left out. */
export async function runnableBuilds(variants: readonly KernelVariant[]): Promise<KernelVariant[]> {
  const runnable: KernelVariant[] = [];
  for (const variant of variants) {
    try {
      await Kernels.load({ variant });
      runnable.push(variant);
    } catch (error) {
      console.log(`${variant} is not measured: ${(error as Error).message}`);
    }
  }
  return runnable;
}

export interface Timing {
  /** Fastest sample, the value to compare on a machine with other load. */
  readonly minMs: number;
  readonly medianMs: number;
}

/** Measures the time of `run`. */
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

/** Formats a time as `1.234 ms`, right-aligned in ten columns. */
export function inMs(ms: number): string {
  return `${ms.toFixed(3)} ms`.padStart(10);
}

export function check(condition: boolean, what: string): void {
  if (!condition) throw new Error(`The result is wrong: ${what}`);
}

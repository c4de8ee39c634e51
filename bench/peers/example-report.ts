/** Invented reports for tests. */

import type { EngineSamples, Report } from "./report.js";

/** Returns samples of an engine that needs `ms` for the shortest task, in two rounds. */
export function exampleSamples(name: string, ms: number): EngineSamples {
  // A machine that slows down in the second round slows all engines down.
  return {
    name,
    version: "1",
    firstTokenMs: { 128: [ms, 2 * ms], 512: [4 * ms, 8 * ms] },
    tokenMs: { 128: [ms, 2 * ms, 3 * ms], 512: [ms, 2 * ms] },
    batchRate: { 1: [1000 / ms, 500 / ms], 8: [4000 / ms, 1000 / ms] },
    startMs: [ms],
    loadMs: { q4: [ms], q8: [ms] },
    peakBytes: { q4: [ms * 2 ** 20], q8: [3 * ms * 2 ** 20] },
  };
}

/** Returns a report in which `touchstone-fast` needs `fastMs` where node-llama-cpp needs 20. */
export function exampleReport({
  cpu = "Example CPU",
  node = "v20.1.0",
  kernels = "relaxed",
  date = "2026-01-01",
  isQuick = false,
  fastMs = 10,
}): Report {
  return {
    shape: "smollm2-135m",
    isTrained: false,
    quant: "q4",
    isQuick,
    machine: {
      cpu,
      kernels: [kernels],
      numCores: 2,
      memoryBytes: 2 ** 34,
      platform: "linux 6",
      loads: [2, 2],
      repeats: 0,
      starved: 0,
      unknown: 0,
    },
    node,
    commit: "abcdef0",
    date,
    numThreads: 2,
    rounds: 2,
    engines: [
      exampleSamples("touchstone-fast", fastMs),
      exampleSamples("touchstone-exact", 30),
      exampleSamples("node-llama-cpp", 20),
      exampleSamples("transformers-js", 80),
    ],
    agreement: [],
  };
}

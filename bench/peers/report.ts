/** The report of one run: samples of every engine, and ratios with their range. */

/** Measurements of one engine. Arrays have one entry per round, so entries of equal index belong to the same round. */
export interface EngineSamples {
  readonly name: string;
  readonly version: string;
  /** Milliseconds by context, which is the prompt's length and the number of positions before the measured tokens. */
  readonly firstTokenMs: Readonly<Record<number, readonly number[]>>;
  readonly tokenMs: Readonly<Record<number, readonly number[]>>;
  /** Total tokens per second, by the number of concurrent sequences. */
  readonly batchRate: Readonly<Record<number, readonly number[]>>;
  /** Milliseconds to load the library, before the model. */
  readonly startMs: readonly number[];
  /** Milliseconds to load the model in a new process, by format. */
  readonly loadMs: Readonly<Record<string, readonly number[]>>;
  readonly peakBytes: Readonly<Record<string, readonly number[]>>;
}

export interface Report {
  readonly shape: string;
  /** False for random weights in this shape. */
  readonly isTrained: boolean;
  /** Format of the weights whose speed was measured. */
  readonly quant: string;
  /** True for a run with few rounds and tokens. */
  readonly isQuick: boolean;
  readonly machine: {
    /** Name of the processor, and those of its instructions that decide the speed. */
    readonly cpu: string;
    /** Builds of the kernels that this engine's processes ran, usually one. */
    readonly kernels: readonly string[];
    readonly numCores: number;
    readonly memoryBytes: number;
    readonly platform: string;
    /** Processes that ran or waited for a processor before each round, as a mean over a minute. */
    readonly loads: readonly number[];
    /** Measurements that were repeated because the engine's threads waited for processors, and those that still did. */
    readonly repeats: number;
    readonly starved: number;
    /** Measurements of which it is not known. */
    readonly unknown: number;
  };
  readonly node: string;
  readonly commit: string;
  readonly date: string;
  readonly numThreads: number;
  readonly rounds: number;
  readonly engines: readonly EngineSamples[];
  readonly agreement: readonly Agreement[];
}

/** Agreement of an engine's greedy tokens with those of this engine in the profile exact. */
export interface Agreement {
  readonly engine: string;
  readonly quant: string;
  readonly numPrompts: number;
  /** Number of prompts whose first token is the same. */
  readonly sameFirst: number;
  /** Number of prompts whose tokens are all the same. */
  readonly sameAll: number;
}

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

const OURS = "touchstone-fast";
export const OURS_EXACT = "touchstone-exact";
const LLAMA = "node-llama-cpp";
const TRANSFORMERS = "transformers-js";

/**
 * Returns the ratios this engine / the other of times, memory and rates, by name. Ratios that were not measured are absent.
 */
export function ratiosOf({ engines, quant }: Pick<Report, "engines" | "quant">): Record<string, Spread> {
  const find = (name: string): EngineSamples | undefined => engines.find((engine) => engine.name === name);
  const ratios: Record<string, Spread> = {};
  const add = (name: string, above: readonly number[] | undefined, below: readonly number[] | undefined): void => {
    if (above === undefined || below === undefined) return;
    ratios[name] = spreadOf(above.map((value, round) => value / below[round]!));
  };
  for (const [peer, suffix] of [
    [LLAMA, "node_llama_cpp"],
    [TRANSFORMERS, "transformers_js"],
  ] as const) {
    for (const context of [128, 512, 1500]) {
      add(`token_ctx${context}_vs_${suffix}`, find(OURS)?.tokenMs[context], find(peer)?.tokenMs[context]);
    }
    for (const [engine, profile] of [
      [OURS, "fast"],
      [OURS_EXACT, "exact"],
    ] as const) {
      // For prompts of equal length the ratio of rates is the inverse of the ratio of times.
      for (const length of [128, 512]) {
        add(
          `prompt${length}_${profile}_vs_${suffix}`,
          find(peer)?.firstTokenMs[length],
          find(engine)?.firstTokenMs[length],
        );
      }
      add(`memory_${profile}_vs_${suffix}`, find(engine)?.peakBytes[quant], find(peer)?.peakBytes[quant]);
      add(`memory_${profile}_q8_vs_${suffix}`, find(engine)?.peakBytes["q8"], find(peer)?.peakBytes["q8"]);
      add(
        `${engine === OURS ? "load" : "load_exact"}_vs_${suffix}`,
        find(engine)?.loadMs[quant],
        find(peer)?.loadMs[quant],
      );
    }
    add(`batch8_vs_${suffix}`, find(OURS)?.batchRate[8], find(peer)?.batchRate[8]);
  }
  add("batch8_vs_batch1", find(OURS)?.batchRate[8], find(OURS)?.batchRate[1]);
  return ratios;
}

/** A report as it is stored in JSON, with its ratios. */
export interface StoredReport extends Report {
  /** Medians of `spreads`. */
  readonly ratios: Readonly<Record<string, number>>;
  readonly spreads: Readonly<Record<string, Spread>>;
}

export function jsonOf(report: Report): StoredReport {
  const spreads = ratiosOf(report);
  const ratios = Object.fromEntries(Object.entries(spreads).map(([name, { median }]) => [name, median]));
  return { ratios, spreads, ...report };
}

/** Returns the processor and the major version of Node, which identify a report among those of its shape. */
export function conditionsOf({ machine, node }: Pick<Report, "machine" | "node">): string {
  return `${machine.cpu}, Node ${nodeMajorOf(node)}`;
}

/** @param node a version such as "v20.20.2" */
export function nodeMajorOf(node: string): number {
  return Number(/^v(\d+)\./.exec(node)![1]);
}

/** Returns the contexts that were measured, in ascending order. */
export function contextsOf(engines: readonly EngineSamples[]): number[] {
  return [...new Set(engines.flatMap(({ tokenMs }) => Object.keys(tokenMs).map(Number)))].sort((a, b) => a - b);
}

/** Returns the lengths of the prompts whose time is shown. */
export function promptLengthsOf(engines: readonly EngineSamples[]): number[] {
  return contextsOf(engines).filter((length) => length <= MAX_SHOWN_PROMPT);
}
const MAX_SHOWN_PROMPT = 512;

/** Returns what ran: the shape, and whether its weights are random. */
export function weightsOf({ shape, isTrained, quant }: Pick<Report, "shape" | "isTrained" | "quant">): string {
  return `${shape}, ${isTrained ? "trained" : "random"} weights in ${quant}`;
}

function spreadOf(values: readonly number[]): Spread {
  return { median: medianOf(values), min: Math.min(...values), max: Math.max(...values) };
}

export function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Options of the bench, and how much it measures with them. */

import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";

import { SHAPES } from "./models.js";

/** Engines in the order of every table. */
export const ENGINE_NAMES = ["touchstone-fast", "touchstone-exact", "node-llama-cpp", "transformers-js"] as const;
export type EngineName = (typeof ENGINE_NAMES)[number];

export interface Options {
  readonly shape: string;
  readonly quant: "q4" | "q8";
  readonly engines: readonly EngineName[];
  readonly rounds: number;
  readonly numThreads: number;
  /** File for the report of this run. */
  readonly json: string | null;
  /** Folder of results, see results.ts. */
  readonly out: string | null;
  /** Folder of models, or null for a temporary one. */
  readonly models: string | null;
  readonly isQuick: boolean;
  readonly size: Size;
}

export interface Size {
  readonly rounds: number;
  /** Numbers of positions before the measured tokens. */
  readonly contexts: readonly number[];
  /** Number of measured tokens at each context. */
  readonly numTokens: number;
  /** Number of tokens of each concurrent sequence: more, as the first ones generate while other prompts are processed. */
  readonly batchTokens: number;
  /** Number of new processes per engine and format. */
  readonly loads: number;
  readonly agreementTokens: number;
}

const SIZES = {
  full: { rounds: 5, contexts: [128, 512, 1500], numTokens: 32, batchTokens: 96, loads: 3, agreementTokens: 24 },
  quick: { rounds: 1, contexts: [128, 512, 1500], numTokens: 16, batchTokens: 64, loads: 1, agreementTokens: 8 },
  tiny: { rounds: 1, contexts: [128], numTokens: 8, batchTokens: 32, loads: 1, agreementTokens: 8 },
} as const satisfies Record<string, Size>;

export const HELP = `Compares this engine with others on the same weights.

  --shape NAME      ${SHAPES.join(", ")} (default: smollm2-135m)
  --quant q4|q8     weights whose speed is measured (default: q4); memory is measured with both
  --engines A,B     some of ${ENGINE_NAMES.join(", ")} (default: all)
  --rounds N        (default: ${SIZES.full.rounds})
  --threads N       for every engine (default: the machine's parallelism)
  --json FILE       writes the report of this run
  --out DIR         adds the report to DIR/SHAPE.json, in place of an earlier one of the same processor and major
                    version of Node, and does what --render does; only for full runs of all engines with q4
  --models DIR      stores models in this folder and reuses existing ones
  --quick           everything in about five minutes: one round with few tokens
  --tiny            less than --quick, with only this engine, on the embedded model; needs no other packages
  --render          measures nothing; writes the Markdown and SVG files in DIR (default: bench/peers/results) again,
                    and for the default the tables in README.md and docs/PERFORMANCE.md`;

export type Command =
  | { readonly kind: "help" }
  | { readonly kind: "render"; readonly dir: string | null }
  | { readonly kind: "measure"; readonly options: Options };

/** @throws OptionError */
export function commandOf(args: readonly string[]): Command {
  const given = parsed(args);
  if (given.help) return { kind: "help" };
  if (given.render) return { kind: "render", dir: given.out ?? null };
  const isQuick = given.quick || given.tiny;
  if (given.out !== undefined && (isQuick || given.engines !== undefined || given.quant !== "q4"))
    throw new OptionError(
      "--out takes only full runs of all engines with q4: leave out --quick, --tiny, --engines and --quant, or write the report with --json",
    );
  const size = SIZES[given.tiny ? "tiny" : given.quick ? "quick" : "full"];
  const names =
    given.engines?.split(",") ?? ENGINE_NAMES.filter((name) => !given.tiny || name.startsWith("touchstone"));
  const rounds = positive("rounds", given.rounds ?? `${size.rounds}`);
  const options: Options = {
    shape: oneOf("shape", given.shape ?? (given.tiny ? "tiny" : "smollm2-135m"), SHAPES),
    quant: oneOf("quant", given.quant, ["q4", "q8"]),
    engines: names.map((name) => oneOf("engines", name, ENGINE_NAMES)),
    rounds,
    numThreads: positive("threads", given.threads ?? `${availableParallelism()}`),
    json: given.json ?? null,
    out: given.out ?? null,
    models: given.models ?? null,
    isQuick,
    size: { ...size, loads: Math.min(rounds, size.loads) },
  };
  return { kind: "measure", options };
}

export class OptionError extends Error {
  override readonly name = "OptionError";
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        shape: { type: "string" },
        quant: { type: "string", default: "q4" },
        engines: { type: "string" },
        rounds: { type: "string" },
        threads: { type: "string" },
        json: { type: "string" },
        out: { type: "string" },
        models: { type: "string" },
        quick: { type: "boolean", default: false },
        tiny: { type: "boolean", default: false },
        render: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    }).values;
  } catch (error) {
    throw new OptionError((error as Error).message);
  }
}

function oneOf<T extends string>(option: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((name) => name === value);
  if (found === undefined) throw new OptionError(`--${option} must be one of ${allowed.join(", ")}. Given: ${value}`);
  return found;
}

function positive(option: string, value: string): number {
  const number = Number(value);
  if (!Number.isInteger(number) || number < 1)
    throw new OptionError(`--${option} must be a positive integer. Given: ${value}`);
  return number;
}

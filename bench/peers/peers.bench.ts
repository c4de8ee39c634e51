/**
 * Compares this engine with other engines: the same weights, prompts and number of threads, in turns. Every engine runs
 * in a separate process. In a round all engines get the same task, one after the other, and ratios are computed within
 * a round. The outputs of the engines are compared before anything is measured.
 *
 * Run: npm run bench:peers -- --shape smollm2-135m --json FILE
 */

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { availableParallelism, cpus, loadavg, platform, release, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { openPack } from "../../engine/folder/pack.js";
import { Tokenizer } from "../../engine/text/tokenizer.js";
import type { Prompt } from "./engine.js";
import { EngineProcess, type GenerateResult } from "./engine-process.js";
import { isTrained, Models, SHAPES, type ModelForm } from "./models.js";
import { promptOf } from "./prompts.js";
import { jsonOf, markdownOf, svgOf, type Agreement, type EngineSamples, type Report } from "./report.js";
import type { Quant } from "./weights.js";

interface EngineKind {
  readonly name: string;
  readonly moduleUrl: string;
  readonly form: ModelForm;
  readonly profile: "fast" | "exact" | null;
}

/**
 * Modules of other engines run from the source folder, because the packages that they import are installed only there.
 */
const peerModule = (file: string): string => new URL(`../../../bench/peers/${file}`, import.meta.url).href;
const oursModule = new URL("ours.js", import.meta.url).href;

const ENGINES: readonly EngineKind[] = [
  { name: "touchstone-fast", moduleUrl: oursModule, form: "pack", profile: "fast" },
  { name: "touchstone-exact", moduleUrl: oursModule, form: "pack", profile: "exact" },
  { name: "node-llama-cpp", moduleUrl: peerModule("node-llama-cpp.mjs"), form: "gguf", profile: null },
  { name: "transformers-js", moduleUrl: peerModule("transformers-js.mjs"), form: "transformers", profile: null },
];

const ENGINE_NAMES = ENGINES.map(({ name }) => name);

const HELP = `Compares this engine with others on the same weights.

  --shape NAME      ${SHAPES.join(", ")} (default: smollm2-135m)
  --quant q4|q8     weights whose speed is measured (default: q4); memory is measured with both
  --engines A,B     some of ${ENGINE_NAMES.join(", ")} (default: all)
  --rounds N        (default: 5)
  --threads N       for every engine (default: the machine's parallelism)
  --json FILE       writes all numbers and the ratios
  --out DIR         writes SHAPE.md and SHAPE.svg
  --models DIR      stores models in this folder and reuses existing ones
  --quick           one short round
  --tiny            --quick with only this engine, on the embedded model; needs no other packages`;

const { values: given } = parseArgs({
  options: {
    shape: { type: "string" },
    quant: { type: "string", default: "q4" },
    engines: { type: "string" },
    rounds: { type: "string" },
    threads: { type: "string", default: `${availableParallelism()}` },
    json: { type: "string" },
    out: { type: "string" },
    models: { type: "string" },
    quick: { type: "boolean", default: false },
    tiny: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

const isQuick = given.quick || given.tiny;
const shape = oneOf("shape", given.shape ?? (given.tiny ? "tiny" : "smollm2-135m"), SHAPES);
const quant = oneOf("quant", given.quant, ["q4", "q8"] as const);
const names = given.engines?.split(",") ?? ENGINE_NAMES.filter((name) => !given.tiny || name.startsWith("touchstone"));
const kinds = names.map((name) => ENGINES[ENGINE_NAMES.indexOf(oneOf("engines", name, ENGINE_NAMES))]!);
const rounds = positive("rounds", given.rounds ?? (isQuick ? "1" : "5"));
const numThreads = positive("threads", given.threads);

/** Number of positions before the measured tokens. */
const CONTEXTS = isQuick ? [128] : [128, 512, 1500];
/** Number of measured tokens at each context. */
const NUM_TOKENS = isQuick ? 8 : 32;
/**
 * Numbers of concurrent sequences. They are longer, because the first ones generate while other prompts are processed.
 */
const BATCHES = [1, 8];
const BATCH_PROMPT = 128;
const BATCH_TOKENS = isQuick ? 32 : 96;
/** Maximum length of the prompt that a new process answers before its memory is read. */
const MAX_MEMORY_PROMPT = 512;
/** Number of new processes per engine and format. */
const LOADS = isQuick ? 1 : Math.min(rounds, 3);
const AGREEMENT_PROMPTS = 8;
const AGREEMENT_TOKENS = isQuick ? 8 : 24;
/**
 * Minimum number of equal first tokens. With random weights, rounding of activations may change some; a wrong order of
 * heads leaves 2 of 8.
 */
const MIN_SAME_FIRST = AGREEMENT_PROMPTS / 2;
/** Share of its threads' time that an engine may wait for a processor, and how often a measurement is repeated. */
const MAX_WAITING = 0.1;
const MAX_REPEATS = 2;
/** llama.cpp rounds context lengths to multiples of this number. */
const CONTEXT_STEP = 256;

async function main(): Promise<void> {
  const dir = given.models ?? (await mkdtemp(join(tmpdir(), "touchstone-bench-")));
  try {
    const bench = await Bench.prepare(new Models(dir, shape));
    const agreement = await bench.agreement();
    const report = await bench.measure(agreement);
    const markdown = markdownOf(report);
    console.log(markdown);
    if (given.json !== undefined) await writeFile(given.json, `${JSON.stringify(jsonOf(report), null, 2)}\n`);
    if (given.out !== undefined) {
      await mkdir(given.out, { recursive: true });
      await writeFile(join(given.out, `${shape}.md`), markdown);
      await writeFile(join(given.out, `${shape}.svg`), svgOf(report));
    }
  } finally {
    if (given.models === undefined) await rm(dir, { recursive: true, force: true });
  }
}

class Bench {
  /** Seed of the next prompt. No seed is used twice. */
  #nextSeed = 1;
  readonly #loads: number[] = [];
  #repeats = 0;
  #starved = 0;
  #unknown = 0;

  private constructor(
    readonly models: Models,
    readonly tokenizer: Tokenizer,
    readonly contexts: readonly number[],
  ) {}

  static async prepare(models: Models): Promise<Bench> {
    progress("writing models");
    for (const form of new Set(kinds.map((kind) => kind.form)))
      for (const each of quantsOfRun()) await models.in(form, each);
    const { tokenizerJson, tokenizerConfig, config } = await openPack(await models.in("pack", quant));
    const contexts = CONTEXTS.filter((context) => context + NUM_TOKENS <= config.contextLength);
    return new Bench(models, new Tokenizer(tokenizerJson, tokenizerConfig), contexts);
  }

  /**
   * Compares the continuations of all engines for the same prompts. For trained models at f32 they must be equal. With
   * quantized weights engines round activations differently, so most first tokens must be equal.
   */
  async agreement(): Promise<Agreement[]> {
    const prompts = Array.from({ length: AGREEMENT_PROMPTS }, (_, index) => this.#prompt(16 + index));
    const results: Agreement[] = [];
    for (const each of isTrained(shape) ? (["f32", quant] as const) : [quant]) {
      let expected: readonly (readonly number[])[] | null = null;
      for (const kind of [...kinds].sort(
        (a, b) => Number(b.name === "touchstone-exact") - Number(a.name === "touchstone-exact"),
      )) {
        progress(`outputs of ${kind.name}, ${each}`);
        const { engine } = await this.#load(kind, each, 64);
        const outputs: (readonly number[])[] = [];
        for (const prompt of prompts) outputs.push((await engine.generate([prompt], AGREEMENT_TOKENS)).tokenIds[0]!);
        const copies = prompts.map(() => prompts[0]!);
        const together = await engine.generate(copies, AGREEMENT_TOKENS);
        await engine.close();
        for (const ids of together.tokenIds) {
          check(ids.length === AGREEMENT_TOKENS, `${kind.name} ended an answer early`);
          const isAsAlone = ids.join() === outputs[0]!.join();
          check(
            isAsAlone || kind.form !== "pack",
            `${kind.name}, ${each}: a sequence in a batch differs from the single one`,
          );
        }
        expected ??= outputs;
        const result = compare(kind.name, each, outputs, expected);
        results.push(result);
        const { sameFirst, sameAll, numPrompts } = result;
        const isAlike = each === "f32" ? sameAll === numPrompts : sameFirst >= MIN_SAME_FIRST;
        check(
          isAlike,
          `${kind.name}, ${each}: of ${numPrompts}, only ${sameFirst} first tokens and ${sameAll} answers are equal to the expected ones`,
        );
      }
    }
    return results;
  }

  async measure(agreement: readonly Agreement[]): Promise<Report> {
    const engines = kinds.map(({ name }) => new Samples(name));
    await this.#measureLoads(engines);
    await this.#measureSpeed(engines);
    const [cpu] = cpus();
    return {
      shape,
      isTrained: isTrained(shape),
      quant,
      machine: {
        cpu: processorName(cpu?.model.trim() ?? "unknown processor"),
        numCores: cpus().length,
        memoryBytes: totalmem(),
        platform: `${platform()} ${release()}`,
        loads: this.#loads,
        repeats: this.#repeats,
        starved: this.#starved,
        unknown: this.#unknown,
      },
      node: process.version,
      commit: commit(),
      date: new Date().toISOString().slice(0, 10),
      numThreads,
      rounds,
      engines,
      agreement,
    };
  }

  /** Measures load time and peak memory, each with a new process. */
  async #measureLoads(engines: readonly Samples[]): Promise<void> {
    const promptLength = Math.max(...this.contexts.filter((context) => context <= MAX_MEMORY_PROMPT));
    for (let round = 0; round < LOADS; round++) {
      for (const each of ["q4", "q8"] as const) {
        const prompt = this.#prompt(promptLength);
        for (const [index, kind] of inTurn(kinds, round)) {
          progress(`load ${round + 1}/${LOADS} of ${kind.name}, ${each}`);
          const { engine, loaded } = await this.#load(kind, each, promptLength + NUM_TOKENS);
          await engine.generate([prompt], NUM_TOKENS);
          const samples = engines[index]!;
          samples.version = loaded.version;
          samples.startMs.push(loaded.startMs);
          push(samples.loadMs, each, loaded.loadMs);
          push(samples.peakBytes, each, await engine.peakBytes());
          await engine.close();
        }
      }
    }
  }

  async #measureSpeed(engines: readonly Samples[]): Promise<void> {
    const contextLength = Math.max(
      BATCH_PROMPT + BATCH_TOKENS,
      ...this.contexts.map((context) => context + NUM_TOKENS),
    );
    const running: EngineProcess[] = [];
    try {
      for (const kind of kinds) running.push((await this.#load(kind, quant, contextLength)).engine);
      // Round 0 is a warm-up, whose results are discarded.
      for (let round = 0; round <= rounds; round++) {
        if (round > 0) this.#loads.push(loadavg()[0]!);
        const turn = async (
          what: string,
          lengths: readonly number[],
          numTokens: number,
          keep: (to: Samples, timed: Timed) => void,
        ) => {
          const newPrompts = (): Prompt[] => lengths.map((length) => this.#prompt(length));
          const prompts = newPrompts();
          for (const [index, engine] of inTurn(running, round)) {
            progress(`round ${round}/${rounds}, ${what}: ${engine.name}`);
            let result = await engine.generate(prompts, numTokens);
            for (let tries = 0; round > 0 && isStarved(result) && tries < MAX_REPEATS; tries++) {
              this.#repeats++;
              progress(`round ${round}/${rounds}, ${what}: ${engine.name} again, because it waited for processors`);
              result = await engine.generate(newPrompts(), numTokens);
            }
            if (round > 0 && isStarved(result)) this.#starved++;
            if (round > 0 && result.waitingShare === null) this.#unknown++;
            const { firstTokenMs, tokensPerSecond, tokenIds } = result;
            check(
              tokenIds.every((ids) => ids.length === numTokens),
              `${engine.name} ended an answer early`,
            );
            check(tokensPerSecond !== null, `${engine.name}: a sequence ended before another one began`);
            if (round > 0) keep(engines[index]!, { firstTokenMs, tokensPerSecond });
          }
        };
        for (const context of this.contexts) {
          await turn(`context ${context}`, [context], NUM_TOKENS, (to, { firstTokenMs, tokensPerSecond }) => {
            push(to.firstTokenMs, context, firstTokenMs);
            push(to.tokenMs, context, 1000 / tokensPerSecond);
          });
        }
        for (const batch of BATCHES) {
          const lengths = Array<number>(batch).fill(BATCH_PROMPT);
          await turn(`${batch} sequences`, lengths, BATCH_TOKENS, (to, { tokensPerSecond }) =>
            push(to.batchRate, batch, tokensPerSecond),
          );
        }
      }
    } finally {
      await Promise.all(running.map((engine) => engine.close()));
    }
  }

  async #load(kind: EngineKind, each: Quant, numPositions: number): ReturnType<typeof EngineProcess.load> {
    return EngineProcess.load(kind.name, kind.moduleUrl, {
      path: await this.models.in(kind.form, each),
      quant: each,
      profile: kind.profile,
      numThreads,
      contextLength: Math.ceil(numPositions / CONTEXT_STEP) * CONTEXT_STEP,
    });
  }

  #prompt(numTokens: number): Prompt {
    return promptOf(this.tokenizer, numTokens, this.#nextSeed++);
  }
}

/** Returns true if other processes took the processors from an engine's threads. */
const isStarved = ({ waitingShare }: GenerateResult): boolean => waitingShare !== null && waitingShare > MAX_WAITING;

interface Timed {
  readonly firstTokenMs: number;
  readonly tokensPerSecond: number;
}

/** Collects samples, see `EngineSamples`. */
class Samples implements EngineSamples {
  version = "";
  readonly firstTokenMs: Record<number, number[]> = {};
  readonly tokenMs: Record<number, number[]> = {};
  readonly batchRate: Record<number, number[]> = {};
  readonly startMs: number[] = [];
  readonly loadMs: Record<string, number[]> = {};
  readonly peakBytes: Record<string, number[]> = {};

  constructor(readonly name: string) {}
}

function push(samples: Record<string | number, number[]>, key: string | number, value: number): void {
  (samples[key] ??= []).push(value);
}

/** Adds the instructions that decide the speed to the processor's name, which may be as short as "AMD EPYC". */
function processorName(model: string): string {
  let flags: string;
  try {
    flags = readFileSync("/proc/cpuinfo", "latin1");
  } catch {
    return model; // Another operating system.
  }
  const found = [
    ["avx512f", "AVX-512"],
    ["avx2", "AVX2"],
    ["avx512_vnni", "AVX-512 VNNI"],
    ["avx_vnni", "AVX-VNNI"],
    ["amx_int8", "AMX"],
  ].flatMap(([flag, name]) => (new RegExp(`\\b${flag}\\b`).test(flags) ? [name!] : []));
  return found.length === 0 ? model : `${model} (${found.join(", ")})`;
}

function quantsOfRun(): readonly Quant[] {
  return isTrained(shape) ? ["q4", "q8", "f32"] : ["q4", "q8"];
}

/** Rotates the items, so that each round begins with another engine. */
function inTurn<T>(items: readonly T[], round: number): (readonly [index: number, item: T])[] {
  return items.map((_, i) => (i + round) % items.length).map((index) => [index, items[index]!] as const);
}

function compare(
  engine: string,
  each: Quant,
  outputs: readonly (readonly number[])[],
  expected: readonly (readonly number[])[],
): Agreement {
  const count = (same: (ids: readonly number[], others: readonly number[]) => boolean): number =>
    outputs.filter((ids, index) => same(ids, expected[index]!)).length;
  return {
    engine,
    quant: each,
    numPrompts: outputs.length,
    sameFirst: count((ids, others) => ids[0] === others[0]),
    sameAll: count((ids, others) => ids.join() === others.join()),
  };
}

function commit(): string {
  try {
    const run = (...args: string[]): string =>
      execFileSync("git", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
    return (
      run("rev-parse", "--short", "HEAD") +
      (run("status", "--porcelain", "--untracked-files=no") === "" ? "" : " (changed)")
    );
  } catch {
    return "unknown";
  }
}

function oneOf<T extends string>(option: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((name) => name === value);
  if (found === undefined) throw new Error(`--${option} must be one of ${allowed.join(", ")}. Given: ${value}`);
  return found;
}

function positive(option: string, value: string): number {
  const number = Number(value);
  if (!Number.isInteger(number) || number < 1)
    throw new Error(`--${option} must be a positive integer. Given: ${value}`);
  return number;
}

function check(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`The result is wrong: ${what}`);
}

function progress(what: string): void {
  process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${what}\n`);
}

if (given.help) console.log(HELP);
else await main();

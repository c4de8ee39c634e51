/**
 * One run of the bench. Every engine runs in a separate process. In a round all engines get the same task, one after the
 * other, and ratios are computed within a round. The outputs of the engines are compared before anything is measured.
 */

import { cpus, loadavg, platform, release, totalmem } from "node:os";

import { openPack } from "../../engine/folder/pack.js";
import { Tokenizer } from "../../engine/text/tokenizer.js";
import type { Prompt } from "./engine.js";
import { EngineProcess, type GenerateResult } from "./engine-process.js";
import { commitName, processorName } from "./machine.js";
import { isTrained, type ModelForm, Models } from "./models.js";
import type { EngineName, Options } from "./options.js";
import { promptOf } from "./prompts.js";
import { type Agreement, type EngineSamples, OURS_EXACT, type Report } from "./report.js";
import type { Quant } from "./weights.js";

interface EngineKind {
  readonly name: EngineName;
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

/** Numbers of concurrent sequences. */
const BATCHES = [1, 8];
const BATCH_PROMPT = 128;
/** Maximum length of the prompt that a new process answers before its memory is read. */
const MAX_MEMORY_PROMPT = 512;
const AGREEMENT_PROMPTS = 8;
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

export class Bench {
  /** Seed of the next prompt. No seed is used twice. */
  #nextSeed = 1;
  readonly #loads: number[] = [];
  #repeats = 0;
  #starved = 0;
  #unknown = 0;
  readonly #kernels = new Set<string>();

  private constructor(
    readonly options: Options,
    readonly kinds: readonly EngineKind[],
    readonly models: Models,
    readonly tokenizer: Tokenizer,
    readonly contexts: readonly number[],
  ) {}

  /** Writes the models. @param dir folder for them */
  static async prepare(dir: string, options: Options): Promise<Bench> {
    const { shape, quant, size } = options;
    progress("writing models");
    const models = new Models(dir, shape);
    const kinds = options.engines.map((name) => ENGINES.find((kind) => kind.name === name)!);
    for (const form of new Set(kinds.map((kind) => kind.form)))
      for (const each of isTrained(shape) ? (["q4", "q8", "f32"] as const) : (["q4", "q8"] as const))
        await models.in(form, each);
    const { tokenizerJson, tokenizerConfig, config } = await openPack(await models.in("pack", quant));
    const contexts = size.contexts.filter((context) => context + size.numTokens <= config.contextLength);
    return new Bench(options, kinds, models, new Tokenizer(tokenizerJson, tokenizerConfig), contexts);
  }

  /** Compares outputs, then measures. */
  async run(): Promise<Report> {
    const { shape, quant, isQuick, numThreads, rounds } = this.options;
    const agreement = await this.#agreement();
    const engines = this.kinds.map(({ name }) => new Samples(name));
    await this.#measureLoads(engines);
    await this.#measureSpeed(engines);
    return {
      shape,
      isTrained: isTrained(shape),
      quant,
      isQuick,
      machine: {
        cpu: processorName(),
        kernels: [...this.#kernels],
        numCores: cpus().length,
        memoryBytes: totalmem(),
        platform: `${platform()} ${release()}`,
        loads: this.#loads,
        repeats: this.#repeats,
        starved: this.#starved,
        unknown: this.#unknown,
      },
      node: process.version,
      commit: commitName(),
      date: new Date().toISOString().slice(0, 10),
      numThreads,
      rounds,
      engines,
      agreement,
    };
  }

  /**
   * Compares the continuations of all engines for the same prompts. For trained models at f32 they must be equal. With
   * quantized weights engines round activations differently, so most first tokens must be equal.
   */
  async #agreement(): Promise<Agreement[]> {
    const { shape, quant, size } = this.options;
    const prompts = Array.from({ length: AGREEMENT_PROMPTS }, (_, index) => this.#prompt(16 + index));
    const results: Agreement[] = [];
    for (const each of isTrained(shape) ? (["f32", quant] as const) : [quant]) {
      let expected: readonly (readonly number[])[] | null = null;
      for (const kind of [...this.kinds].sort(
        (a, b) => Number(b.name === OURS_EXACT) - Number(a.name === OURS_EXACT),
      )) {
        progress(`outputs of ${kind.name}, ${each}`);
        const { engine } = await this.#load(kind, each, 64);
        const outputs: (readonly number[])[] = [];
        for (const prompt of prompts)
          outputs.push((await engine.generate([prompt], size.agreementTokens)).tokenIds[0]!);
        const copies = prompts.map(() => prompts[0]!);
        const together = await engine.generate(copies, size.agreementTokens);
        await engine.close();
        for (const ids of together.tokenIds) {
          check(ids.length === size.agreementTokens, `${kind.name} ended an answer early`);
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

  /** Measures load time and peak memory, each with a new process. */
  async #measureLoads(engines: readonly Samples[]): Promise<void> {
    const { numTokens, loads } = this.options.size;
    const promptLength = Math.max(...this.contexts.filter((context) => context <= MAX_MEMORY_PROMPT));
    for (let round = 0; round < loads; round++) {
      for (const each of ["q4", "q8"] as const) {
        const prompt = this.#prompt(promptLength);
        for (const [index, kind] of inTurn(this.kinds, round)) {
          progress(`load ${round + 1}/${loads} of ${kind.name}, ${each}`);
          const { engine, loaded } = await this.#load(kind, each, promptLength + numTokens);
          await engine.generate([prompt], numTokens);
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
    const { quant, rounds, size } = this.options;
    const contextLength = Math.max(
      BATCH_PROMPT + size.batchTokens,
      ...this.contexts.map((context) => context + size.numTokens),
    );
    const running: EngineProcess[] = [];
    try {
      for (const kind of this.kinds) running.push((await this.#load(kind, quant, contextLength)).engine);
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
          await turn(`context ${context}`, [context], size.numTokens, (to, { firstTokenMs, tokensPerSecond }) => {
            push(to.firstTokenMs, context, firstTokenMs);
            push(to.tokenMs, context, 1000 / tokensPerSecond);
          });
        }
        for (const batch of BATCHES) {
          const lengths = Array<number>(batch).fill(BATCH_PROMPT);
          await turn(`${batch} sequences`, lengths, size.batchTokens, (to, { tokensPerSecond }) =>
            push(to.batchRate, batch, tokensPerSecond),
          );
        }
      }
    } finally {
      await Promise.all(running.map((engine) => engine.close()));
    }
  }

  async #load(kind: EngineKind, each: Quant, numPositions: number): ReturnType<typeof EngineProcess.load> {
    const started = await EngineProcess.load(kind.name, kind.moduleUrl, {
      path: await this.models.in(kind.form, each),
      quant: each,
      profile: kind.profile,
      numThreads: this.options.numThreads,
      contextLength: Math.ceil(numPositions / CONTEXT_STEP) * CONTEXT_STEP,
    });
    const { kernels } = started.loaded;
    if (kernels !== null) this.#kernels.add(kernels);
    return started;
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

function check(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`The result is wrong: ${what}`);
}

function progress(what: string): void {
  process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${what}\n`);
}

/**
 * What the laws of the token loop run on: two fakes that answer at once, one for each rule of prefix reuse, and the
 * real runners on a small model. A profile more is an entry more in PROFILES.
 *
 * The fakes keep token ids in the pages and derive the hidden state from what they read back, so a page shared,
 * copied, evicted or freed wrongly changes the outputs. Those of `block` mark what the token runner wrote: a prompt
 * that reuses it changes the outputs too.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Engine } from "../engine/engine.js";
import { KVCache, type PrefixReuse } from "../engine/kv-cache.js";
import { LMHead } from "../engine/lm-head.js";
import { convert, openPack } from "../engine/model/index.js";
import type { ForwardPass, ModelRunner } from "../engine/runner/model-runner.js";
import { testOnnxRunner, testRunner } from "../engine/runner/testing.js";
import { Kernels, pack as packMatrix, type PackedMatrix } from "../kernels/index.js";
import { byteTokenizer } from "./byte-tokenizer.js";
import { randomModel } from "./random-model.js";

export const CONTEXT = 1024;
export const END_TOKEN = 256;
export const tokenizer = byteTokenizer();

export interface Profile {
  readonly name: string;
  readonly reuse: PrefixReuse;
  readonly blockSize: number;
  readonly pageSize: number;
  /** Cases of a property. */
  readonly numRuns: number;
  /** What all engines of a test file share. */
  readonly load: () => Promise<LoadedProfile>;
}

export interface LoadedProfile {
  readonly kernels: Kernels;
  readonly promptRunner: ModelRunner;
  readonly tokenRunner: ModelRunner;
  readonly pageByteLength: number;
  readonly close: () => Promise<void>;
}

export const PROFILES: readonly Profile[] = [
  { name: "fake, any position reused", reuse: "token", blockSize: 8, pageSize: 4, numRuns: 40, load: () => loadFakes("token", 4) },
  { name: "fake, prompt blocks reused", reuse: "block", blockSize: 8, pageSize: 8, numRuns: 40, load: () => loadFakes("block", 8) },
  { name: "fast", reuse: "block", blockSize: 64, pageSize: 64, numRuns: 4, load: () => loadReal("fast") },
  { name: "exact", reuse: "token", blockSize: 64, pageSize: 64, numRuns: 4, load: () => loadReal("exact") },
];

export interface EngineUnderTest {
  readonly engine: Engine;
  readonly cache: KVCache;
  readonly prompts: CountingRunner;
  readonly tokens: CountingRunner;
}

/** A fresh engine: cold, with counters at zero. */
export function createEngine(
  profile: Profile,
  { kernels, promptRunner, tokenRunner, pageByteLength }: LoadedProfile,
  options: { pagesMax?: number; slots?: number } = {},
): EngineUnderTest {
  const { blockSize, pageSize, reuse } = profile;
  const prompts = new CountingRunner(promptRunner);
  const tokens = new CountingRunner(tokenRunner);
  const cache = new KVCache(kernels, { pageSize, pageByteLength, pagesMax: options.pagesMax ?? 600, reuse });
  const engine = new Engine({
    kernels,
    promptRunner: prompts,
    tokenRunner: tokens,
    blockSize,
    lmHead: new LMHead(kernels, headOf(kernels), { numRowsMax: options.slots ?? 5, vocabSize: tokenizer.vocabSize, hasToken: () => true }),
    cache,
    tokenizer,
    endTokenIds: new Set([END_TOKEN]),
    contextLength: CONTEXT,
  });
  return { engine, cache, prompts, tokens };
}

/** Remembers what ran, and fails where told to. */
export class CountingRunner implements ModelRunner {
  readonly calls: { start: number; count: number }[][] = [];
  /** Token id whose pass throws, after the passes before it. */
  poison: number | null = null;
  readonly #inner: ModelRunner;

  constructor(inner: ModelRunner) {
    this.#inner = inner;
  }

  get numTokens(): number {
    return this.calls.flat().reduce((sum, { count }) => sum + count, 0);
  }

  async forward(passes: readonly ForwardPass[]): Promise<Float32Array[]> {
    this.calls.push(passes.map(({ tokenIds, table }) => ({ start: table.numPositions, count: tokenIds.length })));
    const poisoned = passes.findIndex(({ tokenIds }) => this.poison !== null && tokenIds.includes(this.poison));
    if (poisoned < 0) return this.#inner.forward(passes);
    if (poisoned > 0) await this.#inner.forward(passes.slice(0, poisoned));
    passes[poisoned]!.table.extend(passes[poisoned]!.tokenIds.length);
    throw new Error("poisoned");
  }

  async release(): Promise<void> {}
}

const HIDDEN = 32;

const heads = new WeakMap<Kernels, PackedMatrix>();

/** f32 [vocab_size, HIDDEN], the same for all engines of a profile. */
function headOf(kernels: Kernels): PackedMatrix {
  const known = heads.get(kernels);
  if (known !== undefined) return known;
  const rows = tokenizer.vocabSize;
  const values = Float32Array.from({ length: rows * HIDDEN }, (_, i) => Math.fround(((i * 7919) % 1013) / 506 - 1));
  const head = kernels.allocateMatrix("f32", rows, HIDDEN);
  kernels.bytes(head.address, head.byteLength).set(packMatrix({ format: "f32", rows, cols: HIDDEN, values }));
  heads.set(kernels, head);
  return head;
}

/** A page is f32 [pageSize]: each position's token id, plus `mark`. */
class FakeRunner implements ModelRunner {
  readonly #kernels: Kernels;
  readonly #pageSize: number;
  readonly #mark: number;

  constructor(kernels: Kernels, pageSize: number, mark: number) {
    this.#kernels = kernels;
    this.#pageSize = pageSize;
    this.#mark = mark;
  }

  async forward(passes: readonly ForwardPass[]): Promise<Float32Array[]> {
    for (const { tokenIds, table } of passes) table.extend(tokenIds.length);
    return passes.map(({ tokenIds, table }) => {
      const pages = table.pages.map((page) => this.#kernels.f32(page, this.#pageSize));
      const start = table.numPositions - tokenIds.length;
      tokenIds.forEach((id, index) => {
        const position = start + index;
        pages[Math.floor(position / this.#pageSize)]![position % this.#pageSize] = id + this.#mark;
      });
      let hash = 17;
      for (let position = 0; position < table.numPositions; position++) {
        hash = (Math.imul(hash, 31) + 4 * pages[Math.floor(position / this.#pageSize)]![position % this.#pageSize]!) >>> 0;
      }
      hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
      return Float32Array.from({ length: HIDDEN }, (_, i) => ((Math.imul(hash, 2 * i + 3) >>> 0) / 2 ** 31 - 1) * 0.5);
    });
  }

  async release(): Promise<void> {}
}

async function loadFakes(reuse: PrefixReuse, pageSize: number): Promise<LoadedProfile> {
  const kernels = await Kernels.load();
  const promptRunner = new FakeRunner(kernels, pageSize, 0);
  const tokenRunner = reuse === "token" ? promptRunner : new FakeRunner(kernels, pageSize, 0.25);
  return { kernels, promptRunner, tokenRunner, pageByteLength: pageSize * 4, close: async () => {} };
}

async function loadReal(profile: "fast" | "exact"): Promise<LoadedProfile> {
  const scratch = await mkdtemp(join(tmpdir(), "scheduling-"));
  const packDir = join(scratch, "pack");
  await convert(await randomModel(join(scratch, "model"), { config: { hidden_size: HIDDEN, max_position_embeddings: CONTEXT } }), packDir, { format: "q8" });
  const pack = await openPack(packDir);
  const { kernels, weights, runner: tokenRunner, cache } = await testRunner(pack, { numThreads: 2, pageSize: 64 });
  const promptRunner = profile === "exact" ? tokenRunner : await testOnnxRunner(pack, kernels, weights);
  return {
    kernels,
    promptRunner,
    tokenRunner,
    pageByteLength: cache.shape.pageByteLength,
    close: async () => {
      await promptRunner.release();
      await kernels.close();
      await rm(scratch, { recursive: true, force: true });
    },
  };
}

/**
 * Properties of the kernels (section 10 of the specification): the bits of a hidden state do not depend on the build,
 * the number of threads, concurrent sequences, the split of the prompt, or the origin of keys and values. A random
 * model of unusual widths is compared, in each format, with its own run on one thread, one token at a time.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import type { PageTable } from "../../engine/core/kv-cache.js";
import { openPack } from "../../engine/folder/pack.js";
import { convert } from "../../engine/store/convert.js";
import { testRunner, type TestRunnerOptions } from "../fixtures/runners.js";
import type { KernelVariant, KVFormat, MatrixFormat } from "../../kernels/index.js";
import { loadBuilds } from "../fixtures/kernels.js";
import { writeRandomModel } from "../fixtures/random-model.js";

/** Large enough that a single row is split over several threads. */
const MODEL = {
  model_type: "qwen3",
  hidden_size: 264,
  intermediate_size: 516,
  num_attention_heads: 6,
  num_key_value_heads: 2,
  head_dim: 42,
  attention_bias: true,
};
const CASES: [MatrixFormat, KVFormat][] = [
  ["q8", "f32"],
  ["q4", "f32"],
  ["f32", "f32"],
  ["q4", "q8"],
  ["q8", "bf16"],
];

let scratch: string;
let variants: KernelVariant[];
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "exact-"));
  await writeRandomModel(join(scratch, "model"), { config: MODEL });
  for (const format of ["q8", "q4", "f32"] as const)
    await convert(join(scratch, "model"), join(scratch, format), { quant: format });
  const builds = await loadBuilds();
  variants = builds.map(({ variant }) => variant);
  for (const build of builds) await build.close();
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

type TestRunner = Awaited<ReturnType<typeof testRunner>>;

describe.each(CASES)("%s weights, %s keys and values", (format, kvFormat) => {
  const open = async (options: TestRunnerOptions = {}): Promise<TestRunner> =>
    testRunner(await openPack(join(scratch, format)), { kvFormat, ...options });

  /** Opens a runner and closes it after the work. */
  async function withRunner(options: TestRunnerOptions, work: (runner: TestRunner) => Promise<void>): Promise<void> {
    const runner = await open(options);
    try {
      await work(runner);
    } finally {
      await runner.kernels.close();
    }
  }

  let plain: TestRunner;
  beforeAll(async () => {
    plain = await open();
  });
  afterAll(() => plain.kernels.close());

  /** Returns the bits of the hidden state after each token, computed one token at a time. */
  async function expected(tokenIds: readonly number[]): Promise<Uint32Array[]> {
    const table = plain.cache.createTable();
    const states = [];
    for (const tokenId of tokenIds) states.push(...(await plain.runner.forward([{ tokenIds: [tokenId], table }])));
    table.release();
    return states.map(bits);
  }

  async function comparesFrom(options: TestRunnerOptions, numRuns: number): Promise<void> {
    await withRunner(options, async (tested) => {
      await fc.assert(
        fc.asyncProperty(prompts(1, 3), cuts, async (texts, sizes) => runsTogether(tested, texts, sizes)),
        { numRuns },
      );
    });
  }

  /** Runs several texts as a batch, one piece of each per step, and compares all states with those of single tokens. */
  async function runsTogether(
    { runner, cache }: TestRunner,
    texts: readonly number[][],
    sizes: readonly number[],
  ): Promise<void> {
    const states = await Promise.all(texts.map(expected));
    const tables = texts.map(() => cache.createTable());
    for (let round = 0; tables.some((table, i) => table.numPositions < texts[i]!.length); round++) {
      const running = [...texts.keys()].filter((i) => tables[i]!.numPositions < texts[i]!.length);
      const passes = running.map((i) => {
        const start = tables[i]!.numPositions;
        return { tokenIds: texts[i]!.slice(start, start + sizes[(round + i) % sizes.length]!), table: tables[i]! };
      });
      const hidden = await runner.forward(passes);
      expect(hidden.map(bits)).toEqual(running.map((i) => states[i]![tables[i]!.numPositions - 1]));
    }
    for (const table of tables) table.release();
  }

  test("TS-10.3 any number of threads gives the same bits", async () => {
    for (const numThreads of [1, 2, 3]) await comparesFrom({ numThreads }, 6);
  });

  test("TS-10.3 any build of the kernels gives the same bits", async () => {
    expect(variants).toContain("simd");
    for (const variant of variants) await comparesFrom({ variant, numThreads: 2 }, 6);
  });

  test("TS-10.8 a batch of 1 to 8 sequences gives the same bits", async () => {
    await withRunner({ numThreads: 2 }, async (tested) => {
      for (let batch = 1; batch <= 8; batch++) {
        await fc.assert(
          fc.asyncProperty(prompts(batch, batch), async (texts) => runsTogether(tested, texts, [1])),
          { numRuns: 2 },
        );
      }
    });
  });

  test("TS-10.3 any split of the prompts and any maximum number of rows per kernel run give the same bits", async () => {
    for (const maxRows of [1, 3, 64]) {
      await withRunner({ numThreads: 2, maxRows }, async (tested) => {
        await fc.assert(
          fc.asyncProperty(prompts(1, 4), cuts, async (texts, sizes) => runsTogether(tested, texts, sizes)),
          { numRuns: 6 },
        );
      });
    }
  });

  test("TS-10.7 computed and shared keys and values give the same bits in every sequence", async () => {
    await withRunner({ numThreads: 2 }, async ({ runner, cache }) => {
      await fc.assert(
        fc.asyncProperty(prompt, fc.array(prompt, { minLength: 2, maxLength: 4 }), async (prefix, ends) => {
          const states = await Promise.all(ends.map((end) => expected([...prefix, ...end])));
          const first = cache.createTable();
          await runner.forward([{ tokenIds: prefix, table: first }]);
          first.insertPrefix(prefix);
          const tables: PageTable[] = ends.map((_, i) => {
            if (i % 2 === 0) return first.fork();
            const found = cache.createTable();
            expect(found.lookUpPrefix(prefix)).toBe(prefix.length);
            return found;
          });
          const hidden = await runner.forward(ends.map((tokenIds, i) => ({ tokenIds, table: tables[i]! })));
          expect(hidden.map(bits)).toEqual(ends.map((end, i) => states[i]![prefix.length + end.length - 1]));
          for (const table of [first, ...tables]) table.release();
        }),
        { numRuns: 12 },
      );
    });
  });
});

const prompt = fc.array(fc.integer({ min: 0, max: 256 }), { minLength: 1, maxLength: 30 });
const cuts = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 5 });

function prompts(minLength: number, maxLength: number): fc.Arbitrary<number[][]> {
  return fc.array(prompt, { minLength, maxLength });
}

function bits(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

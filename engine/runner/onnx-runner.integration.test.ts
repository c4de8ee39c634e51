/** Tests that the runner of prompts gives the same bits, however prompts are divided and whichever come between. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { randomModel } from "../../spec-tests/fixtures/random-model.js";
import { testOnnxRunner, testRunner } from "../../spec-tests/fixtures/runners.js";
import type { KVFormat } from "../../kernels/index.js";
import type { PageTable } from "../core/kv-cache.js";
import { openPack } from "../folder/pack.js";
import { convert } from "../store/convert.js";

const BLOCK = 64;
const TOKENS = Array.from({ length: 5 * BLOCK + 9 }, (_, i) => (i * i * 31 + i) % 257);

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "onnx-runner-"));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

const MODELS: [string, Record<string, unknown>][] = [
  ["heads of 16", { head_dim: 16 }],
  ["padded heads", { head_dim: 12, num_key_value_heads: 1 }],
  ["normed heads", { model_type: "qwen3", head_dim: 20 }],
];
const CASES = (["f32", "bf16", "q8"] satisfies KVFormat[]).flatMap((kvFormat) =>
  MODELS.map(([name, config]) => ({ name: `${name}, ${kvFormat} keys and values`, config, kvFormat })),
);

describe.each(CASES)("$name", ({ name, config, kvFormat }) => {
  let parts: Awaited<ReturnType<typeof testRunner>>;
  let prompts: Awaited<ReturnType<typeof testOnnxRunner>>;
  let pageByteLength: number;
  beforeAll(async () => {
    const source = await randomModel(join(scratch, name, "source"), {
      config: { ...config, max_position_embeddings: 512 },
      seed: 5,
    });
    await convert(source, join(scratch, name, "pack"), { quant: "q8" });
    const pack = await openPack(join(scratch, name, "pack"));
    parts = await testRunner(pack, { pageSize: BLOCK, kvFormat });
    pageByteLength = parts.cache.shape.pageByteLength;
    prompts = await testOnnxRunner(pack, parts.kernels, parts.weights, kvFormat);
  });
  afterAll(async () => {
    await prompts.release();
    await parts.kernels.close();
  });

  /** A prompt that is computed pass by pass. */
  class Prompt {
    readonly table: PageTable = parts.cache.createTable();
    readonly #hidden: Float32Array[] = [];

    constructor(
      readonly tokenIds: readonly number[],
      readonly isLengthKnown: boolean,
    ) {}

    /** Takes the positions that the prefix cache holds. */
    lookUp(): number {
      return this.table.lookUpPrefix(this.tokenIds.slice(0, -1));
    }

    async run(count: number): Promise<void> {
      const start = this.table.numPositions;
      const tokenIds = this.tokenIds.slice(start, start + count);
      const length = this.isLengthKnown ? { promptLength: this.tokenIds.length } : {};
      this.#hidden.push(...(await prompts.forwardEach([{ tokenIds, table: this.table, ...length }])));
    }

    /** Returns the bits of its hidden states, of the passes from `firstPass` on, and of the pages of its whole blocks. */
    bits(firstPass = 0): Buffer {
      const numPages = Math.floor(this.tokenIds.length / BLOCK);
      const pages = this.table.pages
        .slice(0, numPages)
        .map((page) => parts.kernels.bytes(page, pageByteLength).slice());
      const bytes = (each: Float32Array): Uint8Array => new Uint8Array(each.buffer, each.byteOffset, each.byteLength);
      return Buffer.concat([...this.#hidden.slice(firstPass).map(bytes), ...pages]);
    }
  }

  async function alone(tokenIds: readonly number[], sizes: readonly number[]): Promise<Buffer> {
    const prompt = new Prompt(tokenIds, true);
    for (const size of sizes) await prompt.run(size);
    const bits = prompt.bits();
    prompt.table.release();
    return bits;
  }

  test.each([[[256, 73]], [[128, 192, 9]], [[64, 256, 9]], [[329]], [[64, 64, 64, 64, 73]]])(
    "in passes of %j tokens",
    async (sizes) => {
      const expected = await alone(TOKENS, [64, 64, 64, 64, 64, 9]);
      expect(Buffer.compare(await alone(TOKENS, sizes), expected)).toBe(0);
    },
  );

  test.each([true, false])("in turns with other prompts, whose lengths are known: %s", async (isLengthKnown) => {
    const other = TOKENS.map((id) => (id + 1) % 257).slice(0, 3 * BLOCK);
    const expected = [await alone(TOKENS, [64, 64, 64, 64, 73]), await alone(other, [64, 64, 64])];
    const [one, two] = [new Prompt(TOKENS, isLengthKnown), new Prompt(other, isLengthKnown)];
    // After the long one, there is room for all positions, so that only the sequence tells whose keys are kept.
    const long = new Prompt(TOKENS, false);
    for (const [prompt, size] of [
      [long, 320],
      [one, 64],
      [two, 64],
      [one, 64],
      [two, 64],
      [one, 128],
      [two, 64],
      [one, 73],
    ] as const)
      await prompt.run(size);
    prompts.endPrompts();
    long.table.release();
    expect([one, two].map((prompt, index) => Buffer.compare(prompt.bits(), expected[index]!))).toEqual([0, 0]);
    for (const { table } of [one, two]) table.release();
  });

  test.each([1, 2, 4, 5])("after a prefix of %i blocks that another prompt has computed", async (numBlocks) => {
    const numCached = numBlocks * BLOCK;
    const expected = new Prompt(TOKENS, true);
    await expected.run(numCached);
    await expected.run(TOKENS.length);
    const first = new Prompt(TOKENS.slice(0, numCached), true);
    await first.run(numCached);
    first.table.insertPrefix(first.tokenIds);
    first.table.release();
    // Another prompt overwrites the memory of the body.
    const other = new Prompt(TOKENS.toReversed(), false);
    await other.run(TOKENS.length);
    const second = new Prompt(TOKENS, true);
    expect(second.lookUp()).toBe(numCached);
    await second.run(TOKENS.length);
    expect(Buffer.compare(second.bits(), expected.bits(1))).toBe(0);
    for (const { table } of [expected, other, second]) table.release();
  });

  test("after a pass that failed", async () => {
    const expected = await alone(TOKENS, [64, 64, 201]);
    const prompt = new Prompt(TOKENS, true);
    await prompt.run(64);
    const bad = { tokenIds: [], table: prompt.table };
    await expect(prompts.forwardEach([bad])).rejects.toThrow("at least one token");
    await prompt.run(64);
    await prompt.run(201);
    expect(Buffer.compare(prompt.bits(), expected)).toBe(0);
    prompt.table.release();
  });

  test("refuses passes that begin inside a block", async () => {
    const prompt = new Prompt(TOKENS, false);
    await prompt.run(9);
    await expect(prompt.run(9)).rejects.toThrow("multiple of the block size");
    prompt.table.release();
  });
});

/**
 * Tests of every architecture and option on random models. The hidden states of every position, from the kernels, from
 * ONNX Runtime, and from the kernels after a prompt in ONNX Runtime, are compared with a float64 forward pass that
 * reads the same folder independently.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { convert } from "../engine/store/convert.js";
import { openPack } from "../engine/folder/pack.js";
import { largestDifference, testOnnxRunner, testRunner } from "./fixtures/runners.js";
import { randomModel, randomSource, type RandomModelOptions } from "./fixtures/random-model.js";
import { valuesOf } from "./oracles/estimate.js";
import { type FolderTensor, folderModel, readConfig, readTensors } from "./oracles/folder-model.js";
import { hiddenStates } from "./oracles/forward.js";

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "architectures-"));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

interface Case {
  readonly name: string;
  readonly config: Record<string, unknown>;
  readonly files?: Pick<RandomModelOptions, "dtype" | "numShards">;
  /** Removes the option from the reference. The results must then differ. */
  readonly blind?: (config: Record<string, unknown>, tensors: Map<string, FolderTensor>) => void;
}

const LLAMA3 = { factor: 4, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 32 };
const unscaled: Case["blind"] = (config) => delete config["rope_scaling"];
/** Reorders query heads as if groups were interleaved. */
const regrouped: Case["blind"] = (config, tensors) => {
  const [heads, kvHeads] = [config["num_attention_heads"] as number, config["num_key_value_heads"] as number];
  const group = heads / kvHeads;
  for (const [name, { shape, values }] of tensors) {
    if (!/q_proj/.test(name)) continue;
    const size = values.length / heads;
    const moved = new Float64Array(values.length);
    for (let head = 0; head < heads; head++)
      moved.set(
        values.subarray(head * size, (head + 1) * size),
        ((head % group) * kvHeads + Math.floor(head / group)) * size,
      );
    tensors.set(name, { shape, values: moved });
  }
};

const CASES: readonly Case[] = [
  { name: "llama", config: {} },
  {
    name: "llama, another rotary base",
    config: { rope_theta: 500000 },
    blind: (config) => delete config["rope_theta"],
  },
  { name: "llama, another epsilon", config: { rms_norm_eps: 0.01 }, blind: (config) => delete config["rms_norm_eps"] },
  {
    name: "llama, biases on all attention projections",
    config: { attention_bias: true },
    blind: (config) => delete config["attention_bias"],
  },
  {
    name: "llama, bias of the output projection",
    config: { attention_bias: true },
    blind: (_, tensors) => tensors.forEach((_, name) => name.endsWith("o_proj.bias") && tensors.delete(name)),
  },
  { name: "llama, linear scaling", config: { rope_scaling: { type: "linear", factor: 2 } }, blind: unscaled },
  {
    name: "llama, llama3 scaling",
    config: { rope_theta: 500000, rope_scaling: { rope_type: "llama3", ...LLAMA3 } },
    blind: unscaled,
  },
  {
    name: "llama, llama3 scaling in the newer form",
    config: { rope_theta: undefined, rope_parameters: { rope_type: "llama3", rope_theta: 500000, ...LLAMA3 } },
    blind: (config) => delete config["rope_parameters"],
  },
  { name: "llama, tied embeddings", config: { tie_word_embeddings: true } },
  { name: "llama, as many key heads as query heads", config: { num_key_value_heads: 4 } },
  { name: "llama, key heads not given", config: { num_key_value_heads: null, num_attention_heads: 4 } },
  { name: "llama, two query heads per key head", config: {}, blind: regrouped },
  {
    name: "llama, three query heads per key head, widths that are not multiples of a block",
    config: { hidden_size: 72, num_attention_heads: 6, intermediate_size: 100 },
    blind: regrouped,
  },
  {
    name: "llama, four query heads per key head",
    config: { num_attention_heads: 8, num_key_value_heads: 2, head_dim: 6 },
    blind: regrouped,
  },
  {
    name: "llama, eight query heads per key head",
    config: { num_attention_heads: 8, num_key_value_heads: 1, head_dim: 12 },
  },
  { name: "llama, wide heads", config: { head_dim: 40 } },
  { name: "llama, narrow heads", config: { head_dim: 10 } },
  { name: "llama, head_dim null", config: { head_dim: null } },
  { name: "mistral", config: { model_type: "mistral", sliding_window: null, head_dim: 32 } },
  {
    name: "qwen2",
    config: { model_type: "qwen2", num_attention_heads: 6 },
    blind: (config) => (config["model_type"] = "llama"),
  },
  {
    name: "qwen3",
    config: { model_type: "qwen3", head_dim: 16, tie_word_embeddings: true },
    blind: (config) => (config["model_type"] = "llama"),
  },
  {
    name: "qwen3, biases",
    config: { model_type: "qwen3", head_dim: 6, attention_bias: true },
    blind: (config) => delete config["attention_bias"],
  },
  { name: "bfloat16 in three files", config: {}, files: { dtype: "BF16", numShards: 3 } },
  { name: "float16 in two files", config: { model_type: "qwen2" }, files: { dtype: "F16", numShards: 2 } },
];

/** One complete prompt block and some more tokens. */
const TOKENS = Array.from({ length: 70 }, (_, i) => (i * i * 31) % 257);
const BLOCK = 64;

describe.each(CASES)("$name", ({ name, config, files, blind }) => {
  test("hidden states equal those of the reference", async () => {
    const source = await randomModel(join(scratch, name, "source"), { config, seed: name.length, ...files });
    await convert(source, join(scratch, name, "pack"), { quant: "f32" });
    const pack = await openPack(join(scratch, name, "pack"));
    const [folderConfig, tensors] = [readConfig(source), readTensors(source)];
    const expected = referenceHidden(folderConfig, tensors);
    const bound = roundingBound(folderConfig, tensors, expected);

    const { kernels, weights, runner, cache } = await testRunner(pack, { pageSize: BLOCK });
    const prompts = await testOnnxRunner(pack, kernels, weights);
    const byKernels = rows(
      (await runner.forwardEach([{ tokenIds: TOKENS, table: cache.createTable() }]))[0]!,
      pack.config.hiddenSize,
    );
    const byBody: Float32Array[] = [];
    for (const [position] of TOKENS.entries()) {
      const table = cache.createTable();
      let last: Float32Array[] = [];
      for (let start = 0; start <= position; start += BLOCK) {
        last = await prompts.forward([{ tokenIds: TOKENS.slice(start, Math.min(start + BLOCK, position + 1)), table }]);
      }
      byBody.push(last[0]!);
      table.release();
    }
    const table = cache.createTable();
    const behind = [...(await prompts.forward([{ tokenIds: TOKENS.slice(0, BLOCK), table }]))];
    behind.push(
      ...rows((await runner.forwardEach([{ tokenIds: TOKENS.slice(BLOCK), table }]))[0]!, pack.config.hiddenSize),
    );
    await prompts.release();
    await kernels.close();

    expect(largestDifference(byKernels, expected)).toBeLessThanOrEqual(bound);
    expect(largestDifference(byBody, expected)).toBeLessThanOrEqual(bound);
    expect(largestDifference(behind, expected.slice(BLOCK - 1))).toBeLessThanOrEqual(bound);
    if (blind === undefined) return;
    blind(folderConfig, tensors);
    expect(largestDifference(byKernels, referenceHidden(folderConfig, tensors))).toBeGreaterThan(100 * bound);
  });
});

function referenceHidden(config: Record<string, unknown>, tensors: ReadonlyMap<string, FolderTensor>): Float64Array[] {
  return hiddenStates(folderModel(config, tensors), TOKENS).map(valuesOf);
}

/**
 * Estimates the largest difference due to float32. A float32 product of n terms, in any order, equals the exact product
 * with weights that have a relative error of at most n * 2^-24 (Higham, Accuracy and Stability of Numerical Algorithms,
 * section 3.5). Norms, rotation, softmax and silu add a few roundings, counted as 8 more terms. So the function
 * perturbs all weights by that error, randomly up or down, and measures how far the results move. Actual roundings
 * rarely all reach their limit.
 */
function roundingBound(
  config: Record<string, unknown>,
  tensors: ReadonlyMap<string, FolderTensor>,
  expected: readonly Float64Array[],
): number {
  const differences = [1, 2, 3].map((seed) => {
    const random = randomSource(seed);
    const moved = new Map<string, FolderTensor>();
    for (const [name, { shape, values }] of tensors) {
      const step = ((shape[1] ?? (config["hidden_size"] as number)) + 8) * 2 ** -24;
      moved.set(name, { shape, values: values.map((value) => value * (1 + (random() < 0.5 ? -step : step))) });
    }
    return largestDifference(referenceHidden(config, moved), expected);
  });
  return Math.max(...differences);
}

const rows = (values: Float32Array, width: number): Float32Array[] =>
  Array.from({ length: values.length / width }, (_, row) => values.subarray(row * width, (row + 1) * width));

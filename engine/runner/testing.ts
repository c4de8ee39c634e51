/** Runners for tests: a pack in the kernels' memory, with as many pages as a test asks for. */

import { expect } from "vitest";

import { Kernels, kvPageByteLength, type KernelVariant, type KVFormat } from "../../kernels/index.js";
import { KVCache } from "../kv-cache.js";
import type { ModelPack } from "../model/index.js";
import { loadWeights, type KernelWeights } from "./kernel-weights.js";
import { loadOnnxRunner } from "./load-onnx-runner.js";
import type { OnnxRunner } from "./onnx-runner.js";
import { WasmRunner } from "./wasm-runner.js";

export interface TestRunnerOptions {
  readonly variant?: KernelVariant;
  readonly numThreads?: number;
  readonly kvFormat?: KVFormat;
  readonly numRowsMax?: number;
  readonly pageSize?: number;
}

/** Close `kernels` when done. */
export async function testRunner(pack: ModelPack, { variant, numThreads = 1, kvFormat = "f32", numRowsMax = 64, pageSize = 8 }: TestRunnerOptions = {}) {
  const { config } = pack;
  const kernels = await Kernels.load({ numThreads, ...(variant === undefined ? {} : { variant }) });
  const weights = await loadWeights(kernels, pack);
  const page = { numLayers: config.numLayers, numKvHeads: config.numKvHeads, headDim: config.headDim, pageSize, kvFormat };
  const runner = new WasmRunner({ kernels, weights, config, numRowsMax, ...page });
  const cache = new KVCache(kernels, { pageSize, pageByteLength: kvPageByteLength(page), pagesMax: 1000, reuse: "token" });
  return { kernels, weights, runner, cache };
}

/** For prompts, in blocks of 64 positions, which is also the size that pages must have. */
export async function testOnnxRunner(pack: ModelPack, kernels: Kernels, { embedding }: KernelWeights): Promise<OnnxRunner> {
  return loadOnnxRunner(pack, kernels, embedding, 1);
}

/** Of rows of the same lengths; NaN where one is. */
export function largestDifference(actual: readonly ArrayLike<number>[], expected: readonly ArrayLike<number>[]): number {
  expect(actual.length).toBe(expected.length);
  let largest = 0;
  for (const [row, values] of expected.entries()) {
    expect(actual[row]!.length).toBe(values.length);
    for (let i = 0; i < values.length; i++) {
      const difference = Math.abs(actual[row]![i]! - values[i]!);
      if (!(difference <= largest)) largest = difference;
    }
  }
  return largest;
}

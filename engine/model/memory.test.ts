import { describe, expect, it } from "vitest";

import { readModelConfig } from "../architecture/config.js";
import { checkMemory, estimateMemory, machineMemory, type MemoryOptions } from "./memory.js";

const OPTIONS: MemoryOptions = {
  format: "q8",
  profile: "fast",
  kvCache: "f32",
  kvCacheBytes: 2 ** 31,
  maxConcurrency: 16,
};
/** The shape of Qwen2.5-0.5B. */
const SMALL = readModelConfig(
  {
    model_type: "qwen2",
    hidden_size: 896,
    intermediate_size: 4864,
    num_attention_heads: 14,
    num_key_value_heads: 2,
    num_hidden_layers: 24,
    vocab_size: 151936,
    max_position_embeddings: 32768,
    use_sliding_window: false,
    tie_word_embeddings: true,
  },
  [],
);
/** The shape of Llama-3.1-8B. */
const LARGE = readModelConfig(
  {
    model_type: "llama",
    hidden_size: 4096,
    intermediate_size: 14336,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    num_hidden_layers: 32,
    vocab_size: 128256,
    max_position_embeddings: 131072,
  },
  [],
);
const MiB = 2 ** 20;
const machine = (byteLength: number) => ({ byteLength, isLimited: false });

describe("an estimate", () => {
  it("counts weights, keys and values in their stored formats", () => {
    const numWeights = 151936 * 896 + 24 * (896 * (896 + 128 + 128) + 896 * 896 + 3 * 896 * 4864);
    const { weights, keysAndValues, body, copies, total, scratch, program } = estimateMemory(SMALL, OPTIONS);
    // 1 1/16 bytes per weight, plus the vectors.
    expect(weights / numWeights).toBeGreaterThan(1.06);
    expect(weights / numWeights).toBeLessThan(1.07);
    expect(keysAndValues).toBe(32768 * 24 * 2 * 2 * 64 * 4);
    expect(body).toBe((numWeights - 151936 * 896) * 1.5);
    expect(copies).toBe(2 * keysAndValues + 4 * 14 * 64 * 32768);
    expect(total).toBe(weights + keysAndValues + body + copies + scratch + program);
  });

  it("is lower with each option that saves memory", () => {
    const all = estimateMemory(SMALL, OPTIONS);
    expect(estimateMemory(SMALL, { ...OPTIONS, profile: "exact" })).toMatchObject({ body: 0, copies: 0 });
    expect(estimateMemory(SMALL, { ...OPTIONS, format: "q4" }).weights).toBeLessThan(0.55 * all.weights);
    expect(estimateMemory(SMALL, { ...OPTIONS, kvCache: "bf16" }).keysAndValues).toBe(all.keysAndValues / 2);
    expect(estimateMemory(SMALL, { ...OPTIONS, kvCache: "q8" }).keysAndValues).toBeLessThan(0.27 * all.keysAndValues);
    // ONNX Runtime computes with f32.
    expect(estimateMemory(SMALL, { ...OPTIONS, kvCache: "bf16" }).copies).toBe(all.copies);
    expect(estimateMemory(SMALL, { ...OPTIONS, kvCacheBytes: 100 * MiB }).keysAndValues).toBe(100 * MiB);
  });

  it("does not count more keys and values than fit into the kernels' memory", () => {
    const { weights, keysAndValues } = estimateMemory(LARGE, { ...OPTIONS, format: "q4", kvCacheBytes: 2 ** 40 });
    expect(weights + keysAndValues).toBeLessThanOrEqual(Math.max(weights, 2 ** 32 - 64 * MiB));
  });
});

describe("a model is refused", () => {
  const refusal = (
    config: typeof SMALL,
    options: MemoryOptions,
    canConvert: boolean,
    bytes: number,
    isLimited = false,
  ): string => {
    try {
      checkMemory(config, options, canConvert, { byteLength: bytes, isLimited });
    } catch (error) {
      expect(error).toMatchObject({ code: "out_of_memory" });
      return (error as Error).message;
    }
    return "fits";
  };

  it("if the machine has one byte less than the model takes with short prompts", () => {
    const { total, copies } = estimateMemory(SMALL, OPTIONS);
    const least = total - copies;
    expect(() => checkMemory(SMALL, OPTIONS, true, machine(least))).not.toThrow();
    expect(() => checkMemory(SMALL, OPTIONS, true, machine(least - 1))).toThrow(
      /would take about \d+ MiB: weights \d+ MiB, keys and values up to 768 MiB, ONNX Runtime \d+ MiB, with long prompts \d+ MiB.*; this machine has \d+ MiB/,
    );
    expect(refusal(SMALL, OPTIONS, true, least - 1, true)).toContain("this process is limited to");
  });

  it.each([
    [2000, "profile exact ("],
    [1300, "profile exact kvCache bf16 ("],
    [1000, "profile exact kvCache q8 ("],
    [950, "quant q4 profile exact kvCache bf16 ("],
    [800, "quant q4 profile exact kvCache q8 ("],
  ])("with a suggestion of the least lossy options that fit into %d MiB", (mebibytes, flags) => {
    expect(refusal(SMALL, OPTIONS, true, mebibytes * MiB)).toContain(`Options that fit: ${flags}`);
  });

  it("without suggesting a format if it is a pack, and without any suggestion if nothing fits", () => {
    expect(refusal(SMALL, OPTIONS, false, 950 * MiB)).toMatch(/A smaller model is needed\.$/);
    expect(refusal(SMALL, OPTIONS, true, 100 * MiB)).toMatch(/A smaller model is needed\.$/);
  });

  it("if it exceeds the 4 GiB of a WebAssembly memory, regardless of the machine", () => {
    expect(refusal(LARGE, OPTIONS, true, 2 ** 40)).toMatch(
      /weights take \d+ MiB; one WebAssembly memory of 4 GiB has room for 4032 MiB/,
    );
  });
});

describe("the machine's memory", () => {
  it("is the container's limit if that is lower", () => {
    expect(machineMemory(2 ** 30, 2 ** 34)).toEqual({ byteLength: 2 ** 30, isLimited: true });
    for (const unlimited of [0, 2 ** 64, 2 ** 34])
      expect(machineMemory(unlimited, 2 ** 34)).toEqual({ byteLength: 2 ** 34, isLimited: false });
  });
});

/** Models in GGUF files answer as the same models in folders. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { floats, ggufFile, ggufTensors, type Typed } from "../../spec-tests/fixtures/gguf.js";
import { writeRandomModel } from "../../spec-tests/fixtures/random-model.js";
import { EngineError, loadModel } from "../index.js";

const dir = mkdtempSync(join(tmpdir(), "touchstone-gguf-"));
afterAll(() => rmSync(dir, { recursive: true }));

/** The byte tokenizer of the random models: 256 bytes and an end token. */
const BYTES = Array.from({ length: 256 }, (_, byte) => {
  const isPrintable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  return isPrintable ? String.fromCharCode(byte) : null;
});
let numMoved = 0;
const SYMBOLS = BYTES.map((symbol) => symbol ?? String.fromCharCode(256 + numMoved++));
const TOKENIZER: Record<string, Typed> = {
  "tokenizer.ggml.model": { string: "gpt2" },
  "tokenizer.ggml.pre": { string: "gpt-2" },
  "tokenizer.ggml.tokens": { strings: [...SYMBOLS, "<|end|>"] },
  "tokenizer.ggml.token_type": { i32s: [...SYMBOLS.map(() => 1), 3] },
  "tokenizer.ggml.merges": { strings: [] },
  "tokenizer.ggml.eos_token_id": { u32: 256 },
};

interface Case {
  readonly family: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly headDim: number;
  readonly metadata?: Readonly<Record<string, Typed>>;
}

function metadataOf({ family, headDim, metadata = {} }: Case): Record<string, Typed> {
  const own: Record<string, Typed> = {
    embedding_length: { u32: 48 },
    feed_forward_length: { u32: 72 },
    block_count: { u32: 2 },
    "attention.head_count": { u32: 4 },
    "attention.head_count_kv": { u32: 2 },
    "attention.layer_norm_rms_epsilon": { f32: 1e-5 },
    context_length: { u32: 128 },
    "rope.freq_base": { f32: 10000 },
    "rope.dimension_count": { u32: headDim },
    ...metadata,
  };
  return {
    "general.architecture": { string: family },
    ...Object.fromEntries(Object.entries(own).map(([key, value]) => [`${family}.${key}`, value])),
    ...TOKENIZER,
  };
}

async function idsOf(model: string, profile: "fast" | "exact"): Promise<number[][]> {
  const loaded = await loadModel({ model, quant: "f32", profile });
  const answers = await Promise.all(
    ["Once", "a longer prompt, with a number: 12", "\n"].map(async (prompt) => {
      const { choices } = await loaded.generate({ prompt, temperature: 0, maxTokens: 20 }).result();
      return [...choices[0]!.tokenIds];
    }),
  );
  await loaded.close();
  return answers;
}

describe("a GGUF file answers as the folder", () => {
  test.each<Case>([
    { family: "llama", config: {}, headDim: 12 },
    { family: "llama", config: { tie_word_embeddings: true }, headDim: 12 },
    {
      family: "llama",
      config: { rope_scaling: { type: "linear", factor: 4 } },
      headDim: 12,
      metadata: { "rope.scaling.type": { string: "linear" }, "rope.scaling.factor": { f32: 4 } },
    },
    { family: "qwen2", config: { model_type: "qwen2", architectures: ["Qwen2ForCausalLM"] }, headDim: 12 },
    {
      family: "qwen3",
      config: { model_type: "qwen3", architectures: ["Qwen3ForCausalLM"], head_dim: 16 },
      headDim: 16,
      metadata: { "attention.key_length": { u32: 16 }, "attention.value_length": { u32: 16 } },
    },
  ])("$family, $config", async (each) => {
    const folder = mkdtempSync(join(dir, "folder-"));
    const tensors = await writeRandomModel(folder, { config: each.config });
    const file = join(mkdtempSync(join(dir, "file-")), "model.gguf");
    const written = ggufTensors(tensors, each.family === "llama" ? each.headDim : null);
    writeFileSync(file, ggufFile({ metadata: metadataOf(each), tensors: written }));
    for (const profile of ["exact", "fast"] as const)
      expect(await idsOf(file, profile)).toEqual(await idsOf(folder, profile));
  });
});

/** The divisors of the frequencies, as llama.cpp's converter computes them. */
const LLAMA3_FACTORS = Array.from({ length: 6 }, (_, pair) => {
  const turns = (8192 * 10000 ** (-pair / 6)) / (2 * Math.PI);
  if (turns > 4) return 1;
  return turns < 1 ? 8 : 1 / ((1 - (turns - 1) / 3) / 8 + (turns - 1) / 3);
});

test("divisors of the frequencies are Llama 3's scaling, and others are refused", async () => {
  const scaling = {
    rope_type: "llama3",
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
  };
  const folder = mkdtempSync(join(dir, "folder-"));
  const tensors = await writeRandomModel(folder, { config: { rope_scaling: scaling } });
  const write = (factors: readonly number[]): string => {
    const file = join(mkdtempSync(join(dir, "file-")), "model.gguf");
    const own = { name: "rope_freqs.weight", shape: [6], type: 0, bytes: floats(factors) };
    const metadata = metadataOf({ family: "llama", config: {}, headDim: 12 });
    writeFileSync(file, ggufFile({ metadata, tensors: [...ggufTensors(tensors, 12), own] }));
    return file;
  };
  expect(await idsOf(write(LLAMA3_FACTORS), "exact")).toEqual(await idsOf(folder, "exact"));
  await expect(loadModel({ model: write([1, 2, 3, 4, 5, 6]) })).rejects.toThrow(/rope_freqs\.weight "of other values"/);
});

describe("a GGUF file that cannot be used is refused by name", () => {
  const refusal = async (metadata: Record<string, Typed>): Promise<string> => {
    const tensors = await writeRandomModel(mkdtempSync(join(dir, "folder-")));
    const file = join(mkdtempSync(join(dir, "file-")), "model.gguf");
    const whole = { ...metadataOf({ family: "llama", config: {}, headDim: 12 }), ...metadata };
    writeFileSync(file, ggufFile({ metadata: whole, tensors: ggufTensors(tensors, 12) }));
    const error: unknown = await loadModel({ model: file, quant: "f32" }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(EngineError);
    return (error as Error).message;
  };
  test.each<[string, Record<string, Typed>, RegExp]>([
    [
      "an architecture",
      { "general.architecture": { string: "mamba" } },
      /general\.architecture "mamba" is not supported/,
    ],
    [
      "an unknown key",
      { "llama.attention.sliding_window": { u32: 64 } },
      /llama\.attention\.sliding_window "64" is not supported/,
    ],
    ["experts", { "llama.expert_count": { u32: 8 } }, /llama\.expert_count "8" is not supported/],
    [
      "part of the head",
      { "llama.rope.dimension_count": { u32: 6 } },
      /llama\.rope\.dimension_count "6" is not supported/,
    ],
    ["yarn", { "llama.rope.scaling.type": { string: "yarn" } }, /llama\.rope\.scaling\.type "yarn" is not supported/],
    ["a size as text", { "llama.block_count": { string: "2" } }, /llama\.block_count must be a number/],
    [
      "a kind of tokenizer",
      { "tokenizer.ggml.model": { string: "bert" } },
      /tokenizer\.ggml\.model "bert" is not supported/,
    ],
    ["a kind of words", { "tokenizer.ggml.pre": { string: "new" } }, /tokenizer\.ggml\.pre "new" is not supported/],
    [
      "tokens of another type",
      { "tokenizer.ggml.tokens": { i32s: [1] } },
      /tokenizer\.ggml\.tokens must be a list of strings/,
    ],
    ["an adapter", { "general.type": { string: "adapter" } }, /general\.type "adapter" is not supported/],
    ["a layer more", { "llama.block_count": { u32: 3 } }, /lack tensor "model\.layers\.2/],
    [
      "an end token that is none",
      { "tokenizer.ggml.eos_token_id": { u32: 999 } },
      /eos_token_id must be the id of a token/,
    ],
  ])("%s", async (_, metadata, message) => {
    expect(await refusal(metadata)).toMatch(message);
  });

  test("several files in a folder", async () => {
    const folder = join(dir, "several");
    mkdirSync(folder);
    for (const name of ["a.gguf", "b.gguf"]) writeFileSync(join(folder, name), ggufFile({}));
    await expect(loadModel({ model: folder })).rejects.toThrow(
      /has 2 GGUF models: name one of them \(a\.gguf, b\.gguf\)/,
    );
  });
});

/** Small valid models of every kind that the engine opens, from which mutated models are made. */

import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";

import { convertModel } from "../../engine/models.js";
import { characterMap } from "../fixtures/character-map.js";
import { writeExport, type ExportOptions, type ExportShape } from "../fixtures/onnx-export.js";
import { writeRandomModel, type RandomModelOptions } from "../fixtures/random-model.js";
import { byteLevelJson, sentencePieceJson, unigramJson } from "../fixtures/tokenizers.js";
import { CHAT_TEMPLATE } from "./random-template.js";

/** Names of the folders, by what they hold. */
export const BASES = {
  safetensors: ["llama", "qwen2", "qwen3", "mistral", "sentence-piece", "unigram", "byte-level", "embedded-tokenizer"],
  packs: ["pack-q8", "pack-q4", "pack-f32", "pack-sentence-piece", "pack-byte-level", "pack-embedded-tokenizer"],
  onnx: ["onnx-fp32", "onnx-fp16", "onnx-q8", "onnx-q4", "onnx-external", "onnx-converted"],
} as const;

const ROPE = {
  rope_type: "llama3",
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 64,
};

/** Writes all folders into `dir`. */
export async function writeBases(dir: string): Promise<void> {
  const embedded = await readFile("models/tiny/tokenizer.json", "utf8");
  const models: Record<(typeof BASES.safetensors)[number], RandomModelOptions> = {
    llama: { config: { rope_scaling: ROPE } },
    qwen2: { config: { model_type: "qwen2", architectures: ["Qwen2ForCausalLM"] }, dtype: "BF16", numShards: 2 },
    qwen3: {
      config: { model_type: "qwen3", architectures: ["Qwen3ForCausalLM"], head_dim: 16, tie_word_embeddings: true },
      dtype: "F16",
    },
    mistral: { config: { model_type: "mistral", architectures: ["MistralForCausalLM"], sliding_window: null } },
    "sentence-piece": {
      config: { vocab_size: 288 },
      files: {
        "tokenizer.json": JSON.stringify(
          sentencePieceJson([{ content: "<|user|>", special: true }, { content: "<think>" }, { content: "</think>" }]),
        ),
        "tokenizer_config.json": tokenizerConfig({ bos_token: "<s>", eos_token: "</s>", add_bos_token: true }),
        "generation_config.json": null,
      },
    },
    unigram: {
      config: { vocab_size: 320 },
      files: {
        "tokenizer.json": JSON.stringify(
          unigramJson(PIECES, {
            model: { byte_fallback: true },
            normalizer: {
              type: "Sequence",
              normalizers: [
                {
                  type: "Precompiled",
                  precompiled_charsmap: characterMap(
                    new Map([
                      ["ﬁ", "fi"],
                      ["\t", " "],
                      ["é", "e"],
                    ]),
                  ),
                },
                { type: "Replace", pattern: { Regex: " {2,}" }, content: " " },
              ],
            },
          }),
        ),
        "tokenizer_config.json": tokenizerConfig({ eos_token: "</s>" }),
        "generation_config.json": null,
      },
    },
    "byte-level": {
      config: { vocab_size: 280 },
      files: { "tokenizer.json": JSON.stringify(byteLevelJson(MERGES, [{ content: "<|end|>", special: true }])) },
    },
    "embedded-tokenizer": {
      config: { vocab_size: 1024, hidden_size: 32, num_attention_heads: 2, num_key_value_heads: 1 },
      files: {
        "tokenizer.json": embedded,
        "tokenizer_config.json": await readFile("models/tiny/tokenizer_config.json", "utf8"),
      },
    },
  };
  for (const [name, options] of Object.entries(models)) {
    const files = { "tokenizer_config.json": tokenizerConfig({ eos_token: "<|end|>" }), ...options.files };
    await writeRandomModel(join(dir, name), { ...options, files });
  }
  await convertModel(join(dir, "llama"), join(dir, "pack-q8"), { quant: "q8" });
  await convertModel(join(dir, "qwen3"), join(dir, "pack-q4"), { quant: "q4" });
  await convertModel(join(dir, "qwen2"), join(dir, "pack-f32"), { quant: "f32" });
  for (const name of ["sentence-piece", "byte-level", "embedded-tokenizer"])
    await convertModel(join(dir, name), join(dir, `pack-${name}`), { quant: "q8" });
  await writeExports(dir);
}

async function writeExports(dir: string): Promise<void> {
  const tensors = await writeRandomModel(join(dir, "onnx-fp32"), {
    config: { hidden_size: 64 },
    files: { "tokenizer_config.json": tokenizerConfig({ eos_token: "<|end|>" }) },
  });
  const exports: Record<string, ExportOptions> = {
    "onnx-fp32": { dtype: "fp32" },
    "onnx-fp16": { dtype: "fp16", symbolicCaches: true },
    "onnx-q8": { dtype: "q8", numLogitsToKeep: "list" },
    "onnx-q4": { dtype: "q4" },
    "onnx-external": { dtype: "fp32", external: true },
  };
  for (const [name, options] of Object.entries(exports)) {
    await writeExport(join(dir, "onnx-fp32"), join(dir, name), SHAPE, tensors, options);
  }
  await convertModel(join(dir, "onnx-fp32"), join(dir, "onnx-converted"), { layout: "onnx", quant: "q8" });
  // The folder has been written as safetensors, from which only the export is left.
  await rm(join(dir, "onnx-fp32", "model.safetensors"));
}

const SHAPE: ExportShape = {
  hidden: 64,
  inner: 72,
  layers: 2,
  heads: 4,
  kvHeads: 2,
  vocab: 257,
  positions: 128,
  ropeTheta: 10_000,
  epsilon: 1e-5,
};

const PIECES: [string, number][] = [
  ...Array.from({ length: 256 }, (_, byte): [string, number] => [
    `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
    -10,
  ]),
  ...Array.from("▁abcdehlorstw{}:,", (character): [string, number] => [character, -6]),
  ["▁hello", -3],
  ["▁wor", -4],
  ["ld", -4],
  ["▁▁", -5],
];

const MERGES = [
  ["h", "e"],
  ["l", "l"],
  ["he", "ll"],
  ["hell", "o"],
  ["Ġ", "w"],
  ["Ġ", "Ġ"],
] as const;

function tokenizerConfig(settings: object): string {
  return JSON.stringify({ tokenizer_class: "PreTrainedTokenizerFast", chat_template: CHAT_TEMPLATE, ...settings });
}

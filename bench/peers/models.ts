/**
 * The models that all engines run: a Hugging Face folder, which this module writes for the shapes with random weights,
 * and its conversions for each engine. Models have no end token, so every engine generates the requested number of
 * tokens.
 */

import { access, copyFile, mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import type { JsonObject } from "../../engine/json.js";
import { convertModel } from "../../engine/models.js";
import { FORMAT_VERSION } from "../../engine/folder/pack.js";
import { FileSink } from "../../engine/formats/file-sink.js";
import { parseJsonObject } from "../../engine/formats/json.js";
import { fileExists, readModelFile } from "../../engine/formats/model-files.js";
import { byteSymbols } from "../../spec-tests/fixtures/byte-tokenizer.js";
import { randomSource } from "../../spec-tests/fixtures/random-model.js";
import { writeGguf } from "./gguf.js";
import { bytesOf, type Quant } from "./weights.js";

const RANDOM_SHAPES: Readonly<Record<string, JsonObject>> = {
  "smollm2-135m": {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_size: 576,
    intermediate_size: 1536,
    num_hidden_layers: 30,
    num_attention_heads: 9,
    num_key_value_heads: 3,
    vocab_size: 49_152,
    max_position_embeddings: 8192,
    rms_norm_eps: 1e-5,
    rope_theta: 100_000,
    hidden_act: "silu",
    tie_word_embeddings: true,
  },
  "qwen2.5-0.5b": {
    architectures: ["Qwen2ForCausalLM"],
    model_type: "qwen2",
    hidden_size: 896,
    intermediate_size: 4864,
    num_hidden_layers: 24,
    num_attention_heads: 14,
    num_key_value_heads: 2,
    vocab_size: 151_936,
    max_position_embeddings: 32_768,
    rms_norm_eps: 1e-6,
    rope_theta: 1_000_000,
    hidden_act: "silu",
    tie_word_embeddings: true,
  },
  "llama-3.2-1b": {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_size: 2048,
    intermediate_size: 8192,
    num_hidden_layers: 16,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    vocab_size: 128_256,
    max_position_embeddings: 131_072,
    rms_norm_eps: 1e-5,
    rope_theta: 500_000,
    hidden_act: "silu",
    tie_word_embeddings: true,
  },
};

/** Shapes that are trained models, with their folders. */
const TRAINED_SHAPES: Readonly<Record<string, string>> = {
  stories260k: join(
    process.env["TOUCHSTONE_ASSETS"] ?? fileURLToPath(new URL("../../../../shared/assets", import.meta.url)),
    "stories260K",
  ),
  tiny: fileURLToPath(new URL("../../../models/tiny", import.meta.url)),
};

export const SHAPES = [...Object.keys(RANDOM_SHAPES), ...Object.keys(TRAINED_SHAPES)];

export function isTrained(shape: string): boolean {
  return Object.hasOwn(TRAINED_SHAPES, shape);
}

/** Format that an engine loads. */
export type ModelForm = "pack" | "gguf" | "transformers";

/** Writes models below a folder and reuses existing ones. */
export class Models {
  constructor(
    readonly dir: string,
    readonly shape: string,
  ) {}

  /** Returns the Hugging Face folder. */
  async source(): Promise<string> {
    const trained = TRAINED_SHAPES[this.shape];
    return this.#once("source", (dir) =>
      trained === undefined ? writeRandomFolder(dir, RANDOM_SHAPES[this.shape]!) : copyEndless(trained, dir),
    );
  }

  /** Returns the path of the model in an engine's format. */
  async in(form: ModelForm, quant: Quant): Promise<string> {
    const source = await this.source();
    switch (form) {
      case "pack":
        return this.#once(`pack-v${FORMAT_VERSION}-${quant}`, (dir) => convertModel(source, dir, { quant: quant }));
      case "gguf":
        return this.#once(`model-${quant}.gguf`, (path) => writeGguf(source, path, quant));
      case "transformers":
        return this.#once(`transformers-${quant}`, (dir) =>
          convertModel(source, dir, { quant: quant, layout: "onnx" }),
        );
    }
  }

  /** Writes to a temporary name first, so that a model with its final name is complete. */
  async #once(name: string, write: (path: string) => Promise<void>): Promise<string> {
    const path = join(this.dir, this.shape, name);
    if (
      await access(path).then(
        () => true,
        () => false,
      )
    )
      return path;
    await mkdir(join(this.dir, this.shape), { recursive: true });
    const unfinished = `${path}.${process.pid}`;
    await write(unfinished);
    await rename(unfinished, path);
    return path;
  }
}

/** Copies a trained model without its end tokens. */
async function copyEndless(from: string, dir: string): Promise<void> {
  if (!(await fileExists(join(from, "config.json"))))
    throw new Error(`No model found at ${from}. TOUCHSTONE_ASSETS must be the folder that contains it`);
  await mkdir(dir);
  for (const name of ["config.json", "tokenizer_config.json"]) {
    const {
      eos_token_id: _id,
      eos_token: _token,
      chat_template: _template,
      ...rest
    } = parseJsonObject((await readModelFile(from, name))!, name);
    await writeFile(join(dir, name), JSON.stringify(rest));
  }
  for (const name of ["tokenizer.json", "model.safetensors"]) await copyFile(join(from, name), join(dir, name));
}

async function writeRandomFolder(dir: string, config: JsonObject): Promise<void> {
  const size = (key: string): number => config[key] as number;
  await mkdir(dir);
  await writeFile(join(dir, "config.json"), JSON.stringify(config, null, 2));
  await writeFile(join(dir, "tokenizer.json"), JSON.stringify(characterTokenizer(size("vocab_size"))));
  await writeFile(join(dir, "tokenizer_config.json"), JSON.stringify({ tokenizer_class: "PreTrainedTokenizerFast" }));

  const tensors = decoderTensors(config);
  const header: Record<string, unknown> = {};
  let offset = 0;
  for (const { name, shape } of tensors) {
    const byteLength = shape.reduce((product, dim) => product * dim, 2);
    header[name] = { dtype: "BF16", shape, data_offsets: [offset, offset + byteLength] };
    offset += byteLength;
  }
  const json = Buffer.from(JSON.stringify(header));
  const sink = await FileSink.create(join(dir, "model.safetensors"));
  await sink.write(bytesOf(BigInt64Array.of(BigInt(json.length))));
  await sink.write(json);
  const random = randomSource(1);
  for (const { shape, center, spread } of tensors) {
    const length = shape.reduce((product, dim) => product * dim, 1);
    for (let first = 0; first < length; first += CHUNK_VALUES) {
      const values = new Float32Array(Math.min(CHUNK_VALUES, length - first));
      for (let i = 0; i < values.length; i++) values[i] = center + spread * (2 * random() - 1);
      await sink.write(upperHalves(values));
    }
  }
  await sink.finish();
}

const CHUNK_VALUES = 1 << 20;

interface RandomTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly center: number;
  readonly spread: number;
}

/**
 * Returns the tensors of a decoder with tied embeddings, scaled so that matrix products keep the magnitude of their
 * input.
 */
function decoderTensors(config: JsonObject): RandomTensor[] {
  const size = (key: string): number => config[key] as number;
  const hidden = size("hidden_size");
  const inner = size("intermediate_size");
  const keyRows = (hidden / size("num_attention_heads")) * size("num_key_value_heads");
  const matrix = (name: string, rows: number, cols: number): RandomTensor => ({
    name,
    shape: [rows, cols],
    center: 0,
    spread: Math.sqrt(3 / cols),
  });
  const vector = (name: string, rows: number, center: number): RandomTensor => ({
    name,
    shape: [rows],
    center,
    spread: 0.3,
  });
  const biases = config["model_type"] === "qwen2";
  const tensors = [matrix("model.embed_tokens.weight", size("vocab_size"), hidden)];
  for (let layer = 0; layer < size("num_hidden_layers"); layer++) {
    const at = `model.layers.${layer}`;
    tensors.push(vector(`${at}.input_layernorm.weight`, hidden, 1));
    for (const [part, rows] of [
      ["q", hidden],
      ["k", keyRows],
      ["v", keyRows],
    ] as const) {
      tensors.push(matrix(`${at}.self_attn.${part}_proj.weight`, rows, hidden));
      if (biases) tensors.push(vector(`${at}.self_attn.${part}_proj.bias`, rows, 0));
    }
    tensors.push(
      matrix(`${at}.self_attn.o_proj.weight`, hidden, hidden),
      vector(`${at}.post_attention_layernorm.weight`, hidden, 1),
      matrix(`${at}.mlp.gate_proj.weight`, inner, hidden),
      matrix(`${at}.mlp.up_proj.weight`, inner, hidden),
      matrix(`${at}.mlp.down_proj.weight`, hidden, inner),
    );
  }
  return [...tensors, vector("model.norm.weight", hidden, 1)];
}

/** Converts to bfloat16 by truncation. The rounding does not matter, because all engines read the same bits. */
function upperHalves(values: Float32Array): Uint8Array {
  const halves = new Uint16Array(values.buffer);
  const upper = new Uint16Array(values.length);
  for (let i = 0; i < upper.length; i++) upper[i] = halves[2 * i + 1]!;
  return new Uint8Array(upper.buffer);
}

/**
 * Returns a byte-level BPE tokenizer of realistic size: the 256 bytes, and then as many characters from U+10000 as fit.
 * Each character is formed by three merges, of which neighboring characters share the first two.
 */
function characterTokenizer(vocabSize: number): JsonObject {
  const symbols = byteSymbols();
  const vocab = new Map(symbols.map((symbol, byte) => [symbol, byte]));
  const merges: [string, string][] = [];
  for (let codePoint = 0x10000; vocab.size < vocabSize; codePoint++) {
    const [first, ...rest] = Buffer.from(String.fromCodePoint(codePoint));
    let token = symbols[first!]!;
    for (const byte of rest) {
      const joined = token + symbols[byte]!;
      if (!vocab.has(joined) && vocab.size < vocabSize) {
        vocab.set(joined, vocab.size);
        merges.push([token, symbols[byte]!]);
      }
      token = joined;
    }
  }
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false };
  return {
    version: "1.0",
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { ...byteLevel, use_regex: true },
    post_processor: null,
    decoder: byteLevel,
    model: { type: "BPE", vocab: Object.fromEntries(vocab), merges, byte_fallback: false, ignore_merges: false },
  };
}

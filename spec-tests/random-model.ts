/**
 * Writes small Hugging Face model folders with seeded random weights, for tests that need a model of a certain
 * shape or a file that is wrong in one certain way.
 */

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { Dtype } from "../engine/model/safetensors.js";
import { byteTokenizerJson } from "./byte-tokenizer.js";

export interface RandomModelOptions {
  /** Laid over the defaults of a llama of two layers; `undefined` removes a key. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly seed?: number;
  readonly dtype?: Dtype;
  /** Files to spread the tensors over; more than one are listed by an index. */
  readonly numShards?: number;
  /** Changes the tensors before they are written. */
  readonly edit?: (tensors: Map<string, RandomTensor>) => void;
  /** Further files, or ones to replace; null leaves one out. */
  readonly files?: Readonly<Record<string, string | null>>;
}

export interface RandomTensor {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** Writes the folder `dir` and returns it. */
export async function randomModel(dir: string, options: RandomModelOptions = {}): Promise<string> {
  await writeRandomModel(dir, options);
  return dir;
}

/**
 * Writes the folder `dir` and returns its tensors by name, as a reader of the files sees them: after rounding to
 * the dtype.
 */
export async function writeRandomModel(dir: string, options: RandomModelOptions = {}): Promise<Map<string, RandomTensor>> {
  const config: Record<string, unknown> = { ...DEFAULT_CONFIG, ...options.config };
  const tensors = randomTensors(config, options.seed ?? 1);
  options.edit?.(tensors);
  const dtype = options.dtype ?? "F32";
  const files: Record<string, string | Uint8Array | null> = {
    "config.json": JSON.stringify(config, null, 2),
    "generation_config.json": JSON.stringify({ eos_token_id: [256] }),
    "tokenizer.json": JSON.stringify(byteTokenizerJson()),
    "tokenizer_config.json": JSON.stringify({ tokenizer_class: "PreTrainedTokenizerFast", eos_token: "<|end|>" }),
  };
  const numShards = options.numShards ?? 1;
  if (numShards === 1) files["model.safetensors"] = safetensors(tensors, dtype);
  else {
    const weightMap: Record<string, string> = {};
    for (let shard = 0; shard < numShards; shard++) {
      const file = `model-${shard + 1}-of-${numShards}.safetensors`;
      const own = new Map([...tensors].filter((_, index) => index % numShards === shard));
      for (const name of own.keys()) weightMap[name] = file;
      files[file] = safetensors(own, dtype);
    }
    files["model.safetensors.index.json"] = JSON.stringify({ metadata: {}, weight_map: weightMap });
  }
  await mkdir(dir, { recursive: true });
  for (const [name, contents] of Object.entries({ ...files, ...options.files })) {
    if (contents !== null) await writeFile(join(dir, name), contents);
  }
  return new Map([...tensors].map(([name, tensor]) => [name, { ...tensor, values: rounded(tensor.values, dtype) }]));
}

/** A safetensors file of these tensors. */
export function safetensors(tensors: ReadonlyMap<string, RandomTensor>, dtype: Dtype): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: { format: "pt" } };
  const bodies: Uint8Array[] = [];
  let offset = 0;
  for (const [name, { shape, values }] of tensors) {
    const bytes = encoded(values, dtype);
    header[name] = { dtype, shape, data_offsets: [offset, offset + bytes.length] };
    bodies.push(bytes);
    offset += bytes.length;
  }
  return safetensorsFile(JSON.stringify(header), Buffer.concat(bodies));
}

/** Joins a header, right or wrong, with the bytes behind it. */
export function safetensorsFile(header: string, data: Uint8Array): Uint8Array {
  const json = Buffer.from(header);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, data]);
}

/** Uniform in [0, 1), from a seed: the 32-bit mixing function of MurmurHash3 over a counter. */
export function randomSource(seed: number): () => number {
  let counter = seed >>> 0;
  return () => {
    counter = (counter + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(counter ^ (counter >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32;
  };
}

const DEFAULT_CONFIG = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_size: 48,
  intermediate_size: 72,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 257,
  max_position_embeddings: 128,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  hidden_act: "silu",
  tie_word_embeddings: false,
};

function randomTensors(config: Record<string, unknown>, seed: number): Map<string, RandomTensor> {
  const random = randomSource(seed);
  const size = (key: string): number => config[key] as number;
  const hidden = size("hidden_size");
  const headDim = (config["head_dim"] as number | undefined) ?? hidden / size("num_attention_heads");
  const query = size("num_attention_heads") * headDim;
  const key = ((config["num_key_value_heads"] as number | null) ?? size("num_attention_heads")) * headDim;
  const inner = size("intermediate_size");
  const isQwen2 = config["model_type"] === "qwen2";
  const tensors = new Map<string, RandomTensor>();
  const add = (name: string, shape: number[], center: number, spread: number): void => {
    const length = shape.reduce((a, b) => a * b, 1);
    const values = new Float32Array(length);
    for (let i = 0; i < length; i++) values[i] = center + spread * (2 * random() - 1);
    tensors.set(name, { shape, values });
  };
  const matrix = (name: string, rows: number, cols: number): void => add(name, [rows, cols], 0, Math.sqrt(3 / cols));
  matrix("model.embed_tokens.weight", size("vocab_size"), hidden);
  for (let layer = 0; layer < size("num_hidden_layers"); layer++) {
    const at = `model.layers.${layer}`;
    add(`${at}.input_layernorm.weight`, [hidden], 1, 0.3);
    for (const [name, rows, cols] of [
      ["q", query, hidden],
      ["k", key, hidden],
      ["v", key, hidden],
      ["o", hidden, query],
    ] as const) {
      matrix(`${at}.self_attn.${name}_proj.weight`, rows, cols);
      const hasBias = isQwen2 ? name !== "o" : config["attention_bias"] === true;
      if (hasBias) add(`${at}.self_attn.${name}_proj.bias`, [rows], 0, 0.5);
    }
    if (config["model_type"] === "qwen3") {
      add(`${at}.self_attn.q_norm.weight`, [headDim], 1, 0.3);
      add(`${at}.self_attn.k_norm.weight`, [headDim], 1, 0.3);
    }
    add(`${at}.post_attention_layernorm.weight`, [hidden], 1, 0.3);
    matrix(`${at}.mlp.gate_proj.weight`, inner, hidden);
    matrix(`${at}.mlp.up_proj.weight`, inner, hidden);
    matrix(`${at}.mlp.down_proj.weight`, hidden, inner);
  }
  add("model.norm.weight", [hidden], 1, 0.3);
  if (config["tie_word_embeddings"] !== true) matrix("lm_head.weight", size("vocab_size"), hidden);
  return tensors;
}

function encoded(values: Float32Array, dtype: Dtype): Uint8Array {
  if (dtype === "F32") return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const encode = dtype === "F16" ? toHalf : toBfloat16;
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) halves[i] = encode(values[i]!);
  return new Uint8Array(halves.buffer);
}

/** What is left of float32 values after storing them. */
function rounded(values: Float32Array, dtype: Dtype): Float32Array {
  switch (dtype) {
    case "F32":
      return values;
    case "BF16":
      return values.map((value) => fromBits(toBfloat16(value) << 16));
    case "F16":
      return values.map((value) => fromHalf(toHalf(value)));
  }
}

/** Round to nearest by magnitude; ties go away from zero, which is enough for a test's weights. */
function toBfloat16(value: number): number {
  return (bitsOf(value) + 0x8000) >>> 16;
}

export function toHalf(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (Number.isNaN(value)) return 0x7e00;
  if (size === Infinity) return sign | 0x7c00;
  const exponent = Math.max(-14, Math.floor(Math.log2(size)));
  const units = Math.round((size / 2 ** exponent) * 1024);
  return sign | (units < 1024 ? units : ((exponent + 15) << 10) + (units - 1024));
}

function fromHalf(half: number): number {
  const exponent = (half >> 10) & 31;
  const size = exponent === 0 ? (half & 1023) * 2 ** -24 : (1024 + (half & 1023)) * 2 ** (exponent - 25);
  return (half >> 15 === 0 ? 1 : -1) * size;
}

/** The same four bytes as a float and as its bits. */
const FLOAT = new Float32Array(1);
const BITS = new Uint32Array(FLOAT.buffer);

function bitsOf(value: number): number {
  FLOAT[0] = value;
  return BITS[0]!;
}

function fromBits(bits: number): number {
  BITS[0] = bits;
  return FLOAT[0]!;
}

/**
 * Models in GGUF files: what the metadata say, as config.json would say it, and the tensors under their names in
 * safetensors. A key that would change the network's function and is not implemented is refused by name and value.
 */

import { EngineError, quoted } from "../errors.js";
import type { GgufMetadata, GgufValue, Tensor, TensorReader } from "../formats/index.js";
import type { JsonObject } from "../json.js";
import type { RopeScaling } from "./config.js";
import { RotaryEmbedding } from "./rope.js";

/** Families by `general.architecture`, with their names in config.json. */
const FAMILIES: Readonly<Record<string, GgufFamily>> = {
  llama: { modelType: "llama", isInterleaved: true },
  qwen2: { modelType: "qwen2", isInterleaved: false },
  qwen3: { modelType: "qwen3", isInterleaved: false },
};

interface GgufFamily {
  readonly modelType: string;
  /** True if rotary pairs are neighbours: the rows of q and k are in another order than in safetensors. */
  readonly isInterleaved: boolean;
}

/** Keys below the architecture's name, with the keys of config.json that they fill. */
const KEYS = {
  embedding_length: "hidden_size",
  feed_forward_length: "intermediate_size",
  block_count: "num_hidden_layers",
  "attention.head_count": "num_attention_heads",
  "attention.head_count_kv": "num_key_value_heads",
  "attention.key_length": "head_dim",
  "attention.layer_norm_rms_epsilon": "rms_norm_eps",
  context_length: "max_position_embeddings",
  "rope.freq_base": "rope_theta",
  vocab_size: "vocab_size",
} as const;

/** Keys that change nothing here if they have one of these values, or that of another key. */
const NEUTRAL: Readonly<Record<string, readonly (GgufValue | { readonly sameAs: string })[]>> = {
  "attention.value_length": [{ sameAs: "attention.key_length" }],
  "rope.dimension_count": [{ sameAs: "attention.key_length" }],
  "rope.scaling.original_context_length": [{ sameAs: "context_length" }],
  "rope.scaling.finetuned": [true, false],
  expert_count: [0],
  expert_used_count: [0],
  "attention.causal": [true],
};

/**
 * Returns the configuration as config.json has it.
 *
 * @param file name for errors
 * @throws EngineError `unsupported_model` for what is not implemented, `invalid_model` for a value of the wrong type
 */
export function ggufConfig(
  metadata: GgufMetadata,
  tensors: ReadonlyMap<string, Tensor>,
  file: string,
): Record<string, unknown> {
  const architecture = metadata.get("general.architecture");
  const family = familyOf(architecture, file);
  const type = metadata.get("general.type") ?? "model";
  if (type !== "model") throw unsupported(file, "general.type", type, "supported: model");
  const own = new Map(
    [...metadata].flatMap(([key, value]) =>
      key.startsWith(`${String(architecture)}.`) ? [[key.slice(String(architecture).length + 1), value] as const] : [],
    ),
  );
  if (!own.has("attention.key_length")) {
    const [width, heads] = [own.get("embedding_length"), own.get("attention.head_count")];
    if (typeof width === "number" && typeof heads === "number") own.set("attention.key_length", width / heads);
  }
  const config: Record<string, unknown> = { model_type: family.modelType };
  for (const [key, value] of own) {
    const target = KEYS[key as keyof typeof KEYS];
    if (target !== undefined) {
      if (typeof value !== "number") throw wrongType(file, `${String(architecture)}.${key}`, "a number", value);
      config[target] = value;
    } else if (!key.startsWith("rope.scaling.") || Object.hasOwn(NEUTRAL, key)) {
      checkNeutral(own, key, value, `${String(architecture)}.${key}`, file);
    }
  }
  const tokens = metadata.get("tokenizer.ggml.tokens");
  if (config["vocab_size"] === undefined && Array.isArray(tokens)) config["vocab_size"] = tokens.length;
  config["tie_word_embeddings"] = !tensors.has("output.weight");
  if (family.modelType === "llama") config["attention_bias"] = tensors.has("blk.0.attn_q.bias");
  config["rope_scaling"] = ropeScaling(own, String(architecture), file);
  return config;
}

function familyOf(architecture: GgufValue | undefined, file: string): GgufFamily {
  if (typeof architecture === "string" && Object.hasOwn(FAMILIES, architecture)) return FAMILIES[architecture]!;
  throw unsupported(
    file,
    "general.architecture",
    architecture ?? "absent",
    `supported: ${Object.keys(FAMILIES).join(", ")}`,
  );
}

function checkNeutral(own: GgufMetadata, key: string, value: GgufValue, name: string, file: string): void {
  const neutral = NEUTRAL[key];
  if (neutral === undefined) throw unsupported(file, name, value, "this key is not known");
  const values = neutral.map((one) => (typeof one === "object" && "sameAs" in one ? own.get(one.sameAs) : one));
  if (!values.includes(value)) throw unsupported(file, name, value, `supported: ${values.map(String).join(" or ")}`);
}

function ropeScaling(own: GgufMetadata, architecture: string, file: string): JsonObject | null {
  const type = own.get("rope.scaling.type") ?? "none";
  const factor = own.get("rope.scaling.factor");
  if (type === "none" && (factor === undefined || factor === 1 || factor === 0)) return null;
  if ((type === "linear" || type === "none") && typeof factor === "number") return { rope_type: "linear", factor };
  throw unsupported(file, `${architecture}.rope.scaling.type`, type, "supported: none, linear");
}

/** Divisors of the frequencies, which Llama 3's files have as a tensor. */
export const ROPE_FACTORS = "rope_freqs.weight";

/**
 * Returns Llama 3's scaling of rotary positions.
 *
 * @param factors f32 [head_dim / 2], the divisors of the frequencies
 * @throws EngineError `unsupported_model` for divisors of another kind
 */
export function llama3Scaling(factors: Float32Array, ropeTheta: number, file: string): JsonObject {
  const scaling = {
    type: "llama3" as const,
    factor: Math.max(...factors),
    lowFreqFactor: 1,
    highFreqFactor: 4,
    originalContextLength: 8192,
  };
  const headDim = 2 * factors.length;
  const frequencies = (given: RopeScaling): Float64Array =>
    new RotaryEmbedding({ headDim, ropeTheta, ropeScaling: given }).frequencies;
  const [plain, scaled] = [frequencies({ type: "none" }), frequencies(scaling)];
  const isLlama3 = factors.every((factor, pair) => Math.abs(plain[pair]! / scaled[pair]! / factor - 1) < 1e-3);
  if (!isLlama3) throw unsupported(file, ROPE_FACTORS, "of other values", "supported: those of Llama 3");
  return {
    rope_type: "llama3",
    factor: scaling.factor,
    low_freq_factor: scaling.lowFreqFactor,
    high_freq_factor: scaling.highFreqFactor,
    original_max_position_embeddings: scaling.originalContextLength,
  };
}

const NAMES: readonly (readonly [pattern: RegExp, name: string])[] = [
  [/^token_embd\./, "model.embed_tokens."],
  [/^output_norm\./, "model.norm."],
  [/^output\./, "lm_head."],
  [/^blk\.(\d+)\.attn_norm\./, "model.layers.$1.input_layernorm."],
  [/^blk\.(\d+)\.ffn_norm\./, "model.layers.$1.post_attention_layernorm."],
  [/^blk\.(\d+)\.attn_([qkv])\./, "model.layers.$1.self_attn.$2_proj."],
  [/^blk\.(\d+)\.attn_output\./, "model.layers.$1.self_attn.o_proj."],
  [/^blk\.(\d+)\.attn_([qk])_norm\./, "model.layers.$1.self_attn.$2_norm."],
  [/^blk\.(\d+)\.ffn_(gate|up|down)\./, "model.layers.$1.mlp.$2_proj."],
];

/** The tensors of a GGUF file under their names in safetensors, with their rows in the order of safetensors. */
export class GgufWeights implements TensorReader {
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly #names: ReadonlyMap<string, string>;
  readonly #isInterleaved: boolean;

  constructor(
    readonly file: TensorReader,
    metadata: GgufMetadata,
    /** Rows of a head of q and k. */
    readonly headDim: number,
  ) {
    const names = [...file.tensors.keys()]
      .filter((name) => name !== ROPE_FACTORS)
      .map((name) => [savedName(name), name] as const);
    this.#names = new Map(names);
    this.tensors = new Map(names.map(([saved, name]) => [saved, file.tensors.get(name)!]));
    this.#isInterleaved = familyOf(metadata.get("general.architecture"), "").isInterleaved;
  }

  get readable(): readonly string[] {
    return this.file.readable;
  }

  async readRows(name: string, firstRow: number, numRows: number, into: Float32Array): Promise<void> {
    if (!this.#isInterleaved || !/\.self_attn\.[qk]_proj\./.test(name))
      return this.file.readRows(this.#names.get(name)!, firstRow, numRows, into);
    // Whole heads are read, and their rows are put into the order of halves: 0, 2, 4, … and then 1, 3, 5, …
    const cols = numRows === 0 ? 0 : into.length / numRows;
    const half = this.headDim / 2;
    const firstHead = Math.floor(firstRow / this.headDim);
    const numHeads = Math.ceil((firstRow + numRows) / this.headDim) - firstHead;
    const heads = new Float32Array(numHeads * this.headDim * cols);
    await this.file.readRows(this.#names.get(name)!, firstHead * this.headDim, numHeads * this.headDim, heads);
    for (let row = 0; row < numRows; row++) {
      const at = firstRow + row - firstHead * this.headDim;
      const inHead = at % this.headDim;
      const from = at - inHead + (inHead < half ? 2 * inHead : 2 * (inHead - half) + 1);
      into.set(heads.subarray(from * cols, (from + 1) * cols), row * cols);
    }
  }

  sameBytes(first: string, second: string): Promise<boolean> {
    return this.file.sameBytes(this.#names.get(first)!, this.#names.get(second)!);
  }

  close(): Promise<void> {
    return this.file.close();
  }
}

function savedName(name: string): string {
  for (const [pattern, saved] of NAMES) if (pattern.test(name)) return name.replace(pattern, saved);
  return name;
}

function unsupported(file: string, key: string, value: GgufValue, rule: string): EngineError {
  const shown = Array.isArray(value) ? `a list of ${value.length}` : quoted(String(value));
  return new EngineError("unsupported_model", `${file}: ${key} ${shown} is not supported (${rule})`);
}

function wrongType(file: string, key: string, expected: string, value: GgufValue): EngineError {
  return new EngineError(
    "invalid_model",
    `${file}: ${key} must be ${expected}; it is ${typeof value === "object" ? "a list" : quoted(String(value))}`,
  );
}

/**
 * Reads config.json of the supported architectures. A key that would change the network's function and is not
 * implemented is refused by name and value; absent keys take the defaults of Hugging Face's configuration classes.
 */

import { type JsonObject, isObject } from "../json.js";
import { EngineError } from "../errors.js";
import { LIMITS } from "../limits.js";
import type { Family } from "./family.js";
import { llama } from "./llama.js";
import { mistral } from "./mistral.js";
import { qwen2 } from "./qwen2.js";
import { qwen3 } from "./qwen3.js";

/** Families by `model_type` of config.json. */
const FAMILIES = { llama, mistral, qwen2, qwen3 } as const satisfies Readonly<Record<string, Family>>;

export type Architecture = keyof typeof FAMILIES;

/**
 * @param config parsed config.json
 * @param endTokenIds from `readEndTokenIds`
 * @param hasHead false if the weights are known to have no LM head; the embedding is then the head, unless config.json
 * says otherwise
 * @throws EngineError `unsupported_model` for features that are not implemented, `invalid_model` for invalid values
 */
export function readModelConfig(
  config: JsonObject,
  endTokenIds: readonly number[],
  hasHead: boolean = true,
): ModelConfig {
  const architecture = readArchitecture(config);
  const family: Family = FAMILIES[architecture];
  const { defaults } = family;
  const hiddenSize = size(config, "hidden_size", 4096);
  const numHeads = size(config, "num_attention_heads", 32);
  // An explicit null means `numHeads`, even in families where an absent key has another default.
  const isKvGivenAsNull = config["num_key_value_heads"] === null;
  const numKvHeads = size(config, "num_key_value_heads", (isKvGivenAsNull ? null : defaults.numKvHeads) ?? numHeads);
  const headDim = size(config, "head_dim", defaults.headDim ?? hiddenSize / numHeads);
  const contextLength = size(config, "max_position_embeddings", defaults.contextLength);
  if (contextLength > LIMITS.maxContextLength) {
    throw invalid(`max_position_embeddings must be at most ${LIMITS.maxContextLength}; it is ${contextLength}`);
  }
  const numLayers = size(config, "num_hidden_layers", 32);
  if (numLayers > LIMITS.maxModelLayers) {
    throw invalid(`num_hidden_layers must be at most ${LIMITS.maxModelLayers}; it is ${numLayers}`);
  }
  if (numHeads % numKvHeads !== 0) {
    throw invalid(`num_attention_heads ${numHeads} is not a multiple of num_key_value_heads ${numKvHeads}`);
  }
  if (headDim > LIMITS.maxHeadDim) throw invalid(`head_dim must be at most ${LIMITS.maxHeadDim}; it is ${headDim}`);
  if (headDim % 2 !== 0) throw invalid(`head_dim ${headDim} is odd: rotary positions need pairs`);
  refuseUnsupported(config);
  refuseSlidingWindow(config, family, { numLayers, contextLength });
  return {
    architecture,
    hiddenSize,
    intermediateSize: size(config, "intermediate_size", defaults.intermediateSize),
    numLayers,
    numHeads,
    numKvHeads,
    headDim,
    vocabSize: size(config, "vocab_size", defaults.vocabSize),
    contextLength,
    normEpsilon: positive(config, "rms_norm_eps", 1e-6, "config.json"),
    ...readRope(config),
    ...readBiases(config, architecture),
    qkNorm: family.qkNorm,
    tiedEmbeddings: flag(config, "tie_word_embeddings", !hasHead),
    endTokenIds,
  };
}

/** Sizes in elements. */
export interface ModelConfig {
  readonly architecture: Architecture;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numLayers: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  /** Dimension of a head; even. */
  readonly headDim: number;
  readonly vocabSize: number;
  /** Number of positions the model was made for. */
  readonly contextLength: number;
  readonly normEpsilon: number;
  readonly ropeTheta: number;
  readonly ropeScaling: RopeScaling;
  /** Set when the q, k and v projections have a bias. */
  readonly attentionBias: boolean;
  /** Set when the output projection of attention has a bias. */
  readonly outputBias: boolean;
  /** Set when each head of q and k gets an RMS norm before rotation. */
  readonly qkNorm: boolean;
  /** Set when the embedding table is also the LM head. */
  readonly tiedEmbeddings: boolean;
  readonly endTokenIds: readonly number[];
}

export type RopeScaling =
  | { readonly type: "none" }
  | { readonly type: "linear"; readonly factor: number }
  | {
      readonly type: "llama3";
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalContextLength: number;
    };

const ARCHITECTURES = Object.keys(FAMILIES).join(", ");

/** Keys that change the network's function, each with the values that leave it as implemented here. */
const NEUTRAL_VALUES: Readonly<Record<string, readonly unknown[]>> = {
  hidden_act: ["silu", "swish", null],
  mlp_bias: [false, null],
  quantization_config: [null, {}],
  compression_config: [null, {}],
  dual_chunk_attention_config: [null, {}],
  partial_rotary_factor: [1, null],
  rope_interleaved: [false, null],
  use_mrope: [false, null],
  is_encoder_decoder: [false, null],
  add_cross_attention: [false, null],
  attention_chunk_size: [null],
  attn_logit_softcapping: [null],
  final_logit_softcapping: [null],
  logits_scaling: [1, null],
  residual_multiplier: [1, null],
  embedding_multiplier: [1, null],
  num_local_experts: [0, null],
  num_experts: [0, null],
};

function readArchitecture(config: JsonObject): Architecture {
  const type = config["model_type"];
  if (typeof type !== "string") throw invalid(`model_type must be one of ${ARCHITECTURES}; it is ${shown(type)}`);
  if (!Object.hasOwn(FAMILIES, type)) throw unsupported("model_type", type, `supported: ${ARCHITECTURES}`);
  const heads = config["architectures"] ?? null;
  if (heads !== null && !(Array.isArray(heads) && heads.some((head) => `${head}`.endsWith("ForCausalLM")))) {
    throw unsupported("architectures", heads, "supported: a causal language model (…ForCausalLM)");
  }
  return type as Architecture;
}

function refuseUnsupported(config: JsonObject): void {
  for (const [key, neutral] of Object.entries(NEUTRAL_VALUES)) {
    if (!Object.hasOwn(config, key) || neutral.some((value) => isSame(value, config[key]))) continue;
    throw unsupported(key, config[key], `supported: ${neutral.map(shown).join(" or ")}`);
  }
}

function readBiases(config: JsonObject, architecture: Architecture): Pick<ModelConfig, "attentionBias" | "outputBias"> {
  const { attentionBias }: Family = FAMILIES[architecture];
  if (attentionBias === "inputs") return { attentionBias: true, outputBias: false };
  const isSet = flag(config, "attention_bias", false);
  if (isSet && attentionBias === "none") throw unsupported("attention_bias", true, `a ${architecture} model has none`);
  return { attentionBias: isSet, outputBias: isSet };
}

/** Refuses windows that hide positions; a window of at least the context length hides none. */
function refuseSlidingWindow(
  config: JsonObject,
  { slidingWindow }: Family,
  model: { numLayers: number; contextLength: number },
): void {
  if (slidingWindow === "never") {
    refuseLayerTypes(config, null, model.contextLength);
    return;
  }
  const isSwitched = slidingWindow === "switched";
  const declared = config["sliding_window"] === undefined ? 4096 : config["sliding_window"];
  const isOff = declared === null || declared === 0 || declared === -1;
  if (!isOff && (!Number.isSafeInteger(declared) || (declared as number) < 1)) {
    throw invalid(`sliding_window must be a positive integer, or null, 0 or -1 for none; it is ${shown(declared)}`);
  }
  const window = isOff || !flag(config, "use_sliding_window", !isSwitched) ? null : (declared as number);
  if (Array.isArray(config["layer_types"])) {
    refuseLayerTypes(config, window, model.contextLength);
    return;
  }
  const firstWindowed = isSwitched ? count(config, "max_window_layers", 28) : 0;
  if (window !== null && window < model.contextLength && firstWindowed < model.numLayers) {
    throw unsupported(
      "sliding_window",
      window,
      `supported: null, or at least the context length ${model.contextLength}`,
    );
  }
}

function refuseLayerTypes(config: JsonObject, window: number | null, contextLength: number): void {
  const types = config["layer_types"] ?? null;
  if (types === null) return;
  if (!Array.isArray(types)) throw invalid(`layer_types must be a list; it is ${shown(types)}`);
  for (const type of types) {
    if (type === "full_attention") continue;
    if (type === "sliding_attention" && window !== null && window >= contextLength) continue;
    throw unsupported("layer_types", type, "supported: full_attention");
  }
}

/** Reads `rope_theta` with `rope_scaling`, or the newer `rope_parameters` that combines them. */
function readRope(config: JsonObject): { ropeTheta: number; ropeScaling: RopeScaling } {
  const joined = config["rope_parameters"] ?? null;
  const scaling = config["rope_scaling"] ?? null;
  if (joined !== null && scaling !== null && !isSame(joined, scaling))
    throw invalid("rope_parameters and rope_scaling are both given, and differ");
  const key = joined === null ? "rope_scaling" : "rope_parameters";
  const rope = joined ?? scaling ?? {};
  if (!isObject(rope)) throw invalid(`${key} must be an object; it is ${shown(rope)}`);
  const where = `config.json ${key}`;
  const type = rope["rope_type"] ?? rope["type"] ?? "default";
  const allowed = new Set([
    "rope_type",
    "type",
    "rope_theta",
    "partial_rotary_factor",
    ...(ROPE_KEYS[`${type}`] ?? []),
  ]);
  if (!(typeof type === "string" && Object.hasOwn(ROPE_KEYS, type))) {
    throw unsupported(`${key} type`, type, `supported: ${Object.keys(ROPE_KEYS).join(", ")}`);
  }
  for (const [name, value] of Object.entries(rope)) {
    if (value !== null && !allowed.has(name)) throw unsupported(`${key}.${name}`, value, `not known for type ${type}`);
  }
  if ((rope["partial_rotary_factor"] ?? 1) !== 1) {
    throw unsupported(`${key}.partial_rotary_factor`, rope["partial_rotary_factor"], "supported: 1");
  }
  const outerTheta = positive(config, "rope_theta", 10000, "config.json");
  const ropeTheta = positive(rope, "rope_theta", outerTheta, where);
  if (config["rope_theta"] !== undefined && ropeTheta !== outerTheta) {
    throw invalid(`rope_theta is ${outerTheta}, but ${key}.rope_theta is ${ropeTheta}`);
  }
  switch (type) {
    case "linear":
      return { ropeTheta, ropeScaling: { type, factor: positive(rope, "factor", null, where) } };
    case "llama3": {
      const lowFreqFactor = positive(rope, "low_freq_factor", null, where);
      const highFreqFactor = positive(rope, "high_freq_factor", null, where);
      if (highFreqFactor <= lowFreqFactor) {
        throw invalid(`${key}: high_freq_factor ${highFreqFactor} must exceed low_freq_factor ${lowFreqFactor}`);
      }
      const factor = positive(rope, "factor", null, where);
      const originalContextLength = positive(rope, "original_max_position_embeddings", null, where);
      return { ropeTheta, ropeScaling: { type, factor, lowFreqFactor, highFreqFactor, originalContextLength } };
    }
    default:
      return { ropeTheta, ropeScaling: { type: "none" } };
  }
}

/** Keys that each kind of rotary scaling may have in addition to its type and base. */
const ROPE_KEYS: Readonly<Record<string, readonly string[]>> = {
  default: [],
  linear: ["factor"],
  llama3: ["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"],
};

/** Reads a positive integer; absent or null means `byDefault`. */
function size(config: JsonObject, key: string, byDefault: number): number {
  const value = config[key] ?? byDefault;
  if (!Number.isSafeInteger(value) || (value as number) < 1 || (value as number) > LIMITS.maxModelDimension) {
    throw invalid(`${key} must be an integer from 1 to ${LIMITS.maxModelDimension}; it is ${shown(value)}`);
  }
  return value as number;
}

function count(config: JsonObject, key: string, byDefault: number): number {
  const value = config[key] ?? byDefault;
  if (!Number.isSafeInteger(value) || (value as number) < 0) {
    throw invalid(`${key} must be an integer from 0; it is ${shown(value)}`);
  }
  return value as number;
}

function positive(object: JsonObject, key: string, byDefault: number | null, where: string): number {
  const value = object[key] ?? byDefault;
  if (typeof value !== "number" || !(value > 0) || !Number.isFinite(value)) {
    throw new EngineError("invalid_model", `${where}: ${key} must be a positive number; it is ${shown(value)}`);
  }
  return value;
}

function flag(config: JsonObject, key: string, byDefault: boolean): boolean {
  const value = config[key] ?? byDefault;
  if (typeof value !== "boolean") throw invalid(`${key} must be true or false; it is ${shown(value)}`);
  return value;
}

function invalid(message: string): EngineError {
  return new EngineError("invalid_model", `config.json: ${message}`);
}

function unsupported(key: string, value: unknown, hint: string): EngineError {
  return new EngineError("unsupported_model", `config.json: ${key} ${shown(value)} is not supported (${hint})`);
}

/** Compares JSON values. The order of keys does not count, nor do keys that are null. */
function isSame(a: unknown, b: unknown): boolean {
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, i) => isSame(item, b[i]));
  if (!isObject(a) || !isObject(b)) return a === b;
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].every((key) => isSame(a[key] ?? null, b[key] ?? null));
}

/** Formats a value for an error message, cut to a readable length. */
function shown(value: unknown): string {
  if (value === undefined) return "absent";
  const text = typeof value === "number" ? `${value}` : JSON.stringify(value);
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`;
}

/** Returns the dimension of a head in an ONNX body: ONNX Runtime rotates heads whose dimension is a multiple of 16. */
export function paddedHeadDim({ headDim }: Pick<ModelConfig, "headDim">): number {
  return Math.ceil(headDim / 16) * 16;
}

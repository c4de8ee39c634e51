/**
 * Tensors of each architecture, with their names in safetensors and their shapes. Some of them are stacked into one
 * matrix of the body: q, k and v; gate and up. Stacking adds outputs, and blocks of quantized values run along the
 * inputs, so a stacked matrix holds exactly the numbers of its parts.
 */

import { EngineError, quoted } from "../errors.js";
import type { ModelConfig } from "./config.js";
import type { Tensor, TensorReader } from "../formats/index.js";

export function modelWeights(config: ModelConfig): ModelWeights {
  const { hiddenSize, vocabSize } = config;
  const embedding = stacked("embed_tokens", hiddenSize, [["model.embed_tokens.weight", vocabSize]]);
  return {
    embedding,
    lmHead: config.tiedEmbeddings ? null : stacked("lm_head", hiddenSize, [["lm_head.weight", vocabSize]]),
    finalNorm: vector("norm", [["model.norm.weight", hiddenSize]]),
    layers: Array.from({ length: config.numLayers }, (_, layer) => layerWeights(config, layer)),
  };
}

/** Yields every weight of a model in the order of the pack. A tied embedding is one table, named `lm_head`. */
export function* packedWeights(weights: ModelWeights): Generator<StackedWeight> {
  if (weights.lmHead === null) yield { ...weights.embedding, name: "lm_head" };
  else yield* [weights.lmHead, weights.embedding];
  yield weights.finalNorm;
  for (const layer of weights.layers) {
    for (const weight of Object.values(layer) as (StackedWeight | null)[]) if (weight !== null) yield weight;
  }
}

/**
 * Checks that the files hold exactly these weights.
 *
 * @throws EngineError `invalid_model` for a missing tensor or a wrong shape, `unsupported_model` for a tensor
 *   that is not part of the architecture: ignoring it would run another network than the one that was trained
 */
export async function checkWeights(config: ModelConfig, weights: ModelWeights, reader: TensorReader): Promise<void> {
  const expected = new Map<string, readonly number[]>();
  for (const weight of packedWeights(weights)) {
    for (const part of weight.parts) {
      expected.set(part.name, weight.kind === "vector" ? [part.rows] : [part.rows, weight.cols]);
    }
  }
  for (const [name, shape] of expected) {
    const tensor = reader.tensors.get(name);
    if (tensor === undefined) throw new EngineError("invalid_model", `the weights lack tensor "${name}"`);
    if (!reader.readable.includes(tensor.dtype)) {
      throw new EngineError(
        "unsupported_model",
        `${tensor.file}: tensor "${name}": dtype "${tensor.dtype}" is not supported (supported: ${reader.readable.join(", ")})`,
      );
    }
    if (!sameShape(tensor, shape)) {
      throw new EngineError(
        "invalid_model",
        `${tensor.file}: tensor "${name}" has ${shownShape(tensor)}; config.json requires [${shape.join(", ")}]`,
      );
    }
  }
  for (const [name, tensor] of reader.tensors) {
    if (expected.has(name) || DERIVED_TENSOR.test(name)) continue;
    if (name === "lm_head.weight" && config.tiedEmbeddings) {
      await checkTiedCopy(reader, tensor);
      continue;
    }
    throw new EngineError(
      "unsupported_model",
      `${tensor.file}: tensor ${quoted(name)} is not part of a ${config.architecture} decoder of ${config.numLayers} layers`,
    );
  }
}

export interface ModelWeights {
  /** [vocab, hidden] */
  readonly embedding: StackedWeight;
  /** [vocab, hidden], or null if the embedding is used instead. */
  readonly lmHead: StackedWeight | null;
  readonly finalNorm: StackedWeight;
  readonly layers: readonly LayerWeights[];
}

export interface LayerWeights {
  readonly inputNorm: StackedWeight;
  /** [heads * D + 2 * kv_heads * D, hidden] */
  readonly qkv: StackedWeight;
  readonly qkvBias: StackedWeight | null;
  /** [D] */
  readonly qNorm: StackedWeight | null;
  readonly kNorm: StackedWeight | null;
  /** [hidden, heads * D] */
  readonly output: StackedWeight;
  readonly outputBias: StackedWeight | null;
  readonly attentionNorm: StackedWeight;
  /** [2 * intermediate, hidden] */
  readonly gateUp: StackedWeight;
  /** [hidden, intermediate] */
  readonly down: StackedWeight;
}

/** Tensors of equal width, stacked along the rows. A vector has one column and no second dimension. */
export interface StackedWeight {
  readonly kind: "matrix" | "vector";
  /** Name in the pack. */
  readonly name: string;
  readonly rows: number;
  readonly cols: number;
  readonly parts: readonly { readonly name: string; readonly rows: number }[];
}

const MAX_SHOWN_DIMENSIONS = 8;

/** Tables that some checkpoints contain and that can be derived from config.json. */
const DERIVED_TENSOR =
  /^model\.(?:layers\.\d+\.self_attn\.)?rotary_emb\.(?:inv_freq|cos_cached|sin_cached)$|^model\.(?:embeddings\.)?position_ids$/;

function layerWeights(config: ModelConfig, layer: number): LayerWeights {
  const { hiddenSize, intermediateSize, headDim } = config;
  const from = `model.layers.${layer}`;
  const to = `layers.${layer}`;
  const queryRows = config.numHeads * headDim;
  const keyRows = config.numKvHeads * headDim;
  const attention = (kind: "weight" | "bias"): Part[] => [
    [`${from}.self_attn.q_proj.${kind}`, queryRows],
    [`${from}.self_attn.k_proj.${kind}`, keyRows],
    [`${from}.self_attn.v_proj.${kind}`, keyRows],
  ];
  const headNorm = (which: "q" | "k"): StackedWeight | null =>
    config.qkNorm ? vector(`${to}.${which}_norm`, [[`${from}.self_attn.${which}_norm.weight`, headDim]]) : null;
  return {
    inputNorm: vector(`${to}.input_norm`, [[`${from}.input_layernorm.weight`, hiddenSize]]),
    qkv: stacked(`${to}.qkv`, hiddenSize, attention("weight")),
    qkvBias: config.attentionBias ? vector(`${to}.qkv.bias`, attention("bias")) : null,
    qNorm: headNorm("q"),
    kNorm: headNorm("k"),
    output: stacked(`${to}.output`, queryRows, [[`${from}.self_attn.o_proj.weight`, hiddenSize]]),
    outputBias: config.outputBias ? vector(`${to}.output.bias`, [[`${from}.self_attn.o_proj.bias`, hiddenSize]]) : null,
    attentionNorm: vector(`${to}.attention_norm`, [[`${from}.post_attention_layernorm.weight`, hiddenSize]]),
    gateUp: stacked(`${to}.gate_up`, hiddenSize, [
      [`${from}.mlp.gate_proj.weight`, intermediateSize],
      [`${from}.mlp.up_proj.weight`, intermediateSize],
    ]),
    down: stacked(`${to}.down`, intermediateSize, [[`${from}.mlp.down_proj.weight`, hiddenSize]]),
  };
}

type Part = readonly [name: string, rows: number];

function stacked(name: string, cols: number, parts: readonly Part[]): StackedWeight {
  return {
    kind: "matrix",
    name,
    cols,
    rows: totalRows(parts),
    parts: parts.map(([part, rows]) => ({ name: part, rows })),
  };
}

function vector(name: string, parts: readonly Part[]): StackedWeight {
  return { ...stacked(name, 1, parts), kind: "vector" };
}

function totalRows(parts: readonly Part[]): number {
  return parts.reduce((sum, [, rows]) => sum + rows, 0);
}

/** A file may give a tensor a million dimensions. */
function shownShape({ shape }: Tensor): string {
  return shape.length <= MAX_SHOWN_DIMENSIONS ? `shape [${shape.join(", ")}]` : `${shape.length} dimensions`;
}

function sameShape(tensor: Tensor, shape: readonly number[]): boolean {
  return tensor.shape.length === shape.length && shape.every((dim, index) => dim === tensor.shape[index]);
}

/** Checks the tied matrix that some files repeat: a head that differs from the embedding means config.json is wrong. */
async function checkTiedCopy(reader: TensorReader, head: Tensor): Promise<void> {
  if (await reader.sameBytes("lm_head.weight", "model.embed_tokens.weight")) return;
  throw new EngineError(
    "invalid_model",
    `${head.file}: config.json ties the embeddings, but tensor "lm_head.weight" differs from "model.embed_tokens.weight"`,
  );
}

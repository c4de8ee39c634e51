/**
 * Outlier channels for checkpoints that have none: a channel is scaled up where it is written and down where it is
 * read, or two channels are turned into each other's sum and difference, so that the network computes the same
 * function with values that a quantiser finds hard.
 */

import type { ModelConfig } from "../engine/model/index.js";
import type { RandomTensor } from "./random-model.js";

export interface OutlierOptions {
  /** What channels are scaled by. */
  readonly strength: number;
  /** Channels of each place that are scaled. */
  readonly numChannels: number;
}

/** Each changes tensors by their Hugging Face names, in place. */
export type Injection = (config: ModelConfig, tensors: Map<string, RandomTensor>, options: OutlierOptions) => void;

/** Gains of both norms of a layer, against the columns behind them. */
export const scaleNorms: Injection = (config, tensors, { strength, numChannels }) => {
  for (const at of layers(config)) {
    for (const channel of spread(numChannels, config.hiddenSize)) {
      scaleRow(tensors, at("input_layernorm.weight"), channel, strength);
      for (const name of ["q", "k", "v"]) scaleColumn(tensors, at(`self_attn.${name}_proj.weight`), channel, 1 / strength);
      scaleRow(tensors, at("post_attention_layernorm.weight"), channel, strength);
      for (const name of ["gate", "up"]) scaleColumn(tensors, at(`mlp.${name}_proj.weight`), channel, 1 / strength);
    }
  }
};

/** Rows of up against columns of down. */
export const scaleFeedForward: Injection = (config, tensors, { strength, numChannels }) => {
  for (const at of layers(config)) {
    for (const channel of spread(numChannels, config.intermediateSize)) {
      scaleRow(tensors, at("mlp.up_proj.weight"), channel, strength);
      scaleColumn(tensors, at("mlp.down_proj.weight"), channel, 1 / strength);
    }
  }
};

/** Rows of v against the columns of every query head that reads them. */
export const scaleValues: Injection = (config, tensors, { strength, numChannels }) => {
  const { headDim, numHeads, numKvHeads } = config;
  const group = numHeads / numKvHeads;
  for (const at of layers(config)) {
    for (const channel of spread(numChannels, numKvHeads * headDim)) {
      const [kvHead, i] = [Math.floor(channel / headDim), channel % headDim];
      scaleRow(tensors, at("self_attn.v_proj.weight"), channel, strength);
      for (let head = kvHead * group; head < (kvHead + 1) * group; head++) {
        scaleColumn(tensors, at("self_attn.o_proj.weight"), head * headDim + i, 1 / strength);
      }
    }
  }
};

/** Pairs of rows that rotate together, of k against those of every query head of its group. */
export const scaleKeys: Injection = (config, tensors, { strength, numChannels }) => {
  const { headDim, numHeads, numKvHeads } = config;
  const group = numHeads / numKvHeads;
  for (const at of layers(config)) {
    for (const channel of spread(numChannels, (numKvHeads * headDim) / 2)) {
      const [kvHead, pair] = [Math.floor(channel / (headDim / 2)), channel % (headDim / 2)];
      for (const i of [pair, pair + headDim / 2]) {
        scaleRow(tensors, at("self_attn.k_proj.weight"), kvHead * headDim + i, strength);
        for (let head = kvHead * group; head < (kvHead + 1) * group; head++) {
          scaleRow(tensors, at("self_attn.q_proj.weight"), head * headDim + i, 1 / strength);
        }
      }
    }
  }
};

/**
 * Large channels of the residual stream that cancel: norms that follow are scale-free in the stream's length only, so
 * what is added must keep it. A rotation does: with gains folded into the columns behind them, the stream is
 * reflected so that the mean of the embeddings, which no token's values average away, lies on a single channel.
 * Unties the embedding from the head, whose final gains are folded too.
 */
export const gatherMean: Injection = (config, tensors) => {
  const { hiddenSize } = config;
  const embedding = tensors.get("model.embed_tokens.weight")!;
  const head = tensors.get("lm_head.weight") ?? { shape: embedding.shape, values: embedding.values.slice() };
  tensors.set("lm_head.weight", head);
  foldColumns(tensors, "model.norm.weight", ["lm_head.weight"], hiddenSize);
  const axis = mirrorOf(embedding.values, hiddenSize);
  reflectColumns(embedding.values, axis);
  reflectColumns(head.values, axis);
  for (const at of layers(config)) {
    const readers = [["q", "k", "v"].map((name) => at(`self_attn.${name}_proj.weight`)), ["gate", "up"].map((name) => at(`mlp.${name}_proj.weight`))];
    for (const [index, norm] of ["input_layernorm.weight", "post_attention_layernorm.weight"].entries()) {
      foldColumns(tensors, at(norm), readers[index]!, hiddenSize);
      for (const name of readers[index]!) reflectColumns(tensors.get(name)!.values, axis);
    }
    for (const name of ["self_attn.o_proj.weight", "mlp.down_proj.weight"]) reflectRows(tensors.get(at(name))!.values, axis);
  }
};

function layers({ numLayers }: ModelConfig): ((name: string) => string)[] {
  return Array.from({ length: numLayers }, (_, layer) => (name) => `model.layers.${layer}.${name}`);
}

/** `count` indices, apart from each other. */
function spread(count: number, size: number): number[] {
  return Array.from({ length: count }, (_, i) => Math.floor(((i + 0.3) * size) / count));
}

function scaleRow(tensors: Map<string, RandomTensor>, name: string, row: number, factor: number): void {
  const { shape, values } = tensors.get(name)!;
  const cols = shape[1] ?? 1;
  for (let i = row * cols; i < (row + 1) * cols; i++) values[i]! *= factor;
}

function scaleColumn(tensors: Map<string, RandomTensor>, name: string, column: number, factor: number): void {
  const { shape, values } = tensors.get(name)!;
  for (let i = column; i < values.length; i += shape[1]!) values[i]! *= factor;
}

/** Moves a norm's gains into the matrices behind it. */
function foldColumns(tensors: Map<string, RandomTensor>, norm: string, matrices: readonly string[], width: number): void {
  const gains = tensors.get(norm)!.values;
  for (const name of matrices) {
    const { values } = tensors.get(name)!;
    for (let i = 0; i < values.length; i++) values[i]! *= gains[i % width]!;
  }
  gains.fill(1);
}

/** The unit vector whose mirror carries the mean row of [rows, width] to the last axis. */
function mirrorOf(values: Float32Array, width: number): Float64Array {
  const mean = new Float64Array(width);
  for (let i = 0; i < values.length; i++) mean[i % width]! += values[i]!;
  const length = Math.hypot(...mean);
  const axis = mean.map((value) => value / length);
  axis[width - 1]! -= 1;
  const norm = Math.hypot(...axis);
  return axis.map((value) => value / norm);
}

/** Each row x of [rows, width] becomes x - 2 (x . axis) axis. */
function reflectColumns(values: Float32Array, axis: Float64Array): void {
  for (let start = 0; start < values.length; start += axis.length) {
    let along = 0;
    for (const [i, part] of axis.entries()) along += values[start + i]! * part;
    for (const [i, part] of axis.entries()) values[start + i]! -= 2 * along * part;
  }
}

/** The same for the columns of [width, cols]. */
function reflectRows(values: Float32Array, axis: Float64Array): void {
  const cols = values.length / axis.length;
  for (let col = 0; col < cols; col++) {
    let along = 0;
    for (const [i, part] of axis.entries()) along += values[i * cols + col]! * part;
    for (const [i, part] of axis.entries()) values[i * cols + col]! -= 2 * along * part;
  }
}

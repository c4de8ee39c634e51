/**
 * The oracle of this folder's tests: the Llama family's forward pass in float64, written for reading, one token
 * at a time over plain arrays. Takes weights under their Hugging Face names, so that it shares no code with the
 * conversion.
 */

import type { ModelConfig, RopeScaling } from "../../engine/architecture/config.js";

/** Row-major values of a tensor by its Hugging Face name. */
export type WeightSource = (name: string) => ArrayLike<number>;

export class ReferenceForward {
  /** [layer][position] -> [kv_heads * D] */
  readonly keys: Float64Array[][];
  readonly values: Float64Array[][];

  /** @param activations what a product with weights sees of its input */
  constructor(
    readonly config: ModelConfig,
    readonly weight: WeightSource,
    readonly activations: (x: Float64Array) => Float64Array = (x) => x,
  ) {
    this.keys = Array.from({ length: config.numLayers }, () => []);
    this.values = Array.from({ length: config.numLayers }, () => []);
  }

  /** Appends one token and returns its last hidden state, after the final norm. float64 [hidden] */
  hidden(tokenId: number): Float64Array {
    const { config, weight, activations } = this;
    const { hiddenSize, headDim, numHeads, numKvHeads, intermediateSize } = config;
    const table = weight("model.embed_tokens.weight");
    let x: Float64Array = Float64Array.from({ length: hiddenSize }, (_, i) => table[tokenId * hiddenSize + i]!);
    for (let layer = 0; layer < config.numLayers; layer++) {
      const from = (name: string): ArrayLike<number> => weight(`model.layers.${layer}.${name}`);
      const bias = (name: string, isThere: boolean): ArrayLike<number> | null =>
        isThere ? from(`self_attn.${name}.bias`) : null;
      const normed = activations(rmsNorm(x, from("input_layernorm.weight"), config.normEpsilon));
      const project = (name: string, heads: number): Float64Array =>
        product(from(`self_attn.${name}.weight`), normed, heads * headDim, bias(name, config.attentionBias));
      const position = this.keys[layer]!.length;
      const prepare = (flat: Float64Array, norm: string): Float64Array => {
        for (let start = 0; start < flat.length; start += headDim) {
          const head = flat.subarray(start, start + headDim);
          if (config.qkNorm) head.set(rmsNorm(head, from(`self_attn.${norm}.weight`), config.normEpsilon));
          rotate(head, position, config);
        }
        return flat;
      };
      const query = prepare(project("q_proj", numHeads), "q_norm");
      this.keys[layer]!.push(prepare(project("k_proj", numKvHeads), "k_norm"));
      this.values[layer]!.push(project("v_proj", numKvHeads));
      const attended = activations(this.#attend(query, layer));
      x = sum(x, product(from("self_attn.o_proj.weight"), attended, hiddenSize, bias("o_proj", config.outputBias)));
      const fedIn = activations(rmsNorm(x, from("post_attention_layernorm.weight"), config.normEpsilon));
      const gate = product(from("mlp.gate_proj.weight"), fedIn, intermediateSize, null);
      const up = product(from("mlp.up_proj.weight"), fedIn, intermediateSize, null);
      const gated = gate.map((value, i) => (value / (1 + Math.exp(-value))) * up[i]!);
      x = sum(x, product(from("mlp.down_proj.weight"), activations(gated), hiddenSize, null));
    }
    return rmsNorm(x, weight("model.norm.weight"), config.normEpsilon);
  }

  /** float64 [vocab] */
  logits(hidden: ArrayLike<number>): Float64Array {
    const head = this.weight(this.config.tiedEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight");
    return product(head, hidden, this.config.vocabSize, null);
  }

  #attend(query: Float64Array, layer: number): Float64Array {
    const { headDim, numHeads, numKvHeads } = this.config;
    const attended = new Float64Array(query.length);
    for (let head = 0; head < numHeads; head++) {
      const own = head * headDim;
      const shared = Math.floor(head / (numHeads / numKvHeads)) * headDim;
      const scores = this.keys[layer]!.map((key) => {
        let score = 0;
        for (let i = 0; i < headDim; i++) score += query[own + i]! * key[shared + i]!;
        return score / Math.sqrt(headDim);
      });
      const max = Math.max(...scores);
      const weights = scores.map((score) => Math.exp(score - max));
      const total = weights.reduce((a, b) => a + b, 0);
      this.values[layer]!.forEach((value, position) => {
        for (let i = 0; i < headDim; i++) attended[own + i]! += (weights[position]! / total) * value[shared + i]!;
      });
    }
    return attended;
  }
}

/** Inverse frequency of a pair, from the formulas of the Llama 3.1 release and of linear scaling. */
export function referenceFrequency(
  pair: number,
  config: Pick<ModelConfig, "headDim" | "ropeTheta" | "ropeScaling">,
): number {
  const frequency = config.ropeTheta ** ((-2 * pair) / config.headDim);
  const scaling: RopeScaling = config.ropeScaling;
  if (scaling.type === "none") return frequency;
  if (scaling.type === "linear") return frequency / scaling.factor;
  const wavelength = (2 * Math.PI) / frequency;
  if (wavelength < scaling.originalContextLength / scaling.highFreqFactor) return frequency;
  if (wavelength > scaling.originalContextLength / scaling.lowFreqFactor) return frequency / scaling.factor;
  const smooth =
    (scaling.originalContextLength / wavelength - scaling.lowFreqFactor) /
    (scaling.highFreqFactor - scaling.lowFreqFactor);
  return ((1 - smooth) * frequency) / scaling.factor + smooth * frequency;
}

/** Rotates the pairs (i, i + D / 2) of one head in place. */
function rotate(head: Float64Array, position: number, config: ModelConfig): void {
  const half = head.length / 2;
  for (let i = 0; i < half; i++) {
    const angle = position * referenceFrequency(i, config);
    const [first, second] = [head[i]!, head[i + half]!];
    head[i] = first * Math.cos(angle) - second * Math.sin(angle);
    head[i + half] = second * Math.cos(angle) + first * Math.sin(angle);
  }
}

function rmsNorm(x: Float64Array, gain: ArrayLike<number>, epsilon: number): Float64Array {
  const meanSquare = x.reduce((total, value) => total + value * value, 0) / x.length;
  return x.map((value, i) => (value / Math.sqrt(meanSquare + epsilon)) * gain[i]!);
}

/** matrix [rows, cols] times x [cols], plus bias [rows] */
function product(
  matrix: ArrayLike<number>,
  x: ArrayLike<number>,
  rows: number,
  bias: ArrayLike<number> | null,
): Float64Array {
  const cols = x.length;
  return Float64Array.from({ length: rows }, (_, row) => {
    let total = bias === null ? 0 : bias[row]!;
    for (let col = 0; col < cols; col++) total += matrix[row * cols + col]! * x[col]!;
    return total;
  });
}

function sum(a: Float64Array, b: Float64Array): Float64Array {
  return a.map((value, i) => value + b[i]!);
}

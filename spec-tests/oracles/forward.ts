/**
 * Reference forward pass of the Llama family in float64, directly from the formulas, one token at a time. All tests
 * share it. A model is built from weights by name (named-model.ts), from a folder that is read without the engine
 * (folder-model.ts), or from the kernels' matrices (kernel-model.ts). Every number carries the expected deviation of an
 * f32 computation (estimate.ts); tests with other bounds use only the values.
 */

import {
  type Rotation,
  UNIT_ROUNDOFF,
  type Vector,
  add,
  bfloat16,
  dot,
  exactly,
  quantized,
  rmsNorm,
  rotate,
  rounded,
  split,
  swiglu,
  times,
} from "./estimate.js";

/** A matrix product, plus a bias if the layer has one. */
export type Linear = (input: Vector) => Vector;

export interface ReferenceModel {
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly normEpsilon: number;
  /** Embedding of a token, [hiddenSize] */
  readonly embed: (tokenId: number) => ArrayLike<number>;
  readonly rotation: (position: number) => Rotation;
  readonly layers: readonly ReferenceLayer[];
  /** [hiddenSize] */
  readonly finalNorm: ArrayLike<number>;
  readonly pages: Pages;
}

export interface ReferenceLayer {
  /** [hiddenSize] */
  readonly inputNorm: ArrayLike<number>;
  /** [hiddenSize] -> [(numHeads + 2 * numKvHeads) * headDim]: queries, keys, values */
  readonly qkv: Linear;
  /** [headDim]; null if heads are not normalized */
  readonly qNorm: ArrayLike<number> | null;
  readonly kNorm: ArrayLike<number> | null;
  /** [numHeads * headDim] -> [hiddenSize] */
  readonly output: Linear;
  /** [hiddenSize] */
  readonly attentionNorm: ArrayLike<number>;
  /** [hiddenSize] -> [2 * intermediateSize]: gate, up */
  readonly gateUp: Linear;
  /** [intermediateSize] -> [hiddenSize] */
  readonly down: Linear;
}

/** Format of the KV cache, and number of positions per page, after which attention merges partial results. */
export interface Pages {
  readonly format: "f32" | "bf16" | "q8";
  readonly size: number;
}

/** @returns the hidden state of each token of a sequence, [hiddenSize] */
export function hiddenStates(model: ReferenceModel, tokenIds: readonly number[]): Vector[] {
  const forward = new ReferenceForward(model);
  return tokenIds.map((tokenId) => forward.hidden(tokenId));
}

export class ReferenceForward {
  /** [layer][position][kv head] -> [headDim], in the precision of the pages */
  readonly keys: readonly Vector[][][];
  readonly values: readonly Vector[][][];

  constructor(readonly model: ReferenceModel) {
    this.keys = model.layers.map(() => []);
    this.values = model.layers.map(() => []);
  }

  /** Appends one token. @returns its hidden state after the final norm, [hiddenSize] */
  hidden(tokenId: number): Vector {
    const { embed, rotation, layers, finalNorm, normEpsilon } = this.model;
    const angles = rotation(this.keys[0]?.length ?? 0);
    let row = exactly(embed(tokenId));
    layers.forEach((layer, index) => {
      const qkv = layer.qkv(rmsNorm(row, layer.inputNorm, normEpsilon));
      row = add(row, layer.output(this.#attend(index, qkv, angles)));
      const gateUp = layer.gateUp(rmsNorm(row, layer.attentionNorm, normEpsilon));
      const [gate, up] = split(gateUp, gateUp.length / 2);
      row = add(row, layer.down(swiglu(gate!, up!)));
    });
    return rmsNorm(row, finalNorm, normEpsilon);
  }

  /** Stores keys and values, and attends to all stored positions. @returns [numHeads * headDim] */
  #attend(index: number, qkv: Vector, angles: Rotation): Vector {
    const { numHeads, numKvHeads, headDim, normEpsilon, layers, pages } = this.model;
    const { qNorm, kNorm } = layers[index]!;
    const [keys, values] = [this.keys[index]!, this.values[index]!];
    const turned = (head: Vector, norm: ArrayLike<number> | null): Vector =>
      rotate(norm === null ? head : rmsNorm(head, norm, normEpsilon), angles);
    const stored = (x: Vector): Vector => {
      if (pages.format === "f32") return x;
      return pages.format === "bf16" ? bfloat16(x) : quantized(x, 127);
    };
    const heads = split(qkv, headDim);
    keys.push(heads.slice(numHeads, numHeads + numKvHeads).map((head) => stored(turned(head, kNorm))));
    values.push(heads.slice(numHeads + numKvHeads).map(stored));
    return heads.slice(0, numHeads).flatMap((head, i) => {
      // Two roundings for 1 / sqrt(headDim), one for the product. With q8 pages, queries are 15-bit integers.
      const scaled = times(turned(head, qNorm), 1 / Math.sqrt(headDim), 3);
      const query = pages.format === "q8" ? quantized(scaled, 16383) : scaled;
      const shared = Math.floor((i * numKvHeads) / numHeads);
      const ofHead = (all: readonly Vector[]): Vector => all[shared]!;
      return attention(query, keys.map(ofHead), values.map(ofHead), pages);
    });
  }
}

/** Attention of a scaled query: softmax of its products with the keys, and the weighted mean of the values. */
function attention(query: Vector, keys: readonly Vector[], values: readonly Vector[], pages: Pages): Vector {
  const numPages = Math.ceil(keys.length / pages.size);
  const scores = keys.map((key) => dot(query, key, query.length + 2));
  const largest = Math.max(...scores.map(({ value }) => value));
  const weights = scores.map(({ value, deviation }) => {
    const weight = Math.exp(value - largest);
    // The deviation of the score as a factor, the rounding of the argument, an exp, and an exp and a product per merge.
    const ofExp = 1.5 * UNIT_ROUNDOFF * Math.sqrt(1 + 2 * numPages);
    const relative = Math.hypot(deviation, (value - largest) * UNIT_ROUNDOFF, ofExp);
    // Weights below e^-87 of the page's largest weight count as zero.
    return { value: weight, deviation: weight * relative + Math.exp(-87) };
  });
  const total = rounded(
    weights.reduce((sum, { value }) => sum + value, 0),
    Math.hypot(...weights.map(({ deviation }) => deviation)),
    keys.length + numPages,
  );
  // With q8 pages, weight times scale is rounded to 1 / 16383 of the page's largest. The error is uniform: 0.29 of a
  // step.
  const terms = weights.map(({ value }, p) => value * Math.max(...values[p]!.map((one) => Math.abs(one.value))));
  const ofCodes = pages.format === "q8" ? (Math.sqrt(keys.length) * 0.29 * Math.max(...terms)) / 16383 : 0;
  return query.map((_, d) => {
    const column = values.map((all) => all[d]!);
    const sum = dot(weights, column, keys.length + 3 * numPages + 4);
    const value = sum.value / total.value;
    const inherited = Math.hypot(sum.deviation, ofCodes, value * total.deviation) / total.value;
    return rounded(value, inherited, 2);
  });
}

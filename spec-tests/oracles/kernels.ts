/**
 * Reference implementation of the kernels in float64 TypeScript, written from the specification without regard to
 * speed: full sorts, plain sums, Math.exp. Only tests use it.
 */

import type { SampleRequest, SampledToken } from "../../kernels/kernels.js";
import {
  type FloatMatrix,
  QUANTIZATION_BLOCK,
  type QuantizedFormat,
  type QuantizedMatrix,
  dequantize,
} from "../../kernels/index.js";

/**
 * A product and, for each element, the sum of the magnitudes of its terms, to which rounding errors are proportional.
 */
export interface ReferenceProduct {
  /** [numRows, rows] */
  readonly values: Float64Array;
  /** [numRows, rows] */
  readonly magnitudes: Float64Array;
}

/**
 * Computes the input times the transposed matrix.
 * @param input f32 [numRows, cols], which is quantized first if the weights are quantized
 */
export function referenceMatmul(
  matrix: QuantizedMatrix | FloatMatrix,
  input: Float32Array,
  numRows: number,
): ReferenceProduct {
  const { rows, cols } = matrix;
  const weights = matrix.format === "f32" ? matrix.values : dequantize(matrix);
  const values = new Float64Array(numRows * rows);
  const magnitudes = new Float64Array(numRows * rows);
  for (let n = 0; n < numRows; n++) {
    const row = input.subarray(n * cols, (n + 1) * cols);
    const activations = matrix.format === "f32" ? row : quantizedActivations(row, matrix.format);
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < cols; c++) {
        const term = weights[r * cols + c]! * activations[c]!;
        values[n * rows + r]! += term;
        magnitudes[n * rows + r]! += Math.abs(term);
      }
    }
  }
  return { values, magnitudes };
}

/** Largest integer of a quantized activation, for each format of the weights. */
export const LARGEST_ACTIVATION = { q8: 4095, q4: 127 } as const;

/** Quantizes and dequantizes activations in blocks of 32, with the same f32 operations as the kernels. */
export function quantizedActivations(row: Float32Array, format: QuantizedFormat): Float64Array {
  const largest = LARGEST_ACTIVATION[format];
  const result = new Float64Array(row.length);
  for (let first = 0; first < row.length; first += QUANTIZATION_BLOCK) {
    const block = row.subarray(first, first + QUANTIZATION_BLOCK);
    const amax = Math.max(...block.map(Math.abs));
    if (amax < Math.fround(1e-30)) continue;
    const inverse = Math.fround(largest / amax);
    const scale = Math.fround(amax / largest);
    block.forEach((value, i) => (result[first + i] = roundHalfEven(Math.fround(value * inverse)) * scale));
  }
  return result;
}

function roundHalfEven(value: number): number {
  const rounded = Math.round(value);
  return Math.abs(value % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

/** A draw, with the tokens that were kept and the distance to the closest decision boundary. */
export interface ReferenceSample extends SampledToken {
  /** Tokens that are left after step 7, in descending order. Only one for greedy sampling. */
  readonly kept: readonly number[];
  /** Weights of the kept tokens, relative to the largest weight. */
  readonly weights: readonly number[];
  /** Smallest distance from a boundary of steps 6 to 8, relative to the quantity compared. */
  readonly margin: number;
}

/** Draws one token by sections 3 and 4 of the specification. Throws if no token can be drawn. */
export function referenceSample(logits: Float32Array, request: SampleRequest): ReferenceSample {
  if (logits.some(Number.isNaN) || logits.includes(Infinity) || !logits.some(Number.isFinite)) {
    throw new Error("No distribution in this row of logits");
  }
  const z = adjusted(logits, request);
  let kept = descending(z);
  if (kept.length === 0) throw new Error("The grammar leaves no token");
  const answer = (tokenId: number, left: readonly number[]) => {
    const { topLogprobs: count, logprobsMode, temperature } = request;
    if (count === null) return { tokenId, logprob: null, topLogprobs: [] };
    if (logprobsMode === "raw") return { tokenId, ...referenceLogprobs(logits, descending(logits), 1, tokenId, count) };
    return { tokenId, ...referenceLogprobs(z, left, temperature === 0 ? 1 : temperature, tokenId, count) };
  };
  if (request.temperature === 0) return { ...answer(kept[0]!, kept), kept: [kept[0]!], weights: [1], margin: 1 };

  const largest = z[kept[0]!]!;
  let margin = 1;
  const weightOf = (tokenId: number) => Math.exp((z[tokenId]! - largest) / request.temperature);
  kept = kept.slice(0, request.topK ?? kept.length);
  let weights = kept.map(weightOf);

  if (request.topP !== null && request.topP < 1) {
    const target = request.topP * sum(weights);
    const cumulative = runningSums(weights);
    if (request.topP > 0) margin = Math.min(margin, distance(cumulative, target));
    const end = cumulative.findIndex((weight) => weight >= target);
    weights = weights.slice(0, end < 0 ? weights.length : end + 1);
  }
  if (request.minP !== null && request.minP > 0) {
    margin = Math.min(margin, distance(weights.slice(1), request.minP));
    const end = weights.findIndex((weight) => weight < request.minP!);
    weights = weights.slice(0, end < 0 ? weights.length : end);
  }
  kept = kept.slice(0, weights.length);

  const threshold = request.uniform * sum(weights);
  const cumulative = runningSums(weights);
  if (request.uniform > 0) margin = Math.min(margin, distance(cumulative, threshold));
  const drawn = cumulative.findIndex((weight) => weight > threshold);
  return { ...answer(kept[drawn < 0 ? kept.length - 1 : drawn]!, kept), kept, weights, margin };
}

/** Computes the log-softmax over the tokens of `order` (descending), for one token and for the `count` largest. */
function referenceLogprobs(
  z: Float32Array,
  order: readonly number[],
  temperature: number,
  tokenId: number,
  count: number,
) {
  const distanceOf = (tokenId: number) => (z[tokenId]! - z[order[0]!]!) / temperature;
  const logTotal = Math.log(sum(order.map((tokenId) => Math.exp(distanceOf(tokenId)))));
  const logprobOf = (tokenId: number) => Math.fround(Math.max(distanceOf(tokenId) - logTotal, -F32_MAX)) + 0;
  return {
    logprob: logprobOf(tokenId),
    topLogprobs: order.slice(0, count).map((tokenId) => ({ tokenId, logprob: logprobOf(tokenId) })),
  };
}

/** The largest finite f32. */
const F32_MAX = (2 - 2 ** -23) * 2 ** 127;

/** Applies steps 1 to 3. Removed tokens become -Infinity. */
function adjusted(logits: Float32Array, request: SampleRequest): Float32Array {
  const z = logits.slice();
  const { adjustments, allowed } = request;
  for (let i = 0; i < (adjustments?.length ?? 0); i++) {
    const { tokenIds, biases, counts, seen } = adjustments!;
    const tokenId = tokenIds[i]!;
    let value = z[tokenId]! + biases[i]!;
    if (seen[i] === 1) value = value > 0 ? value / request.repetitionPenalty : value * request.repetitionPenalty;
    value -= request.frequencyPenalty * counts[i]!;
    value -= request.presencePenalty * (counts[i]! > 0 ? 1 : 0);
    z[tokenId] = Math.min(F32_MAX, Math.max(-F32_MAX, value));
  }
  if (allowed !== null) {
    z.forEach((_, tokenId) => {
      if (((allowed[tokenId >> 5]! >>> (tokenId & 31)) & 1) === 0) z[tokenId] = -Infinity;
    });
  }
  return z;
}

/** Returns the tokens that are not removed, in descending order; the lower id is first on a tie. */
function descending(z: Float32Array): number[] {
  const tokenIds = Array.from(z.keys()).filter((tokenId) => z[tokenId]! > -Infinity);
  return tokenIds.sort((a, b) => z[b]! - z[a]! || a - b);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function runningSums(values: readonly number[]): number[] {
  let total = 0;
  return values.map((value) => (total += value));
}

/** Returns the smallest relative distance of a value from a threshold, or 1 if there are no values. */
function distance(values: readonly number[], threshold: number): number {
  return values.reduce((least, value) => Math.min(least, Math.abs(value - threshold) / threshold), 1);
}

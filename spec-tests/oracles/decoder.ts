/**
 * The decoder in float64 TypeScript, straight from the formulas, every number with the deviation to expect
 * of an f32 computation: the oracle of the decoder's tests. A deviation is a standard deviation, derived
 * by the rules of error propagation: roundings are independent and off by at most u = 2^-24 of what is
 * rounded, so that n additions of terms t are off by sqrt(n) u sum|t|; a function passes its inputs'
 * deviations on by its derivatives, added as squares. Where a value is quantised and lies so near the
 * middle between two integers that its deviation can push it over, it may be off by a whole step.
 * (Worst-case deviations, added as magnitudes, grow eightfold with each product and say nothing after one layer.)
 */

import {
  type FloatMatrix,
  QUANTIZATION_BLOCK,
  type QuantizedFormat,
  type QuantizedMatrix,
  dequantize,
} from "../../kernels/index.js";
import { LARGEST_ACTIVATION } from "./kernels.js";

export interface Estimate {
  readonly values: Float64Array;
  /** The standard deviation of an f32 result from the value. */
  readonly deviations: Float64Array;
}

export interface ReferenceLayer {
  readonly inputNorm: Float32Array;
  readonly qkv: QuantizedMatrix | FloatMatrix;
  readonly qkvBias: Float32Array | null;
  readonly qNorm: Float32Array | null;
  readonly kNorm: Float32Array | null;
  readonly output: QuantizedMatrix | FloatMatrix;
  readonly outputBias: Float32Array | null;
  readonly attentionNorm: Float32Array;
  readonly gateUp: QuantizedMatrix | FloatMatrix;
  readonly down: QuantizedMatrix | FloatMatrix;
}

export interface ReferenceSpec {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly normEpsilon: number;
  readonly layers: readonly ReferenceLayer[];
  readonly finalNorm: Float32Array;
  readonly embedding: QuantizedMatrix | FloatMatrix;
  readonly kvFormat: "f32" | "q8";
  readonly pageSize: number;
}

/** Unit roundoff of f32. */
const U = 2 ** -24;

/**
 * Hidden states of consecutive tokens of one sequence from position 0.
 * @param cos, sin f32 [tokens, headDim / 2]
 */
export function referenceDecoder(
  spec: ReferenceSpec,
  tokenIds: readonly number[],
  cos: Float32Array,
  sin: Float32Array,
): Estimate[] {
  const embedding = weightsOf(spec.embedding);
  const { hiddenSize } = spec;
  let rows = tokenIds.map((id) => exactly(embedding.subarray(id * hiddenSize, (id + 1) * hiddenSize)));
  for (const layer of spec.layers) rows = runLayer(spec, layer, rows, cos, sin);
  return rows.map((row) => rmsNorm(row, spec.finalNorm, spec.normEpsilon));
}

function runLayer(
  spec: ReferenceSpec,
  layer: ReferenceLayer,
  rows: Estimate[],
  cos: Float32Array,
  sin: Float32Array,
): Estimate[] {
  const { numHeads, numKvHeads, headDim, normEpsilon } = spec;
  const heads = rows.map((row, position) => {
    const qkv = addVector(product(layer.qkv, rmsNorm(row, layer.inputNorm, normEpsilon)), layer.qkvBias);
    const angles = [cos, sin].map((table) =>
      table.subarray((position * headDim) / 2, ((position + 1) * headDim) / 2),
    ) as [Float32Array, Float32Array];
    return Array.from({ length: numHeads + 2 * numKvHeads }, (_, index) => {
      const head = slice(qkv, index * headDim, headDim);
      if (index >= numHeads + numKvHeads) return stored(spec, head);
      const isQuery = index < numHeads;
      const norm = isQuery ? layer.qNorm : layer.kNorm;
      const rotated = rotate(norm === null ? head : rmsNorm(head, norm, normEpsilon), ...angles);
      // Two roundings for 1 / sqrt(headDim), one for the product.
      return isQuery ? roundTo15Bits(spec, times(rotated, 1 / Math.sqrt(headDim), 3)) : stored(spec, rotated);
    });
  });
  return rows.map((row, position) => {
    const attended = Array.from({ length: numHeads }, (_, head) => {
      const kvHead = numHeads + Math.floor((head * numKvHeads) / numHeads);
      const seen = heads.slice(0, position + 1);
      return attention(
        spec,
        heads[position]![head]!,
        seen.map((all) => all[kvHead]!),
        seen.map((all) => all[kvHead + numKvHeads]!),
      );
    });
    const output = addVector(product(layer.output, concatenate(attended)), layer.outputBias);
    const middle = add(row, output);
    const gateUp = product(layer.gateUp, rmsNorm(middle, layer.attentionNorm, normEpsilon));
    const { intermediateSize } = spec;
    const activated = swiglu(slice(gateUp, 0, intermediateSize), slice(gateUp, intermediateSize, intermediateSize));
    return add(middle, product(layer.down, activated));
  });
}

function exactly(values: ArrayLike<number>): Estimate {
  return { values: Float64Array.from(values), deviations: new Float64Array(values.length) };
}

function slice({ values, deviations }: Estimate, first: number, count: number): Estimate {
  return { values: values.subarray(first, first + count), deviations: deviations.subarray(first, first + count) };
}

function concatenate(parts: readonly Estimate[]): Estimate {
  return {
    values: Float64Array.from(parts.flatMap(({ values }) => Array.from(values))),
    deviations: Float64Array.from(parts.flatMap(({ deviations }) => Array.from(deviations))),
  };
}

/** a + b, elementwise. */
function add(a: Estimate, b: Estimate): Estimate {
  const values = a.values.map((value, i) => value + b.values[i]!);
  return {
    values,
    deviations: values.map((value, i) => rounding(value, Math.hypot(a.deviations[i]!, b.deviations[i]!), 1)),
  };
}

function addVector(a: Estimate, b: Float32Array | null): Estimate {
  return b === null ? a : add(a, exactly(b));
}

/** a * factor, after `numRoundings` roundings. */
function times(a: Estimate, factor: number, numRoundings: number): Estimate {
  const values = a.values.map((value) => value * factor);
  return {
    values,
    deviations: values.map((value, i) => rounding(value, a.deviations[i]! * Math.abs(factor), numRoundings)),
  };
}

/** The deviation of a result: what it inherits, and `numRoundings` roundings of numbers of the given magnitude. */
function rounding(magnitude: number, inherited: number, numRoundings: number): number {
  return Math.hypot(inherited, Math.sqrt(numRoundings) * U * magnitude, 2 ** -149);
}

function rmsNorm(row: Estimate, weight: Float32Array, epsilon: number): Estimate {
  const n = row.values.length;
  const mean = row.values.reduce((sum, value) => sum + value * value, 0) / n + Math.fround(epsilon);
  const inherited = Math.hypot(...row.values.map((value, i) => 2 * value * row.deviations[i]!)) / n;
  // Squares and their sum in four lanes, a division, the epsilon.
  const meanDeviation = rounding(mean, inherited, n / 4 + 6);
  const scale = 1 / Math.sqrt(mean);
  // A root and a division.
  const scaleDeviation = rounding(scale, (scale * meanDeviation) / mean / 2, 2);
  const values = row.values.map((value, i) => value * scale * weight[i]!);
  const deviations = values.map((value, i) => {
    const own = Math.hypot(row.deviations[i]! * scale, row.values[i]! * scaleDeviation);
    return rounding(value, Math.abs(weight[i]!) * own, 2);
  });
  return { values, deviations };
}

function rotate(head: Estimate, cos: Float32Array, sin: Float32Array): Estimate {
  const half = head.values.length / 2;
  const values = new Float64Array(2 * half);
  const deviations = new Float64Array(2 * half);
  for (let i = 0; i < half; i++) {
    const [a, b, c, s] = [head.values[i]!, head.values[i + half]!, cos[i]!, sin[i]!];
    const [da, db] = [head.deviations[i]!, head.deviations[i + half]!];
    values[i] = a * c - b * s;
    values[i + half] = b * c + a * s;
    deviations[i] = rounding(Math.abs(a * c) + Math.abs(b * s), Math.hypot(da * c, db * s), 2);
    deviations[i + half] = rounding(Math.abs(b * c) + Math.abs(a * s), Math.hypot(db * c, da * s), 2);
  }
  return { values, deviations };
}

/** input x matrix, transposed; quantised in blocks first where the weights are. */
function product(matrix: QuantizedMatrix | FloatMatrix, input: Estimate): Estimate {
  const { rows, cols } = matrix;
  const weights = weightsOf(matrix);
  const isFloat = matrix.format === "f32";
  const activations = matrix.format === "f32" ? input : quantizeBlocks(input, matrix.format);
  // Additions in one lane and at the end, and what a term itself was rounded.
  const numRoundings = isFloat ? Math.ceil(cols / 4) + 3 : Math.ceil(cols / QUANTIZATION_BLOCK) + 4;
  const values = new Float64Array(rows);
  const deviations = new Float64Array(rows);
  for (let r = 0; r < rows; r++) {
    let magnitude = 0;
    let inherited = 0;
    for (let c = 0; c < cols; c++) {
      const weight = weights[r * cols + c]!;
      values[r]! += weight * activations.values[c]!;
      magnitude += Math.abs(weight * activations.values[c]!);
      inherited += (weight * activations.deviations[c]!) ** 2;
    }
    deviations[r] = rounding(magnitude, Math.sqrt(inherited), numRoundings);
  }
  return { values, deviations };
}

function weightsOf(matrix: QuantizedMatrix | FloatMatrix): Float32Array {
  if (matrix.format === "f32") return matrix.values;
  let weights = DEQUANTIZED.get(matrix);
  if (weights === undefined) DEQUANTIZED.set(matrix, (weights = dequantize(matrix)));
  return weights;
}
const DEQUANTIZED = new WeakMap<QuantizedMatrix, Float32Array>();

function quantizeBlocks(input: Estimate, format: QuantizedFormat): Estimate {
  const parts: Estimate[] = [];
  for (let first = 0; first < input.values.length; first += QUANTIZATION_BLOCK) {
    const count = Math.min(QUANTIZATION_BLOCK, input.values.length - first);
    parts.push(quantizeVector(slice(input, first, count), LARGEST_ACTIVATION[format]));
  }
  return concatenate(parts);
}

/** How many deviations the tests allow, and a value near a middle is taken to move. */
export const DEVIATIONS_MAX = 3;

/** Values rounded to multiples of amax / levels. */
function quantizeVector({ values, deviations }: Estimate, levels: number): Estimate {
  const largest = values.reduce((index, value, i) => (Math.abs(value) > Math.abs(values[index]!) ? i : index), 0);
  const amax = Math.abs(values[largest]!);
  if (amax === 0) return { values: values.slice(), deviations: deviations.slice() };
  const scale = amax / levels;
  const scaleDeviation = rounding(scale, deviations[largest]! / levels, 1);
  const codes = values.map((value) => Math.round(value / scale));
  return {
    values: codes.map((code) => code * scale),
    deviations: codes.map((code, i) => {
      const exact = values[i]! / scale;
      // What the kernels round is off by the value's and the scale's deviations and two roundings of its own.
      const off = rounding(Math.abs(exact), Math.hypot(deviations[i]!, exact * scaleDeviation) / scale, 2);
      const toMiddle = Math.abs(exact - Math.floor(exact) - 0.5);
      const steps = i !== largest && toMiddle <= DEVIATIONS_MAX * off ? Math.max(1, off) : 0;
      return Math.hypot(steps * scale, code * scaleDeviation);
    }),
  };
}

/** Keys and values as pages keep them. */
function stored(spec: ReferenceSpec, head: Estimate): Estimate {
  return spec.kvFormat === "q8" ? quantizeVector(head, 127) : head;
}

/** Queries as attention over q8 pages reads them. */
function roundTo15Bits(spec: ReferenceSpec, query: Estimate): Estimate {
  return spec.kvFormat === "q8" ? quantizeVector(query, 16383) : query;
}

function attention(
  spec: ReferenceSpec,
  query: Estimate,
  keys: readonly Estimate[],
  values: readonly Estimate[],
): Estimate {
  const { headDim, kvFormat, pageSize } = spec;
  const numPages = Math.ceil(keys.length / pageSize);
  const scores = keys.map((key) => dot(query, key, headDim));
  const largest = Math.max(...scores.map(({ value }) => value));
  const weights = scores.map(({ value, deviation }) => {
    const weight = Math.exp(value - largest);
    // The score's deviation as a factor; the argument's rounding; an exp, and for each merge one more and a product.
    const relative = Math.hypot(deviation, Math.abs(value - largest) * U, 1.5 * U * Math.sqrt(1 + 2 * numPages));
    // Weights below e^-87 of the page's largest count as zero.
    return { value: weight, deviation: weight * relative + Math.exp(-87) };
  });
  const total = weights.reduce((sum, { value }) => sum + value, 0);
  const totalDeviation = rounding(
    total,
    Math.hypot(...weights.map(({ deviation }) => deviation)),
    keys.length + numPages,
  );
  // With q8 pages, weights times scales are rounded to 1 / 16383 of the page's largest: uniformly, so 0.29 of a step.
  const codeDeviation = kvFormat === "q8" ? 0.29 / 16383 : 0;
  const largestTerm = Math.max(...weights.map(({ value }, p) => value * Math.max(...values[p]!.values.map(Math.abs))));
  const result = new Float64Array(headDim);
  const deviations = new Float64Array(headDim);
  for (let d = 0; d < headDim; d++) {
    let magnitude = 0;
    let inherited = keys.length * (codeDeviation * largestTerm) ** 2;
    weights.forEach((weight, p) => {
      const value = values[p]!.values[d]!;
      result[d]! += weight.value * value;
      magnitude += Math.abs(weight.value * value);
      inherited += (weight.deviation * value) ** 2 + (weight.value * values[p]!.deviations[d]!) ** 2;
    });
    result[d]! /= total;
    const own = rounding(magnitude, Math.sqrt(inherited), keys.length + 3 * numPages + 4) / total;
    deviations[d] = rounding(Math.abs(result[d]!), Math.hypot(own, (result[d]! * totalDeviation) / total), 2);
  }
  return { values: result, deviations };
}

function dot(a: Estimate, b: Estimate, length: number): { value: number; deviation: number } {
  let value = 0;
  let magnitude = 0;
  let inherited = 0;
  for (let i = 0; i < length; i++) {
    value += a.values[i]! * b.values[i]!;
    magnitude += Math.abs(a.values[i]! * b.values[i]!);
    inherited += (a.deviations[i]! * b.values[i]!) ** 2 + (a.values[i]! * b.deviations[i]!) ** 2;
  }
  return { value, deviation: rounding(magnitude, Math.sqrt(inherited), length + 2) };
}

function swiglu(gate: Estimate, up: Estimate): Estimate {
  const values = new Float64Array(gate.values.length);
  const deviations = values.slice();
  gate.values.forEach((x, i) => {
    const activated = x / (1 + Math.exp(-x));
    // |d silu / dx| <= 1.1; product, sum, division and an exp of 1.5 u.
    const own = rounding(Math.abs(activated), 1.1 * gate.deviations[i]!, 5);
    values[i] = activated * up.values[i]!;
    deviations[i] = rounding(Math.abs(values[i]!), Math.hypot(own * up.values[i]!, activated * up.deviations[i]!), 1);
  });
  return { values, deviations };
}

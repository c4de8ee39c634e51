/**
 * Arithmetic for forward.ts: float64 numbers with the expected deviation of an f32 computation. A deviation is a
 * standard deviation, derived by error propagation. Roundings are independent, with an error of at most u = 2^-24 times
 * the rounded value, so n additions of terms t have a deviation of sqrt(n) u sum|t|. A function multiplies the
 * deviations of its inputs by its derivatives and adds them as squares. If a quantized value is so close to the middle
 * between two integers that its deviation can change the rounding, its deviation is a whole step. (Worst-case errors,
 * added as magnitudes, grow eightfold with each product and are useless after one layer.)
 */

import assert from "node:assert/strict";

export interface Estimate {
  readonly value: number;
  /** Standard deviation of an f32 result from the value. */
  readonly deviation: number;
}

export type Vector = readonly Estimate[];

/** Unit roundoff of f32. */
export const UNIT_ROUNDOFF = 2 ** -24;

/** Number of deviations that tests allow, and by which a value near a rounding boundary is assumed to move. */
export const MAX_DEVIATIONS = 3;

export const exactly = (values: ArrayLike<number>): Vector => Array.from(values, (value) => ({ value, deviation: 0 }));

export const valuesOf = (x: Vector): Float64Array => Float64Array.from(x, ({ value }) => value);

/** Splits a vector into parts of length `width`. The last part may be shorter. */
export const split = (x: Vector, width: number): Vector[] =>
  Array.from({ length: Math.ceil(x.length / width) }, (_, i) => x.slice(i * width, (i + 1) * width));

/** Combines the inherited deviation of a result with `numRoundings` roundings of numbers of the given magnitude. */
export function rounded(value: number, inherited: number, numRoundings: number, magnitude = value): Estimate {
  return { value, deviation: Math.hypot(inherited, Math.sqrt(numRoundings) * UNIT_ROUNDOFF * magnitude, 2 ** -149) };
}

/** Computes a + b, elementwise. */
export function add(a: Vector, b: Vector): Vector {
  return a.map((x, i) => rounded(x.value + b[i]!.value, Math.hypot(x.deviation, b[i]!.deviation), 1));
}

/** Computes x * factor with `numRoundings` roundings. */
export function times(x: Vector, factor: number, numRoundings: number): Vector {
  return x.map(({ value, deviation }) => rounded(value * factor, deviation * factor, numRoundings));
}

/** The sum of a * b. */
export function dot(a: Vector, b: Vector, numRoundings: number): Estimate {
  let [value, magnitude, variance] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i]!, b[i]!];
    value += x.value * y.value;
    magnitude += Math.abs(x.value * y.value);
    variance += (x.deviation * y.value) ** 2 + (x.value * y.deviation) ** 2;
  }
  return rounded(value, Math.sqrt(variance), numRoundings, magnitude);
}

/**
 * @param matrix [rows, cols], exact
 * @param x [cols]
 * @param numRoundings roundings of each sum: of the terms, of the additions in one of the four f32 lanes, and of the
 * final additions
 * @returns [rows]
 */
export function product(matrix: ArrayLike<number>, x: Vector, numRoundings = Math.ceil(x.length / 4) + 3): Vector {
  const rows = matrix.length / x.length;
  assert(Number.isInteger(rows), `A matrix of ${matrix.length} weights cannot have rows of ${x.length}`);
  return Array.from({ length: rows }, (_, row) => {
    let [value, magnitude, variance] = [0, 0, 0];
    for (let col = 0; col < x.length; col++) {
      const weight = matrix[row * x.length + col]!;
      value += weight * x[col]!.value;
      magnitude += Math.abs(weight * x[col]!.value);
      variance += (weight * x[col]!.deviation) ** 2;
    }
    return rounded(value, Math.sqrt(variance), numRoundings, magnitude);
  });
}

export function rmsNorm(x: Vector, gain: ArrayLike<number>, epsilon: number): Vector {
  const meanSquare = x.reduce((sum, { value }) => sum + value * value, 0) / x.length;
  const inherited = Math.hypot(...x.map(({ value, deviation }) => 2 * value * deviation)) / x.length;
  // Roundings: squares and their sum in four lanes, a division, the epsilon.
  const mean = rounded(meanSquare + epsilon, inherited, x.length / 4 + 6);
  const factor = 1 / Math.sqrt(mean.value);
  // Roundings: a square root and a division.
  const scale = rounded(factor, (factor * mean.deviation) / mean.value / 2, 2);
  return x.map(({ value, deviation }, i) => {
    const own = Math.hypot(deviation * scale.value, value * scale.deviation);
    return rounded(value * scale.value * gain[i]!, own * gain[i]!, 2);
  });
}

/** Cosines and sines of the rotary angles at one position, [headDim / 2] each. */
export interface Rotation {
  readonly cos: ArrayLike<number>;
  readonly sin: ArrayLike<number>;
}

/** Rotates the pairs (i, i + headDim / 2). */
export function rotate(head: Vector, { cos, sin }: Rotation): Vector {
  const half = head.length / 2;
  return head.map((one, i) => {
    const [pair, other, sign] = i < half ? [i, head[i + half]!, -1] : [i - half, head[i - half]!, 1];
    const terms = [one.value * cos[pair]!, sign * other.value * sin[pair]!] as const;
    const inherited = Math.hypot(one.deviation * cos[pair]!, other.deviation * sin[pair]!);
    return rounded(terms[0] + terms[1], inherited, 2, Math.abs(terms[0]) + Math.abs(terms[1]));
  });
}

/** Computes silu(gate) * up, elementwise. */
export function swiglu(gate: Vector, up: Vector): Vector {
  return gate.map(({ value: x, deviation }, i) => {
    // |d silu / dx| <= 1.1. Roundings: product, sum, division, and an exp with an error of 1.5 u.
    const { value: silu, deviation: own } = rounded(x / (1 + Math.exp(-x)), 1.1 * deviation, 5);
    return rounded(silu * up[i]!.value, Math.hypot(own * up[i]!.value, silu * up[i]!.deviation), 1);
  });
}

/** Rounds values to multiples of the largest magnitude / levels. */
export function quantized(x: Vector, levels: number): Vector {
  const largest = x.reduce((a, b) => (Math.abs(b.value) > Math.abs(a.value) ? b : a));
  if (largest.value === 0) return x;
  const scale = rounded(Math.abs(largest.value) / levels, largest.deviation / levels, 1);
  return x.map((one) => {
    const exact = one.value / scale.value;
    const code = Math.round(exact);
    // The kernels round a quotient with the deviations of the value and the scale and two more roundings.
    const off = rounded(exact, Math.hypot(one.deviation, exact * scale.deviation) / scale.value, 2).deviation;
    const steps = one === largest ? 0 : stepsOff(exact, off);
    return { value: code * scale.value, deviation: Math.hypot(steps * scale.value, code * scale.deviation) };
  });
}

/** Rounds values to 8 significant bits. */
export function bfloat16(x: Vector): Vector {
  return x.map(({ value, deviation }) => {
    if (value === 0) return { value, deviation };
    const step = 2 ** (Math.floor(Math.log2(Math.abs(value))) - 7);
    const exact = value / step;
    return { value: Math.round(exact) * step, deviation: stepsOff(exact, deviation / step) * step };
  });
}

/** Returns the deviation in steps after rounding to integers: at least one if the deviation can change the rounding. */
function stepsOff(exact: number, deviation: number): number {
  const toMiddle = Math.abs(exact - Math.floor(exact) - 0.5);
  return toMiddle <= MAX_DEVIATIONS * deviation ? Math.max(1, deviation) : 0;
}

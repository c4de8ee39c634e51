/**
 * Numbers in float64 with the deviation to expect of an f32 computation: the arithmetic of forward.ts. A deviation is a
 * standard deviation, derived by the rules of error propagation: roundings are independent and off by at most u = 2^-24 of
 * what is rounded, so that n additions of terms t are off by sqrt(n) u sum|t|; a function passes its inputs' deviations on
 * by its derivatives, added as squares. Where a value is quantized and lies so near the middle between two integers that
 * its deviation can push it over, it may be off by a whole step. (Worst-case deviations, added as magnitudes, grow
 * eightfold with each product and say nothing after one layer.)
 */

import assert from "node:assert/strict";

export interface Estimate {
  readonly value: number;
  /** The standard deviation of an f32 result from the value. */
  readonly deviation: number;
}

export type Vector = readonly Estimate[];

/** Unit roundoff of f32. */
export const UNIT_ROUNDOFF = 2 ** -24;

/** How many deviations the tests allow, and a value near a middle is taken to move. */
export const MAX_DEVIATIONS = 3;

export const exactly = (values: ArrayLike<number>): Vector => Array.from(values, (value) => ({ value, deviation: 0 }));

export const valuesOf = (x: Vector): Float64Array => Float64Array.from(x, ({ value }) => value);

/** Parts of `width`; the last one may be shorter. */
export const split = (x: Vector, width: number): Vector[] =>
  Array.from({ length: Math.ceil(x.length / width) }, (_, i) => x.slice(i * width, (i + 1) * width));

/** A result, the deviation that it inherits, and `numRoundings` roundings of numbers of the given magnitude. */
export function rounded(value: number, inherited: number, numRoundings: number, magnitude = value): Estimate {
  return { value, deviation: Math.hypot(inherited, Math.sqrt(numRoundings) * UNIT_ROUNDOFF * magnitude, 2 ** -149) };
}

/** a + b, elementwise. */
export function add(a: Vector, b: Vector): Vector {
  return a.map((x, i) => rounded(x.value + b[i]!.value, Math.hypot(x.deviation, b[i]!.deviation), 1));
}

/** x * factor, after `numRoundings` roundings. */
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
 * @param numRoundings of each sum: additions in one lane and at the end, and what a term itself was rounded; f32 has four lanes
 * @returns [rows]
 */
export function product(matrix: ArrayLike<number>, x: Vector, numRoundings = Math.ceil(x.length / 4) + 3): Vector {
  const rows = matrix.length / x.length;
  assert(Number.isInteger(rows), `A matrix of ${matrix.length} weights has no rows of ${x.length}`);
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
  // Squares and their sum in four lanes, a division, the epsilon.
  const mean = rounded(meanSquare + epsilon, inherited, x.length / 4 + 6);
  const factor = 1 / Math.sqrt(mean.value);
  // A root and a division.
  const scale = rounded(factor, (factor * mean.deviation) / mean.value / 2, 2);
  return x.map(({ value, deviation }, i) => {
    const own = Math.hypot(deviation * scale.value, value * scale.deviation);
    return rounded(value * scale.value * gain[i]!, own * gain[i]!, 2);
  });
}

/** Cosines and sines of one position, [headDim / 2] each. */
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

/** silu(gate) * up, elementwise. */
export function swiglu(gate: Vector, up: Vector): Vector {
  return gate.map(({ value: x, deviation }, i) => {
    // |d silu / dx| <= 1.1; product, sum, division and an exp of 1.5 u.
    const { value: silu, deviation: own } = rounded(x / (1 + Math.exp(-x)), 1.1 * deviation, 5);
    return rounded(silu * up[i]!.value, Math.hypot(own * up[i]!.value, silu * up[i]!.deviation), 1);
  });
}

/** Values rounded to multiples of their largest / levels. */
export function quantized(x: Vector, levels: number): Vector {
  const largest = x.reduce((a, b) => (Math.abs(b.value) > Math.abs(a.value) ? b : a));
  if (largest.value === 0) return x;
  const scale = rounded(Math.abs(largest.value) / levels, largest.deviation / levels, 1);
  return x.map((one) => {
    const exact = one.value / scale.value;
    const code = Math.round(exact);
    // What the kernels round is off by the value's and the scale's deviations and two roundings of its own.
    const off = rounded(exact, Math.hypot(one.deviation, exact * scale.deviation) / scale.value, 2).deviation;
    const toMiddle = Math.abs(exact - Math.floor(exact) - 0.5);
    const steps = one !== largest && toMiddle <= MAX_DEVIATIONS * off ? Math.max(1, off) : 0;
    return { value: code * scale.value, deviation: Math.hypot(steps * scale.value, code * scale.deviation) };
  });
}

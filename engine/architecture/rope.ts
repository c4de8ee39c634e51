/**
 * Rotary positions: the rotation angles of every pair of a head's dimensions. Pairs are (i, i + head_dim / 2), the
 * half-split order of Hugging Face weights. All arithmetic is float64, uses only + - * /, and is rounded to float32
 * once, so every machine and every JavaScript engine rotates by the same bits (contract, section 10).
 */

import { assert } from "../errors.js";
import { LIMITS } from "../limits.js";
import type { ModelConfig, RopeScaling } from "./config.js";

export class RotaryEmbedding {
  /** float64 [head_dim / 2], radians per position. */
  readonly frequencies: Float64Array;

  constructor(config: Pick<ModelConfig, "headDim" | "ropeTheta" | "ropeScaling">) {
    const { headDim, ropeTheta, ropeScaling } = config;
    this.frequencies = Float64Array.from({ length: headDim / 2 }, (_, pair) =>
      scaled(power(ropeTheta, (-2 * pair) / headDim), ropeScaling),
    );
  }

  /**
   * Writes the cosines and sines of one position.
   *
   * @param position from 0, below 2^21
   * @param cos f32 [head_dim / 2]
   * @param sin f32 [head_dim / 2]
   */
  fill(position: number, cos: Float32Array, sin: Float32Array): void {
    const { frequencies } = this;
    assert(cos.length === frequencies.length && sin.length === frequencies.length, "cos and sin are [head_dim / 2]");
    assert(Number.isInteger(position) && position >= 0 && position < LIMITS.maxContextLength, "position out of range");
    for (let pair = 0; pair < frequencies.length; pair++) {
      const angle = position * frequencies[pair]!;
      const { cosine, sine } = cosineAndSine(angle);
      cos[pair] = cosine;
      sin[pair] = sine;
    }
  }
}

/**
 * Applies the scaling to a frequency. llama3: frequencies whose wavelength exceeds
 * `originalContextLength / lowFreqFactor` are divided by `factor`, those with a wavelength below
 * `originalContextLength / highFreqFactor` are kept, and those in between are blended linearly.
 */
function scaled(frequency: number, scaling: RopeScaling): number {
  switch (scaling.type) {
    case "none":
      return frequency;
    case "linear":
      return frequency / scaling.factor;
    case "llama3": {
      const turns = (scaling.originalContextLength * frequency) / (2 * Math.PI);
      const { factor, lowFreqFactor, highFreqFactor } = scaling;
      const kept = Math.min(1, Math.max(0, (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor)));
      return kept * frequency + ((1 - kept) * frequency) / factor;
    }
  }
}

/** Computes `base` to the power `exponent`, for a positive base and a result well inside float64's range. */
function power(base: number, exponent: number): number {
  return exponential(exponent * logarithm(base));
}

/** Natural logarithm of a positive number: takes out powers of two, then sums 2 artanh((m - 1) / (m + 1)). */
function logarithm(value: number): number {
  let mantissa = value;
  let exponent = 0;
  for (; mantissa > Math.SQRT2; mantissa /= 2) exponent++;
  for (; mantissa < Math.SQRT1_2; mantissa *= 2) exponent--;
  const ratio = (mantissa - 1) / (mantissa + 1);
  const square = ratio * ratio;
  let sum = 0;
  for (let term = 27; term >= 1; term -= 2) sum = sum * square + 1 / term;
  return exponent * Math.LN2 + 2 * ratio * sum;
}

/** e to the power `value`: takes out whole multiples of ln 2, then sums the Taylor series on [-ln 2 / 2, ln 2 / 2]. */
function exponential(value: number): number {
  const twos = Math.round(value / Math.LN2);
  const rest = value - twos * Math.LN2;
  let sum = 1;
  for (let term = 18; term >= 1; term--) sum = 1 + (sum * rest) / term;
  for (let step = 0; step < Math.abs(twos); step++) sum = twos > 0 ? sum * 2 : sum / 2;
  return sum;
}

/** pi / 2 as a sum of three parts. The first two have at most 32 bits, so their multiples up to 2^21 are exact. */
const HALF_PI_HIGH = 1.5707963267341256;
const HALF_PI_MIDDLE = 6.077100506303966e-11;
const HALF_PI_LOW = 2.0222662487959506e-21;

/** Takes out whole quarter turns (Cody and Waite), then sums the Taylor series on [-pi / 4, pi / 4]. */
function cosineAndSine(angle: number): { cosine: number; sine: number } {
  const quarters = Math.round(angle / (Math.PI / 2));
  const rest = angle - quarters * HALF_PI_HIGH - quarters * HALF_PI_MIDDLE - quarters * HALF_PI_LOW;
  const square = rest * rest;
  let cosine = 1;
  for (let term = 20; term >= 2; term -= 2) cosine = 1 - (cosine * square) / (term * (term - 1));
  let sine = 1;
  for (let term = 21; term >= 3; term -= 2) sine = 1 - (sine * square) / (term * (term - 1));
  sine *= rest;
  switch (quarters % 4) {
    case 0:
      return { cosine, sine };
    case 1:
      return { cosine: -sine, sine: cosine };
    case 2:
      return { cosine: -cosine, sine: -sine };
    default:
      return { cosine: sine, sine: -cosine };
  }
}

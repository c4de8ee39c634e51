/**
 * Exponential and logarithm in float64, built from + - * / alone so that every machine gives the same bits.
 * Each lane of a __simd function performs exactly the operations of the scalar one.
 */

import { EXP2_TABLE } from "./exp2-table";

/** 1 / ln 2. */
export const LOG2_E: f64 = 1.4426950408889634;
/** ln 2 in two parts: the first has 21 trailing zero bits, so that its product with an exponent is exact. */
const LN2_HIGH: f64 = 0.6931471803691238;
const LN2_LOW: f64 = 1.9082149292705877e-10;

/**
 * Adding and subtracting 1.5 * 2^45 rounds to a multiple of 1 / 128. The low bits of the sum are then the
 * number of 128ths.
 */
const ROUND: f64 = 52776558133248.0;
/** Below this exponent, 2^y is treated as zero. */
const SMALLEST_EXPONENT: f64 = -1021.0;
/**
 * 2^f - 1 = C1 f + C2 f^2 + C3 f^3 + C4 f^4 on -1/256..1/256: interpolation of (2^f - 1) / f at the
 * Chebyshev nodes, with an error below 1.6e-16.
 */
const C1: f64 = 0.6931471805599065;
const C2: f64 = 0.24022650695909623;
const C3: f64 = 0.05550412901021981;
const C4: f64 = 0.009618131458020956;

/**
 * The constants above, repeated for both lanes of a vector. They are in memory because a load is cheaper
 * than the several instructions that a vector constant compiles to.
 */
const VECTORS: usize = memory.data<f64>(
  [ROUND, ROUND, SMALLEST_EXPONENT, SMALLEST_EXPONENT, C1, C1, C2, C2, C3, C3, C4, C4],
  16,
);

/**
 * Returns 2^y for y <= 0: exactly 1 for y = 0, and 0 below -1021 and for NaN. The relative error is below 5e-16,
 * without the rounding error of y itself. With y = n + j / 128 + f: 2^n from the exponent, 2^(j / 128)
 * from a table, 2^f from a polynomial.
 */
export function exp2(y: f64): f64 {
  if (!(y >= SMALLEST_EXPONENT)) return 0;
  const shifted = y + ROUND;
  const f = y - (shifted - ROUND);
  const bits = reinterpret<u64>(shifted);
  const entry = load<u64>(EXP2_TABLE + <usize>(bits & 127) * 8);
  const power = reinterpret<f64>(entry + ((bits >> 7) << 52));
  const square = f * f;
  const rest = f * (C1 + f * C2) + square * f * (C3 + f * C4);
  return power + power * rest;
}

/** Returns exp2 of two lanes, with the same bits as `exp2`. */
// @ts-ignore: decorator
@inline
export function exp2__simd(y: v128): v128 {
  const t = VECTORS;
  const shifted = f64x2.add(y, v128.load(t));
  const f = f64x2.sub(y, f64x2.sub(shifted, v128.load(t)));
  const first = EXP2_TABLE + <usize>(i32x4.extract_lane(shifted, 0) & 127) * 8;
  const second = EXP2_TABLE + <usize>(i32x4.extract_lane(shifted, 2) & 127) * 8;
  const entries = v128.load64_lane(second, v128.load64_zero(first), 1);
  const power = i64x2.add(entries, i64x2.shl(i64x2.shr_u(shifted, 7), 52));
  const square = f64x2.mul(f, f);
  const low = f64x2.mul(f, f64x2.add(v128.load(t, 32), f64x2.mul(f, v128.load(t, 48))));
  const high = f64x2.mul(f64x2.mul(square, f), f64x2.add(v128.load(t, 64), f64x2.mul(f, v128.load(t, 80))));
  const result = f64x2.add(power, f64x2.mul(power, f64x2.add(low, high)));
  return v128.and(result, f64x2.ge(y, v128.load(t, 16)));
}

/**
 * Returns the natural logarithm of a normal x > 0, from the series of artanh; the error is below 2 units in
 * the last place for x >= 1.
 */
export function log(x: f64): f64 {
  const bits = reinterpret<u64>(x);
  let exponent = <i32>(bits >> 52) - 1023;
  let mantissa = reinterpret<f64>((bits & 0x000fffffffffffff) | 0x3ff0000000000000);
  if (mantissa > 1.4142135623730951) {
    mantissa *= 0.5;
    exponent++;
  }
  const s = (mantissa - 1.0) / (mantissa + 1.0);
  const square = s * s;
  let series: f64 = 0;
  for (let k = 25; k >= 3; k -= 2) series = (series + 1.0 / <f64>k) * square;
  return <f64>exponent * LN2_HIGH + (<f64>exponent * LN2_LOW + (2.0 * s + 2.0 * s * series));
}

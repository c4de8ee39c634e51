/**
 * Exponential and logarithm in float64 from + - * / alone, so that every machine gives the same bits.
 * The __simd functions do per lane exactly what the scalar ones do.
 */

/** 1 / ln 2. */
export const LOG2_E: f64 = 1.4426950408889634;
/** ln 2 in two parts: the first has 21 trailing zero bits, so that its product with an exponent is exact. */
const LN2_HIGH: f64 = 0.6931471803691238;
const LN2_LOW: f64 = 1.9082149292705877e-10;

/** Adding and subtracting 1.5 * 2^52 rounds to an integer, which then sits in the low bits of the sum. */
const ROUND: f64 = 6755399441055744.0;
/** Below this 2^y counts as zero. */
const SMALLEST_EXPONENT: f64 = -1021.0;

/**
 * c0..c11 of 2^f on -0.5..0.5, with c0 = 1: interpolation of (2^f - 1) / f at the Chebyshev nodes,
 * relative error below 2e-17. Each is stored twice, for the two lanes of a vector.
 */
const COEFFICIENTS: usize = memory.data<f64>(
  [
    1.0, 1.0,
    0.6931471805599453, 0.6931471805599453,
    0.24022650695910097, 0.24022650695910097,
    0.0555041086648216, 0.0555041086648216,
    0.009618129107606888, 0.009618129107606888,
    0.0013333558146416936, 0.0013333558146416936,
    0.0001540353044173605, 0.0001540353044173605,
    0.00001525273382983612, 0.00001525273382983612,
    0.000001321544258792169, 0.000001321544258792169,
    1.0178062445845774e-7, 1.0178062445845774e-7,
    7.072585949269223e-9, 7.072585949269223e-9,
    4.4549605981865186e-10, 4.4549605981865186e-10,
  ],
  16,
);

/**
 * 2^y for y <= 0; exactly 1 for y = 0, and 0 below -1021.
 * Relative error below 4e-16 (polynomial, rounding); the caller's y carries its own rounding error.
 */
export function exp2(y: f64): f64 {
  if (!(y >= SMALLEST_EXPONENT)) return 0;
  const shifted = y + ROUND;
  const f = y - (shifted - ROUND);
  const g = f * f;
  const t = COEFFICIENTS;
  const even =
    load<f64>(t) +
    g * (load<f64>(t, 32) + g * (load<f64>(t, 64) + g * (load<f64>(t, 96) + g * (load<f64>(t, 128) + g * load<f64>(t, 160)))));
  const odd =
    load<f64>(t, 16) +
    g * (load<f64>(t, 48) + g * (load<f64>(t, 80) + g * (load<f64>(t, 112) + g * (load<f64>(t, 144) + g * load<f64>(t, 176)))));
  return reinterpret<f64>(reinterpret<i64>(even + f * odd) + (reinterpret<i64>(shifted) << 52));
}

/** exp2 of two lanes; the same bits. */
// @ts-ignore: decorator
@inline
export function exp2__simd(y: v128): v128 {
  const round = f64x2.splat(ROUND);
  const shifted = f64x2.add(y, round);
  const f = f64x2.sub(y, f64x2.sub(shifted, round));
  const g = f64x2.mul(f, f);
  const t = COEFFICIENTS;
  let even = f64x2.add(v128.load(t, 128), f64x2.mul(g, v128.load(t, 160)));
  let odd = f64x2.add(v128.load(t, 144), f64x2.mul(g, v128.load(t, 176)));
  even = f64x2.add(v128.load(t, 96), f64x2.mul(g, even));
  odd = f64x2.add(v128.load(t, 112), f64x2.mul(g, odd));
  even = f64x2.add(v128.load(t, 64), f64x2.mul(g, even));
  odd = f64x2.add(v128.load(t, 80), f64x2.mul(g, odd));
  even = f64x2.add(v128.load(t, 32), f64x2.mul(g, even));
  odd = f64x2.add(v128.load(t, 48), f64x2.mul(g, odd));
  even = f64x2.add(v128.load(t), f64x2.mul(g, even));
  odd = f64x2.add(v128.load(t, 16), f64x2.mul(g, odd));
  const scaled = i64x2.add(f64x2.add(even, f64x2.mul(f, odd)), i64x2.shl(shifted, 52));
  return v128.and(scaled, f64x2.ge(y, f64x2.splat(SMALLEST_EXPONENT)));
}

/**
 * Natural logarithm of a normal x > 0, by the series of artanh; error below 2 units in the last place
 * for x >= 1.
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

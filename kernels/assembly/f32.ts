/**
 * The f32 functions of the decoder, built only from + - * / sqrt and conversions. Every sum has the same order
 * in every build: sums over columns run in four lanes (index modulo 4), added as (s0 + s1) + (s2 + s3), and
 * each SIMD lane performs the operations of the scalar code.
 */

/**
 * exp(x) for x <= 0: with n = round(x / ln 2) and r = x - n ln 2, 2^n (1 + r + r^2 P(r)), where P
 * interpolates (e^r - 1 - r) / r^2 at the five Chebyshev nodes of |r| <= ln 2 / 2.
 */
const LOG2_E: f32 = 1.44269504;
/** ln 2 in two parts: the first has 9 significant bits, so that its product with n is exact. */
const LN2_HIGH: f32 = 0.693359375;
const LN2_LOW: f32 = -0.00021219444;
const P0: f32 = 0.5;
const P1: f32 = 0.16666577756404877;
const P2: f32 = 0.041666556149721146;
const P3: f32 = 0.008363173343241215;
const P4: f32 = 0.0013926175888627768;
/** For inputs below this the result would be subnormal; `exp` returns 0 instead. */
const LOWEST: f32 = -87;

/**
 * The constants above, repeated for four lanes. They are in memory because a load is cheaper than the
 * several instructions that a vector constant compiles to.
 */
const VECTORS: usize = memory.data<f32>(
  [
    LOG2_E, LOG2_E, LOG2_E, LOG2_E, LN2_HIGH, LN2_HIGH, LN2_HIGH, LN2_HIGH, LN2_LOW, LN2_LOW, LN2_LOW, LN2_LOW,
    P0, P0, P0, P0, P1, P1, P1, P1, P2, P2, P2, P2, P3, P3, P3, P3, P4, P4, P4, P4, LOWEST, LOWEST, LOWEST, LOWEST,
    1, 1, 1, 1,
  ],
  16,
);

/** Returns e^x for x <= 0: exactly 1 for 0, 0 below -87, NaN for NaN; relative error below 1.5 * 2^-24. */
export function exp(x: f32): f32 {
  if (x < LOWEST) return 0;
  const n = nearest(x * LOG2_E);
  const r = x - n * LN2_HIGH - n * LN2_LOW;
  const p = (((P4 * r + P3) * r + P2) * r + P1) * r + P0;
  const q = <f32>1 + (r + r * r * p);
  return reinterpret<f32>(reinterpret<i32>(q) + (<i32>n << 23));
}

/** Returns exp of four lanes, with the same bits as `exp`. */
// @ts-ignore: decorator
@inline
export function exp__simd(x: v128): v128 {
  const t = VECTORS;
  const n = f32x4.nearest(f32x4.mul(x, v128.load(t)));
  const r = f32x4.sub(f32x4.sub(x, f32x4.mul(n, v128.load(t, 16))), f32x4.mul(n, v128.load(t, 32)));
  let p = f32x4.add(f32x4.mul(v128.load(t, 112), r), v128.load(t, 96));
  p = f32x4.add(f32x4.mul(p, r), v128.load(t, 80));
  p = f32x4.add(f32x4.mul(p, r), v128.load(t, 64));
  p = f32x4.add(f32x4.mul(p, r), v128.load(t, 48));
  const q = f32x4.add(v128.load(t, 144), f32x4.add(r, f32x4.mul(f32x4.mul(r, r), p)));
  const result = i32x4.add(q, i32x4.shl(i32x4.trunc_sat_f32x4_s(n), 23));
  return v128.andnot(result, f32x4.lt(x, v128.load(t, 128)));
}

/** Returns x * sigmoid(x) * up, with the sigmoid computed from e^-|x|. */
// @ts-ignore: decorator
@inline
function gated(x: f32, up: f32): f32 {
  const e = exp(-abs(x));
  return (x * (x < 0 ? e : <f32>1) / (<f32>1 + e)) * up;
}

/** Computes output[i] = silu(gate[i]) * up[i]. All are f32 [count]; output may be gate or up. */
export function swiglu(gate: usize, up: usize, count: i32, output: usize): void {
  let i = 0;
  if (ASC_FEATURE_SIMD) {
    const one = v128.load(VECTORS, 144);
    for (; i + 4 <= count; i += 4) {
      const offset = <usize>i * 4;
      const x = v128.load(gate + offset);
      const e = exp__simd(f32x4.neg(f32x4.abs(x)));
      const numerator = v128.bitselect(e, one, f32x4.lt(x, f32x4.splat(0)));
      const activated = f32x4.div(f32x4.mul(x, numerator), f32x4.add(one, e));
      v128.store(output + offset, f32x4.mul(activated, v128.load(up + offset)));
    }
  }
  for (; i < count; i++) {
    const offset = <usize>i * 4;
    store<f32>(output + offset, gated(load<f32>(gate + offset), load<f32>(up + offset)));
  }
}

/** Computes output = input / sqrt(mean of input^2 + epsilon) * weight. All are f32 [count]; output may be input. */
export function rmsNorm(input: usize, weight: usize, count: i32, epsilon: f32, output: usize): void {
  const scale = <f32>1 / sqrt<f32>(sumOfSquares(input, count) / <f32>count + epsilon);
  let i = 0;
  if (ASC_FEATURE_SIMD) {
    const scales = f32x4.splat(scale);
    for (; i + 4 <= count; i += 4) {
      const offset = <usize>i * 4;
      v128.store(output + offset, f32x4.mul(f32x4.mul(v128.load(input + offset), scales), v128.load(weight + offset)));
    }
  }
  for (; i < count; i++) {
    const offset = <usize>i * 4;
    store<f32>(output + offset, load<f32>(input + offset) * scale * load<f32>(weight + offset));
  }
}

function sumOfSquares(input: usize, count: i32): f32 {
  let s0: f32 = 0;
  let s1: f32 = 0;
  let s2: f32 = 0;
  let s3: f32 = 0;
  let i = 0;
  if (ASC_FEATURE_SIMD) {
    let sums = f32x4.splat(0);
    for (; i + 4 <= count; i += 4) {
      const x = v128.load(input + <usize>i * 4);
      sums = f32x4.add(sums, f32x4.mul(x, x));
    }
    s0 = f32x4.extract_lane(sums, 0);
    s1 = f32x4.extract_lane(sums, 1);
    s2 = f32x4.extract_lane(sums, 2);
    s3 = f32x4.extract_lane(sums, 3);
  } else {
    for (; i + 4 <= count; i += 4) {
      s0 += square(input + <usize>i * 4);
      s1 += square(input + <usize>i * 4 + 4);
      s2 += square(input + <usize>i * 4 + 8);
      s3 += square(input + <usize>i * 4 + 12);
    }
  }
  if (i < count) s0 += square(input + <usize>i * 4);
  if (i + 1 < count) s1 += square(input + <usize>i * 4 + 4);
  if (i + 2 < count) s2 += square(input + <usize>i * 4 + 8);
  return s0 + s1 + (s2 + s3);
}

// @ts-ignore: decorator
@inline
function square(address: usize): f32 {
  const x = load<f32>(address);
  return x * x;
}

/** Rotates the pairs (i, i + count / 2) of f32 [count] in place. cos, sin: f32 [count / 2]. */
export function rotate(head: usize, count: i32, cos: usize, sin: usize): void {
  const half = count / 2;
  const upper = head + <usize>half * 4;
  let i = 0;
  if (ASC_FEATURE_SIMD) {
    for (; i + 4 <= half; i += 4) {
      const offset = <usize>i * 4;
      const a = v128.load(head + offset);
      const b = v128.load(upper + offset);
      const c = v128.load(cos + offset);
      const s = v128.load(sin + offset);
      v128.store(head + offset, f32x4.sub(f32x4.mul(a, c), f32x4.mul(b, s)));
      v128.store(upper + offset, f32x4.add(f32x4.mul(b, c), f32x4.mul(a, s)));
    }
  }
  for (; i < half; i++) {
    const offset = <usize>i * 4;
    const a = load<f32>(head + offset);
    const b = load<f32>(upper + offset);
    const c = load<f32>(cos + offset);
    const s = load<f32>(sin + offset);
    store<f32>(head + offset, a * c - b * s);
    store<f32>(upper + offset, b * c + a * s);
  }
}

/** Computes values += addends; both are f32 [count]. */
export function addTo(values: usize, addends: usize, count: i32): void {
  let i = 0;
  if (ASC_FEATURE_SIMD) {
    for (; i + 4 <= count; i += 4) {
      const offset = <usize>i * 4;
      v128.store(values + offset, f32x4.add(v128.load(values + offset), v128.load(addends + offset)));
    }
  }
  for (; i < count; i++) {
    const offset = <usize>i * 4;
    store<f32>(values + offset, load<f32>(values + offset) + load<f32>(addends + offset));
  }
}

/** Computes output = input * factor; both are f32 [count] and may be the same. */
export function scaleBy(input: usize, factor: f32, count: i32, output: usize): void {
  let i = 0;
  if (ASC_FEATURE_SIMD) {
    const factors = f32x4.splat(factor);
    for (; i + 4 <= count; i += 4) {
      const offset = <usize>i * 4;
      v128.store(output + offset, f32x4.mul(v128.load(input + offset), factors));
    }
  }
  for (; i < count; i++) {
    const offset = <usize>i * 4;
    store<f32>(output + offset, load<f32>(input + offset) * factor);
  }
}

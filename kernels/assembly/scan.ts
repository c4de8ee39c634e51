/**
 * Passes over a row of logits: f32 [n], 4-byte aligned. Removed tokens are -Infinity.
 * Every pass reads the row once. Sums run in four lanes (token id modulo 4), each in ascending order of
 * ids, so that the scalar and the SIMD versions give the same bits.
 */

import { exp2, exp2__simd } from "./math";
import { rankOf } from "./ranking";

/** Tokens per block. The largest logit of each block is stored. */
export const BLOCK: i32 = 64;

// @ts-ignore: decorator
@inline
export function numBlocks(n: i32): i32 {
  return (n + BLOCK - 1) / BLOCK;
}

/**
 * Writes the largest logit of every block.
 * @param maxima f32 [numBlocks(n)]
 * @returns the largest of all, or NaN if the row holds one
 */
export function scanMaxima(row: usize, n: i32, maxima: usize): f32 {
  let largest: f32 = -Infinity;
  let hasNaN = false;
  for (let first = 0; first < n; first += BLOCK) {
    const count = min(BLOCK, n - first);
    const block = row + <usize>first * 4;
    const blockMaximum = maximumOf(block, count);
    if (isNaN(blockMaximum)) hasNaN = true;
    store<f32>(maxima + <usize>(first / BLOCK) * 4, blockMaximum);
    if (blockMaximum > largest) largest = blockMaximum;
  }
  return hasNaN ? NaN : largest;
}

/** Returns the largest of f32 [count], or NaN if an element is NaN. count <= BLOCK */
export function maximumOf(block: usize, count: i32): f32 {
  if (ASC_FEATURE_SIMD) {
    if (count == BLOCK) return maximumOfBlock__simd(block);
  }
  let largest: f32 = -Infinity;
  let hasNaN = false;
  for (let i = 0; i < count; i++) {
    const value = load<f32>(block + <usize>i * 4);
    if (value != value) hasNaN = true;
    if (value > largest) largest = value;
  }
  return hasNaN ? NaN : largest;
}

function maximumOfBlock__simd(block: usize): f32 {
  let x0 = v128.load(block);
  let x1 = v128.load(block, 16);
  let maxima0 = x0;
  let maxima1 = x1;
  let nan = v128.or(f32x4.ne(x0, x0), f32x4.ne(x1, x1));
  for (let i: usize = 32; i < 256; i += 32) {
    x0 = v128.load(block + i);
    x1 = v128.load(block + i, 16);
    nan = v128.or(nan, v128.or(f32x4.ne(x0, x0), f32x4.ne(x1, x1)));
    maxima0 = f32x4.pmax(maxima0, x0);
    maxima1 = f32x4.pmax(maxima1, x1);
  }
  if (v128.any_true(nan)) return NaN;
  const maxima = f32x4.pmax(maxima0, maxima1);
  const a = f32x4.extract_lane(maxima, 0);
  const b = f32x4.extract_lane(maxima, 1);
  const c = f32x4.extract_lane(maxima, 2);
  const d = f32x4.extract_lane(maxima, 3);
  const ab = a > b ? a : b;
  const cd = c > d ? c : d;
  return ab > cd ? ab : cd;
}

/** Returns the largest of f32 [count], none of them NaN; -Infinity if count is 0. */
export function largestOf(values: usize, count: i32): f32 {
  let largest: f32 = -Infinity;
  for (let i = 0; i < count; i++) {
    const value = load<f32>(values + <usize>i * 4);
    if (value > largest) largest = value;
  }
  return largest;
}

/** Returns the smallest of f32 [n], none of them NaN. n >= 1 */
export function smallestOf(row: usize, n: i32): f32 {
  let i = 0;
  let smallest: f32 = Infinity;
  if (ASC_FEATURE_SIMD) {
    let minima = f32x4.splat(Infinity);
    for (; i + 4 <= n; i += 4) minima = f32x4.pmin(minima, v128.load(row + <usize>i * 4));
    const a = min<f32>(f32x4.extract_lane(minima, 0), f32x4.extract_lane(minima, 1));
    const b = min<f32>(f32x4.extract_lane(minima, 2), f32x4.extract_lane(minima, 3));
    smallest = min<f32>(a, b);
  }
  for (; i < n; i++) smallest = min<f32>(smallest, load<f32>(row + <usize>i * 4));
  return smallest;
}

/** Returns the lowest id whose logit equals `value`. @param maxima the output of scanMaxima */
export function findFirst(row: usize, n: i32, maxima: usize, value: f32): i32 {
  for (let first = 0; first < n; first += BLOCK) {
    if (load<f32>(maxima + <usize>(first / BLOCK) * 4) != value) continue;
    for (let i = first; i < n; i++) {
      if (load<f32>(row + <usize>i * 4) == value) return i;
    }
  }
  unreachable();
  return 0;
}

/**
 * Copies the row without the tokens that are not allowed.
 * @param allowed u32 [ceil(n / 32)], bit i of word j for token 32 j + i
 * @param output f32 [n]
 */
export function copyAllowed(row: usize, n: i32, allowed: usize, output: usize): void {
  for (let first = 0; first < n; first += 32) {
    let word = load<u32>(allowed + <usize>(first >> 3));
    const source = row + <usize>first * 4;
    const target = output + <usize>first * 4;
    const count = min(32, n - first);
    if (ASC_FEATURE_SIMD) {
      if (count == 32) {
        copyAllowed32__simd(source, word, target);
        continue;
      }
    }
    for (let i = 0; i < count; i++) {
      store<f32>(target + <usize>i * 4, word & 1 ? load<f32>(source + <usize>i * 4) : -Infinity);
      word >>= 1;
    }
  }
}

/** f32 [4] and u32 [4], in memory because loads are cheaper than vector constants. */
const REMOVED: usize = memory.data<f32>([-Infinity, -Infinity, -Infinity, -Infinity], 16);
const LANE_BITS: usize = memory.data<u32>([1, 2, 4, 8], 16);

// @ts-ignore: decorator
@inline
function copyAllowed32__simd(source: usize, word: u32, target: usize): void {
  const removed = v128.load(REMOVED);
  const lanes = v128.load(LANE_BITS);
  const zero = i32x4.splat(0);
  // Lane l of step s tests bit 4 s + l: the mask of each lane is fixed, and the word is shifted.
  let bits = i32x4.splat(word);
  for (let i: usize = 0; i < 128; i += 16) {
    const isRemoved = i32x4.eq(v128.and(bits, lanes), zero);
    v128.store(target + i, v128.bitselect(removed, v128.load(source + i), isRemoved));
    bits = i32x4.shr_u(bits, 4);
  }
}

/**
 * Copies the row without the tokens that rank after `last`.
 * @param output f32 [n]
 */
export function copyUpTo(row: usize, n: i32, last: u64, output: usize): void {
  for (let i = 0; i < n; i++) {
    const logit = load<f32>(row + <usize>i * 4);
    store<f32>(output + <usize>i * 4, rankOf(logit, i) <= last ? logit : -Infinity);
  }
}

/**
 * Returns the sum of 2^((logit - largest) * factor) over the row, in float64: (s0 + s1) + (s2 + s3), one sum
 * per id modulo 4.
 */
export function sumWeights(row: usize, n: i32, largest: f32, factor: f64): f64 {
  const shift = <f64>largest;
  let s0: f64 = 0;
  let s1: f64 = 0;
  let s2: f64 = 0;
  let s3: f64 = 0;
  let i = 0;
  if (ASC_FEATURE_SIMD) {
    const shifts = f64x2.splat(shift);
    const factors = f64x2.splat(factor);
    let low = f64x2.splat(0);
    let high = f64x2.splat(0);
    for (; i + 4 <= n; i += 4) {
      const pointer = row + <usize>i * 4;
      const x = f64x2.promote_low_f32x4(v128.load64_zero(pointer));
      const y = f64x2.promote_low_f32x4(v128.load64_zero(pointer, 8));
      low = f64x2.add(low, exp2__simd(f64x2.mul(f64x2.sub(x, shifts), factors)));
      high = f64x2.add(high, exp2__simd(f64x2.mul(f64x2.sub(y, shifts), factors)));
    }
    s0 = f64x2.extract_lane(low, 0);
    s1 = f64x2.extract_lane(low, 1);
    s2 = f64x2.extract_lane(high, 0);
    s3 = f64x2.extract_lane(high, 1);
  } else {
    for (; i + 4 <= n; i += 4) {
      const pointer = row + <usize>i * 4;
      s0 += exp2((<f64>load<f32>(pointer) - shift) * factor);
      s1 += exp2((<f64>load<f32>(pointer, 4) - shift) * factor);
      s2 += exp2((<f64>load<f32>(pointer, 8) - shift) * factor);
      s3 += exp2((<f64>load<f32>(pointer, 12) - shift) * factor);
    }
  }
  if (i < n) s0 += exp2((<f64>load<f32>(row + <usize>i * 4) - shift) * factor);
  if (i + 1 < n) s1 += exp2((<f64>load<f32>(row + <usize>i * 4, 4) - shift) * factor);
  if (i + 2 < n) s2 += exp2((<f64>load<f32>(row + <usize>i * 4, 8) - shift) * factor);
  return s0 + s1 + (s2 + s3);
}

/**
 * Appends the ranks of the tokens first..first+count-1 whose logit is at least `threshold` and not
 * -Infinity, in ascending order of ids; returns the new length of the list.
 * @param list u64 [...], with space for `count` more after `length`
 */
export function gatherAtLeast(row: usize, first: i32, count: i32, threshold: f32, list: usize, length: i32): i32 {
  for (let i = first; i < first + count; i++) {
    const logit = load<f32>(row + <usize>i * 4);
    if (logit >= threshold && logit > -Infinity) {
      store<u64>(list + <usize>length * 8, rankOf(logit, i));
      length++;
    }
  }
  return length;
}

/**
 * Quantizes activations for integer products: f32 [cols] becomes blocks of 32 integers with one f32 scale
 * each. There is one record per block and row; records are ordered [block][row]:
 *
 *   offset 0   f32  scale
 *          4        -8 times the sum of the values, which cancels the +8 offset of 4-bit weights: one i32, or in
 *                   an "i8" record of the relaxed build two i16, for columns 0 1 and for columns 2 3 of every four
 *          8   unused
 *         16   32 values: int16 in column order ("i16"), int16 in the order the 4-bit SIMD kernel
 *              reads them ("i16 pairs": columns 0 2 1 3 of every four), or int8 in column order ("i8")
 *
 * With 4-bit weights, values are -127..127 in every order. With 8-bit weights, whose product takes 16-bit values
 * at the same speed, they are -4095..4095 ("i16 wide"): in that range a sum of 32 products with weights up to 127
 * stays below 2^24 and so converts to f32 without rounding.
 *
 * Columns past `cols` are treated as zeros.
 */

import { MAX_THREADS, thread } from "./threads";

/** Columns of one quantization block. */
export const BLOCK: i32 = 32;
/** Bytes of a record before its values. */
export const RECORD_HEAD: usize = 16;
/** Bytes of a record holding int16 values, and of one holding int8 values. */
export const I16_RECORD: usize = RECORD_HEAD + 64;
export const I8_RECORD: usize = RECORD_HEAD + 32;

/** A block whose largest magnitude is below this is treated as zeros: dividing by it would overflow. */
const SMALLEST_AMAX: f32 = 1e-30;

/** Storage order, type and range of the 32 values of a record. */
export const enum ValueOrder {
  I16,
  I16Wide,
  I16Pairs,
  I8,
}

// @ts-ignore: decorator
@inline
function largestValue(order: ValueOrder): f32 {
  return order == ValueOrder.I16Wide ? 4095 : 127;
}

/**
 * Quantizes a row. A block with a NaN or infinite input gets a scale that is not finite, so the input affects every
 * result.
 * @param input f32 [cols]
 * @param output the row's first record, 16-byte aligned; the next one is `stride` bytes later
 */
// @ts-ignore: decorator
@inline
export function quantizeRow(input: usize, cols: i32, output: usize, stride: usize, order: ValueOrder): void {
  for (let first = 0; first < cols; first += BLOCK) {
    quantizeColumns(input + <usize>first * 4, min(BLOCK, cols - first), output, order);
    output += stride;
  }
}

/** Writes one record from f32 [count], count <= 32; memory after the input is not read. */
// @ts-ignore: decorator
@inline
export function quantizeColumns(input: usize, count: i32, record: usize, order: ValueOrder): void {
  quantizeBlock(count == BLOCK ? input : fillUp(input, count), record, order);
}

/** f32 [MAX_THREADS, 32]: a row's last block, padded with zeros; one per thread. */
const PADDED: usize = memory.data(MAX_THREADS * BLOCK * 4, 64);

function fillUp(input: usize, count: i32): usize {
  const padded = PADDED + <usize>thread() * 128;
  for (let i = 0; i < BLOCK; i++) store<f32>(padded + <usize>i * 4, i < count ? load<f32>(input + <usize>i * 4) : 0);
  return padded;
}

function quantizeBlock(input: usize, record: usize, order: ValueOrder): void {
  if (ASC_FEATURE_SIMD) quantizeBlock__simd(input, record, order);
  else quantizeBlock__scalar(input, record, order);
}

/** Stores the values as int16 in column order, the only order of the scalar build. */
function quantizeBlock__scalar(input: usize, record: usize, order: ValueOrder): void {
  const largest = largestValue(order);
  let amax: f32 = 0;
  for (let i: usize = 0; i < 32; i++) amax = max<f32>(amax, abs(load<f32>(input + i * 4)));
  const isZero = amax < SMALLEST_AMAX;
  const inverse: f32 = isZero ? 0 : largest / amax;
  let sum = 0;
  for (let i: usize = 0; i < 32; i++) {
    const value = <i32>nearest(load<f32>(input + i * 4) * inverse);
    sum += value;
    store<i16>(record + 16 + i * 2, <i16>value);
  }
  store<f32>(record, isZero ? 0 : amax / largest);
  store<i32>(record, -8 * sum, 4);
}

function quantizeBlock__simd(input: usize, record: usize, order: ValueOrder): void {
  const largest = largestValue(order);
  let maxima = f32x4.abs(v128.load(input));
  for (let i: usize = 16; i < 128; i += 16) maxima = f32x4.max(maxima, f32x4.abs(v128.load(input + i)));
  const amax = max<f32>(
    max<f32>(f32x4.extract_lane(maxima, 0), f32x4.extract_lane(maxima, 1)),
    max<f32>(f32x4.extract_lane(maxima, 2), f32x4.extract_lane(maxima, 3)),
  );
  const isZero = amax < SMALLEST_AMAX;
  const inverse = f32x4.splat(isZero ? 0 : largest / amax);
  let sums = i16x8.splat(0);
  for (let i: usize = 0; i < 4; i++) {
    const low = f32x4.nearest(f32x4.mul(v128.load(input + i * 32), inverse));
    const high = f32x4.nearest(f32x4.mul(v128.load(input + i * 32, 16), inverse));
    let values = i16x8.narrow_i32x4_s(i32x4.trunc_sat_f32x4_s(low), i32x4.trunc_sat_f32x4_s(high));
    sums = i16x8.add(sums, values);
    if (order == ValueOrder.I8) {
      v128.store64_lane(record + 16 + i * 8, i8x16.narrow_i16x8_s(values, values), 0);
    } else {
      if (order == ValueOrder.I16Pairs) values = i16x8.shuffle(values, values, 0, 2, 1, 3, 4, 6, 5, 7);
      v128.store(record + 16 + i * 16, values);
    }
  }
  store<f32>(record, isZero ? 0 : amax / largest);
  // Lanes 0 1 4 5 hold columns 0 1 of every four.
  const pairs = i32x4.extadd_pairwise_i16x8_s(sums);
  const first = i32x4.extract_lane(pairs, 0) + i32x4.extract_lane(pairs, 2);
  const second = i32x4.extract_lane(pairs, 1) + i32x4.extract_lane(pairs, 3);
  if (order == ValueOrder.I8 && !ACCUMULATES) {
    store<i16>(record, <i16>(-8 * first), 4);
    store<i16>(record, <i16>(-8 * second), 6);
  } else {
    store<i32>(record, -8 * (first + second), 4);
  }
}

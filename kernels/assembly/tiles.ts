/**
 * Tiles of integer products with several rows of activations: 8 weight rows times 4, 2 or 1 of them. The weights of
 * some blocks are widened first, so that every row of activations reads them without unpacking, and one body serves
 * both formats and all builds. A widened record:
 *
 *   u8   (4 bits, builds relaxed and dot)  8 steps of 4 columns: u8 [8 rows][4 columns]; f32 [8] scales; 288 bytes
 *   i16  (all others)                     16 steps of 2 columns: i16 [8 rows][2 columns]; f32 [8] scales; 544 bytes
 *
 * This type is the type parameter of the functions below. Activations are i8 with u8 and i16 with i16.
 */

import { BLOCK, RECORD_HEAD } from "./activations";
import { GROUP_ROWS, addScaled, scalesHigh, scalesLow } from "./rows";

/** Blocks that are widened at a time: few enough to stay in the first cache. */
export const BLOCKS_AT_ONCE: i32 = 32;
/** Bytes of scratch per thread, a multiple of 64. */
export const WIDENED_BYTES: usize = <usize>BLOCKS_AT_ONCE * 544;

// @ts-ignore: decorator
@inline
export function widenedRecord<T>(): usize {
  return valuesBytes<T>() + 32;
}

// @ts-ignore: decorator
@inline
function valuesBytes<T>(): usize {
  return <usize>(GROUP_ROWS * BLOCK) * sizeof<T>();
}

/** @param record packed weights of a block, which begin with the scales */
// @ts-ignore: decorator
@inline
export function storeWidenedScales<T>(widened: usize, record: usize): void {
  v128.store(widened + valuesBytes<T>(), scalesLow(record));
  v128.store(widened + valuesBytes<T>(), scalesHigh(record), 16);
}

/**
 * Adds the products of four columns (u8) or two (i16). The sums are one i32 per row; of u8 in the relaxed build
 * they are two i16 per row: they start with the offset of their columns and end with the sum of 16 products of a weight
 * in -8..7, whose magnitude is at most 16 * 8 * 127 = 16,256, which fits; sums on the way may wrap around.
 */
// @ts-ignore: decorator
@inline
export function addDots<T>(sums: v128, activations: v128, weights: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) {
    if (sizeof<T>() == 1) {
      if (ACCUMULATES) return i32x4.relaxed_dot_i8x16_i7x16_add_s(activations, weights, sums);
      return i16x8.add(sums, i16x8.relaxed_dot_i8x16_i7x16_s(activations, weights));
    }
  }
  return i32x4.add(sums, i32x4.dot_i16x8_s(weights, activations));
}

/** Returns one int32 per row. */
// @ts-ignore: decorator
@inline
export function rowSums<T>(sums: v128): v128 {
  return sizeof<T>() == 1 && !ACCUMULATES ? i32x4.extadd_pairwise_i16x8_s(sums) : sums;
}

/**
 * Adds the products of widened blocks and `numRows` rows of activations.
 * @param hasOffset 4-bit weights
 * @param input records [blocks][numRows]
 * @param output f32 [numRows][8], rows `outputStride` bytes apart
 */
// @ts-ignore: decorator
@inline
export function multiplyWidened<T>(
  hasOffset: bool,
  widened: usize,
  blocks: i32,
  input: usize,
  numRows: i32,
  output: usize,
  outputStride: usize,
): void {
  const record: usize = RECORD_HEAD + 32 * sizeof<T>();
  const inputStride = <usize>numRows * record;
  let n = 0;
  for (; n + 4 <= numRows; n += 4) {
    tile<T>(4, hasOffset, widened, blocks, input, inputStride, output, outputStride);
    input += 4 * record;
    output += 4 * outputStride;
  }
  if (n + 2 <= numRows) {
    tile<T>(2, hasOffset, widened, blocks, input, inputStride, output, outputStride);
    n += 2;
    input += 2 * record;
    output += 2 * outputStride;
  }
  if (n < numRows) tile<T>(1, hasOffset, widened, blocks, input, inputStride, output, outputStride);
}

/** The f32 sums are in memory: 8 integer sums leave too few registers for them. @param numRows 1, 2 or 4 */
// @ts-ignore: decorator
@inline
function tile<T>(
  numRows: i32,
  hasOffset: bool,
  widened: usize,
  blocks: i32,
  input: usize,
  inputStride: usize,
  output: usize,
  outputStride: usize,
): void {
  const record: usize = RECORD_HEAD + 32 * sizeof<T>();
  const output1 = output + outputStride;
  const output2 = output1 + outputStride;
  const output3 = output2 + outputStride;
  let w = widened;
  for (let b = 0; b < blocks; b++) {
    let low0 = hasOffset ? v128.load32_splat(input, 4) : i32x4.splat(0);
    let high0 = low0;
    let low1 = low0;
    let high1 = low0;
    let low2 = low0;
    let high2 = low0;
    let low3 = low0;
    let high3 = low0;
    if (numRows > 1) {
      low1 = hasOffset ? v128.load32_splat(input, 4 + record) : low0;
      high1 = low1;
    }
    if (numRows > 2) {
      low2 = hasOffset ? v128.load32_splat(input, 4 + 2 * record) : low0;
      high2 = low2;
      low3 = hasOffset ? v128.load32_splat(input, 4 + 3 * record) : low0;
      high3 = low3;
    }
    let x = input;
    for (const end = w + valuesBytes<T>(); w < end; w += 32) {
      const low = v128.load(w);
      const high = v128.load(w, 16);
      let values = v128.load32_splat(x, 16);
      low0 = addDots<T>(low0, values, low);
      high0 = addDots<T>(high0, values, high);
      if (numRows > 1) {
        values = v128.load32_splat(x, 16 + record);
        low1 = addDots<T>(low1, values, low);
        high1 = addDots<T>(high1, values, high);
      }
      if (numRows > 2) {
        values = v128.load32_splat(x, 16 + 2 * record);
        low2 = addDots<T>(low2, values, low);
        high2 = addDots<T>(high2, values, high);
        values = v128.load32_splat(x, 16 + 3 * record);
        low3 = addDots<T>(low3, values, low);
        high3 = addDots<T>(high3, values, high);
      }
      x += 4;
    }
    const scaleLow = v128.load(w);
    const scaleHigh = v128.load(w, 16);
    w += 32;
    addScaled(output, rowSums<T>(low0), rowSums<T>(high0), scaleLow, scaleHigh, v128.load32_splat(input));
    if (numRows > 1) {
      const scale = v128.load32_splat(input, record);
      addScaled(output1, rowSums<T>(low1), rowSums<T>(high1), scaleLow, scaleHigh, scale);
    }
    if (numRows > 2) {
      const scale2 = v128.load32_splat(input, 2 * record);
      addScaled(output2, rowSums<T>(low2), rowSums<T>(high2), scaleLow, scaleHigh, scale2);
      const scale3 = v128.load32_splat(input, 3 * record);
      addScaled(output3, rowSums<T>(low3), rowSums<T>(high3), scaleLow, scaleHigh, scale3);
    }
    input += inputStride;
  }
}

/**
 * Products with 4-bit weights. layout.md shows the packed layout: groups of 8 rows, one record
 * of 144 bytes per block of 32 columns (8 bfloat16 scales, then 4 steps of 8 columns, 4 bytes a row).
 * A weight w is stored as w + 8, so that it can be the unsigned operand of the relaxed dot product,
 * which is exact because that operand is in 0..127; the block sum of the activations, times -8,
 * cancels the offset. Integer sums are exact and therefore equal in every build.
 * The kernels use the 16-bit relaxed dot product. The accumulating 32-bit one gives wrong results in the
 * baseline compiler of Node 20 (V8 11.3) on processors without AVX-VNNI, and is slower where they are right.
 *
 * For each weight row and block, in ascending order of blocks, with f32 operations in this order:
 *   accumulator += f32(integer dot product) * (weight scale * activation scale)
 */

import { BLOCK, I16_RECORD, I8_RECORD, ValueOrder } from "./activations";
import { GROUP_ROWS, SCALES_BYTES, addScaled } from "./rows";

/** Storage order of activations in this build, and the bytes of one activation record. */
export const Q4_ORDER: ValueOrder = ASC_FEATURE_RELAXED_SIMD ? ValueOrder.I8 : ASC_FEATURE_SIMD ? ValueOrder.I16Pairs : ValueOrder.I16;
export const Q4_INPUT_RECORD: usize = ASC_FEATURE_RELAXED_SIMD ? I8_RECORD : I16_RECORD;

/** Bytes of one record: one block of one group. */
export const RECORD: usize = SCALES_BYTES + <usize>(GROUP_ROWS * BLOCK) / 2;

/**
 * The value 15 in every byte, and in every 16-bit lane. The masks are in memory because a load is cheaper
 * than the several instructions that a vector constant compiles to.
 */
const BYTE_MASK: usize = memory.data<u8>([15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15], 16);
const LANE_MASK: usize = memory.data<u16>([15, 15, 15, 15, 15, 15, 15, 15], 16);

/**
 * Multiplies the groups of 8 weight rows from firstGroup up to, but not including, endGroup.
 * @param weights packed q4 [rows, 32 * blocks]
 * @param input records [blocks][numRows]
 * @param output f32 [numRows][...], 8 floats for each group side by side; rows are `outputStride` bytes apart
 */
export function multiplyQ4(
  weights: usize,
  blocks: i32,
  firstGroup: i32,
  endGroup: i32,
  input: usize,
  numRows: i32,
  output: usize,
  outputStride: usize,
): void {
  const inputStride = <usize>numRows * Q4_INPUT_RECORD;
  const groupBytes = <usize>blocks * RECORD;
  let group = weights + <usize>firstGroup * groupBytes;
  for (let g = firstGroup; g < endGroup; g++) {
    let n = 0;
    let x = input;
    let y = output;
    if (ASC_FEATURE_SIMD) {
      for (; n + 4 <= numRows; n += 4) {
        if (ASC_FEATURE_RELAXED_SIMD) tile_8x4__relaxed(group, blocks, x, inputStride, y, outputStride);
        else tile_8x4__simd(group, blocks, x, inputStride, y, outputStride);
        x += 4 * Q4_INPUT_RECORD;
        y += 4 * outputStride;
      }
      if (n + 2 <= numRows) {
        if (ASC_FEATURE_RELAXED_SIMD) tile_8x2__relaxed(group, blocks, x, inputStride, y, outputStride);
        else tile_8x2__simd(group, blocks, x, inputStride, y, outputStride);
        n += 2;
        x += 2 * Q4_INPUT_RECORD;
        y += 2 * outputStride;
      }
    }
    for (; n < numRows; n++) {
      if (ASC_FEATURE_RELAXED_SIMD) tile_8x1__relaxed(group, blocks, x, inputStride, y);
      else if (ASC_FEATURE_SIMD) tile_8x1__simd(group, blocks, x, inputStride, y);
      else tile_8x1__scalar(group, blocks, x, inputStride, y);
      x += Q4_INPUT_RECORD;
      y += outputStride;
    }
    group += groupBytes;
    output += 32;
  }
}

/** Returns the stored nibble, 0..15, of row `r` and column `c` in a record. */
function nibble(record: usize, r: usize, c: usize): i32 {
  const column = c & 15;
  const byte = <i32>load<u8>(record + SCALES_BYTES + (column >> 2) * 32 + r * 4 + (column & 3));
  return c < 16 ? byte & 15 : byte >> 4;
}

/** Multiplies 8 weight rows with one activation row; writes f32 [8] at `output`. */
function tile_8x1__scalar(group: usize, blocks: i32, input: usize, inputStride: usize, output: usize): void {
  for (let r: usize = 0; r < 8; r++) {
    let sum: f32 = 0;
    for (let b = 0; b < blocks; b++) {
      const record = group + <usize>b * RECORD;
      const activations = input + <usize>b * inputStride;
      let dot = load<i32>(activations, 4);
      for (let c: usize = 0; c < 32; c++) dot += nibble(record, r, c) * <i32>load<i16>(activations + 16 + c * 2);
      const scale = reinterpret<f32>(<i32>load<u16>(record + r * 2) << 16) * load<f32>(activations);
      sum += <f32>dot * scale;
    }
    store<f32>(output + r * 4, sum);
  }
}

/**
 * Each 32-bit lane holds one row's 8 nibbles. Read as two 16-bit lanes they are, from the low end:
 * columns 0 2, columns 16 18, columns 1 3, columns 17 19 (of the step). Therefore activations are stored
 * in the order 0 2 1 3.
 */
function tile_8x1__simd(group: usize, blocks: i32, input: usize, inputStride: usize, output: usize): void {
  const mask = v128.load(LANE_MASK);
  let sumLow = f32x4.splat(0);
  let sumHigh = f32x4.splat(0);
  for (let b = 0; b < blocks; b++) {
    let low = v128.load32_splat(input, 4);
    let high = low;
    let w = group;
    let x = input;
    for (let step = 0; step < 4; step++) {
      const packedLow = v128.load(w, 16);
      const packedHigh = v128.load(w, 32);
      let pair = v128.load32_splat(x, 16);
      low = i32x4.add(low, i32x4.dot_i16x8_s(v128.and(packedLow, mask), pair));
      high = i32x4.add(high, i32x4.dot_i16x8_s(v128.and(packedHigh, mask), pair));
      pair = v128.load32_splat(x, 48);
      low = i32x4.add(low, i32x4.dot_i16x8_s(v128.and(i16x8.shr_u(packedLow, 4), mask), pair));
      high = i32x4.add(high, i32x4.dot_i16x8_s(v128.and(i16x8.shr_u(packedHigh, 4), mask), pair));
      pair = v128.load32_splat(x, 20);
      low = i32x4.add(low, i32x4.dot_i16x8_s(v128.and(i16x8.shr_u(packedLow, 8), mask), pair));
      high = i32x4.add(high, i32x4.dot_i16x8_s(v128.and(i16x8.shr_u(packedHigh, 8), mask), pair));
      pair = v128.load32_splat(x, 52);
      low = i32x4.add(low, i32x4.dot_i16x8_s(i16x8.shr_u(packedLow, 12), pair));
      high = i32x4.add(high, i32x4.dot_i16x8_s(i16x8.shr_u(packedHigh, 12), pair));
      w += 32;
      x += 8;
    }
    const scale = v128.load32_splat(input);
    const scaleLow = f32x4.mul(i32x4.shl(v128.load16x4_u(group), 16), scale);
    const scaleHigh = f32x4.mul(i32x4.shl(v128.load16x4_u(group, 8), 16), scale);
    sumLow = f32x4.add(sumLow, f32x4.mul(f32x4.convert_i32x4_s(low), scaleLow));
    sumHigh = f32x4.add(sumHigh, f32x4.mul(f32x4.convert_i32x4_s(high), scaleHigh));
    group += RECORD;
    input += inputStride;
  }
  v128.store(output, sumLow);
  v128.store(output, sumHigh, 16);
}

/** Multiplies 8 weight rows with two activation rows; writes the sums to `output` and `output + outputStride`. */
function tile_8x2__simd(
  group: usize,
  blocks: i32,
  input: usize,
  inputStride: usize,
  output: usize,
  outputStride: usize,
): void {
  const mask = v128.load(LANE_MASK);
  let sumLow0 = f32x4.splat(0);
  let sumHigh0 = f32x4.splat(0);
  let sumLow1 = f32x4.splat(0);
  let sumHigh1 = f32x4.splat(0);
  for (let b = 0; b < blocks; b++) {
    let low0 = v128.load32_splat(input, 4);
    let high0 = low0;
    let low1 = v128.load32_splat(input, I16_RECORD + 4);
    let high1 = low1;
    let w = group;
    let x0 = input;
    let x1 = input + I16_RECORD;
    for (let step = 0; step < 4; step++) {
      const packedLow = v128.load(w, 16);
      const packedHigh = v128.load(w, 32);
      let weightsLow = v128.and(packedLow, mask);
      let weightsHigh = v128.and(packedHigh, mask);
      let pair = v128.load32_splat(x0, 16);
      low0 = i32x4.add(low0, i32x4.dot_i16x8_s(weightsLow, pair));
      high0 = i32x4.add(high0, i32x4.dot_i16x8_s(weightsHigh, pair));
      pair = v128.load32_splat(x1, 16);
      low1 = i32x4.add(low1, i32x4.dot_i16x8_s(weightsLow, pair));
      high1 = i32x4.add(high1, i32x4.dot_i16x8_s(weightsHigh, pair));
      weightsLow = v128.and(i16x8.shr_u(packedLow, 4), mask);
      weightsHigh = v128.and(i16x8.shr_u(packedHigh, 4), mask);
      pair = v128.load32_splat(x0, 48);
      low0 = i32x4.add(low0, i32x4.dot_i16x8_s(weightsLow, pair));
      high0 = i32x4.add(high0, i32x4.dot_i16x8_s(weightsHigh, pair));
      pair = v128.load32_splat(x1, 48);
      low1 = i32x4.add(low1, i32x4.dot_i16x8_s(weightsLow, pair));
      high1 = i32x4.add(high1, i32x4.dot_i16x8_s(weightsHigh, pair));
      weightsLow = v128.and(i16x8.shr_u(packedLow, 8), mask);
      weightsHigh = v128.and(i16x8.shr_u(packedHigh, 8), mask);
      pair = v128.load32_splat(x0, 20);
      low0 = i32x4.add(low0, i32x4.dot_i16x8_s(weightsLow, pair));
      high0 = i32x4.add(high0, i32x4.dot_i16x8_s(weightsHigh, pair));
      pair = v128.load32_splat(x1, 20);
      low1 = i32x4.add(low1, i32x4.dot_i16x8_s(weightsLow, pair));
      high1 = i32x4.add(high1, i32x4.dot_i16x8_s(weightsHigh, pair));
      weightsLow = i16x8.shr_u(packedLow, 12);
      weightsHigh = i16x8.shr_u(packedHigh, 12);
      pair = v128.load32_splat(x0, 52);
      low0 = i32x4.add(low0, i32x4.dot_i16x8_s(weightsLow, pair));
      high0 = i32x4.add(high0, i32x4.dot_i16x8_s(weightsHigh, pair));
      pair = v128.load32_splat(x1, 52);
      low1 = i32x4.add(low1, i32x4.dot_i16x8_s(weightsLow, pair));
      high1 = i32x4.add(high1, i32x4.dot_i16x8_s(weightsHigh, pair));
      w += 32;
      x0 += 8;
      x1 += 8;
    }
    const weightScaleLow = i32x4.shl(v128.load16x4_u(group), 16);
    const weightScaleHigh = i32x4.shl(v128.load16x4_u(group, 8), 16);
    const scale0 = v128.load32_splat(input);
    const scale1 = v128.load32_splat(input, I16_RECORD);
    sumLow0 = f32x4.add(sumLow0, f32x4.mul(f32x4.convert_i32x4_s(low0), f32x4.mul(weightScaleLow, scale0)));
    sumHigh0 = f32x4.add(sumHigh0, f32x4.mul(f32x4.convert_i32x4_s(high0), f32x4.mul(weightScaleHigh, scale0)));
    sumLow1 = f32x4.add(sumLow1, f32x4.mul(f32x4.convert_i32x4_s(low1), f32x4.mul(weightScaleLow, scale1)));
    sumHigh1 = f32x4.add(sumHigh1, f32x4.mul(f32x4.convert_i32x4_s(high1), f32x4.mul(weightScaleHigh, scale1)));
    group += RECORD;
    input += inputStride;
  }
  v128.store(output, sumLow0);
  v128.store(output, sumHigh0, 16);
  v128.store(output + outputStride, sumLow1);
  v128.store(output + outputStride, sumHigh1, 16);
}

/** Multiplies 8 weight rows with four activation rows; the sums are kept in memory between blocks. */
function tile_8x4__simd(
  group: usize,
  blocks: i32,
  input: usize,
  inputStride: usize,
  output: usize,
  outputStride: usize,
): void {
  const mask = v128.load(LANE_MASK);
  const output1 = output + outputStride;
  const output2 = output1 + outputStride;
  const output3 = output2 + outputStride;
  const zero = f32x4.splat(0);
  v128.store(output, zero);
  v128.store(output, zero, 16);
  v128.store(output1, zero);
  v128.store(output1, zero, 16);
  v128.store(output2, zero);
  v128.store(output2, zero, 16);
  v128.store(output3, zero);
  v128.store(output3, zero, 16);
  for (let b = 0; b < blocks; b++) {
    let low0 = v128.load32_splat(input, 4);
    let high0 = low0;
    let low1 = v128.load32_splat(input, I16_RECORD + 4);
    let high1 = low1;
    let low2 = v128.load32_splat(input, 2 * I16_RECORD + 4);
    let high2 = low2;
    let low3 = v128.load32_splat(input, 3 * I16_RECORD + 4);
    let high3 = low3;
    let w = group;
    let x = input;
    for (let step = 0; step < 4; step++) {
      let weightsLow = v128.and(v128.load(w, 16), mask);
      let weightsHigh = v128.and(v128.load(w, 32), mask);
      let pair = v128.load32_splat(x, 16);
      low0 = i32x4.add(low0, i32x4.dot_i16x8_s(weightsLow, pair));
      high0 = i32x4.add(high0, i32x4.dot_i16x8_s(weightsHigh, pair));
      pair = v128.load32_splat(x, I16_RECORD + 16);
      low1 = i32x4.add(low1, i32x4.dot_i16x8_s(weightsLow, pair));
      high1 = i32x4.add(high1, i32x4.dot_i16x8_s(weightsHigh, pair));
      pair = v128.load32_splat(x, 2 * I16_RECORD + 16);
      low2 = i32x4.add(low2, i32x4.dot_i16x8_s(weightsLow, pair));
      high2 = i32x4.add(high2, i32x4.dot_i16x8_s(weightsHigh, pair));
      pair = v128.load32_splat(x, 3 * I16_RECORD + 16);
      low3 = i32x4.add(low3, i32x4.dot_i16x8_s(weightsLow, pair));
      high3 = i32x4.add(high3, i32x4.dot_i16x8_s(weightsHigh, pair));
      weightsLow = v128.and(i16x8.shr_u(v128.load(w, 16), 4), mask);
      weightsHigh = v128.and(i16x8.shr_u(v128.load(w, 32), 4), mask);
      pair = v128.load32_splat(x, 48);
      low0 = i32x4.add(low0, i32x4.dot_i16x8_s(weightsLow, pair));
      high0 = i32x4.add(high0, i32x4.dot_i16x8_s(weightsHigh, pair));
      pair = v128.load32_splat(x, I16_RECORD + 48);
      low1 = i32x4.add(low1, i32x4.dot_i16x8_s(weightsLow, pair));
      high1 = i32x4.add(high1, i32x4.dot_i16x8_s(weightsHigh, pair));
      pair = v128.load32_splat(x, 2 * I16_RECORD + 48);
      low2 = i32x4.add(low2, i32x4.dot_i16x8_s(weightsLow, pair));
      high2 = i32x4.add(high2, i32x4.dot_i16x8_s(weightsHigh, pair));
      pair = v128.load32_splat(x, 3 * I16_RECORD + 48);
      low3 = i32x4.add(low3, i32x4.dot_i16x8_s(weightsLow, pair));
      high3 = i32x4.add(high3, i32x4.dot_i16x8_s(weightsHigh, pair));
      weightsLow = v128.and(i16x8.shr_u(v128.load(w, 16), 8), mask);
      weightsHigh = v128.and(i16x8.shr_u(v128.load(w, 32), 8), mask);
      pair = v128.load32_splat(x, 20);
      low0 = i32x4.add(low0, i32x4.dot_i16x8_s(weightsLow, pair));
      high0 = i32x4.add(high0, i32x4.dot_i16x8_s(weightsHigh, pair));
      pair = v128.load32_splat(x, I16_RECORD + 20);
      low1 = i32x4.add(low1, i32x4.dot_i16x8_s(weightsLow, pair));
      high1 = i32x4.add(high1, i32x4.dot_i16x8_s(weightsHigh, pair));
      pair = v128.load32_splat(x, 2 * I16_RECORD + 20);
      low2 = i32x4.add(low2, i32x4.dot_i16x8_s(weightsLow, pair));
      high2 = i32x4.add(high2, i32x4.dot_i16x8_s(weightsHigh, pair));
      pair = v128.load32_splat(x, 3 * I16_RECORD + 20);
      low3 = i32x4.add(low3, i32x4.dot_i16x8_s(weightsLow, pair));
      high3 = i32x4.add(high3, i32x4.dot_i16x8_s(weightsHigh, pair));
      weightsLow = i16x8.shr_u(v128.load(w, 16), 12);
      weightsHigh = i16x8.shr_u(v128.load(w, 32), 12);
      pair = v128.load32_splat(x, 52);
      low0 = i32x4.add(low0, i32x4.dot_i16x8_s(weightsLow, pair));
      high0 = i32x4.add(high0, i32x4.dot_i16x8_s(weightsHigh, pair));
      pair = v128.load32_splat(x, I16_RECORD + 52);
      low1 = i32x4.add(low1, i32x4.dot_i16x8_s(weightsLow, pair));
      high1 = i32x4.add(high1, i32x4.dot_i16x8_s(weightsHigh, pair));
      pair = v128.load32_splat(x, 2 * I16_RECORD + 52);
      low2 = i32x4.add(low2, i32x4.dot_i16x8_s(weightsLow, pair));
      high2 = i32x4.add(high2, i32x4.dot_i16x8_s(weightsHigh, pair));
      pair = v128.load32_splat(x, 3 * I16_RECORD + 52);
      low3 = i32x4.add(low3, i32x4.dot_i16x8_s(weightsLow, pair));
      high3 = i32x4.add(high3, i32x4.dot_i16x8_s(weightsHigh, pair));
      w += 32;
      x += 8;
    }
    const weightScaleLow = i32x4.shl(v128.load16x4_u(group), 16);
    const weightScaleHigh = i32x4.shl(v128.load16x4_u(group, 8), 16);
    addScaled(output, low0, high0, weightScaleLow, weightScaleHigh, v128.load32_splat(input));
    addScaled(output1, low1, high1, weightScaleLow, weightScaleHigh, v128.load32_splat(input, I16_RECORD));
    addScaled(output2, low2, high2, weightScaleLow, weightScaleHigh, v128.load32_splat(input, 2 * I16_RECORD));
    addScaled(output3, low3, high3, weightScaleLow, weightScaleHigh, v128.load32_splat(input, 3 * I16_RECORD));
    group += RECORD;
    input += inputStride;
  }
}

/**
 * A 16-bit lane starts with the offset of its columns and ends with the sum of 16 products of a weight in -8..7.
 * The magnitude of that sum is at most 16 * 8 * 127 = 16,256, which fits; intermediate sums may wrap around.
 */
function tile_8x1__relaxed(group: usize, blocks: i32, input: usize, inputStride: usize, output: usize): void {
  const mask = v128.load(BYTE_MASK);
  let sumLow = f32x4.splat(0);
  let sumHigh = f32x4.splat(0);
  for (let b = 0; b < blocks; b++) {
    let pairsLow = v128.load32_splat(input, 4);
    let pairsHigh = pairsLow;
    let w = group;
    let x = input;
    for (let step = 0; step < 2; step++) {
      let packedLow = v128.load(w, 16);
      let packedHigh = v128.load(w, 32);
      let four = v128.load32_splat(x, 16);
      pairsLow = i16x8.add(pairsLow, i16x8.relaxed_dot_i8x16_i7x16_s(four, v128.and(packedLow, mask)));
      pairsHigh = i16x8.add(pairsHigh, i16x8.relaxed_dot_i8x16_i7x16_s(four, v128.and(packedHigh, mask)));
      four = v128.load32_splat(x, 32);
      packedLow = v128.and(i16x8.shr_u(packedLow, 4), mask);
      packedHigh = v128.and(i16x8.shr_u(packedHigh, 4), mask);
      pairsLow = i16x8.add(pairsLow, i16x8.relaxed_dot_i8x16_i7x16_s(four, packedLow));
      pairsHigh = i16x8.add(pairsHigh, i16x8.relaxed_dot_i8x16_i7x16_s(four, packedHigh));
      packedLow = v128.load(w, 48);
      packedHigh = v128.load(w, 64);
      four = v128.load32_splat(x, 20);
      pairsLow = i16x8.add(pairsLow, i16x8.relaxed_dot_i8x16_i7x16_s(four, v128.and(packedLow, mask)));
      pairsHigh = i16x8.add(pairsHigh, i16x8.relaxed_dot_i8x16_i7x16_s(four, v128.and(packedHigh, mask)));
      four = v128.load32_splat(x, 36);
      packedLow = v128.and(i16x8.shr_u(packedLow, 4), mask);
      packedHigh = v128.and(i16x8.shr_u(packedHigh, 4), mask);
      pairsLow = i16x8.add(pairsLow, i16x8.relaxed_dot_i8x16_i7x16_s(four, packedLow));
      pairsHigh = i16x8.add(pairsHigh, i16x8.relaxed_dot_i8x16_i7x16_s(four, packedHigh));
      w += 64;
      x += 8;
    }
    const low = i32x4.extadd_pairwise_i16x8_s(pairsLow);
    const high = i32x4.extadd_pairwise_i16x8_s(pairsHigh);
    const scale = v128.load32_splat(input);
    const scaleLow = f32x4.mul(i32x4.shl(v128.load16x4_u(group), 16), scale);
    const scaleHigh = f32x4.mul(i32x4.shl(v128.load16x4_u(group, 8), 16), scale);
    sumLow = f32x4.add(sumLow, f32x4.mul(f32x4.convert_i32x4_s(low), scaleLow));
    sumHigh = f32x4.add(sumHigh, f32x4.mul(f32x4.convert_i32x4_s(high), scaleHigh));
    group += RECORD;
    input += inputStride;
  }
  v128.store(output, sumLow);
  v128.store(output, sumHigh, 16);
}

/** Multiplies 8 weight rows with two activation rows; writes the sums to `output` and `output + outputStride`. */
function tile_8x2__relaxed(
  group: usize,
  blocks: i32,
  input: usize,
  inputStride: usize,
  output: usize,
  outputStride: usize,
): void {
  const mask = v128.load(BYTE_MASK);
  let sumLow0 = f32x4.splat(0);
  let sumHigh0 = f32x4.splat(0);
  let sumLow1 = f32x4.splat(0);
  let sumHigh1 = f32x4.splat(0);
  for (let b = 0; b < blocks; b++) {
    let pairsLow0 = v128.load32_splat(input, 4);
    let pairsHigh0 = pairsLow0;
    let pairsLow1 = v128.load32_splat(input, I8_RECORD + 4);
    let pairsHigh1 = pairsLow1;
    let w = group;
    let x0 = input;
    let x1 = input + I8_RECORD;
    for (let step = 0; step < 4; step++) {
      let weightsLow = v128.load(w, 16);
      let weightsHigh = v128.load(w, 32);
      const shiftedLow = v128.and(i16x8.shr_u(weightsLow, 4), mask);
      const shiftedHigh = v128.and(i16x8.shr_u(weightsHigh, 4), mask);
      weightsLow = v128.and(weightsLow, mask);
      weightsHigh = v128.and(weightsHigh, mask);
      let four = v128.load32_splat(x0, 16);
      pairsLow0 = i16x8.add(pairsLow0, i16x8.relaxed_dot_i8x16_i7x16_s(four, weightsLow));
      pairsHigh0 = i16x8.add(pairsHigh0, i16x8.relaxed_dot_i8x16_i7x16_s(four, weightsHigh));
      four = v128.load32_splat(x1, 16);
      pairsLow1 = i16x8.add(pairsLow1, i16x8.relaxed_dot_i8x16_i7x16_s(four, weightsLow));
      pairsHigh1 = i16x8.add(pairsHigh1, i16x8.relaxed_dot_i8x16_i7x16_s(four, weightsHigh));
      four = v128.load32_splat(x0, 32);
      pairsLow0 = i16x8.add(pairsLow0, i16x8.relaxed_dot_i8x16_i7x16_s(four, shiftedLow));
      pairsHigh0 = i16x8.add(pairsHigh0, i16x8.relaxed_dot_i8x16_i7x16_s(four, shiftedHigh));
      four = v128.load32_splat(x1, 32);
      pairsLow1 = i16x8.add(pairsLow1, i16x8.relaxed_dot_i8x16_i7x16_s(four, shiftedLow));
      pairsHigh1 = i16x8.add(pairsHigh1, i16x8.relaxed_dot_i8x16_i7x16_s(four, shiftedHigh));
      w += 32;
      x0 += 4;
      x1 += 4;
    }
    const weightScaleLow = i32x4.shl(v128.load16x4_u(group), 16);
    const weightScaleHigh = i32x4.shl(v128.load16x4_u(group, 8), 16);
    let scale = v128.load32_splat(input);
    let low = f32x4.convert_i32x4_s(i32x4.extadd_pairwise_i16x8_s(pairsLow0));
    let high = f32x4.convert_i32x4_s(i32x4.extadd_pairwise_i16x8_s(pairsHigh0));
    sumLow0 = f32x4.add(sumLow0, f32x4.mul(low, f32x4.mul(weightScaleLow, scale)));
    sumHigh0 = f32x4.add(sumHigh0, f32x4.mul(high, f32x4.mul(weightScaleHigh, scale)));
    scale = v128.load32_splat(input, I8_RECORD);
    low = f32x4.convert_i32x4_s(i32x4.extadd_pairwise_i16x8_s(pairsLow1));
    high = f32x4.convert_i32x4_s(i32x4.extadd_pairwise_i16x8_s(pairsHigh1));
    sumLow1 = f32x4.add(sumLow1, f32x4.mul(low, f32x4.mul(weightScaleLow, scale)));
    sumHigh1 = f32x4.add(sumHigh1, f32x4.mul(high, f32x4.mul(weightScaleHigh, scale)));
    group += RECORD;
    input += inputStride;
  }
  v128.store(output, sumLow0);
  v128.store(output, sumHigh0, 16);
  v128.store(output + outputStride, sumLow1);
  v128.store(output + outputStride, sumHigh1, 16);
}

/**
 * Multiplies 8 weight rows with four activation rows. The sums are kept in memory between blocks: the 8 integer
 * accumulators leave 4 registers for the operands and none for the sums.
 */
function tile_8x4__relaxed(
  group: usize,
  blocks: i32,
  input: usize,
  inputStride: usize,
  output: usize,
  outputStride: usize,
): void {
  const mask = v128.load(BYTE_MASK);
  const output1 = output + outputStride;
  const output2 = output1 + outputStride;
  const output3 = output2 + outputStride;
  const zero = f32x4.splat(0);
  v128.store(output, zero);
  v128.store(output, zero, 16);
  v128.store(output1, zero);
  v128.store(output1, zero, 16);
  v128.store(output2, zero);
  v128.store(output2, zero, 16);
  v128.store(output3, zero);
  v128.store(output3, zero, 16);
  for (let b = 0; b < blocks; b++) {
    let pairsLow0 = v128.load32_splat(input, 4);
    let pairsHigh0 = pairsLow0;
    let pairsLow1 = v128.load32_splat(input, I8_RECORD + 4);
    let pairsHigh1 = pairsLow1;
    let pairsLow2 = v128.load32_splat(input, 2 * I8_RECORD + 4);
    let pairsHigh2 = pairsLow2;
    let pairsLow3 = v128.load32_splat(input, 3 * I8_RECORD + 4);
    let pairsHigh3 = pairsLow3;
    let w = group;
    let x = input;
    for (let step = 0; step < 4; step++) {
      let low = v128.and(v128.load(w, 16), mask);
      let high = v128.and(v128.load(w, 32), mask);
      let four = v128.load32_splat(x, 16);
      pairsLow0 = i16x8.add(pairsLow0, i16x8.relaxed_dot_i8x16_i7x16_s(four, low));
      pairsHigh0 = i16x8.add(pairsHigh0, i16x8.relaxed_dot_i8x16_i7x16_s(four, high));
      four = v128.load32_splat(x, I8_RECORD + 16);
      pairsLow1 = i16x8.add(pairsLow1, i16x8.relaxed_dot_i8x16_i7x16_s(four, low));
      pairsHigh1 = i16x8.add(pairsHigh1, i16x8.relaxed_dot_i8x16_i7x16_s(four, high));
      four = v128.load32_splat(x, 2 * I8_RECORD + 16);
      pairsLow2 = i16x8.add(pairsLow2, i16x8.relaxed_dot_i8x16_i7x16_s(four, low));
      pairsHigh2 = i16x8.add(pairsHigh2, i16x8.relaxed_dot_i8x16_i7x16_s(four, high));
      four = v128.load32_splat(x, 3 * I8_RECORD + 16);
      pairsLow3 = i16x8.add(pairsLow3, i16x8.relaxed_dot_i8x16_i7x16_s(four, low));
      pairsHigh3 = i16x8.add(pairsHigh3, i16x8.relaxed_dot_i8x16_i7x16_s(four, high));
      low = v128.and(i16x8.shr_u(v128.load(w, 16), 4), mask);
      high = v128.and(i16x8.shr_u(v128.load(w, 32), 4), mask);
      four = v128.load32_splat(x, 32);
      pairsLow0 = i16x8.add(pairsLow0, i16x8.relaxed_dot_i8x16_i7x16_s(four, low));
      pairsHigh0 = i16x8.add(pairsHigh0, i16x8.relaxed_dot_i8x16_i7x16_s(four, high));
      four = v128.load32_splat(x, I8_RECORD + 32);
      pairsLow1 = i16x8.add(pairsLow1, i16x8.relaxed_dot_i8x16_i7x16_s(four, low));
      pairsHigh1 = i16x8.add(pairsHigh1, i16x8.relaxed_dot_i8x16_i7x16_s(four, high));
      four = v128.load32_splat(x, 2 * I8_RECORD + 32);
      pairsLow2 = i16x8.add(pairsLow2, i16x8.relaxed_dot_i8x16_i7x16_s(four, low));
      pairsHigh2 = i16x8.add(pairsHigh2, i16x8.relaxed_dot_i8x16_i7x16_s(four, high));
      four = v128.load32_splat(x, 3 * I8_RECORD + 32);
      pairsLow3 = i16x8.add(pairsLow3, i16x8.relaxed_dot_i8x16_i7x16_s(four, low));
      pairsHigh3 = i16x8.add(pairsHigh3, i16x8.relaxed_dot_i8x16_i7x16_s(four, high));
      w += 32;
      x += 4;
    }
    const weightScaleLow = i32x4.shl(v128.load16x4_u(group), 16);
    const weightScaleHigh = i32x4.shl(v128.load16x4_u(group, 8), 16);
    addScaled(output, i32x4.extadd_pairwise_i16x8_s(pairsLow0), i32x4.extadd_pairwise_i16x8_s(pairsHigh0), weightScaleLow, weightScaleHigh, v128.load32_splat(input));
    addScaled(output1, i32x4.extadd_pairwise_i16x8_s(pairsLow1), i32x4.extadd_pairwise_i16x8_s(pairsHigh1), weightScaleLow, weightScaleHigh, v128.load32_splat(input, I8_RECORD));
    addScaled(output2, i32x4.extadd_pairwise_i16x8_s(pairsLow2), i32x4.extadd_pairwise_i16x8_s(pairsHigh2), weightScaleLow, weightScaleHigh, v128.load32_splat(input, 2 * I8_RECORD));
    addScaled(output3, i32x4.extadd_pairwise_i16x8_s(pairsLow3), i32x4.extadd_pairwise_i16x8_s(pairsHigh3), weightScaleLow, weightScaleHigh, v128.load32_splat(input, 3 * I8_RECORD));
    group += RECORD;
    input += inputStride;
  }
}

/** Converts one row to f32. @param output f32 [cols] */
export function f32_q4_row(weights: usize, cols: i32, row: i32, output: usize): void {
  const blocks = (cols + BLOCK - 1) / BLOCK;
  const r = <usize>(row % GROUP_ROWS);
  let record = weights + <usize>(row / GROUP_ROWS) * <usize>blocks * RECORD;
  for (let first = 0; first < cols; first += BLOCK) {
    const scale = reinterpret<f32>(<i32>load<u16>(record + r * 2) << 16);
    const count = <usize>min(BLOCK, cols - first);
    for (let c: usize = 0; c < count; c++) {
      store<f32>(output + (<usize>first + c) * 4, <f32>(nibble(record, r, c) - 8) * scale);
    }
    record += RECORD;
  }
}

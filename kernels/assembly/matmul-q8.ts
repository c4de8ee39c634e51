/**
 * Products with 8-bit weights. layout.md shows the packed layout: groups of 8 rows, one record
 * of 272 bytes per block of 32 columns (8 bfloat16 scales, then 16 column pairs of 8 rows each).
 *
 * For each weight row and block, in ascending order of blocks, with f32 operations in this order:
 *   accumulator += f32(integer dot product) * (weight scale * activation scale)
 */

import { BLOCK, I16_RECORD } from "./activations";
import { GROUP_ROWS, SCALES_BYTES, addScaled } from "./rows";

/** Bytes of one record: one block of one group. */
export const RECORD: usize = SCALES_BYTES + <usize>(GROUP_ROWS * BLOCK);

/**
 * Multiplies the groups of 8 weight rows from firstGroup up to, but not including, endGroup.
 * @param weights packed q8 [rows, 32 * blocks]
 * @param input records [blocks][numRows]
 * @param output f32 [numRows][...], 8 floats for each group side by side; rows are `outputStride` bytes apart
 */
export function multiplyQ8(
  weights: usize,
  blocks: i32,
  firstGroup: i32,
  endGroup: i32,
  input: usize,
  numRows: i32,
  output: usize,
  outputStride: usize,
): void {
  const inputStride = <usize>numRows * I16_RECORD;
  const groupBytes = <usize>blocks * RECORD;
  let group = weights + <usize>firstGroup * groupBytes;
  for (let g = firstGroup; g < endGroup; g++) {
    let n = 0;
    let x = input;
    let y = output;
    if (ASC_FEATURE_SIMD) {
      for (; n + 4 <= numRows; n += 4) {
        tile_8x4__simd(group, blocks, x, inputStride, y, outputStride);
        x += 4 * I16_RECORD;
        y += 4 * outputStride;
      }
      if (n + 2 <= numRows) {
        tile_8x2__simd(group, blocks, x, inputStride, y, outputStride);
        n += 2;
        x += 2 * I16_RECORD;
        y += 2 * outputStride;
      }
    }
    for (; n < numRows; n++) {
      if (ASC_FEATURE_SIMD) tile_8x1__simd(group, blocks, x, inputStride, y);
      else tile_8x1__scalar(group, blocks, x, inputStride, y);
      x += I16_RECORD;
      y += outputStride;
    }
    group += groupBytes;
    output += 32;
  }
}

/** Multiplies 8 weight rows with one activation row; writes f32 [8] at `output`. */
function tile_8x1__scalar(group: usize, blocks: i32, input: usize, inputStride: usize, output: usize): void {
  for (let r: usize = 0; r < 8; r++) {
    let sum: f32 = 0;
    for (let b = 0; b < blocks; b++) {
      const record = group + <usize>b * RECORD;
      const activations = input + <usize>b * inputStride;
      let dot = 0;
      for (let c: usize = 0; c < 32; c++) {
        const weight = <i32>load<i8>(record + SCALES_BYTES + (c >> 1) * 16 + r * 2 + (c & 1));
        dot += weight * <i32>load<i16>(activations + 16 + c * 2);
      }
      const scale = reinterpret<f32>(<i32>load<u16>(record + r * 2) << 16) * load<f32>(activations);
      sum += <f32>dot * scale;
    }
    store<f32>(output + r * 4, sum);
  }
}

function tile_8x1__simd(group: usize, blocks: i32, input: usize, inputStride: usize, output: usize): void {
  let sumLow = f32x4.splat(0);
  let sumHigh = f32x4.splat(0);
  for (let b = 0; b < blocks; b++) {
    let low = i32x4.splat(0);
    let high = i32x4.splat(0);
    let w = group;
    let x = input;
    for (let step = 0; step < 4; step++) {
      let pair = v128.load32_splat(x, 16);
      low = i32x4.add(low, i32x4.dot_i16x8_s(v128.load8x8_s(w, 16), pair));
      high = i32x4.add(high, i32x4.dot_i16x8_s(v128.load8x8_s(w, 24), pair));
      pair = v128.load32_splat(x, 20);
      low = i32x4.add(low, i32x4.dot_i16x8_s(v128.load8x8_s(w, 32), pair));
      high = i32x4.add(high, i32x4.dot_i16x8_s(v128.load8x8_s(w, 40), pair));
      pair = v128.load32_splat(x, 24);
      low = i32x4.add(low, i32x4.dot_i16x8_s(v128.load8x8_s(w, 48), pair));
      high = i32x4.add(high, i32x4.dot_i16x8_s(v128.load8x8_s(w, 56), pair));
      pair = v128.load32_splat(x, 28);
      low = i32x4.add(low, i32x4.dot_i16x8_s(v128.load8x8_s(w, 64), pair));
      high = i32x4.add(high, i32x4.dot_i16x8_s(v128.load8x8_s(w, 72), pair));
      w += 64;
      x += 16;
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
  let sumLow0 = f32x4.splat(0);
  let sumHigh0 = f32x4.splat(0);
  let sumLow1 = f32x4.splat(0);
  let sumHigh1 = f32x4.splat(0);
  for (let b = 0; b < blocks; b++) {
    let low0 = i32x4.splat(0);
    let high0 = i32x4.splat(0);
    let low1 = i32x4.splat(0);
    let high1 = i32x4.splat(0);
    let w = group;
    let x0 = input;
    let x1 = input + I16_RECORD;
    for (let step = 0; step < 8; step++) {
      let weightsLow = v128.load8x8_s(w, 16);
      let weightsHigh = v128.load8x8_s(w, 24);
      let pair = v128.load32_splat(x0, 16);
      low0 = i32x4.add(low0, i32x4.dot_i16x8_s(weightsLow, pair));
      high0 = i32x4.add(high0, i32x4.dot_i16x8_s(weightsHigh, pair));
      pair = v128.load32_splat(x1, 16);
      low1 = i32x4.add(low1, i32x4.dot_i16x8_s(weightsLow, pair));
      high1 = i32x4.add(high1, i32x4.dot_i16x8_s(weightsHigh, pair));
      weightsLow = v128.load8x8_s(w, 32);
      weightsHigh = v128.load8x8_s(w, 40);
      pair = v128.load32_splat(x0, 20);
      low0 = i32x4.add(low0, i32x4.dot_i16x8_s(weightsLow, pair));
      high0 = i32x4.add(high0, i32x4.dot_i16x8_s(weightsHigh, pair));
      pair = v128.load32_splat(x1, 20);
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
    let low0 = i32x4.splat(0);
    let high0 = i32x4.splat(0);
    let low1 = i32x4.splat(0);
    let high1 = i32x4.splat(0);
    let low2 = i32x4.splat(0);
    let high2 = i32x4.splat(0);
    let low3 = i32x4.splat(0);
    let high3 = i32x4.splat(0);
    let w = group;
    let x = input;
    for (let step = 0; step < 8; step++) {
      let weightsLow = v128.load8x8_s(w, 16);
      let weightsHigh = v128.load8x8_s(w, 24);
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
      weightsLow = v128.load8x8_s(w, 32);
      weightsHigh = v128.load8x8_s(w, 40);
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

/** Converts one row to f32. @param output f32 [cols] */
export function f32_q8_row(weights: usize, cols: i32, row: i32, output: usize): void {
  const blocks = (cols + BLOCK - 1) / BLOCK;
  const r = <usize>(row % GROUP_ROWS);
  let record = weights + <usize>(row / GROUP_ROWS) * <usize>blocks * RECORD;
  for (let first = 0; first < cols; first += BLOCK) {
    const scale = reinterpret<f32>(<i32>load<u16>(record + r * 2) << 16);
    const count = <usize>min(BLOCK, cols - first);
    for (let c: usize = 0; c < count; c++) {
      const value = <f32>load<i8>(record + SCALES_BYTES + (c >> 1) * 16 + r * 2 + (c & 1));
      store<f32>(output + (<usize>first + c) * 4, value * scale);
    }
    record += RECORD;
  }
}

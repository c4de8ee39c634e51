/**
 * Products with 8-bit weights. layout.md shows the packed layout: groups of 8 rows, one record
 * of 272 bytes per block of 32 columns (8 bfloat16 scales, then 16 column pairs of 8 rows each).
 *
 * For each weight row and block, in ascending order of blocks, with f32 operations in this order:
 *   accumulator += f32(integer dot product) * (weight scale * activation scale)
 */

import { BLOCK, I16_RECORD } from "./activations";
import { GROUP_ROWS, SCALES_BYTES } from "./rows";
import {
  BLOCKS_AT_ONCE,
  MIN_WIDENED_ROWS,
  Q8,
  WidenedQ8,
  multiplyStreams,
  multiplyTiles,
  storeZeros,
  widenScales,
  widenedBytes,
} from "./tiles";

/** Bytes of one record: one block of one group. */
export const RECORD: usize = SCALES_BYTES + <usize>(GROUP_ROWS * BLOCK);

/**
 * Multiplies the groups of 8 weight rows from firstGroup up to, but not including, endGroup, with at least two rows.
 * @param weights packed q8 [rows, 32 * blocks]
 * @param input records [blocks][numRows]
 * @param output f32 [numRows][...], 8 floats for each group side by side; rows are `outputStride` bytes apart
 * @param widened WIDENED_BYTES of scratch
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
  widened: usize,
): void {
  const inputStride = <usize>numRows * I16_RECORD;
  const groupBytes = <usize>blocks * RECORD;
  let group = weights + <usize>firstGroup * groupBytes;
  for (let g = firstGroup; g < endGroup; g++) {
    if (ASC_FEATURE_SIMD) {
      storeZeros(output, numRows, outputStride);
      if (numRows < MIN_WIDENED_ROWS) {
        multiplyTiles<Q8, i16>(group, blocks, input, inputStride, numRows, output, outputStride);
      } else {
        for (let b = 0; b < blocks; b += BLOCKS_AT_ONCE) {
          const count = min(BLOCKS_AT_ONCE, blocks - b);
          widen__simd(group + <usize>b * RECORD, count, widened);
          const x = input + <usize>b * inputStride;
          multiplyTiles<WidenedQ8, i16>(widened, count, x, inputStride, numRows, output, outputStride);
        }
      }
    } else {
      for (let n: usize = 0; n < <usize>numRows; n++) {
        tile_8x1__scalar(group, blocks, input + n * I16_RECORD, inputStride, output + n * outputStride);
      }
    }
    group += groupBytes;
    output += 32;
  }
}

/** Multiplies groups from four places with one row of activations, as `multiplyStreamsQ4` does. */
export function multiplyStreamsQ8(
  weights: usize,
  blocks: i32,
  numGroups: i32,
  first: i32,
  far: i32,
  far2: i32,
  count: i32,
  input: usize,
  output: usize,
): void {
  const groupBytes = <usize>blocks * RECORD;
  const last = numGroups - 1;
  const stride = <usize>count * 32;
  for (let g = first; g < first + count; g++) {
    const group0 = weights + <usize>min(g, last) * groupBytes;
    const group1 = weights + <usize>min(g + far, last) * groupBytes;
    const group2 = weights + <usize>min(g + far2, last) * groupBytes;
    const group3 = weights + <usize>min(g + far + far2, last) * groupBytes;
    if (ASC_FEATURE_SIMD) {
      streams__simd(group0, group1 - group0, group2 - group0, group3 - group0, blocks, input, output, stride);
    } else {
      tile_8x1__scalar(group0, blocks, input, I16_RECORD, output);
      tile_8x1__scalar(group1, blocks, input, I16_RECORD, output + stride);
      tile_8x1__scalar(group2, blocks, input, I16_RECORD, output + 2 * stride);
      tile_8x1__scalar(group3, blocks, input, I16_RECORD, output + 3 * stride);
    }
    output += 32;
  }
}

function streams__simd(
  group: usize,
  far1: usize,
  far2: usize,
  far3: usize,
  blocks: i32,
  input: usize,
  output: usize,
  stride: usize,
): void {
  multiplyStreams<Q8, i16>(group, far1, far2, far3, blocks, input, output, stride);
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

function widen__simd(record: usize, blocks: i32, widened: usize): void {
  for (let b = 0; b < blocks; b++) {
    for (let i: usize = 0; i < 32; i++) v128.store(widened + i * 16, v128.load8x8_s(record + i * 8, 16));
    widenScales<i16>(record, widened);
    widened += widenedBytes<i16>();
    record += RECORD;
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

/**
 * Products with 4-bit weights. layout.md shows the packed layout: groups of 8 rows, one record
 * of 144 bytes per block of 32 columns (8 bfloat16 scales, then 4 steps of 8 columns, 4 bytes a row).
 * A weight w is stored as w + 8, so that it can be the unsigned operand of the relaxed dot product,
 * which is exact because that operand is in 0..127; the block sum of the activations, times -8,
 * cancels the offset. Integer sums are exact and therefore equal in every build.
 *
 * For each weight row and block, in ascending order of blocks, with f32 operations in this order:
 *   accumulator += f32(integer dot product) * (weight scale * activation scale)
 */

import { BLOCK, I16_RECORD, I8_RECORD, ValueOrder } from "./activations";
import { GROUP_ROWS, SCALES_BYTES } from "./rows";
import {
  BLOCKS_AT_ONCE,
  MIN_WIDENED_ROWS,
  Q4,
  WidenedQ4,
  multiplyStreams,
  multiplyTiles,
  nibbleMask,
  nibbles,
  storeZeros,
  widenScales,
  widenedBytes,
} from "./tiles";

/** Storage order of activations in this build, and the bytes of one activation record. */
export const Q4_ORDER: ValueOrder = ASC_FEATURE_RELAXED_SIMD ? ValueOrder.I8 : ASC_FEATURE_SIMD ? ValueOrder.I16Pairs : ValueOrder.I16;
export const Q4_INPUT_RECORD: usize = ASC_FEATURE_RELAXED_SIMD ? I8_RECORD : I16_RECORD;

/** Bytes of one record: one block of one group. */
export const RECORD: usize = SCALES_BYTES + <usize>(GROUP_ROWS * BLOCK) / 2;

/**
 * Multiplies the groups of 8 weight rows from firstGroup up to, but not including, endGroup, with at least two rows.
 * @param weights packed q4 [rows, 32 * blocks]
 * @param input records [blocks][numRows]
 * @param output f32 [numRows][...], 8 floats for each group side by side; rows are `outputStride` bytes apart
 * @param widened WIDENED_BYTES of scratch
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
  widened: usize,
): void {
  const inputStride = <usize>numRows * Q4_INPUT_RECORD;
  const groupBytes = <usize>blocks * RECORD;
  let group = weights + <usize>firstGroup * groupBytes;
  for (let g = firstGroup; g < endGroup; g++) {
    if (ASC_FEATURE_SIMD) {
      storeZeros(output, numRows, outputStride);
      if (numRows < MIN_WIDENED_ROWS) {
        if (ASC_FEATURE_RELAXED_SIMD) multiplyTiles<Q4, i8>(group, blocks, input, inputStride, numRows, output, outputStride);
        else multiplyTiles<Q4, i16>(group, blocks, input, inputStride, numRows, output, outputStride);
      } else {
        for (let b = 0; b < blocks; b += BLOCKS_AT_ONCE) {
          const count = min(BLOCKS_AT_ONCE, blocks - b);
          widen__simd(group + <usize>b * RECORD, count, widened);
          const x = input + <usize>b * inputStride;
          if (ASC_FEATURE_RELAXED_SIMD) multiplyTiles<WidenedQ4, i8>(widened, count, x, inputStride, numRows, output, outputStride);
          else multiplyTiles<WidenedQ4, i16>(widened, count, x, inputStride, numRows, output, outputStride);
        }
      }
    } else {
      for (let n: usize = 0; n < <usize>numRows; n++) {
        tile_8x1__scalar(group, blocks, input + n * Q4_INPUT_RECORD, inputStride, output + n * outputStride);
      }
    }
    group += groupBytes;
    output += 32;
  }
}

/**
 * Multiplies `count` groups from each of four places with one row of activations. The places begin at the groups
 * first, first + far, first + far2 and first + far + far2; a group past the last one is replaced by the last one.
 * @param numGroups groups that exist
 * @param input records [blocks]
 * @param output f32 [4][count * 8]
 */
export function multiplyStreamsQ4(
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
      tile_8x1__scalar(group0, blocks, input, Q4_INPUT_RECORD, output);
      tile_8x1__scalar(group1, blocks, input, Q4_INPUT_RECORD, output + stride);
      tile_8x1__scalar(group2, blocks, input, Q4_INPUT_RECORD, output + 2 * stride);
      tile_8x1__scalar(group3, blocks, input, Q4_INPUT_RECORD, output + 3 * stride);
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
  if (ASC_FEATURE_RELAXED_SIMD) multiplyStreams<Q4, i8>(group, far1, far2, far3, blocks, input, output, stride);
  else multiplyStreams<Q4, i16>(group, far1, far2, far3, blocks, input, output, stride);
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

/** Unpacks the nibbles of a group's blocks in the order in which the activations are stored. */
function widen__simd(record: usize, blocks: i32, widened: usize): void {
  const mask = ASC_FEATURE_RELAXED_SIMD ? nibbleMask<i8>() : nibbleMask<i16>();
  for (let b = 0; b < blocks; b++) {
    let w = record;
    let target = widened;
    for (let step = 0; step < 4; step++) {
      const low = v128.load(w, 16);
      const high = v128.load(w, 32);
      if (ASC_FEATURE_RELAXED_SIMD) {
        v128.store(target, nibbles<i8>(0, low, mask));
        v128.store(target, nibbles<i8>(0, high, mask), 16);
        v128.store(target, nibbles<i8>(4, low, mask), 128);
        v128.store(target, nibbles<i8>(4, high, mask), 144);
        target += 32;
      } else {
        v128.store(target, nibbles<i16>(0, low, mask));
        v128.store(target, nibbles<i16>(0, high, mask), 16);
        v128.store(target, nibbles<i16>(8, low, mask), 32);
        v128.store(target, nibbles<i16>(8, high, mask), 48);
        v128.store(target, nibbles<i16>(4, low, mask), 256);
        v128.store(target, nibbles<i16>(4, high, mask), 272);
        v128.store(target, nibbles<i16>(12, low, mask), 288);
        v128.store(target, nibbles<i16>(12, high, mask), 304);
        target += 64;
      }
      w += 32;
    }
    if (ASC_FEATURE_RELAXED_SIMD) {
      widenScales<i8>(record, widened);
      widened += widenedBytes<i8>();
    } else {
      widenScales<i16>(record, widened);
      widened += widenedBytes<i16>();
    }
    record += RECORD;
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

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
import { GROUP_ROWS, SCALES_BYTES, addScaled, scalesHigh, scalesLow, storeZeros } from "./rows";
import { BLOCKS_AT_ONCE, addDots, multiplyWidened, rowSums, storeWidenedScales, widenedRecord } from "./tiles";

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

/** Bytes between the activations of two steps. */
const STEP_INPUT: usize = ASC_FEATURE_RELAXED_SIMD ? 4 : 8;

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
      for (let b = 0; b < blocks; b += BLOCKS_AT_ONCE) {
        const count = min(BLOCKS_AT_ONCE, blocks - b);
        widen__simd(group + <usize>b * RECORD, count, widened);
        const x = input + <usize>b * inputStride;
        if (ASC_FEATURE_RELAXED_SIMD) multiplyWidened<u8>(true, widened, count, x, numRows, output, outputStride);
        else multiplyWidened<i16>(true, widened, count, x, numRows, output, outputStride);
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
 * Multiplies four groups with one row. Memory delivers four streams about twice as fast as one. The 8 integer
 * sums are in registers, the f32 sums in memory. The loop body is small, because the compiler moves the loads of a
 * longer one to its beginning and runs out of registers.
 * @param far1, far2, far3 bytes from the first group to the others; addresses wrap around
 */
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
  const output1 = output + stride;
  const output2 = output1 + stride;
  const output3 = output2 + stride;
  storeZeros(output, 4, stride);
  for (let b = 0; b < blocks; b++) {
    let low0 = v128.load32_splat(input, 4);
    let high0 = low0;
    let low1 = low0;
    let high1 = low0;
    let low2 = low0;
    let high2 = low0;
    let low3 = low0;
    let high3 = low0;
    let w = group;
    const end = input + 4 * STEP_INPUT;
    for (let x = input; x < end; x += STEP_INPUT) {
      low0 = addStep(low0, v128.load(w, 16), x);
      high0 = addStep(high0, v128.load(w, 32), x);
      const w1 = w + far1;
      low1 = addStep(low1, v128.load(w1, 16), x);
      high1 = addStep(high1, v128.load(w1, 32), x);
      const w2 = w + far2;
      low2 = addStep(low2, v128.load(w2, 16), x);
      high2 = addStep(high2, v128.load(w2, 32), x);
      const w3 = w + far3;
      low3 = addStep(low3, v128.load(w3, 16), x);
      high3 = addStep(high3, v128.load(w3, 32), x);
      w += 32;
    }
    const scale = v128.load32_splat(input);
    addGroup(output, low0, high0, group, scale);
    addGroup(output1, low1, high1, group + far1, scale);
    addGroup(output2, low2, high2, group + far2, scale);
    addGroup(output3, low3, high3, group + far3, scale);
    group += RECORD;
    input += Q4_INPUT_RECORD;
  }
}

// @ts-ignore: decorator
@inline
function addGroup(output: usize, low: v128, high: v128, record: usize, scale: v128): void {
  if (ASC_FEATURE_RELAXED_SIMD) {
    low = rowSums<u8>(low);
    high = rowSums<u8>(high);
  }
  addScaled(output, low, high, scalesLow(record), scalesHigh(record), scale);
}

/**
 * Adds the products of 16 bytes of one step. Read as 16-bit lanes, a row's nibbles are, from the low end: columns 0 2,
 * columns 16 18, columns 1 3, columns 17 19 of the step; the simd build stores activations in that order.
 */
// @ts-ignore: decorator
@inline
function addStep(sums: v128, packed: v128, x: usize): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) {
    sums = addDots<u8>(sums, v128.load32_splat(x, 16), nibbles(0, packed));
    return addDots<u8>(sums, v128.load32_splat(x, 32), nibbles(4, packed));
  }
  sums = addDots<i16>(sums, v128.load32_splat(x, 16), nibbles(0, packed));
  sums = addDots<i16>(sums, v128.load32_splat(x, 48), nibbles(4, packed));
  sums = addDots<i16>(sums, v128.load32_splat(x, 20), nibbles(8, packed));
  return addDots<i16>(sums, v128.load32_splat(x, 52), nibbles(12, packed));
}

/** Returns the nibbles at bit `shift` of every byte (relaxed build) or of every 16-bit lane. */
// @ts-ignore: decorator
@inline
function nibbles(shift: i32, packed: v128): v128 {
  const shifted = shift == 0 ? packed : i16x8.shr_u(packed, shift);
  if (ASC_FEATURE_RELAXED_SIMD) return v128.and(shifted, v128.load(BYTE_MASK));
  return shift == 12 ? shifted : v128.and(shifted, v128.load(LANE_MASK));
}

/** Widens the nibbles of a group's blocks in the order in which the activations are stored. */
function widen__simd(record: usize, blocks: i32, widened: usize): void {
  for (let b = 0; b < blocks; b++) {
    let w = record;
    let target = widened;
    for (let step = 0; step < 4; step++) {
      const low = v128.load(w, 16);
      const high = v128.load(w, 32);
      if (ASC_FEATURE_RELAXED_SIMD) {
        v128.store(target, nibbles(0, low));
        v128.store(target, nibbles(0, high), 16);
        v128.store(target, nibbles(4, low), 128);
        v128.store(target, nibbles(4, high), 144);
        target += 32;
      } else {
        v128.store(target, nibbles(0, low));
        v128.store(target, nibbles(0, high), 16);
        v128.store(target, nibbles(8, low), 32);
        v128.store(target, nibbles(8, high), 48);
        v128.store(target, nibbles(4, low), 256);
        v128.store(target, nibbles(4, high), 272);
        v128.store(target, nibbles(12, low), 288);
        v128.store(target, nibbles(12, high), 304);
        target += 64;
      }
      w += 32;
    }
    if (ASC_FEATURE_RELAXED_SIMD) {
      storeWidenedScales<u8>(widened, record);
      widened += widenedRecord<u8>();
    } else {
      storeWidenedScales<i16>(widened, record);
      widened += widenedRecord<i16>();
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

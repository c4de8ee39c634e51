/**
 * Tiles of integer products: 8 weight rows times 1, 2 or 4 rows of activations, or 8 weight rows from each of four
 * places times one row. One body serves every source of weights, with types as parameters:
 *
 *   W  form of the weights: `Q4` and `Q8` are packed records, `WidenedQ4` and `WidenedQ8` records that a thread has
 *      unpacked for itself, which pays with many rows: values as the products need them, then f32 [8] scales
 *   A  type of the activations' values: i8 (4-bit weights in the builds relaxed and dot) or i16
 *
 * The f32 sums are in memory, because 8 integer sums leave too few registers for them. Loop bodies are small: the
 * compiler moves the loads of a longer one to its beginning and runs out of registers.
 */

import { BLOCK, RECORD_HEAD } from "./activations";
import { GROUP_ROWS, SCALES_BYTES } from "./rows";

export class Q4 {}
export class Q8 {}
export class WidenedQ4 {}
export class WidenedQ8 {}

/** Blocks that are widened at a time: few enough to stay in the first cache. */
export const BLOCKS_AT_ONCE: i32 = 32;
/** Bytes of scratch per thread, a multiple of 64. */
export const WIDENED_BYTES: usize = <usize>BLOCKS_AT_ONCE * 544;
/** Rows of activations from which widening pays. */
export const MIN_WIDENED_ROWS: i32 = 8;

/**
 * Bytes of a record of widened weights. With i8 activations, 8 steps of 4 columns: u8 [8 rows][4 columns]. With i16
 * activations, 16 steps of 2 columns: i16 [8 rows][2 columns].
 */
// @ts-ignore: decorator
@inline
export function widenedBytes<A>(): usize {
  return widenedValues<A>() + 4 * <usize>GROUP_ROWS;
}

// @ts-ignore: decorator
@inline
function widenedValues<A>(): usize {
  return <usize>(GROUP_ROWS * BLOCK) * sizeof<A>();
}

/** Writes the scales of a widened record. @param record packed weights, which begin with the scales */
// @ts-ignore: decorator
@inline
export function widenScales<A>(record: usize, widened: usize): void {
  v128.store(widened + widenedValues<A>(), packedScalesLow(record));
  v128.store(widened + widenedValues<A>(), packedScalesHigh(record), 16);
}

/**
 * Multiplies 8 weight rows with `numRows` rows of activations.
 * @param weights records of `blocks` blocks
 * @param input records [blocks][at least numRows]; `inputStride` bytes from block to block
 * @param output f32 [numRows][8], rows `outputStride` bytes apart; the sums are added to it
 */
// @ts-ignore: decorator
@inline
export function multiplyTiles<W, A>(
  weights: usize,
  blocks: i32,
  input: usize,
  inputStride: usize,
  numRows: i32,
  output: usize,
  outputStride: usize,
): void {
  const record: usize = RECORD_HEAD + 32 * sizeof<A>();
  let n = 0;
  for (; n + 4 <= numRows; n += 4) {
    tile<W, A>(4, weights, blocks, input, inputStride, output, outputStride);
    input += 4 * record;
    output += 4 * outputStride;
  }
  if (n + 2 <= numRows) {
    tile<W, A>(2, weights, blocks, input, inputStride, output, outputStride);
    n += 2;
    input += 2 * record;
    output += 2 * outputStride;
  }
  if (n < numRows) tile<W, A>(1, weights, blocks, input, inputStride, output, outputStride);
}

/** @param numRows 1, 2 or 4 */
// @ts-ignore: decorator
@inline
function tile<W, A>(
  numRows: i32,
  weights: usize,
  blocks: i32,
  input: usize,
  inputStride: usize,
  output: usize,
  outputStride: usize,
): void {
  const record: usize = RECORD_HEAD + 32 * sizeof<A>();
  const second: usize = sizeof<A>() == 1 ? 32 : 48;
  const output1 = output + outputStride;
  const output2 = output1 + outputStride;
  const output3 = output2 + outputStride;
  const mask = isQ4<W>() ? nibbleMask<A>() : i32x4.splat(0);
  for (let block = 0; block < blocks; block++) {
    let low0 = startOf<W>(input);
    let high0 = low0;
    let low1 = low0;
    let high1 = low0;
    let low2 = low0;
    let high2 = low0;
    let low3 = low0;
    let high3 = low0;
    if (numRows > 1) {
      low1 = startOf<W>(input + record);
      high1 = low1;
    }
    if (numRows > 2) {
      low2 = startOf<W>(input + 2 * record);
      high2 = low2;
      low3 = startOf<W>(input + 3 * record);
      high3 = low3;
    }
    let w = weights;
    const end = input + inputBytes<W, A>();
    for (let x = input; x < end; x += inputStep<W, A>()) {
      const low = valuesLow<W>(w);
      const high = valuesHigh<W>(w);
      w += weightStep<W>();
      let a = v128.load32_splat(x, 16);
      let b = a;
      let c = a;
      let d = a;
      if (isQ4<W>()) b = v128.load32_splat(x, second);
      if (isQ4<W>() && sizeof<A>() == 2) {
        c = v128.load32_splat(x, 20);
        d = v128.load32_splat(x, 52);
      }
      low0 = addStep<W, A>(low0, low, a, b, c, d, mask);
      high0 = addStep<W, A>(high0, high, a, b, c, d, mask);
      if (numRows > 1) {
        a = v128.load32_splat(x, 16 + record);
        if (isQ4<W>()) b = v128.load32_splat(x, second + record);
        if (isQ4<W>() && sizeof<A>() == 2) {
          c = v128.load32_splat(x, 20 + record);
          d = v128.load32_splat(x, 52 + record);
        }
        low1 = addStep<W, A>(low1, low, a, b, c, d, mask);
        high1 = addStep<W, A>(high1, high, a, b, c, d, mask);
      }
      if (numRows > 2) {
        a = v128.load32_splat(x, 16 + 2 * record);
        if (isQ4<W>()) b = v128.load32_splat(x, second + 2 * record);
        if (isQ4<W>() && sizeof<A>() == 2) {
          c = v128.load32_splat(x, 20 + 2 * record);
          d = v128.load32_splat(x, 52 + 2 * record);
        }
        low2 = addStep<W, A>(low2, low, a, b, c, d, mask);
        high2 = addStep<W, A>(high2, high, a, b, c, d, mask);
        a = v128.load32_splat(x, 16 + 3 * record);
        if (isQ4<W>()) b = v128.load32_splat(x, second + 3 * record);
        if (isQ4<W>() && sizeof<A>() == 2) {
          c = v128.load32_splat(x, 20 + 3 * record);
          d = v128.load32_splat(x, 52 + 3 * record);
        }
        low3 = addStep<W, A>(low3, low, a, b, c, d, mask);
        high3 = addStep<W, A>(high3, high, a, b, c, d, mask);
      }
    }
    const scaleLow = scalesLow<W, A>(weights);
    const scaleHigh = scalesHigh<W, A>(weights);
    addScaled<A>(output, low0, high0, scaleLow, scaleHigh, v128.load32_splat(input));
    if (numRows > 1) addScaled<A>(output1, low1, high1, scaleLow, scaleHigh, v128.load32_splat(input, record));
    if (numRows > 2) addScaled<A>(output2, low2, high2, scaleLow, scaleHigh, v128.load32_splat(input, 2 * record));
    if (numRows > 2) addScaled<A>(output3, low3, high3, scaleLow, scaleHigh, v128.load32_splat(input, 3 * record));
    weights += weightBytes<W, A>();
    input += inputStride;
  }
}

/**
 * Multiplies four times 8 weight rows with one row of activations. Memory delivers four streams about twice as fast as
 * one.
 * @param weights records of the first 8 rows
 * @param far1, far2, far3 bytes from there to the records of the others; addresses wrap around
 * @param input records [blocks]
 * @param output f32 [4][8], `outputStride` bytes apart
 */
// @ts-ignore: decorator
@inline
export function multiplyStreams<W, A>(
  weights: usize,
  far1: usize,
  far2: usize,
  far3: usize,
  blocks: i32,
  input: usize,
  output: usize,
  outputStride: usize,
): void {
  const second: usize = sizeof<A>() == 1 ? 32 : 48;
  const output1 = output + outputStride;
  const output2 = output1 + outputStride;
  const output3 = output2 + outputStride;
  storeZeros(output, 4, outputStride);
  const mask = isQ4<W>() ? nibbleMask<A>() : i32x4.splat(0);
  for (let block = 0; block < blocks; block++) {
    let low0 = startOf<W>(input);
    let high0 = low0;
    let low1 = low0;
    let high1 = low0;
    let low2 = low0;
    let high2 = low0;
    let low3 = low0;
    let high3 = low0;
    let w = weights;
    const end = input + inputBytes<W, A>();
    for (let x = input; x < end; x += inputStep<W, A>()) {
      const a = v128.load32_splat(x, 16);
      let b = a;
      let c = a;
      let d = a;
      if (isQ4<W>()) b = v128.load32_splat(x, second);
      if (isQ4<W>() && sizeof<A>() == 2) {
        c = v128.load32_splat(x, 20);
        d = v128.load32_splat(x, 52);
      }
      low0 = addStep<W, A>(low0, valuesLow<W>(w), a, b, c, d, mask);
      high0 = addStep<W, A>(high0, valuesHigh<W>(w), a, b, c, d, mask);
      const w1 = w + far1;
      low1 = addStep<W, A>(low1, valuesLow<W>(w1), a, b, c, d, mask);
      high1 = addStep<W, A>(high1, valuesHigh<W>(w1), a, b, c, d, mask);
      const w2 = w + far2;
      low2 = addStep<W, A>(low2, valuesLow<W>(w2), a, b, c, d, mask);
      high2 = addStep<W, A>(high2, valuesHigh<W>(w2), a, b, c, d, mask);
      const w3 = w + far3;
      low3 = addStep<W, A>(low3, valuesLow<W>(w3), a, b, c, d, mask);
      high3 = addStep<W, A>(high3, valuesHigh<W>(w3), a, b, c, d, mask);
      w += weightStep<W>();
    }
    const scale = v128.load32_splat(input);
    addScaled<A>(output, low0, high0, packedScalesLow(weights), packedScalesHigh(weights), scale);
    const weights1 = weights + far1;
    addScaled<A>(output1, low1, high1, packedScalesLow(weights1), packedScalesHigh(weights1), scale);
    const weights2 = weights + far2;
    addScaled<A>(output2, low2, high2, packedScalesLow(weights2), packedScalesHigh(weights2), scale);
    const weights3 = weights + far3;
    addScaled<A>(output3, low3, high3, packedScalesLow(weights3), packedScalesHigh(weights3), scale);
    weights += weightBytes<W, A>();
    input += RECORD_HEAD + 32 * sizeof<A>();
  }
}

/** Returns the sums before the first product: what cancels the +8 offset of 4-bit weights. */
// @ts-ignore: decorator
@inline
function startOf<W>(record: usize): v128 {
  return idof<W>() == idof<Q4>() || idof<W>() == idof<WidenedQ4>() ? v128.load32_splat(record, 4) : i32x4.splat(0);
}

/** A step of packed 4-bit weights has 8 columns; all others have as many as one dot product, 4 of i8 or 2 of i16. */
// @ts-ignore: decorator
@inline
function isQ4<W>(): bool {
  return idof<W>() == idof<Q4>();
}

/** Returns the bytes between the activations of two steps. */
// @ts-ignore: decorator
@inline
function inputStep<W, A>(): usize {
  return isQ4<W>() ? 4 * sizeof<A>() : 4;
}

/** Returns how far all steps of a block advance in its activations, in bytes: `inputStep` times the number of steps. */
// @ts-ignore: decorator
@inline
function inputBytes<W, A>(): usize {
  return (isQ4<W>() ? 16 : 32) * sizeof<A>();
}

// @ts-ignore: decorator
@inline
function weightStep<W>(): usize {
  return idof<W>() == idof<Q8>() ? 16 : 32;
}

/** Returns the bytes of a block's record. */
// @ts-ignore: decorator
@inline
function weightBytes<W, A>(): usize {
  if (isQ4<W>()) return SCALES_BYTES + <usize>(GROUP_ROWS * BLOCK) / 2;
  if (idof<W>() == idof<Q8>()) return SCALES_BYTES + <usize>(GROUP_ROWS * BLOCK);
  return widenedBytes<A>();
}

/** Returns the values of the first four rows in a step, and those of the last four. */
// @ts-ignore: decorator
@inline
function valuesLow<W>(step: usize): v128 {
  if (isQ4<W>()) return v128.load(step, 16);
  if (idof<W>() == idof<Q8>()) return v128.load8x8_s(step, 16);
  return v128.load(step);
}

// @ts-ignore: decorator
@inline
function valuesHigh<W>(step: usize): v128 {
  if (isQ4<W>()) return v128.load(step, 32);
  if (idof<W>() == idof<Q8>()) return v128.load8x8_s(step, 24);
  return v128.load(step, 16);
}

// @ts-ignore: decorator
@inline
function scalesLow<W, A>(record: usize): v128 {
  if (isQ4<W>() || idof<W>() == idof<Q8>()) return packedScalesLow(record);
  return v128.load(record + widenedValues<A>());
}

// @ts-ignore: decorator
@inline
function scalesHigh<W, A>(record: usize): v128 {
  if (isQ4<W>() || idof<W>() == idof<Q8>()) return packedScalesHigh(record);
  return v128.load(record + widenedValues<A>(), 16);
}

// @ts-ignore: decorator
@inline
function packedScalesLow(record: usize): v128 {
  return i32x4.shl(v128.load16x4_u(record), 16);
}

// @ts-ignore: decorator
@inline
function packedScalesHigh(record: usize): v128 {
  return i32x4.shl(v128.load16x4_u(record, 8), 16);
}

/**
 * Adds the products of one step.
 * @param a, b, c, d activations; all but `a` are of packed 4-bit weights, c and d of those with i16 activations
 */
// @ts-ignore: decorator
@inline
function addStep<W, A>(sums: v128, weights: v128, a: v128, b: v128, c: v128, d: v128, mask: v128): v128 {
  if (!isQ4<W>()) return addDots<A>(sums, a, weights);
  sums = addDots<A>(sums, a, nibbles<A>(0, weights, mask));
  sums = addDots<A>(sums, b, nibbles<A>(4, weights, mask));
  if (sizeof<A>() == 1) return sums;
  sums = addDots<A>(sums, c, nibbles<A>(8, weights, mask));
  return addDots<A>(sums, d, nibbles<A>(12, weights, mask));
}

/**
 * Adds the products of four columns (i8) or two (i16). The sums are one i32 per row; of i8 in the build relaxed they are
 * two i16 per row: they start with the offset of their columns and end with the sum of 16 products of a weight in -8..7,
 * whose magnitude is at most 16 * 8 * 127 = 16,256, which fits; sums on the way may wrap around.
 */
// @ts-ignore: decorator
@inline
function addDots<A>(sums: v128, activations: v128, weights: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) {
    if (sizeof<A>() == 1) {
      if (ACCUMULATES) return i32x4.relaxed_dot_i8x16_i7x16_add_s(activations, weights, sums);
      return i16x8.add(sums, i16x8.relaxed_dot_i8x16_i7x16_s(activations, weights));
    }
  }
  return i32x4.add(sums, i32x4.dot_i16x8_s(weights, activations));
}

/**
 * The value 15 in every byte, and in every 16-bit lane. The masks are in memory because a load is cheaper
 * than the several instructions that a vector constant compiles to.
 */
const BYTE_MASK: usize = memory.data<u8>([15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15], 16);
const LANE_MASK: usize = memory.data<u16>([15, 15, 15, 15, 15, 15, 15, 15], 16);

/**
 * Returns the nibbles at bit `shift` of every byte (i8 activations) or of every 16-bit lane (i16). A row's nibbles in a
 * step are, in lanes and from the low end: columns 0 2, columns 16 18, columns 1 3, columns 17 19.
 */
// @ts-ignore: decorator
@inline
export function nibbles<A>(shift: i32, packed: v128, mask: v128): v128 {
  const shifted = shift == 0 ? packed : i16x8.shr_u(packed, shift);
  return sizeof<A>() == 2 && shift == 12 ? shifted : v128.and(shifted, mask);
}

// @ts-ignore: decorator
@inline
export function nibbleMask<A>(): v128 {
  return v128.load(sizeof<A>() == 1 ? BYTE_MASK : LANE_MASK);
}

/** Adds to f32 [8] at `output`: integer sums of 8 weight rows * (weight scales * activation scale). */
// @ts-ignore: decorator
@inline
function addScaled<A>(output: usize, low: v128, high: v128, scaleLow: v128, scaleHigh: v128, scale: v128): void {
  if (sizeof<A>() == 1 && !ACCUMULATES) {
    low = i32x4.extadd_pairwise_i16x8_s(low);
    high = i32x4.extadd_pairwise_i16x8_s(high);
  }
  const first = f32x4.mul(f32x4.convert_i32x4_s(low), f32x4.mul(scaleLow, scale));
  const last = f32x4.mul(f32x4.convert_i32x4_s(high), f32x4.mul(scaleHigh, scale));
  v128.store(output, f32x4.add(v128.load(output), first));
  v128.store(output, f32x4.add(v128.load(output, 16), last), 16);
}

/** Stores zeros to f32 [numRows][8]; rows are `stride` bytes apart. */
// @ts-ignore: decorator
@inline
export function storeZeros(output: usize, numRows: i32, stride: usize): void {
  for (let n: usize = 0; n < <usize>numRows; n++) {
    v128.store(output + n * stride, f32x4.splat(0));
    v128.store(output + n * stride, f32x4.splat(0), 16);
  }
}

/** Code shared by the quantized products. */

/** Weight rows in one group: the quantized layouts store a group together, and callers request products by groups. */
export const GROUP_ROWS: i32 = 8;

/** Bytes of a record's scales: one bfloat16 number for each row of the group. The values follow them. */
export const SCALES_BYTES: usize = 2 * <usize>GROUP_ROWS;

/** Adds to f32 [8] at `output`: integer sums of 8 weight rows * (weight scales * activation scale). */
// @ts-ignore: decorator
@inline
export function addScaled(output: usize, low: v128, high: v128, weightScaleLow: v128, weightScaleHigh: v128, scale: v128): void {
  v128.store(output, f32x4.add(v128.load(output), f32x4.mul(f32x4.convert_i32x4_s(low), f32x4.mul(weightScaleLow, scale))));
  v128.store(output, f32x4.add(v128.load(output, 16), f32x4.mul(f32x4.convert_i32x4_s(high), f32x4.mul(weightScaleHigh, scale))), 16);
}

/** Returns the scales of the first four rows of a record, and of the last four. */
// @ts-ignore: decorator
@inline
export function scalesLow(record: usize): v128 {
  return i32x4.shl(v128.load16x4_u(record), 16);
}

// @ts-ignore: decorator
@inline
export function scalesHigh(record: usize): v128 {
  return i32x4.shl(v128.load16x4_u(record, 8), 16);
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

/**
 * Writes keys and values to KV cache pages. layout.md shows the layouts. A part is the memory of one kv head
 * in one plane (keys or values) of one layer of a page.
 *
 *   f32  keys [pageSize / 4][D][4 positions], values [pageSize][D]
 *   q8   keys int8 [pageSize / 4][D / 2][4 positions][2], values int8 [pageSize / 2][D][2 positions],
 *        then one f32 scale for each position
 */

/** Returns the bytes of a part. */
// @ts-ignore: decorator
@inline
export function partBytes(headDim: i32, pageSize: i32, isQ8: bool): usize {
  return <usize>pageSize * <usize>(isQ8 ? headDim + 4 : headDim * 4);
}

/** Writes one position's key. @param key f32 [headDim] @param offset position within the page */
export function writeKey(part: usize, key: usize, headDim: i32, pageSize: i32, offset: i32, isQ8: bool): void {
  const lane = <usize>(offset & 3);
  const quad = <usize>(offset >> 2) * <usize>headDim;
  if (!isQ8) {
    for (let d: usize = 0; d < <usize>headDim; d++) {
      store<f32>(part + (quad + d) * 16 + lane * 4, load<f32>(key + d * 4));
    }
    return;
  }
  const inverse = writeScale(part, key, headDim, pageSize, offset);
  for (let d: usize = 0; d < <usize>headDim; d++) {
    store<i8>(part + quad * 4 + (d >> 1) * 8 + lane * 2 + (d & 1), <i8>rounded(load<f32>(key + d * 4) * inverse));
  }
}

/** Writes one position's value. @param value f32 [headDim] @param offset position within the page */
export function writeValue(part: usize, value: usize, headDim: i32, pageSize: i32, offset: i32, isQ8: bool): void {
  if (!isQ8) {
    memory.copy(part + <usize>(offset * headDim) * 4, value, <usize>headDim * 4);
    return;
  }
  const inverse = writeScale(part, value, headDim, pageSize, offset);
  const pair = part + <usize>(offset >> 1) * <usize>headDim * 2 + <usize>(offset & 1);
  for (let d: usize = 0; d < <usize>headDim; d++) {
    store<i8>(pair + d * 2, <i8>rounded(load<f32>(value + d * 4) * inverse));
  }
}

/** A vector whose largest magnitude is below this is treated as zeros: 127 / amax would overflow. */
const SMALLEST_AMAX: f32 = 1e-30;

/** Stores the position's scale and returns its inverse. */
function writeScale(part: usize, vector: usize, headDim: i32, pageSize: i32, offset: i32): f32 {
  const amax = largestMagnitude(vector, headDim);
  const isZero = amax < SMALLEST_AMAX;
  store<f32>(part + <usize>pageSize * <usize>headDim + <usize>offset * 4, isZero ? 0 : amax / <f32>127);
  return isZero ? 0 : <f32>127 / amax;
}

/** Returns the largest magnitude of f32 [count], or NaN if an element is NaN. */
export function largestMagnitude(vector: usize, count: i32): f32 {
  let amax: f32 = 0;
  for (let i = 0; i < count; i++) amax = max<f32>(amax, abs(load<f32>(vector + <usize>i * 4)));
  return amax;
}

// @ts-ignore: decorator
@inline
export function rounded(value: f32): i32 {
  return <i32>nearest(value);
}

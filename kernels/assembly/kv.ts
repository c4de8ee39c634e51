/**
 * Formats of KV cache pages, and keys and values of single positions. layout.md shows the layouts. A part is the memory
 * of one kv head in one plane (keys or values) of one layer of a page.
 *
 *   f32   keys [pageSize / 4][D][4 positions], values [pageSize][D]
 *   bf16  keys u16 [pageSize / 4][D / 2][4 positions][2], values u16 [pageSize / 2][D][2 positions]
 *   q8    keys int8 [pageSize / 4][D / 2][4 positions][2], values int8 [pageSize / 2][D][2 positions],
 *         then one f32 scale for each position
 *
 * Code for the first two formats has a type parameter E, the type of an element: f32, or u16 for bfloat16, which is the
 * upper half of an f32.
 */

export const enum PageFormat {
  F32,
  BF16,
  Q8,
}

export const enum Plane {
  Keys,
  Values,
}

/** Returns the bytes of one dimension of a position. */
// @ts-ignore: decorator
@inline
export function elementBytes(format: PageFormat): usize {
  return format == PageFormat.F32 ? 4 : format == PageFormat.BF16 ? 2 : 1;
}

/** Returns the bytes of a part. */
// @ts-ignore: decorator
@inline
export function partBytes(headDim: i32, pageSize: i32, format: PageFormat): usize {
  const position = <usize>headDim * elementBytes(format) + (format == PageFormat.Q8 ? 4 : 0);
  return <usize>pageSize * position;
}

/** Writes one position's key. @param key f32 [headDim] @param offset position within the page */
export function writeKey(part: usize, key: usize, headDim: i32, pageSize: i32, offset: i32, format: PageFormat): void {
  if (format == PageFormat.F32) writeKeyAs<f32>(part, key, headDim, offset);
  else if (format == PageFormat.BF16) writeKeyAs<u16>(part, key, headDim, offset);
  else writeKeyQ8(part, key, headDim, pageSize, offset);
}

/** Writes one position's value. @param value f32 [headDim] @param offset position within the page */
export function writeValue(part: usize, value: usize, headDim: i32, pageSize: i32, offset: i32, format: PageFormat): void {
  if (format == PageFormat.F32) memory.copy(valueOf<f32>(part, headDim, offset), value, <usize>headDim * 4);
  else if (format == PageFormat.BF16) writeValueAs<u16>(part, value, headDim, offset);
  else writeValueQ8(part, value, headDim, pageSize, offset);
}

/** Returns the address of dimension 0 of a position's key. */
// @ts-ignore: decorator
@inline
export function keyOf<E>(keys: usize, headDim: i32, position: i32): usize {
  return keys + <usize>(position >> 2) * <usize>headDim * 4 * sizeof<E>() + <usize>(position & 3) * 4;
}

/** Returns the bytes from dimension 0 of a key to dimension d. */
// @ts-ignore: decorator
@inline
export function keyDimension<E>(d: usize): usize {
  return sizeof<E>() == 4 ? d * 16 : (d >> 1) * 16 + (d & 1) * 2;
}

/** Returns the address of dimension 0 of a position's value. The other dimensions follow at intervals of 4 bytes. */
// @ts-ignore: decorator
@inline
export function valueOf<E>(values: usize, headDim: i32, position: i32): usize {
  if (sizeof<E>() == 4) return values + <usize>(position * headDim) * 4;
  return values + <usize>((position >> 1) * headDim) * 4 + <usize>(position & 1) * 2;
}

// @ts-ignore: decorator
@inline
export function loadElement<E>(address: usize): f32 {
  return sizeof<E>() == 4 ? load<f32>(address) : reinterpret<f32>(<u32>load<u16>(address) << 16);
}

// @ts-ignore: decorator
@inline
function storeElement<E>(address: usize, value: f32): void {
  if (sizeof<E>() == 4) store<f32>(address, value);
  else store<u16>(address, <u16>bfloat16(value));
}

/** Returns the bits of the nearest bfloat16 number, ties to even; for NaN those of one quiet NaN. */
// @ts-ignore: decorator
@inline
export function bfloat16(value: f32): u32 {
  const bits = reinterpret<u32>(value);
  return value == value ? (bits + 0x7fff + ((bits >> 16) & 1)) >> 16 : BFLOAT16_NAN;
}
export const BFLOAT16_NAN: u32 = 0x7fc0;

// @ts-ignore: decorator
@inline
function writeKeyAs<E>(part: usize, key: usize, headDim: i32, offset: i32): void {
  const target = keyOf<E>(part, headDim, offset);
  for (let d: usize = 0; d < <usize>headDim; d++) storeElement<E>(target + keyDimension<E>(d), load<f32>(key + d * 4));
}

// @ts-ignore: decorator
@inline
function writeValueAs<E>(part: usize, value: usize, headDim: i32, offset: i32): void {
  const target = valueOf<E>(part, headDim, offset);
  for (let d: usize = 0; d < <usize>headDim; d++) storeElement<E>(target + d * 4, load<f32>(value + d * 4));
}

function writeKeyQ8(part: usize, key: usize, headDim: i32, pageSize: i32, offset: i32): void {
  const inverse = writeScale(part, key, headDim, pageSize, offset);
  const target = keyOfQ8(part, headDim, offset);
  for (let d: usize = 0; d < <usize>headDim; d++) {
    store<i8>(target + (d >> 1) * 8 + (d & 1), <i8>rounded(load<f32>(key + d * 4) * inverse));
  }
}

function writeValueQ8(part: usize, value: usize, headDim: i32, pageSize: i32, offset: i32): void {
  const inverse = writeScale(part, value, headDim, pageSize, offset);
  const target = valueOfQ8(part, headDim, offset);
  for (let d: usize = 0; d < <usize>headDim; d++) {
    store<i8>(target + d * 2, <i8>rounded(load<f32>(value + d * 4) * inverse));
  }
}

/** Reads one position's key of a q8 page. @param key output: f32 [headDim] */
export function readKeyQ8(part: usize, key: usize, headDim: i32, pageSize: i32, offset: i32): void {
  const scale = load<f32>(scaleOf(part, headDim, pageSize, offset));
  const source = keyOfQ8(part, headDim, offset);
  for (let d: usize = 0; d < <usize>headDim; d++) {
    store<f32>(key + d * 4, <f32>load<i8>(source + (d >> 1) * 8 + (d & 1)) * scale);
  }
}

/** Reads one position's value of a q8 page. @param value output: f32 [headDim] */
export function readValueQ8(part: usize, value: usize, headDim: i32, pageSize: i32, offset: i32): void {
  const scale = load<f32>(scaleOf(part, headDim, pageSize, offset));
  const source = valueOfQ8(part, headDim, offset);
  for (let d: usize = 0; d < <usize>headDim; d++) store<f32>(value + d * 4, <f32>load<i8>(source + d * 2) * scale);
}

// @ts-ignore: decorator
@inline
function keyOfQ8(part: usize, headDim: i32, offset: i32): usize {
  return part + <usize>(offset >> 2) * <usize>headDim * 4 + <usize>(offset & 3) * 2;
}

// @ts-ignore: decorator
@inline
function valueOfQ8(part: usize, headDim: i32, offset: i32): usize {
  return part + <usize>(offset >> 1) * <usize>headDim * 2 + <usize>(offset & 1);
}

// @ts-ignore: decorator
@inline
function scaleOf(part: usize, headDim: i32, pageSize: i32, offset: i32): usize {
  return part + <usize>pageSize * <usize>headDim + <usize>offset * 4;
}

/** A vector whose largest magnitude is below this is treated as zeros: 127 / amax would overflow. */
const SMALLEST_AMAX: f32 = 1e-30;

/** Stores the position's scale and returns its inverse. */
function writeScale(part: usize, vector: usize, headDim: i32, pageSize: i32, offset: i32): f32 {
  const amax = largestMagnitude(vector, headDim);
  const isZero = amax < SMALLEST_AMAX;
  store<f32>(scaleOf(part, headDim, pageSize, offset), isZero ? 0 : amax / <f32>127);
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

/**
 * Copies all positions of a part between a page and rows, for a runner that computes keys and values outside of the
 * kernels. Rows are f32 [pageSize, rowDim]. Where rowDim is larger than headDim, each half of a row ends with zeros.
 *
 *   write   rows without padding; rounded to bfloat16 in place; reordered into the part
 *   read    the same steps in reverse
 *
 * q8 pages are written and read position by position.
 */

import { BFLOAT16_NAN, PageFormat, Plane, bfloat16, readKeyQ8, readValueQ8, writeKey, writeValue } from "./kv";

/** Writes all positions of a part. The rows are undefined afterwards. */
export function write_part(
  part: usize,
  plane: Plane,
  rows: usize,
  rowDim: i32,
  headDim: i32,
  pageSize: i32,
  format: PageFormat,
): void {
  if (rowDim > headDim) removePadding(rows, rowDim, headDim, pageSize);
  const length = pageSize * headDim;
  if (format == PageFormat.F32) {
    if (plane == Plane.Keys) toQuads(rows, headDim, pageSize, part);
    else memory.copy(part, rows, <usize>length * 4);
  } else if (format == PageFormat.BF16) {
    narrow(rows, length);
    if (plane == Plane.Keys) toQuads(rows, headDim / 2, pageSize, part);
    else toPairs(rows, headDim, pageSize, part);
  } else {
    for (let p = 0; p < pageSize; p++) {
      const row = rows + <usize>(p * headDim) * 4;
      if (plane == Plane.Keys) writeKey(part, row, headDim, pageSize, p, format);
      else writeValue(part, row, headDim, pageSize, p, format);
    }
  }
}

/** Reads all positions of a part, exactly; the products of q8 codes and scales are rounded to f32. */
export function read_part(
  part: usize,
  plane: Plane,
  rows: usize,
  rowDim: i32,
  headDim: i32,
  pageSize: i32,
  format: PageFormat,
): void {
  const length = pageSize * headDim;
  if (format == PageFormat.F32) {
    if (plane == Plane.Keys) fromQuads(part, headDim, pageSize, rows);
    else memory.copy(rows, part, <usize>length * 4);
  } else if (format == PageFormat.BF16) {
    if (plane == Plane.Keys) fromQuads(part, headDim / 2, pageSize, rows);
    else fromPairs(part, headDim, pageSize, rows);
    widen(rows, length);
  } else {
    for (let p = 0; p < pageSize; p++) {
      const row = rows + <usize>(p * headDim) * 4;
      if (plane == Plane.Keys) readKeyQ8(part, row, headDim, pageSize, p);
      else readValueQ8(part, row, headDim, pageSize, p);
    }
  }
  if (rowDim > headDim) addPadding(rows, rowDim, headDim, pageSize);
}

/** Moves the halves of all rows together, in place. */
function removePadding(rows: usize, rowDim: i32, headDim: i32, count: i32): void {
  const half = <usize>(headDim / 2) * 4;
  const paddedHalf = <usize>(rowDim / 2) * 4;
  for (let i: usize = 1; i < 2 * <usize>count; i++) memory.copy(rows + i * half, rows + i * paddedHalf, half);
}

/** Moves the halves of all rows apart, in place, and fills the space after each of them with zeros. */
function addPadding(rows: usize, rowDim: i32, headDim: i32, count: i32): void {
  const half = <usize>(headDim / 2) * 4;
  const paddedHalf = <usize>(rowDim / 2) * 4;
  for (let i = 2 * count - 1; i >= 0; i--) {
    const target = rows + <usize>i * paddedHalf;
    memory.copy(target, rows + <usize>i * half, half);
    memory.fill(target + half, 0, paddedHalf - half);
  }
}

/**
 * Reorders words of 4 bytes, [count][columns] to [count / 4][columns][4]. A word is an f32 or two bfloat16 numbers.
 * @param count a multiple of 4
 */
function toQuads(rows: usize, columns: i32, count: i32, quads: usize): void {
  const rowBytes = <usize>columns * 4;
  for (let p = 0; p < count; p += 4) {
    let c = 0;
    if (ASC_FEATURE_SIMD) {
      for (; c + 4 <= columns; c += 4) transpose__simd(rows + <usize>c * 4, rowBytes, quads + <usize>c * 16, 16);
    }
    for (; c < columns; c++) {
      for (let i: usize = 0; i < 4; i++) {
        store<u32>(quads + <usize>c * 16 + i * 4, load<u32>(rows + i * rowBytes + <usize>c * 4));
      }
    }
    rows += 4 * rowBytes;
    quads += 4 * rowBytes;
  }
}

/** The inverse of `toQuads`. */
function fromQuads(quads: usize, columns: i32, count: i32, rows: usize): void {
  const rowBytes = <usize>columns * 4;
  for (let p = 0; p < count; p += 4) {
    let c = 0;
    if (ASC_FEATURE_SIMD) {
      for (; c + 4 <= columns; c += 4) transpose__simd(quads + <usize>c * 16, 16, rows + <usize>c * 4, rowBytes);
    }
    for (; c < columns; c++) {
      for (let i: usize = 0; i < 4; i++) {
        store<u32>(rows + i * rowBytes + <usize>c * 4, load<u32>(quads + <usize>c * 16 + i * 4));
      }
    }
    rows += 4 * rowBytes;
    quads += 4 * rowBytes;
  }
}

/** Transposes 4 x 4 words. Rows of the source and of the target are `sourceStride` and `targetStride` bytes apart. */
// @ts-ignore: decorator
@inline
function transpose__simd(source: usize, sourceStride: usize, target: usize, targetStride: usize): void {
  const row0 = v128.load(source);
  const row1 = v128.load(source + sourceStride);
  const row2 = v128.load(source + 2 * sourceStride);
  const row3 = v128.load(source + 3 * sourceStride);
  const low01 = v128.shuffle<u32>(row0, row1, 0, 4, 1, 5);
  const high01 = v128.shuffle<u32>(row0, row1, 2, 6, 3, 7);
  const low23 = v128.shuffle<u32>(row2, row3, 0, 4, 1, 5);
  const high23 = v128.shuffle<u32>(row2, row3, 2, 6, 3, 7);
  v128.store(target, v128.shuffle<u64>(low01, low23, 0, 2));
  v128.store(target + targetStride, v128.shuffle<u64>(low01, low23, 1, 3));
  v128.store(target + 2 * targetStride, v128.shuffle<u64>(high01, high23, 0, 2));
  v128.store(target + 3 * targetStride, v128.shuffle<u64>(high01, high23, 1, 3));
}

/** Reorders u16 [count][columns] to [count / 2][columns][2]. @param count a multiple of 2 */
function toPairs(rows: usize, columns: i32, count: i32, pairs: usize): void {
  const rowBytes = <usize>columns * 2;
  for (let p = 0; p < count; p += 2) {
    const second = rows + rowBytes;
    let c: usize = 0;
    if (ASC_FEATURE_SIMD) {
      for (; c + 8 <= <usize>columns; c += 8) {
        const a = v128.load(rows + c * 2);
        const b = v128.load(second + c * 2);
        v128.store(pairs + c * 4, v128.shuffle<u16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11));
        v128.store(pairs + c * 4, v128.shuffle<u16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15), 16);
      }
    }
    for (; c < <usize>columns; c++) {
      store<u16>(pairs + c * 4, load<u16>(rows + c * 2));
      store<u16>(pairs + c * 4, load<u16>(second + c * 2), 2);
    }
    rows += 2 * rowBytes;
    pairs += 2 * rowBytes;
  }
}

/** The inverse of `toPairs`. */
function fromPairs(pairs: usize, columns: i32, count: i32, rows: usize): void {
  const rowBytes = <usize>columns * 2;
  for (let p = 0; p < count; p += 2) {
    const second = rows + rowBytes;
    let c: usize = 0;
    if (ASC_FEATURE_SIMD) {
      for (; c + 8 <= <usize>columns; c += 8) {
        const a = v128.load(pairs + c * 4);
        const b = v128.load(pairs + c * 4, 16);
        v128.store(rows + c * 2, v128.shuffle<u16>(a, b, 0, 2, 4, 6, 8, 10, 12, 14));
        v128.store(second + c * 2, v128.shuffle<u16>(a, b, 1, 3, 5, 7, 9, 11, 13, 15));
      }
    }
    for (; c < <usize>columns; c++) {
      store<u16>(rows + c * 2, load<u16>(pairs + c * 4));
      store<u16>(second + c * 2, load<u16>(pairs + c * 4, 2));
    }
    rows += 2 * rowBytes;
    pairs += 2 * rowBytes;
  }
}

/** Rounds f32 [count] to bfloat16 [count], in place. @param count a multiple of 8 */
function narrow(values: usize, count: i32): void {
  if (ASC_FEATURE_SIMD) {
    for (let i: usize = 0; i < <usize>count; i += 8) {
      const low = bfloat16__simd(v128.load(values + i * 4));
      const high = bfloat16__simd(v128.load(values + i * 4, 16));
      v128.store(values + i * 2, i16x8.narrow_i32x4_u(low, high));
    }
  } else {
    for (let i: usize = 0; i < <usize>count; i++) {
      store<u16>(values + i * 2, <u16>bfloat16(load<f32>(values + i * 4)));
    }
  }
}

/** Returns the bits of four bfloat16 numbers, those of `bfloat16`. */
// @ts-ignore: decorator
@inline
function bfloat16__simd(values: v128): v128 {
  const isOdd = v128.and(i32x4.shr_u(values, 16), i32x4.splat(1));
  const bits = i32x4.shr_u(i32x4.add(i32x4.add(values, i32x4.splat(0x7fff)), isOdd), 16);
  return v128.bitselect(bits, i32x4.splat(BFLOAT16_NAN), f32x4.eq(values, values));
}

/** Converts bfloat16 [count] to f32 [count], in place, from the end. @param count a multiple of 8 */
function widen(values: usize, count: i32): void {
  if (ASC_FEATURE_SIMD) {
    for (let i = count - 8; i >= 0; i -= 8) {
      const packed = v128.load(values + <usize>i * 2);
      v128.store(values + <usize>i * 4, i32x4.shl(i32x4.extend_low_i16x8_u(packed), 16));
      v128.store(values + <usize>i * 4, i32x4.shl(i32x4.extend_high_i16x8_u(packed), 16), 16);
    }
  } else {
    for (let i = count - 1; i >= 0; i--) {
      store<u32>(values + <usize>i * 4, <u32>load<u16>(values + <usize>i * 2) << 16);
    }
  }
}

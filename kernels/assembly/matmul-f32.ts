/**
 * Products with f32 weights. The packed layout is drawn in layout.md: groups of 4 rows, steps of 4
 * columns, rows side by side within a step.
 *
 * For each weight row four partial sums, one per column modulo 4, each in ascending order of
 * columns; the result is (s0 + s1) + (s2 + s3). Products and sums are f32, never fused.
 */

import { STAGING, storeFloats } from "./rows";

/** Weight rows of one group. */
const GROUP_ROWS: i32 = 4;

/** Bytes of scratch for `numRows` activation rows: each is copied with zeros up to a multiple of 4 columns. */
export function f32_f32_gemm_scratch(cols: i32, numRows: i32): usize {
  return <usize>((cols + 3) & ~3) * 4 * <usize>numRows;
}

/**
 * output = input x weights, transposed.
 * @param weights packed f32 [rows, cols]
 * @param input f32 [numRows, cols]
 * @param output f32 [numRows, rows]; must not overlap input or weights
 * @param scratch f32_f32_gemm_scratch(cols, numRows) bytes, 16-byte aligned
 */
export function f32_f32_gemm(
  weights: usize,
  rows: i32,
  cols: i32,
  input: usize,
  output: usize,
  numRows: i32,
  scratch: usize,
): void {
  const steps = (cols + 3) / 4;
  const inputBytes = <usize>steps * 16;
  for (let n = 0; n < numRows; n++) {
    const target = scratch + <usize>n * inputBytes;
    memory.fill(target + inputBytes - 16, 0, 16);
    memory.copy(target, input + <usize>n * <usize>cols * 4, <usize>cols * 4);
  }
  const groupBytes = <usize>steps * 64;
  const outputBytes = <usize>rows * 4;
  for (let row = 0; row < rows; row += GROUP_ROWS) {
    const group = weights + <usize>(row / GROUP_ROWS) * groupBytes;
    const target = output + <usize>row * 4;
    const valid = <usize>min(GROUP_ROWS, rows - row);
    let n = 0;
    if (ASC_FEATURE_SIMD) {
      for (; n + 2 <= numRows; n += 2) {
        tile_4x2__simd(group, steps, scratch + <usize>n * inputBytes, inputBytes);
        storeFloats(target + <usize>n * outputBytes, STAGING, valid);
        storeFloats(target + <usize>(n + 1) * outputBytes, STAGING + 16, valid);
      }
    }
    for (; n < numRows; n++) {
      if (ASC_FEATURE_SIMD) tile_4x1__simd(group, steps, scratch + <usize>n * inputBytes);
      else tile_4x1__scalar(group, steps, scratch + <usize>n * inputBytes);
      storeFloats(target + <usize>n * outputBytes, STAGING, valid);
    }
  }
}

/** 4 weight rows, one activation row; the 4 sums go to STAGING. */
function tile_4x1__scalar(group: usize, steps: i32, input: usize): void {
  for (let r: usize = 0; r < 4; r++) {
    let s0: f32 = 0;
    let s1: f32 = 0;
    let s2: f32 = 0;
    let s3: f32 = 0;
    let w = group + r * 16;
    let x = input;
    for (let step = 0; step < steps; step++) {
      s0 += load<f32>(w) * load<f32>(x);
      s1 += load<f32>(w, 4) * load<f32>(x, 4);
      s2 += load<f32>(w, 8) * load<f32>(x, 8);
      s3 += load<f32>(w, 12) * load<f32>(x, 12);
      w += 64;
      x += 16;
    }
    store<f32>(STAGING + r * 4, s0 + s1 + (s2 + s3));
  }
}

function tile_4x1__simd(group: usize, steps: i32, input: usize): void {
  let sums0 = f32x4.splat(0);
  let sums1 = f32x4.splat(0);
  let sums2 = f32x4.splat(0);
  let sums3 = f32x4.splat(0);
  for (let step = 0; step < steps; step++) {
    const x = v128.load(input);
    sums0 = f32x4.add(sums0, f32x4.mul(v128.load(group), x));
    sums1 = f32x4.add(sums1, f32x4.mul(v128.load(group, 16), x));
    sums2 = f32x4.add(sums2, f32x4.mul(v128.load(group, 32), x));
    sums3 = f32x4.add(sums3, f32x4.mul(v128.load(group, 48), x));
    group += 64;
    input += 16;
  }
  store<f32>(STAGING, horizontalSum(sums0));
  store<f32>(STAGING, horizontalSum(sums1), 4);
  store<f32>(STAGING, horizontalSum(sums2), 8);
  store<f32>(STAGING, horizontalSum(sums3), 12);
}

/** Two activation rows, `inputBytes` apart: their sums go to STAGING and STAGING + 16. */
function tile_4x2__simd(group: usize, steps: i32, input: usize, inputBytes: usize): void {
  let sums00 = f32x4.splat(0);
  let sums10 = f32x4.splat(0);
  let sums20 = f32x4.splat(0);
  let sums30 = f32x4.splat(0);
  let sums01 = f32x4.splat(0);
  let sums11 = f32x4.splat(0);
  let sums21 = f32x4.splat(0);
  let sums31 = f32x4.splat(0);
  for (let step = 0; step < steps; step++) {
    const x0 = v128.load(input);
    const x1 = v128.load(input + inputBytes);
    let w = v128.load(group);
    sums00 = f32x4.add(sums00, f32x4.mul(w, x0));
    sums01 = f32x4.add(sums01, f32x4.mul(w, x1));
    w = v128.load(group, 16);
    sums10 = f32x4.add(sums10, f32x4.mul(w, x0));
    sums11 = f32x4.add(sums11, f32x4.mul(w, x1));
    w = v128.load(group, 32);
    sums20 = f32x4.add(sums20, f32x4.mul(w, x0));
    sums21 = f32x4.add(sums21, f32x4.mul(w, x1));
    w = v128.load(group, 48);
    sums30 = f32x4.add(sums30, f32x4.mul(w, x0));
    sums31 = f32x4.add(sums31, f32x4.mul(w, x1));
    group += 64;
    input += 16;
  }
  store<f32>(STAGING, horizontalSum(sums00));
  store<f32>(STAGING, horizontalSum(sums10), 4);
  store<f32>(STAGING, horizontalSum(sums20), 8);
  store<f32>(STAGING, horizontalSum(sums30), 12);
  store<f32>(STAGING, horizontalSum(sums01), 16);
  store<f32>(STAGING, horizontalSum(sums11), 20);
  store<f32>(STAGING, horizontalSum(sums21), 24);
  store<f32>(STAGING, horizontalSum(sums31), 28);
}

// @ts-ignore: decorator
@inline
function horizontalSum(sums: v128): f32 {
  return (
    f32x4.extract_lane(sums, 0) + f32x4.extract_lane(sums, 1) + (f32x4.extract_lane(sums, 2) + f32x4.extract_lane(sums, 3))
  );
}

/** One row as it is: @param output f32 [cols] */
export function f32_f32_row(weights: usize, cols: i32, row: i32, output: usize): void {
  const steps = (cols + 3) / 4;
  const source = weights + <usize>(row / GROUP_ROWS) * <usize>steps * 64 + <usize>(row % GROUP_ROWS) * 16;
  for (let c = 0; c < cols; c++) {
    store<f32>(output + <usize>c * 4, load<f32>(source + <usize>(c >> 2) * 64 + <usize>(c & 3) * 4));
  }
}

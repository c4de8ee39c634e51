/** Products with packed weights of any format: rows of activations are prepared once, then multiplied. */

import { BLOCK, I16_RECORD, ValueOrder, quantizeColumns, quantizeRow } from "./activations";
import { f32_f32_row, multiplyF32, multiplyStreamsF32, padRow } from "./matmul-f32";
import { Q4_INPUT_RECORD, Q4_ORDER, f32_q4_row, multiplyQ4, multiplyStreamsQ4 } from "./matmul-q4";
import { f32_q8_row, multiplyQ8, multiplyStreamsQ8 } from "./matmul-q8";
import { GROUP_ROWS } from "./rows";

export const enum Format {
  F32,
  Q8,
  Q4,
}

/** Written by the host. */
@unmanaged
export class Matrix {
  format: Format;
  rows: i32;
  cols: i32;
  weights: usize;
}

export function numGroups(matrix: Matrix): i32 {
  return (matrix.rows + GROUP_ROWS - 1) / GROUP_ROWS;
}

// @ts-ignore: decorator
@inline
function numBlocks(matrix: Matrix): i32 {
  return (matrix.cols + BLOCK - 1) / BLOCK;
}

/** Returns the steps of 4 columns of an f32 matrix. */
// @ts-ignore: decorator
@inline
function numSteps(matrix: Matrix): i32 {
  return (matrix.cols + 3) / 4;
}

/** Returns the bytes of `numRows` prepared rows of activations, a multiple of 16. */
export function preparedBytes(format: Format, cols: i32, numRows: i32): u64 {
  if (format == Format.F32) return <u64>((cols + 3) / 4) * 16 * <u64>numRows;
  const record = format == Format.Q4 ? Q4_INPUT_RECORD : I16_RECORD;
  return <u64>((cols + BLOCK - 1) / BLOCK) * record * <u64>numRows;
}

/**
 * Prepares row n of `numRows`: copies it, or quantizes it in blocks.
 * @param input f32 [matrix.cols]
 */
export function prepareRow(matrix: Matrix, input: usize, prepared: usize, n: i32, numRows: i32): void {
  const cols = matrix.cols;
  const row = <usize>n;
  const stride = <usize>numRows;
  if (matrix.format == Format.F32) padRow(input, cols, prepared + row * <usize>preparedBytes(Format.F32, cols, 1));
  else if (matrix.format == Format.Q8) quantizeRow(input, cols, prepared + row * I16_RECORD, stride * I16_RECORD, ValueOrder.I16Wide);
  else quantizeRow(input, cols, prepared + row * Q4_INPUT_RECORD, stride * Q4_INPUT_RECORD, Q4_ORDER);
}

/** Prepares block b (32 columns) of row n from f32 [count]; count is 32 except in the last block. */
export function prepareBlock(matrix: Matrix, input: usize, count: i32, prepared: usize, b: i32, n: i32, numRows: i32): void {
  const index = <usize>(b * numRows + n);
  if (matrix.format == Format.F32) {
    padRow(input, count, prepared + <usize>n * <usize>preparedBytes(Format.F32, matrix.cols, 1) + <usize>b * 128);
  } else if (matrix.format == Format.Q8) {
    quantizeColumns(input, count, prepared + index * I16_RECORD, ValueOrder.I16Wide);
  } else {
    quantizeColumns(input, count, prepared + index * Q4_INPUT_RECORD, Q4_ORDER);
  }
}

/**
 * Multiplies the groups from firstGroup up to, but not including, endGroup with all prepared rows.
 * @param output f32 [numRows][...], 8 floats for each group side by side; rows are `outputStride` bytes
 *   apart. Floats that pad the last group are undefined, and so are, with a single row, SPARE_GROUPS groups after it.
 * @param widened WIDENED_BYTES of scratch
 */
export function multiply(
  matrix: Matrix,
  firstGroup: i32,
  endGroup: i32,
  prepared: usize,
  numRows: i32,
  output: usize,
  outputStride: usize,
  widened: usize,
): void {
  const weights = matrix.weights;
  if (numRows == 1) {
    const quarter = (endGroup - firstGroup + 3) >> 2;
    multiplyStreams(matrix, firstGroup, quarter, 2 * quarter, quarter, prepared, output);
  } else if (matrix.format == Format.Q4) {
    multiplyQ4(weights, numBlocks(matrix), firstGroup, endGroup, prepared, numRows, output, outputStride, widened);
  } else if (matrix.format == Format.Q8) {
    multiplyQ8(weights, numBlocks(matrix), firstGroup, endGroup, prepared, numRows, output, outputStride, widened);
  } else {
    multiplyF32(weights, matrix.rows, numSteps(matrix), firstGroup, endGroup, prepared, numRows, output, outputStride);
  }
}
export const SPARE_GROUPS: i32 = 3;

/**
 * Multiplies `count` groups from each of four places with a single prepared row: memory delivers four streams faster
 * than one. The places begin at the groups first, first + far, first + far2 and first + far + far2. The result of a
 * group past the end of the matrix is undefined.
 * @param output f32 [4][count * 8]
 */
export function multiplyStreams(
  matrix: Matrix,
  first: i32,
  far: i32,
  far2: i32,
  count: i32,
  prepared: usize,
  output: usize,
): void {
  const weights = matrix.weights;
  const groups = numGroups(matrix);
  if (matrix.format == Format.Q4) {
    multiplyStreamsQ4(weights, numBlocks(matrix), groups, first, far, far2, count, prepared, output);
  } else if (matrix.format == Format.Q8) {
    multiplyStreamsQ8(weights, numBlocks(matrix), groups, first, far, far2, count, prepared, output);
  } else {
    multiplyStreamsF32(weights, matrix.rows, numSteps(matrix), first, far, far2, count, prepared, output);
  }
}

/** Writes row `row` as floats. @param output f32 [matrix.cols] */
export function readRow(matrix: Matrix, row: i32, output: usize): void {
  if (matrix.format == Format.F32) f32_f32_row(matrix.weights, matrix.cols, row, output);
  else if (matrix.format == Format.Q8) f32_q8_row(matrix.weights, matrix.cols, row, output);
  else f32_q4_row(matrix.weights, matrix.cols, row, output);
}

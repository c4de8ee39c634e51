/** The job that multiplies rows of activations with one matrix, such as the LM head. */

import { Matrix, multiply, numGroups, prepareRow, preparedBytes } from "./matrix";
import { GROUP_ROWS } from "./rows";
import { claim, endPhase, thread, wholeLines } from "./threads";

/** Up to this many rows, every thread prepares all of them for itself, which costs less than a phase. */
export const MAX_LOCAL_ROWS: i32 = 2;

/** Written by the host. */
@unmanaged
export class Matmul {
  matrix: Matrix;
  /** f32 [numRows, cols] */
  input: usize;
  /** f32 [numRows, rows] */
  output: usize;
  numRows: i32;
  numThreads: i32;
  /** matmul_scratch(matrix, numRows, numThreads) bytes, 64-byte aligned. */
  scratch: usize;
}

/** Maximum number of phases of the job. */
export const MATMUL_PHASES: i32 = 2;

// Scratch: prepared activations that all threads use, then one part per thread with the prepared activations of
// MAX_LOCAL_ROWS rows and the results of one unit.
function sharedBytes(matrix: Matrix, numRows: i32): u64 {
  return wholeLines(preparedBytes(matrix.format, matrix.cols, numRows));
}
function localBytes(matrix: Matrix, numRows: i32): u64 {
  return wholeLines(localPreparedBytes(matrix) + <u64>numRows * (MAX_GROUPS_PER_UNIT * GROUP_ROWS * 4));
}
function localPreparedBytes(matrix: Matrix): u64 {
  return preparedBytes(matrix.format, matrix.cols, MAX_LOCAL_ROWS);
}

/** Returns the bytes of scratch for a product of `numRows` rows, which may exceed the memory's limit. */
export function matmul_scratch(matrix: Matrix, numRows: i32, numThreads: i32): f64 {
  return <f64>(sharedBytes(matrix, numRows) + <u64>numThreads * localBytes(matrix, numRows));
}

/** Returns the groups of weight rows per unit: few enough for 8 units per thread, and at most MAX_GROUPS_PER_UNIT. */
export function groupsPerUnit(groups: i32, numThreads: i32): i32 {
  return max(1, min(MAX_GROUPS_PER_UNIT, groups / (8 * numThreads)));
}
export const MAX_GROUPS_PER_UNIT: i32 = 16;

export function matmul(job: Matmul): void {
  const matrix = job.matrix;
  const numRows = job.numRows;
  const rows = matrix.rows;
  const local = job.scratch + <usize>(sharedBytes(matrix, numRows) + <u64>thread() * localBytes(matrix, numRows));
  const isLocal = numRows <= MAX_LOCAL_ROWS;
  if (!isLocal) prepareRows(job, job.scratch);

  const prepared = isLocal ? local : job.scratch;
  const results = local + <usize>localPreparedBytes(matrix);
  const groups = numGroups(matrix);
  const perUnit = groupsPerUnit(groups, job.numThreads);
  const numUnits = (groups + perUnit - 1) / perUnit;
  let completed = 0;
  for (let unit = claim(numUnits); unit < numUnits; unit = claim(numUnits)) {
    if (isLocal && completed == 0) {
      for (let n = 0; n < numRows; n++) prepareRow(matrix, inputRow(job, n), prepared, n, numRows);
    }
    const first = unit * perUnit;
    const end = min(first + perUnit, groups);
    const stride = <usize>(end - first) * 32;
    multiply(matrix, first, end, prepared, numRows, results, stride);
    const count = min(end * GROUP_ROWS, rows) - first * GROUP_ROWS;
    for (let n: usize = 0; n < <usize>numRows; n++) {
      memory.copy(job.output + (n * <usize>rows + <usize>(first * GROUP_ROWS)) * 4, results + n * stride, <usize>count * 4);
    }
    completed++;
  }
  endPhase(numUnits, completed);
}

function prepareRows(job: Matmul, prepared: usize): void {
  const numRows = job.numRows;
  let completed = 0;
  for (let n = claim(numRows); n < numRows; n = claim(numRows)) {
    prepareRow(job.matrix, inputRow(job, n), prepared, n, numRows);
    completed++;
  }
  endPhase(numRows, completed);
}

function inputRow(job: Matmul, n: i32): usize {
  return job.input + <usize>n * <usize>job.matrix.cols * 4;
}

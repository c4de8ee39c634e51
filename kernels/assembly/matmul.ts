/** The job that multiplies rows of activations with one matrix: the product with the vocabulary. */

import { Matrix, multiply, numGroups, prepareRow } from "./matrix";
import { GROUP_ROWS } from "./rows";
import { claim, endPhase, thread } from "./threads";

/** Up to so many rows are prepared by every thread for itself: that costs less than a phase does. */
export const LOCAL_ROWS_MAX: i32 = 2;

/** Written by the host: u32 fields, drawn in layout.md. */
@unmanaged
export class Matmul {
  matrix: Matrix;
  /** f32 [numRows, cols] */
  input: usize;
  /** f32 [numRows, rows] */
  output: usize;
  numRows: i32;
  /** Prepared activations, used by all threads. */
  prepared: usize;
  /** A part for each thread: prepared activations of LOCAL_ROWS_MAX rows, then the results of one unit. */
  locals: usize;
  localBytes: usize;
  localPreparedBytes: usize;
  numThreads: i32;
}

/** Groups of weight rows that a thread claims at a time: at least 8 units a thread, but no large ones. */
export function groupsPerUnit(groups: i32, numThreads: i32): i32 {
  return max(1, min(GROUPS_PER_UNIT_MAX, groups / (8 * numThreads)));
}
export const GROUPS_PER_UNIT_MAX: i32 = 16;

export function matmul(job: Matmul): void {
  const matrix = job.matrix;
  const numRows = job.numRows;
  const rows = matrix.rows;
  const local = job.locals + <usize>thread() * job.localBytes;
  const isLocal = numRows <= LOCAL_ROWS_MAX;
  if (!isLocal) prepareRows(job, job.prepared);

  const prepared = isLocal ? local : job.prepared;
  const results = local + job.localPreparedBytes;
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

/** The job that multiplies rows of activations with one matrix, such as the LM head. */

import { Matrix, multiply, multiplyStreams, numGroups, prepareRow, preparedBytes } from "./matrix";
import { GROUP_ROWS } from "./rows";
import { claim, endPhase, thread, wholeLines } from "./threads";
import { WIDENED_BYTES } from "./tiles";

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
// MAX_LOCAL_ROWS rows, widened weights and the results of one unit.
function sharedBytes(matrix: Matrix, numRows: i32): u64 {
  return wholeLines(preparedBytes(matrix.format, matrix.cols, numRows));
}
function localBytes(matrix: Matrix, numRows: i32): u64 {
  return wholeLines(localPreparedBytes(matrix) + WIDENED_BYTES + <u64>numRows * (MAX_GROUPS_PER_UNIT * GROUP_ROWS * 4));
}
function localPreparedBytes(matrix: Matrix): u64 {
  return preparedBytes(matrix.format, matrix.cols, MAX_LOCAL_ROWS);
}

/** Returns the bytes of scratch for a product of `numRows` rows, which may exceed the memory's limit. */
export function matmul_scratch(matrix: Matrix, numRows: i32, numThreads: i32): f64 {
  return <f64>(sharedBytes(matrix, numRows) + <u64>numThreads * localBytes(matrix, numRows));
}

/**
 * Returns the number of streams as which a product reads its weights. With a single row of activations, a unit takes
 * some groups from each quarter of the matrix: memory delivers four streams faster than one. The next unit continues the
 * same streams. With several rows, a unit is some adjacent groups.
 */
export function numStreams(numRows: i32): i32 {
  return numRows == 1 ? 4 : 1;
}

/**
 * Returns the groups that a unit takes from each stream: few enough for 8 units per thread where one group from each
 * leaves as many, and at most `maxGroups` together.
 */
export function groupsPerUnit(groups: i32, streams: i32, numThreads: i32, maxGroups: i32): i32 {
  return max(1, min(maxGroups, groups / (8 * numThreads)) / streams);
}
export const MAX_GROUPS_PER_UNIT: i32 = 16;

/**
 * Multiplies the groups `first` to `end` - 1 of every stream. With one row it may multiply up to `count` groups.
 * @param far groups from one stream to the next; unused with several rows
 * @param count groups per stream for which `results` has room, at least end - first
 * @param results f32 [numRows, or 4 streams of one row][count * 8]
 */
export function multiplyUnit(
  matrix: Matrix,
  first: i32,
  end: i32,
  far: i32,
  count: i32,
  prepared: usize,
  numRows: i32,
  results: usize,
  widened: usize,
): void {
  if (numRows == 1) multiplyStreams(matrix, first, far, 2 * far, count, prepared, results);
  else multiply(matrix, first, end, prepared, numRows, results, <usize>count * 32, widened);
}

export function matmul(job: Matmul): void {
  const matrix = job.matrix;
  const numRows = job.numRows;
  const rows = matrix.rows;
  const local = job.scratch + <usize>(sharedBytes(matrix, numRows) + <u64>thread() * localBytes(matrix, numRows));
  const isLocal = numRows <= MAX_LOCAL_ROWS;
  if (!isLocal) prepareRows(job, job.scratch);

  const prepared = isLocal ? local : job.scratch;
  const widened = local + <usize>localPreparedBytes(matrix);
  const results = widened + WIDENED_BYTES;
  const groups = numGroups(matrix);
  const streams = numStreams(numRows);
  const perStream = (groups + streams - 1) / streams;
  const perUnit = groupsPerUnit(groups, streams, job.numThreads, MAX_GROUPS_PER_UNIT);
  const numUnits = (perStream + perUnit - 1) / perUnit;
  let completed = 0;
  for (let unit = claim(numUnits); unit < numUnits; unit = claim(numUnits)) {
    if (isLocal && completed == 0) {
      for (let n = 0; n < numRows; n++) prepareRow(matrix, inputRow(job, n), prepared, n, numRows);
    }
    const first = unit * perUnit;
    const end = min(first + perUnit, perStream);
    multiplyUnit(matrix, first, end, perStream, perUnit, prepared, numRows, results, widened);
    let result = results;
    for (let stream = 0; stream < streams; stream++) {
      const firstRow = (stream * perStream + first) * GROUP_ROWS;
      const count = min((stream * perStream + end) * GROUP_ROWS, rows) - firstRow;
      for (let n: usize = 0; n < <usize>numRows; n++) {
        if (count > 0) memory.copy(job.output + (n * <usize>rows + <usize>firstRow) * 4, result, <usize>count * 4);
        result += <usize>perUnit * 32;
      }
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

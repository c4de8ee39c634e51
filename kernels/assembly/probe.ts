/**
 * Functions with which the host measures a machine. `probe` multiplies extreme values: two builds must give the same
 * result, and the times show which of them is faster on this processor.
 */

import { quantizeRow } from "./activations";
import { Q4_INPUT_RECORD, Q4_ORDER, RECORD, multiplyQ4 } from "./matmul-q4";
import { WIDENED_BYTES } from "./tiles";

const BLOCKS: i32 = 16;
const COLS: i32 = BLOCKS * 32;
const ROWS: i32 = 16;
const WEIGHTS: usize = memory.data(BLOCKS * <i32>RECORD, 64);
const INPUT: usize = memory.data(COLS * 4, 64);
const PREPARED: usize = memory.data(BLOCKS * ROWS * <i32>Q4_INPUT_RECORD, 64);
const OUTPUT: usize = memory.data(ROWS * 32, 64);
const WIDENED: usize = memory.data(<i32>WIDENED_BYTES, 64);

/** Computes the product `rounds` times. @returns a hash of the results, equal in all builds */
export function probe(rounds: i32): i32 {
  let bits: u32 = 1;
  for (let b = 0; b < BLOCKS; b++) {
    const record = WEIGHTS + <usize>b * RECORD;
    for (let r: usize = 0; r < 8; r++) store<u16>(record + r * 2, 0x3f80);
    for (let i: usize = 16; i < RECORD; i++) {
      bits = next(bits);
      // Weights of -8 and 7, in every combination of a byte's two.
      store<u8>(record + i, ((bits >> 16) & 1 ? 0xf0 : 0) | ((bits >> 17) & 1 ? 0x0f : 0));
    }
  }
  for (let n = 0; n < ROWS; n++) {
    for (let c: usize = 0; c < <usize>COLS; c++) {
      bits = next(bits);
      store<f32>(INPUT + c * 4, n < 2 || ((bits >> 16) & 1) == 0 ? 127 : -127);
    }
    quantizeRow(INPUT, COLS, PREPARED + <usize>n * Q4_INPUT_RECORD, <usize>ROWS * Q4_INPUT_RECORD, Q4_ORDER);
  }
  for (let i = 0; i < rounds; i++) multiplyQ4(WEIGHTS, BLOCKS, 0, 1, PREPARED, ROWS, OUTPUT, 32, WIDENED);
  let hash: u32 = 0;
  for (let i: usize = 0; i < <usize>(ROWS * 8); i++) hash = next(hash ^ load<u32>(OUTPUT + i * 4));
  return hash;
}

// @ts-ignore: decorator
@inline
function next(state: u32): u32 {
  return state * 1664525 + 1013904223;
}

/**
 * Reads one word of every cache line, to measure the memory's bandwidth.
 * @param byteLength a multiple of 256
 * @param numStreams 1, or 4 streams a quarter of the bytes apart
 * @returns the combined words, so that the reads have a use
 */
export function read_streams(address: usize, byteLength: usize, numStreams: i32): i32 {
  let bits = 0;
  if (numStreams == 4) {
    const quarter = byteLength >> 2;
    for (const end = address + quarter; address < end; address += 64) {
      bits |= load<i32>(address) | load<i32>(address + quarter);
      bits |= load<i32>(address + 2 * quarter) | load<i32>(address + 3 * quarter);
    }
  } else {
    for (const end = address + byteLength; address < end; address += 64) bits |= load<i32>(address);
  }
  return bits;
}

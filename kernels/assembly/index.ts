/**
 * The kernels' interface to the host. `asc` writes all of it to kernels/layout.ts: these functions, constants and
 * enums, and every exported @unmanaged class.
 */

export { MAX_PRODUCTS } from "./attention";
export { BLOCK as QUANTIZATION_BLOCK } from "./activations";
export { MAX_LAYERS, decode_page_bytes, decode_scratch } from "./decoder";
export { Job, run, work } from "./jobs";
export { PageFormat, Plane } from "./kv";
export { matmul_scratch } from "./matmul";
export { GROUP_ROWS as F32_GROUP_ROWS } from "./matmul-f32";
export { RECORD as Q4_RECORD } from "./matmul-q4";
export { RECORD as Q8_RECORD } from "./matmul-q8";
export { Format, readRow as read_row } from "./matrix";
export { read_part, write_part } from "./page-rows";
export { probe, read_streams } from "./probe";
export { GROUP_ROWS as PACK_ROWS, SCALES_BYTES } from "./rows";
export { Logprobs, Status, sample, sample_scratch } from "./sample";
export { LINE as CACHE_LINE, MAX_THREADS, fail } from "./threads";

/** Returns the address at which the host's arena may start: the end of the kernels' static data. */
export function heap_base(): usize {
  return __heap_base;
}

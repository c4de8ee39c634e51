/** What the host can call. */

export { fail } from "./threads";
export { run, work } from "./jobs";
export { preparedBytes as prepared_bytes } from "./matrix";
export {
  decode_activated_bytes,
  decode_local_bytes,
  decode_partial_bytes,
  decode_prepared_bytes,
  decode_query_bytes,
} from "./decoder";
export { readRow as read_row } from "./matrix";
export { sample, sample_scratch } from "./sample";

/** Where the host's arena may begin: the end of the kernels' own static data. */
export function heap_base(): usize {
  return __heap_base;
}

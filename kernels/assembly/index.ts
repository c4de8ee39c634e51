/** What the host can call. Names: activations_weights_operation, as in f32_q8_gemm. */

export { f32_f32_gemm, f32_f32_gemm_scratch, f32_f32_row } from "./matmul-f32";
export { f32_q8_gemm, f32_q8_gemm_scratch, f32_q8_row } from "./matmul-q8";
export { f32_q4_gemm, f32_q4_gemm_scratch, f32_q4_row } from "./matmul-q4";
export { sample, sample_scratch } from "./sample";

/** Where the host's arena may begin: the end of the kernels' own static data. */
export function heap_base(): usize {
  return __heap_base;
}

/** The only entry point of the kernels: the decoder, KV cache pages, products with packed weights, and sampling from logits. */

export { Decoder } from "./decoder.js";
export type { DecoderLayer, DecoderRow } from "./decoder.js";
export { InvalidLogitsError, Kernels } from "./kernels.js";
export type { Address, LogitAdjustments, LogprobsMode, PackedMatrix, SampledToken, SampleRequest } from "./kernels.js";
export { PACK_ROWS, QUANTIZATION_BLOCK } from "./layout.js";
export { KernelChoiceError, KernelFailure, type KernelVariant } from "./load.js";
export { KVPartCopier, kvPageByteLength } from "./pages.js";
export type { KVFormat, KVPlane } from "./pages.js";
export { dequantize, pack, packedByteLength, quantize } from "./quantize.js";
export type { FloatMatrix, MatrixFormat, QuantizedFormat, QuantizedMatrix } from "./quantize.js";

/** The only entry point of the kernels: the decoder, products with packed weights, and sampling from logits. */

export { Decoder, kvPageByteLength } from "./decoder.js";
export type { DecoderLayer, DecoderRow, KVFormat } from "./decoder.js";
export { InvalidLogitsError, Kernels } from "./kernels.js";
export type { Address, LogitAdjustments, LogprobsMode, PackedMatrix, SampledToken, SampleRequest } from "./kernels.js";
export { PACK_ROWS, QUANTIZATION_BLOCK } from "./layout.js";
export { KernelChoiceError, KernelFailure, type KernelVariant } from "./load.js";
export { dequantize, pack, packedByteLength, quantize } from "./quantize.js";
export type { FloatMatrix, MatrixFormat, QuantizedFormat, QuantizedMatrix } from "./quantize.js";

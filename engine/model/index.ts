/** Models as files: the door to reading, converting and locating them. */

export { type ModelConfig, type RopeScaling } from "./config.js";
export { convert, type ConvertOptions } from "./convert.js";
export { openPack, type Manifest, type ModelPack, type PackedTensor } from "./pack.js";
export { type OnnxHead } from "./onnx-decoder.js";
export { ONNX_DTYPES, readHead, type OnnxDtype, type OnnxFolder } from "./onnx-folder.js";
export { cacheFolder, listModels, prepareModel, type ModelSummary, type PrepareOptions, type RunnableModel } from "./prepare.js";
export { RotaryEmbedding } from "./rope.js";
export { type ReasoningTags } from "./source-model.js";

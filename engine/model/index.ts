/** Models as files: the door to reading, converting and locating them. */

export { type ModelConfig, type RopeScaling } from "./config.js";
export { convert, type ConvertOptions } from "./convert.js";
export { pullModel } from "./locate.js";
export { openPack, type Manifest, type ModelPack, type PackedTensor } from "./pack.js";
export { type OnnxHead } from "./onnx-decoder.js";
export { readHead, type OnnxFolder } from "./onnx-folder.js";
export { cacheFolder, prepareModel, type PrepareOptions, type RunnableModel } from "./prepare.js";
export { RotaryEmbedding } from "./rope.js";
export { type ReasoningTags } from "./source-model.js";
export { EMBEDDED_MODEL, listModels, removeModel, type ModelSummary, type Removal } from "./stored-models.js";

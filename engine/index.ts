/** The library: load a model, then `chat` or `generate`. */

export type { KVFormat, LogprobsMode, MatrixFormat } from "../kernels/index.js";
export type { Drift } from "./drift.js";
export { EngineError, type EngineErrorCode } from "./errors.js";
export { LIMITS } from "./limits.js";
export {
  loadModel,
  Model,
  type ChatOptions,
  type GenerateOptions,
  type OutputStream,
  type RequestOptions,
} from "./load-model.js";
export type { LoadModelOptions, Profile } from "./load-options.js";
export { describeEstimate, estimateMemory, machineMemory, type MachineMemory, type MemoryEstimate, type MemoryOptions } from "./memory.js";
export { measureDrift, selfWrittenTexts, type DriftSide } from "./measure-drift.js";
export type { ResponseFormat } from "./response-format.js";
export { hubCacheFolder, hubReference, hubSettings, ONNX_DTYPES, referenceText, type HubModel, type HubOptions, type HubReference, type OnnxDtype } from "./hub/index.js";
export { cacheFolder, convert, EMBEDDED_MODEL, listModels, pullModel, removeModel, type ModelConfig, type ModelSummary, type Removal } from "./model/index.js";
export type { GenerationConfig, GenerationOptions } from "./sampling/generation-config.js";
export type { FinishReason, OutputDelta, Timings, TokenAlternative, TokenLogprob, Usage } from "./sequence.js";
export type { ChatMessage } from "./text/chat-template.js";

/** The library: load a model, then `chat` or `generate`. */

export type { KVFormat, LogprobsMode, MatrixFormat } from "../kernels/index.js";
export type { Drift } from "./evaluate/index.js";
export { EngineError, type EngineErrorCode } from "./errors.js";
export { LIMITS } from "./limits.js";
export {
  loadModel,
  Model,
  type ChatOptions,
  type GenerateOptions,
  type OutputStream,
  type RequestOptions,
} from "./model/index.js";
export type { LoadModelOptions } from "./model/index.js";
export type { Profile } from "./runner/index.js";
export {
  describeEstimate,
  estimateMemory,
  machineMemory,
  type MachineMemory,
  type MemoryEstimate,
  type MemoryOptions,
} from "./model/index.js";
export { measureDrift, selfWrittenTexts, type DriftSide } from "./evaluate/index.js";
export type { ResponseFormat } from "./message/index.js";
export type { ModelConfig } from "./architecture/index.js";
export { ONNX_DTYPES, type OnnxDtype } from "./folder/index.js";
export {
  cacheFolder,
  convert,
  EMBEDDED_MODEL,
  hubCacheFolder,
  hubReference,
  hubSettings,
  listModels,
  pullModel,
  referenceText,
  removeModel,
  type HubModel,
  type HubOptions,
  type HubReference,
  type ModelSummary,
  type Removal,
} from "./store/index.js";
export type { GenerationConfig, GenerationOptions } from "./sampling/index.js";
export type { FinishReason, OutputDelta, Timings, TokenAlternative, TokenLogprob, Usage } from "./core/index.js";
export type { ChatMessage } from "./template/index.js";

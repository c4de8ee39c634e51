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
export { measureDrift, selfWrittenTexts, type DriftSide } from "./measure-drift.js";
export type { ResponseFormat } from "./response-format.js";
export { convert, listModels, type ModelSummary, type OnnxDtype } from "./model/index.js";
export type { GenerationConfig, GenerationOptions } from "./sampling/generation-config.js";
export type { FinishReason, OutputDelta, Timings, TokenAlternative, TokenLogprob, Usage } from "./sequence.js";
export type { ChatMessage } from "./text/chat-template.js";

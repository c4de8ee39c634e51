/** The library: load a model, then `chat`, `runTools` or `generate`. */

export type { KVFormat, LogprobsMode, MatrixFormat } from "../kernels/index.js";
export type {
  AnswerChoice,
  AnswerResult,
  FinishReason,
  OutputDelta,
  Timings,
  TokenAlternative,
  TokenLogprob,
  ToolCall,
  Usage,
} from "./core/index.js";
export { EngineError, type EngineErrorCode } from "./errors.js";
export type { OnnxDtype, ToolFormat } from "./folder/index.js";
export type { CallDelta, ResponseFormat, Tool, ToolChoice, ToolOptions } from "./message/index.js";
export {
  loadModel,
  type Answer,
  type ChatOptions,
  type GenerateOptions,
  type LoadModelOptions,
  type Model,
  type ModelInfo,
  type PromptOptions,
  type RunnableTool,
  type RunToolsOptions,
  type RunToolsResult,
  type ToolContext,
} from "./model/index.js";
export type { Profile, SpeculationMode } from "./runner/index.js";
export type { GenerationOptions } from "./sampling/index.js";
export type { ChatMessage, MessageCall, Role, TextPart } from "./template/index.js";

/** Public interface of a loaded model. */

export { checkDate, dateOf } from "../template/index.js";
export { Answer } from "./answer.js";
export { inspectModel, type ModelDescription, type ModelSizes } from "./inspect.js";
export { prepare, type LoadModelOptions } from "./load-options.js";
export { describeEstimate, estimateMemory, machineMemory, type MemoryEstimate } from "./memory.js";
export { loadModel, Model } from "./model.js";
export { ModelRuntime, type ModelInfo } from "./model-runtime.js";
export {
  openPreparer,
  Preparer,
  type ChatOptions,
  type GenerateOptions,
  type ModelTexts,
  type PreparedRequest,
  type PreparerSource,
  type PromptOptions,
  type RequestOptions,
} from "./preparer.js";
export {
  answerMessage,
  errorResult,
  unlessAborted,
  wholeCalls,
  type RunnableTool,
  type RunToolsOptions,
  type RunToolsResult,
  type ToolContext,
} from "./run-tools.js";

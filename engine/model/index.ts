/** Public interface of a loaded model. */

export { Answer } from "./answer.js";
export { inspectModel, type ModelDescription, type ModelSizes } from "./inspect.js";
export type { LoadModelOptions } from "./load-options.js";
export { describeEstimate, estimateMemory, machineMemory, type MemoryEstimate } from "./memory.js";
export {
  loadModel,
  Model,
  type ChatOptions,
  type GenerateOptions,
  type ModelInfo,
  type RequestOptions,
} from "./model.js";

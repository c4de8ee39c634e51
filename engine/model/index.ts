/** A loaded model: what a program holds and asks. */

export {
  loadModel,
  Model,
  type ChatOptions,
  type GenerateOptions,
  type OutputStream,
  type RequestOptions,
} from "./load-model.js";
export type { LoadModelOptions } from "./load-options.js";
export {
  describeEstimate,
  estimateMemory,
  machineMemory,
  type MachineMemory,
  type MemoryEstimate,
  type MemoryOptions,
} from "./memory.js";

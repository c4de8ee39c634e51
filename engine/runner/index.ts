/** Runners execute a model: token ids in, hidden states out. */

export type { EachTokenRunner, KVTable, ModelRunner, PrefixReuse, Profile, SpeculationMode } from "./model-runner.js";
export { ONNX_RUNTIME, onnxRuntimeProblem } from "./onnx-runtime.js";
export { openKernels, openPackRunners, openRunners, type ModelRunners } from "./open-runners.js";

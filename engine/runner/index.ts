/** What executes a model: token ids in, hidden states out. */

export { loadWeights, type KernelWeights } from "./kernel-weights.js";
export { loadOnnxRunner } from "./load-onnx-runner.js";
export type { EachTokenRunner, ForwardPass, KVTable, ModelRunner, PrefixReuse, Profile } from "./model-runner.js";
export { openRunners, type ModelRunners, type RunnerOptions } from "./open-runners.js";
export { WasmRunner } from "./wasm-runner.js";

/** Interpretation of a model's configuration: sizes, tensor names and shapes, rotary positions. */

export { ggufConfig, GgufWeights, llama3Scaling, ROPE_FACTORS } from "./gguf.js";
export { paddedHeadDim, readModelConfig, type ModelConfig } from "./config.js";
export { RotaryEmbedding } from "./rope.js";
export {
  checkWeights,
  modelWeights,
  packedWeights,
  type LayerWeights,
  type ModelWeights,
  type StackedWeight,
} from "./weights.js";

/** What a model's configuration means: its sizes, its tensors by name, its rotary positions. */

export { readModelConfig, type ModelConfig, type RopeScaling } from "./config.js";
export { RotaryEmbedding } from "./rope.js";
export {
  checkWeights,
  modelWeights,
  packedWeights,
  type LayerWeights,
  type ModelWeights,
  type StackedWeight,
} from "./weights.js";

/** Qwen2 and Qwen2.5: Hugging Face's Qwen2Config. The q, k and v projections always have a bias. */

import type { Family } from "./family.js";

export const qwen2: Family = {
  defaults: { vocabSize: 151936, intermediateSize: 22016, numKvHeads: 32, headDim: null, contextLength: 32768 },
  attentionBias: "inputs",
  qkNorm: false,
  slidingWindow: "switched",
};

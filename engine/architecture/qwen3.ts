/** Qwen3: Hugging Face's Qwen3Config. Heads of q and k are normalized. */

import type { Family } from "./family.js";

export const qwen3: Family = {
  defaults: { vocabSize: 151936, intermediateSize: 22016, numKvHeads: 32, headDim: 128, contextLength: 32768 },
  attentionBias: "configured",
  qkNorm: true,
  slidingWindow: "switched",
};

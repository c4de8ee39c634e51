/** Mistral: Hugging Face's MistralConfig. */

import type { Family } from "./family.js";

export const mistral: Family = {
  defaults: { vocabSize: 32000, intermediateSize: 14336, numKvHeads: 8, headDim: null, contextLength: 131072 },
  attentionBias: "none",
  qkNorm: false,
  slidingWindow: "always",
};

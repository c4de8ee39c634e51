/** Llama and models of the same structure, such as SmolLM2 and TinyLlama: Hugging Face's LlamaConfig. */

import type { Family } from "./family.js";

export const llama: Family = {
  defaults: { vocabSize: 32000, intermediateSize: 11008, numKvHeads: null, headDim: null, contextLength: 2048 },
  attentionBias: "configured",
  qkNorm: false,
  slidingWindow: "never",
};

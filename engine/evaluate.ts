/** Compares two ways of computing a model: KL divergence, top-1 agreement and perplexity. */

export { evaluate, selfWrittenTexts, type Divergence, type EvaluatedModel } from "./evaluate/index.js";

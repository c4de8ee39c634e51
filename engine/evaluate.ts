/** How far one way of computing a model is from another: KL divergence, agreement, perplexity. */

export { evaluate, selfWrittenTexts, type Divergence, type EvaluatedModel } from "./evaluate/index.js";

/** Compares two ways of computing a model. */

export type { Divergence } from "./divergence.js";
export { evaluate, selfWrittenTexts, type EvaluatedModel } from "./evaluate.js";

/** How far one way of computing a model is from another. */

export type { Divergence } from "./divergence.js";
export { evaluate, selfWrittenTexts, type EvaluatedModel } from "./evaluate.js";

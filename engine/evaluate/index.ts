/** How far one way of computing a model is from another. */

export type { Drift } from "./divergence.js";
export { measureDrift, selfWrittenTexts, type DriftSide } from "./evaluate.js";

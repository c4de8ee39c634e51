/** The token loop: schedule, run, project, sample, commit. */

export { AnswerCollector, type AnswerChoice, type AnswerResult, type ToolCall } from "./answer-collector.js";
export { checkedAnswerSize, type AnswerExtent } from "./answer-size.js";
export { Engine } from "./engine.js";
export { KVCache } from "./kv-cache.js";
export { GraphLogits, LMHead } from "./lm-head.js";
export type { FinishReason, OutputDelta, Timings, TokenAlternative, TokenLogprob, Usage } from "./sequence.js";

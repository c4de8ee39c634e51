/** Messages that a model generates: reasoning, then the answer. */

export { AnswerMask, AnswerVocabulary } from "./answer-mask.js";
export { writtenCalls, type CallForm, type WrittenCall } from "./call-form.js";
export {
  addedContents,
  deriveReasoning,
  markupOf,
  PLAIN,
  THINK,
  THINKING,
  type Markup,
  type MessageFormat,
} from "./message-format.js";
export { answerFormat, answerGrammar, type ResponseFormat } from "./response-format.js";
export {
  callsGrammar,
  checkTools,
  kindsByTool,
  type CheckedTools,
  type Tool,
  type ToolChoice,
  type ToolOptions,
} from "./tools.js";
export { TextStream, type CallDelta, type CallsOptions, type TextDelta } from "./text-stream.js";
export type { Enclosure, CallTag, ParameterMarkup } from "../grammar/index.js";

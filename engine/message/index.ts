/** Messages that a model generates: reasoning, then the answer. */

export { AnswerMask, AnswerVocabulary } from "./answer-mask.js";
export { writtenCalls, type CallForm, type WrittenCall } from "./call-form.js";
export {
  deriveMessageFormat,
  markupOf,
  PLAIN,
  THINK,
  THINKING,
  type Markup,
  type MessageFormat,
} from "./message-format.js";
export { answerGrammar, type ResponseFormat } from "./response-format.js";
export { TextStream, type TextDelta } from "./text-stream.js";

/** How a model writes a message: reasoning, then the answer. */

export { AnswerGrammar, AnswerVocabulary } from "./answer-grammar.js";
export {
  deriveMessageFormat,
  markupOf,
  PLAIN,
  THINK,
  THINKING,
  type Markup,
  type MessageFormat,
} from "./message-format.js";
export type { Reasoning } from "./reasoning-parser.js";
export { answerGrammar, type ResponseFormat } from "./response-format.js";
export { TextStream, type TextDelta } from "./text-stream.js";

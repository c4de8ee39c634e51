/** Renders messages to the text of a prompt with the model's Jinja template. */

export { callFormOf } from "./call-probes.js";
export { completeToolTemplate, HERMES } from "./tool-text.js";
export { ChatTemplate, templateOf } from "./chat-template.js";
export { dateOf } from "./date-text.js";
export type { ChatMessage, MessageCall, Role, TextPart } from "./messages.js";
export { textLengthOf } from "./messages.js";
export { textAfterAnswer } from "./text-after-answer.js";
export { checkDate, checkVariables, variablesLength, type TemplateVariables } from "./template-variables.js";

/** Renders messages to the text of a prompt with the model's Jinja template. */

export { ChatTemplate } from "./chat-template.js";
export type { ChatMessage, Role, TextPart } from "./messages.js";
export { textLengthOf } from "./messages.js";

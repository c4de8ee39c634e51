/** Messages to the text of a prompt, by the model's own Jinja template. */

export { ChatTemplate } from "./chat-template.js";
export type { ChatMessage, Role, TextPart } from "./messages.js";

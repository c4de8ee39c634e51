/** Messages to the text of a prompt, by the model's own Jinja template. */

export { ChatTemplate, type ChatMessage } from "./chat-template.js";

/**
 * Validates the messages of a chat and converts them to the form that templates receive (contract, section 2.1). The
 * checks are complete, because callers of the library do not go through the server's checks.
 */

import { isObject } from "../json.js";
import { described, EngineError, missingParameter, outOfRange, wrongType } from "../errors.js";
import { checkWellFormed } from "../text/index.js";

export type Role = "system" | "developer" | "user" | "assistant" | "tool";

export interface ChatMessage {
  readonly role: Role;
  /** Null is allowed for assistant messages only; text parts are joined with a newline. */
  readonly content: string | null | readonly TextPart[];
  /** 1 to 64 characters of `[A-Za-z0-9_-]`; has no effect if the template does not use it. */
  readonly name?: string | null;
  /** Assistant messages only; passed to the template. */
  readonly reasoning_content?: string | null;
  /** The fields below occur when a client sends back an answer unchanged; only these values are accepted. */
  readonly refusal?: null;
  readonly annotations?: readonly never[] | null;
  readonly audio?: null;
  readonly function_call?: null;
  readonly tool_calls?: readonly never[] | null;
}

export interface TextPart {
  readonly type: "text";
  readonly text: string;
}

/** A message in the form that templates receive: all values are strings, and absent fields stay absent. */
export interface TemplateMessage {
  readonly role: Exclude<Role, "developer">;
  readonly content: string;
  readonly name?: string;
  readonly reasoning_content?: string;
}

/**
 * Validates messages.
 *
 * @param messages the caller's value, of any type
 * @throws EngineError that names the field, such as `messages[2].content`
 */
export function checkMessages(messages: unknown): TemplateMessage[] {
  if (messages === undefined || messages === null) throw missingParameter("messages");
  if (!Array.isArray(messages)) throw wrongType("messages", "an array of messages", messages);
  if (messages.length === 0) throw outOfRange("messages", "must have at least 1 message", messages);
  return messages.map((message: unknown, index) => checkMessage(message, `messages[${index}]`));
}

const ROLES: readonly string[] = ["system", "developer", "user", "assistant", "tool"] satisfies Role[];

/** Fields of an assistant message without effect, whose value must be null or, if marked `list`, an empty list. */
const ANSWER_FIELDS: Readonly<Record<string, "null" | "list">> = {
  refusal: "null",
  annotations: "list",
  audio: "null",
  function_call: "null",
  tool_calls: "list",
};

function checkMessage(message: unknown, path: string): TemplateMessage {
  if (!isObject(message)) throw wrongType(path, "an object", message);
  const role = checkRole(message["role"], `${path}.role`);
  const content = checkContent(message["content"], role, `${path}.content`);
  const name = checkName(message["name"], `${path}.name`);
  const reasoning = message["reasoning_content"] ?? null;
  for (const [field, value] of Object.entries(message)) checkField(field, value, role, `${path}.${field}`);
  if (reasoning !== null) checkText(reasoning, `${path}.reasoning_content`);
  return {
    role: role === "developer" ? "system" : role,
    content,
    ...(name === null ? {} : { name }),
    ...(reasoning === null ? {} : { reasoning_content: reasoning as string }),
  };
}

function checkRole(role: unknown, path: string): Role {
  if (role === undefined || role === null) throw missingParameter(path);
  if (typeof role !== "string") throw wrongType(path, "a string", role);
  if (!ROLES.includes(role)) throw unsupported(path, role, ROLES);
  return role as Role;
}

function checkContent(content: unknown, role: Role, path: string): string {
  if ((content === null || content === undefined) && role === "assistant") return "";
  if (content === undefined || content === null) throw missingParameter(path);
  if (typeof content === "string") return checkText(content, path);
  if (!Array.isArray(content)) throw wrongType(path, "a string or an array of text parts", content);
  if (content.length === 0) throw outOfRange(path, "must have at least 1 part", content);
  return content.map((part: unknown, index) => checkPart(part, `${path}[${index}]`)).join("\n");
}

function checkPart(part: unknown, path: string): string {
  if (!isObject(part)) throw wrongType(path, "an object", part);
  const type = part["type"];
  if (type === undefined || type === null) throw missingParameter(`${path}.type`);
  if (typeof type !== "string") throw wrongType(`${path}.type`, "a string", type);
  if (type !== "text") throw unsupported(`${path}.type`, type, ["text"]);
  const other = Object.keys(part).find((key) => key !== "type" && key !== "text");
  if (other !== undefined) throw unknownField(`${path}.${other}`);
  if (part["text"] === undefined || part["text"] === null) throw missingParameter(`${path}.text`);
  return checkText(part["text"], `${path}.text`);
}

function checkName(name: unknown, path: string): string | null {
  if (name === undefined || name === null) return null;
  if (typeof name !== "string") throw wrongType(path, "a string", name);
  if (/^[A-Za-z0-9_-]{1,64}$/.test(name)) return name;
  throw outOfRange(path, "must be 1 to 64 of A-Z, a-z, 0-9, _ and -", name);
}

function checkField(field: string, value: unknown, role: Role, path: string): void {
  if (field === "role" || field === "content" || field === "name" || value === undefined) return;
  if (role === "assistant") {
    if (field === "reasoning_content") return;
    const kind = Object.hasOwn(ANSWER_FIELDS, field) ? ANSWER_FIELDS[field] : undefined;
    if (kind !== undefined) {
      if (value === null || (kind === "list" && Array.isArray(value) && value.length === 0)) return;
      const allowed = kind === "list" ? "null or []" : "null";
      const message = `${path} is not supported; it may only be ${allowed}. Given: ${described(value)}`;
      throw new EngineError("unsupported_parameter", message, path);
    }
  }
  throw unknownField(path);
}

function checkText(text: unknown, path: string): string {
  if (typeof text !== "string") throw wrongType(path, "a string", text);
  checkWellFormed(text, path);
  return text;
}

const unknownField = (path: string): EngineError =>
  new EngineError("unknown_parameter", `${path} is not a known field.`, path);

function unsupported(path: string, given: string, allowed: readonly string[]): EngineError {
  const values = allowed.map((value) => JSON.stringify(value)).join(" or ");
  return new EngineError("unsupported_value", `${path} must be ${values}. Given: ${described(given)}`, path);
}

/** Returns the length of all contents, in UTF-16 code units, of messages that are not checked yet. */
export function textLengthOf(messages: unknown): number {
  const lengthOf = (content: unknown): number =>
    typeof content === "string"
      ? content.length
      : Array.isArray(content)
        ? content.reduce<number>((sum, part) => sum + (isObject(part) ? lengthOf(part["text"]) : 0), 0)
        : 0;
  if (!Array.isArray(messages)) return 0;
  return messages.reduce<number>((sum, each) => sum + (isObject(each) ? lengthOf(each["content"]) : 0), 0);
}

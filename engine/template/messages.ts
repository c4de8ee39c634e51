/**
 * Validates the messages of a chat and converts them to the form that templates receive (contract, section 2.1). The
 * checks are complete, because callers of the library do not go through the server's checks.
 */

import { isObject, type JsonObject } from "../json.js";
import {
  described,
  EngineError,
  fieldPath,
  missingParameter,
  outOfRange,
  quoted,
  refuseUnknownFields,
  shortened,
  wrongType,
} from "../errors.js";
import { checkWellFormed } from "../text/index.js";

export type Role = "system" | "developer" | "user" | "assistant" | "tool";

export interface ChatMessage extends AnswerFields {
  readonly role: Role;
  /** Null is allowed for assistant messages only; text parts are joined with a newline. */
  readonly content: string | null | readonly TextPart[];
  /** 1 to 64 characters of `[A-Za-z0-9_-]`; has no effect if the template does not use it. */
  readonly name?: string | null;
  /** Calls of tools in an assistant message. Each is answered by one tool message that follows. */
  readonly tool_calls?: readonly MessageCall[] | null;
  /** Id of the call that a tool message answers. */
  readonly tool_call_id?: string | null;
}

/** A call of a tool, as an answer contains it. */
export interface MessageCall {
  readonly id: string;
  readonly type: "function";
  /** `arguments` is the JSON text of an object. `parsed_arguments`, which openai's helpers add, changes nothing. */
  readonly function: { readonly name: string; readonly arguments: string; readonly parsed_arguments?: unknown };
}

export interface TextPart extends AnswerFields {
  readonly type: "text";
  readonly text: string;
  /** Changes nothing. */
  readonly role?: string | null;
  /** Copies of the message's calls, by id; they change nothing. */
  readonly tool_calls?: readonly object[] | null;
}

/**
 * Fields that clients send back with an answer. `id` and `cache_control` are allowed in all messages and parts,
 * `refusal` and `annotations` in assistant messages and all parts, the others in assistant messages and their parts.
 */
interface AnswerFields {
  /** Passed to the template; those of the message and of its parts are joined with a newline. */
  readonly reasoning_content?: string | null;
  /** The fields below change nothing. */
  readonly id?: string | null;
  readonly cache_control?: object | null;
  readonly refusal?: null;
  readonly annotations?: readonly unknown[] | null;
  readonly parsed?: unknown;
  readonly provider_specific_fields?: object | null;
  readonly audio?: null;
  readonly function_call?: null;
}

/** A message in the form that templates receive; absent fields stay absent. */
export interface TemplateMessage {
  readonly role: Exclude<Role, "developer">;
  readonly content: string;
  readonly name?: string;
  readonly reasoning_content?: string;
  readonly tool_calls?: readonly TemplateCall[];
  readonly tool_call_id?: string;
}

export interface TemplateCall {
  readonly id: string;
  readonly name: string;
  /** The JSON text of an object, or the beginning of one (`isCutObject`). */
  readonly arguments: string;
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
  const checked = messages.map((message: unknown, index) => checkMessage(message, `messages[${index}]`));
  checkResults(checked);
  return checked;
}

/** Checks that each call is answered once, by the tool messages directly after it. */
function checkResults(messages: readonly TemplateMessage[]): void {
  /** Calls that are not answered yet, by id, with their places. */
  const open = new Map<string, string>();
  for (const [index, { role, tool_calls: calls = [], tool_call_id: id }] of messages.entries()) {
    const path = `messages[${index}]`;
    if (role === "tool") {
      // Without an id, a result answers no call: templates that know the role write it like any message.
      if (id === undefined && open.size === 0) continue;
      if (id === undefined) throw missingParameter(`${path}.tool_call_id`);
      if (open.delete(id)) continue;
      const known =
        open.size === 0 ? "no call is open" : `the open calls are ${[...open.keys()].map(quoted).join(", ")}`;
      throw outOfRange(`${path}.tool_call_id`, `must be the id of a call that is not answered yet; ${known}`, id);
    }
    refuseOpen(open, `before ${path}`);
    for (const [at, call] of calls.entries()) {
      const place = `${path}.tool_calls[${at}].id`;
      if (open.has(call.id)) throw outOfRange(place, "must differ from the ids of the other calls", call.id);
      open.set(call.id, place);
    }
  }
  refuseOpen(open, "after it");
}

function refuseOpen(open: ReadonlyMap<string, string>, where: string): void {
  const [first] = open;
  if (first === undefined) return;
  const [id, path] = first;
  const rule = `is ${quoted(shortened(id))}, and no tool message answers this call ${where}. Each call needs one.`;
  throw new EngineError("missing_required_parameter", (name) => `${name(path)} ${rule}`, path);
}

const ROLES: readonly string[] = ["system", "developer", "user", "assistant", "tool"] satisfies Role[];

type EchoedValue = "null" | "an array" | "a string" | "an object" | "any value";

/**
 * Fields that clients send back with an answer, or that concern the caches of a cloud, with their values. They change
 * nothing; null is allowed for all.
 */
const ECHOED: ReadonlyMap<string, EchoedValue> = new Map([
  ["id", "a string"],
  ["cache_control", "an object"],
]);
const ECHOED_IN_ANSWERS: ReadonlyMap<string, EchoedValue> = new Map([
  ...ECHOED,
  ["refusal", "null"],
  ["annotations", "an array"],
  ["parsed", "any value"],
  ["provider_specific_fields", "an object"],
  ["audio", "null"],
  ["function_call", "null"],
]);
const ECHOED_IN_PARTS: ReadonlyMap<string, EchoedValue> = new Map([
  ...ECHOED,
  ["refusal", "null"],
  ["annotations", "an array"],
  ["role", "a string"],
]);
const ECHOED_IN_ANSWER_PARTS: ReadonlyMap<string, EchoedValue> = new Map([...ECHOED_IN_ANSWERS, ["role", "a string"]]);

function checkMessage(message: unknown, path: string): TemplateMessage {
  if (!isObject(message)) throw wrongType(path, "an object", message);
  const role = checkRole(message["role"], `${path}.role`);
  const { text, reasoning: reasoningOfParts } = checkContent(message["content"], role, `${path}.content`);
  const name = checkName(message["name"], `${path}.name`);
  const calls = role === "assistant" ? checkCalls(message["tool_calls"], `${path}.tool_calls`) : [];
  checkCopies(message["content"], calls, `${path}.content`);
  const givenId = role === "tool" ? (message["tool_call_id"] ?? null) : null;
  const id = givenId === null ? null : checkId(givenId, `${path}.tool_call_id`);
  for (const [field, value] of Object.entries(message)) checkField(field, value, role, fieldPath(path, field));
  const reasoning = [...checkReasoning(message, role, path), ...reasoningOfParts];
  return {
    role: role === "developer" ? "system" : role,
    content: text,
    ...(name === null ? {} : { name }),
    ...(reasoning.length === 0 ? {} : { reasoning_content: reasoning.join("\n") }),
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
    ...(id === null ? {} : { tool_call_id: id }),
  };
}

function checkCalls(calls: unknown, path: string): TemplateCall[] {
  if (calls === undefined || calls === null) return [];
  if (!Array.isArray(calls)) throw wrongType(path, "an array of calls", calls);
  return calls.map((call: unknown, index) => checkCall(call, `${path}[${index}]`));
}

function checkCall(call: unknown, path: string): TemplateCall {
  if (!isObject(call)) throw wrongType(path, "an object", call);
  const id = checkId(call["id"], `${path}.id`);
  const type = call["type"] ?? null;
  if (type === null) throw missingParameter(`${path}.type`);
  if (type !== "function") throw unsupported(`${path}.type`, String(type), ["function"]);
  const of = call["function"] ?? null;
  if (of === null) throw missingParameter(`${path}.function`);
  if (!isObject(of)) throw wrongType(`${path}.function`, "an object", of);
  refuseUnknownFields(call, ["id", "type", "function", "index"], path);
  const at = `${path}.function`;
  refuseUnknownFields(of, ["name", "arguments", "parsed_arguments"], at);
  const name = checkName(of["name"], `${at}.name`);
  if (name === null) throw missingParameter(`${at}.name`);
  return { id, name, arguments: checkArguments(of["arguments"], `${at}.arguments`) };
}

/** An empty text, which some clients send for a call without arguments, is an empty object. */
function checkArguments(given: unknown, path: string): string {
  if (given === undefined || given === null) throw missingParameter(path);
  const text = checkText(given, path);
  if (text.trim() === "") return "{}";
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = null;
  }
  if (!isObject(value) && !isCutObject(text)) throw outOfRange(path, "must be the JSON text of an object", text);
  return text;
}

/** Whether a text begins an object and does not close it. The limit of tokens leaves such arguments. */
export function isCutObject(json: string): boolean {
  if (!json.trimStart().startsWith("{")) return false;
  const strings = /"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?$)/gs;
  const braces = json.replaceAll(strings, "").match(/[{}]/g) ?? [];
  return braces.reduce((depth, brace) => depth + (brace === "{" ? 1 : -1), 0) > 0;
}

/**
 * Checks the calls in the parts of a checked content: @openai/agents keeps those of the message there too. Calls that
 * only a part has would be lost.
 */
function checkCopies(content: unknown, calls: readonly TemplateCall[], path: string): void {
  if (!Array.isArray(content)) return;
  const ids = new Set<unknown>(calls.map(({ id }) => id));
  for (const [index, part] of (content as readonly JsonObject[]).entries()) {
    const at = `${path}[${index}].tool_calls`;
    const copies = part["tool_calls"] ?? [];
    if (!Array.isArray(copies)) throw wrongType(at, "an array of calls", copies);
    for (const [place, copy] of copies.entries()) checkCopy(copy, ids, `${at}[${place}]`);
  }
}

function checkCopy(copy: unknown, ids: ReadonlySet<unknown>, path: string): void {
  if (!isObject(copy)) throw wrongType(path, "an object", copy);
  const id = copy["id"] ?? null;
  if (id === null) throw missingParameter(`${path}.id`);
  if (!ids.has(id)) throw outOfRange(`${path}.id`, "must be the id of a call in the message's tool_calls", id);
}

function checkId(id: unknown, path: string): string {
  if (id === undefined || id === null) throw missingParameter(path);
  const text = checkText(id, path);
  if (text === "" || text.length > MAX_ID_CHARACTERS)
    throw outOfRange(path, `must have 1 to ${MAX_ID_CHARACTERS} characters`, text);
  return text;
}

/** Ids are of other servers too. */
const MAX_ID_CHARACTERS = 256;

function checkRole(role: unknown, path: string): Role {
  if (role === undefined || role === null) throw missingParameter(path);
  if (typeof role !== "string") throw wrongType(path, "a string", role);
  if (!ROLES.includes(role)) throw unsupported(path, role, ROLES);
  return role as Role;
}

interface Content {
  readonly text: string;
  /** `reasoning_content` of the parts that have one. */
  readonly reasoning: readonly string[];
}

function checkContent(content: unknown, role: Role, path: string): Content {
  if ((content === null || content === undefined) && role === "assistant") return { text: "", reasoning: [] };
  if (content === undefined || content === null) throw missingParameter(path);
  if (typeof content === "string") return { text: checkText(content, path), reasoning: [] };
  if (!Array.isArray(content)) throw wrongType(path, "a string or an array of text parts", content);
  if (content.length === 0) throw outOfRange(path, "must have at least 1 part", content);
  const parts = content.map((part: unknown, index) => checkPart(part, role, `${path}[${index}]`));
  return { text: parts.map(({ text }) => text).join("\n"), reasoning: parts.flatMap(({ reasoning }) => reasoning) };
}

function checkPart(part: unknown, role: Role, path: string): Content {
  if (!isObject(part)) throw wrongType(path, "an object", part);
  const type = part["type"];
  if (type === undefined || type === null) throw missingParameter(`${path}.type`);
  if (typeof type !== "string") throw wrongType(`${path}.type`, "a string", type);
  if (type !== "text") throw unsupported(`${path}.type`, type, ["text"]);
  const echoed = role === "assistant" ? ECHOED_IN_ANSWER_PARTS : ECHOED_IN_PARTS;
  for (const [field, value] of Object.entries(part)) {
    if (field === "type" || field === "text" || isReasoning(field, role)) continue;
    if (field !== "tool_calls" || role !== "assistant") checkEchoed(echoed, field, value, fieldPath(path, field));
  }
  if (part["text"] === undefined || part["text"] === null) throw missingParameter(`${path}.text`);
  return { text: checkText(part["text"], `${path}.text`), reasoning: checkReasoning(part, role, path) };
}

/** Returns the reasoning of a message or a part, or an empty array if it has none. */
function checkReasoning(owner: JsonObject, role: Role, path: string): string[] {
  const given = owner["reasoning_content"] ?? null;
  if (role !== "assistant" || given === null) return [];
  return [checkText(given, `${path}.reasoning_content`)];
}

function checkName(name: unknown, path: string): string | null {
  if (name === undefined || name === null) return null;
  if (typeof name !== "string") throw wrongType(path, "a string", name);
  if (/^[A-Za-z0-9_-]{1,64}$/.test(name)) return name;
  throw outOfRange(path, "must be 1 to 64 of A-Z, a-z, 0-9, _ and -", name);
}

function checkField(field: string, value: unknown, role: Role, path: string): void {
  if (field === "role" || field === "content" || field === "name" || value === undefined) return;
  if (isReasoning(field, role)) return;
  if ((field === "tool_calls" && role === "assistant") || (field === "tool_call_id" && role === "tool")) return;
  checkEchoed(role === "assistant" ? ECHOED_IN_ANSWERS : ECHOED, field, value, path);
}

const isReasoning = (field: string, role: Role): boolean => role === "assistant" && field === "reasoning_content";

function checkEchoed(fields: ReadonlyMap<string, EchoedValue>, field: string, value: unknown, path: string): void {
  const allowed = fields.get(field);
  if (allowed === undefined) throw new EngineError("unknown_parameter", `${path} is not a known field.`, path);
  if (value === null || value === undefined) return;
  switch (allowed) {
    case "a string":
      if (typeof value !== "string") throw wrongType(path, allowed, value);
      return;
    case "an object":
      if (!isObject(value)) throw wrongType(path, allowed, value);
      return;
    case "any value":
      return;
    case "an array":
      if (!Array.isArray(value)) throw wrongType(path, allowed, value);
      return;
    case "null": {
      const message = `${path} is not supported; it may only be null. Given: ${described(value)}`;
      throw new EngineError("unsupported_parameter", message, path);
    }
  }
}

function checkText(text: unknown, path: string): string {
  if (typeof text !== "string") throw wrongType(path, "a string", text);
  checkWellFormed(text, path);
  return text;
}

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
  const callsLength = (calls: unknown): number =>
    Array.isArray(calls)
      ? calls.reduce<number>((sum, call) => {
          const of: unknown = isObject(call) ? call["function"] : null;
          return sum + (isObject(of) ? lengthOf(of["arguments"]) : 0);
        }, 0)
      : 0;
  return messages.reduce<number>(
    (sum, each) => sum + (isObject(each) ? lengthOf(each["content"]) + callsLength(each["tool_calls"]) : 0),
    0,
  );
}

/** Variables of the chat template: those of a request, such as `enable_thinking` of Qwen 3, and the tokens by name. */

import { EngineError, fieldPath, outOfRange, wrongType } from "../errors.js";
import { type JsonObject, isObject } from "../json.js";
import { LIMITS } from "../limits.js";
import { checkWellFormed, tokenContent } from "../text/index.js";
import { isDate } from "./date-text.js";
import { SourcedText } from "./sourced-text.js";

/** JSON values by name. */
export type TemplateVariables = { readonly [name: string]: unknown };

/** Variables that depend on the rest of the request. */
const RESERVED: ReadonlySet<string> = new Set(["messages", "tools", "documents", "add_generation_prompt"]);

/**
 * Checks variables and marks their texts, which like those of messages never become special tokens. `date` is what
 * `strftime_now` writes, and no variable: a prompt must not depend on how its date was given.
 *
 * @param variables the caller's value, of any type; null for none
 * @throws EngineError that names the variable, such as `templateVariables.tools`
 */
export function checkVariables(variables: unknown): JsonObject {
  if (variables === null || variables === undefined) return {};
  if (!isObject(variables)) throw wrongType(PARAM, "an object", variables);
  const names = Object.keys(variables);
  if (names.length > LIMITS.maxTemplateVariables)
    throw outOfRange(PARAM, `must have at most ${LIMITS.maxTemplateVariables} entries`, names.length);
  const checked = Object.create(null) as Record<string, unknown>;
  for (const name of names) {
    const path = fieldPath(PARAM, name);
    checkWellFormed(name, path);
    if (RESERVED.has(name))
      throw new EngineError("unsupported_value", (named) => `${named(path)} cannot be set: the request sets it.`, path);
    if (name === "date") checkDate(variables[name], path);
    else checked[name] = marked(variables[name], path, 0);
  }
  return checked;
}

/** @throws EngineError for a value that is neither null nor a date such as 2026-11-30 */
export function checkDate(date: unknown, path: string): void {
  if (date === null || date === undefined) return;
  if (typeof date !== "string") throw wrongType(path, "a string", date);
  if (!isDate(date)) throw outOfRange(path, "must be a date from 1000-01-01 on, such as 2026-11-30", date);
}

/** Returns the number of characters of the variables as JSON, about. */
export function variablesLength(variables: TemplateVariables | null): number {
  return variables === null ? 0 : JSON.stringify(variables).length;
}

const PARAM = "templateVariables";

/** Returns a value whose texts and keys are text of a message, as toValue takes it. */
export function marked(value: unknown, path: string, depth = 0): unknown {
  if (depth > LIMITS.maxJsonDepth)
    throw outOfRange(path, `must not be nested more than ${LIMITS.maxJsonDepth} deep`, depth);
  if (value === null || typeof value === "boolean") return value;
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw outOfRange(path, "must be a finite number", value);
    return value;
  }
  if (typeof value === "string") {
    checkWellFormed(value, path);
    return SourcedText.ofMessage(value);
  }
  if (Array.isArray(value)) return value.map((item: unknown, index) => marked(item, `${path}[${index}]`, depth + 1));
  if (!isObject(value)) throw wrongType(path, "a JSON value", value);
  return new Map(
    Object.entries(value).map(([name, item]) => {
      const itemPath = fieldPath(path, name);
      checkWellFormed(name, itemPath);
      return [name, marked(item, itemPath, depth + 1)];
    }),
  );
}

/** Returns the special tokens of tokenizer_config.json by name, including additional and extra ones. */
export function namedTokens(config: JsonObject): JsonObject {
  const variables: Record<string, unknown> = {};
  const own = config["extra_special_tokens"];
  for (const [key, token] of Object.entries(isObject(own) ? own : {})) variables[key] = tokenContent(token);
  const additional = config["additional_special_tokens"];
  if (Array.isArray(additional)) variables["additional_special_tokens"] = additional.map(tokenContent);
  for (const key of ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"]) {
    const content = tokenContent(config[key]);
    if (content !== null) variables[key] = content;
  }
  return variables;
}

/** Tools that a model may call (contract, section 11): the checks of a request, and the grammar of its calls. */

import {
  described,
  EngineError,
  missingParameter,
  outOfRange,
  quoted,
  refuseUnknownFields,
  wrongType,
} from "../errors.js";
import type { AnswerFormat, CallsFormat, CompiledGrammar, GrammarCache, ParameterKinds } from "../grammar/index.js";
import { isObject, type JsonObject } from "../json.js";
import { LIMITS } from "../limits.js";
import { checkWellFormed } from "../text/index.js";
import type { CallForm } from "./call-form.js";

/** A function that the model may call, in OpenAI's form. */
export interface Tool {
  readonly type: "function";
  readonly function: {
    /** 1 to 64 characters of `[A-Za-z0-9_-]`. */
    readonly name: string;
    readonly description?: string | null | undefined;
    /** JSON schema of the arguments, which are an object. Absent: the tool has no parameters. */
    readonly parameters?: JsonObject | null | undefined;
    /** Refuses a schema that cannot be enforced; otherwise the arguments are then some object. */
    readonly strict?: boolean | null | undefined;
  };
}

interface NamedTool {
  readonly type: "function";
  readonly function: { readonly name: string };
}

export type ToolChoice =
  | "none"
  | "auto"
  | "required"
  | NamedTool
  | {
      readonly type: "allowed_tools";
      readonly allowed_tools: { readonly mode: "auto" | "required"; readonly tools: readonly NamedTool[] };
    };

export interface ToolOptions {
  readonly tools?: readonly Tool[] | null | undefined;
  /** `auto` by default. */
  readonly toolChoice?: ToolChoice | null | undefined;
  /** Set to false for one call at most. */
  readonly parallelToolCalls?: boolean | null | undefined;
}

/** The tools of a request. */
export interface CheckedTools {
  /** What the template gets. */
  readonly tools: readonly Tool[];
  /** Indices of the tools that may be called; empty for `none`. */
  readonly callable: readonly number[];
  readonly isRequired: boolean;
  /** True if the choice names one tool. */
  readonly isNamed: boolean;
  readonly isParallel: boolean;
}

/**
 * Checks tools and what may be called of them. TypeScript checks this only for callers in TypeScript.
 * @returns null if there are no tools
 * @throws EngineError
 */
export function checkTools({ tools, toolChoice, parallelToolCalls }: ToolOptions): CheckedTools | null {
  const given: unknown = tools ?? [];
  if (!Array.isArray(given)) throw wrongType("tools", "an array of tools", given);
  if (given.length > LIMITS.maxTools) throw outOfRange("tools", `must contain at most ${LIMITS.maxTools} tools`, given);
  const places = new Map<string, number>();
  for (const [index, tool] of (given as readonly unknown[]).entries()) {
    const path = `tools[${index}]`;
    const name = checkTool(tool, path);
    const first = places.get(name);
    if (first !== undefined)
      throw outOfRange(
        `${path}.function.name`,
        `must differ from the names before it, and equals tools[${first}]`,
        name,
      );
    places.set(name, index);
  }
  const { names, isRequired, isNamed } = checkChoice(toolChoice ?? "auto", places);
  if (parallelToolCalls !== undefined && parallelToolCalls !== null && typeof parallelToolCalls !== "boolean")
    throw wrongType("parallelToolCalls", "a boolean", parallelToolCalls);
  if (given.length === 0) return null;
  const callable = names === null ? [...places.values()] : names.map((name) => places.get(name)!);
  return { tools: given as readonly Tool[], callable, isRequired, isNamed, isParallel: parallelToolCalls ?? true };
}

/** @returns the tool's name */
function checkTool(tool: unknown, path: string): string {
  if (!isObject(tool)) throw wrongType(path, "an object", tool);
  checkFunctionType(tool["type"], `${path}.type`);
  const at = `${path}.function`;
  const of = checkFields(tool["function"], ["name", "description", "parameters", "strict"], at);
  const name = checkName(of["name"], `${at}.name`);
  const { description = null, parameters = null, strict = null } = of;
  if (description !== null) {
    if (typeof description !== "string") throw wrongType(`${at}.description`, "a string", description);
    checkWellFormed(description, `${at}.description`);
  }
  if (parameters !== null && !isObject(parameters)) throw wrongType(`${at}.parameters`, "an object", parameters);
  if (strict !== null && typeof strict !== "boolean") throw wrongType(`${at}.strict`, "a boolean", strict);
  checkFields(tool, ["type", "function"], path);
  return name;
}

interface Choice {
  /** Names of the tools that may be called; null for all. */
  readonly names: readonly string[] | null;
  readonly isRequired: boolean;
  readonly isNamed: boolean;
}

function checkChoice(choice: unknown, places: ReadonlyMap<string, number>): Choice {
  const path = "toolChoice";
  if (typeof choice === "string") {
    if (!["none", "auto", "required"].includes(choice)) throw unsupported(path, choice, MODES);
    if (choice === "required" && places.size === 0) throw outOfRange(path, "needs tools", choice);
    return { names: choice === "none" ? [] : null, isRequired: choice === "required", isNamed: false };
  }
  if (!isObject(choice)) throw wrongType(path, "a string or an object", choice);
  if (choice["type"] === "allowed_tools") {
    const at = `${path}.allowed_tools`;
    const { mode, tools } = checkFields(choice["allowed_tools"], ["mode", "tools"], at);
    checkFields(choice, ["type", "allowed_tools"], path);
    if (mode !== "auto" && mode !== "required") throw unsupported(`${at}.mode`, mode, ["auto", "required"]);
    if (!Array.isArray(tools)) throw wrongType(`${at}.tools`, "an array of tools", tools);
    if (tools.length === 0) throw outOfRange(`${at}.tools`, "must name at least one tool", tools);
    const names = tools.map((tool: unknown, index) => checkNamed(tool, `${at}.tools[${index}]`, places));
    return { names: [...new Set(names)], isRequired: mode === "required", isNamed: false };
  }
  return { names: [checkNamed(choice, path, places)], isRequired: true, isNamed: true };
}

function checkNamed(tool: unknown, path: string, places: ReadonlyMap<string, number>): string {
  if (!isObject(tool)) throw wrongType(path, "an object", tool);
  checkFunctionType(tool["type"], `${path}.type`);
  const at = `${path}.function`;
  const name = checkName(checkFields(tool["function"], ["name"], at)["name"], `${at}.name`);
  checkFields(tool, ["type", "function"], path);
  if (!places.has(name)) {
    const known = places.size === 0 ? "there are none" : [...places.keys()].slice(0, MAX_LISTED).map(quoted).join(", ");
    throw outOfRange(`${at}.name`, `must be the name of one of the tools (${known})`, name);
  }
  return name;
}

const MODES = ["none", "auto", "required"];
const MAX_LISTED = 20;

function checkFunctionType(type: unknown, path: string): void {
  if (type === undefined || type === null) throw missingParameter(path);
  if (type !== "function") throw unsupported(path, type, ["function"]);
}

function checkName(name: unknown, path: string): string {
  if (name === undefined || name === null) throw missingParameter(path);
  if (typeof name !== "string") throw wrongType(path, "a string", name);
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(name)) throw outOfRange(path, "must be 1 to 64 of A-Z, a-z, 0-9, _ and -", name);
  return name;
}

function checkFields(value: unknown, known: readonly string[], path: string): JsonObject {
  if (value === undefined || value === null) throw missingParameter(path);
  if (!isObject(value)) throw wrongType(path, "an object", value);
  refuseUnknownFields(value, known, path);
  return value;
}

function unsupported(path: string, given: unknown, allowed: readonly string[]): EngineError {
  const values = allowed.map(quoted).join(" or ");
  return new EngineError(
    "unsupported_value",
    (name) => `${name(path)} must be ${values}. Given: ${described(given)}`,
    path,
  );
}

/**
 * Compiles the grammar of answers with calls.
 *
 * @param otherwise format of an answer without calls; null if it may be any text
 * @throws EngineError invalid_schema or unsupported_schema with the path of the error
 */
export function callsGrammar(
  { tools, callable, isRequired, isParallel }: CheckedTools,
  form: CallForm,
  otherwise: AnswerFormat | null,
  grammars: GrammarCache,
  isCanceled?: () => boolean,
): CompiledGrammar {
  /** By index of the tool: why its schema is not enforced. */
  const notes = new Map<number, string>();
  for (;;) {
    const { open, separator, close, before, between, after, isNameFirst, tag, parameters } = form;
    const format: CallsFormat = {
      type: "calls",
      markup: { open, separator, close, before, between, after, isNameFirst, tag, parameters },
      calls: callable.map((index) => ({
        name: tools[index]!.function.name,
        schema: notes.has(index) ? looseSchema(tools[index]!, form) : argumentsSchema(tools[index]!, index),
      })),
      isRequired,
      maxCalls: callable.length === 0 ? 0 : isParallel && separator !== null ? Infinity : 1,
      trigger: form.trigger ?? open + before,
      isTriggerAnywhere: form.trigger !== null,
      mayFollowText: form.mayFollowText,
      otherwise,
      notes: [...notes.values()],
    };
    try {
      return grammars.get(format, isCanceled);
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      const [, place, rest] = /^\.calls\[(\d+)\]\.schema([^]*)$/.exec(error.param ?? "") ?? [];
      if (place === undefined) throw new EngineError(error.code, error.message, "tools", { cause: error });
      const index = callable[Number(place)]!;
      const path = `tools[${index}].function.parameters`;
      if (error.code !== "unsupported_schema" || tools[index]!.function.strict === true || notes.has(index))
        throw new EngineError(error.code, error.message, path + rest!, { cause: error });
      notes.set(index, `${path}: ${error.message} The arguments are an object, and no more is enforced.`);
    }
  }
}

/** Returns the schema of a tool's arguments, which are always an object; null if it has no parameters. */
function argumentsSchema({ function: { parameters = null } }: Tool, index: number): JsonObject | null {
  const path = `tools[${index}].function.parameters`;
  if (parameters === null || declaresNothing(parameters)) return null;
  const { type = "object" } = parameters;
  if (type === "object") return { ...parameters, type };
  if (Array.isArray(type) && type.includes("object")) return { ...parameters, type: "object" };
  throw outOfRange(`${path}.type`, 'must be "object"', type);
}

/** Returns the kinds of the parameters of each tool that may be called, by its name; empty if arguments are JSON. */
export function kindsByTool({ tools, callable }: CheckedTools, grammar: CompiledGrammar): Map<string, ParameterKinds> {
  const { kinds } = grammar.data;
  return new Map(kinds.map((ofTool, index) => [tools[callable[index]!]!.function.name, ofTool]));
}

/** The schema if that of the tool cannot be enforced: any object, or any parameters with the names that it lists. */
function looseSchema({ function: { parameters } }: Tool, form: CallForm): JsonObject {
  const properties = parameters?.["properties"];
  if (form.parameters === null || !isObject(properties)) return { type: "object" };
  return { type: "object", properties: Object.fromEntries(Object.keys(properties).map((name) => [name, true])) };
}

/** True for an empty list of properties, which is how clients write that a tool has no parameters. */
function declaresNothing(parameters: JsonObject): boolean {
  const { properties, additionalProperties = false, ...others } = parameters;
  if (!isObject(properties) || Object.keys(properties).length > 0 || additionalProperties !== false) return false;
  return Object.keys(others).every((keyword) => WITHOUT_PROPERTIES.has(keyword));
}

const WITHOUT_PROPERTIES: ReadonlySet<string> = new Set(["type", "required", "title", "description", "$schema"]);

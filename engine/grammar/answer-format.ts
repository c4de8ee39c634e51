/** The formats that an answer can have, and the checks of their fields. */

import {
  described,
  EngineError,
  missingParameter,
  outOfRange,
  quoted,
  refuseUnknownFields,
  wrongType,
} from "../errors.js";
import { isObject } from "../json.js";
import { LIMITS } from "../limits.js";
import type { CallMarkup } from "./call-markup.js";

/** Format that an answer must have. */
export type AnswerFormat =
  | { readonly type: "json_object" }
  | { readonly type: "json_schema"; readonly schema: unknown }
  | { readonly type: "regex"; readonly regex: string }
  | { readonly type: "choice"; readonly choices: readonly string[] }
  | { readonly type: "grammar"; readonly syntax: GrammarSyntax; readonly grammar: string }
  | {
      readonly type: "structural_tag";
      readonly structures: readonly Structure[];
      readonly triggers: readonly string[];
    };

/** A part of free text: `begin`, a JSON value that is valid against the schema, `end`. */
export interface Structure {
  readonly begin: string;
  readonly schema: unknown;
  readonly end: string;
}

/** An answer with calls of tools, in the form in which a model writes them. Its fields are not checked. */
export interface CallsFormat {
  readonly type: "calls";
  readonly markup: CallMarkup;
  /** The tools that may be called. Without a schema, the arguments are `{}`. */
  readonly calls: readonly { readonly name: string; readonly schema: unknown }[];
  readonly isRequired: boolean;
  /** 0 if there are none. */
  readonly maxCalls: number;
  /** The text with which calls begin. Other text does not contain it, or does not begin with it. */
  readonly trigger: string;
  readonly isTriggerAnywhere: boolean;
  /** True if text may come before calls, where an answer may be any text. */
  readonly mayFollowText: boolean;
  /** Format of an answer without calls; null if it may be any text. */
  readonly otherwise: AnswerFormat | null;
  /** Remarks for the author of the tools. */
  readonly notes: readonly string[];
}

/** Syntaxes of context-free grammars. */
export type GrammarSyntax = "gbnf" | "lark";
const SYNTAXES: readonly string[] = ["gbnf", "lark"];

/** TypeScript checks this only for callers in TypeScript. */
export function checkFormat(format: unknown): void {
  if (!isObject(format)) throw wrongType("format", "an object", format);
  const { type, regex, choices, syntax, grammar } = format;
  switch (type) {
    case "json_object":
    case "json_schema":
      return;
    case "regex":
      if (typeof regex !== "string") throw wrongType("format.regex", "a string", regex);
      return;
    case "choice":
      checkChoices(choices, "format.choices");
      return;
    case "grammar":
      checkGrammar(syntax, grammar, "format");
      return;
    case "structural_tag":
      checkTags(format, "format");
      return;
  }
  const allowed = "json_object, json_schema, regex, choice, grammar or structural_tag";
  const message = `format.type must be ${allowed}. Given: ${described(type)}`;
  throw new EngineError("unsupported_value", message, "format.type");
}

/**
 * Checks the texts of a choice.
 * @param path of the choices, for errors
 * @throws EngineError
 */
export function checkChoices(choices: unknown, path: string): void {
  if (choices === undefined || choices === null) throw missingParameter(path);
  if (!Array.isArray(choices)) throw wrongType(path, "an array of strings", choices);
  const { maxAnswerChoices, maxAnswerChoicesCharacters } = LIMITS;
  if (choices.length === 0 || choices.length > maxAnswerChoices)
    throw outOfRange(path, `must contain 1 to ${maxAnswerChoices} strings`, choices);
  const known = new Map<string, number>();
  let numCharacters = 0;
  for (const [index, choice] of (choices as readonly unknown[]).entries()) {
    const at = `${path}[${index}]`;
    if (typeof choice !== "string") throw wrongType(at, "a string", choice);
    if (choice === "") throw outOfRange(at, "must not be empty", choice);
    if (LONE_SURROGATE.test(choice)) throw outOfRange(at, "must not contain half of a surrogate pair", choice);
    const first = known.get(choice);
    if (first !== undefined)
      throw outOfRange(at, `must differ from the choices before it, and equals [${first}]`, choice);
    known.set(choice, index);
    numCharacters += choice.length;
  }
  if (numCharacters > maxAnswerChoicesCharacters) {
    const rule = `must have at most ${maxAnswerChoicesCharacters} characters together`;
    throw new EngineError("out_of_range", (name) => `${name(path)} ${rule}. Given: ${numCharacters}`, path);
  }
}

/**
 * Checks the fields of a grammar, not the grammar itself.
 * @param path of the format, for errors
 * @throws EngineError
 */
export function checkGrammar(syntax: unknown, grammar: unknown, path: string): void {
  for (const [name, value] of Object.entries({ syntax, grammar })) {
    if (value === undefined || value === null) throw missingParameter(`${path}.${name}`);
    if (typeof value !== "string") throw wrongType(`${path}.${name}`, "a string", value);
  }
  if (SYNTAXES.includes(syntax as string)) return;
  const at = `${path}.syntax`;
  const allowed = SYNTAXES.map(quoted).join(" or ");
  throw new EngineError(
    "unsupported_value",
    (name) => `${name(at)} must be ${allowed}. Given: ${described(syntax)}`,
    at,
  );
}

/**
 * Checks structural tags, except for their schemas.
 * @param path of the format, for errors
 * @throws EngineError
 */
export function checkTags(format: Readonly<Record<string, unknown>>, path: string): void {
  const { structures, triggers } = format;
  const { maxStructures, maxTriggers } = LIMITS;
  checkList(structures, `${path}.structures`, maxStructures, "objects");
  checkList(triggers, `${path}.triggers`, maxTriggers, "strings");
  for (const [index, trigger] of triggers.entries()) {
    const at = `${path}.triggers[${index}]`;
    checkTagText(trigger, at);
    if (trigger === "") throw outOfRange(at, "must not be empty", trigger);
    const first = triggers.indexOf(trigger);
    if (first < index) throw outOfRange(at, `must differ from the triggers before it, and equals [${first}]`, trigger);
  }
  for (const [index, structure] of structures.entries()) {
    const at = `${path}.structures[${index}]`;
    if (!isObject(structure)) throw wrongType(at, "an object", structure);
    refuseUnknownFields(structure, ["begin", "schema", "end"], at);
    checkTagText(structure["begin"], `${at}.begin`);
    checkTagText(structure["end"], `${at}.end`);
    const { begin, schema } = structure as { begin: string; schema?: unknown };
    if (schema === undefined || schema === null) throw missingParameter(`${at}.schema`);
    if (!triggers.some((trigger) => begin.startsWith(trigger as string)))
      throw outOfRange(`${at}.begin`, "must begin with one of the triggers", begin);
  }
  for (const [index, trigger] of triggers.entries())
    if (!structures.some((structure) => (structure as { begin: string }).begin.startsWith(trigger as string)))
      throw outOfRange(`${path}.triggers[${index}]`, "must be the beginning of a structure", trigger);
}

function checkList(list: unknown, path: string, maxLength: number, of: string): asserts list is readonly unknown[] {
  if (list === undefined || list === null) throw missingParameter(path);
  if (!Array.isArray(list)) throw wrongType(path, `an array of ${of}`, list);
  if (list.length === 0 || list.length > maxLength)
    throw outOfRange(path, `must contain 1 to ${maxLength} ${of}`, list);
}

function checkTagText(value: unknown, path: string): asserts value is string {
  if (value === undefined || value === null) throw missingParameter(path);
  if (typeof value !== "string") throw wrongType(path, "a string", value);
  if (LONE_SURROGATE.test(value)) throw outOfRange(path, "must not contain half of a surrogate pair", value);
  if (value.length > LIMITS.maxTagCharacters)
    throw outOfRange(path, `must have at most ${LIMITS.maxTagCharacters} characters`, value);
}

const LONE_SURROGATE = /\p{Surrogate}/u;

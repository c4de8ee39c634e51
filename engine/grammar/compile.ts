/** Compiles an answer format to a grammar, as data. */

import { Budget } from "../budget.js";
import { described, EngineError, wrongType } from "../errors.js";
import { isObject } from "../json.js";
import { LIMITS } from "../limits.js";
import { type AnswerShape, type GrammarData, writeGrammar } from "./grammar-data.js";
import { type Language, Languages } from "./language.js";
import { PatternError, boundedPattern } from "./pattern.js";
import { addNegations } from "./negation.js";
import { readSchema, shown, unsupported } from "./schema.js";
import { type ValueNode, valuesOf } from "./values.js";

/** Format that an answer must have. */
export type AnswerFormat =
  | { readonly type: "json_object" }
  | { readonly type: "json_schema"; readonly schema: unknown }
  | { readonly type: "regex"; readonly regex: string };

/**
 * @param isCanceled returns true once the result is no longer needed
 * @throws EngineError invalid_schema or unsupported_schema; Canceled
 */
export function compiledData(format: AnswerFormat, isCanceled?: () => boolean): GrammarData {
  checkFormat(format);
  const exhausted = (): EngineError => tooMuchWork(format, languages.place);
  const languages = new Languages(new Budget(LIMITS.maxGrammarSteps, exhausted, isCanceled));
  const notes: string[] = [];
  const answer = answerOf(languages, format, notes);
  return writeGrammar(languages, answer, notes);
}

/** @param notes gets remarks for the author of the format */
function answerOf(languages: Languages, format: AnswerFormat, notes: string[]): AnswerShape {
  switch (format.type) {
    case "json_object":
      return { kind: "value", value: schemaValue(languages, { type: "object" }, notes) };
    case "json_schema":
      return { kind: "value", value: schemaValue(languages, format.schema, notes) };
    case "regex":
      return { kind: "text", language: regexLanguage(languages, format.regex) };
  }
}

function tooMuchWork(format: AnswerFormat, place: string): EngineError {
  const limit = `takes more than ${LIMITS.maxGrammarSteps} steps to compile`;
  if (format.type === "regex") return unsupported("", `The regular expression ${described(format.regex)} ${limit}.`);
  return unsupported(place, `The schema ${limit}; the limit was reached at ${shown(place)}.`);
}

/** TypeScript checks this only for callers in TypeScript. */
function checkFormat(format: unknown): void {
  if (!isObject(format)) throw wrongType("format", "an object", format);
  const { type, regex } = format;
  if (type === "regex" && typeof regex !== "string") throw wrongType("format.regex", "a string", regex);
  if (type === "regex" || type === "json_schema" || type === "json_object") return;
  const message = `format.type must be json_object, json_schema or regex. Given: ${described(type)}`;
  throw new EngineError("unsupported_value", message, "format.type");
}

function schemaValue(languages: Languages, schema: unknown, notes: string[]): ValueNode {
  const document = readSchema(languages, schema);
  addNegations(document.schemas, document.root);
  const { root, omissions } = valuesOf(document.schemas, document.root);
  notes.push(...document.notes);
  for (const place of omissions)
    notes.push(`The negation of ${shown(place)} is enforced in part: some valid answers are never given.`);
  return root;
}

/** Compiles an expression that must match the whole answer. */
function regexLanguage(languages: Languages, regex: string): Language {
  try {
    const language = languages.settle(boundedPattern(languages, regex, true), LIMITS.maxGrammarStates);
    if (language !== languages.none) return language;
    throw new EngineError("invalid_schema", `No text matches the regular expression ${described(regex)}.`, "");
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    const code = error.code === "invalid" ? "invalid_schema" : "unsupported_schema";
    throw new EngineError(code, `The regular expression ${described(regex)} cannot be used: ${error.message}.`, "", {
      cause: error,
    });
  }
}

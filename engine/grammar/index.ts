/** Grammars for answers: compiles a JSON schema or a regular expression, and computes the tokens that may come next. */

import { described, EngineError, wrongType } from "../errors.js";
import { isObject } from "../json.js";
import { LIMITS } from "../limits.js";
import { type Language, Languages } from "./language.js";
import { Grammar } from "./matcher.js";
import { PatternError, boundedPattern } from "./pattern.js";
import { type Schema, readSchema } from "./schema.js";
import { type ValueNode, valuesOf } from "./values.js";

export { FORMATS } from "./formats.js";
export { type Grammar, GrammarMatcher } from "./matcher.js";
export { SCHEMA_KEYWORDS } from "./schema.js";
export { VocabularyTrie } from "./vocabulary-trie.js";

/** Format that an answer must have. */
export type AnswerFormat =
  | { readonly type: "json_object" }
  | { readonly type: "json_schema"; readonly schema: unknown }
  | { readonly type: "regex"; readonly regex: string };

/**
 * Compiles a format, or returns its cached grammar.
 * @throws EngineError invalid_schema or unsupported_schema; `param` is a JSON pointer into the schema, "" for its root
 */
export function compileGrammar(format: AnswerFormat): Grammar {
  checkFormat(format);
  const key = JSON.stringify(format);
  let grammar = kept.get(key);
  kept.delete(key);
  if (grammar === undefined || grammar.isBloated) grammar = compile(format);
  kept.set(key, grammar);
  if (kept.size > LIMITS.maxGrammarsKept) kept.delete(kept.keys().next().value!);
  return grammar;
}

/** Cached grammars by their format as JSON, least recently used first. */
const kept = new Map<string, Grammar>();

/** TypeScript checks this only for callers in TypeScript. */
function checkFormat(format: unknown): void {
  if (!isObject(format)) throw wrongType("format", "an object", format);
  const { type, regex } = format;
  if (type === "regex" && typeof regex !== "string") throw wrongType("format.regex", "a string", regex);
  if (type === "regex" || type === "json_schema" || type === "json_object") return;
  const message = `format.type must be json_object, json_schema or regex. Given: ${described(type)}`;
  throw new EngineError("unsupported_value", message, "format.type");
}

function compile(format: AnswerFormat): Grammar {
  const languages = new Languages(null);
  switch (format.type) {
    case "json_object":
      return new Grammar(languages, { kind: "value", value: schemaValue(languages, { type: "object" }) });
    case "json_schema":
      return new Grammar(languages, { kind: "value", value: schemaValue(languages, format.schema) });
    case "regex":
      return new Grammar(languages, { kind: "text", language: regexLanguage(languages, format.regex) });
  }
}

function schemaValue(languages: Languages, schema: unknown): ValueNode {
  const root: Schema = readSchema(languages, schema);
  return valuesOf(languages, root);
}

/** Compiles an expression that must match the whole answer. */
function regexLanguage(languages: Languages, regex: string): Language {
  try {
    const language = languages.settle(boundedPattern(languages, regex, true), LIMITS.maxGrammarStates);
    if (language !== languages.none) return language;
    throw new EngineError("invalid_schema", `No text matches the regular expression ${JSON.stringify(regex)}.`, "");
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    const code = error.code === "invalid" ? "invalid_schema" : "unsupported_schema";
    throw new EngineError(
      code,
      `The regular expression ${JSON.stringify(regex)} cannot be used: ${error.message}.`,
      "",
      { cause: error },
    );
  }
}

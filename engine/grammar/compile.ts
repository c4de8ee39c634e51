/** Compiles an answer format to a grammar, as data. */

import { Budget } from "../budget.js";
import { described, EngineError, missingParameter, outOfRange, quoted, wrongType } from "../errors.js";
import { isObject } from "../json.js";
import { LIMITS } from "../limits.js";
import { type Expression, collapsed } from "./expressions.js";
import { readGbnf } from "./gbnf.js";
import { type AnswerShape, type GrammarData, writeGrammar } from "./grammar-data.js";
import { type Language, Languages, TooManyStates } from "./language.js";
import { readLark } from "./lark.js";
import { PatternError, boundedPattern } from "./pattern.js";
import { RulesError, compileRules } from "./rules.js";
import { type Schema, readSchema, shown, unsupported } from "./schema.js";
import { type ValueNode, valuesOf } from "./values.js";

/** Format that an answer must have. */
export type AnswerFormat =
  | { readonly type: "json_object" }
  | { readonly type: "json_schema"; readonly schema: unknown }
  | { readonly type: "regex"; readonly regex: string }
  | { readonly type: "choice"; readonly choices: readonly string[] }
  | { readonly type: "grammar"; readonly syntax: GrammarSyntax; readonly grammar: string };

/** Syntaxes of context-free grammars. */
export type GrammarSyntax = "gbnf" | "lark";
const SYNTAXES: readonly string[] = ["gbnf", "lark"];

/**
 * @param isCanceled returns true once the result is no longer needed
 * @throws EngineError invalid_schema or unsupported_schema; Canceled
 */
export function compiledData(format: AnswerFormat, isCanceled?: () => boolean): GrammarData {
  checkFormat(format);
  const exhausted = (): EngineError => tooMuchWork(format, languages.place);
  const languages = new Languages(new Budget(LIMITS.maxGrammarSteps, exhausted, isCanceled));
  return writeGrammar(languages, answerOf(languages, format));
}

function answerOf(languages: Languages, format: AnswerFormat): AnswerShape {
  switch (format.type) {
    case "json_object":
      return { kind: "value", value: schemaValue(languages, { type: "object" }) };
    case "json_schema":
      return { kind: "value", value: schemaValue(languages, format.schema) };
    case "regex":
      return { kind: "text", language: regexLanguage(languages, format.regex) };
    case "choice":
      return { kind: "text", language: languages.words(format.choices) };
    case "grammar":
      return rulesAnswer(languages, format);
  }
}

function tooMuchWork(format: AnswerFormat, place: string): EngineError {
  const limit = `takes more than ${LIMITS.maxGrammarSteps} steps to compile`;
  switch (format.type) {
    case "regex":
      return unsupported("", `The regular expression ${described(format.regex)} ${limit}.`);
    case "choice":
      return unsupported("", `The choice ${limit}.`);
    case "grammar":
      return unsupported("", `The grammar ${limit}.`);
  }
  return unsupported(place, `The schema ${limit}; the limit was reached at ${shown(place)}.`);
}

/** TypeScript checks this only for callers in TypeScript. */
function checkFormat(format: unknown): void {
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
  }
  const message = `format.type must be json_object, json_schema, regex, choice or grammar. Given: ${described(type)}`;
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

/** Compiles a schema whose errors are about the grammar that contains it. */
function schemaInGrammar(languages: Languages, schema: unknown): ValueNode {
  try {
    return schemaValue(languages, schema);
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    throw new EngineError(error.code, `A schema of the grammar: at ${shown(error.param ?? "")}: ${error.message}`, "", {
      cause: error,
    });
  }
}

const LONE_SURROGATE = /\p{Surrogate}/u;

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

function rulesAnswer(languages: Languages, { syntax, grammar }: AnswerFormat & { type: "grammar" }): AnswerShape {
  try {
    const { rules, root } =
      syntax === "gbnf"
        ? readGbnf(languages, grammar)
        : readLark(languages, grammar, (schema) => schemaInGrammar(languages, schema));
    const small: Map<string, Expression> = collapsed(languages, rules, root);
    const whole = small.get(root)!;
    if (whole.kind === "text") {
      const language = languages.settle(whole.language, LIMITS.maxGrammarStates);
      languages.explore(language, LIMITS.maxGrammarStates);
      if (language !== languages.none) return { kind: "text", language };
    }
    return { kind: "rules", start: compileRules(languages, small, root) };
  } catch (error) {
    if (error instanceof TooManyStates)
      throw unsupported("", `The terminals of the grammar need more than ${LIMITS.maxGrammarStates} states.`);
    if (!(error instanceof RulesError)) throw error;
    const code = error.code === "invalid" ? "invalid_schema" : "unsupported_schema";
    throw new EngineError(code, `The grammar ${error.message}.`, "", { cause: error });
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
    throw new EngineError("invalid_schema", `No text matches the regular expression ${described(regex)}.`, "");
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    const code = error.code === "invalid" ? "invalid_schema" : "unsupported_schema";
    throw new EngineError(code, `The regular expression ${described(regex)} cannot be used: ${error.message}.`, "", {
      cause: error,
    });
  }
}

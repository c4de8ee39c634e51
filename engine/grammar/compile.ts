/** Compiles an answer format to a grammar, as data. */

import { Budget } from "../budget.js";
import { assert, described, EngineError } from "../errors.js";
import { LIMITS } from "../limits.js";
import { type AnswerFormat, type CallsFormat, type Structure, checkFormat } from "./answer-format.js";
import type { ParameterKinds, ParameterMarkup } from "./call-markup.js";
import { type CallTexts, callsExpression } from "./calls.js";
import { type Expression, collapsed, text } from "./expressions.js";
import { readGbnf } from "./gbnf.js";
import { type AnswerShape, type GrammarData, writeGrammar } from "./grammar-data.js";
import { explore } from "./exploration.js";
import { type Language, Languages, TooManyStates } from "./language.js";
import { readLark } from "./lark.js";
import { type Define, parametersOf } from "./parameters.js";
import { PatternError, boundedPattern } from "./pattern.js";
import { addNegations } from "./negation.js";
import { RulesError, compileRules } from "./rules.js";
import { shown, unsupported } from "./schema.js";
import { readSchema } from "./schema-reader.js";
import { type TaggedPart, Triggers } from "./tagged-text.js";
import { type ValueNode, valuesOf } from "./values.js";

/**
 * @param isCanceled returns true once the result is no longer needed
 * @throws EngineError invalid_schema or unsupported_schema; Canceled
 */
export function compiledData(format: AnswerFormat | CallsFormat, isCanceled?: () => boolean): GrammarData {
  // Callers in JavaScript can give anything.
  if ((format as CallsFormat | null)?.type !== "calls") checkFormat(format);
  const exhausted = (): EngineError => tooMuchWork(format, languages.place);
  const languages = new Languages(new Budget(LIMITS.maxGrammarSteps, exhausted, isCanceled));
  const notes: string[] = [];
  const kinds: ParameterKinds[] = [];
  const answer =
    format.type === "calls"
      ? rulesAnswer(languages, "The call of a tool", () => callsRules(languages, format, notes, kinds))
      : answerOf(languages, format, notes);
  return { ...writeGrammar(languages, answer), notes: notes.slice(0, LIMITS.maxSchemaNotes), kinds };
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
    case "choice":
      return { kind: "text", language: languages.words(format.choices) };
    case "grammar":
      return rulesAnswer(languages, "The grammar", () => grammarRules(languages, format, notes));
    case "structural_tag":
      return rulesAnswer(languages, "The structural tag", () => tagsRules(languages, format, notes));
  }
}

function tooMuchWork(format: AnswerFormat | CallsFormat, place: string): EngineError {
  const limit = `takes more than ${LIMITS.maxGrammarSteps} steps to compile`;
  switch (format.type) {
    case "regex":
      return unsupported("", `The regular expression ${described(format.regex)} ${limit}.`);
    case "choice":
      return unsupported("", `The choice ${limit}.`);
    case "grammar":
      return unsupported("", `The grammar ${limit}.`);
    case "structural_tag":
      return unsupported("", `The structural tag ${limit}.`);
    case "calls":
      return unsupported("", `The tools take more than ${LIMITS.maxGrammarSteps} steps to compile.`);
  }
  return unsupported(place, `The schema ${limit}; the limit was reached at ${shown(place)}.`);
}

/** Compiles a schema whose errors are about the grammar that contains it. */
function schemaInGrammar(languages: Languages, schema: unknown, notes: string[]): ValueNode {
  try {
    return schemaValue(languages, schema, notes);
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    throw new EngineError(error.code, `A schema of the grammar: at ${shown(error.param ?? "")}: ${error.message}`, "", {
      cause: error,
    });
  }
}

function grammarRules(
  languages: Languages,
  { syntax, grammar }: AnswerFormat & { type: "grammar" },
  notes: string[],
): Rules {
  return syntax === "gbnf"
    ? readGbnf(languages, grammar)
    : readLark(languages, grammar, (schema) => schemaInGrammar(languages, schema, notes));
}

function tagsRules(
  languages: Languages,
  { structures, triggers }: AnswerFormat & { type: "structural_tag" },
  notes: string[],
): Rules {
  const tags = new Triggers(languages, triggers);
  const parts = structures.map((structure, index): TaggedPart => {
    const place = `.structures[${index}]`;
    if (tags.of(structure.begin, LIMITS.maxGrammarStates).length === 0) {
      const reason = "Another trigger is complete before each trigger with which the structure begins";
      throw new EngineError("invalid_schema", `${reason}, so the structure can never follow.`, `${place}.begin`);
    }
    return taggedPart(languages, structure, place, notes);
  });
  return { rules: new Map([[WHOLE, tags.expression(parts)]]), root: WHOLE };
}

function taggedPart(
  languages: Languages,
  { begin, schema, end }: Structure,
  path: string,
  notes: string[],
): TaggedPart {
  return { begin, content: { kind: "value", value: schemaAt(languages, schema, `${path}.schema`, notes) }, end };
}

/** @param kinds gets the kinds of the parameters of each tool, if arguments are written as parameters */
function callsRules(languages: Languages, format: CallsFormat, notes: string[], kinds: ParameterKinds[]): Rules {
  const { rules, root } = otherwiseRules(languages, format, notes);
  const all = new Map(rules);
  const define = (expression: Expression): Expression => {
    const name = `a rule of calls ${all.size}`;
    all.set(name, expression);
    return { kind: "rule", name };
  };
  const calls = format.calls.map(({ name, schema }, index) => {
    const path = `.calls[${index}].schema`;
    const value = schema === null ? null : schemaAt(languages, schema, path, notes);
    return { name, content: argumentsOf(languages, format.markup.parameters, value, path, define, kinds) };
  });
  const other: Expression | null = format.isRequired ? null : { kind: "rule", name: root };
  all.set(WHOLE_WITH_CALLS, callsExpression(languages, { ...format, calls } satisfies CallTexts, other));
  notes.push(...format.notes);
  return { rules: all, root: WHOLE_WITH_CALLS };
}

/** @param value what the arguments may be; null for an object without properties */
function argumentsOf(
  languages: Languages,
  markup: ParameterMarkup | null,
  value: ValueNode | null,
  path: string,
  define: Define,
  kinds: ParameterKinds[],
): Expression {
  if (markup === null) return value === null ? text(languages.words(["{}"])) : { kind: "value", value };
  if (value === null) {
    kinds.push(new Map());
    return text(languages.empty);
  }
  const parameters = at(path, () => parametersOf(languages, markup, value, define));
  kinds.push(parameters.kinds);
  return parameters.expression;
}

/** Returns the rules of an answer without calls. */
function otherwiseRules(languages: Languages, { otherwise, isRequired }: CallsFormat, notes: string[]): Rules {
  const only = (expression: Expression): Rules => ({ rules: new Map([[WHOLE, expression]]), root: WHOLE });
  if (otherwise === null || isRequired) return only(text(languages.all));
  switch (otherwise.type) {
    case "grammar":
      return grammarRules(languages, otherwise, notes);
    case "structural_tag":
      return tagsRules(languages, otherwise, notes);
  }
  const answer = answerOf(languages, otherwise, notes);
  if (answer.kind === "text") return only(text(answer.language));
  assert(answer.kind === "value", "the other formats are regular or values");
  return only({ kind: "value", value: answer.value });
}

interface Rules {
  readonly rules: ReadonlyMap<string, Expression>;
  readonly root: string;
}

/** Names of rules. No syntax allows a space in a name. */
const WHOLE = "the whole";
const WHOLE_WITH_CALLS = "the whole with calls";

/** @param what the format, for errors */
function rulesAnswer(languages: Languages, what: string, read: () => Rules): AnswerShape {
  try {
    const { rules, root } = read();
    const small: Map<string, Expression> = collapsed(languages, rules, root);
    const whole = small.get(root)!;
    if (whole.kind === "text") {
      const language = languages.settle(whole.language, LIMITS.maxGrammarStates);
      explore(languages, language, LIMITS.maxGrammarStates);
      if (language !== languages.none) return { kind: "text", language };
    }
    return { kind: "rules", start: compileRules(languages, small, root) };
  } catch (error) {
    if (error instanceof TooManyStates)
      throw unsupported("", `${what} needs more than ${LIMITS.maxGrammarStates} states for its terminals.`);
    if (!(error instanceof RulesError)) throw error;
    const code = error.code === "invalid" ? "invalid_schema" : "unsupported_schema";
    throw new EngineError(code, `${what} ${error.message}.`, "", { cause: error });
  }
}

/** Compiles a schema at a place of the format. @param path prefix for the paths in its errors */
function schemaAt(languages: Languages, schema: unknown, path: string, notes: string[]): ValueNode {
  return at(path, () => schemaValue(languages, schema, notes));
}

function at<T>(path: string, compile: () => T): T {
  try {
    return compile();
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    throw new EngineError(error.code, error.message, path + (error.param ?? ""), { cause: error });
  }
}

function schemaValue(languages: Languages, schema: unknown, notes: string[]): ValueNode {
  const document = readSchema(languages, schema);
  addNegations(document.schemas, document.root);
  const root = valuesOf(document.schemas, document.root);
  notes.push(...document.schemas.notes);
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

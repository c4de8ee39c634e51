/** Response formats that a caller can request (contract, section 7), and the grammars of their answers. */

import { described, EngineError, missingParameter, wrongType } from "../errors.js";
import {
  type AnswerFormat,
  type CompiledGrammar,
  Grammar,
  type GrammarCache,
  checkChoices,
  checkGrammar,
  checkTags,
} from "../grammar/index.js";
import { isObject } from "../json.js";

/**
 * `schema` is a JSON schema, draft 2020-12. The other formats are text: `regex` must match the whole answer, `choices`
 * are the possible answers, `grammar` is context-free, and a structural tag is free text with structures in it.
 */
export type ResponseFormat =
  | { readonly type: "text" }
  | { readonly type: "json_object"; readonly schema?: unknown }
  | { readonly type: "json_schema"; readonly schema: unknown }
  | { readonly type: "regex"; readonly regex: string }
  | { readonly type: "choice"; readonly choices: readonly string[] }
  | { readonly type: "grammar"; readonly syntax: "gbnf" | "lark"; readonly grammar: string }
  | {
      readonly type: "structural_tag";
      readonly structures: readonly { readonly begin: string; readonly schema: unknown; readonly end: string }[];
      readonly triggers: readonly string[];
    };

type TextFormat = Exclude<ResponseFormat, { readonly type: "text" | "json_object" | "json_schema" }>;

/**
 * Compiles the grammar of a response format. The result is data that can be sent to another thread.
 *
 * @param followsReasoning true if the answer may follow reasoning
 * @param grammars compiles, and remembers what it has compiled
 * @param isCanceled returns true once the grammar is no longer needed
 * @returns null if the answer may be any text
 * @throws EngineError invalid_schema or unsupported_schema with the path of the error; others for an unknown format
 */
export function answerGrammar(
  format: ResponseFormat | null,
  followsReasoning: boolean,
  grammars: GrammarCache,
  isCanceled?: () => boolean,
): CompiledGrammar | null {
  if (format === null) return null;
  if (!isObject(format)) throw wrongType("responseFormat", "an object", format);
  refuseUnknownFields(format);
  const compiled = (answer: AnswerFormat, path: string): CompiledGrammar =>
    compiledBy(() => grammars.get(answer, isCanceled), path);
  switch (format.type) {
    case "text":
      return null;
    case "json_object":
    case "json_schema": {
      const hasSchema = (format.schema ?? null) !== null;
      if (!hasSchema && format.type === "json_schema") throw missingParameter("responseFormat.schema");
      return compiled(answerFormat(format)!, hasSchema ? "responseFormat.schema" : "responseFormat");
    }
    case "regex":
    case "choice":
    case "grammar":
    case "structural_tag": {
      const path = checkedPath(format);
      const grammar = compiled(format, path);
      if (!followsReasoning || Grammar.fromData(grammar.data).mayBeginAfterBlank) return grammar;
      const rule = "After reasoning, an answer begins at its first character that is not white space";
      throw new EngineError(
        "unsupported_schema",
        `${rule}; every answer of this format begins with white space.`,
        path,
      );
    }
    default: {
      const path = "responseFormat.type";
      const { type } = format as { readonly type?: unknown };
      if (type === undefined || type === null) throw missingParameter(path);
      const types = Object.keys(FIELDS).map((name) => `"${name}"`);
      const allowed = `${types.slice(0, -1).join(", ")} or ${types.at(-1)}`;
      throw new EngineError(
        "unsupported_value",
        (name) => `${name(path)} must be ${allowed}. Given: ${described(type)}`,
        path,
      );
    }
  }
}

const FIELDS: Readonly<Record<ResponseFormat["type"], readonly string[]>> = {
  text: ["type"],
  json_object: ["type", "schema"],
  json_schema: ["type", "schema"],
  regex: ["type", "regex"],
  choice: ["type", "choices"],
  grammar: ["type", "syntax", "grammar"],
  structural_tag: ["type", "structures", "triggers"],
};

/**
 * Checks the fields of a format that is text.
 * @returns the path of what is compiled
 */
function checkedPath(format: TextFormat): string {
  switch (format.type) {
    case "regex": {
      const path = "responseFormat.regex";
      if (typeof format.regex !== "string") throw wrongType(path, "a string", format.regex);
      return path;
    }
    case "choice":
      checkChoices(format.choices, "responseFormat.choices");
      return "responseFormat.choices";
    case "grammar":
      checkGrammar(format.syntax, format.grammar, "responseFormat");
      return "responseFormat.grammar";
    case "structural_tag":
      checkTags(format, "responseFormat");
      return "responseFormat";
  }
}

function refuseUnknownFields(format: ResponseFormat): void {
  if (!Object.hasOwn(FIELDS, format.type)) return;
  const known = FIELDS[format.type];
  const unknown = Object.keys(format).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const path = `responseFormat.${unknown}`;
  const rule = `is not a field of a response format of type ${format.type}. Known: ${known.join(", ")}`;
  throw new EngineError("unknown_parameter", (name) => `${name(path)} ${rule}`, path);
}

/** Returns a checked format as the grammar has it; null if the answer may be any text. */
export function answerFormat(format: ResponseFormat | null): AnswerFormat | null {
  if (format === null || format.type === "text") return null;
  if (format.type !== "json_object" && format.type !== "json_schema") return format;
  const schema = format.schema ?? null;
  return schema === null ? { type: "json_object" } : { type: "json_schema", schema };
}

/** @param path prefix for the paths in the grammar's errors */
function compiledBy(compile: () => CompiledGrammar, path: string): CompiledGrammar {
  try {
    return compile();
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    throw new EngineError(error.code, error.message, path + (error.param ?? ""), { cause: error });
  }
}

/** What a caller can ask an answer to be (contract, section 7), and the grammar of such an answer. */

import { EngineError } from "../errors.js";
import { type AnswerFormat, type Grammar, compileGrammar } from "../grammar/index.js";

/** `schemaPath` is what errors call the schema: `response_format.schema` unless given. */
export type ResponseFormat =
  | { readonly type: "text" }
  | { readonly type: "json_object"; readonly schema?: unknown; readonly schemaPath?: string }
  | { readonly type: "json_schema"; readonly schema: unknown; readonly schemaPath?: string }
  | { readonly type: "regex"; readonly regex: string };

/**
 * @param followsReasoning whether the answer may come behind reasoning
 * @returns null for an answer that may be any text
 * @throws EngineError invalid_schema or unsupported_schema, with the path of what is wrong, and others for a format that is none
 */
export function answerGrammar(format: ResponseFormat | null, followsReasoning: boolean): Grammar | null {
  switch (format?.type) {
    case undefined:
      if (format === null) return null;
      throw new EngineError("missing_required_parameter", "response_format.type is missing.", "response_format.type");
    case "text":
      return null;
    case "json_object":
    case "json_schema": {
      const { schema = null, schemaPath = "response_format.schema" } = format;
      if (schema !== null) return compiled({ type: "json_schema", schema }, schemaPath);
      if (format.type === "json_object") return compiled({ type: "json_object" }, "response_format");
      throw new EngineError("missing_required_parameter", `${schemaPath} is missing.`, schemaPath);
    }
    case "regex": {
      const { regex } = format;
      const path = "response_format.regex";
      if (typeof regex !== "string") throw new EngineError("invalid_type", `${path} must be a string.`, path);
      const grammar = compiled({ type: "regex", regex }, path);
      if (followsReasoning && !grammar.mayBeginAfterBlank) {
        throw new EngineError(
          "unsupported_schema",
          "Behind reasoning an answer begins at its first character that is not white space; every match of the regular expression begins with white space.",
          path,
        );
      }
      return grammar;
    }
    default:
      throw new EngineError(
        "unsupported_value",
        `response_format.type must be "text", "json_object", "json_schema" or "regex". Given: ${JSON.stringify((format as { type: unknown }).type)}`,
        "response_format.type",
      );
  }
}

/** @param path of what the grammar's own paths begin at */
function compiled(format: Exclude<AnswerFormat, { type: "text" }>, path: string): Grammar {
  try {
    return compileGrammar(format);
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    throw new EngineError(error.code, error.message, path + (error.param ?? ""), { cause: error });
  }
}

import { expect, it } from "vitest";
import { EngineError } from "../errors.js";
import { GrammarCache } from "../grammar/index.js";
import { type ResponseFormat, answerGrammar } from "./response-format.js";

const CACHE = new GrammarCache(1 << 24);

function failure(format: unknown, followsReasoning = false): EngineError {
  try {
    answerGrammar(format as ResponseFormat, followsReasoning, CACHE);
  } catch (error) {
    expect(error).toBeInstanceOf(EngineError);
    return error as EngineError;
  }
  throw new Error("No error was thrown.");
}

const choice = (...choices: string[]): ResponseFormat => ({ type: "choice", choices });
const gbnf = (grammar: string): ResponseFormat => ({ type: "grammar", syntax: "gbnf", grammar });

it.each([
  [choice(" a", "\nb"), "responseFormat.choices"],
  [gbnf('root ::= " " root | " "'), "responseFormat.grammar"],
  [{ type: "regex", regex: " +a" }, "responseFormat.regex"],
])("after reasoning, %j is refused, because every answer begins with white space", (format, param) => {
  expect(answerGrammar(format as ResponseFormat, false, CACHE)).not.toBeNull();
  const error = failure(format, true);
  expect([error.code, error.param]).toEqual(["unsupported_schema", param]);
});

it.each([choice(" a", "b"), gbnf('root ::= " " | ""'), choice("a")])("after reasoning, %j is allowed", (format) => {
  expect(answerGrammar(format, true, CACHE)).not.toBeNull();
});

it.each([
  [{ type: "choice" }, "missing_required_parameter", "responseFormat.choices"],
  [{ type: "choice", choices: ["a", "a"] }, "out_of_range", "responseFormat.choices[1]"],
  [{ type: "choice", choices: ["a"], regex: "a" }, "unknown_parameter", "responseFormat.regex"],
  [{ type: "grammar", syntax: "ebnf", grammar: "" }, "unsupported_value", "responseFormat.syntax"],
  [{ type: "grammar", syntax: "gbnf", grammar: "" }, "invalid_schema", "responseFormat.grammar"],
  [{ type: "structural_tag", triggers: ["<"] }, "missing_required_parameter", "responseFormat.structures"],
  [
    { type: "structural_tag", triggers: ["<"], structures: [{ begin: "<", schema: { type: "x" }, end: "" }] },
    "invalid_schema",
    "responseFormat.structures[0].schema/type",
  ],
  [{ type: "structural_tag", format: {} }, "unknown_parameter", "responseFormat.format"],
  [{ type: "ebnf" }, "unsupported_value", "responseFormat.type"],
])("refuses %j", (format, code, param) => {
  const error = failure(format);
  expect([error.code, error.param]).toEqual([code, param]);
});

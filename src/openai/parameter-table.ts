/** The table of request parameters as data and as Markdown: what the capabilities route and the documentation print. */

import { CHAT_REQUEST_SCHEMAS } from "./chat-request.js";
import { allowedBy, type JsonSchema } from "./check.js";
import type { Dialect } from "./dialects.js";

export interface ParameterRow {
  readonly name: string;
  readonly required: boolean;
  /** In words, as in "must be ...". */
  readonly accepted: string;
  /** null: not given. */
  readonly default: unknown;
  /** `none`: accepted and changes nothing. `not_built`: only the values that ask for nothing are accepted. */
  readonly effect: "honoured" | "none" | "not_built";
  readonly description: string;
  /** Of the contract; null for what several fields share. */
  readonly clause: string | null;
}

export function parameterRows(dialect: Dialect): ParameterRow[] {
  const { properties = {}, required = [] } = CHAT_REQUEST_SCHEMAS[dialect];
  return Object.entries(properties).map(([name, schema]) => ({
    name,
    required: required.includes(name),
    accepted: allowedBy(schema),
    default: schema.default ?? null,
    effect: effectOf(schema),
    description: schema.description ?? "",
    clause: schema["x-clause"] ?? null,
  }));
}

/** One row for a parameter; where the dialects differ, the cell has both. */
export function parameterTableMarkdown(): string {
  const ppio = parameterRows("ppio").map(cellsOf);
  const openai = parameterRows("openai").map(cellsOf);
  const rows = ppio.map((cells, row) =>
    cells.map((cell, column) =>
      cell === openai[row]?.[column] ? cell : `ppio: ${cell}; openai: ${openai[row]?.[column]}`,
    ),
  );
  const lines = [["parameter", "accepted", "default", "meaning"], ["---", "---", "---", "---"], ...rows];
  return `${lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n")}\n`;
}

function effectOf(schema: JsonSchema): ParameterRow["effect"] {
  if (schema["x-no-effect"] !== undefined) return "not_built";
  return schema["x-ignored"] === true ? "none" : "honoured";
}

function cellsOf(row: ParameterRow): string[] {
  const fallback = row.required ? "required" : row.default === null ? "" : `\`${JSON.stringify(row.default)}\``;
  return [`\`${row.name}\``, row.accepted, fallback, row.description];
}

/** The table of request parameters, as data for the capabilities route and as Markdown for the documentation. */

import { CHAT_REQUEST_SCHEMAS } from "./chat-request.js";
import { allowedBy, type JsonSchema } from "./check.js";
import type { Dialect } from "./dialects.js";

export interface ParameterRow {
  readonly name: string;
  /** Name in the library; null for parameters that exist only in HTTP requests. */
  readonly library: string | null;
  readonly required: boolean;
  /** Accepted values in words, as a continuation of "must be". */
  readonly accepted: string;
  /** Default value; null if the parameter has no default or an unstated one. */
  readonly default: unknown;
  /** `none`: accepted without effect. `not_built`: not implemented; only values that request nothing are accepted. */
  readonly effect: "honored" | "none" | "not_built";
  readonly description: string;
  /** Clause of the contract. */
  readonly clause: string;
}

export function parameterRows(dialect: Dialect): ParameterRow[] {
  const { properties = {}, required = [] } = CHAT_REQUEST_SCHEMAS[dialect];
  return Object.entries(properties).map(([name, schema]) => ({
    name,
    library: schema["x-library"] ?? null,
    required: required.includes(name),
    accepted: allowedBy(schema),
    default: schema.default ?? null,
    effect: effectOf(schema),
    description: schema.description ?? "",
    clause: schema["x-clause"] ?? "",
  }));
}

/** Renders one row for each supported parameter; a cell shows both dialects where they differ. */
export function parameterTableMarkdown(): string {
  const [ppio, openai] = (["ppio", "openai"] as const).map((dialect) =>
    parameterRows(dialect)
      .filter(({ effect }) => effect === "honored")
      .map(cellsOf),
  ) as [string[][], string[][]];
  const rows = ppio.map((cells, row) =>
    cells.map((cell, column) =>
      cell === openai[row]?.[column] ? cell : `ppio: ${cell}; openai: ${openai[row]?.[column]}`,
    ),
  );
  const lines = [
    ["parameter", "in the library", "accepted", "default", "clause"],
    Array<string>(5).fill("---"),
    ...rows,
  ];
  return `${lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n")}\n`;
}

/** Returns the effect of a field, at the top level or inside an object. */
export function effectOf(schema: JsonSchema): ParameterRow["effect"] {
  if (schema["x-no-effect"] !== undefined) return "not_built";
  return schema["x-ignored"] === true ? "none" : "honored";
}

function cellsOf(row: ParameterRow): string[] {
  const fallback = row.required ? "required" : row.default === null ? "" : `\`${JSON.stringify(row.default)}\``;
  const library = row.library === null ? "" : `\`${row.library}\``;
  return [`\`${row.name}\``, library, row.accepted, fallback, row.clause];
}

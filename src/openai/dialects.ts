/**
 * The two request formats (contract, section 1). The engine's parameter table holds the differences between their
 * parameters; this file holds the other differences. Other code reads a row and does not branch on the dialect's name.
 */

import type { Dialect } from "../../engine/sampling/index.js";

export type { Dialect };

export const DIALECT_NAMES: readonly Dialect[] = ["openai", "ppio"];

/** Place of `usage` in a stream: absent, on the finish chunk of the last choice to end, or on an extra last chunk. */
export type StreamUsage = "none" | "on_finish" | "last_chunk";

interface DialectRow {
  /** Default; `stream_options.include_usage` overrides it. */
  readonly streamUsage: StreamUsage;
  /** Path prefixes under which the API is served in this dialect. */
  readonly prefixes: readonly string[];
}

export const DIALECTS: Readonly<Record<Dialect, DialectRow>> = {
  ppio: { streamUsage: "on_finish", prefixes: ["/v3/openai", "/openai/v1"] },
  openai: { streamUsage: "none", prefixes: ["/v1"] },
};

/** Returns every API path prefix with its dialect; `forced`, unless null, is the dialect of all prefixes. */
export function apiPrefixes(forced: Dialect | null): { readonly prefix: string; readonly dialect: Dialect }[] {
  return DIALECT_NAMES.flatMap((name) =>
    DIALECTS[name].prefixes.map((prefix) => ({ prefix, dialect: forced ?? name })),
  );
}

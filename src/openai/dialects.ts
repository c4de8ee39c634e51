/**
 * The two request formats (contract, section 1). Where their parameters differ, the engine's table says how; the rest of
 * their differences is here. Other code takes a row and never asks for its name.
 */

import type { Dialect } from "../../engine/sampling/index.js";

export type { Dialect };

export const DIALECT_NAMES: readonly Dialect[] = ["openai", "ppio"];

/** When a stream tells its usage: never, on the finish chunk of the choice that ends last, or on a chunk of its own. */
export type StreamUsage = "none" | "on_finish" | "last_chunk";

interface DialectRow {
  /** Unless `stream_options.include_usage` says so. */
  readonly streamUsage: StreamUsage;
  /** Where its API is served: the dialect follows the path. */
  readonly prefixes: readonly string[];
}

export const DIALECTS: Readonly<Record<Dialect, DialectRow>> = {
  ppio: { streamUsage: "on_finish", prefixes: ["/v3/openai", "/openai/v1"] },
  openai: { streamUsage: "none", prefixes: ["/v1"] },
};

/** Where the API is served, with the dialect that is spoken there unless one is forced for all. */
export function apiPrefixes(forced: Dialect | null): { readonly prefix: string; readonly dialect: Dialect }[] {
  return DIALECT_NAMES.flatMap((name) =>
    DIALECTS[name].prefixes.map((prefix) => ({ prefix, dialect: forced ?? name })),
  );
}

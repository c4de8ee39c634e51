/** The response of `GET /v1/capabilities`: the contract's parameter table with the values of this server. */

import type { LogprobsMode, Profile } from "../../engine/index.js";
import { FORMATS, SCHEMA_KEYWORDS } from "../../engine/grammar/index.js";
import { LIMITS } from "../../engine/limits.js";
import { ERROR_CODES } from "./api-error.js";
import type { Dialect } from "./dialects.js";
import { parameterRows } from "./parameter-table.js";

export interface CapabilitiesOptions {
  readonly dialect: Dialect;
  readonly version: string;
  readonly models: readonly {
    readonly id: string;
    readonly aliases: readonly string[];
    /** In tokens; null while the model is loading. */
    readonly contextLength: number | null;
    /** Numerics profile; undefined while the model is loading. */
    readonly profile?: Profile | undefined;
    /** Maximum number of choices generated at the same time; undefined while the model is loading. */
    readonly maxConcurrency?: number | undefined;
    /** Kind of log-probabilities reported (raw or processed); undefined while the model is loading. */
    readonly logprobsMode?: LogprobsMode | undefined;
    /** Whether the model calls tools; undefined while the model is loading. */
    readonly callsTools?: boolean | undefined;
  }[];
  /** Largest request body in bytes (`--max-body`). */
  readonly maxBodyBytes?: number;
}

export function capabilities({ dialect, version, models, maxBodyBytes }: CapabilitiesOptions): object {
  return {
    object: "capabilities",
    version,
    dialect,
    models: models.map(({ id, aliases, contextLength, profile, maxConcurrency, logprobsMode, callsTools }) => ({
      id,
      aliases,
      context_length: contextLength,
      profile,
      running_choices: maxConcurrency,
      logprobs: logprobsMode,
      tools: callsTools,
    })),
    parameters: parameterRows(dialect),
    response_format: {
      types: ["text", "json_object", "json_schema", "regex", "choice", "grammar", "structural_tag"],
      grammar_syntaxes: ["gbnf", "lark"],
      schema_keywords: SCHEMA_KEYWORDS,
      schema_formats: FORMATS,
    },
    limits: {
      ...(maxBodyBytes === undefined ? {} : { body_bytes: maxBodyBytes }),
      json_depth: LIMITS.maxJsonDepth,
      choices: LIMITS.maxChoices,
      stop_sequences: LIMITS.maxStopSequences,
      logit_bias_entries: LIMITS.maxLogitBiasEntries,
      top_logprobs: LIMITS.maxTopLogprobs,
    },
    error_codes: Object.entries(ERROR_CODES).map(([code, { status, type }]) => ({ code, status, type })),
  };
}

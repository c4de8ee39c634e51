/**
 * Where PPIO's page and OpenAI's differ (contract, section 1). A server speaks one of the two, and this table is all
 * there is to it: other code takes a column and never asks for its name.
 */

export type Dialect = keyof typeof DIALECTS;

/** When a stream tells its usage: never, on the finish chunk of the choice that ends last, or on a chunk of its own. */
export type StreamUsage = "none" | "on_finish" | "last_chunk";

export interface DialectColumn {
  /** Whether a stop sequence stays in the text, unless `include_stop_str_in_output` says so. */
  readonly includeStop: boolean;
  /** Unless `stream_options.include_usage` says so. */
  readonly streamUsage: StreamUsage;
  /** Unless `context_length_exceeded_behavior` says so. */
  readonly contextLengthExceededBehavior: "truncate" | "error";
  readonly topP: { readonly minimum?: number; readonly exclusiveMinimum?: number; readonly maximum: number };
  /** Values below 1, where allowed, are off. */
  readonly topK: { readonly minimum: number; readonly maximum?: number };
  /** Whether reasoning comes apart from the answer, by what `response_format` asks for, unless `separate_reasoning` says so. */
  readonly separateReasoning: { readonly ofText: boolean; readonly ofStructured: boolean };
}

export const DIALECTS = {
  ppio: {
    includeStop: true,
    streamUsage: "on_finish",
    contextLengthExceededBehavior: "truncate",
    topP: { exclusiveMinimum: 0, maximum: 1 },
    topK: { minimum: 1, maximum: 128 },
    separateReasoning: { ofText: false, ofStructured: true },
  },
  openai: {
    includeStop: false,
    streamUsage: "none",
    contextLengthExceededBehavior: "error",
    topP: { minimum: 0, maximum: 1 },
    topK: { minimum: -1 },
    separateReasoning: { ofText: true, ofStructured: true },
  },
} as const satisfies Record<string, DialectColumn>;

/**
 * The one table of what a caller can ask of a generation (contract, section 2). From it come `GenerationOptions` and its
 * check, the wire's schema, the command line's options, the capabilities route, the table in docs/SPEC.md and the tests'
 * arbitraries. Its order is the order in which mistakes are reported.
 */

import { LIMITS } from "../limits.js";

/** Which values a parameter takes. Ranges include their ends unless `excludesMinimum`; null is "not given" everywhere. */
export type ParameterKind =
  | { readonly type: "integer"; readonly minimum: number; readonly maximum?: number }
  | { readonly type: "number"; readonly minimum: number; readonly maximum: number; readonly excludesMinimum?: true }
  | { readonly type: "boolean" }
  | { readonly type: "choice"; readonly values: readonly string[] }
  /** Non-empty texts without lone surrogates. */
  | { readonly type: "texts"; readonly maxItems: number }
  /** Token ids with a number each. */
  | { readonly type: "biases"; readonly maxEntries: number; readonly minimum: number; readonly maximum: number };

/** The two published request formats (contract, section 1). The library is neither. */
export type Dialect = "ppio" | "openai";

export interface Parameter<Value> {
  readonly kind: ParameterKind;
  /** What "not given" means; a function where that is drawn anew for each request. */
  readonly default: Value | (() => Value);
  /** What a request body calls it. */
  readonly wire: string;
  readonly clause: string;
  readonly description: string;
  /** Where a dialect differs from the library. Values of an integer kind below `offBelow` mean "not given". */
  readonly dialects?: Partial<
    Record<Dialect, { readonly kind?: ParameterKind; readonly default?: Value; readonly offBelow?: number }>
  >;
}

const parameter = <Value>(definition: Parameter<Value>): Parameter<Value> => definition;

const PENALTY = { type: "number", minimum: -2, maximum: 2 } as const;

export const PARAMETERS = {
  /** Tokens of each answer at most, 1 or more; what the context leaves unless given. */
  maxTokens: parameter<number | null>({
    kind: { type: "integer", minimum: 1 },
    default: null,
    wire: "max_tokens",
    clause: "TS-2.7",
    description: "Tokens of each answer, at most; what the context leaves if not given.",
  }),
  /** Choices to draw, 1 to 128; 1 unless given. */
  n: parameter<number>({
    kind: { type: "integer", minimum: 1, maximum: LIMITS.maxChoices },
    default: 1,
    wire: "n",
    clause: "TS-2.10",
    description: "Choices to draw. Choice i is the same whatever n is.",
  }),
  /** A safe integer; the same seed gives the same answer. Drawn unless given. */
  seed: parameter<number>({
    kind: { type: "integer", minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER },
    default: randomSeed,
    wire: "seed",
    clause: "TS-2.11",
    description: "The same seed gives the same answer. One is drawn if not given; `x-touchstone-seed` names it.",
  }),
  /** -2 to 2; 0, the default, is off. */
  frequencyPenalty: parameter<number>({
    kind: PENALTY,
    default: 0,
    wire: "frequency_penalty",
    clause: "TS-2.12",
    description: "Subtracted from a token's logit for each time it was generated.",
  }),
  /** -2 to 2; 0, the default, is off. */
  presencePenalty: parameter<number>({
    kind: PENALTY,
    default: 0,
    wire: "presence_penalty",
    clause: "TS-2.13",
    description: "Subtracted once from the logit of a token that was generated.",
  }),
  /** More than 0, at most 2; 1, the default, is off. */
  repetitionPenalty: parameter<number>({
    kind: { type: "number", minimum: 0, maximum: 2, excludesMinimum: true },
    default: 1,
    wire: "repetition_penalty",
    clause: "TS-2.14",
    description: "Divides positive logits of tokens of prompt and answer, multiplies negative ones.",
  }),
  /** Up to 4 texts; generation ends where one of them completes in the answer. */
  stop: parameter<readonly string[]>({
    kind: { type: "texts", maxItems: LIMITS.maxStopSequences },
    default: [],
    wire: "stop",
    clause: "TS-2.15",
    description: "Generation ends where one of these completes in the answer.",
  }),
  /** 0 to 2; 0 is greedy, 1 is the default. */
  temperature: parameter<number>({
    kind: { type: "number", minimum: 0, maximum: 2 },
    default: 1,
    wire: "temperature",
    clause: "TS-2.16",
    description: "Logits are divided by it; 0 is greedy.",
  }),
  /** 0 to 1; 1 or not given is off. */
  topP: parameter<number | null>({
    kind: { type: "number", minimum: 0, maximum: 1 },
    default: null,
    wire: "top_p",
    clause: "TS-2.17",
    description: "Keep the most probable tokens that together reach this share; 1 is off.",
    dialects: { ppio: { kind: { type: "number", minimum: 0, maximum: 1, excludesMinimum: true } } },
  }),
  /** 1 or more; off unless given. */
  topK: parameter<number | null>({
    kind: { type: "integer", minimum: 1 },
    default: null,
    wire: "top_k",
    clause: "TS-2.18",
    description: "Keep this many of the most probable tokens; values below 1, where allowed, are off.",
    dialects: {
      ppio: { kind: { type: "integer", minimum: 1, maximum: 128 } },
      openai: { kind: { type: "integer", minimum: -1 }, offBelow: 1 },
    },
  }),
  /** 0 to 1; 0 or not given is off. */
  minP: parameter<number | null>({
    kind: { type: "number", minimum: 0, maximum: 1 },
    default: null,
    wire: "min_p",
    clause: "TS-2.19",
    description: "Keep tokens at least this probable, relative to the most probable one.",
  }),
  /** Token ids, each with a number from -100 to 100 that is added to its logit; up to 1,024 entries. */
  logitBias: parameter<ReadonlyMap<number, number>>({
    kind: { type: "biases", maxEntries: LIMITS.maxLogitBiasEntries, minimum: -100, maximum: 100 },
    default: new Map(),
    wire: "logit_bias",
    clause: "TS-2.20",
    description: "Token ids and what is added to their logits.",
  }),
  /** Whether every generated token's log-probability is reported; false unless given. */
  logprobs: parameter<boolean>({
    kind: { type: "boolean" },
    default: false,
    wire: "logprobs",
    clause: "TS-2.21",
    description: "Report the log-probability of every generated token.",
  }),
  /** 0 to 20, 0 unless given: alternatives reported at each position. Needs `logprobs`. */
  topLogprobs: parameter<number>({
    kind: { type: "integer", minimum: 0, maximum: LIMITS.maxTopLogprobs },
    default: 0,
    wire: "top_logprobs",
    clause: "TS-2.22",
    description: "Report the most probable tokens at each position too. Needs `logprobs: true`.",
  }),
  /** Whether reasoning comes apart from the answer; true unless given. */
  separateReasoning: parameter<boolean>({
    kind: { type: "boolean" },
    default: true,
    wire: "separate_reasoning",
    clause: "TS-2.24",
    description:
      "Give reasoning in `reasoning_content`, apart from the answer. `true` with a `response_format` other than `text`, unless given.",
    dialects: { ppio: { default: false } },
  }),
  /** Whether the stop sequence that ends an answer stays in its text; false unless given. */
  includeStop: parameter<boolean>({
    kind: { type: "boolean" },
    default: false,
    wire: "include_stop_str_in_output",
    clause: "TS-2.25",
    description: "Whether the stop sequence stays in the text.",
    dialects: { ppio: { default: true } },
  }),
  /** Where prompt and maxTokens exceed the context: lower maxTokens (`truncate`, the default), or refuse (`error`). */
  contextLengthExceededBehavior: parameter<"truncate" | "error">({
    kind: { type: "choice", values: ["truncate", "error"] },
    default: "truncate",
    wire: "context_length_exceeded_behavior",
    clause: "TS-2.26",
    description: "Where prompt and max_tokens exceed the context: lower max_tokens, or refuse.",
    dialects: { openai: { default: "error" } },
  }),
} as const;

export type ParameterName = keyof typeof PARAMETERS;

/** Names in the table's order. */
export const PARAMETER_NAMES = Object.keys(PARAMETERS) as readonly ParameterName[];

/** What a dialect takes, and what "not given" means there; null is the library. */
export function parameterIn(
  name: ParameterName,
  dialect: Dialect | null,
): Pick<Parameter<unknown>, "kind" | "default"> & { readonly offBelow?: number } {
  const { kind, default: fallback, dialects }: Parameter<unknown> = PARAMETERS[name];
  return { kind, default: fallback, ...(dialect === null ? {} : dialects?.[dialect]) };
}

/** An integer in 0..2^53-1. */
function randomSeed(): number {
  const [low, high] = crypto.getRandomValues(new Uint32Array(2));
  return (high! & 0x1fffff) * 4294967296 + low!;
}

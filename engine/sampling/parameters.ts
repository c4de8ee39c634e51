/**
 * The table of generation parameters (contract, section 2). `GenerationOptions` and its validation, the JSON schema of
 * requests, the command-line options, the capabilities route, the table in docs/SPEC.md and the tests' arbitraries are
 * all derived from it. Errors are reported in the order of the table.
 */

import { LIMITS } from "../limits.js";

/** Values that a parameter accepts. Ranges include their ends unless `excludesMinimum`; null means "not given". */
export type ParameterKind =
  /** `hasNoLimit`: -1 is accepted too, and means "not given". */
  | { readonly type: "integer"; readonly minimum: number; readonly maximum?: number; readonly hasNoLimit?: true }
  /** From MIN_INTEGER_64 to MAX_INTEGER_64: signed or unsigned, of 64 bits. A bigint if a number cannot hold it. */
  | { readonly type: "integer64" }
  | { readonly type: "number"; readonly minimum: number; readonly maximum: number; readonly excludesMinimum?: true }
  | { readonly type: "boolean" }
  | { readonly type: "choice"; readonly values: readonly string[] }
  /** Non-empty texts without lone surrogates. */
  | { readonly type: "texts"; readonly maxItems: number }
  /** A map from token ids to numbers. */
  | { readonly type: "biases"; readonly maxEntries: number; readonly minimum: number; readonly maximum: number };

/** The two published request formats (contract, section 1). The library's own format is a third. */
export type Dialect = "ppio" | "openai";

export interface Parameter<Value> {
  readonly kind: ParameterKind;
  /** Default value; a function if each request draws a new one. */
  readonly default: Value | (() => Value);
  /** Name of the field in a request body. */
  readonly wire: string;
  readonly clause: string;
  readonly description: string;
  /** Differences of a dialect from the library. Integers below `offBelow` mean "not given". */
  readonly dialects?: Partial<
    Record<Dialect, { readonly kind?: ParameterKind; readonly default?: Value; readonly offBelow?: number }>
  >;
}

export const MIN_INTEGER_64 = -9223372036854775808n;
export const MAX_INTEGER_64 = 18446744073709551615n;

/** Returns true for an integer of 64 bits that is exact: numbers beyond the safe integers may have been rounded. */
export function isInteger64(value: unknown): value is number | bigint {
  if (typeof value !== "bigint") return Number.isSafeInteger(value);
  return value >= MIN_INTEGER_64 && value <= MAX_INTEGER_64;
}

const parameter = <Value>(definition: Parameter<Value>): Parameter<Value> => definition;

const PENALTY = { type: "number", minimum: -2, maximum: 2 } as const;

export const PARAMETERS = {
  /** Maximum tokens of each answer, 1 or more; by default, all that fit in the context after the prompt. */
  maxTokens: parameter<number | null>({
    kind: { type: "integer", minimum: 1 },
    default: null,
    wire: "max_tokens",
    clause: "TS-2.7",
    description: "Maximum tokens of each answer; by default, all that fit in the context after the prompt.",
    dialects: { openai: { kind: { type: "integer", minimum: 1, hasNoLimit: true }, offBelow: 0 } },
  }),
  /** Number of choices to generate, 1 to 128; the default is 1. */
  n: parameter<number>({
    kind: { type: "integer", minimum: 1, maximum: LIMITS.maxChoices },
    default: 1,
    wire: "n",
    clause: "TS-2.10",
    description: "Number of choices to generate. Choice i does not depend on n.",
  }),
  /**
   * An integer of 64 bits, signed or unsigned; the same seed gives the same answer. A bigint beyond the safe integers. A
   * random seed by default.
   */
  seed: parameter<number | bigint>({
    kind: { type: "integer64" },
    default: randomSeed,
    wire: "seed",
    clause: "TS-2.11",
    description: "The same seed gives the same answer. Random by default, and reported with the answer.",
  }),
  /** -2 to 2; 0, the default, is off. */
  frequencyPenalty: parameter<number>({
    kind: PENALTY,
    default: 0,
    wire: "frequency_penalty",
    clause: "TS-2.12",
    description: "Subtracted from a token's logit once for each time the token was generated.",
  }),
  /** -2 to 2; 0, the default, is off. */
  presencePenalty: parameter<number>({
    kind: PENALTY,
    default: 0,
    wire: "presence_penalty",
    clause: "TS-2.13",
    description: "Subtracted once from the logit of every token that was generated.",
  }),
  /** More than 0, at most 2; 1, the default, is off. */
  repetitionPenalty: parameter<number>({
    kind: { type: "number", minimum: 0, maximum: 2, excludesMinimum: true },
    default: 1,
    wire: "repetition_penalty",
    clause: "TS-2.14",
    description:
      "For tokens in the prompt or the answer, positive logits are divided by it and negative ones multiplied.",
  }),
  /** Up to 4 texts; generation ends when the answer contains one of them. */
  stop: parameter<readonly string[]>({
    kind: { type: "texts", maxItems: LIMITS.maxStopSequences },
    default: [],
    wire: "stop",
    clause: "TS-2.15",
    description: "Generation ends when the answer contains one of these texts.",
  }),
  /** 0 to 2; 0 selects the most probable token, 1 is the default. */
  temperature: parameter<number>({
    kind: { type: "number", minimum: 0, maximum: 2 },
    default: 1,
    wire: "temperature",
    clause: "TS-2.16",
    description: "Logits are divided by it; 0 selects the most probable token.",
  }),
  /** 0 to 1; 1 is off, as is the default. */
  topP: parameter<number | null>({
    kind: { type: "number", minimum: 0, maximum: 1 },
    default: null,
    wire: "top_p",
    clause: "TS-2.17",
    description: "Keep the most probable tokens that together reach this probability; 1 is off.",
    dialects: { ppio: { kind: { type: "number", minimum: 0, maximum: 1, excludesMinimum: true } } },
  }),
  /** 1 or more; off by default. */
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
  /** 0 to 1; 0 is off, as is the default. */
  minP: parameter<number | null>({
    kind: { type: "number", minimum: 0, maximum: 1 },
    default: null,
    wire: "min_p",
    clause: "TS-2.19",
    description: "Keep tokens with at least this fraction of the probability of the most probable token.",
  }),
  /** Up to 1,024 token ids, each with a number from -100 to 100 that is added to the token's logit. */
  logitBias: parameter<ReadonlyMap<number, number>>({
    kind: { type: "biases", maxEntries: LIMITS.maxLogitBiasEntries, minimum: -100, maximum: 100 },
    default: new Map(),
    wire: "logit_bias",
    clause: "TS-2.20",
    description: "Token ids, each with a number that is added to its logit.",
  }),
  /** Report the log-probability of every generated token; false by default. */
  logprobs: parameter<boolean>({
    kind: { type: "boolean" },
    default: false,
    wire: "logprobs",
    clause: "TS-2.21",
    description: "Report the log-probability of every generated token.",
  }),
  /** Number of most probable tokens to report at each position, 0 to 20; 0 by default. Needs `logprobs`. */
  topLogprobs: parameter<number>({
    kind: { type: "integer", minimum: 0, maximum: LIMITS.maxTopLogprobs },
    default: 0,
    wire: "top_logprobs",
    clause: "TS-2.22",
    description: "Also report this many of the most probable tokens at each position. Needs `logprobs`.",
  }),
  /** Return reasoning separately from the answer; true by default. */
  separateReasoning: parameter<boolean>({
    kind: { type: "boolean" },
    default: true,
    wire: "separate_reasoning",
    clause: "TS-2.24",
    description:
      "Return reasoning in `reasoning_content`, separately from the answer. Defaults to `true` with a `response_format` other than `text`.",
    dialects: { ppio: { default: false } },
  }),
  /** Keep the stop sequence that ended an answer in its text; false by default. */
  includeStop: parameter<boolean>({
    kind: { type: "boolean" },
    default: false,
    wire: "include_stop_str_in_output",
    clause: "TS-2.25",
    description: "Keep the stop sequence in the text.",
    dialects: { ppio: { default: true } },
  }),
  /** If prompt and maxTokens exceed the context: lower maxTokens (`truncate`, the default) or fail (`error`). */
  contextLengthExceededBehavior: parameter<"truncate" | "error">({
    kind: { type: "choice", values: ["truncate", "error"] },
    default: "truncate",
    wire: "context_length_exceeded_behavior",
    clause: "TS-2.26",
    description: "If prompt and max_tokens exceed the context: lower max_tokens (truncate) or fail (error).",
  }),
} as const;

export type ParameterName = keyof typeof PARAMETERS;

/** Parameter names in the table's order. */
export const PARAMETER_NAMES = Object.keys(PARAMETERS) as readonly ParameterName[];

/** Returns the accepted values and the default in a dialect; null is the library. */
export function parameterIn(
  name: ParameterName,
  dialect: Dialect | null,
): Pick<Parameter<unknown>, "kind" | "default"> & { readonly offBelow?: number } {
  const { kind, default: fallback, dialects }: Parameter<unknown> = PARAMETERS[name];
  return { kind, default: fallback, ...(dialect === null ? {} : dialects?.[dialect]) };
}

/** Draws a random integer in 0..2^53-1. */
function randomSeed(): number {
  const [low, high] = crypto.getRandomValues(new Uint32Array(2));
  return (high! & 0x1fffff) * 4294967296 + low!;
}

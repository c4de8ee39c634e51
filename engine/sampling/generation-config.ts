/**
 * What a caller can ask of a generation: types, defaults and ranges (contract, section 2). Everything
 * that leaves generationConfig() is valid; nothing behind it checks again. Whether the ids of
 * `logitBias` exist is checked where the tokenizer is known.
 */

import { described, EngineError, wrongType } from "../errors.js";
import { LIMITS } from "../limits.js";

export interface GenerationConfig {
  /** Integer >= 1; null: what the context leaves. */
  readonly maxTokens: number | null;
  /** 1..128 */
  readonly n: number;
  /** Safe integer. */
  readonly seed: number;
  /** -2..2, off at 0 */
  readonly frequencyPenalty: number;
  /** -2..2, off at 0 */
  readonly presencePenalty: number;
  /** 0 < x <= 2, off at 1 */
  readonly repetitionPenalty: number;
  /** Up to 4 non-empty strings. */
  readonly stop: readonly string[];
  /** Whether a stop sequence stays in the text. */
  readonly includeStop: boolean;
  /** 0..2, 0 is greedy */
  readonly temperature: number;
  /** 0..1; null: off */
  readonly topP: number | null;
  /** Integer >= 1; null: off */
  readonly topK: number | null;
  /** 0..1; null: off */
  readonly minP: number | null;
  /** Token id to a number in -100..100; up to 1,024 entries. */
  readonly logitBias: ReadonlyMap<number, number>;
  readonly logprobs: boolean;
  /** 0..20, needs logprobs */
  readonly topLogprobs: number;
  /** Whether reasoning is split from the answer. */
  readonly separateReasoning: boolean;
}

/** What a caller may leave out; undefined and null both mean "not given". */
export type GenerationOptions = { readonly [K in keyof GenerationConfig]?: GenerationConfig[K] | null | undefined };

/**
 * Defaults for what is not given; a seed is drawn where there is none.
 * @throws EngineError for the first option, in the order of GenerationConfig, that is not valid
 */
export function generationConfig(options: GenerationOptions = {}): GenerationConfig {
  const logprobs = () => boolean(options.logprobs, "logprobs", false);
  const config: GenerationConfig = {
    maxTokens: optional(options.maxTokens, (value) => integer(value, "max_tokens", 1, Number.MAX_VALUE)),
    n: integer(options.n ?? 1, "n", 1, LIMITS.choicesMax),
    seed: integer(options.seed ?? randomSeed(), "seed", Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
    frequencyPenalty: number(options.frequencyPenalty ?? 0, "frequency_penalty", -2, 2),
    presencePenalty: number(options.presencePenalty ?? 0, "presence_penalty", -2, 2),
    repetitionPenalty: repetitionPenalty(options.repetitionPenalty ?? 1),
    stop: stopSequences(options.stop ?? []),
    includeStop: boolean(options.includeStop, "include_stop_str_in_output", false),
    temperature: number(options.temperature ?? 1, "temperature", 0, 2),
    topP: optional(options.topP, (value) => number(value, "top_p", 0, 1)),
    topK: optional(options.topK, (value) => integer(value, "top_k", 1, Number.MAX_VALUE)),
    minP: optional(options.minP, (value) => number(value, "min_p", 0, 1)),
    logitBias: logitBias(options.logitBias ?? new Map()),
    logprobs: logprobs(),
    topLogprobs: topLogprobs(options.topLogprobs ?? 0, logprobs()),
    separateReasoning: boolean(options.separateReasoning, "separate_reasoning", false),
  };
  for (const name of Object.keys(options)) {
    if (!(name in config)) {
      throw new EngineError(
        "unsupported_parameter",
        `${name} is not a generation option. Known: ${Object.keys(config).join(", ")}`,
        name,
      );
    }
  }
  return config;
}

function optional<T>(value: T | null | undefined, check: (value: T) => T): T | null {
  return value === null || value === undefined ? null : check(value);
}

function number(value: unknown, param: string, lowest: number, highest: number): number {
  if (typeof value !== "number") throw wrongType(param, "a number", value);
  const isOpenEnded = highest === Number.MAX_VALUE;
  const range = isOpenEnded ? `at least ${lowest}` : `in ${lowest}..${highest}`;
  if (!(value >= lowest && value <= highest)) throw outOfRange(param, `must be ${range}`, value);
  return value;
}

function integer(value: unknown, param: string, lowest: number, highest: number): number {
  if (typeof value !== "number" || (Number.isFinite(value) && !Number.isInteger(value))) {
    throw wrongType(param, "an integer", value);
  }
  return number(value, param, lowest, highest);
}

function boolean(value: unknown, param: string, fallback: boolean): boolean {
  if (value === null || value === undefined) return fallback;
  if (typeof value !== "boolean") throw wrongType(param, "a boolean", value);
  return value;
}

function repetitionPenalty(value: unknown): number {
  const param = "repetition_penalty";
  if (typeof value !== "number") throw wrongType(param, "a number", value);
  if (!(value > 0 && value <= 2)) throw outOfRange(param, "must be more than 0 and at most 2", value);
  return value;
}

function stopSequences(value: unknown): readonly string[] {
  if (!Array.isArray(value)) throw wrongType("stop", "an array of strings", value);
  if (value.length > LIMITS.stopSequencesMax) {
    throw outOfRange("stop", `must have at most ${LIMITS.stopSequencesMax} sequences`, value.length);
  }
  return value.map((sequence: unknown, index) => {
    const param = `stop[${index}]`;
    if (typeof sequence !== "string") throw wrongType(param, "a string", sequence);
    if (sequence === "") throw outOfRange(param, "must not be empty", sequence);
    if (/\p{Surrogate}/u.test(sequence)) throw outOfRange(param, "must not hold a lone surrogate", sequence);
    return sequence;
  });
}

function logitBias(value: unknown): ReadonlyMap<number, number> {
  if (!(value instanceof Map)) throw wrongType("logit_bias", "a Map from token id to number", value);
  if (value.size > LIMITS.logitBiasEntriesMax) {
    throw outOfRange("logit_bias", `must have at most ${LIMITS.logitBiasEntriesMax} entries`, value.size);
  }
  const biases = new Map<number, number>();
  for (const [tokenId, bias] of value) {
    const param = `logit_bias.${String(tokenId)}`;
    if (!Number.isSafeInteger(tokenId) || tokenId < 0) throw outOfRange(param, "must be keyed by token ids", tokenId);
    biases.set(tokenId, number(bias, param, -100, 100));
  }
  return biases;
}

function topLogprobs(value: unknown, logprobs: boolean): number {
  const count = integer(value, "top_logprobs", 0, LIMITS.topLogprobsMax);
  if (count > 0 && !logprobs) {
    throw new EngineError(
      "unsupported_value",
      `top_logprobs needs logprobs: true. Given: ${count} without it`,
      "top_logprobs",
    );
  }
  return count;
}

/** An integer in 0..2^53-1. */
function randomSeed(): number {
  const [low, high] = crypto.getRandomValues(new Uint32Array(2));
  return (high! & 0x1fffff) * 4294967296 + low!;
}

function outOfRange(param: string, rule: string, given: unknown): EngineError {
  return new EngineError("out_of_range", `${param} ${rule}. Given: ${described(given)}`, param);
}

/**
 * Validates generation options against the table of parameters, once, when a request enters the engine. The result of
 * `generationConfig` is valid and is not checked again. The token ids in `logitBias` are the exception: the code that
 * has the tokenizer checks that they exist.
 */

import { described, EngineError, outOfRange, wrongType } from "../errors.js";
import {
  isInteger64,
  MAX_INTEGER_64,
  MIN_INTEGER_64,
  PARAMETER_NAMES,
  parameterIn,
  type Parameter,
  type ParameterKind,
  type PARAMETERS,
} from "./parameters.js";

type ValueOf<P> = P extends Parameter<infer Value> ? Value : never;

/** All parameters, validated, with defaults filled in. */
export type GenerationConfig = { readonly [K in keyof typeof PARAMETERS]: ValueOf<(typeof PARAMETERS)[K]> };

/** Options of a caller, all optional; undefined and null both mean "not given". */
export type GenerationOptions = { readonly [K in keyof GenerationConfig]?: GenerationConfig[K] | null | undefined };

/**
 * Validates options and fills in defaults; draws a random seed if none is given.
 * @throws EngineError for the first invalid option in the table's order
 */
export function generationConfig(options: GenerationOptions = {}): GenerationConfig {
  const config = Object.fromEntries(
    PARAMETER_NAMES.map((name) => [name, valueOf(name, options[name])]),
  ) as unknown as GenerationConfig;
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(config, name)) continue;
    throw new EngineError(
      "unknown_parameter",
      `${name} is not a generation option. Known: ${PARAMETER_NAMES.join(", ")}`,
      name,
    );
  }
  if (config.topLogprobs > 0 && !config.logprobs) {
    throw new EngineError(
      "unsupported_value",
      (name) => `${name("topLogprobs")} needs ${name("logprobs")}: true. Given: ${config.topLogprobs} without it`,
      "topLogprobs",
    );
  }
  return config;
}

function valueOf(name: (typeof PARAMETER_NAMES)[number], given: unknown): unknown {
  const { kind, default: fallback } = parameterIn(name, null);
  if (given === null || given === undefined)
    return typeof fallback === "function" ? (fallback as () => unknown)() : fallback;
  return checked(kind, given, name);
}

function checked(kind: ParameterKind, value: unknown, param: string): unknown {
  switch (kind.type) {
    case "integer":
    case "number":
      return checkedNumber(kind, value, param);
    case "integer64":
      return checkedInteger64(value, param);
    case "boolean":
      if (typeof value !== "boolean") throw wrongType(param, "a boolean", value);
      return value;
    case "choice":
      if (kind.values.includes(value as string)) return value;
      throw new EngineError(
        "unsupported_value",
        (name) => `${name(param)} must be ${kind.values.join(" or ")}. Given: ${described(value)}`,
        param,
      );
    case "texts":
      return checkedTexts(kind.maxItems, value, param);
    case "biases":
      return checkedBiases(kind, value, param);
  }
}

function checkedNumber(
  kind: Extract<ParameterKind, { type: "integer" | "number" }>,
  value: unknown,
  param: string,
): number {
  const isInteger = kind.type === "integer";
  if (typeof value !== "number" || (isInteger && Number.isFinite(value) && !Number.isInteger(value))) {
    throw wrongType(param, isInteger ? "an integer" : "a number", value);
  }
  const { minimum, maximum = Number.MAX_VALUE } = kind;
  const isAboveMinimum = kind.type === "number" && kind.excludesMinimum === true ? value > minimum : value >= minimum;
  if (isAboveMinimum && value <= maximum) return value;
  throw outOfRange(param, `must be ${rangeOf(kind)}`, value);
}

/** Returns a number where one can hold the integer, so that equal integers are equal values. */
function checkedInteger64(value: unknown, param: string): number | bigint {
  const isInteger = typeof value === "bigint" || Number.isInteger(value);
  if (!isInteger && !(typeof value === "number" && !Number.isFinite(value)))
    throw wrongType(param, "an integer", value);
  if (!isInteger64(value))
    throw outOfRange(param, `must be in ${MIN_INTEGER_64}..${MAX_INTEGER_64}, as a bigint beyond 2^53-1`, value);
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** Describes a range in words that follow "must be". */
function rangeOf(kind: Extract<ParameterKind, { type: "integer" | "number" }>): string {
  const { minimum, maximum } = kind;
  if (maximum === undefined) return `at least ${minimum}`;
  return kind.type === "number" && kind.excludesMinimum === true
    ? `more than ${minimum} and at most ${maximum}`
    : `in ${minimum}..${maximum}`;
}

function checkedTexts(maxItems: number, value: unknown, param: string): readonly string[] {
  if (!Array.isArray(value)) throw wrongType(param, "an array of strings", value);
  if (value.length > maxItems) throw outOfRange(param, `must have at most ${maxItems} entries`, value.length);
  return value.map((text: unknown, index) => {
    const place = `${param}[${index}]`;
    if (typeof text !== "string") throw wrongType(place, "a string", text);
    if (text === "") throw outOfRange(place, "must not be empty", text);
    if (/\p{Surrogate}/u.test(text)) throw outOfRange(place, "must not hold a lone surrogate", text);
    return text;
  });
}

function checkedBiases(
  kind: Extract<ParameterKind, { type: "biases" }>,
  value: unknown,
  param: string,
): ReadonlyMap<number, number> {
  const { maxEntries, minimum, maximum } = kind;
  if (!(value instanceof Map)) throw wrongType(param, "a Map from token id to number", value);
  if (value.size > maxEntries) throw outOfRange(param, `must have at most ${maxEntries} entries`, value.size);
  const biases = new Map<number, number>();
  for (const [tokenId, bias] of value as ReadonlyMap<unknown, unknown>) {
    const place = `${param}.${String(tokenId)}`;
    if (!Number.isSafeInteger(tokenId) || (tokenId as number) < 0)
      throw outOfRange(place, "must be keyed by token ids", tokenId);
    biases.set(tokenId as number, checkedNumber({ type: "number", minimum, maximum }, bias, place));
  }
  return biases;
}

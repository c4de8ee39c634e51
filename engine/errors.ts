/**
 * The one error that a caller can cause. A bug inside the engine throws something else (an assertion) and never
 * passes for the caller's mistake.
 */

import { LIMITS } from "./limits.js";

/**
 * Stable codes. The first group belongs to the contract, and the wire repeats it; the second concerns model files, the
 * hub and the machine, and never reaches a request.
 */
export type EngineErrorCode =
  | "invalid_type"
  | "out_of_range"
  | "missing_required_parameter"
  | "unknown_parameter"
  | "unsupported_parameter"
  | "unsupported_value"
  | "context_length_exceeded"
  | "template_error"
  | "invalid_schema"
  | "unsupported_schema"
  | "internal_error"
  | "invalid_model"
  | "unsupported_model"
  | "model_not_found"
  | "hub_unreachable"
  | "access_denied"
  | "download_failed"
  | "cache_unavailable"
  | "input_unavailable"
  | "output_unavailable"
  | "address_unavailable"
  | "missing_dependency"
  | "model_closed"
  | "out_of_memory";

/** The name of a parameter, given the library's: `logitBias.17` may be `logit_bias.17` elsewhere. */
export type Naming = (path: string) => string;

/** A sentence about parameters, in whichever names the reader uses. */
export type Message = string | ((name: Naming) => string);

/** What a caller did wrong, or what the machine, the hub or a file lacks: `message` is one line for people. */
export class EngineError extends Error {
  override readonly name = "EngineError";
  readonly #message: Message;

  /**
   * @param code stable, for programs
   * @param message one line for people: what was given and what is allowed
   * @param param path of the offending parameter by the library's names, such as `messages[2].content`, or null
   * @internal
   */
  constructor(
    /** Stable, for programs. */
    readonly code: EngineErrorCode,
    message: Message,
    /** Path of the parameter that the error is about, such as `messages[2].content`; null where there is none. */
    readonly param: string | null = null,
    options?: ErrorOptions,
  ) {
    super(typeof message === "string" ? message : message((path) => path), options);
    this.#message = message;
  }

  /**
   * @returns the same error with other names for the parameters
   * @internal
   */
  renamed(name: Naming): EngineError {
    const message = typeof this.#message === "string" ? this.#message : this.#message(name);
    return new EngineError(this.code, message, this.param === null ? null : name(this.param), { cause: this.cause });
  }
}

/** @param expected follows "must be", such as `a number` */
export function wrongType(param: string, expected: string, given: unknown): EngineError {
  return new EngineError(
    "invalid_type",
    (name) => `${name(param)} must be ${expected}. Given: ${described(given)}`,
    param,
  );
}

/** @param rule follows the parameter's name, such as `must be in 0..2` */
export function outOfRange(param: string, rule: string, given: unknown): EngineError {
  return new EngineError("out_of_range", (name) => `${name(param)} ${rule}. Given: ${described(given)}`, param);
}

export function missingParameter(param: string): EngineError {
  return new EngineError(
    "missing_required_parameter",
    (name) => `${name(param)} is required and is absent or null.`,
    param,
  );
}

/** A short rendering of what was given: scalars as JSON writes them, the others by what they are. */
export function described(value: unknown): string {
  if (typeof value === "string") return quoted(value);
  if (Array.isArray(value)) return value.length === 0 ? "an empty array" : `an array of ${value.length}`;
  if (value instanceof Map) return `a Map of ${value.size}`;
  if (typeof value === "object" && value !== null) return "an object";
  return typeof value === "function" ? "a function" : String(value);
}

/** A text as JSON, which also escapes control characters and lone surrogates, cut to a readable length. */
export function quoted(text: string): string {
  return JSON.stringify(shortened(text));
}

export function shortened(text: string): string {
  return text.length <= LIMITS.maxQuotedChars ? text : `${text.slice(0, LIMITS.maxQuotedChars)}...`;
}

/** The code of an error that the file system raised, such as EACCES; null for any other error. */
export function fileSystemCode(error: unknown): string | null {
  const { code, syscall } = error as NodeJS.ErrnoException;
  return error instanceof Error && code !== undefined && syscall !== undefined ? code : null;
}

/** Checks an invariant of our own: failing means a bug, never bad input. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`Internal invariant broken: ${message}`);
}

/**
 * The only error class for mistakes of the caller. A bug inside the engine throws another class (an assertion), so it
 * is never reported as the caller's mistake.
 */

import { LIMITS } from "./limits.js";

/**
 * Stable codes. The first group, up to `internal_error`, is defined by the contract and used in HTTP responses. The
 * second group concerns model files, the hub, the machine and the program that uses the engine; no value in a request
 * causes it.
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
  | "reader_stalled"
  | "too_many_steps"
  | "out_of_memory";

/** Maps a parameter's path in the library to its path elsewhere, such as `logitBias.17` to `logit_bias.17`. */
export type Naming = (path: string) => string;

/** An error message; a function if it names parameters, so that it can use the caller's names for them. */
export type Message = string | ((name: Naming) => string);

/** A mistake of the caller, or a problem with the machine, the hub or a file. `message` is one line for people. */
export class EngineError extends Error {
  override readonly name = "EngineError";
  readonly #message: Message;

  /**
   * @param code stable, for programs
   * @param message one line for people that states what is allowed and what was given
   * @param param path of the invalid parameter in the library's names, such as `messages[2].content`, or null
   * @internal
   */
  constructor(
    /** Stable, for programs. */
    readonly code: EngineErrorCode,
    message: Message,
    /** Path of the parameter that the error is about, such as `messages[2].content`; null if it is about none. */
    readonly param: string | null = null,
    options?: ErrorOptions,
  ) {
    super(typeof message === "string" ? message : message((path) => path), options);
    this.#message = message;
  }

  /**
   * @returns the same error with the parameters renamed
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

/** @throws EngineError for an option that does not exist, which a misspelled name would be in JavaScript */
export function refuseUnknownOptions(options: object, known: readonly string[], owner: string): void {
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue;
    const message = `${name} is not an option of ${owner}. Known: ${known.join(", ")}`;
    throw new EngineError("unknown_parameter", message, name);
  }
}

/** @throws EngineError for a field that `known` does not name. @param path of the value */
export function refuseUnknownFields(value: object, known: readonly string[], path: string): void {
  const unknown = Object.keys(value).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const at = fieldPath(path, unknown);
  throw new EngineError(
    "unknown_parameter",
    (name) => `${name(at)} is not a known field. Known: ${known.join(", ")}`,
    at,
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

/** Describes a given value in a few words: scalars in JSON notation, other values by their type and size. */
export function described(value: unknown): string {
  if (typeof value === "string") return quoted(value);
  if (Array.isArray(value)) return value.length === 0 ? "an empty array" : `an array of ${value.length}`;
  if (value instanceof Map) return `a Map of ${value.size}`;
  if (typeof value === "object" && value !== null) return "an object";
  if (value === undefined) return "nothing";
  return typeof value === "function" ? "a function" : String(value);
}

/** Quotes a text as a JSON string, cut to a readable length. Control characters and lone surrogates are escaped. */
export function quoted(text: string): string {
  return JSON.stringify(shortened(text));
}

export function shortened(text: string): string {
  return text.length <= LIMITS.maxQuotedChars ? text : `${text.slice(0, LIMITS.maxQuotedChars)}...`;
}

/** Returns the path of a field. A name that is long or no plain word is quoted and cut. */
export function fieldPath(path: string, name: string): string {
  return /^[\w-]{1,64}$/.test(name) ? `${path}.${name}` : `${path}[${quoted(name)}]`;
}

/** Returns the code of a file system error, such as EACCES; null for any other error. */
export function fileSystemCode(error: unknown): string | null {
  const { code, syscall } = error as NodeJS.ErrnoException;
  return error instanceof Error && code !== undefined && syscall !== undefined ? code : null;
}

/** A bug in the engine: some state is not what the code relies on. */
export class BrokenInvariant extends Error {
  override readonly name = "BrokenInvariant";
}

/** Describes the failure of a write by its code: `EROFS: the disk is read-only`. */
export function writeFailure(code: string): string {
  const reason = WRITE_FAILURES[code];
  return reason === undefined ? code : `${code}: ${reason}`;
}

const WRITE_FAILURES: Readonly<Record<string, string>> = {
  EROFS: "the disk is read-only",
  EACCES: "permission denied",
  EPERM: "permission denied",
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
};

/** Formats a size in the largest unit that it fills: `812 bytes`, `12.3 kB`, `340.0 MB`, `1.25 GB`. */
export function sizeText(byteLength: number): string {
  // A size that would be rounded to 1000 of a unit is given in the next one.
  if (byteLength >= 999.95e6) return `${(byteLength / 1e9).toFixed(2)} GB`;
  if (byteLength >= 999.95e3) return `${(byteLength / 1e6).toFixed(1)} MB`;
  if (byteLength >= 999.5) return `${(byteLength / 1e3).toFixed(1)} kB`;
  const numBytes = Math.round(byteLength);
  return `${numBytes} ${numBytes === 1 ? "byte" : "bytes"}`;
}

/** Checks an internal invariant. A failure means a bug in the engine, never bad input. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new BrokenInvariant(`Internal invariant broken: ${message}`);
}

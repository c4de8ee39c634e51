/**
 * The one error a caller can cause. A bug inside the engine throws something else (an assertion)
 * and is never dressed up as the caller's mistake.
 */

/**
 * Stable codes. The first group is the contract's (the wire repeats them as they are), the second
 * concerns model files, the hub and the machine, and never reaches a request.
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
  | "output_unavailable"
  | "model_closed"
  | "out_of_memory";

export class EngineError extends Error {
  override readonly name = "EngineError";

  /**
   * @param code stable, for programs
   * @param message one line for people: what was given and what is allowed
   * @param param path of the offending parameter, such as `messages[2].content`, or null
   */
  constructor(
    readonly code: EngineErrorCode,
    message: string,
    readonly param: string | null = null,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** @param expected such as `a number` */
export function wrongType(param: string, expected: string, given: unknown): EngineError {
  return new EngineError("invalid_type", `${param} must be ${expected}. Given: ${described(given)}`, param);
}

/** A short rendering of any value; strings as JSON, which also escapes lone surrogates. */
export function described(value: unknown): string {
  const text = typeof value === "string" ? JSON.stringify(value) : Array.isArray(value) ? "an array" : String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
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

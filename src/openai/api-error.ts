/**
 * Errors as clients see them (contract, section 9). The code determines the status and the type. For a failure of the
 * server itself the client gets no details; those go to the log.
 */

import { EngineError } from "../../engine/errors.js";

export type ApiErrorCode = keyof typeof ERROR_CODES;

export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string;
  };
}

export interface ApiErrorOptions {
  /** Response headers, such as `Retry-After`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** For the log; never sent. */
  readonly cause?: unknown;
}

/** For a failure that passes by itself. */
export const RETRY_SOON: ApiErrorOptions = { headers: { "retry-after": "1" } };

export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly headers: Readonly<Record<string, string>>;

  /**
   * @param message one human-readable line: the value given and the values allowed
   * @param param path of the offending parameter, such as `messages[2].content`, or null
   */
  constructor(
    readonly code: ApiErrorCode,
    message: string,
    readonly param: string | null = null,
    { headers = {}, cause }: ApiErrorOptions = {},
  ) {
    super(message, cause === undefined ? {} : { cause });
    this.headers = headers;
  }

  get status(): number {
    return ERROR_CODES[this.code].status;
  }

  get type(): ErrorType {
    return ERROR_CODES[this.code].type;
  }

  /** Returns the response body; in a stream that has already started, the same object is sent as a chunk. */
  toBody(): ErrorBody {
    return { error: { message: this.message, type: this.type, param: this.param, code: this.code } };
  }
}

/**
 * Maps any thrown value to the error that the client gets. An EngineError posted from another thread has lost its
 * class but kept its fields, so it is recognized by its fields.
 */
export function apiErrorOf(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (isEngineError(error) && REQUEST_CODES.has(error.code)) {
    return new ApiError(error.code as ApiErrorCode, error.message, error.param, { cause: error });
  }
  return new ApiError("internal_error", "The server failed to answer this request; its log says why.", null, {
    cause: error,
  });
}

export type ErrorType = "invalid_request_error" | "authentication_error" | "rate_limit_error" | "api_error";

const invalid = (status: number): { status: number; type: ErrorType } => ({ status, type: "invalid_request_error" });

/** Every error code that a client can receive. */
export const ERROR_CODES = {
  invalid_json: invalid(400),
  invalid_type: invalid(400),
  out_of_range: invalid(400),
  missing_required_parameter: invalid(400),
  unknown_parameter: invalid(400),
  unsupported_parameter: invalid(400),
  unsupported_value: invalid(400),
  context_length_exceeded: invalid(400),
  invalid_schema: invalid(400),
  unsupported_schema: invalid(400),
  template_error: invalid(400),
  invalid_host: invalid(400),
  invalid_api_key: { status: 401, type: "authentication_error" },
  host_not_allowed: invalid(403),
  model_not_found: invalid(404),
  not_found: invalid(404),
  method_not_allowed: invalid(405),
  request_timeout: invalid(408),
  request_too_large: invalid(413),
  unsupported_media_type: invalid(415),
  queue_full: { status: 429, type: "rate_limit_error" },
  internal_error: { status: 500, type: "api_error" },
  unsupported_transfer_encoding: invalid(501),
  model_loading: { status: 503, type: "api_error" },
  server_overloaded: { status: 503, type: "api_error" },
  shutting_down: { status: 503, type: "api_error" },
} as const satisfies Record<string, { status: number; type: ErrorType }>;

/** The engine's error codes that concern the request. Messages with other codes may name files of the machine. */
const REQUEST_CODES: ReadonlySet<string> = new Set(
  Object.entries(ERROR_CODES).flatMap(([code, { status }]) => (status === 400 ? [code] : [])),
);

function isEngineError(error: unknown): error is Pick<EngineError, "code" | "message" | "param"> {
  if (error instanceof EngineError) return true;
  if (typeof error !== "object" || error === null) return false;
  const { name, code, message, param } = error as Partial<Record<"name" | "code" | "message" | "param", unknown>>;
  return (
    name === "EngineError" &&
    typeof code === "string" &&
    typeof message === "string" &&
    (param === null || typeof param === "string")
  );
}

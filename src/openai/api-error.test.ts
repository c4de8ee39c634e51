/** Contract, section 9: the table of error codes, and the errors whose message reaches the client. */

import { describe, expect, it } from "vitest";

import { EngineError, type EngineErrorCode } from "../../engine/errors.js";
import { ApiError, ERROR_CODES, apiErrorOf, type ApiErrorCode } from "./api-error.js";

const TABLE: [number, string, string][] = [
  [
    400,
    "invalid_request_error",
    "invalid_json invalid_type out_of_range missing_required_parameter unknown_parameter unsupported_parameter",
  ],
  [
    400,
    "invalid_request_error",
    "unsupported_value context_length_exceeded invalid_schema unsupported_schema template_error invalid_host",
  ],
  [401, "authentication_error", "invalid_api_key"],
  [403, "invalid_request_error", "host_not_allowed"],
  [404, "invalid_request_error", "model_not_found not_found"],
  [405, "invalid_request_error", "method_not_allowed"],
  [408, "invalid_request_error", "request_timeout"],
  [413, "invalid_request_error", "request_too_large"],
  [415, "invalid_request_error", "unsupported_media_type"],
  [429, "rate_limit_error", "queue_full"],
  [500, "api_error", "internal_error"],
  [501, "invalid_request_error", "unsupported_transfer_encoding"],
  [503, "api_error", "model_loading server_overloaded shutting_down"],
];
const CODES = TABLE.flatMap(([status, type, codes]) =>
  codes.split(" ").map((code) => ({ status, type, code: code as ApiErrorCode })),
);

describe("ApiError", () => {
  it.each(CODES)("$code is $status $type, with all four fields", ({ code, status, type }) => {
    const error = new ApiError(code, "Why.", "n");
    expect(error.status).toBe(status);
    expect(error.toBody()).toEqual({ error: { message: "Why.", type, param: "n", code } });
    expect(JSON.parse(JSON.stringify(new ApiError(code, "Why.").toBody()))).toEqual({
      error: { message: "Why.", type, param: null, code },
    });
  });

  it("has exactly the contract's codes", () => {
    expect(Object.keys(ERROR_CODES).sort()).toEqual(CODES.map(({ code }) => code).sort());
  });

  it("carries headers for the response and a cause for the log", () => {
    const cause = new Error("inner");
    const error = new ApiError("queue_full", "Full.", null, { headers: { "Retry-After": "1" }, cause });
    expect(error.headers).toEqual({ "Retry-After": "1" });
    expect(error.cause).toBe(cause);
    expect(new ApiError("queue_full", "Full.").headers).toEqual({});
  });
});

describe("apiErrorOf", () => {
  const requestCodes = [
    "invalid_type",
    "out_of_range",
    "unsupported_value",
    "context_length_exceeded",
    "template_error",
  ] satisfies EngineErrorCode[];
  it.each(requestCodes)("keeps the engine's %s, even if the error has lost its class", (code) => {
    const error = new EngineError(code, "Given: 3", "n");
    const lost = { name: error.name, code: error.code, message: error.message, param: error.param };
    for (const given of [error, lost]) {
      expect(apiErrorOf(given)).toMatchObject({ status: 400, code, message: "Given: 3", param: "n", cause: given });
    }
  });

  const ourCodes = [
    "internal_error",
    "invalid_model",
    "unsupported_model",
    "model_not_found",
    "cache_unavailable",
    "output_unavailable",
    "out_of_memory",
  ] satisfies EngineErrorCode[];
  const failures = [
    ...ourCodes.map((code) => new EngineError(code, "/secret/path", "/secret/path")),
    new TypeError("/secret/path"),
    { name: "EngineError", code: "queue_full", message: "/secret/path", param: null },
    { name: "EngineError", code: "constructor", message: "/secret/path", param: null },
    { code: "invalid_type", message: "/secret/path" },
    "/secret/path",
    null,
    undefined,
  ];
  it.each(failures.map((failure) => [failure]))("hides the details of %s", (failure) => {
    const error = apiErrorOf(failure);
    expect(error).toMatchObject({ status: 500, type: "api_error", code: "internal_error", param: null });
    expect(JSON.stringify(error.toBody())).not.toContain("secret");
    expect(error.cause).toBe(failure ?? error.cause);
  });

  it("returns an ApiError unchanged", () => {
    const error = new ApiError("not_found", "No such route.");
    expect(apiErrorOf(error)).toBe(error);
  });
});

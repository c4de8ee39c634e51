/** The bytes of a body to a value: strict JSON, whose mistakes are the client's. */

import { JsonError, parseJson as parseStrictly } from "../../engine/json.js";
import { ApiError } from "./api-error.js";

/** @throws ApiError invalid_json, saying where */
export function parseJson(bytes: Uint8Array): unknown {
  try {
    return parseStrictly(bytes);
  } catch (cause) {
    if (!(cause instanceof JsonError)) throw cause;
    throw new ApiError("invalid_json", `The body is not JSON as it must be: ${cause.message}.`, null, { cause });
  }
}

/** Parses request bodies as strict JSON; syntax errors become API errors. */

import { JsonError, parseJson as parseStrictly } from "../../engine/json.js";
import { ApiError } from "./api-error.js";

/** Fields that hold integers of 64 bits. */
const EXACT_KEYS = ["seed"];

/** @throws ApiError invalid_json, with the position of the error */
export function parseJson(bytes: Uint8Array): unknown {
  try {
    return parseStrictly(bytes, { exactKeys: EXACT_KEYS });
  } catch (cause) {
    if (!(cause instanceof JsonError)) throw cause;
    throw new ApiError("invalid_json", `The body is not valid JSON: ${cause.message}.`, null, { cause });
  }
}

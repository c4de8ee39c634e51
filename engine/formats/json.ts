/** Strict JSON parser for files that determine what a model computes. */

import { EngineError } from "../errors.js";
import { isObject, JsonError, parseJson, type JsonObject } from "../json.js";

/**
 * Parses `bytes`, which must hold one JSON object. A byte order mark before it is skipped.
 *
 * @param file name of the file in errors
 * @throws EngineError `invalid_model` for invalid UTF-8, invalid JSON, a repeated key or anything but an object
 */
export function parseJsonObject(bytes: Uint8Array, file: string): JsonObject {
  let value: unknown;
  try {
    value = parseJson(hasByteOrderMark(bytes) ? bytes.subarray(3) : bytes);
  } catch (cause) {
    if (!(cause instanceof JsonError)) throw cause;
    throw new EngineError("invalid_model", `${file} is not valid JSON: ${cause.message}`, null, { cause });
  }
  if (!isObject(value)) throw new EngineError("invalid_model", `${file} must hold a JSON object`);
  return value;
}

function hasByteOrderMark(bytes: Uint8Array): boolean {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
}

/** Strict JSON parser for files that determine what a model computes; it accepts what Python writes beyond JSON. */

import { EngineError } from "../errors.js";
import { isObject, JsonError, parseJson, type JsonObject } from "../json.js";
import { refuseLfsPointer } from "./lfs-pointer.js";

/**
 * Parses `bytes`, which must hold one JSON object. A byte order mark before it is skipped.
 *
 * @param file name of the file in errors
 * @param isPython false for a format that allows no more than JSON
 * @throws EngineError `invalid_model` for invalid UTF-8, invalid JSON, a key repeated with another value, anything but an
 * object, and a pointer of Git LFS
 */
export function parseJsonObject(bytes: Uint8Array, file: string, isPython: boolean = true): JsonObject {
  refuseLfsPointer(bytes, file);
  let value: unknown;
  try {
    value = parseJson(hasByteOrderMark(bytes) ? bytes.subarray(3) : bytes, { isPython });
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

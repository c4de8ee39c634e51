/** Strict JSON for files that decide what a model computes: UTF-8 only, no key twice. */

import { EngineError } from "../errors.js";

export type JsonObject = { readonly [key: string]: unknown };

/**
 * Parses `bytes`, which must hold one JSON object.
 *
 * @param file how the errors name it
 * @throws EngineError `invalid_model` for invalid UTF-8, invalid JSON, a repeated key or anything but an object
 */
export function parseJsonObject(bytes: Uint8Array, file: string): JsonObject {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new EngineError("invalid_model", `${file} is not valid UTF-8`, null, { cause });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new EngineError("invalid_model", `${file} is not valid JSON: ${(cause as Error).message}`, null, { cause });
  }
  if (!isJsonObject(value)) throw new EngineError("invalid_model", `${file} must hold a JSON object`);
  const repeated = firstRepeatedKey(text);
  if (repeated !== null) throw new EngineError("invalid_model", `${file} has the key ${JSON.stringify(repeated)} twice`);
  return value;
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * The first key that an object of `text` repeats (JSON.parse keeps the last one silently), or null.
 * `text` must be valid JSON: a string is a key exactly if it stands in an object and a colon follows.
 */
function firstRepeatedKey(text: string): string | null {
  const openObjects: Set<string>[] = [];
  const lexemes = /[{}]|"(?:[^"\\]|\\.)*"(\s*:)?/g;
  for (let match = lexemes.exec(text); match !== null; match = lexemes.exec(text)) {
    const lexeme = match[0];
    if (lexeme === "{") openObjects.push(new Set());
    else if (lexeme === "}") openObjects.pop();
    else if (match[1] !== undefined) {
      const key = JSON.parse(lexeme.slice(0, lexeme.length - match[1].length)) as string;
      const keys = openObjects.at(-1)!;
      if (keys.has(key)) return key;
      keys.add(key);
    }
  }
  return null;
}

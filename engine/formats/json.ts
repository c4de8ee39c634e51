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
  if (repeated !== null)
    throw new EngineError("invalid_model", `${file} has the key ${JSON.stringify(repeated)} twice`);
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
  const marks = /[{}"]/g;
  const colon = /\s*:/y;
  for (let match = marks.exec(text); match !== null; match = marks.exec(text)) {
    if (match[0] === "{") openObjects.push(new Set());
    else if (match[0] === "}") openObjects.pop();
    else {
      marks.lastIndex = colon.lastIndex = stringEnd(text, match.index);
      if (!colon.test(text)) continue;
      const key = JSON.parse(text.slice(match.index, marks.lastIndex)) as string;
      const keys = openObjects.at(-1)!;
      if (keys.has(key)) return key;
      keys.add(key);
    }
  }
  return null;
}

/** Behind the string that begins at `start`. A regular expression for whole strings would run out of stack in long ones. */
function stringEnd(text: string, start: number): number {
  for (let quote = text.indexOf('"', start + 1); ; quote = text.indexOf('"', quote + 1)) {
    let numBackslashes = 0;
    while (text[quote - 1 - numBackslashes] === "\\") numBackslashes++;
    if (numBackslashes % 2 === 0) return quote + 1;
  }
}

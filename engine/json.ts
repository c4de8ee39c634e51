/**
 * A strict JSON parser, for requests and for files that decide what a model computes. It accepts the same texts as
 * JSON.parse with the same result, with three exceptions that it refuses: repeated keys, because only one of the values
 * would count; nesting beyond a limit; and invalid UTF-8. `__proto__` is an ordinary key. For files of models it also
 * accepts some of what Python writes.
 */

import { randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";

import { quoted } from "./errors.js";
import { LIMITS } from "./limits.js";

export type JsonObject = { readonly [key: string]: unknown };

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Reports why a text is not valid JSON, with line and column. */
export class JsonError extends Error {
  override readonly name = "JsonError";
}

/**
 * @param isPython true also accepts what Python's json module writes, and files of models therefore contain: `NaN`,
 * `Infinity` and `-Infinity`, and a key that is repeated with an equal value
 * @param exactKeys keys of the outermost object whose values are bigints where they are integers in digits that a number
 * cannot hold
 * @throws JsonError
 */
export function parseJson(
  bytes: Uint8Array,
  { isPython = false, exactKeys = [] }: { isPython?: boolean; exactKeys?: readonly string[] } = {},
): unknown {
  return new Parser(decodeUtf8(bytes), isPython, exactKeys).document();
}

/** Like JSON.stringify, for values that may have bigints, which are written as digits. */
export function jsonText(value: unknown, indent?: number): string {
  // No text of the value can contain a mark that is drawn after it.
  const mark = randomUUID();
  const text = JSON.stringify(
    value,
    (_, item: unknown) => (typeof item === "bigint" ? `${mark}${item}` : item),
    indent,
  );
  return text.replaceAll(new RegExp(`"${mark}(-?\\d+)"`, "g"), "$1");
}

/**
 * Returns how a number was written, such as `1e999`, if its value may read otherwise: if it is infinite, or an integer
 * beyond 2^53.
 *
 * @param container object or array from `parseJson`
 * @param key the number's key or index
 * @returns null for any other value, and for those after the first 1,000 such numbers of a text
 */
export function numberAsWritten(container: object, key: string | number): string | null {
  return WRITTEN.get(container)?.get(String(key)) ?? null;
}

const WRITTEN = new WeakMap<object, Map<string, string>>();
const MAX_WRITTEN_NUMBERS = 1000;

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new JsonError(`it must be UTF-8; the bytes at offset ${invalidUtf8Offset(bytes)} are not`, { cause });
  }
}

/** Returns the byte offset of the first U+FFFD that a lenient decoder inserted, rather than found in the input. */
function invalidUtf8Offset(bytes: Uint8Array): number {
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  let offset = 0;
  for (let start = 0, end = text.indexOf("\uFFFD"); end >= 0; start = end, end = text.indexOf("\uFFFD", end + 1)) {
    offset += Buffer.byteLength(text.slice(start, end));
    const isReal = bytes[offset] === 0xef && bytes[offset + 1] === 0xbf && bytes[offset + 2] === 0xbd;
    if (!isReal) return offset;
  }
  return offset;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const PYTHON_NUMBER = new RegExp(`${NUMBER.source}|-?Infinity|NaN`, "y");
/** As many digits as an integer of 64 bits may have. */
const INTEGER_64 = /^-?[0-9]{1,20}$/;
/** The rest of a string without escapes. */
const PLAIN_STRING = /[^"\\\x00-\x1f]*"/y;
const SHORT_ESCAPES = new Set('"\\/bfnrt');

class Parser {
  readonly #text: string;
  readonly #isPython: boolean;
  readonly #exactKeys: readonly string[];
  #position = 0;
  /** The last number, if `numberAsWritten` returns it. */
  #written: string | null = null;
  #numWritten = 0;

  constructor(text: string, isPython: boolean, exactKeys: readonly string[]) {
    this.#text = text;
    this.#isPython = isPython;
    this.#exactKeys = exactKeys;
  }

  document(): unknown {
    if (this.#text.startsWith("\uFEFF"))
      throw this.#error("The text begins with a byte order mark (U+FEFF); a JSON value is needed");
    this.#skipSpace();
    if (this.#position === this.#text.length) throw this.#error("The text is empty; a JSON value is needed");
    const value = this.#value(0);
    this.#skipSpace();
    if (this.#position < this.#text.length) throw this.#error(`${this.#next()} follows the end of the JSON value`);
    return value;
  }

  #value(depth: number): unknown {
    this.#skipSpace();
    switch (this.#text[this.#position]) {
      case "{":
        return this.#object(depth + 1);
      case "[":
        return this.#array(depth + 1);
      case '"':
        return this.#string();
      case "t":
        return this.#literal("true", true);
      case "f":
        return this.#literal("false", false);
      case "n":
        return this.#literal("null", null);
      default:
        return this.#number();
    }
  }

  #object(depth: number): unknown {
    this.#enter(depth);
    const object: Record<string, unknown> = {};
    if (this.#takeAfterSpace("}")) return object;
    do {
      this.#skipSpace();
      const keyAt = this.#position;
      if (this.#text[keyAt] !== '"') throw this.#error(`Unexpected ${this.#next()}; a key in double quotes is needed`);
      const key = this.#string();
      const isRepeated = Object.hasOwn(object, key);
      if (isRepeated && !this.#isPython) throw this.#error(`The key ${quoted(key)} is repeated`, keyAt);
      if (!this.#takeAfterSpace(":")) throw this.#error(`Unexpected ${this.#next()}; ":" is needed`);
      let value = this.#value(depth);
      if (depth === 1 && this.#written !== null && INTEGER_64.test(this.#written) && this.#exactKeys.includes(key))
        value = BigInt(this.#written);
      if (isRepeated && !isDeepStrictEqual(value, object[key]))
        throw this.#error(`The key ${quoted(key)} is repeated with another value`, keyAt);
      if (key === "__proto__")
        Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
      else object[key] = value;
      if (this.#written !== null) this.#keepWritten(object, key);
    } while (this.#takeAfterSpace(","));
    if (!this.#takeAfterSpace("}")) throw this.#error(`Unexpected ${this.#next()}; "," or "}" is needed`);
    return object;
  }

  #array(depth: number): unknown {
    this.#enter(depth);
    const array: unknown[] = [];
    if (this.#takeAfterSpace("]")) return array;
    do {
      array.push(this.#value(depth));
      if (this.#written !== null) this.#keepWritten(array, String(array.length - 1));
    } while (this.#takeAfterSpace(","));
    if (!this.#takeAfterSpace("]")) throw this.#error(`Unexpected ${this.#next()}; "," or "]" is needed`);
    return array;
  }

  #enter(depth: number): void {
    if (depth > LIMITS.maxJsonDepth) {
      throw this.#error(`Arrays and objects are nested more than ${LIMITS.maxJsonDepth} deep`);
    }
    this.#position++;
  }

  #string(): string {
    const openedAt = this.#position++;
    PLAIN_STRING.lastIndex = this.#position;
    if (PLAIN_STRING.test(this.#text)) {
      const end = PLAIN_STRING.lastIndex;
      const content = this.#text.slice(this.#position, end - 1);
      this.#position = end;
      return content;
    }
    for (;;) {
      const code = this.#text.charCodeAt(this.#position); // NaN at the end
      // Decoding escape by escape makes a tree of as many small texts.
      if (code === QUOTE) return JSON.parse(this.#text.slice(openedAt, ++this.#position)) as string;
      if (code === BACKSLASH) {
        this.#skipEscape();
      } else if (code >= 0x20) {
        this.#position++;
      } else if (Number.isNaN(code)) {
        throw this.#error("A string is not terminated", openedAt);
      } else {
        throw this.#error(
          `A string contains the control character U+${code.toString(16).toUpperCase().padStart(4, "0")}, which must be escaped`,
        );
      }
    }
  }

  #skipEscape(): void {
    const char = this.#text[this.#position + 1] ?? "";
    if (char !== "u" && !SHORT_ESCAPES.has(char)) throw this.#error(`\\${char} is not a JSON escape`);
    if (char === "u" && !/^[0-9a-fA-F]{4}$/.test(this.#text.slice(this.#position + 2, this.#position + 6)))
      throw this.#error("\\u needs four hexadecimal digits");
    this.#position += char === "u" ? 6 : 2;
  }

  #literal<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#position)) throw this.#noValue();
    this.#position += word.length;
    return value;
  }

  #number(): number {
    const start = this.#position;
    const number = this.#isPython ? PYTHON_NUMBER : NUMBER;
    number.lastIndex = start;
    if (!number.test(this.#text)) throw this.#noValue();
    this.#position = number.lastIndex;
    const written = this.#text.slice(start, this.#position);
    const value = Number(written);
    if (Math.abs(value) > Number.MAX_SAFE_INTEGER) this.#written = written;
    return value;
  }

  #keepWritten(container: object, key: string): void {
    if (this.#numWritten++ < MAX_WRITTEN_NUMBERS) {
      const numbers = WRITTEN.get(container) ?? new Map<string, string>();
      WRITTEN.set(container, numbers.set(key, this.#written!));
    }
    this.#written = null;
  }

  #takeAfterSpace(char: string): boolean {
    this.#skipSpace();
    if (this.#text[this.#position] !== char) return false;
    this.#position++;
    return true;
  }

  #skipSpace(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#position);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.#position++;
    }
  }

  #noValue(): JsonError {
    return this.#error(`Unexpected ${this.#next()}; a JSON value is needed`);
  }

  #next(): string {
    const codePoint = this.#text.codePointAt(this.#position);
    return codePoint === undefined ? "end of the text" : quoted(String.fromCodePoint(codePoint));
  }

  #error(problem: string, position = this.#position): JsonError {
    let line = 1;
    let lineStart = 0;
    for (let end = this.#text.indexOf("\n"); end >= 0 && end < position; end = this.#text.indexOf("\n", lineStart)) {
      line++;
      lineStart = end + 1;
    }
    return new JsonError(`${problem}, at line ${line}, column ${position - lineStart + 1}`);
  }
}

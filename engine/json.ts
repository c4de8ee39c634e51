/**
 * A strict JSON parser, for requests and for files that decide what a model computes. It accepts the same texts as
 * JSON.parse with the same result, with three exceptions that it refuses: repeated keys, because only one of the values
 * would count; nesting beyond a limit; and invalid UTF-8. `__proto__` is an ordinary key.
 */

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

/** @throws JsonError */
export function parseJson(bytes: Uint8Array): unknown {
  return new Parser(decodeUtf8(bytes)).document();
}

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
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

class Parser {
  readonly #text: string;
  #position = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): unknown {
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
      if (Object.hasOwn(object, key)) throw this.#error(`The key ${quoted(key)} is repeated`, keyAt);
      if (!this.#takeAfterSpace(":")) throw this.#error(`Unexpected ${this.#next()}; ":" is needed`);
      const value = this.#value(depth);
      if (key === "__proto__")
        Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
      else object[key] = value;
    } while (this.#takeAfterSpace(","));
    if (!this.#takeAfterSpace("}")) throw this.#error(`Unexpected ${this.#next()}; "," or "}" is needed`);
    return object;
  }

  #array(depth: number): unknown {
    this.#enter(depth);
    const array: unknown[] = [];
    if (this.#takeAfterSpace("]")) return array;
    do array.push(this.#value(depth));
    while (this.#takeAfterSpace(","));
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
    const openedAt = this.#position;
    let runStart = ++this.#position;
    let decoded = "";
    for (;;) {
      const code = this.#text.charCodeAt(this.#position); // NaN at the end
      if (code === QUOTE) {
        decoded += this.#text.slice(runStart, this.#position++);
        return decoded;
      }
      if (code === BACKSLASH) {
        decoded += this.#text.slice(runStart, this.#position) + this.#escape();
        runStart = this.#position;
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

  #escape(): string {
    const char = this.#text[this.#position + 1] ?? "";
    if (char === "u") {
      const hex = this.#text.slice(this.#position + 2, this.#position + 6);
      if (!/^[0-9a-fA-F]{4}$/.test(hex)) throw this.#error("\\u needs four hexadecimal digits");
      this.#position += 6;
      return String.fromCharCode(Number.parseInt(hex, 16));
    }
    const decoded = Object.hasOwn(ESCAPES, char) ? ESCAPES[char] : undefined;
    if (decoded === undefined) throw this.#error(`\\${char} is not a JSON escape`);
    this.#position += 2;
    return decoded;
  }

  #literal<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#position)) throw this.#noValue();
    this.#position += word.length;
    return value;
  }

  #number(): number {
    const start = this.#position;
    NUMBER.lastIndex = start;
    if (!NUMBER.test(this.#text)) throw this.#noValue();
    this.#position = NUMBER.lastIndex;
    return Number(this.#text.slice(start, this.#position));
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

/**
 * Reads strings byte by byte: UTF-8, and in JSON the escapes that JSON.stringify writes, so that a text has one
 * spelling. The bytes read of an unfinished code point are encoded as one number, `part`. A byte is accepted only if
 * the language allows some code point that begins with the bytes read. If all of these code points lead to the same
 * state, `part` holds only the number of bytes to come, which keeps the number of states small.
 */

import type { Language, Languages } from "./language.js";
import { MAX_NAMES } from "./objects.js";
import { lastAtMost } from "./partitions.js";

/** Value of `part` between two code points. */
export const BETWEEN = 0;

/** State of a language, and the part of the next code point that was read. */
export interface StringState {
  readonly language: Language;
  readonly part: number;
}

/** @returns the state after a byte, or null if the byte is not allowed. The closing quote is left to the caller */
export function nextInJsonString(
  languages: Languages,
  { language, part }: StringState,
  byte: number,
): StringState | null {
  const kind = Math.floor(part / VALUES);
  const value = part % VALUES;
  if (kind === 0) {
    if (byte === BACKSLASH) return allowsSome(languages, language, ESCAPED) ? state(language, KIND.escape, 0) : null;
    return byte < 0x20 || byte === QUOTE ? null : firstByte(languages, language, byte);
  }
  if (kind <= KIND.lastUtf8) return laterByte(languages, language, kind, value, byte);
  switch (kind) {
    case KIND.escape:
      if (byte === LETTER_U) return allowsSome(languages, language, NUMBERED) ? state(language, KIND.unit, 0) : null;
      return SHORT_ESCAPES.has(byte) ? after(languages, language, SHORT_ESCAPES.get(byte)!) : null;
    case KIND.unit:
    case KIND.unit + 1:
      return byte === DIGIT_0 ? state(language, kind + 1, 0) : null;
    case KIND.unit + 2: {
      const first = (byte - DIGIT_0) * 16;
      const codePoints = NUMBERED.filter((codePoint) => codePoint >= first && codePoint < first + 16);
      return allowsSome(languages, language, codePoints) ? state(language, KIND.unit + 3, first) : null;
    }
    default: {
      const digit = HEX_DIGITS.indexOf(String.fromCharCode(byte));
      return digit >= 0 && NUMBERED.includes(value + digit) ? after(languages, language, value + digit) : null;
    }
  }
}

/** Like `nextInJsonString`, for text without quotes and escapes. */
export function nextInText(languages: Languages, { language, part }: StringState, byte: number): StringState | null {
  const kind = Math.floor(part / VALUES);
  return kind === 0 ? firstByte(languages, language, byte) : laterByte(languages, language, kind, part % VALUES, byte);
}

/**
 * True if a string that was read in part can still become one that is not taken: more strings begin like this than are
 * taken.
 * @param begun the string so far, as in `taken`
 */
export function hasFree(languages: Languages, state: StringState, begun: string, taken: readonly string[]): boolean {
  const others = taken.filter((other) => other.startsWith(begun));
  if (others.length === 0) return true;
  if (state.part === BETWEEN) {
    const count = languages.count(state.language, MAX_NAMES);
    return (
      count >= MAX_NAMES ||
      count > others.filter((other) => languages.has(state.language, textOf(other.slice(begun.length)))).length
    );
  }
  for (let byte = 0; byte < 256; byte++) {
    const next = nextInJsonString(languages, state, byte);
    if (next !== null && hasFree(languages, next, begun + String.fromCharCode(byte), others)) return true;
  }
  return false;
}

/** True if more texts belong to the language than an object can have names. */
export const hasMany = (languages: Languages, language: Language): boolean =>
  languages.count(language, MAX_NAMES) >= MAX_NAMES;

/**
 * Decodes what stands between the quotes of a JSON string.
 * @param bytes one character for each byte
 */
function textOf(bytes: string): string {
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(
    Uint8Array.from(bytes, (byte) => byte.charCodeAt(0)),
  );
  return JSON.parse(`"${text}"`) as string;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const LETTER_U = 0x75;
const VALUES = 2 ** 21;
/** A part is kind * VALUES + value. In a range of kinds, the kind counts the bytes to come, or the digits read. */
const KIND = {
  /** The last kind of UTF-8. 1 to 3: the number of bytes to come; the value holds the bits that were read. */
  lastUtf8: 6,
  /** 4 to 6: one to three bytes to come, any continuation bytes. */
  anyBytes: 4,
  /** After the backslash. */
  escape: 7,
  /** 8 to 11: after \u and zero to three digits. */
  unit: 8,
} as const;

const DIGIT_0 = 0x30;
const HEX_DIGITS = "0123456789abcdef";
const SHORT_ESCAPES: ReadonlyMap<number, number> = new Map(
  Object.entries({ '"': 0x22, "\\": 0x5c, b: 8, f: 12, n: 10, r: 13, t: 9 }).map(([letter, codePoint]) => [
    letter.charCodeAt(0),
    codePoint,
  ]),
);
/** Code points that are written as \u00 and two digits: the control characters without a short escape. */
const NUMBERED: readonly number[] = Array.from({ length: 0x20 }, (_, codePoint) => codePoint).filter(
  (codePoint) => ![...SHORT_ESCAPES.values()].includes(codePoint),
);
const ESCAPED: readonly number[] = [...SHORT_ESCAPES.values(), ...NUMBERED];

const allowsSome = (languages: Languages, language: Language, codePoints: readonly number[]): boolean =>
  codePoints.some((codePoint) => languages.next(language, codePoint) !== null);

const state = (language: Language, kind: number, value: number): StringState => ({
  language,
  part: kind * VALUES + value,
});

function after(languages: Languages, language: Language, codePoint: number): StringState | null {
  const next = languages.next(language, codePoint);
  return next === null ? null : state(next, 0, 0);
}

function firstByte(languages: Languages, language: Language, byte: number): StringState | null {
  if (byte < 0x80) return after(languages, language, byte);
  if (byte >= 0xc2 && byte < 0xe0) return toCome(languages, language, 1, byte & 0x1f, 0x80);
  if (byte >= 0xe0 && byte < 0xf0) return toCome(languages, language, 2, byte & 0x0f, 0x800);
  return byte >= 0xf0 && byte < 0xf5 ? toCome(languages, language, 3, byte & 0x07, 0x10000) : null;
}

function laterByte(
  languages: Languages,
  language: Language,
  kind: number,
  value: number,
  byte: number,
): StringState | null {
  if (byte < 0x80 || byte > 0xbf) return null;
  if (kind >= KIND.anyBytes) return kind === KIND.anyBytes ? state(language, 0, 0) : state(language, kind - 1, 0);
  const bits = value * 64 + (byte & 0x3f);
  return kind === 1
    ? after(languages, language, bits)
    : toCome(languages, language, kind - 1, bits, kind === 2 ? 0x800 : 0x10000);
}

/**
 * Returns the state when `numBytes` bytes of UTF-8 are still to come after `bits`. Surrogates and code points above
 * U+10FFFF are not text.
 * @param least the smallest code point of this encoded length; smaller ones would be overlong
 */
function toCome(
  languages: Languages,
  language: Language,
  numBytes: number,
  bits: number,
  least: number,
): StringState | null {
  const size = 64 ** numBytes;
  const first = bits * size;
  const isWhole = first >= least && first + size <= 0x110000 && !(first < 0xe000 && first + size > 0xd800);
  const exact = state(language, numBytes, bits);
  const from = Math.max(first, least);
  const to = Math.min(first + size, 0x110000);
  return leading(languages, language, from, to, isWhole ? KIND.anyBytes + numBytes - 1 : null, exact);
}

/**
 * Returns the state when the code point being read will be in [from, to), or null if the language allows none of these.
 * @param ifAllAlike the kind of the part if all of these code points lead to one state; null to keep the exact part
 * always
 * @param exact the state that keeps the exact part
 */
function leading(
  languages: Languages,
  language: Language,
  from: number,
  to: number,
  ifAllAlike: number | null,
  exact: StringState,
): StringState | null {
  if (from >= to) return null;
  const { partition, targets } = languages.steps(language);
  const { firsts, ends, classes } = partition;
  const index = lastAtMost(firsts, from);
  if (index >= 0 && from < ends[index]!)
    return ifAllAlike !== null && to <= ends[index]! ? state(targets[classes[index]!]!, ifAllAlike, 0) : exact;
  return firsts[index + 1] !== undefined && firsts[index + 1]! < to ? exact : null;
}

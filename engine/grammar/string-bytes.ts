/**
 * Reads strings byte by byte: UTF-8, and in JSON also every escape (`\u0061`, `\ud83d\ude00`, `\n`). The bytes read of
 * an unfinished code point are encoded as one number, `part`. A byte is accepted only if the language allows some code
 * point that begins with the bytes read. If all of these code points lead to the same state, `part` holds only the
 * number of bytes to come, which keeps the number of states small.
 */

import type { Language, Languages } from "./language.js";
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
    if (byte === BACKSLASH)
      return languages.steps(language).targets.length > 0 ? state(language, KIND.escape, 0) : null;
    return byte < 0x20 || byte === QUOTE ? null : firstByte(languages, language, byte);
  }
  if (kind <= KIND.lastUtf8) return laterByte(languages, language, kind, value, byte);
  if (kind === KIND.escape) {
    if (byte === LETTER_U) return state(language, KIND.unit, 0);
    const codePoint = SHORT_ESCAPES.get(byte);
    return codePoint === undefined ? null : after(languages, language, codePoint);
  }
  if (kind === KIND.highSurrogate) return byte === BACKSLASH ? state(language, KIND.highSurrogate + 1, value) : null;
  if (kind === KIND.highSurrogate + 1) return byte === LETTER_U ? state(language, KIND.lowSurrogate, value) : null;
  const digit = hexDigit(byte);
  if (digit === null) return null;
  if (kind >= KIND.anyDigits) return kind === KIND.anyDigits ? state(language, 0, 0) : state(language, kind - 1, 0);
  return kind < KIND.highSurrogate
    ? unitDigit(languages, language, kind - KIND.unit + 1, value * 16 + digit)
    : lowDigit(languages, language, kind - KIND.lowSurrogate + 1, value, digit);
}

/** Like `nextInJsonString`, for text without quotes and escapes. */
export function nextInText(languages: Languages, { language, part }: StringState, byte: number): StringState | null {
  const kind = Math.floor(part / VALUES);
  return kind === 0 ? firstByte(languages, language, byte) : laterByte(languages, language, kind, part % VALUES, byte);
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const LETTER_U = 0x75;
const VALUES = 2 ** 21;
/** A part is kind * VALUES + value. In a range of kinds, the kind counts the bytes or digits to come, or those read. */
const KIND = {
  /** The last kind of UTF-8. 1 to 3: the number of bytes to come; the value holds the bits that were read. */
  lastUtf8: 6,
  /** 4 to 6: one to three bytes to come, any continuation bytes. */
  anyBytes: 4,
  escape: 7,
  /** 8 to 11: after \u and zero to three digits. */
  unit: 8,
  /** 12: after a high surrogate; 13: after the backslash that follows it. */
  highSurrogate: 12,
  /** 14 to 17: after a high surrogate, \u and zero to three digits. */
  lowSurrogate: 14,
  /** 18 to 20: one to three digits to come, any hexadecimal digits. */
  anyDigits: 18,
} as const;
const SHORT_ESCAPES: ReadonlyMap<number, number> = new Map(
  Object.entries({ '"': 0x22, "\\": 0x5c, "/": 0x2f, b: 8, f: 12, n: 10, r: 13, t: 9 }).map(([letter, codePoint]) => [
    letter.charCodeAt(0),
    codePoint,
  ]),
);

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

function unitDigit(languages: Languages, language: Language, numRead: number, value: number): StringState | null {
  if (numRead === 4) {
    if (value < 0xd800 || value >= 0xdc00) return after(languages, language, value);
    const first = 0x10000 + (value - 0xd800) * 0x400;
    return leading(
      languages,
      language,
      first,
      first + 0x400,
      null,
      state(language, KIND.highSurrogate, value - 0xd800),
    );
  }
  const size = 16 ** (4 - numRead);
  const first = value * size;
  const exact = state(language, KIND.unit + numRead, value);
  const high = Math.max(first, 0xd800);
  const highEnd = Math.min(first + size, 0xdc00);
  if (high >= highEnd) {
    const isWhole = first + size <= 0xd800 || first >= 0xe000;
    return leading(languages, language, first, first + size, isWhole ? KIND.anyDigits + 3 - numRead : null, exact);
  }
  const fromPair = leading(
    languages,
    language,
    0x10000 + (high - 0xd800) * 0x400,
    0x10000 + (highEnd - 0xd800) * 0x400,
    null,
    exact,
  );
  return fromPair ?? leading(languages, language, first, first + size, null, exact);
}

/**
 * Reads a digit of a low surrogate: the first is d, the second c to f, and the four give ten bits of the code point.
 */
function lowDigit(
  languages: Languages,
  language: Language,
  numRead: number,
  value: number,
  digit: number,
): StringState | null {
  if (numRead === 1) return digit === 13 ? state(language, KIND.lowSurrogate + 1, value) : null;
  if (numRead === 2 && digit < 12) return null;
  const bits = numRead === 2 ? value * 4 + digit - 12 : value * 16 + digit;
  if (numRead === 4) return after(languages, language, 0x10000 + bits);
  const size = 16 ** (4 - numRead);
  const first = 0x10000 + bits * size;
  return leading(languages, language, first, first + size, null, state(language, KIND.lowSurrogate + numRead, bits));
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

function hexDigit(byte: number): number | null {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : null;
}

/**
 * Reads JSON numbers of at most 17 significant digits, byte by byte, whose exact value is in given ranges. The prefix
 * read so far is kept as digits; a byte is accepted only if some number in range begins with the result. Every spelling
 * is allowed: 100, 1e2, 1.00E+2.
 */

import {
  type Decimal,
  LARGEST,
  ONE,
  ZERO,
  compare,
  greatestCommonDivisor,
  isMultiple,
  leadingPlace,
  leastCommonMultiple,
  negated,
  numDigits,
  scaled,
  trimmed,
} from "./decimal.js";

/** Multiples of `step` from `min` to `max`, inclusive; null means no bound. */
export interface NumberRange {
  readonly min: Decimal | null;
  readonly max: Decimal | null;
  readonly step: Decimal | null;
}

export const ALL_NUMBERS: NumberRange = { min: null, max: null, step: null };

/** Numbers without their sign: 0 <= low <= high. */
export interface Magnitudes {
  readonly low: Decimal;
  readonly high: Decimal;
  readonly step: Decimal | null;
}

/** Allowed numbers, as magnitudes for each sign. */
export interface NumberSet {
  readonly positive: readonly Magnitudes[];
  readonly negative: readonly Magnitudes[];
}

export const NO_NUMBERS: NumberSet = { positive: [], negative: [] };

const MAX_DIGITS = 17;
/** Digits before the point: JSON.stringify writes integers of up to 21 digits without an exponent. */
const MAX_WHOLE_DIGITS = 21;
/**
 * Digits after the point. They have room for every fraction that JSON.stringify writes without an exponent (1e-6 and
 * above): up to five zeros, then 17 digits.
 */
const MAX_FRACTION_DIGITS = 23;
const MAX_EXPONENT_DIGITS = 3;
const MAX_EXPONENT = 999;
/**
 * Upper limit for multiples of a step, unless every integer is a multiple of it: above, doubles are too far apart to
 * distinguish multiples.
 */
const MAX_EXACT: Decimal = { digits: 2n ** 53n, exponent: 0 };

export function intersectRanges(a: NumberRange, b: NumberRange): NumberRange {
  const min = a.min === null || (b.min !== null && compare(b.min, a.min) > 0) ? b.min : a.min;
  const max = a.max === null || (b.max !== null && compare(b.max, a.max) < 0) ? b.max : a.max;
  const step = a.step === null ? b.step : b.step === null ? a.step : commonStep(a.step, b.step);
  return { min, max, step };
}

/** Returns the step of the numbers that are multiples of both. Above the largest number, only zero is a multiple. */
function commonStep(a: Decimal, b: Decimal): Decimal {
  const step = leastCommonMultiple(a, b);
  return compare(step, LARGEST) > 0 ? ABOVE_ALL : step;
}

const ABOVE_ALL: Decimal = { digits: 1n, exponent: 400 };

export function numberSet(ranges: readonly NumberRange[]): NumberSet {
  const positive = ranges.flatMap(magnitudes).filter((range) => reaches(range, START));
  const negative = ranges
    .map(({ min, max, step }) => ({ min: max && negated(max), max: min && negated(min), step }))
    .flatMap(magnitudes)
    .filter(
      (range) =>
        range.high.digits > 0n && reaches({ ...range, low: range.low.digits === 0n ? SMALLEST : range.low }, START),
    );
  return { positive: inOrderOfKeys(positive), negative: inOrderOfKeys(negative) };
}

/** Sorts single numbers as their index does, so that it takes little time where the compiled grammar is used. */
function inOrderOfKeys(ranges: readonly Magnitudes[]): Magnitudes[] {
  const { points, others } = indexOf(ranges);
  return [...others, ...points];
}

export const numbersOf = (positive: readonly Magnitudes[], negative: readonly Magnitudes[]): NumberSet => ({
  positive,
  negative,
});

export const isEmptySet = ({ positive, negative }: NumberSet): boolean =>
  positive.length === 0 && negative.length === 0;

/** Returns each number as text if the set consists of single numbers, else null. Equal numbers have equal texts. */
export function pointsOf({ positive, negative }: NumberSet): string[] | null {
  if ([...positive, ...negative].some(({ low, high }) => compare(low, high) !== 0)) return null;
  const text = (sign: string, { low }: Magnitudes): string => {
    const { digits, exponent } = trimmed(low);
    return digits === 0n ? "0" : `${sign}${digits}e${exponent}`;
  };
  return [...positive.map((range) => text("", range)), ...negative.map((range) => text("-", range))];
}

/** The part of a number that was read: digits (whole and fraction) * 10^-fractionDigits, then an exponent. */
export interface NumberPrefix {
  readonly isNegative: boolean;
  readonly phase: "minus" | "zero" | "whole" | "point" | "fraction" | "e" | "sign" | "exponent";
  readonly digits: bigint;
  readonly wholeDigits: number;
  readonly fractionDigits: number;
  readonly exponent: number;
  readonly exponentDigits: number;
  readonly isExponentNegative: boolean;
}

/** @returns the prefix after the first byte of a number, or null if no number of the set begins with this byte */
export function beginNumber(set: NumberSet, byte: number): NumberPrefix | null {
  if (byte === MINUS) return set.negative.length > 0 ? { ...START, isNegative: true, phase: "minus" } : null;
  return possible(set, firstDigit(START, byte));
}

/** @returns the prefix after another byte, or null if no number of the set begins with it */
export function continueNumber(set: NumberSet, prefix: NumberPrefix, byte: number): NumberPrefix | null {
  return possible(set, extended(prefix, byte));
}

/** True if the prefix itself is a number of the set. */
export function isNumber(set: NumberSet, prefix: NumberPrefix): boolean {
  const { phase } = prefix;
  if (phase !== "zero" && phase !== "whole" && phase !== "fraction" && phase !== "exponent") return false;
  const exponent = prefix.isExponentNegative ? -prefix.exponent : prefix.exponent;
  return someRange(rangesOf(set, prefix), prefix, (range) => {
    const exponents = exponentsOf(range, prefix);
    return exponents !== null && exponent >= exponents.low && exponent <= exponents.high;
  });
}

export function prefixKey(prefix: NumberPrefix): string {
  const { isNegative, phase, digits, wholeDigits, fractionDigits, exponent, exponentDigits, isExponentNegative } =
    prefix;
  return [
    isNegative ? "-" : "",
    phase,
    digits,
    wholeDigits,
    fractionDigits,
    isExponentNegative ? "-" : "",
    exponent,
    exponentDigits,
  ].join();
}

const MINUS = 0x2d;
const PLUS = 0x2b;
const POINT = 0x2e;
const START: NumberPrefix = {
  isNegative: false,
  phase: "minus",
  digits: 0n,
  wholeDigits: 0,
  fractionDigits: 0,
  exponent: 0,
  exponentDigits: 0,
  isExponentNegative: false,
};
const SMALLEST: Decimal = { digits: 1n, exponent: -400 };

const rangesOf = (set: NumberSet, prefix: NumberPrefix): readonly Magnitudes[] =>
  prefix.isNegative ? set.negative : set.positive;

/** Ranges of one number each, by its digits, and all other ranges. */
interface RangeIndex {
  /** Sorted, padded with zeros. */
  readonly keys: readonly string[];
  /** By key. */
  readonly points: readonly Magnitudes[];
  readonly others: readonly Magnitudes[];
}

const indexes = new WeakMap<readonly Magnitudes[], RangeIndex>();

/**
 * Returns true if the test is true for some range. Single numbers that do not begin with the digits read are skipped,
 * because an enum may have thousands of them.
 * @param test false for each of these
 */
function someRange(
  ranges: readonly Magnitudes[],
  { digits }: NumberPrefix,
  test: (range: Magnitudes) => boolean,
): boolean {
  let index = indexes.get(ranges);
  if (index === undefined) indexes.set(ranges, (index = indexOf(ranges)));
  const { keys, points, others } = index;
  if (others.some(test)) return true;
  const begin = digits === 0n ? "" : digits.toString().slice(0, KEY_LENGTH);
  let low = 0;
  for (let high = keys.length; low < high;) {
    const middle = (low + high) >> 1;
    if (keys[middle]! < begin) low = middle + 1;
    else high = middle;
  }
  for (; low < keys.length && keys[low]!.startsWith(begin); low++) if (test(points[low]!)) return true;
  return false;
}

function indexOf(ranges: readonly Magnitudes[]): RangeIndex {
  const others: Magnitudes[] = [];
  const keyed: { readonly key: string; readonly range: Magnitudes }[] = [];
  for (const range of ranges) {
    const { low, high } = range;
    const key = low.digits.toString();
    const isPoint = low.digits === high.digits && low.exponent === high.exponent && low.digits > 0n;
    if (isPoint && key.length <= KEY_LENGTH) keyed.push({ key: key.padEnd(KEY_LENGTH, "0"), range });
    else others.push(range);
  }
  keyed.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  return { keys: keyed.map(({ key }) => key), points: keyed.map(({ range }) => range), others };
}

/** More digits than a number of JSON has; later digits are zeros. */
const KEY_LENGTH = 40;

function magnitudes({ min, max, step }: NumberRange): Magnitudes[] {
  const low = min === null || min.digits < 0n ? ZERO : min;
  const isExact = step === null || isMultiple(ONE, step);
  const limit = isExact ? LARGEST : MAX_EXACT;
  const high = max === null || compare(max, limit) > 0 ? limit : max;
  return compare(low, high) > 0 ? [] : [{ low, high, step }];
}

/** Extends the prefix by a byte, checking the syntax only. */
function extended(prefix: NumberPrefix, byte: number): NumberPrefix | null {
  const { phase } = prefix;
  const digit = byte - 0x30;
  const isDigit = digit >= 0 && digit <= 9;
  switch (phase) {
    case "minus":
      return firstDigit(prefix, byte);
    case "zero":
    case "whole":
      if (isDigit) return phase === "whole" && prefix.wholeDigits < MAX_WHOLE_DIGITS ? withDigit(prefix, digit) : null;
      return byte === POINT ? { ...prefix, phase: "point" } : exponentMark(prefix, byte);
    case "point":
    case "fraction":
      if (isDigit) return withDigit({ ...prefix, phase: "fraction", fractionDigits: prefix.fractionDigits + 1 }, digit);
      return phase === "fraction" ? exponentMark(prefix, byte) : null;
    case "e":
      if (byte === PLUS || byte === MINUS) return { ...prefix, phase: "sign", isExponentNegative: byte === MINUS };
      return isDigit ? withExponentDigit(prefix, digit) : null;
    case "sign":
    case "exponent":
      return isDigit ? withExponentDigit(prefix, digit) : null;
  }
}

function firstDigit(prefix: NumberPrefix, byte: number): NumberPrefix | null {
  if (byte === 0x30) return { ...prefix, phase: "zero" };
  return byte > 0x30 && byte <= 0x39
    ? { ...prefix, phase: "whole", digits: BigInt(byte - 0x30), wholeDigits: 1 }
    : null;
}

/** Appends a digit. An integer that already has MAX_DIGITS significant digits takes only zeros. */
function withDigit(prefix: NumberPrefix, digit: number): NumberPrefix | null {
  const numKept = prefix.digits === 0n ? 0 : numDigits(prefix.digits);
  const isFull = numKept >= MAX_DIGITS && (prefix.phase === "fraction" || digit !== 0);
  if (isFull || prefix.fractionDigits > MAX_FRACTION_DIGITS) return null;
  const wholeDigits = prefix.wholeDigits + (prefix.phase === "whole" ? 1 : 0);
  return { ...prefix, digits: prefix.digits * 10n + BigInt(digit), wholeDigits };
}

function exponentMark(prefix: NumberPrefix, byte: number): NumberPrefix | null {
  return byte === 0x65 || byte === 0x45 ? { ...prefix, phase: "e" } : null;
}

function withExponentDigit(prefix: NumberPrefix, digit: number): NumberPrefix | null {
  if (prefix.exponentDigits === MAX_EXPONENT_DIGITS) return null;
  return {
    ...prefix,
    phase: "exponent",
    exponent: prefix.exponent * 10 + digit,
    exponentDigits: prefix.exponentDigits + 1,
  };
}

/** @returns the prefix if some number of the set begins with it, else null */
function possible(set: NumberSet, prefix: NumberPrefix | null): NumberPrefix | null {
  if (prefix === null) return null;
  const { phase } = prefix;
  const isExponent = phase === "e" || phase === "sign" || phase === "exponent";
  if (phase === "point" && numDigitsLeft(prefix) === 0) return null;
  const canEnd = (range: Magnitudes): boolean => (isExponent ? reachesExponent(range, prefix) : reaches(range, prefix));
  return someRange(rangesOf(set, prefix), prefix, canEnd) ? prefix : null;
}

function numDigitsLeft({ digits, fractionDigits }: NumberPrefix): number {
  const numKept = digits === 0n ? 0 : numDigits(digits);
  return Math.max(0, Math.min(MAX_DIGITS - numKept, MAX_FRACTION_DIGITS - fractionDigits));
}

/** True if appending digits and then an exponent can give a number in the range. An exponent can always be appended. */
function reaches(range: Magnitudes, prefix: NumberPrefix): boolean {
  const { digits, fractionDigits } = prefix;
  const { low, high, step } = range;
  const numLeft = numDigitsLeft(prefix);
  if (digits === 0n) {
    if (low.digits === 0n) return true;
    if (numLeft === 0) return false;
  }
  if (high.digits === 0n) return false;
  // The power of ten of the first nonzero digit, before the exponent is applied. If no nonzero digit was read yet, it
  // can be any of the places still to come.
  const [highestPlace, lowestPlace] =
    digits === 0n
      ? [-fractionDigits - 1, -fractionDigits - numLeft]
      : [numDigits(digits) - 1 - fractionDigits, numDigits(digits) - 1 - fractionDigits];
  const smallest = low.digits > 0n ? leadingPlace(low) : step === null ? leadingPlace(high) - 1 : leadingPlace(step);
  const first = Math.min(MAX_EXPONENT, leadingPlace(high) - lowestPlace);
  const last = Math.max(-MAX_EXPONENT, smallest - highestPlace);
  for (let exponent = first; exponent >= last; exponent--) {
    const least: Decimal = { digits, exponent: exponent - fractionDigits };
    if (digits > 0n && isIn(range, least)) return true;
    if (hasMultiple(range, least, numLeft)) return true;
  }
  return false;
}

/** True if the range contains a number that begins with the digits of `least` and has at most `numLeft` more. */
function hasMultiple({ low, high, step }: Magnitudes, least: Decimal, numLeft: number): boolean {
  const grid: Decimal = { digits: 1n, exponent: least.exponent - numLeft };
  const unit = step === null ? grid : leastCommonMultiple(grid, step);
  const exponent = Math.min(low.exponent, high.exponent, grid.exponent, unit.exponent);
  const from = larger(scaled(low, exponent), scaled(least, exponent));
  const next = scaled({ digits: least.digits + 1n, exponent: least.exponent }, exponent);
  const highest = scaled(high, exponent);
  const size = scaled(unit, exponent);
  const multiple = ((from + size - 1n) / size) * size;
  return multiple <= highest && multiple < next;
}

const larger = (a: bigint, b: bigint): bigint => (a > b ? a : b);

function isIn({ low, high, step }: Magnitudes, value: Decimal): boolean {
  return compare(value, low) >= 0 && compare(value, high) <= 0 && (step === null || isMultiple(value, step));
}

/**
 * True if the exponent, of which some digits may have been read, can be completed so that the number is in the range.
 */
function reachesExponent(range: Magnitudes, prefix: NumberPrefix): boolean {
  const exponents = exponentsOf(range, prefix);
  if (exponents === null) return false;
  const { phase, exponent, exponentDigits, isExponentNegative } = prefix;
  const isWithin = (low: number, high: number): boolean => low <= exponents.high && high >= exponents.low;
  if (phase === "e") return true;
  for (let more = 0; more <= MAX_EXPONENT_DIGITS - exponentDigits; more++) {
    const power = Number(10n ** BigInt(more));
    const first = exponent * power;
    const last = first + power - 1;
    if (isExponentNegative ? isWithin(-last, -first) : isWithin(first, last)) return true;
  }
  return false;
}

/**
 * Returns the exponents for which the digits read give a number in the range. They form one interval, because a
 * multiple of the step times ten is a multiple too.
 */
function exponentsOf(
  { low, high, step }: Magnitudes,
  { digits, fractionDigits }: NumberPrefix,
): { low: number; high: number } | null {
  if (digits === 0n) return low.digits === 0n ? { low: -MAX_EXPONENT, high: MAX_EXPONENT } : null;
  if (high.digits === 0n) return null;
  const at = (exponent: number): Decimal => ({ digits, exponent: exponent - fractionDigits });
  const place = numDigits(digits) - 1 - fractionDigits;
  let last = leadingPlace(high) - place;
  if (compare(at(last), high) > 0) last--;
  let first = -MAX_EXPONENT;
  if (low.digits > 0n) {
    first = leadingPlace(low) - place;
    if (compare(at(first), low) < 0) first++;
  }
  if (step !== null) {
    const power = powerToDivide(digits, step.digits);
    if (power === null) return null;
    first = Math.max(first, power + fractionDigits + step.exponent);
  }
  const exponents = { low: Math.max(first, -MAX_EXPONENT), high: Math.min(last, MAX_EXPONENT) };
  return exponents.low <= exponents.high ? exponents : null;
}

/** @returns the least k, possibly negative, for which `of` divides digits * 10^k; null if no such k exists */
function powerToDivide(digits: bigint, of: bigint): number | null {
  let power = 0;
  let rest = of / greatestCommonDivisor(digits, of);
  if (rest === 1n) {
    while (digits % (of * 10n ** BigInt(1 - power)) === 0n) power--;
    return power;
  }
  // Each factor of 10 contributes a 2 and a 5.
  while (rest > 1n) {
    const shared = greatestCommonDivisor(rest, 10n);
    if (shared === 1n) return null;
    rest /= shared;
    power++;
  }
  return power;
}

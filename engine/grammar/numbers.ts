/**
 * Reads JSON numbers byte by byte, in the spelling of a serializer. Single numbers have the text that JSON.stringify
 * writes. Numbers of a range have at most 17 significant digits, and integers at most 19 with neither point nor
 * exponent. Exponents appear only where JSON.stringify writes them, and only in ranges that reach 1e21 or contain no
 * number without one. A byte is accepted only if some number of the set begins with the result.
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
  textOf,
  trimmed,
} from "./decimal.js";

/** Multiples of `step` from `min` to `max`, inclusive; null means no bound. */
export interface NumberRange {
  readonly min: Decimal | null;
  readonly max: Decimal | null;
  readonly step: Decimal | null;
}

export const ALL_NUMBERS: NumberRange = { min: null, max: null, step: null };

/** Numbers without their sign, in one spelling: 0 <= low <= high. */
export interface Magnitudes {
  readonly low: Decimal;
  readonly high: Decimal;
  readonly step: Decimal | null;
  readonly spelling: Spelling;
}

export const SPELLINGS = ["integer", "longInteger", "decimal", "scientific"] as const;
export type Spelling = (typeof SPELLINGS)[number];

/** Most digits before the point, after it, and from the first that is not zero to the last. */
const MAX_DIGITS: Readonly<Record<Spelling, { whole: number; fraction: number; significant: number }>> = {
  // All integers of 64 bits.
  integer: { whole: 19, fraction: 0, significant: 19 },
  // JSON.stringify writes integers of up to 21 digits without an exponent.
  longInteger: { whole: 21, fraction: 0, significant: 19 },
  // JSON.stringify writes fractions from 1e-6 without an exponent: up to five zeros, then 17 digits.
  decimal: { whole: 21, fraction: 23, significant: 17 },
  // One digit, a fraction and an exponent that is not zero.
  scientific: { whole: 1, fraction: 16, significant: 17 },
};

/** Allowed numbers. */
export interface NumberSet {
  /** Texts of single numbers, sorted. */
  readonly points: readonly string[];
  readonly positive: readonly Magnitudes[];
  readonly negative: readonly Magnitudes[];
}

export const NO_NUMBERS: NumberSet = { points: [], positive: [], negative: [] };

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
  const points = new Set<string>();
  const magnitudes = (sign: "" | "-", bounds: Bounds | null): Magnitudes[] => {
    if (bounds === null) return [];
    const { low, high } = bounds;
    if (compare(low, high) === 0) {
      if (isIn(bounds, low)) points.add(sign + textOf(low));
      return [];
    }
    return spelled(bounds);
  };
  const positive = ranges.flatMap((range) => magnitudes("", positiveBounds(range)));
  const negative = ranges.flatMap((range) => magnitudes("-", negativeBounds(range)));
  return { points: [...points].sort(), positive, negative };
}

export const isEmptySet = ({ points, positive, negative }: NumberSet): boolean =>
  points.length === 0 && positive.length === 0 && negative.length === 0;

/** Returns the texts of the numbers if the set consists of single numbers, else null. */
export function pointsOf({ points, positive, negative }: NumberSet): readonly string[] | null {
  return positive.length === 0 && negative.length === 0 ? points : null;
}

/** Returns a number of different numbers that the set surely has; Infinity for a million and more. */
export function leastCount({ points, positive, negative }: NumberSet): number {
  const most = (ranges: readonly Magnitudes[]): number => Math.max(0, ...ranges.map(leastCountOf));
  return Math.max(points.length, most(positive) + most(negative));
}

function leastCountOf({ low, high, step, spelling }: Magnitudes): number {
  const { fraction, significant } = MAX_DIGITS[spelling];
  const place = leadingPlace(high) + 1 - significant;
  const unit = step ?? { digits: 1n, exponent: spelling === "scientific" ? place : Math.max(place, -fraction) };
  const exponent = Math.min(low.exponent, high.exponent, unit.exponent);
  const size = scaled(unit, exponent);
  const first = (scaled(low, exponent) + size - 1n) / size;
  const count = scaled(high, exponent) / size - first + 1n;
  return count >= MANY ? Infinity : Number(count);
}

const MANY = 1_000_000n;

/**
 * True if the set has a number that begins with the prefix and is not one of `taken`.
 * @param taken equal numbers have one text: see `plainText`
 */
export function hasOtherNumber(set: NumberSet, prefix: NumberPrefix, taken: ReadonlySet<string>): boolean {
  if (isNumber(set, prefix) && !taken.has(plainText(prefix))) return true;
  for (let byte = 0x2b; byte <= 0x65; byte++) {
    const next = continueNumber(set, prefix, byte);
    if (next !== null && hasOtherNumber(set, next, taken)) return true;
  }
  return false;
}

/** Returns the same text for equal numbers: 5.0 and 5, 1e+21 and 1e21. */
export function plainText({ text }: NumberPrefix): string {
  return text.replace(/\.0$/, "").replace("+", "");
}

/** The part of a number that was read: digits (whole and fraction) * 10^-fractionDigits, then an exponent. */
export interface NumberPrefix {
  readonly text: string;
  readonly isNegative: boolean;
  readonly phase: "start" | "zero" | "whole" | "point" | "fraction" | "e" | "plus" | "minus" | "exponent";
  readonly digits: bigint;
  readonly wholeDigits: number;
  readonly fractionDigits: number;
  readonly exponent: number;
  readonly exponentDigits: number;
  readonly isExponentNegative: boolean;
}

/** @returns the prefix after the first byte of a number, or null if no number of the set begins with this byte */
export function beginNumber(set: NumberSet, byte: number): NumberPrefix | null {
  return possible(set, byte === MINUS ? { ...START, text: "-", isNegative: true } : extended(START, byte));
}

/** @returns the prefix after another byte, or null if no number of the set begins with it */
export function continueNumber(set: NumberSet, prefix: NumberPrefix, byte: number): NumberPrefix | null {
  return possible(set, extended(prefix, byte));
}

/** True if the prefix itself is a number of the set. */
export function isNumber(set: NumberSet, prefix: NumberPrefix): boolean {
  if (set.points[firstFrom(set.points, prefix.text)] === prefix.text) return true;
  return rangesOf(set, prefix).some((range) => isWhole(range, prefix));
}

const MINUS = 0x2d;
const PLUS = 0x2b;
const POINT = 0x2e;
const ZERO_DIGIT = 0x30;
const START: NumberPrefix = {
  text: "",
  isNegative: false,
  phase: "start",
  digits: 0n,
  wholeDigits: 0,
  fractionDigits: 0,
  exponent: 0,
  exponentDigits: 0,
  isExponentNegative: false,
};

/** Magnitudes without their spelling. */
type Bounds = Omit<Magnitudes, "spelling">;

function positiveBounds({ min, max, step }: NumberRange): Bounds | null {
  const low = min === null || min.digits < 0n ? ZERO : min;
  const isExact = step === null || isMultiple(ONE, step);
  const limit = isExact ? LARGEST : MAX_EXACT;
  const high = max === null || compare(max, limit) > 0 ? limit : max;
  return compare(low, high) > 0 ? null : { low, high, step };
}

/** Zero is not negative: no serializer writes -0 for an integer. */
function negativeBounds({ min, max, step }: NumberRange): Bounds | null {
  const bounds = positiveBounds({ min: max && negated(max), max: min && negated(min), step });
  if (bounds === null || bounds.high.digits === 0n) return null;
  return bounds.low.digits === 0n ? { ...bounds, low: SMALLEST } : bounds;
}

/** The smallest positive double. */
const SMALLEST: Decimal = { digits: 5n, exponent: -324 };

/** Returns the numbers in each spelling that they have. */
function spelled(bounds: Bounds): Magnitudes[] {
  const { low, high, step } = bounds;
  const some = (spelling: Spelling, from: Decimal = low, to: Decimal = high): Magnitudes[] => {
    const range = { low: greater(low, from), high: less(high, to), step, spelling };
    return compare(range.low, range.high) <= 0 && reaches(range, START) ? [range] : [];
  };
  const scientific = (): Magnitudes[] => [
    ...some("scientific", FIRST_LARGE),
    ...some("scientific", SMALLEST, LAST_SMALL),
  ];
  if (step !== null && isMultiple(step, ONE)) {
    for (const spelling of ["integer", "longInteger"] as const) if (some(spelling).length > 0) return some(spelling);
    return scientific();
  }
  const decimals = some("decimal");
  return decimals.length === 0 || compare(high, FIRST_LARGE) >= 0 ? [...decimals, ...scientific()] : decimals;
}

const greater = (a: Decimal, b: Decimal): Decimal => (compare(a, b) > 0 ? a : b);
const less = (a: Decimal, b: Decimal): Decimal => (compare(a, b) < 0 ? a : b);

/** JSON.stringify writes an exponent from 1e21 on, and below 1e-6: this is the greatest such number of 17 digits. */
const FIRST_LARGE: Decimal = { digits: 1n, exponent: 21 };
const LAST_SMALL: Decimal = { digits: 99999999999999999n, exponent: -23 };

/** Extends the prefix by a byte, checking the syntax only. */
function extended(prefix: NumberPrefix, byte: number): NumberPrefix | null {
  const { phase } = prefix;
  const next = (after: NumberPrefix["phase"]): NumberPrefix => ({
    ...prefix,
    text: prefix.text + String.fromCharCode(byte),
    phase: after,
  });
  const digit = byte >= ZERO_DIGIT && byte <= 0x39 ? byte - ZERO_DIGIT : null;
  const isE = byte === 0x65;
  switch (phase) {
    case "start":
    case "whole":
      if (digit === 0 && phase === "start") return next("zero");
      if (digit !== null) return withDigit(next("whole"), digit);
      if (phase === "start") return null;
      return byte === POINT ? next("point") : isE ? next("e") : null;
    case "zero":
      return byte === POINT ? next("point") : null;
    case "point":
    case "fraction":
      if (digit !== null) return withDigit(next("fraction"), digit);
      // The last digit of a fraction before an exponent is not zero.
      return phase === "fraction" && isE && prefix.digits % 10n !== 0n ? next("e") : null;
    case "e":
      if (byte === MINUS) return { ...next("minus"), isExponentNegative: true };
      if (byte === PLUS) return next("plus");
      return digit === null || digit === 0 ? null : withExponentDigit(next("exponent"), digit);
    case "plus":
    case "minus":
      return digit === null || digit === 0 ? null : withExponentDigit(next("exponent"), digit);
    case "exponent":
      return digit === null ? null : withExponentDigit(next("exponent"), digit);
  }
}

function withDigit(prefix: NumberPrefix, digit: number): NumberPrefix {
  const isFraction = prefix.phase === "fraction";
  return {
    ...prefix,
    digits: prefix.digits * 10n + BigInt(digit),
    wholeDigits: prefix.wholeDigits + Number(!isFraction),
    fractionDigits: prefix.fractionDigits + Number(isFraction),
  };
}

function withExponentDigit(prefix: NumberPrefix, digit: number): NumberPrefix | null {
  if (prefix.exponentDigits === MAX_EXPONENT_DIGITS) return null;
  return { ...prefix, exponent: prefix.exponent * 10 + digit, exponentDigits: prefix.exponentDigits + 1 };
}

/** @returns the prefix if some number of the set begins with it, else null */
function possible(set: NumberSet, prefix: NumberPrefix | null): NumberPrefix | null {
  if (prefix === null) return null;
  const { points } = set;
  if (points[firstFrom(points, prefix.text)]?.startsWith(prefix.text) === true) return prefix;
  return rangesOf(set, prefix).some((range) => reaches(range, prefix)) ? prefix : null;
}

/** Returns the index of the first text that is not before the given one. */
function firstFrom(sorted: readonly string[], text: string): number {
  let low = 0;
  for (let high = sorted.length; low < high;) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < text) low = middle + 1;
    else high = middle;
  }
  return low;
}

const rangesOf = (set: NumberSet, prefix: NumberPrefix): readonly Magnitudes[] =>
  prefix.isNegative ? set.negative : set.positive;

/** True if the prefix is a number of the range, in its spelling. */
function isWhole(range: Magnitudes, prefix: NumberPrefix): boolean {
  const { phase, digits, fractionDigits } = prefix;
  if (!hasRoom(range, prefix)) return false;
  if (range.spelling === "scientific") {
    if (phase !== "exponent" || prefix.wholeDigits !== 1) return false;
    const exponents = exponentsOf(range, prefix);
    const exponent = prefix.isExponentNegative ? -prefix.exponent : prefix.exponent;
    return exponents !== null && exponent >= exponents.low && exponent <= exponents.high;
  }
  const isEnd = phase === "zero" || phase === "whole" || (phase === "fraction" && endsFraction(prefix));
  return isEnd && isIn(range, { digits, exponent: -fractionDigits });
}

/** True if the digits read are not more than the range's spelling allows. */
function hasRoom({ spelling }: Magnitudes, { digits, wholeDigits, fractionDigits }: NumberPrefix): boolean {
  const { whole, fraction, significant } = MAX_DIGITS[spelling];
  if (wholeDigits > whole || fractionDigits > fraction) return false;
  return (
    wholeDigits + fractionDigits <= significant ||
    numDigits(fractionDigits === 0 ? trimmed({ digits, exponent: 0 }).digits : digits) <= significant
  );
}

/** True if a fraction can end with this digit: it is not zero, or the only one (5.0). */
function endsFraction({ digits, fractionDigits }: NumberPrefix): boolean {
  return fractionDigits === 1 || digits % 10n !== 0n;
}

/** True if the prefix is a number of the range or can become one. */
function reaches(range: Magnitudes, prefix: NumberPrefix): boolean {
  if (isWhole(range, prefix)) return true;
  if (!hasRoom(range, prefix)) return false;
  if (range.spelling === "scientific") return reachesScientific(range, prefix);
  const { phase, digits, wholeDigits, fractionDigits } = prefix;
  const { whole, fraction } = MAX_DIGITS[range.spelling];
  const numLeft = numDigitsLeft(range, prefix);
  switch (phase) {
    case "start":
      return FIRST_DIGITS.some((first) => reaches(range, first));
    case "whole":
      // More digits before the point, then some after it.
      for (let numMore = 0; wholeDigits + numMore <= whole; numMore++)
        if (hasMultiple(range, { digits, exponent: numMore }, Math.min(numLeft, numMore + fraction), false))
          return true;
      return false;
    case "zero":
    case "point":
    case "fraction":
      if (digits === 0n)
        return (phase === "point" && fraction > 0 && isIn(range, ZERO)) || reachesSmall(range, fractionDigits);
      return numLeft > 0 && hasMultiple(range, { digits, exponent: -fractionDigits }, numLeft, phase === "fraction");
    default:
      return false;
  }
}

/** True if the range contains a number that begins with so many zeros after the point, and is not zero. */
function reachesSmall(range: Magnitudes, numZeros: number): boolean {
  const { fraction, significant } = MAX_DIGITS[range.spelling];
  const { low, high } = range;
  // The place of the first digit that is not zero.
  const first = Math.max(numZeros + 1, -leadingPlace(high));
  const last = low.digits === 0n ? fraction : Math.min(fraction, -leadingPlace(low));
  for (let place = first; place <= last; place++) {
    const numLeft = Math.min(significant - 1, fraction - place);
    const grid = { digits: 1n, exponent: -place - numLeft };
    if (hasMultipleIn(range, grid, { digits: 1n, exponent: -place }, { digits: 10n, exponent: -place })) return true;
  }
  return false;
}

const FIRST_DIGITS: readonly NumberPrefix[] = Array.from({ length: 10 }, (_, digit) =>
  extended(START, ZERO_DIGIT + digit)!,
);

/** Returns how many significant digits can follow. */
function numDigitsLeft({ spelling }: Magnitudes, { phase, digits, fractionDigits }: NumberPrefix): number {
  const { significant, fraction } = MAX_DIGITS[spelling];
  const numLeft = Math.max(0, significant - numDigits(digits));
  return phase === "point" || phase === "fraction" ? Math.min(numLeft, fraction - fractionDigits) : numLeft;
}

/**
 * True if the range contains a number that begins with the digits of `least` and has at most `numLeft` more.
 * @param isMore true if the number must be above `least`
 */
function hasMultiple(range: Magnitudes, least: Decimal, numLeft: number, isMore: boolean): boolean {
  const { digits, exponent } = least;
  const grid = { digits: 1n, exponent: exponent - numLeft };
  const from = isMore ? { digits: scaled(least, grid.exponent) + 1n, exponent: grid.exponent } : least;
  return hasMultipleIn(range, grid, from, { digits: digits + 1n, exponent });
}

/** True if the range contains a multiple of `grid` in [from, below), both of which are multiples of it. */
function hasMultipleIn({ low, high, step }: Magnitudes, grid: Decimal, from: Decimal, below: Decimal): boolean {
  const unit = step === null ? grid : leastCommonMultiple(grid, step);
  const exponent = Math.min(low.exponent, high.exponent, grid.exponent, unit.exponent);
  const size = scaled(unit, exponent);
  const multiple = ((larger(scaled(low, exponent), scaled(from, exponent)) + size - 1n) / size) * size;
  return multiple <= scaled(high, exponent) && multiple < scaled(below, exponent);
}

const larger = (a: bigint, b: bigint): bigint => (a > b ? a : b);

function isIn({ low, high, step }: Bounds, value: Decimal): boolean {
  return compare(value, low) >= 0 && compare(value, high) <= 0 && (step === null || isMultiple(value, step));
}

/** Like `reaches`, where numbers are one digit, a fraction and an exponent. */
function reachesScientific(range: Magnitudes, prefix: NumberPrefix): boolean {
  const { phase, digits, wholeDigits, fractionDigits } = prefix;
  if (phase === "start") return FIRST_DIGITS.some((first) => reachesScientific(range, first));
  if (wholeDigits !== 1) return false;
  switch (phase) {
    case "whole":
    case "point":
    case "fraction": {
      const isMore = phase === "point" || (phase === "fraction" && digits % 10n === 0n);
      if (!isMore && exponentsOf(range, prefix) !== null) return true;
      const numLeft = numDigitsLeft(range, prefix);
      return exponentsToTry(range).some((exponent) =>
        hasMultiple(range, { digits, exponent: exponent - fractionDigits }, numLeft, isMore),
      );
    }
    case "e":
    case "minus":
    case "exponent":
      return reachesExponent(range, prefix);
    default:
      return false;
  }
}

/** Returns exponents of which one is right if any is: without a step, all between the first and the last are alike. */
function exponentsToTry({ low, high, step }: Magnitudes): number[] {
  const last = leadingPlace(high);
  const first = Math.max(leadingPlace(low), step === null ? -Infinity : leadingPlace(step));
  if (step === null && last - first > 2) return [last, last - 1, first];
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => last - index);
}

/** True if the exponent, of which some digits may have been read, can be completed. */
function reachesExponent(range: Magnitudes, prefix: NumberPrefix): boolean {
  const exponents = exponentsOf(range, prefix);
  if (exponents === null) return false;
  const { phase, exponent, exponentDigits, isExponentNegative } = prefix;
  if (phase === "e") return true;
  const isWithin = (low: number, high: number): boolean => low <= exponents.high && high >= exponents.low;
  for (let more = 0; more <= MAX_EXPONENT_DIGITS - exponentDigits; more++) {
    const power = Number(10n ** BigInt(more));
    const first = Math.max(1, exponent * power);
    const last = exponent * power + power - 1;
    if (first <= last && (isExponentNegative ? isWithin(-last, -first) : isWithin(first, last))) return true;
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
  if (digits === 0n) return null;
  const at = (exponent: number): Decimal => ({ digits, exponent: exponent - fractionDigits });
  const place = numDigits(digits) - 1 - fractionDigits;
  let last = leadingPlace(high) - place;
  if (compare(at(last), high) > 0) last--;
  let first = leadingPlace(low) - place;
  if (compare(at(first), low) < 0) first++;
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

/** Exact decimal numbers. */

/** digits * 10^exponent */
export interface Decimal {
  readonly digits: bigint;
  readonly exponent: number;
}

export const ZERO: Decimal = { digits: 0n, exponent: 0 };
export const ONE: Decimal = { digits: 1n, exponent: 0 };
/** The largest decimal of 17 digits that parses to a finite double. */
export const LARGEST: Decimal = { digits: 17976931348623158n, exponent: 292 };

/** Returns the decimal that JavaScript prints for the number; JSON documents are taken to contain this one. */
export function decimalOf(value: number): Decimal {
  const [mantissa = "", exponent = "0"] = String(value).split("e");
  const [whole = "", fraction = ""] = mantissa.split(".");
  return trimmed({ digits: BigInt(whole + fraction), exponent: Number(exponent) - fraction.length });
}

/** Returns the text of a number from 0, as JSON.stringify writes it. */
export function textOf(value: Decimal): string {
  const { digits, exponent } = trimmed(value);
  const text = String(digits);
  const place = text.length - 1 + exponent;
  if (place >= 21 || place <= -7) {
    const mantissa = text.length === 1 ? text : `${text[0]}.${text.slice(1)}`;
    return `${mantissa}e${place < 0 ? "" : "+"}${place}`;
  }
  if (exponent >= 0) return text + "0".repeat(exponent);
  return place < 0 ? `0.${text.padStart(-exponent, "0")}` : `${text.slice(0, exponent)}.${text.slice(exponent)}`;
}

/**
 * Returns the smallest decimal of at most 17 digits that parses to a double above `value`, except a tie of two doubles.
 */
export function leastAbove(value: number): Decimal {
  const bits = new BigInt64Array(1);
  const double = new Float64Array(bits.buffer);
  double[0] = value === 0 ? 0 : value;
  bits[0]! += value >= 0 ? 1n : -1n;
  const next = double[0];
  if (next === Infinity) return { digits: 1n, exponent: 400 };
  const low = exactly(value);
  const high = exactly(next);
  const exponent = Math.min(low.exponent, high.exponent);
  const middle = { digits: (scaled(low, exponent) + scaled(high, exponent)) * 5n, exponent: exponent - 1 };
  return nextWithDigits(middle, 17);
}

export function greatestBelow(value: number): Decimal {
  return negated(leastAbove(-value));
}

export const negated = ({ digits, exponent }: Decimal): Decimal => ({ digits: -digits, exponent });

export function compare(a: Decimal, b: Decimal): number {
  const signs =
    Math.sign(Number(a.digits > 0n) - Number(a.digits < 0n)) - Math.sign(Number(b.digits > 0n) - Number(b.digits < 0n));
  if (signs !== 0 || a.digits === 0n) return signs;
  const places = (leadingPlace(a) - leadingPlace(b)) * (a.digits > 0n ? 1 : -1);
  if (places !== 0) return places;
  const exponent = Math.min(a.exponent, b.exponent);
  const difference = scaled(a, exponent) - scaled(b, exponent);
  return difference === 0n ? 0 : difference > 0n ? 1 : -1;
}

/** Returns the power of ten of the first digit. The number must not be zero. */
export function leadingPlace({ digits, exponent }: Decimal): number {
  return numDigits(digits) - 1 + exponent;
}

export function numDigits(digits: bigint): number {
  return (digits < 0n ? -digits : digits).toString().length;
}

/** Returns the number in units of 10^exponent. It must be a multiple of that unit. */
export function scaled(value: Decimal, exponent: number): bigint {
  return value.digits === 0n ? 0n : value.digits * 10n ** BigInt(value.exponent - exponent);
}

/** Returns the smallest positive number that is a multiple of both. */
export function leastCommonMultiple(a: Decimal, b: Decimal): Decimal {
  const exponent = Math.min(a.exponent, b.exponent);
  const [x, y] = [scaled(a, exponent), scaled(b, exponent)];
  return trimmed({ digits: (x / greatestCommonDivisor(x, y)) * y, exponent });
}

export function isMultiple(value: Decimal, of: Decimal): boolean {
  if (value.digits === 0n) return true;
  const exponent = Math.min(value.exponent, of.exponent);
  return scaled(value, exponent) % scaled(of, exponent) === 0n;
}

export function greatestCommonDivisor(a: bigint, b: bigint): bigint {
  while (b !== 0n) [a, b] = [b, a % b];
  return a;
}

/** Removes trailing zeros from the digits. */
export function trimmed({ digits, exponent }: Decimal): Decimal {
  if (digits === 0n) return ZERO;
  while (digits % 10n === 0n) {
    digits /= 10n;
    exponent++;
  }
  return { digits, exponent };
}

/** Returns the exact value of the double, not of the decimal that JavaScript prints for it. */
function exactly(value: number): Decimal {
  let exponent = 0;
  // A double is an integer times a power of two, and doubling it is exact.
  while (!Number.isInteger(value)) {
    value *= 2;
    exponent++;
  }
  return { digits: BigInt(value) * 5n ** BigInt(exponent), exponent: -exponent };
}

/** Returns the next greater number that has at most `most` digits. */
function nextWithDigits({ digits, exponent }: Decimal, most: number): Decimal {
  const excess = Math.max(0, numDigits(digits) - most);
  const unit = 10n ** BigInt(excess);
  const cut = digits / unit;
  const isCutUp = digits < 0n && cut * unit !== digits;
  if (excess > 0) return trimmed({ digits: isCutUp ? cut : cut + 1n, exponent: exponent + excess });
  const more = most - numDigits(digits);
  return trimmed({ digits: digits * 10n ** BigInt(more) + 1n, exponent: exponent - more });
}

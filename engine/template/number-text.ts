/** Decimal texts of float64 numbers as Python writes them. All digits are exact: ties are rounded to even. */

/** Digits after the point, or significant digits, that are supported; a float64 has at most 1074. */
export const MAX_DIGITS = 400;

/** Returns a number like Python's `repr` of a float. */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value < 0 ? "-inf" : "inf";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e16 || size < 1e-4)) return withLongExponent(value.toExponential());
  return Object.is(value, -0) ? "-0.0" : Number.isInteger(value) ? `${value}.0` : String(value);
}

/** Returns the digits of `size` with `numDigits` after the point, as in `%.2f`. @param size finite, at least 0 */
export function fixedText(size: number, numDigits: number): string {
  checkDigits(numDigits);
  const { numerator, denominator } = fractionOf(size);
  const digits = rounded(numerator * 10n ** BigInt(numDigits), denominator)
    .toString()
    .padStart(numDigits + 1, "0");
  const point = digits.length - numDigits;
  return numDigits === 0 ? digits : `${digits.slice(0, point)}.${digits.slice(point)}`;
}

/** Returns the digits of `size` with one before the point, as in `%.2e`. @param size finite, at least 0 */
export function exponentText(size: number, numDigits: number): string {
  const { digits, exponent } = significant(size, numDigits + 1);
  const sign = exponent < 0 ? "-" : "+";
  const point = numDigits === 0 ? "" : ".";
  return `${digits[0]}${point}${digits.slice(1)}e${sign}${String(Math.abs(exponent)).padStart(2, "0")}`;
}

/** Returns the digits of `size` in the shorter of both forms, as in `%.3g`. @param size finite, at least 0 */
export function generalText(size: number, numDigits: number, keepsZeros: boolean): string {
  const precision = Math.max(1, numDigits);
  const { exponent } = significant(size, precision);
  const isFixed = exponent >= -4 && exponent < precision;
  const text = isFixed ? fixedText(size, precision - 1 - exponent) : exponentText(size, precision - 1);
  if (keepsZeros || !text.includes(".")) return text;
  const [mantissa, power] = text.split("e") as [string, string?];
  const short = mantissa.replace(/\.?0+$/, "");
  return power === undefined ? short : `${short}e${power}`;
}

/** Rounds a number to `numDigits` after the point, or to tens if `numDigits` is negative, like Python's `round`. */
export function roundedTo(value: number, numDigits: number): number {
  if (!Number.isFinite(value)) return value;
  const size = Math.abs(value);
  if (numDigits >= 0) return Math.sign(value) * Number(fixedText(size, numDigits));
  checkDigits(-numDigits);
  const { numerator, denominator } = fractionOf(size);
  const unit = 10n ** BigInt(-numDigits);
  return Math.sign(value) * Number(rounded(numerator, denominator * unit) * unit);
}

/** Writes exponents with at least two digits. */
const withLongExponent = (text: string): string => text.replace(/e([+-])(\d)$/, "e$10$2");

function significant(size: number, count: number): { digits: string; exponent: number } {
  checkDigits(count);
  if (size === 0) return { digits: "0".repeat(count), exponent: 0 };
  const { numerator, denominator } = fractionOf(size);
  let exponent = Number(size.toExponential().split("e")[1]);
  for (;;) {
    const shift = count - 1 - exponent;
    const digits = (
      shift >= 0
        ? rounded(numerator * 10n ** BigInt(shift), denominator)
        : rounded(numerator, denominator * 10n ** BigInt(-shift))
    ).toString();
    if (digits.length === count) return { digits, exponent };
    exponent += Math.sign(digits.length - count); // 9.99 was rounded to 10.0, or 1e23 is a little less than 10^23
  }
}

function checkDigits(count: number): void {
  if (count > MAX_DIGITS) throw new RangeError(`more than ${MAX_DIGITS} digits of a number are not supported`);
}

/** @param size finite, at least 0 */
function fractionOf(size: number): { numerator: bigint; denominator: bigint } {
  let whole = size;
  let numHalvings = 0;
  while (!Number.isInteger(whole)) {
    whole *= 2;
    numHalvings++;
  }
  return { numerator: BigInt(whole), denominator: 2n ** BigInt(numHalvings) };
}

/** Divides and rounds to the nearest integer, and to the even one of two. */
function rounded(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator;
  const twice = 2n * (numerator % denominator);
  return twice > denominator || (twice === denominator && quotient % 2n === 1n) ? quotient + 1n : quotient;
}

/** Reads the values of keywords, and refuses those of the wrong kind. */

import { type Decimal, decimalOf, greatestBelow, leastAbove } from "./decimal.js";
import { ALL_NUMBERS, type NumberRange, intersectRanges } from "./numbers.js";
import { type Schema, invalid, shown, unsupported } from "./schema.js";

export type Json = Readonly<Record<string, unknown>>;

export function bound(schema: Schema, range: Partial<NumberRange>): void {
  schema.numbers = schema.numbers.map((known) => intersectRanges(known, { ...ALL_NUMBERS, ...range }));
}

/** Reads `minimum` or `maximum`, beside which draft 4 has a boolean that excludes the bound. */
export function readBound(
  schema: Schema,
  side: "min" | "max",
  value: unknown,
  pointer: string,
  exclusive: unknown,
): void {
  const limit = number(value, pointer);
  if (exclusive === true) readExclusive(schema, side, limit, pointer);
  else bound(schema, { [side]: decimalOf(limit) });
}

export function readExclusive(schema: Schema, side: "min" | "max", value: unknown, pointer: string): void {
  if (typeof value === "boolean") return; // read beside minimum or maximum
  const limit = number(value, pointer);
  bound(schema, side === "min" ? { min: leastAbove(limit) } : { max: greatestBelow(limit) });
}

export function multipleOf(value: unknown, pointer: string): Decimal {
  const step = number(value, pointer);
  if (!(step > 0)) throw invalid(pointer, `${shown(pointer)} is ${step}; it must be above 0.`);
  if (step > Number.MAX_SAFE_INTEGER)
    throw unsupported(pointer, `The multipleOf ${step} at ${shown(pointer)} is not supported; supported: below 2^53.`);
  return decimalOf(step);
}

export function size(value: unknown, pointer: string): number {
  const limit = number(value, pointer);
  if (!Number.isInteger(limit) || limit < 0)
    throw invalid(pointer, `${shown(pointer)} is ${limit}; it must be a non-negative integer.`);
  return limit;
}

export function names(value: unknown, pointer: string): string[] {
  const list = array(value, pointer).map((name) => wellFormed(string(name, pointer), pointer));
  checkUnique(list, pointer);
  return list;
}

export function checkUnique(names: readonly string[], pointer: string): void {
  const known = new Set<string>();
  for (const name of names) {
    if (known.has(name)) throw invalid(pointer, `${shown(pointer)} names ${JSON.stringify(name)} twice.`);
    known.add(name);
  }
}

export function number(value: unknown, pointer: string): number {
  if (typeof value !== "number") throw invalid(pointer, `${shown(pointer)} is ${kindOf(value)}; expected a number.`);
  if (!Number.isFinite(value))
    throw invalid(pointer, `${shown(pointer)} contains a number beyond the range of double precision.`);
  return value;
}

export function boolean(value: unknown, pointer: string): boolean {
  if (typeof value !== "boolean") throw invalid(pointer, `${shown(pointer)} is ${kindOf(value)}; expected a boolean.`);
  return value;
}

export function string(value: unknown, pointer: string): string {
  if (typeof value !== "string") throw invalid(pointer, `${shown(pointer)} is ${kindOf(value)}; expected a string.`);
  return value;
}

export function array(value: unknown, pointer: string): readonly unknown[] {
  if (!Array.isArray(value)) throw invalid(pointer, `${shown(pointer)} is ${kindOf(value)}; expected an array.`);
  return value;
}

export function object(value: unknown, pointer: string): Json {
  if (!isObject(value)) throw invalid(pointer, `${shown(pointer)} is ${kindOf(value)}; expected an object.`);
  return value;
}

export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function kindOf(value: unknown): string {
  return value === null
    ? "null"
    : Array.isArray(value)
      ? "an array"
      : value === undefined
        ? "missing"
        : `a value of type ${typeof value}`;
}

/** Refuses a lone surrogate: answers never contain one, so no answer could satisfy a schema that requires it. */
export function wellFormed(text: string, pointer: string): string {
  if (/[\uD800-\uDFFF]/u.test(text)) throw invalid(pointer, `${shown(pointer)} contains a lone surrogate.`);
  return text;
}

export const escaped = (name: string): string => name.replaceAll("~", "~0").replaceAll("/", "~1");

/**
 * Checks a value against a request schema and throws the first failure as the contract's error (section 9). Fields are
 * checked in the schema's order, arrays by index, unknown fields last. A field that is null counts as absent.
 * Supports the subset of JSON Schema that the request schemas use, and these extensions:
 * - `x-allowed`: describes a pattern in words, for error messages
 * - `x-text`: a lone surrogate is out of range
 * - `x-bits`: 64 is an integer of 64 bits, signed or unsigned; a bigint if a number cannot hold it
 * - `x-no-effect`: values of an unimplemented field that request nothing and are accepted; any other value is an
 *   unsupported parameter
 */

import { isDeepStrictEqual } from "node:util";

import { described, quoted, shortened } from "../../engine/errors.js";
import { isObject, numberAsWritten, type JsonObject } from "../../engine/json.js";
import { isInteger64, MAX_INTEGER_64, MIN_INTEGER_64 } from "../../engine/sampling/index.js";
import { ApiError, type ApiErrorCode } from "./api-error.js";
import { misspelledCharacters, nameHere, nearestName } from "./nearest-name.js";

type JsonType = "null" | "boolean" | "number" | "integer" | "string" | "array" | "object";

export interface JsonSchema {
  readonly type?: JsonType;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly JsonSchema[];
  readonly discriminator?: { readonly propertyName: string };
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly items?: JsonSchema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly propertyNames?: JsonSchema;
  readonly additionalProperties?: boolean | JsonSchema;
  readonly maxProperties?: number;
  readonly default?: unknown;
  readonly description?: string;
  readonly "x-allowed"?: string;
  readonly "x-text"?: boolean;
  readonly "x-bits"?: 64;
  readonly "x-no-effect"?: readonly unknown[];
  /** Name of the field that is implemented in place of this one. */
  readonly "x-instead"?: string;
  /** Set when the field is accepted and has no effect; for the parameter tables. */
  readonly "x-ignored"?: boolean;
  /** Clause of the contract; for the parameter tables. */
  readonly "x-clause"?: string;
  /** Name of the parameter in the library. */
  readonly "x-library"?: string;
}

/**
 * Checks `value` against `schema`.
 *
 * @param path path of the value, `""` for the body itself
 * @param afterField called after each field of this object (not of nested ones) has passed, before the next is checked
 * @param given describes the value in errors
 * @throws ApiError for the first failure
 */
export function checkValue(
  schema: JsonSchema,
  value: unknown,
  path = "",
  afterField?: (name: string) => void,
  given: () => string = () => described(value),
): void {
  const noEffect = schema["x-no-effect"];
  if (noEffect !== undefined) {
    if (noEffect.some((allowed) => isDeepStrictEqual(allowed, value))) return;
    const instead = schema["x-instead"];
    const hint = instead === undefined ? "" : `; ${instead} takes its place`;
    throw failure("unsupported_parameter", schema, path, given(), `is not supported${hint}; it may only be`);
  }
  if (schema.discriminator !== undefined) {
    checkVariant(schema, schema.discriminator.propertyName, value, path);
  } else if (schema.anyOf !== undefined) {
    if (schema.anyOf.some((candidate) => candidate.const !== undefined && candidate.const === value)) return;
    const branch = schema.anyOf.find((candidate) => candidate.const === undefined && hasType(candidate, value));
    if (branch === undefined) throw failure("invalid_type", schema, path, given());
    checkValue(branch, value, path, afterField, given);
  } else {
    if (!hasType(schema, value)) throw failure("invalid_type", schema, path, given());
    if (schema.enum?.includes(value) === false) throw failure("unsupported_value", schema, path, given());
    if (schema["x-bits"] === 64) checkInteger64(schema, value, path, given);
    else if (typeof value === "number") checkNumber(schema, value, path, given);
    else if (typeof value === "string") checkString(schema, value, path);
    else if (Array.isArray(value)) checkArray(schema, value, path);
    else if (isObject(value)) checkObject(schema, value, path, afterField);
  }
}

/** Describes in words what a schema accepts, as a continuation of "must be". */
export function allowedBy(schema: JsonSchema): string {
  const listed = schema["x-no-effect"] ?? schema.enum ?? (schema.const === undefined ? undefined : [schema.const]);
  if (listed !== undefined) return oneOf(listed.map((value) => JSON.stringify(value)));
  if (schema.discriminator !== undefined)
    return `an object whose ${schema.discriminator.propertyName} is ${oneOf(tagsOf(schema).map((tag) => JSON.stringify(tag)))}`;
  if (schema.anyOf !== undefined) return oneOf(schema.anyOf.filter(({ type }) => type !== "null").map(allowedBy));
  switch (schema.type) {
    case "number":
      return `a number${range(schema)}`;
    case "integer":
      if (schema["x-bits"] === 64) return `an integer in ${MIN_INTEGER_64}..${MAX_INTEGER_64}, written in digits`;
      return `an integer${range(schema)}`;
    case "string":
      return schema["x-allowed"] ?? allowedText(schema);
    case "array":
      return `an array${count(schema.minItems ?? 0, schema.maxItems)}${schema.items === undefined ? "" : `, each ${allowedBy(schema.items)}`}`;
    case "object":
      return `an object${count(0, schema.maxProperties, " entries")}`;
    case "boolean":
      return "a boolean";
    default:
      return "any value";
  }
}

/** Returns the error for an unknown field; it suggests a known name if one is meant, and else lists a few. */
export function unknownField(name: string, known: readonly string[], path: string): ApiError {
  const message = `${shortened(path)} is not a known field. ${hintFor(name, known)}`;
  return new ApiError("unknown_parameter", message.trimEnd(), shortened(path));
}

function hintFor(name: string, known: readonly string[]): string {
  const here = nameHere(name, known);
  if (here !== null) return `What it means elsewhere is ${quoted(here)} here.`;
  const nearest = nearestName(name, known, misspelledCharacters(name));
  if (nearest !== null) return `The nearest known name is ${quoted(nearest)}.`;
  if (known.length === 0) return "No field is allowed here.";
  return known.length <= MAX_LISTED_NAMES ? `Known fields: ${known.join(", ")}.` : "";
}

const MAX_LISTED_NAMES = 8;

/** Discriminator values of a schema's variants. */
function tagsOf({ anyOf = [], discriminator }: JsonSchema): unknown[] {
  return anyOf.map((variant) => variant.properties?.[discriminator?.propertyName ?? ""]?.const);
}

function checkVariant(schema: JsonSchema, tag: string, value: unknown, path: string): void {
  if (!isObject(value)) throw failure("invalid_type", schema, path, described(value));
  const tags = tagsOf(schema);
  const tagPath = childPath(path, tag);
  const given = fieldOf(value, tag);
  if (given === null) throw missing({ enum: tags }, tagPath);
  checkValue({ type: "string", enum: tags }, given, tagPath);
  checkObject(schema.anyOf?.[tags.indexOf(given)] ?? {}, value, path);
}

function checkNumber(schema: JsonSchema, value: number, path: string, given: () => string): void {
  const { minimum = -Infinity, maximum = Infinity, exclusiveMinimum = -Infinity } = schema;
  // JSON has no literal for infinity, but 1e999 is parsed as one.
  if (value >= minimum && value <= maximum && value > exclusiveMinimum && Number.isFinite(value)) return;
  throw failure("out_of_range", schema, path, given());
}

function checkInteger64(schema: JsonSchema, value: unknown, path: string, given: () => string): void {
  if (!isInteger64(value)) throw failure("out_of_range", schema, path, given());
}

function checkString(schema: JsonSchema, value: string, path: string): void {
  const { minLength = 0, maxLength = Infinity, pattern } = schema;
  const fits = value.length >= minLength && (value.length <= maxLength || Array.from(value).length <= maxLength);
  if (!fits || (pattern !== undefined && !new RegExp(pattern, "u").test(value))) {
    throw failure("out_of_range", schema, path, described(value));
  }
  const surrogateAt = schema["x-text"] === true ? value.search(/\p{Surrogate}/u) : -1;
  if (surrogateAt >= 0) {
    const given = `a surrogate without its other half at index ${surrogateAt}`;
    throw failure("out_of_range", { ...schema, "x-allowed": "well-formed Unicode" }, path, given);
  }
}

function checkArray(schema: JsonSchema, value: readonly unknown[], path: string): void {
  const { minItems = 0, maxItems = Infinity, items } = schema;
  if (value.length < minItems || value.length > maxItems) throw failure("out_of_range", schema, path, described(value));
  if (items !== undefined)
    for (const [index, item] of value.entries())
      checkValue(items, item, `${path}[${index}]`, undefined, () => describedIn(value, index, item));
}

function checkObject(schema: JsonSchema, value: JsonObject, path: string, afterField?: (name: string) => void): void {
  const {
    properties = {},
    required = [],
    additionalProperties = true,
    propertyNames,
    maxProperties = Infinity,
  } = schema;
  const names = Object.keys(value);
  if (names.length > maxProperties) throw failure("out_of_range", schema, path, `${names.length} entries`);
  for (const [name, property] of Object.entries(properties)) {
    const given = fieldOf(value, name);
    if (given !== null)
      checkValue(property, given, childPath(path, name), undefined, () => describedIn(value, name, given));
    else if (required.includes(name)) throw missing(property, childPath(path, name));
    afterField?.(name);
  }
  if (additionalProperties === true) return;
  for (const name of names) {
    if (Object.hasOwn(properties, name)) continue;
    const namePath = childPath(path, name);
    if (additionalProperties === false) throw unknownField(name, Object.keys(properties), namePath);
    if (propertyNames !== undefined) checkValue(propertyNames, name, namePath);
    checkValue(additionalProperties, value[name], namePath, undefined, () => describedIn(value, name, value[name]));
  }
}

/** Describes an entry of an object or array; a number of a JSON text as it was written there, such as `1e999`. */
function describedIn(container: object, key: string | number, value: unknown): string {
  const written = typeof value === "number" ? numberAsWritten(container, key) : null;
  return written === null ? described(value) : shortened(written);
}

/** Returns a field's value, or null if it is absent. */
function fieldOf(object: JsonObject, name: string): unknown {
  return Object.hasOwn(object, name) ? (object[name] ?? null) : null;
}

function hasType(schema: JsonSchema, value: unknown): boolean {
  if (schema.anyOf !== undefined)
    return schema.discriminator === undefined ? schema.anyOf.some((one) => hasType(one, value)) : isObject(value);
  switch (schema.type) {
    case undefined:
      return true;
    case "null":
      return value === null;
    case "array":
      return Array.isArray(value);
    case "object":
      return isObject(value);
    case "integer":
      if (typeof value === "bigint") return schema["x-bits"] === 64;
      return typeof value === "number" && (Number.isInteger(value) || !Number.isFinite(value));
    default:
      return typeof value === schema.type;
  }
}

const childPath = (path: string, name: string): string => (path === "" ? name : `${path}.${name}`);

const nameOf = (path: string): string => (path === "" ? "The body" : shortened(path));

function failure(code: ApiErrorCode, schema: JsonSchema, path: string, given: string, rule = "must be"): ApiError {
  return new ApiError(
    code,
    `${nameOf(path)} ${rule} ${allowedBy(schema)}. Given: ${given}`,
    path === "" ? null : shortened(path),
  );
}

function missing(schema: JsonSchema, path: string): ApiError {
  const message = `${nameOf(path)} is required and is absent or null. It must be ${allowedBy(schema)}.`;
  return new ApiError("missing_required_parameter", message, path);
}

function oneOf(choices: readonly string[]): string {
  const last = choices.at(-1) ?? "";
  return choices.length < 2 ? last : `${choices.slice(0, -1).join(", ")} or ${last}`;
}

function range({ minimum, maximum, exclusiveMinimum }: JsonSchema): string {
  if (exclusiveMinimum !== undefined)
    return ` more than ${exclusiveMinimum}${maximum === undefined ? "" : ` and at most ${maximum}`}`;
  if (minimum !== undefined && maximum !== undefined) return ` in ${minimum}..${maximum}`;
  return minimum === undefined ? "" : ` of at least ${minimum}`;
}

function count(least: number, most: number | undefined, unit = ""): string {
  if (most !== undefined) return least === 0 ? ` of at most ${most}${unit}` : ` of ${least} to ${most}${unit}`;
  return least === 0 ? "" : ` of at least ${least}${unit}`;
}

function allowedText({ minLength = 0, maxLength }: JsonSchema): string {
  if (maxLength !== undefined) return `a string of at most ${maxLength} characters`;
  return minLength > 0 ? "a non-empty string" : "a string";
}

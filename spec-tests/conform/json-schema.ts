/** Validates JSON values against the schemas that laws use. An unknown keyword is an error. */

export type Schema = boolean | { readonly [keyword: string]: unknown };

/** Describes the first fault of a value and its path, or returns null if the value is valid. */
export function schemaFault(value: unknown, schema: Schema, path = ""): string | null {
  if (schema === true) return null;
  if (schema === false) return `${path || "/"}: nothing is allowed`;
  for (const [keyword, argument] of Object.entries(schema)) {
    const check = KEYWORDS[keyword];
    if (check === undefined) throw new Error(`No check of ${keyword}`);
    const fault = check(value, argument as never, path, schema);
    if (fault !== null) return fault;
  }
  return null;
}

type Check = (
  value: unknown,
  argument: never,
  path: string,
  schema: Readonly<Record<string, unknown>>,
) => string | null;

/** Creates the check of a keyword from a predicate. */
function holds<T>(isValid: (value: unknown, argument: T) => boolean, what: string): Check {
  const fault = (value: unknown, argument: T) =>
    `${JSON.stringify(value)} is not valid against ${what} ${JSON.stringify(argument)}`;
  return (value, argument: T, path) => (isValid(value, argument) ? null : `${path || "/"}: ${fault(value, argument)}`);
}

const isNumber = (value: unknown): value is number => typeof value === "number";
const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const KEYWORDS: Readonly<Record<string, Check>> = {
  type: holds<string | readonly string[]>(
    (value, types) => [types].flat().some((type) => isOfType(value, type as string)),
    "type",
  ),
  enum: holds<readonly unknown[]>((value, values) => values.some((other) => isEqual(value, other)), "enum"),
  const: holds<unknown>((value, other) => isEqual(value, other), "const"),
  minimum: holds<number>((value, bound) => !isNumber(value) || value >= bound, "minimum"),
  maximum: holds<number>((value, bound) => !isNumber(value) || value <= bound, "maximum"),
  // Laws use integer steps only.
  multipleOf: holds<number>((value, step) => !isNumber(value) || value % step === 0, "multipleOf"),
  minLength: holds<number>((value, bound) => typeof value !== "string" || [...value].length >= bound, "minLength"),
  maxLength: holds<number>((value, bound) => typeof value !== "string" || [...value].length <= bound, "maxLength"),
  pattern: holds<string>(
    (value, pattern) => typeof value !== "string" || new RegExp(pattern, "u").test(value),
    "pattern",
  ),
  minItems: holds<number>((value, bound) => !Array.isArray(value) || value.length >= bound, "minItems"),
  maxItems: holds<number>((value, bound) => !Array.isArray(value) || value.length <= bound, "maxItems"),
  uniqueItems: holds<boolean>(
    (value, isUnique) => !isUnique || !Array.isArray(value) || areUnique(value),
    "uniqueItems",
  ),
  required: holds<readonly string[]>(
    (value, names) => !isObject(value) || names.every((name) => Object.hasOwn(value, name)),
    "required",
  ),
  not: holds<Schema>((value, schema) => schemaFault(value, schema) !== null, "not"),
  contains: holds<Schema>(
    (value, schema) => !Array.isArray(value) || value.some((item) => schemaFault(item, schema) === null),
    "contains",
  ),
  anyOf: holds<readonly Schema[]>(
    (value, schemas) => schemas.some((schema) => schemaFault(value, schema) === null),
    "anyOf",
  ),
  items: (value, schema: Schema, path) =>
    firstFault(Array.isArray(value) ? value.map((item, i) => [item, schema, `${path}/${i}`]) : []),
  properties: (value, schemas: Readonly<Record<string, Schema>>, path) => {
    if (!isObject(value)) return null;
    const present = Object.entries(schemas).filter(([name]) => Object.hasOwn(value, name));
    return firstFault(present.map(([name, schema]) => [value[name], schema, `${path}/${name}`]));
  },
  additionalProperties: (value, schema: Schema, path, { properties = {} }) => {
    if (!isObject(value)) return null;
    const additional = Object.keys(value).filter((name) => !Object.hasOwn(properties as object, name));
    return firstFault(additional.map((name) => [value[name], schema, `${path}/${name}`]));
  },
};

function areUnique(items: readonly unknown[]): boolean {
  return items.every((item, i) => !items.slice(0, i).some((other) => isEqual(item, other)));
}

function firstFault(parts: readonly (readonly [unknown, Schema, string])[]): string | null {
  for (const [value, schema, path] of parts) {
    const fault = schemaFault(value, schema, path);
    if (fault !== null) return fault;
  }
  return null;
}

function isOfType(value: unknown, type: string): boolean {
  if (type === "array") return Array.isArray(value);
  if (type === "object") return isObject(value);
  if (type === "integer") return Number.isInteger(value);
  return type === "null" ? value === null : typeof value === type;
}

function isEqual(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((item, i) => isEqual(item, b[i]));
  if (!isObject(a) || !isObject(b)) return a === b;
  const names = Object.keys(a);
  return (
    names.length === Object.keys(b).length && names.every((name) => Object.hasOwn(b, name) && isEqual(a[name], b[name]))
  );
}

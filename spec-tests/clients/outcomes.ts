/** What becomes of each field of a request, according to the request schema. */

import { CHAT_REQUEST_SCHEMAS } from "../../src/openai/chat-request.js";
import { checkValue, type JsonSchema } from "../../src/openai/check.js";
import type { Dialect } from "../../src/openai/dialects.js";
import { effectOf } from "../../src/openai/parameter-table.js";

/** `no effect`: the field is accepted, and cannot have an effect here. `refused`: the request is refused. */
export type Outcome = "refused" | "honored" | "no effect";

/** From the outcome that counts most, where one path has several. */
const RANKS: readonly Outcome[] = ["refused", "honored", "no effect"];

/** Returns the outcome of each field of the body and of its objects, by path without array indexes. */
export function outcomesOf(body: object, dialect: Dialect): Map<string, Outcome> {
  return combined(fieldsOf(CHAT_REQUEST_SCHEMAS[dialect], body, ""));
}

/** Keeps, for each path, the outcome that counts most. */
export function combined(outcomes: Iterable<readonly [string, Outcome]>): Map<string, Outcome> {
  const result = new Map<string, Outcome>();
  for (const [path, outcome] of outcomes) {
    const before = result.get(path) ?? outcome;
    result.set(path, RANKS.indexOf(outcome) < RANKS.indexOf(before) ? outcome : before);
  }
  return result;
}

function fieldsOf(schema: JsonSchema, object: object, prefix: string): [string, Outcome][] {
  return Object.entries(object).flatMap(([name, value]) => {
    const path = `${prefix}${name}`;
    const field = schema.properties?.[name];
    if (field === undefined) return [[path, "refused"]];
    const inside = value === null ? [] : fieldsInside(field, value, path);
    const isRefused = !accepts(field, value) && !inside.some(([, outcome]) => outcome === "refused");
    return [[path, isRefused ? "refused" : effectOf(field) === "honored" ? "honored" : "no effect"], ...inside];
  });
}

/** Returns the fields of the objects in a value, unless its schema leaves their names open. */
function fieldsInside(schema: JsonSchema, value: unknown, path: string): [string, Outcome][] {
  if (effectOf(schema) !== "honored") return [];
  const chosen = variantFor(schema, value);
  if (Array.isArray(value)) return value.flatMap((item) => fieldsInside(chosen.items ?? {}, item, `${path}[]`));
  return chosen.properties === undefined ? [] : fieldsOf(chosen, value as object, `${path}.`);
}

/** Returns the variant of a union that a value belongs to, or the schema itself if it is no union. */
function variantFor(schema: JsonSchema, value: unknown): JsonSchema {
  const { anyOf, discriminator } = schema;
  if (anyOf === undefined) return schema;
  if (discriminator === undefined) return variantFor(anyOf.find((each) => accepts(each, value)) ?? {}, value);
  const { propertyName: tag } = discriminator;
  const given = (value as Record<string, unknown>)[tag];
  return anyOf.find(({ properties }) => properties?.[tag]?.const === given) ?? {};
}

function accepts(schema: JsonSchema, value: unknown): boolean {
  try {
    checkValue(schema, value, "field");
    return true;
  } catch {
    return false;
  }
}

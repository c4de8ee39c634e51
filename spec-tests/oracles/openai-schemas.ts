/** OpenAI's published schemas, from the assets folder, and conversion of answers to the form that they describe. */

import { readFileSync } from "node:fs";

import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";

import { asset } from "../fixtures/assets.js";

/** Returns validators of OpenAI's published schemas by name, for objects without vendor fields. */
export function openAiSchemas(): (name: string) => ValidateFunction {
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  ajv.addSchema(closed(JSON.parse(readFileSync(asset("openai-openapi-subset.json"), "utf8"))) as object, "openai");
  return (name) => ajv.compile({ $ref: `openai#/components/schemas/${name}` });
}

/** Removes the fields that OpenAI's schemas do not have. */
export function withoutVendorFields(value: object): unknown {
  return JSON.parse(JSON.stringify(value), (key, field: unknown) => (key === "reasoning_content" ? undefined : field));
}

/** Converts OpenAPI 3.0's `nullable` to JSON Schema, and disallows additional properties of objects. */
function closed(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(closed);
  if (typeof node !== "object" || node === null) return node;
  const { nullable, ...rest } = Object.fromEntries(Object.entries(node).map(([key, value]) => [key, closed(value)]));
  const isObjectSchema = rest["type"] === "object" && "properties" in rest && !("additionalProperties" in rest);
  const schema = isObjectSchema ? { ...rest, additionalProperties: false } : rest;
  return nullable === true ? { anyOf: [schema, { type: "null" }] } : schema;
}

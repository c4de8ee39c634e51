/** OpenAI's published schemas, from the assets folder, and answers in the form they describe. */

import { readFileSync } from "node:fs";

import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";

import { asset } from "../fixtures/assets.js";

/** Validators of OpenAI's published schemas, by name, for objects without the vendor's fields. */
export function openAiSchemas(): (name: string) => ValidateFunction {
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  ajv.addSchema(closed(JSON.parse(readFileSync(asset("openai-openapi-subset.json"), "utf8"))) as object, "openai");
  return (name) => ajv.compile({ $ref: `openai#/components/schemas/${name}` });
}

/** An answer as OpenAI would give it. */
export function withoutVendorFields(value: object): unknown {
  return JSON.parse(JSON.stringify(value), (key, field: unknown) => (key === "reasoning_content" ? undefined : field));
}

/** OpenAPI 3.0's `nullable` as JSON Schema has it, and objects without fields that they do not name. */
function closed(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(closed);
  if (typeof node !== "object" || node === null) return node;
  const { nullable, ...rest } = Object.fromEntries(Object.entries(node).map(([key, value]) => [key, closed(value)]));
  const isObjectSchema = rest["type"] === "object" && "properties" in rest && !("additionalProperties" in rest);
  const schema = isObjectSchema ? { ...rest, additionalProperties: false } : rest;
  return nullable === true ? { anyOf: [schema, { type: "null" }] } : schema;
}

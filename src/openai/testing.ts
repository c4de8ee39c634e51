/** What the tests of the wire share: minimal bodies, refusals as data, and arbitraries made from the schemas. */

import fc from "fast-check";

import { ApiError } from "./api-error.js";
import { CHAT_REQUEST_SCHEMAS, parseChatRequest, type ChatRequest } from "./chat-request.js";
import type { JsonSchema } from "./check.js";
import type { Dialect } from "./dialects.js";
import type { ChatCompletion, ChatCompletionChunk } from "./response-schema.js";

export const USER = { role: "user", content: "Hi" } as const;

export const bodyWith = (fields: object = {}): Record<string, unknown> => ({ model: "m", messages: [USER], ...fields });

export const parse = (fields: object = {}, dialect: Dialect = "ppio"): ChatRequest => parseChatRequest(bodyWith(fields), dialect);

export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly param: string | null;
}

/** The error a call throws, which must be an ApiError. */
export function errorOf(call: () => unknown): ApiError {
  try {
    call();
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

export function refusalOf(call: () => unknown): Refusal {
  const { status, code, param, message } = errorOf(call);
  if (message === "") throw new Error("an error without a message");
  return { status, code, param };
}

export const refused = (code: string, param: string | null): Refusal => ({ status: 400, code, param });

/** Bodies that the schema of a dialect takes; some fields still do not go together. */
export function chatBodies(dialect: Dialect): fc.Arbitrary<Record<string, unknown>> {
  return valuesOf(CHAT_REQUEST_SCHEMAS[dialect]) as fc.Arbitrary<Record<string, unknown>>;
}

/** Values that a schema takes. */
export function valuesOf(schema: JsonSchema): fc.Arbitrary<unknown> {
  const listed = schema["x-no-effect"] ?? schema.enum ?? (schema.const === undefined ? undefined : [schema.const]);
  if (listed !== undefined) return fc.constantFrom(...listed);
  if (schema.anyOf !== undefined) return fc.oneof(...schema.anyOf.map(valuesOf));
  const { minimum = -1000, maximum = 1000, exclusiveMinimum, minItems = 0, maxItems = 3, minLength = 0, maxLength = 12 } = schema;
  switch (schema.type) {
    case "null":
      return fc.constant(null);
    case "boolean":
      return fc.boolean();
    case "integer":
      return fc.integer({ min: Math.max(minimum, -(2 ** 31)), max: Math.min(maximum, 2 ** 31 - 1) });
    case "number":
      return fc.double({ min: exclusiveMinimum ?? minimum, minExcluded: exclusiveMinimum !== undefined, max: maximum, noNaN: true });
    case "string":
      if (schema.pattern !== undefined) return fc.stringMatching(new RegExp(schema.pattern, "u"));
      return fc.string({ minLength, maxLength: Math.min(maxLength, 12), unit: "grapheme" });
    case "array":
      return fc.array(valuesOf(schema.items ?? {}), { minLength: minItems, maxLength: Math.min(maxItems, minItems + 3) });
    case "object":
      return objectsOf(schema);
    default:
      return fc.jsonValue();
  }
}

function objectsOf({ properties, required = [], propertyNames, additionalProperties }: JsonSchema): fc.Arbitrary<unknown> {
  if (properties === undefined) {
    const values = typeof additionalProperties === "object" ? additionalProperties : {};
    return fc.dictionary(valuesOf(propertyNames ?? { type: "string" }) as fc.Arbitrary<string>, valuesOf(values), { maxKeys: 3, noNullPrototype: true });
  }
  const fields = Object.fromEntries(Object.entries(properties).map(([name, schema]) => [name, valuesOf(schema)]));
  return fc.record(fields, { requiredKeys: [...required], noNullPrototype: true });
}

/** Usage as the contract holds it equal: all but what was found computed already. */
export function withoutCachedTokens(usage: object | undefined): object | undefined {
  return usage === undefined ? undefined : { ...usage, prompt_tokens_details: undefined };
}

/** What a client that knows nothing of us makes of a stream. */
export function concatenated(chunks: readonly ChatCompletionChunk[], separateReasoning: boolean): Partial<ChatCompletion> {
  const choices: ChatCompletion["choices"] = [];
  let usage: ChatCompletion["usage"] | null = null;
  for (const chunk of chunks) {
    usage = chunk.usage ?? usage;
    for (const { index, delta: part, logprobs, finish_reason: finishReason } of chunk.choices) {
      const reasoning = separateReasoning ? { reasoning_content: null } : {};
      const choice = (choices[index] ??= { index, message: { role: "assistant", content: "", ...reasoning, refusal: null }, logprobs: null, finish_reason: "stop" });
      choice.message.content += part.content ?? "";
      if (part.reasoning_content !== undefined) choice.message.reasoning_content = (choice.message.reasoning_content ?? "") + part.reasoning_content;
      if (logprobs !== null) choice.logprobs = { content: [...(choice.logprobs?.content ?? []), ...logprobs.content], refusal: null };
      if (finishReason !== null) choice.finish_reason = finishReason;
    }
  }
  return { choices, ...(usage === null ? {} : { usage }) };
}

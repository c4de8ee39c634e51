/**
 * The body of a chat completion, checked (contract, sections 1, 2, 2.1, 9) and resolved by the dialect: what leaves
 * here is ready for the engine, and nothing behind it looks at the body or at the dialect again.
 */

import type { ChatMessage, ChatOptions, GenerationOptions, ResponseFormat } from "../../engine/index.js";
import { PARAMETER_NAMES, parameterIn, PARAMETERS, type ParameterKind } from "../../engine/sampling/index.js";
import { ApiError } from "./api-error.js";
import { checkValue, type JsonSchema } from "./check.js";
import { DIALECTS, type Dialect, type StreamUsage } from "./dialects.js";
import type { WireMessage } from "./messages.js";
import { chatRequestSchema, type ChatRequestBody } from "./request-schema.js";

export interface ChatRequest {
  /** As requested: an id or an alias. */
  readonly model: string;
  readonly messages: readonly ChatMessage[];
  readonly n: number;
  readonly stream: boolean;
  readonly streamUsage: StreamUsage;
  readonly separateReasoning: boolean;
  readonly logprobs: boolean;
  /** Where the request has its JSON schema, for errors about it. */
  readonly schemaPath: string;
  /** For the engine, next to `messages`; can be cloned to another thread. */
  readonly options: Omit<ChatOptions, "messages">;
}

/** The table of each dialect. */
export const CHAT_REQUEST_SCHEMAS: Readonly<Record<Dialect, JsonSchema>> = {
  ppio: chatRequestSchema("ppio") as JsonSchema,
  openai: chatRequestSchema("openai") as JsonSchema,
};

/** @throws ApiError for the first failure in the contract's order */
export function parseChatRequest(body: unknown, dialect: Dialect): ChatRequest {
  checkValue(CHAT_REQUEST_SCHEMAS[dialect], body, "", (name) => checkConflict(name, body as ChatRequestBody));
  return resolve(body as ChatRequestBody, dialect);
}

/** The engine's form of messages that were checked. */
export function engineMessages(messages: readonly WireMessage[]): ChatMessage[] {
  return messages.map((message) => ({ ...message, content: message.content ?? null }));
}

/** Fields that do not go together, told at the one that depends on the other. */
function checkConflict(name: string, body: ChatRequestBody): void {
  if (name === "max_completion_tokens") {
    const { max_tokens: first = null, max_completion_tokens: second = null } = body;
    if (first === null || second === null || first === second) return;
    throw conflict(
      "max_tokens",
      `max_tokens is ${first} and max_completion_tokens is ${second}; given both, they must be equal.`,
    );
  }
  if (name === "stream_options" && isGiven(body.stream_options) && body.stream !== true) {
    throw conflict(name, "stream_options is given without stream: true, which it needs.");
  }
  if (name === "top_logprobs" && isGiven(body.top_logprobs) && body.logprobs !== true) {
    throw conflict(name, `top_logprobs is ${body.top_logprobs} without logprobs: true, which it needs.`);
  }
  if (name === "response_format" && body.response_format?.type === "json_schema") {
    const { json_schema: named, schema } = body.response_format;
    if (isGiven(named) && isGiven(schema))
      throw conflict(
        "response_format.schema",
        "response_format.schema is given beside response_format.json_schema; one of them is needed.",
      );
    if (isGiven(named) || isGiven(schema)) return;
    throw new ApiError(
      "missing_required_parameter",
      "response_format.json_schema is required and is absent or null, and so is response_format.schema.",
      "response_format.json_schema",
    );
  }
}

function resolve(body: ChatRequestBody, dialect: Dialect): ChatRequest {
  const { format, schemaPath } = responseFormat(body.response_format ?? { type: "text" });
  const parameters = fromTable(body, dialect);
  // TS-1.7: where the answer is structured, content is to parse, whatever the dialect.
  const separateReasoning =
    body.separate_reasoning ?? (format.type === "text" ? parameters.separateReasoning === true : true);
  return {
    model: body.model,
    messages: engineMessages(body.messages),
    n: parameters.n ?? 1,
    stream: body.stream ?? false,
    streamUsage: streamUsage(body, dialect),
    separateReasoning,
    logprobs: parameters.logprobs ?? false,
    schemaPath,
    options: {
      ...parameters,
      maxTokens: body.max_completion_tokens ?? body.max_tokens ?? null,
      responseFormat: format,
      separateReasoning,
    },
  };
}

/** The parameters of the engine's table, under its names; those that are not given keep the engine's defaults. */
function fromTable(body: ChatRequestBody, dialect: Dialect): GenerationOptions {
  const values = PARAMETER_NAMES.map((name) => {
    const { kind, default: fallback, offBelow = -Infinity } = parameterIn(name, dialect);
    const given = body[PARAMETERS[name].wire] ?? null;
    if (given === null) return [name, typeof fallback === "function" ? null : fallback];
    return [name, typeof given === "number" && given < offBelow ? null : fromWire(kind, given)];
  });
  return Object.fromEntries(values) as GenerationOptions;
}

/** @param value checked against the wire's schema of this kind */
function fromWire({ type }: ParameterKind, value: unknown): unknown {
  if (type === "texts" && typeof value === "string") return [value];
  if (type === "biases") return new Map(Object.entries(value as object).map(([id, bias]) => [Number(id), bias]));
  return value;
}

function responseFormat(given: NonNullable<ChatRequestBody["response_format"]>): {
  readonly format: ResponseFormat;
  readonly schemaPath: string;
} {
  if (given.type === "json_schema" && isGiven(given.json_schema)) {
    const format = { type: "json_schema", schema: given.json_schema?.schema } as const;
    return { format, schemaPath: "response_format.json_schema.schema" };
  }
  const isPlain = given.type === "text" || given.type === "regex";
  return {
    format: isPlain ? given : { type: given.type, schema: given.schema },
    schemaPath: "response_format.schema",
  };
}

function streamUsage(body: ChatRequestBody, dialect: Dialect): StreamUsage {
  const asked = body.stream_options?.include_usage ?? null;
  if (asked === null) return DIALECTS[dialect].streamUsage;
  return asked ? "last_chunk" : "none";
}

const isGiven = (value: unknown): boolean => value !== undefined && value !== null;

const conflict = (param: string, message: string): ApiError => new ApiError("unsupported_value", message, param);

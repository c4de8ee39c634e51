/**
 * The body of a chat completion, checked (contract, sections 1, 2, 2.1, 9) and resolved by the dialect: what leaves
 * here is ready for the engine, and nothing behind it looks at the body or at the dialect again.
 */

import type { ChatMessage, ChatOptions, ResponseFormat } from "../../engine/index.js";
import { ApiError } from "./api-error.js";
import { checkValue, type JsonSchema } from "./check.js";
import { DIALECTS, type Dialect, type DialectColumn, type StreamUsage } from "./dialects.js";
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
  /** For the engine, next to `messages`; can be cloned to another thread. */
  readonly options: Omit<ChatOptions, "messages">;
}

/** The table of each dialect. */
export const CHAT_REQUEST_SCHEMAS: Readonly<Record<Dialect, JsonSchema>> = {
  ppio: chatRequestSchema(DIALECTS.ppio) as JsonSchema,
  openai: chatRequestSchema(DIALECTS.openai) as JsonSchema,
};

/** @throws ApiError for the first failure in the contract's order */
export function parseChatRequest(body: unknown, dialect: Dialect): ChatRequest {
  checkValue(CHAT_REQUEST_SCHEMAS[dialect], body, "", (name) => checkConflict(name, body as ChatRequestBody));
  return resolve(body as ChatRequestBody, DIALECTS[dialect]);
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

function resolve(body: ChatRequestBody, dialect: DialectColumn): ChatRequest {
  const format = responseFormat(body.response_format ?? { type: "text" });
  const { ofText, ofStructured } = dialect.separateReasoning;
  const separateReasoning = body.separate_reasoning ?? (format.type === "text" ? ofText : ofStructured);
  const n = body.n ?? 1;
  const logprobs = body.logprobs ?? false;
  const topK = body.top_k ?? null;
  return {
    model: body.model,
    messages: engineMessages(body.messages),
    n,
    stream: body.stream ?? false,
    streamUsage: streamUsage(body, dialect),
    separateReasoning,
    logprobs,
    options: {
      maxTokens: body.max_completion_tokens ?? body.max_tokens ?? null,
      n,
      seed: body.seed ?? null,
      frequencyPenalty: body.frequency_penalty ?? null,
      presencePenalty: body.presence_penalty ?? null,
      repetitionPenalty: body.repetition_penalty ?? null,
      stop: typeof body.stop === "string" ? [body.stop] : (body.stop ?? null),
      includeStop: body.include_stop_str_in_output ?? dialect.includeStop,
      temperature: body.temperature ?? null,
      topP: body.top_p ?? null,
      topK: topK === null || topK < 1 ? null : topK,
      minP: body.min_p ?? null,
      logitBias: new Map(Object.entries(body.logit_bias ?? {}).map(([id, bias]) => [Number(id), bias])),
      logprobs,
      topLogprobs: body.top_logprobs ?? null,
      responseFormat: format,
      separateReasoning,
      contextLengthExceededBehavior: body.context_length_exceeded_behavior ?? dialect.contextLengthExceededBehavior,
    },
  };
}

function responseFormat(format: NonNullable<ChatRequestBody["response_format"]>): ResponseFormat {
  if (format.type === "text" || format.type === "regex") return format;
  if (format.type === "json_schema" && isGiven(format.json_schema)) {
    return {
      type: "json_schema",
      schema: format.json_schema?.schema,
      schemaPath: "response_format.json_schema.schema",
    };
  }
  return { type: format.type, schema: format.schema };
}

function streamUsage(body: ChatRequestBody, dialect: DialectColumn): StreamUsage {
  const asked = body.stream_options?.include_usage ?? null;
  if (asked === null) return dialect.streamUsage;
  return asked ? "last_chunk" : "none";
}

const isGiven = (value: unknown): boolean => value !== undefined && value !== null;

const conflict = (param: string, message: string): ApiError => new ApiError("unsupported_value", message, param);

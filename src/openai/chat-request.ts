/**
 * Checks the body of a chat completion (contract, sections 1, 2, 2.1, 9) and applies the defaults of the dialect. The
 * result is ready for the engine: later stages need neither the body nor the dialect.
 */

import type { ChatMessage, ChatOptions, GenerationOptions, ResponseFormat } from "../../engine/index.js";
import { PARAMETER_NAMES, parameterIn, PARAMETERS, type ParameterKind } from "../../engine/sampling/index.js";
import { described, EngineError } from "../../engine/errors.js";
import { checkVariables } from "../../engine/template/index.js";
import { ApiError, apiErrorOf } from "./api-error.js";
import { checkValue, type JsonSchema } from "./check.js";
import { DIALECTS, type Dialect, type StreamUsage } from "./dialects.js";
import type { WireMessage } from "./messages.js";
import { chatRequestSchema, NO_LIMIT, type ChatRequestBody } from "./request-schema.js";
import { wireName, type SentNames } from "./wire-names.js";

export interface ChatRequest {
  /** Model name as requested: an id or an alias. */
  readonly model: string;
  readonly messages: readonly ChatMessage[];
  readonly n: number;
  readonly maxTokens: number | null;
  readonly topLogprobs: number;
  readonly stream: boolean;
  readonly streamUsage: StreamUsage;
  readonly separateReasoning: boolean;
  readonly logprobs: boolean;
  /** True if the answer may contain calls of tools. */
  readonly mayCall: boolean;
  /** For error messages. */
  readonly sentNames: SentNames;
  /** Engine options other than `messages`; can be structured-cloned to another thread. */
  readonly options: Omit<ChatOptions, "messages">;
}

/** Request body schema of each dialect. */
export const CHAT_REQUEST_SCHEMAS: Readonly<Record<Dialect, JsonSchema>> = {
  ppio: chatRequestSchema("ppio") as JsonSchema,
  openai: chatRequestSchema("openai") as JsonSchema,
};

/** @throws ApiError for the first failure in the contract's order */
export function parseChatRequest(body: unknown, dialect: Dialect): ChatRequest {
  checkValue(CHAT_REQUEST_SCHEMAS[dialect], body, "", (name) => checkConflict(name, body as ChatRequestBody));
  return resolve(body as ChatRequestBody, dialect);
}

/** Converts checked messages to the engine's form. */
export function engineMessages(messages: readonly WireMessage[]): ChatMessage[] {
  return messages.map((message) => ({ ...message, content: message.content ?? null }));
}

/** @throws ApiError for a variable that a request cannot set, or has a value that is not allowed */
export function checkTemplateVariables(variables: unknown): void {
  try {
    checkVariables(variables);
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    throw apiErrorOf(error.renamed((path) => wireName(path, undefined)));
  }
}

/** Refuses fields that contradict each other; runs when the dependent field has been checked. */
function checkConflict(name: string, body: ChatRequestBody): void {
  if (name === "max_completion_tokens") {
    const { max_tokens: first = null, max_completion_tokens: second = null } = body;
    if (first === null || second === null || first === second) return;
    throw conflict(
      "max_tokens",
      `max_tokens is ${first} and max_completion_tokens is ${second}; if both are given, they must be equal.`,
    );
  }
  if (name === "stream_options" && body.stream_options?.include_usage === true && body.stream !== true) {
    throw conflict(name, "stream_options.include_usage needs stream: true.");
  }
  if (name === "chat_template_kwargs") {
    checkTemplateVariables(body.chat_template_kwargs);
    const { reasoning_effort: first = null, chat_template_kwargs: variables } = body;
    const second = variables?.["reasoning_effort"] ?? null;
    if (first === null || second === null || first === second) return;
    throw conflict(
      "reasoning_effort",
      `reasoning_effort is ${JSON.stringify(first)} and chat_template_kwargs.reasoning_effort is ${described(second)}; if both are given, they must be equal.`,
    );
  }
  if (name === "top_logprobs" && isGiven(body.top_logprobs) && body.logprobs !== true) {
    throw conflict(name, `top_logprobs needs logprobs: true. Given: ${body.top_logprobs} without it`);
  }
  if (name === "response_format" && body.response_format?.type === "json_schema") {
    const { json_schema: named, schema } = body.response_format;
    if (isGiven(named) && isGiven(schema))
      throw conflict(
        "response_format.schema",
        "response_format.schema and response_format.json_schema are both given; exactly one is allowed.",
      );
    if (isGiven(named) || isGiven(schema)) return;
    throw new ApiError(
      "missing_required_parameter",
      "response_format.json_schema and response_format.schema are absent or null; one of them is required.",
      "response_format.json_schema",
    );
  }
}

function resolve(body: ChatRequestBody, dialect: Dialect): ChatRequest {
  const { format, schema } = responseFormat(body.response_format ?? { type: "text" });
  const parameters = fromTable(body, dialect);
  const asked = body.max_completion_tokens ?? body.max_tokens ?? null;
  const maxTokens = asked === NO_LIMIT ? null : asked;
  // TS-1.7: content must parse as the requested format, so structured output separates reasoning in both dialects.
  const separateReasoning =
    body.separate_reasoning ?? (format.type === "text" ? parameters.separateReasoning === true : true);
  return {
    model: body.model,
    messages: engineMessages(body.messages),
    n: parameters.n ?? 1,
    maxTokens,
    topLogprobs: parameters.topLogprobs ?? 0,
    stream: body.stream ?? false,
    streamUsage: streamUsage(body, dialect),
    separateReasoning,
    logprobs: parameters.logprobs ?? false,
    mayCall: (body.tools ?? []).length > 0 && body.tool_choice !== "none",
    sentNames: { schema, maxTokens: limitName(body) },
    options: {
      ...parameters,
      maxTokens,
      templateVariables: templateVariables(body),
      responseFormat: format,
      tools: body.tools ?? null,
      toolChoice: body.tool_choice ?? null,
      parallelToolCalls: body.parallel_tool_calls ?? null,
      separateReasoning,
    },
  };
}

function limitName({ max_tokens: first, max_completion_tokens: second }: ChatRequestBody): SentNames["maxTokens"] {
  return !isGiven(first) && isGiven(second) ? "max_completion_tokens" : "max_tokens";
}

function templateVariables({ reasoning_effort: effort, chat_template_kwargs: given }: ChatRequestBody) {
  if (!isGiven(effort) && !isGiven(given)) return null;
  return { ...given, ...(isGiven(effort) ? { reasoning_effort: effort } : {}) };
}

/** Reads the parameters of the engine's table, under the engine's names; absent ones get the dialect's defaults. */
function fromTable(body: ChatRequestBody, dialect: Dialect): GenerationOptions {
  const values = PARAMETER_NAMES.map((name) => {
    const { kind, default: fallback, offBelow = -Infinity } = parameterIn(name, dialect);
    const given = body[PARAMETERS[name].wire] ?? null;
    if (given === null) return [name, typeof fallback === "function" ? null : fallback];
    return [name, typeof given === "number" && given < offBelow ? null : fromWire(kind, given)];
  });
  return Object.fromEntries(values) as GenerationOptions;
}

/** @param value already checked against the request schema of this kind */
function fromWire({ type }: ParameterKind, value: unknown): unknown {
  if (type === "texts" && typeof value === "string") return [value];
  if (type === "biases") return new Map(Object.entries(value as object).map(([id, bias]) => [Number(id), bias]));
  return value;
}

function responseFormat(given: NonNullable<ChatRequestBody["response_format"]>): {
  readonly format: ResponseFormat;
  /** Path of the JSON schema in the body. */
  readonly schema: SentNames["schema"];
} {
  if (given.type === "json_schema" && isGiven(given.json_schema)) {
    const format = { type: "json_schema", schema: given.json_schema?.schema } as const;
    return { format, schema: "response_format.json_schema.schema" };
  }
  const isJson = given.type === "json_object" || given.type === "json_schema";
  return {
    format: isJson ? { type: given.type, schema: given.schema } : given,
    schema: "response_format.schema",
  };
}

function streamUsage(body: ChatRequestBody, dialect: Dialect): StreamUsage {
  const asked = body.stream_options?.include_usage ?? null;
  if (asked === null) return DIALECTS[dialect].streamUsage;
  return asked ? "last_chunk" : "none";
}

const isGiven = (value: unknown): boolean => value !== undefined && value !== null;

const conflict = (param: string, message: string): ApiError => new ApiError("unsupported_value", message, param);

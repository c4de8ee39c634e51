/** The OpenAPI 3.1 document of the running server. Its request schemas are those that requests are checked against. */

import { ERROR_CODES } from "./api-error.js";
import { CHAT_REQUEST_SCHEMAS } from "./chat-request.js";
import type { Dialect } from "./dialects.js";
import { chatCompletionChunkSchema, chatCompletionSchema, errorSchema } from "./response-schema.js";
import { detokenizeSchema, tokenizeSchema } from "./tokenize-request.js";

export interface OpenApiOptions {
  readonly dialect: Dialect;
  readonly version: string;
  /** Where every route of the API is served; the first is the canonical one. */
  readonly prefixes?: readonly string[];
}

export function openApiDocument({
  dialect,
  version,
  prefixes = ["/v1", "/v3/openai", "/openai/v1"],
}: OpenApiOptions): object {
  return {
    openapi: "3.1.0",
    info: { title: "Touchstone", version, description: `Chat completions, offline. Dialect: ${dialect}.` },
    servers: prefixes.map((url) => ({ url })),
    security: [{ bearer: [] }, {}],
    paths: PATHS,
    components: {
      securitySchemes: { bearer: { type: "http", scheme: "bearer" } },
      schemas: { CreateChatCompletionRequest: CHAT_REQUEST_SCHEMAS[dialect], ...SCHEMAS },
      responses: Object.fromEntries(
        Object.entries(statuses()).map(([status, codes]) => [`Error${status}`, errorResponse(codes)]),
      ),
    },
  };
}

const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` });
const json = (schema: object) => ({ "application/json": { schema } });
const ok = (description: string, content: object) => ({ 200: { description, content } });
const body = (name: string) => ({ required: true, content: json(ref(name)) });
const list = (items: object) => ({ type: "array", items });
const object = (properties: Record<string, object>) => ({
  type: "object",
  properties,
  required: Object.keys(properties),
});

const SCHEMAS = {
  CreateChatCompletionResponse: chatCompletionSchema,
  CreateChatCompletionStreamResponse: chatCompletionChunkSchema,
  ErrorResponse: errorSchema,
  TokenizeRequest: tokenizeSchema,
  TokenizeResponse: object({ token_ids: list({ type: "integer" }), tokens: list({ type: "string" }) }),
  DetokenizeRequest: detokenizeSchema,
  DetokenizeResponse: object({ text: { type: "string" } }),
  Model: object({
    id: { type: "string" },
    object: { const: "model" },
    created: { type: "integer" },
    owned_by: { type: "string" },
  }),
  ListModelsResponse: object({ object: { const: "list" }, data: list(ref("Model")) }),
};

/** Errors that any route can answer with, by status. */
function statuses(): Record<string, string[]> {
  const codes: Record<string, string[]> = {};
  for (const [code, { status }] of Object.entries(ERROR_CODES)) (codes[status] ??= []).push(code);
  return codes;
}

const errorResponse = (codes: readonly string[]) => ({
  description: `Codes: ${codes.join(", ")}.`,
  content: json(ref("ErrorResponse")),
});

const errors = (...among: number[]) =>
  Object.fromEntries(among.map((status) => [status, { $ref: `#/components/responses/Error${status}` }]));

const generationErrors = errors(400, 401, 404, 408, 413, 415, 429, 500, 503);
const lookupErrors = errors(401, 404, 500);

/** Routes outside the API's prefixes. */
const rootServer = [{ url: "/" }];

const PATHS = {
  "/chat/completions": {
    post: {
      operationId: "createChatCompletion",
      requestBody: body("CreateChatCompletionRequest"),
      responses: {
        200: {
          description:
            "The answer; with `stream: true`, server-sent events, each with a chunk, and `[DONE]` at the end.",
          headers: {
            "x-touchstone-seed": {
              description: "The seed used: send it to get the same answer.",
              schema: { type: "string" },
            },
            "x-request-id": { schema: { type: "string" } },
          },
          content: {
            ...json(ref("CreateChatCompletionResponse")),
            "text/event-stream": { schema: ref("CreateChatCompletionStreamResponse") },
          },
        },
        ...generationErrors,
      },
    },
  },
  "/models": {
    get: {
      operationId: "listModels",
      responses: { ...ok("The served models.", json(ref("ListModelsResponse"))), ...lookupErrors },
    },
  },
  "/models/{id}": {
    get: {
      operationId: "retrieveModel",
      parameters: [
        {
          name: "id",
          in: "path",
          required: true,
          schema: { type: "string" },
          description: "May have a slash, raw or as %2F.",
        },
      ],
      responses: { ...ok("One model.", json(ref("Model"))), ...lookupErrors },
    },
  },
  "/tokenize": {
    post: {
      operationId: "tokenize",
      requestBody: body("TokenizeRequest"),
      responses: { ...ok("Token ids, and what each one is.", json(ref("TokenizeResponse"))), ...generationErrors },
    },
  },
  "/detokenize": {
    post: {
      operationId: "detokenize",
      requestBody: body("DetokenizeRequest"),
      responses: { ...ok("The text.", json(ref("DetokenizeResponse"))), ...generationErrors },
    },
  },
  "/capabilities": {
    get: {
      operationId: "getCapabilities",
      responses: {
        ...ok("Every parameter and what this server does with it.", json({ type: "object" })),
        ...lookupErrors,
      },
    },
  },
  "/healthz": {
    servers: rootServer,
    get: { operationId: "healthz", security: [], responses: { 200: { description: "The process is alive." } } },
  },
  "/readyz": {
    servers: rootServer,
    get: {
      operationId: "readyz",
      security: [],
      responses: { 200: { description: "Requests are taken." }, ...errors(503) },
    },
  },
  "/metrics": {
    servers: rootServer,
    get: {
      operationId: "metrics",
      responses: ok("In Prometheus' text format.", { "text/plain": { schema: { type: "string" } } }),
    },
  },
  "/openapi.json": {
    servers: rootServer,
    get: { operationId: "openapi", responses: ok("This document.", json({ type: "object" })) },
  },
};

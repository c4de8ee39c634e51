/** Builds the OpenAPI 3.1 document of the running server. Requests are checked against the same request schemas. */

import { ERROR_CODES } from "./api-error.js";
import { CHAT_REQUEST_SCHEMAS } from "./chat-request.js";
import { apiPrefixes, type Dialect } from "./dialects.js";
import { chatCompletionChunkSchema, chatCompletionSchema, errorSchema } from "./response-schema.js";
import { detokenizeSchema, tokenizeSchema } from "./tokenize-request.js";

export interface OpenApiOptions {
  /** The forced dialect of all paths; null if the path determines the dialect. */
  readonly dialect: Dialect | null;
  readonly version: string;
}

export function openApiDocument({ dialect, version }: OpenApiOptions): object {
  const places = apiPrefixes(dialect);
  const dialects = [...new Set(places.map((place) => place.dialect))];
  const apiPaths = places.flatMap((place) =>
    Object.entries(apiPathsOf(place.dialect, (id) => (place === places[0] ? { operationId: id } : {}))).map(
      ([path, item]) => [place.prefix + path, item],
    ),
  );
  return {
    openapi: "3.1.0",
    info: {
      title: "Touchstone",
      version,
      description: "Offline chat completions. The path determines the request format.",
    },
    servers: [{ url: "/" }],
    security: [{ bearer: [] }, {}],
    paths: { ...Object.fromEntries(apiPaths), ...ROOT_PATHS },
    components: {
      securitySchemes: { bearer: { type: "http", scheme: "bearer" } },
      schemas: {
        ...Object.fromEntries(dialects.map((name) => [requestName(name), CHAT_REQUEST_SCHEMAS[name]])),
        ...SCHEMAS,
      },
      responses: Object.fromEntries(
        Object.entries(statuses()).map(([status, codes]) => [`Error${status}`, errorResponse(codes)]),
      ),
    },
  };
}

const requestName = (dialect: Dialect): string =>
  dialect === "openai" ? "CreateChatCompletionRequest" : "CreateChatCompletionRequestPpio";

const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` });
const json = (schema: object) => ({ "application/json": { schema } });
const DATE_HEADER = {
  "x-touchstone-date": {
    description:
      "The date that the chat template got. Send it as `chat_template_kwargs.date` to get the same prompt again.",
    schema: { type: "string", format: "date" },
  },
};
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

/** Groups all error codes by HTTP status. */
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

const generationErrors = errors(400, 401, 403, 404, 408, 413, 415, 429, 500, 501, 503);
const lookupErrors = errors(400, 401, 403, 404, 500);

/** @param named returns the operation id for the first path only, because operation ids must be unique */
const apiPathsOf = (dialect: Dialect, named: (id: string) => object): Record<string, object> => ({
  "/chat/completions": {
    post: {
      ...named("createChatCompletion"),
      requestBody: body(requestName(dialect)),
      responses: {
        200: {
          description: "The answer. With `stream: true`: server-sent events, one per chunk, and `[DONE]` at the end.",
          headers: {
            "x-touchstone-seed": {
              description: "The seed used. Send it as `seed` to get the same answer again.",
              schema: { type: "string" },
            },
            ...DATE_HEADER,
            "x-touchstone-schema-notes": {
              description:
                "Remarks on the JSON schema of the answer, as a JSON array of texts in ASCII; absent if there are none.",
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
      ...named("listModels"),
      responses: { ...ok("The served models.", json(ref("ListModelsResponse"))), ...lookupErrors },
    },
  },
  "/models/{id}": {
    get: {
      ...named("retrieveModel"),
      parameters: [
        {
          name: "id",
          in: "path",
          required: true,
          schema: { type: "string" },
          description: "Model id or alias. A slash in it may be raw or encoded as %2F.",
        },
      ],
      responses: { ...ok("One model.", json(ref("Model"))), ...lookupErrors },
    },
  },
  "/tokenize": {
    post: {
      ...named("tokenize"),
      requestBody: body("TokenizeRequest"),
      responses: {
        200: {
          description: "The token ids and the text of each token.",
          headers: DATE_HEADER,
          content: json(ref("TokenizeResponse")),
        },
        ...generationErrors,
      },
    },
  },
  "/detokenize": {
    post: {
      ...named("detokenize"),
      requestBody: body("DetokenizeRequest"),
      responses: { ...ok("The text.", json(ref("DetokenizeResponse"))), ...generationErrors },
    },
  },
  "/capabilities": {
    get: {
      ...named("getCapabilities"),
      responses: {
        ...ok("Every parameter, with the values this server accepts and the effect.", json({ type: "object" })),
        ...lookupErrors,
      },
    },
  },
});

const ROOT_PATHS = {
  "/": {
    get: {
      operationId: "home",
      security: [],
      responses: ok("A page for people: what runs here, and links.", { "text/html": { schema: { type: "string" } } }),
    },
  },
  "/healthz": {
    get: { operationId: "healthz", security: [], responses: { 200: { description: "The process is alive." } } },
  },
  "/readyz": {
    get: {
      operationId: "readyz",
      security: [],
      responses: { 200: { description: "The server accepts requests." }, ...errors(503) },
    },
  },
  "/metrics": {
    get: {
      operationId: "metrics",
      responses: ok("Metrics in the Prometheus text format.", { "text/plain": { schema: { type: "string" } } }),
    },
  },
  "/openapi.json": {
    get: { operationId: "openapi", responses: ok("This document.", json({ type: "object" })) },
  },
};

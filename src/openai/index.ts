/**
 * The wire format of the contract (docs/SPEC.md): request parsing and validation, response and error objects.
 * Independent of HTTP.
 */

export { ApiError, apiErrorOf, RETRY_SOON, type ApiErrorCode } from "./api-error.js";
export { capabilities } from "./capabilities.js";
export { parseChatRequest, type ChatRequest } from "./chat-request.js";
export { apiPrefixes, DIALECT_NAMES, type Dialect } from "./dialects.js";
export { parseJson } from "./json.js";
export { nearestName } from "./nearest-name.js";
export { openApiDocument } from "./openapi.js";
export { parameterTableMarkdown } from "./parameter-table.js";
export { chatCompletion, ChunkWriter, logprobEntry, wireUsage } from "./response.js";
export type { ChatCompletion, ChatCompletionChunk } from "./response-schema.js";
export { schemaNotesHeader } from "./schema-notes.js";
export { parseDetokenizeRequest, parseTokenizeRequest } from "./tokenize-request.js";
export { wireName, type SentNames } from "./wire-names.js";

/**
 * The wire format of the contract (docs/SPEC.md): request parsing and validation, response and error objects.
 * Independent of HTTP.
 */

export {
  ApiError,
  apiErrorOf,
  RETRY_SOON,
  type ApiErrorCode,
  type ApiErrorOptions,
  type ErrorBody,
  type ErrorType,
} from "./api-error.js";
export { capabilities, type CapabilitiesOptions } from "./capabilities.js";
export { parseChatRequest, type ChatRequest } from "./chat-request.js";
export { apiPrefixes, DIALECT_NAMES, type Dialect, type StreamUsage } from "./dialects.js";
export { parseJson } from "./json.js";
export { nearestName } from "./nearest-name.js";
export { openApiDocument, type OpenApiOptions } from "./openapi.js";
export { parameterTableMarkdown } from "./parameter-table.js";
export { chatCompletion, ChunkWriter, logprobEntry, wireUsage, type ResponseContext } from "./response.js";
export type { ChatCompletion, ChatCompletionChunk } from "./response-schema.js";
export {
  parseDetokenizeRequest,
  parseTokenizeRequest,
  type DetokenizeRequest,
  type TokenizeRequest,
} from "./tokenize-request.js";
export { wireName } from "./wire-names.js";

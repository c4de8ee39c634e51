/** Request bodies of the tokenize and detokenize routes. */

import { Type, type Static } from "typebox";

import type { ChatMessage } from "../../engine/index.js";
import { ApiError } from "./api-error.js";
import { engineMessages } from "./chat-request.js";
import { checkValue, type JsonSchema } from "./check.js";
import { WIRE_LIMITS } from "./limits.js";
import { messagesSchema, optional, text } from "./messages.js";

export interface TokenizeRequest {
  readonly model: string;
  /** Raw text, or messages to render with the chat template. */
  readonly input: { readonly text: string } | { readonly messages: readonly ChatMessage[] };
}

export interface DetokenizeRequest {
  readonly model: string;
  readonly tokenIds: readonly number[];
}

export const tokenizeSchema = Type.Object(
  { model: Type.String(), text: optional(text()), messages: optional(messagesSchema()) },
  { additionalProperties: false, description: "Either `text` or `messages`." },
);

export const detokenizeSchema = Type.Object(
  {
    model: Type.String(),
    token_ids: Type.Array(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }), {
      maxItems: WIRE_LIMITS.maxDetokenizeIds,
    }),
  },
  { additionalProperties: false },
);

/** @throws ApiError for the first failure, in the schema's order */
export function parseTokenizeRequest(body: unknown): TokenizeRequest {
  checkValue(tokenizeSchema as JsonSchema, body);
  const { model, text = null, messages = null } = body as Static<typeof tokenizeSchema>;
  if (text !== null && messages !== null) {
    throw new ApiError(
      "unsupported_value",
      "messages and text are both given; only one of them is allowed.",
      "messages",
    );
  }
  if (text !== null) return { model, input: { text } };
  if (messages !== null) return { model, input: { messages: engineMessages(messages) } };
  throw new ApiError(
    "missing_required_parameter",
    "text and messages are absent or null; one of them is required.",
    "text",
  );
}

/** @throws ApiError for the first failure, in the schema's order */
export function parseDetokenizeRequest(body: unknown): DetokenizeRequest {
  checkValue(detokenizeSchema as JsonSchema, body);
  const { model, token_ids: tokenIds } = body as Static<typeof detokenizeSchema>;
  return { model, tokenIds };
}

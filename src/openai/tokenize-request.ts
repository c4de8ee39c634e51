/** Request bodies of the tokenize and detokenize routes. */

import { Type, type Static } from "typebox";

import type { ChatMessage } from "../../engine/index.js";
import { ApiError } from "./api-error.js";
import { checkTemplateVariables, engineMessages } from "./chat-request.js";
import { checkValue, type JsonSchema } from "./check.js";
import { WIRE_LIMITS } from "./limits.js";
import { messagesSchema, optional, text } from "./messages.js";
import { templateVariablesSchema } from "./request-schema.js";

export interface TokenizeRequest {
  readonly model: string;
  /** Raw text, or messages to render with the chat template. */
  readonly input:
    | { readonly text: string }
    | { readonly messages: readonly ChatMessage[]; readonly templateVariables: Record<string, unknown> | null };
}

export interface DetokenizeRequest {
  readonly model: string;
  readonly tokenIds: readonly number[];
}

export const tokenizeSchema = Type.Object(
  {
    model: Type.String(),
    text: optional(text()),
    messages: optional(messagesSchema()),
    chat_template_kwargs: templateVariablesSchema(),
  },
  {
    additionalProperties: false,
    description: "Either `text` or `messages`, which `chat_template_kwargs` may go with.",
  },
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
  const { model, text = null, messages = null, chat_template_kwargs } = body as Static<typeof tokenizeSchema>;
  const templateVariables = chat_template_kwargs ?? null;
  checkTemplateVariables(templateVariables);
  if (text !== null && messages !== null) {
    throw new ApiError(
      "unsupported_value",
      "messages and text are both given; only one of them is allowed.",
      "messages",
    );
  }
  if (messages !== null) return { model, input: { messages: engineMessages(messages), templateVariables } };
  if (text === null)
    throw new ApiError(
      "missing_required_parameter",
      "text and messages are absent or null; one of them is required.",
      "text",
    );
  if (templateVariables !== null)
    throw new ApiError(
      "unsupported_value",
      "chat_template_kwargs needs messages: text is encoded without the chat template.",
      "chat_template_kwargs",
    );
  return { model, input: { text } };
}

/** @throws ApiError for the first failure, in the schema's order */
export function parseDetokenizeRequest(body: unknown): DetokenizeRequest {
  checkValue(detokenizeSchema as JsonSchema, body);
  const { model, token_ids: tokenIds } = body as Static<typeof detokenizeSchema>;
  return { model, tokenIds };
}

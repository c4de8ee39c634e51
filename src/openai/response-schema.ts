/** Schemas of responses (contract, section 8): OpenAI's schema with `reasoning_content` added. */

import { Type, type Static, type TSchema } from "typebox";

const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

const alternative = {
  token: Type.String({ description: "The token's bytes as text; U+FFFD replaces incomplete characters." }),
  logprob: Type.Number({ maximum: 0 }),
  bytes: Type.Array(Type.Integer({ minimum: 0, maximum: 255 })),
};

const logprobEntry = Type.Object({ ...alternative, top_logprobs: Type.Array(Type.Object(alternative)) });

const choiceLogprobs = nullable(Type.Object({ content: Type.Array(logprobEntry), refusal: Type.Null() }));

const finishReason = Type.Enum(["stop", "length", "tool_calls"], { type: "string" });

const toolCall = Type.Object({
  id: Type.String(),
  type: Type.Literal("function"),
  function: Type.Object({
    name: Type.String(),
    arguments: Type.String({ description: "The JSON text of an object." }),
  }),
});

/** Id, type and name are in the first piece of a call. */
const toolCallDelta = Type.Object({
  index: Type.Integer({ minimum: 0 }),
  id: Type.Optional(Type.String()),
  type: Type.Optional(Type.Literal("function")),
  function: Type.Object({ name: Type.Optional(Type.String()), arguments: Type.String() }),
});

const index = Type.Integer({ minimum: 0 });

const usage = Type.Object({
  prompt_tokens: Type.Integer(),
  completion_tokens: Type.Integer(),
  total_tokens: Type.Integer(),
  prompt_tokens_details: Type.Object({ cached_tokens: Type.Integer() }),
  completion_tokens_details: Type.Object({ reasoning_tokens: Type.Integer() }),
});

const envelope = {
  id: Type.String(),
  created: Type.Integer({ description: "Unix time in seconds." }),
  model: Type.String({ description: "The model name as requested." }),
  system_fingerprint: Type.String({ description: "Model hash, numerics profile and version." }),
};

export const chatCompletionSchema = Type.Object({
  ...envelope,
  object: Type.Literal("chat.completion"),
  choices: Type.Array(
    Type.Object({
      index,
      message: Type.Object({
        role: Type.Literal("assistant"),
        content: nullable(Type.String({ description: "null: nothing but calls of tools." })),
        reasoning_content: Type.Optional(nullable(Type.String({ description: "Only with `separate_reasoning`." }))),
        refusal: Type.Null(),
        tool_calls: Type.Optional(Type.Array(toolCall)),
      }),
      logprobs: choiceLogprobs,
      finish_reason: finishReason,
    }),
  ),
  usage,
});

export const chatCompletionChunkSchema = Type.Object({
  ...envelope,
  object: Type.Literal("chat.completion.chunk"),
  choices: Type.Array(
    Type.Object({
      index,
      delta: Type.Object({
        role: Type.Optional(Type.Literal("assistant")),
        content: Type.Optional(nullable(Type.String())),
        reasoning_content: Type.Optional(Type.String()),
        tool_calls: Type.Optional(Type.Array(toolCallDelta)),
      }),
      logprobs: choiceLogprobs,
      finish_reason: nullable(finishReason),
    }),
  ),
  usage: Type.Optional(nullable(usage)),
});

export const errorSchema = Type.Object({
  error: Type.Object({
    message: Type.String(),
    type: Type.String(),
    param: nullable(Type.String()),
    code: Type.String(),
  }),
});

export type ChatCompletion = Static<typeof chatCompletionSchema>;
export type ChatCompletionChunk = Static<typeof chatCompletionChunkSchema>;
export type ChoiceLogprobs = Static<typeof choiceLogprobs>;
export type LogprobEntry = Static<typeof logprobEntry>;
export type WireUsage = Static<typeof usage>;

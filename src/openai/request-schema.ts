/**
 * The one table of request parameters (contract, section 2): validation, types, the OpenAPI document, the
 * capabilities route and the documentation's table are read from it. Its order is the order of failures.
 */

import { Type, type Static, type TSchema } from "typebox";

import { FORMATS, SCHEMA_KEYWORDS } from "../../engine/grammar/index.js";
import { LIMITS } from "../../engine/limits.js";
import type { DialectColumn } from "./dialects.js";
import { messagesSchema, onlyThese, optional, text } from "./messages.js";

export type ChatRequestBody = Static<ReturnType<typeof chatRequestSchema>>;

export function chatRequestSchema(dialect: DialectColumn) {
  const range = { minimum: -2, maximum: 2 };
  const unit = { minimum: 0, maximum: 1 };
  return Type.Object(
    {
      model: Type.String({ description: "A served id or an alias of one." }),
      messages: messagesSchema(),
      max_tokens: optional(Type.Integer({ minimum: 1 }), {
        description: "Tokens of each answer, at most; what the context leaves if not given.",
      }),
      max_completion_tokens: optional(Type.Integer({ minimum: 1 }), {
        description: "Another name of `max_tokens`; given both, they must be equal.",
      }),
      stream: optional(Type.Boolean(), {
        default: false,
        description: "Answer in server-sent events as the text is made.",
      }),
      stream_options: optional(streamOptions(), { description: "Only with `stream: true`." }),
      n: optional(Type.Integer({ minimum: 1, maximum: LIMITS.choicesMax }), {
        default: 1,
        description: "Choices to draw. Choice i is the same whatever n is.",
      }),
      seed: optional(Type.Integer({ minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER }), {
        description: "The same seed gives the same answer. One is drawn if not given; `x-touchstone-seed` names it.",
      }),
      frequency_penalty: optional(Type.Number(range), {
        default: 0,
        description: "Subtracted from a token's logit for each time it was generated.",
      }),
      presence_penalty: optional(Type.Number(range), {
        default: 0,
        description: "Subtracted once from the logit of a token that was generated.",
      }),
      repetition_penalty: optional(Type.Number({ exclusiveMinimum: 0, maximum: 2 }), {
        default: 1,
        description: "Divides positive logits of tokens of prompt and answer, multiplies negative ones.",
      }),
      stop: optional(
        Type.Union([stopSequence(), Type.Array(stopSequence(), { minItems: 1, maxItems: LIMITS.stopSequencesMax })]),
        {
          description: "Generation ends where one of these completes in the answer.",
        },
      ),
      temperature: optional(Type.Number({ minimum: 0, maximum: 2 }), { default: 1, description: "0 is greedy." }),
      top_p: optional(Type.Number(dialect.topP), {
        description: "Keep the likeliest tokens that together reach this share; 1 is off.",
      }),
      top_k: optional(Type.Integer(dialect.topK), {
        description: "Keep this many of the likeliest tokens; values below 1, where allowed, are off.",
      }),
      min_p: optional(Type.Number(unit), {
        description: "Keep tokens at least this likely, relative to the likeliest.",
      }),
      logit_bias: optional(logitBias(), { description: "Token ids and what is added to their logits." }),
      logprobs: optional(Type.Boolean(), {
        default: false,
        description: "Report the log-probability of every generated token.",
      }),
      top_logprobs: optional(Type.Integer({ minimum: 0, maximum: LIMITS.topLogprobsMax }), {
        default: 0,
        description: "And those of the likeliest tokens at each position. Needs `logprobs: true`.",
      }),
      response_format: optional(responseFormat(), {
        default: { type: "text" },
        description: "What the answer is, behind the reasoning.",
      }),
      separate_reasoning: optional(Type.Boolean(), {
        default: dialect.separateReasoning.ofText,
        description:
          "Give reasoning in `reasoning_content`, apart from the answer. `true` with a `response_format` other than `text`, unless given.",
      }),
      user: optional(Type.String(), ACCEPTED),
      metadata: optional(
        Type.Unsafe<Record<string, string>>({ type: "object", additionalProperties: { type: "string" } }),
        ACCEPTED,
      ),
      service_tier: optional(Type.String({ enum: ["auto", "default", "flex", "scale", "priority", "fast"] }), ACCEPTED),
      prompt_cache_key: optional(Type.String(), ACCEPTED),
      safety_identifier: optional(Type.String({ maxLength: 64 }), ACCEPTED),
      ...notBuilt(),
      include_stop_str_in_output: optional(Type.Boolean(), {
        default: dialect.includeStop,
        description: "Whether the stop sequence stays in the text.",
      }),
      context_length_exceeded_behavior: optional(Type.Enum(["truncate", "error"], { type: "string" }), {
        default: dialect.contextLengthExceededBehavior,
        description: "Where prompt and max_tokens exceed the context: lower max_tokens, or refuse.",
      }),
    },
    { additionalProperties: false },
  );
}

const ACCEPTED = { description: "Accepted; no effect.", "x-ignored": true };

const streamOptions = () =>
  Type.Object(
    {
      include_usage: optional(Type.Boolean(), {
        description: "true: usage comes on a last chunk of its own. false: it does not come.",
      }),
      include_obfuscation: Type.Optional(noEffect(false)),
    },
    { additionalProperties: false },
  );

const stopSequence = () => Type.String({ minLength: 1, "x-text": true });

const logitBias = () =>
  Type.Unsafe<Record<string, number>>({
    type: "object",
    maxProperties: LIMITS.logitBiasEntriesMax,
    propertyNames: {
      type: "string",
      pattern: "^(0|[1-9][0-9]{0,14})$",
      "x-allowed": 'keyed by token ids, such as "17"',
    },
    additionalProperties: { type: "number", minimum: -100, maximum: 100 },
  });

const closed = { additionalProperties: false } as const;

/** That `json_schema` has its schema in one of its two places is looked at where fields are held against each other. */
const responseFormat = () =>
  Type.Union(
    [
      Type.Object({ type: Type.Literal("text") }, closed),
      Type.Object({ type: Type.Literal("json_object"), schema: optional(jsonSchema()) }, closed),
      Type.Object(
        { type: Type.Literal("json_schema"), json_schema: optional(namedSchema()), schema: optional(jsonSchema()) },
        closed,
      ),
      Type.Object({ type: Type.Literal("regex"), regex: text() }, closed),
    ],
    { discriminator: { propertyName: "type" } },
  );

const namedSchema = () =>
  Type.Object(
    {
      name: Type.String({ pattern: "^[A-Za-z0-9_-]{1,64}$", "x-allowed": "1 to 64 of A-Z, a-z, 0-9, _ and -" }),
      schema: jsonSchema(),
      strict: optional(Type.Boolean(), { description: "The schema is kept to, whatever it is." }),
      description: optional(Type.String(), ACCEPTED),
    },
    closed,
  );

const jsonSchema = () =>
  Type.Union([Type.Unsafe<object>({ type: "object" }), Type.Boolean()], {
    description: `A JSON schema, draft 2020-12. Keywords: ${keywords("enforced")}; annotations: ${keywords("annotation")}. Formats enforced: ${FORMATS.filter(
      ({ status }) => status === "enforced",
    )
      .map(({ format }) => format)
      .join(", ")}. Others are refused; unknown formats are annotations.`,
  });

const keywords = (wanted: "enforced" | "annotation"): string =>
  SCHEMA_KEYWORDS.filter(({ status }) => status === wanted)
    .map(({ keyword }) => keyword)
    .join(", ");

/** What OpenAI documents and this server does not build, with the values that ask for nothing. */
const notBuilt = () => ({
  modalities: Type.Optional(noEffect(["text"])),
  verbosity: Type.Optional(noEffect("medium")),
  reasoning_effort: Type.Optional(noEffect("medium")),
  web_search_options: Type.Optional(noEffect()),
  audio: Type.Optional(noEffect()),
  store: Type.Optional(noEffect(false)),
  moderation: Type.Optional(noEffect()),
  prediction: Type.Optional(noEffect()),
  tools: Type.Optional(noEffect([])),
  tool_choice: Type.Optional(noEffect("none")),
  parallel_tool_calls: Type.Optional(noEffect(true)),
  function_call: Type.Optional(noEffect("none")),
  functions: Type.Optional(noEffect([])),
  prompt_cache_options: Type.Optional(noEffect()),
  prompt_cache_retention: Type.Optional(noEffect()),
});

function noEffect(...values: unknown[]): TSchema {
  return Type.Unsafe<unknown>({ description: "Not built.", ...onlyThese(null, ...values) });
}

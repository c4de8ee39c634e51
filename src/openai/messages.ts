/** The schemas of messages (contract, section 2.1): one variant for each role. */

import { Type, type Static, type TSchema } from "typebox";

/** Annotations of a field for the generated documents. */
export type FieldNotes = {
  readonly default?: unknown;
  readonly description?: string;
  readonly "x-ignored"?: boolean;
  readonly "x-clause"?: string;
  readonly "x-library"?: string;
};

/** Schema of a field that may be absent or null; both mean "not given". */
export const optional = <T extends TSchema>(schema: T, notes: FieldNotes = {}) =>
  Type.Optional(Type.Union([schema, Type.Null()], notes));

const closed = { additionalProperties: false } as const;

/** Schema of text that reaches the tokenizer. */
export const text = () => Type.String({ "x-text": true });

const content = <T extends TSchema>(part: T) =>
  Type.Union([text(), Type.Array(Type.Union([part], { discriminator: { propertyName: "type" } }), { minItems: 1 })], {
    description: "A string, or an array of text parts, which are joined with newlines.",
  });

const NO_EFFECT = { description: "Accepted; no effect.", "x-ignored": true } as const;

/** Fields of all messages and parts that change nothing. */
const echoedAnywhere = () => ({
  id: optional(Type.String(), NO_EFFECT),
  cache_control: optional(Type.Unsafe<object>({ type: "object" }), NO_EFFECT),
});

const annotations = () => optional(Type.Array(Type.Unknown()), NO_EFFECT);

const textPart = () =>
  Type.Object(
    {
      type: Type.Literal("text"),
      text: text(),
      ...echoedAnywhere(),
      refusal: echoed<never>(),
      annotations: annotations(),
      role: optional(Type.String(), NO_EFFECT),
    },
    closed,
  );

const NAME = "^[A-Za-z0-9_-]{1,64}$";
const NAME_IN_WORDS = "1 to 64 of A-Z, a-z, 0-9, _ and -";

const name = () =>
  optional(Type.String({ pattern: NAME, "x-allowed": NAME_IN_WORDS }), {
    description: "Passed to the chat template; no effect if the template does not use it.",
  });

const plainMessage = <const R extends string>(role: R) =>
  Type.Object({ role: Type.Literal(role), content: content(textPart()), name: name(), ...echoedAnywhere() }, closed);

/** Schema of a response field that clients send back in the history; only the listed values are accepted. */
const echoed = <T>(...values: T[]) => Type.Optional(Type.Unsafe<T | null>(onlyThese(null, ...values)));

/** Schema of an unimplemented field: accepts only the values that request nothing. */
export const onlyThese = (...values: unknown[]) => ({ enum: values, "x-no-effect": values });

/** Fields of an answer sent back. Some clients put them into the parts of the message. */
const answerFields = () => ({
  reasoning_content: optional(text(), { description: "Passed to the chat template." }),
  ...echoedAnywhere(),
  refusal: echoed<never>(),
  annotations: annotations(),
  parsed: optional(Type.Unknown(), NO_EFFECT),
  provider_specific_fields: optional(Type.Unsafe<object>({ type: "object" }), NO_EFFECT),
  audio: echoed<never>(),
  function_call: echoed<never>(),
});

const assistantPart = () =>
  Type.Object(
    {
      type: Type.Literal("text"),
      text: text(),
      ...answerFields(),
      tool_calls: optional(Type.Array(Type.Unsafe<object>({ type: "object" })), {
        description: "Copies of the message's calls, by id; no effect.",
        "x-ignored": true,
      }),
      role: optional(Type.String(), NO_EFFECT),
    },
    closed,
  );

const id = () => Type.String({ minLength: 1, maxLength: 256, "x-text": true });

const call = () =>
  Type.Object(
    {
      id: id(),
      type: Type.Enum(["function"], { type: "string" }),
      function: Type.Object(
        {
          name: Type.String({ pattern: NAME, "x-allowed": NAME_IN_WORDS }),
          arguments: Type.String({ "x-text": true, description: "The JSON text of an object." }),
          parsed_arguments: optional(Type.Unknown(), NO_EFFECT),
        },
        closed,
      ),
      index: optional(Type.Integer(), NO_EFFECT),
    },
    closed,
  );

const toolMessage = () =>
  Type.Object(
    {
      role: Type.Literal("tool"),
      content: content(textPart()),
      tool_call_id: optional(id(), { description: "Id of the call that is answered." }),
      name: name(),
      ...echoedAnywhere(),
    },
    closed,
  );

const assistantMessage = () =>
  Type.Object(
    {
      role: Type.Literal("assistant"),
      content: optional(content(assistantPart())),
      name: name(),
      ...answerFields(),
      tool_calls: optional(Type.Array(call()), { description: "Each is answered by one tool message that follows." }),
    },
    closed,
  );

export const messagesSchema = (notes: FieldNotes = {}) =>
  Type.Array(
    Type.Union(
      [plainMessage("system"), plainMessage("developer"), plainMessage("user"), assistantMessage(), toolMessage()],
      { discriminator: { propertyName: "role" } },
    ),
    { minItems: 1, description: "The conversation. `developer` is rendered as `system`.", ...notes },
  );

export type WireMessage = Static<ReturnType<typeof messagesSchema>>[number];

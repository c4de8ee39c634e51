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

const content = () =>
  Type.Union(
    [text(), Type.Array(Type.Union([textPart()], { discriminator: { propertyName: "type" } }), { minItems: 1 })],
    {
      description: "A string, or an array of text parts, which are joined with newlines.",
    },
  );

const textPart = () => Type.Object({ type: Type.Literal("text"), text: text() }, closed);

const name = () =>
  optional(Type.String({ pattern: "^[A-Za-z0-9_-]{1,64}$", "x-allowed": "1 to 64 of A-Z, a-z, 0-9, _ and -" }), {
    description: "Passed to the chat template; no effect if the template does not use it.",
  });

const plainMessage = <const R extends string>(role: R) =>
  Type.Object({ role: Type.Literal(role), content: content(), name: name() }, closed);

/** Schema of a response field that clients send back in the history; only the listed values are accepted. */
const echoed = <T>(...values: T[]) => Type.Optional(Type.Unsafe<T | null>(onlyThese(null, ...values)));

/** Schema of an unimplemented field: accepts only the values that request nothing. */
export const onlyThese = (...values: unknown[]) => ({ enum: values, "x-no-effect": values });

const assistantMessage = () =>
  Type.Object(
    {
      role: Type.Literal("assistant"),
      content: optional(content()),
      name: name(),
      reasoning_content: optional(text(), { description: "Passed to the chat template." }),
      refusal: echoed<never>(),
      annotations: echoed<never[]>([]),
      audio: echoed<never>(),
      function_call: echoed<never>(),
      tool_calls: echoed<never[]>([]),
    },
    closed,
  );

export const messagesSchema = (notes: FieldNotes = {}) =>
  Type.Array(
    Type.Union(
      [
        plainMessage("system"),
        plainMessage("developer"),
        plainMessage("user"),
        assistantMessage(),
        plainMessage("tool"),
      ],
      { discriminator: { propertyName: "role" } },
    ),
    { minItems: 1, description: "The conversation. `developer` is rendered as `system`.", ...notes },
  );

export type WireMessage = Static<ReturnType<typeof messagesSchema>>[number];

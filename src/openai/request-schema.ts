/**
 * Builds the schema of a request body (contract, section 2) from the engine's parameter table and from the fields that
 * exist only in HTTP requests. Validation, the OpenAPI document and the capabilities route use it. The order of its
 * fields is the order in which they are checked.
 */

import { Type, type Static, type TSchema } from "typebox";

import { FORMATS, SCHEMA_KEYWORDS } from "../../engine/grammar/index.js";
import { LIMITS } from "../../engine/limits.js";
import {
  MAX_INTEGER_64,
  MIN_INTEGER_64,
  PARAMETER_NAMES,
  parameterIn,
  PARAMETERS,
  type ParameterKind,
  type ParameterName,
} from "../../engine/sampling/index.js";
import type { Dialect } from "./dialects.js";
import { messagesSchema, onlyThese, optional, text, type WireMessage } from "./messages.js";

/** A checked body: the fields that code accesses by name. Parameters of the table are read by their wire names. */
export interface ChatRequestBody {
  readonly [name: string]: unknown;
  readonly model: string;
  readonly messages: readonly WireMessage[];
  readonly max_tokens?: number | null;
  readonly max_completion_tokens?: number | null;
  readonly stream?: boolean | null;
  readonly stream_options?: { readonly include_usage?: boolean | null } | null;
  readonly top_logprobs?: number | null;
  readonly logprobs?: boolean | null;
  readonly separate_reasoning?: boolean | null;
  readonly reasoning_effort?: string | null;
  readonly chat_template_kwargs?: { readonly [name: string]: unknown } | null;
  readonly response_format?: Static<ReturnType<typeof responseFormat>> | null;
  readonly tools?: readonly Static<ReturnType<typeof tool>>[] | null;
  readonly tool_choice?: Static<ReturnType<typeof toolChoice>> | null;
  readonly parallel_tool_calls?: boolean | null;
}

export function chatRequestSchema(dialect: Dialect) {
  const fields: Record<string, TSchema> = {
    model: Type.String({ description: "Id or alias of a served model.", "x-clause": "TS-2.5" }),
    messages: messagesSchema({ "x-clause": "TS-2.6", "x-library": "messages" }),
  };
  for (const name of PARAMETER_NAMES) {
    fields[PARAMETERS[name].wire] = parameterSchema(name, dialect);
    Object.assign(fields, FIELDS_AFTER[name]?.(dialect));
  }
  return Type.Object(fields, { additionalProperties: false });
}

/** Fields that exist only in HTTP requests, keyed by the table parameter after which they are checked. */
const FIELDS_AFTER: Partial<Record<ParameterName, (dialect: Dialect) => Record<string, TSchema>>> = {
  maxTokens: (dialect) => ({
    max_completion_tokens: optional(kindSchema(parameterIn("maxTokens", dialect).kind), {
      description: "Another name for `max_tokens`. If both are given, they must be equal.",
      "x-clause": "TS-2.7",
    }),
    stream: optional(Type.Boolean(), {
      default: false,
      description: "Send the answer as server-sent events while it is generated.",
      "x-clause": "TS-2.8",
    }),
    stream_options: optional(streamOptions(), {
      description: "`include_usage: true` needs `stream: true`.",
      "x-clause": "TS-2.9",
    }),
  }),
  topLogprobs: () => ({
    response_format: optional(responseFormat(), {
      default: { type: "text" },
      description: "Format of the answer (the text after the reasoning).",
      "x-clause": "TS-2.23",
      "x-library": "responseFormat",
    }),
    tools: optional(Type.Array(tool(), { maxItems: LIMITS.maxTools }), {
      default: [],
      description: "Functions that the model may call.",
      "x-clause": "TS-11.1",
      "x-library": "tools",
    }),
    tool_choice: optional(toolChoice(), {
      default: "auto",
      description: "Which tools may be called, and whether one must be.",
      "x-clause": "TS-11.2",
      "x-library": "toolChoice",
    }),
    parallel_tool_calls: optional(Type.Boolean(), {
      default: true,
      description: "false: one call at most.",
      "x-clause": "TS-11.3",
      "x-library": "parallelToolCalls",
    }),
  }),
  separateReasoning: () => ({
    reasoning_effort: optional(Type.Enum([...REASONING_EFFORTS], { type: "string" }), {
      description: "Handed to the chat template; no effect if the template does not use it.",
      "x-clause": "TS-2.40",
    }),
    chat_template_kwargs: templateVariablesSchema(),
    user: optional(Type.String(), ACCEPTED),
    metadata: optional(
      Type.Unsafe<Record<string, string | number | boolean>>({
        type: "object",
        additionalProperties: { anyOf: [{ type: "string" }, { type: "number" }, { type: "boolean" }] },
      }),
      ACCEPTED,
    ),
    service_tier: optional(Type.String({ enum: ["auto", "default", "flex", "scale", "priority", "fast"] }), ACCEPTED),
    prompt_cache_key: optional(Type.String(), ACCEPTED),
    safety_identifier: optional(Type.String({ maxLength: 64 }), ACCEPTED),
    verbosity: optional(Type.Enum(["low", "medium", "high"], { type: "string" }), ACCEPTED),
    ...notBuilt(),
  }),
};

export const templateVariablesSchema = () =>
  optional(Type.Unsafe<Record<string, unknown>>({ type: "object", maxProperties: LIMITS.maxTemplateVariables }), {
    description:
      "Variables for the chat template, such as `enable_thinking`; it ignores those that it does not know. `date`, such as `2026-11-30`, is the date that it writes, and no variable.",
    "x-clause": "TS-2.40",
    "x-library": "templateVariables",
  });

function parameterSchema(name: ParameterName, dialect: Dialect): TSchema {
  const { kind, default: fallback } = parameterIn(name, dialect);
  const { description, clause } = PARAMETERS[name];
  const isStated = fallback !== null && typeof fallback !== "function" && typeof fallback !== "object";
  return optional(kindSchema(kind), {
    ...(isStated ? { default: fallback } : {}),
    description,
    "x-clause": clause,
    "x-library": name,
  });
}

function kindSchema(kind: ParameterKind): TSchema {
  switch (kind.type) {
    case "integer": {
      const { minimum, maximum, hasNoLimit } = kind;
      const integer = Type.Integer({ minimum, ...(maximum === undefined ? {} : { maximum }) });
      return hasNoLimit === true ? Type.Union([integer, Type.Literal(NO_LIMIT)]) : integer;
    }
    case "integer64":
      return Type.Integer({ minimum: Number(MIN_INTEGER_64), maximum: Number(MAX_INTEGER_64), "x-bits": 64 });
    case "number": {
      const { minimum, maximum, excludesMinimum } = kind;
      return Type.Number({ ...(excludesMinimum === true ? { exclusiveMinimum: minimum } : { minimum }), maximum });
    }
    case "boolean":
      return Type.Boolean();
    case "choice":
      return Type.Enum([...kind.values], { type: "string" });
    case "texts":
      return Type.Union([stopSequence(), Type.Array(stopSequence(), { maxItems: kind.maxItems })]);
    case "biases":
      return logitBias(kind);
  }
}

/** Value of `max_tokens` that means no limit, where the dialect has it. */
export const NO_LIMIT = -1;

/** The values that OpenAI documents. */
const REASONING_EFFORTS = ["none", "minimal", "low", "medium", "high", "xhigh"] as const;

const ACCEPTED = { description: "Accepted; no effect.", "x-ignored": true, "x-clause": "TS-2.27" };

const streamOptions = () =>
  Type.Object(
    {
      include_usage: optional(Type.Boolean(), {
        description: "true: the usage is sent in an extra last chunk. false: it is not sent.",
      }),
      include_obfuscation: Type.Optional(noEffect(false)),
    },
    { additionalProperties: false },
  );

const stopSequence = () => Type.String({ minLength: 1, "x-text": true });

const logitBias = ({ maxEntries, minimum, maximum }: Extract<ParameterKind, { type: "biases" }>) =>
  Type.Unsafe<Record<string, number>>({
    type: "object",
    maxProperties: maxEntries,
    propertyNames: {
      type: "string",
      pattern: "^(0|[1-9][0-9]{0,14})$",
      "x-allowed": 'keyed by token ids, such as "17"',
    },
    additionalProperties: { type: "number", minimum, maximum },
  });

const closed = { additionalProperties: false } as const;

/** `json_schema` needs its schema in one of two places; `checkConflict` in chat-request.ts checks that. */
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
      Type.Object(
        {
          type: Type.Literal("choice"),
          choices: Type.Array(Type.String({ minLength: 1, "x-text": true }), {
            minItems: 1,
            maxItems: LIMITS.maxAnswerChoices,
            description: "The possible answers, each once.",
          }),
        },
        closed,
      ),
      Type.Object(
        { type: Type.Literal("grammar"), syntax: Type.Enum(["gbnf", "lark"], { type: "string" }), grammar: text() },
        closed,
      ),
      Type.Object(
        {
          type: Type.Literal("structural_tag"),
          structures: Type.Array(Type.Object({ begin: text(), schema: jsonSchema(), end: text() }, closed), {
            minItems: 1,
            maxItems: LIMITS.maxStructures,
            description: "What may follow a trigger: `begin`, a JSON value that is valid against the schema, `end`.",
          }),
          triggers: Type.Array(Type.String({ minLength: 1, "x-text": true }), {
            minItems: 1,
            maxItems: LIMITS.maxTriggers,
            description:
              "Texts with which structures begin, each once. The answer is free until one of them is complete.",
          }),
        },
        closed,
      ),
    ],
    { discriminator: { propertyName: "type" } },
  );

const functionName = () =>
  Type.String({ pattern: "^[A-Za-z0-9_-]{1,64}$", "x-allowed": "1 to 64 of A-Z, a-z, 0-9, _ and -" });

const tool = () =>
  Type.Object(
    {
      type: onlyFunction(),
      function: Type.Object(
        {
          name: functionName(),
          description: optional(text()),
          parameters: optional(Type.Unsafe<{ readonly [name: string]: unknown }>({ type: "object" }), {
            description: "JSON schema of the arguments, which are an object; absent: the tool has no parameters.",
          }),
          strict: optional(Type.Boolean(), { description: "true: a schema that cannot be enforced is refused." }),
        },
        closed,
      ),
    },
    closed,
  );

const onlyFunction = () => Type.Enum(["function"], { type: "string" });

const nameOnly = () => Type.Object({ name: functionName() }, closed);

const namedTool = () => Type.Object({ type: onlyFunction(), function: nameOnly() }, closed);

const toolChoice = () =>
  Type.Union([
    Type.Enum(["none", "auto", "required"], { type: "string" }),
    Type.Union(
      [
        Type.Object({ type: Type.Literal("function"), function: nameOnly() }, closed),
        Type.Object(
          {
            type: Type.Literal("allowed_tools"),
            allowed_tools: Type.Object(
              {
                mode: Type.Enum(["auto", "required"], { type: "string" }),
                tools: Type.Array(namedTool(), { minItems: 1 }),
              },
              closed,
            ),
          },
          closed,
        ),
      ],
      { discriminator: { propertyName: "type" } },
    ),
  ]);

const namedSchema = () =>
  Type.Object(
    {
      name: Type.String({
        pattern: "^[A-Za-z0-9_-]{1,64}$",
        "x-allowed": "1 to 64 of A-Z, a-z, 0-9, _ and -",
        ...ACCEPTED,
      }),
      schema: jsonSchema(),
      strict: optional(Type.Boolean(), {
        description: "Accepted; no effect: the schema is always enforced.",
        "x-ignored": true,
      }),
      description: optional(Type.String(), ACCEPTED),
    },
    closed,
  );

const jsonSchema = () =>
  Type.Union([Type.Unsafe<object>({ type: "object" }), Type.Boolean()], {
    description: `A JSON schema, of any draft from 4 on or of OpenAPI 3.0. Keywords: ${keywords("enforced")}; annotations: ${keywords("annotation")}. Formats enforced: ${FORMATS.map(
      ({ format }) => format,
    ).join(", ")}. Other keywords and formats are annotations.`,
  });

const keywords = (wanted: "enforced" | "annotation"): string =>
  SCHEMA_KEYWORDS.filter(({ status }) => status === wanted)
    .map(({ keyword }) => keyword)
    .join(", ");

/** Fields that OpenAI documents and this server does not implement, with the values that request nothing. */
const notBuilt = () => ({
  modalities: Type.Optional(noEffect(["text"])),
  web_search_options: Type.Optional(noEffect()),
  audio: Type.Optional(noEffect()),
  store: Type.Optional(noEffect(false)),
  moderation: Type.Optional(noEffect()),
  prediction: Type.Optional(noEffect()),
  function_call: Type.Optional({ ...noEffect("none"), "x-instead": "tool_choice" }),
  functions: Type.Optional({ ...noEffect([]), "x-instead": "tools" }),
  prompt_cache_options: Type.Optional(noEffect()),
  prompt_cache_retention: Type.Optional(noEffect()),
});

function noEffect(...values: unknown[]): TSchema {
  return Type.Unsafe<unknown>({ description: "Not supported.", "x-clause": "TS-2.28", ...onlyThese(null, ...values) });
}

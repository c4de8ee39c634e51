/**
 * Probes the features of an endpoint. A parameter counts as supported if a cheap request with it is answered. The laws
 * check whether it takes effect.
 */

import { parseJson } from "./bounds.js";
import { chatBody, readAnswer, refusal, type Client } from "./client.js";
import { ConformError } from "./errors.js";
import { Violation, type ChatRequest, type Dialect, type Exchange, type Feature } from "./law.js";

/** The endpoint's model, dialect and features. */
export interface Profile {
  /** Model that the requests name. */
  readonly model: string;
  readonly dialect: Dialect;
  /** Context length in tokens. null if the endpoint does not report it. */
  readonly contextLength: number | null;
  /** Features for which a cheap request was answered with 200. The laws check whether they take effect. */
  readonly features: ReadonlySet<Feature>;
  /** Unsupported features, each with the endpoint's answer to a request that uses it. */
  readonly missing: ReadonlyMap<Feature, string>;
  /** `system_fingerprint` of the endpoint's first answer. null if the answer has none. */
  readonly fingerprint: string | null;
}

/** Sends one request. Throws `BudgetSpent` if the budget is spent. */
export type Send = (method: string, path: string, body: string | null) => Promise<Exchange>;

/**
 * Probes the endpoint.
 *
 * @throws ConformError `cannot_run` if the server does not answer or lists no model, or if it refuses the simplest
 *   request or its answer to it has no end
 */
export async function profileOf(
  send: Send,
  { endpoint }: Client,
  given: { readonly model: string | null; readonly dialect: Dialect | null },
): Promise<Profile> {
  const models = await send("GET", "/models", null);
  if (models.status === 0)
    throw new ConformError("cannot_run", `The server does not answer at ${endpoint.baseUrl}: ${models.text}`);
  if (models.status === 401 || models.status === 403)
    throw new ConformError(
      "cannot_run",
      `The endpoint requires an API key, or refuses the given one. ${refusal(models)}`,
    );
  const listed = entries(models, "data");
  const model = given.model ?? listed.map(({ id }) => id).find((id): id is string => typeof id === "string");
  if (model === undefined) {
    throw new ConformError(
      "cannot_run",
      `${endpoint.baseUrl}/models lists no model (${refusal(models)}). Give the model, or check the base URL: it ends before /chat/completions, usually with /v1.`,
    );
  }
  const capabilities = await send("GET", "/capabilities", null);

  const ask = (fields: ChatRequest): Promise<Exchange> =>
    send("POST", "/chat/completions", chatBody({ messages: MESSAGES, ...fields }, model));
  const short = await ask({ max_tokens: NUM_TOKENS });
  // Some models do not support max_tokens; requests to them leave it out.
  const limit = short.status === 200 ? { max_tokens: NUM_TOKENS } : {};
  const plain = short.status === 200 ? short : await ask({});
  if (plain.status !== 200)
    throw new ConformError(
      "cannot_run",
      `The endpoint refuses the simplest request to ${model}, POST ${endpoint.baseUrl}/chat/completions. ${refusal(short)}`,
    );
  if (plain.incomplete !== null)
    throw new ConformError(
      "cannot_run",
      `The answer to the simplest request to ${model} cannot be read: ${plain.incomplete}.`,
    );
  const features = new Set<Feature>();
  const missing = new Map<Feature, string>();
  const judge = (feature: Feature, reason: string | null): void => {
    if (reason === null) features.add(feature);
    else missing.set(feature, reason);
  };
  judge("max_tokens", short.status === 200 ? null : refusal(short));
  for (const [feature, fields] of REQUESTS) {
    const exchange = await ask({ ...limit, ...fields });
    judge(feature, exchange.status === 200 ? null : refusal(exchange));
  }
  const apart = await ask({ ...limit, temperature: 0, separate_reasoning: true });
  const reasoned = hasReasoning(apart.status === 200 ? apart : await ask({ ...limit, temperature: 0 }));
  judge("reasoning", reasoned ? null : "The answer has no reasoning_content.");

  const own = entries(capabilities, "models").find(
    ({ id, aliases }) => id === model || (Array.isArray(aliases) && aliases.includes(model)),
  );
  const context = own?.["context_length"] ?? listed.find(({ id }) => id === model)?.["max_model_len"];
  const told = fieldsOf(capabilities)["dialect"];
  const fingerprint = fieldsOf(plain)["system_fingerprint"];
  return {
    model,
    dialect: given.dialect ?? (told === "ppio" ? "ppio" : "openai"),
    contextLength: Number.isSafeInteger(context) ? (context as number) : null,
    features,
    missing,
    fingerprint: typeof fingerprint === "string" ? fingerprint : null,
  };
}

const MESSAGES = [{ role: "user", content: "What is 2 + 3?" }];
/** Enough tokens for reasoning to begin. */
const NUM_TOKENS = 8;

/** Probing requests. Their values have little effect on these messages: only acceptance is tested. */
const REQUESTS: readonly (readonly [Feature, ChatRequest])[] = [
  ["stream", { stream: true }],
  ["stream_usage", { stream: true, stream_options: { include_usage: true } }],
  ["seed", { seed: 1 }],
  ["n", { n: 2 }],
  ["stop", { stop: ["\n\n\n"] }],
  ["logprobs", { logprobs: true }],
  ["top_logprobs", { logprobs: true, top_logprobs: 2 }],
  ["logit_bias", { logit_bias: { "1": 1 } }],
  ["temperature", { temperature: 0.5 }],
  ["top_p", { top_p: 0.9 }],
  ["top_k", { top_k: 20 }],
  ["min_p", { min_p: 0.05 }],
  ["frequency_penalty", { frequency_penalty: 0.5 }],
  ["presence_penalty", { presence_penalty: 0.5 }],
  ["repetition_penalty", { repetition_penalty: 1.1 }],
  [
    "json_object",
    {
      response_format: { type: "json_object" },
      messages: [{ role: "user", content: "What is 2 + 3? Answer in JSON." }],
    },
  ],
  [
    "json_schema",
    {
      response_format: {
        type: "json_schema",
        json_schema: {
          name: "sum",
          strict: true,
          schema: {
            type: "object",
            properties: { sum: { type: "integer" } },
            required: ["sum"],
            additionalProperties: false,
          },
        },
      },
    },
  ],
  [
    "tools",
    { tools: [{ type: "function", function: { name: "roll", parameters: { type: "object", properties: {} } } }] },
  ],
];

function hasReasoning(exchange: Exchange): boolean {
  try {
    return readAnswer(exchange, false).choices.some(({ reasoning }) => reasoning !== null && reasoning !== "");
  } catch (error) {
    // An unreadable answer has no reasoning. The laws report that it is unreadable.
    if (error instanceof Violation) return false;
    throw error;
  }
}

function entries(exchange: Exchange, name: string): Readonly<Record<string, unknown>>[] {
  const list = fieldsOf(exchange)[name];
  return Array.isArray(list) ? list.filter((entry) => typeof entry === "object" && entry !== null) : [];
}

/** Fields of a JSON answer, or an empty object if the status is not 200 or the answer is not a JSON object. */
function fieldsOf({ status, text }: Exchange): Readonly<Record<string, unknown>> {
  if (status !== 200) return {};
  try {
    const value = parseJson(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

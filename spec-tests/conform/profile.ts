/**
 * What an endpoint can do, found out by asking: a parameter counts as supported if a cheap request with it is answered.
 * Whether it also has its effect is for the laws to say.
 */

import { chatBody, readAnswer, refusal, type Client } from "./client.js";
import { ConformError } from "./errors.js";
import { Violation, type ChatRequest, type Dialect, type Exchange, type Feature } from "./law.js";

/** What the endpoint is and supports. */
export interface Profile {
  /** The model that was asked. */
  readonly model: string;
  readonly dialect: Dialect;
  /** In tokens; null where the endpoint does not tell. */
  readonly contextLength: number | null;
  /** A feature counts as supported if a cheap request with it was answered with 200; its effect is for the laws to judge. */
  readonly features: ReadonlySet<Feature>;
  /** What the endpoint said to a request with what it does not support. */
  readonly missing: ReadonlyMap<Feature, string>;
  /** `system_fingerprint` of its first answer, where it has one. */
  readonly fingerprint: string | null;
}

/** Sends one request; throws `BudgetSpent` where the budget does not allow it. */
export type Send = (method: string, path: string, body: string | null) => Promise<Exchange>;

/** @throws ConformError `cannot_run` where nobody answers, there is no model, or even the plainest request is refused */
export async function profileOf(
  send: Send,
  { endpoint }: Client,
  given: { readonly model: string | null; readonly dialect: Dialect | null },
): Promise<Profile> {
  const models = await send("GET", "/models", null);
  if (models.status === 0)
    throw new ConformError("cannot_run", `Nobody answers at ${endpoint.baseUrl}: ${models.text}`);
  if (models.status === 401 || models.status === 403)
    throw new ConformError("cannot_run", `The endpoint wants an API key, or another one. ${refusal(models)}`);
  const listed = entries(models, "data");
  const model = given.model ?? listed.map(({ id }) => id).find((id): id is string => typeof id === "string");
  if (model === undefined) {
    throw new ConformError(
      "cannot_run",
      `${endpoint.baseUrl}/models names no model (${refusal(models)}). Give the model, or another base URL: it ends where /chat/completions begins, mostly with /v1.`,
    );
  }
  const capabilities = await send("GET", "/capabilities", null);

  const ask = (fields: ChatRequest): Promise<Exchange> =>
    send("POST", "/chat/completions", chatBody({ messages: MESSAGES, ...fields }, model));
  const short = await ask({ max_tokens: NUM_TOKENS });
  // Some models know no max_tokens; they are asked without.
  const limit = short.status === 200 ? { max_tokens: NUM_TOKENS } : {};
  const plain = short.status === 200 ? short : await ask({});
  if (plain.status !== 200)
    throw new ConformError(
      "cannot_run",
      `The endpoint refuses the plainest request to ${model}, POST ${endpoint.baseUrl}/chat/completions. ${refusal(short)}`,
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
/** Enough for reasoning to begin. */
const NUM_TOKENS = 8;

/** The values have an effect, but on these messages a small one: what is asked is only whether they are taken. */
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
];

function hasReasoning(exchange: Exchange): boolean {
  try {
    return readAnswer(exchange, false).choices.some(({ reasoning }) => reasoning !== null && reasoning !== "");
  } catch (error) {
    // An answer that cannot be read has no reasoning; that it cannot be read is for the laws to find.
    if (error instanceof Violation) return false;
    throw error;
  }
}

function entries(exchange: Exchange, name: string): Readonly<Record<string, unknown>>[] {
  const list = fieldsOf(exchange)[name];
  return Array.isArray(list) ? list.filter((entry) => typeof entry === "object" && entry !== null) : [];
}

/** Of an answer that need not be there: nothing where it is none. */
function fieldsOf({ status, text }: Exchange): Readonly<Record<string, unknown>> {
  if (status !== 200) return {};
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** Requests that laws send. Prompts are short and tokens few, because every call costs the server time. */

import fc, { type Arbitrary } from "fast-check";

import type { ChatRequest, Feature, Probe } from "./law.js";

/** Questions (for reasoning), greetings (for short answers), stories (for long answers), and several scripts. */
export const PROMPTS: readonly string[] = [
  "Hello!",
  "What is 2 + 3?",
  "Tell me a story",
  "Name three colors.",
  "Wie heißt du?",
  "Say 你好 and 😊.",
  "Count from one to five.",
  "Which animals live in the sea, and why?",
];

/** Prompts with characters of several bytes, which may be split across tokens: é, 你, 😊. */
export const MANY_SCRIPTS: readonly string[] = [
  "Say 你好, and 日本 too.",
  "😊🎉🦊",
  "Répète : café, été, naïve.",
  "Wie heißt du? Schöne Grüße!",
  "Привет",
  "Hello!",
];

export function user(content: string): { readonly messages: readonly ChatRequest[] } {
  return { messages: [{ role: "user", content }] };
}

/** Sets `max_tokens` if the endpoint supports it. */
export function limit({ features }: Probe, maxTokens: number): ChatRequest {
  return features.has("max_tokens") ? { max_tokens: maxTokens } : {};
}

/** Requests separate reasoning. Only `ppio` needs a field for it; it is the default of `openai`. */
export function apart({ dialect }: Probe): ChatRequest {
  return dialect === "ppio" ? { separate_reasoning: true } : {};
}

/** Seeds in the range that every server with seeds accepts. */
export const seeds: Arbitrary<number> = fc.nat(2 ** 31 - 1);

export interface RequestOptions {
  readonly prompts?: readonly string[];
  readonly maxTokens?: { readonly min: number; readonly max: number };
  /** False leaves out the seed. Default: true. */
  readonly seed?: boolean;
  /** Maximum of the parameter `n`. */
  readonly n?: number;
}

/** Requests with random subsets of the parameters that the endpoint supports. Shrinking removes parameters. */
export function requests(
  probe: Probe,
  { prompts = PROMPTS, maxTokens = { min: 4, max: 24 }, seed = true, n = 1 }: RequestOptions = {},
): Arbitrary<ChatRequest> {
  const fields = {
    messages: fc.constantFrom(...prompts).map((content) => user(content).messages),
    ...(probe.features.has("max_tokens") ? { max_tokens: fc.integer(maxTokens) } : {}),
    ...(seed ? { seed: seeds } : {}),
  };
  const optional = Object.entries(SAMPLING).filter(([feature]) => probe.features.has(feature as Feature));
  const choices = n > 1 && probe.features.has("n") ? { n: fc.integer({ min: 1, max: n }) } : {};
  return fc.record<ChatRequest>(
    { ...fields, ...Object.fromEntries(optional), ...choices },
    { requiredKeys: Object.keys(fields) },
  );
}

/** Mild values, so that answers stay random: comparing two answers that could not differ would prove nothing. */
const SAMPLING: Readonly<Partial<Record<Feature, Arbitrary<unknown>>>> = {
  temperature: fc.constantFrom(1, 1.5, 2, 0.7, 0),
  top_p: fc.constantFrom(0.95, 0.8),
  top_k: fc.constantFrom(100, 20),
  min_p: fc.constantFrom(0.01, 0.05),
  frequency_penalty: fc.constantFrom(0.5, -0.5),
  presence_penalty: fc.constantFrom(0.5, -0.5),
  repetition_penalty: fc.constantFrom(1.2, 0.9),
  logit_bias: fc.constantFrom({ "5": 2 }, { "12": -3.0, "40": 1 }),
};

/** Starts requests in order and runs them concurrently. Throws the first failure after all have ended. */
export async function together<T>(asks: readonly (() => Promise<T>)[]): Promise<T[]> {
  const results = await Promise.allSettled(asks.map((ask) => ask()));
  return results.map((result) => {
    if (result.status === "rejected") throw result.reason as Error;
    return result.value;
  });
}

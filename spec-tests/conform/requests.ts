/** The requests that laws ask with: short prompts and few tokens, because every call costs a server's time. */

import fc, { type Arbitrary } from "fast-check";

import type { ChatRequest, Feature, Probe } from "./law.js";

/** Questions, to be reasoned about; greetings, to be answered at once; stories, to be long; several scripts. */
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

/** Some characters have more bytes than tokens have: é, 你, 😊. */
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

/** Where the endpoint takes a limit of tokens. */
export function limit({ features }: Probe, maxTokens: number): ChatRequest {
  return features.has("max_tokens") ? { max_tokens: maxTokens } : {};
}

/** Makes reasoning come apart in every dialect; only `ppio` has to be asked. */
export function apart({ dialect }: Probe): ChatRequest {
  return dialect === "ppio" ? { separate_reasoning: true } : {};
}

/** Kept to what every server takes that takes seeds at all. */
export const seeds: Arbitrary<number> = fc.nat(2 ** 31 - 1);

export interface RequestOptions {
  readonly prompts?: readonly string[];
  readonly maxTokens?: { readonly min: number; readonly max: number };
  /** False leaves it out. */
  readonly seed?: boolean;
  /** Choices at most. */
  readonly n?: number;
}

/** Requests with any of the parameters that the endpoint supports; shrinking takes parameters away. */
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

/** Mild enough that answers stay random: a law that compares answers learns nothing from two that could not differ. */
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

/** Asks at the same time, in this order; a failure is thrown when all have come back. */
export async function together<T>(asks: readonly (() => Promise<T>)[]): Promise<T[]> {
  const results = await Promise.allSettled(asks.map((ask) => ask()));
  return results.map((result) => {
    if (result.status === "rejected") throw result.reason as Error;
    return result.value;
  });
}

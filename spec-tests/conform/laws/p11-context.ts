import fc from "fast-check";

import { readAnswer } from "../client.js";
import { Violation, type Answer, type Exchange, type Law, type Probe } from "../law.js";
import { limit, user } from "../requests.js";

/**
 * Broken if prompts are cut to fit: the answer then belongs to another question, without any notice. Symptoms are
 * answers to prompts that exceed the context, and token counts that stop growing with the prompt.
 */
export const contextLength: Law = {
  id: "P11",
  title: "A prompt reaches the model uncut or is refused",
  clauses: ["TS-1.8", "TS-9.11", "TS-1.4", "TS-2.26"],
  reports: ["ollama#4967", "ollama#3839", "ollama#17889", "ollama#17427"],
  needs: [],
  errorRate: null,
  async check(probe) {
    const { contextLength } = probe;
    if (contextLength === null || contextLength > MAX_TOLD) return growPrompt(probe);
    await checkBeyond(probe, contextLength);
    if (contextLength <= MAX_NEAR) await checkRoom(probe, contextLength);
    else
      probe.note(
        `Prompts that nearly fill the context of ${contextLength} tokens were not tried because of their cost.`,
      );
  },
};

/** Context length in tokens above which prompts that exceed it are too large to send. */
const MAX_TOLD = 200_000;
/** Context length in tokens above which prompts that nearly fill it are too expensive to compute. */
const MAX_NEAR = 8192;
/** Length in words of the longest prompt that is tried if the context length is unknown. */
const MAX_GROWN = 32_768;

/** Returns `count` words of at least one token each. Adjacent words differ. */
function words(count: number): string {
  return Array.from({ length: count }, (_, i) => `w${(i * 7919) % 1000}`).join(" ");
}

/** Checks for a refusal. A connection that closes while a large body is sent counts as well. */
function isRefused({ status, body }: Exchange): boolean {
  return (status >= 400 && status < 500) || (status === 0 && (body?.length ?? 0) > 1 << 20);
}

/** Doubles the prompt repeatedly. The token count must grow with it until the prompt is refused. */
async function growPrompt(probe: Probe): Promise<void> {
  await probe.forAll(
    fc.constant({ firstWords: 256 }),
    async ({ firstWords }) => {
      let before: Answer | null = null;
      for (let count = firstWords; count <= MAX_GROWN; count *= 2) {
        const exchange = await probe.send({ ...user(words(count)), ...limit(probe, 1) });
        if (isRefused(exchange)) return;
        if (exchange.status === 0)
          return probe.note(`A prompt of ${count} words was not answered in time, so longer prompts were not tried.`);
        const answer = readAnswer(exchange, false);
        const [few, many]: readonly (number | undefined)[] = [before?.usage?.promptTokens, answer.usage?.promptTokens];
        if (few !== undefined && many !== undefined && many < GROWTH * few) {
          const message = `A prompt twice as long must have about twice the tokens; ${count / 2} words have ${few}, ${count} words have ${many}`;
          throw new Violation(message, [before!.exchange, exchange]);
        }
        before = answer;
      }
      probe.note(
        `The endpoint reports no context length or a very long one, and no prompt of up to ${MAX_GROWN} words was refused.`,
      );
    },
    { numRuns: 1 },
  );
}

/** Minimum growth for a doubled prompt. Less than 2 because the chat template adds tokens to every prompt. */
const GROWTH = 1.7;

/** Checks that prompts that exceed the context by little or by much are refused. */
async function checkBeyond(probe: Probe, context: number): Promise<void> {
  const perWord = await tokensPerWord(probe);
  await probe.forAll(
    fc.constantFrom(1.02, 1.5, 3),
    async (times) => {
      const count = Math.ceil((context * times) / perWord) + 4;
      const exchange = await probe.send({ ...user(words(count)), ...limit(probe, 1) });
      if (isRefused(exchange)) return;
      const message = `A prompt of ${count} words is longer than the context of ${context} tokens; it must be refused, but the status is ${exchange.status}`;
      throw new Violation(message, [exchange]);
    },
    { numRuns: 3, examples: [1.02, 1.5, 3] },
  );
}

/** Estimates a lower bound from the difference of two prompts, which cancels the tokens of the chat template. */
async function tokensPerWord(probe: Probe): Promise<number> {
  const [few, many] = [
    await probe.ask({ ...user(words(20)), ...limit(probe, 1) }),
    await probe.ask({ ...user(words(60)), ...limit(probe, 1) }),
  ];
  const numTokens = (many.usage?.promptTokens ?? 0) - (few.usage?.promptTokens ?? 0);
  return numTokens >= 40 ? numTokens / 40 : 1;
}

/**
 * Checks that a prompt that fits is answered, also if max_tokens exceeds the remaining room; in the dialect `openai`, such
 * a request may be refused.
 */
async function checkRoom(probe: Probe, context: number): Promise<void> {
  const count = Math.floor((0.8 * context) / (await tokensPerWord(probe)));
  const prompt = user(words(count));
  await probe.forAll(
    fc.constant({ numWords: count }),
    async () => {
      const { usage, exchange } = await probe.ask({ ...prompt, ...limit(probe, 1) });
      if (usage !== null && usage.promptTokens < 0.6 * context)
        throw new Violation(`A prompt of ${count} words was counted as ${usage.promptTokens} tokens`, [exchange]);
    },
    { numRuns: 1 },
  );
  if (!probe.features.has("max_tokens")) return;
  await probe.forAll(
    fc.constant({ numWords: count, maxTokens: context }),
    async () => {
      const exchange = await probe.send({ ...prompt, max_tokens: context });
      // OpenAI's servers refuse.
      if (probe.dialect === "openai" && isRefused(exchange)) return;
      const { usage } = readAnswer(exchange, false);
      if (usage !== null && usage.totalTokens > context)
        throw new Violation(`The context has ${context} tokens, but usage has ${usage.totalTokens}`, [exchange]);
    },
    { numRuns: 1 },
  );
}

import fc from "fast-check";

import { readAnswer } from "../client.js";
import { Violation, type Answer, type Exchange, type Law, type Probe } from "../law.js";
import { limit, user } from "../requests.js";

/**
 * Broken by prompts that are cut to fit: the answer is then to another question, and looks like any other. It shows in
 * prompts beyond the context that are answered, and in token counts that stop growing with the prompt.
 */
export const contextLength: Law = {
  id: "P11",
  title: "A prompt reaches the model whole or is refused",
  clauses: ["TS-1.8", "TS-9.11", "TS-1.4", "TS-2.26"],
  reports: ["ollama#4967", "ollama#3839", "ollama#17889", "ollama#17427"],
  needs: [],
  errorRate: null,
  async check(probe) {
    const { contextLength } = probe;
    if (contextLength === null || contextLength > MAX_TOLD) return growPrompt(probe);
    await checkBeyond(probe, contextLength);
    if (contextLength <= MAX_NEAR) await checkRoom(probe, contextLength);
    else probe.note(`Prompts that nearly fill a context of ${contextLength} tokens cost too much to be tried.`);
  },
};

/** In tokens: longer prompts cost too much to send. */
const MAX_TOLD = 200_000;
/** In tokens: longer prompts cost too much to be computed. */
const MAX_NEAR = 8192;
/** In words, where nobody tells how long the context is. */
const MAX_GROWN = 32_768;

/** So many words, each at least one token, and no two alike next to each other. */
function words(count: number): string {
  return Array.from({ length: count }, (_, i) => `w${(i * 7919) % 1000}`).join(" ");
}

/** A connection that closes while a large body is sent is a refusal too. */
function isRefused({ status, body }: Exchange): boolean {
  return (status >= 400 && status < 500) || (status === 0 && (body?.length ?? 0) > 1 << 20);
}

/** Twice as long again and again: the tokens must grow along until the prompt is refused. */
async function growPrompt(probe: Probe): Promise<void> {
  await probe.forAll(
    fc.constant({ firstWords: 256 }),
    async ({ firstWords }) => {
      let before: Answer | null = null;
      for (let count = firstWords; count <= MAX_GROWN; count *= 2) {
        const exchange = await probe.send({ ...user(words(count)), ...limit(probe, 1) });
        if (isRefused(exchange)) return;
        if (exchange.status === 0)
          return probe.note(`A prompt of ${count} words was not answered in time, so no longer one was tried.`);
        const answer = readAnswer(exchange, false);
        const [few, many]: readonly (number | undefined)[] = [before?.usage?.promptTokens, answer.usage?.promptTokens];
        if (few !== undefined && many !== undefined && many < GROWTH * few) {
          const message = `A prompt twice as long must have about twice the tokens; ${count / 2} words have ${few}, and ${count} words ${many}`;
          throw new Violation(message, [before!.exchange, exchange]);
        }
        before = answer;
      }
      probe.note(
        `The endpoint does not tell its context, or a very long one, and no prompt of up to ${MAX_GROWN} words was refused.`,
      );
    },
    { numRuns: 1 },
  );
}

/** Less than two for what the template adds to every prompt. */
const GROWTH = 1.7;

/** From just beyond the context to far beyond it. */
async function checkBeyond(probe: Probe, context: number): Promise<void> {
  const perWord = await tokensPerWord(probe);
  await probe.forAll(
    fc.constantFrom(1.02, 1.5, 3),
    async (times) => {
      const count = Math.ceil((context * times) / perWord) + 4;
      const exchange = await probe.send({ ...user(words(count)), ...limit(probe, 1) });
      if (isRefused(exchange)) return;
      const message = `A prompt of ${count} words is more than the ${context} tokens of the context; it must be refused, and the status is ${exchange.status}`;
      throw new Violation(message, [exchange]);
    },
    { numRuns: 3, examples: [1.02, 1.5, 3] },
  );
}

/** At least: from two prompts of different length, so that a template's own tokens do not count. */
async function tokensPerWord(probe: Probe): Promise<number> {
  const [few, many] = [
    await probe.ask({ ...user(words(20)), ...limit(probe, 1) }),
    await probe.ask({ ...user(words(60)), ...limit(probe, 1) }),
  ];
  const numTokens = (many.usage?.promptTokens ?? 0) - (few.usage?.promptTokens ?? 0);
  return numTokens >= 40 ? numTokens / 40 : 1;
}

/** A prompt that fits is answered; with a limit beyond what is left the dialect says what happens. */
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
      if (probe.dialect === "openai") {
        if (isRefused(exchange)) return;
        const message = `max_tokens ${context} is more than the prompt leaves of the context; it must be refused, and the status is ${exchange.status}`;
        throw new Violation(message, [exchange], "TS-1.4");
      }
      const { usage } = readAnswer(exchange, false);
      if (usage !== null && usage.totalTokens > context)
        throw new Violation(`The context has ${context} tokens, and usage has ${usage.totalTokens}`, [exchange]);
    },
    { numRuns: 1 },
  );
}

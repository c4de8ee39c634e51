import fc from "fast-check";

import { wireName } from "../answers.js";
import { Violation, type Answer, type ChatRequest, type Law, type Probe, type Usage } from "../law.js";
import { apart, requests } from "../requests.js";

/**
 * Broken if chunks or characters are counted instead of tokens, if the prompt is counted once per choice, if tokens
 * without text are not counted, or if streams count separately.
 */
export const usageAddsUp: Law = {
  id: "P12",
  title: "Usage adds up and is the same streamed or not",
  clauses: ["TS-8.4", "TS-5.12", "TS-5.13", "TS-5.11", "TS-5.9", "TS-5.14", "TS-6.7", "TS-8.7", "TS-1.3", "TS-8.11"],
  reports: ["vllm#8625", "vllm#50895", "vllm#7262", "vllm#36379"],
  needs: [],
  errorRate: null,
  async check(probe) {
    const { features } = probe;
    const seed = features.has("seed");
    const extras = {
      ...(features.has("stop") ? { stop: fc.constantFrom<unknown>([" "], "e", [".", "\n"]) } : {}),
      ...(features.has("logprobs") ? { logprobs: fc.constant(true) } : {}),
    };
    const request = requests(probe, { maxTokens: { min: 1, max: 40 }, seed, n: 3 });
    const cases = fc.record({ request, extras: fc.record<ChatRequest>(extras, { requiredKeys: [] }) });
    await probe.forAll(
      cases,
      async ({ request, extras }) => {
        const all = { ...request, ...extras, ...apart(probe) };
        const whole = await probe.ask(all);
        demandSums(whole, all);
        if (features.has("stream_usage"))
          demandStreamed(
            whole,
            await probe.ask({ ...all, stream: true, stream_options: { include_usage: true } }),
            seed,
          );
      },
      { numRuns: 8, share: 0.65 },
    );
    await checkPrompt(probe);
    if (features.has("stream")) await checkUnasked(probe);
  },
};

function demandUsage({ usage, exchange }: Answer): Usage {
  if (usage === null) throw new Violation("The answer has no usage", [exchange]);
  return usage;
}

function demandSums(answer: Answer, request: ChatRequest): void {
  const fail = (message: string, clause: string): never => {
    throw new Violation(message, [answer.exchange], clause);
  };
  const { choices } = answer;
  const usage = demandUsage(answer);
  const { promptTokens, completionTokens, totalTokens, cachedTokens, reasoningTokens } = usage;
  if (totalTokens !== promptTokens + completionTokens)
    fail(`total_tokens must be ${promptTokens} + ${completionTokens}; it is ${totalTokens}`, "TS-5.13");
  if (promptTokens < 1 || completionTokens < choices.length) {
    fail(
      `The prompt and each of ${choices.length} choices have at least one token; usage is ${JSON.stringify(usage)}`,
      "TS-5.12",
    );
  }
  if (cachedTokens !== null && cachedTokens > promptTokens)
    fail(`${cachedTokens} of ${promptTokens} prompt tokens cannot be cached`, "TS-5.14");
  const numEntries = choices.reduce((sum, { logprobs }) => sum + (logprobs?.length ?? 0), 0);
  if (choices.every(({ logprobs }) => logprobs !== null) && completionTokens !== numEntries) {
    fail(`usage has ${completionTokens} completion tokens, but logprobs has ${numEntries} entries`, "TS-5.12");
  }
  const maxTokens = request["max_tokens"];
  if (typeof maxTokens === "number") {
    if (completionTokens > maxTokens * choices.length)
      fail(`${choices.length} choices of at most ${maxTokens} tokens cannot have ${completionTokens}`, "TS-5.11");
    if (
      choices.every(({ finishReason }) => finishReason === "length") &&
      completionTokens !== maxTokens * choices.length
    ) {
      fail(
        `All of ${choices.length} choices reached max_tokens ${maxTokens}; usage has ${completionTokens} completion tokens`,
        "TS-5.12",
      );
    }
  }
  if (reasoningTokens !== null && reasoningTokens > completionTokens)
    fail(`${reasoningTokens} of ${completionTokens} tokens cannot be reasoning`, "TS-6.7");
  const hasReasoned = choices.some(({ reasoning }) => reasoning !== null && reasoning !== "");
  if (hasReasoned && !(reasoningTokens !== null && reasoningTokens > 0))
    fail(`The answer has reasoning; reasoning_tokens is ${reasoningTokens}`, "TS-5.14");
}

interface Chunk {
  readonly choices?: readonly { readonly finish_reason?: unknown }[];
  readonly usage?: unknown;
}

function demandStreamed(whole: Answer, streamed: Answer, isSeeded: boolean): void {
  const exchanges = [whole.exchange, streamed.exchange];
  const [expected, got] = [demandUsage(whole), demandUsage(streamed)];
  const chunks = streamed.chunks as readonly Chunk[];
  const early = chunks.slice(0, -1).find(({ usage }) => usage != null);
  if (early !== undefined)
    throw new Violation(
      `usage belongs on the last chunk only; one before it is ${JSON.stringify(early)}`,
      [streamed.exchange],
      "TS-8.7",
    );
  if (chunks.at(-1)?.choices?.length !== 0) {
    throw new Violation(
      `The chunk with usage must have no choices; it is ${JSON.stringify(chunks.at(-1))}`,
      [streamed.exchange],
      "TS-8.7",
    );
  }
  if (expected.promptTokens !== got.promptTokens) {
    throw new Violation(
      `The same prompt has ${expected.promptTokens} tokens, but ${got.promptTokens} in a stream`,
      exchanges,
      "TS-8.11",
    );
  }
  // Without a seed, or with a seed that has no effect, the two answers differ.
  const isSame =
    isSeeded &&
    whole.choices.every(
      ({ content, reasoning }, i) =>
        content === streamed.choices[i]?.content && reasoning === streamed.choices[i]?.reasoning,
    );
  for (const name of ["completionTokens", "reasoningTokens"] as const) {
    if (isSame && expected[name] !== got[name])
      throw new Violation(
        `${wireName(name)} of the same answer is ${expected[name]}, and ${got[name]} where it is streamed`,
        exchanges,
        "TS-8.11",
      );
  }
}

/** Checks that the prompt is counted once, whatever the other parameters are. */
async function checkPrompt(probe: Probe): Promise<void> {
  const cases = fc.record({
    request: requests(probe, { maxTokens: { min: 1, max: 8 }, seed: probe.features.has("seed"), n: 3 }),
    n: fc.integer({ min: 2, max: 4 }),
  });
  await probe.forAll(
    cases,
    async ({ request, n }) => {
      const { messages, max_tokens } = request as { messages: unknown; max_tokens?: unknown };
      const plain = await probe.ask({ messages, ...(max_tokens === undefined ? {} : { max_tokens }) });
      const other = await probe.ask({ ...request, ...(probe.features.has("n") ? { n } : {}) });
      const [expected, got] = [demandUsage(plain).promptTokens, demandUsage(other).promptTokens];
      if (expected === got) return;
      throw new Violation(
        `The same prompt has ${expected} tokens, but ${got} with other parameters`,
        [plain.exchange, other.exchange],
        "TS-5.13",
      );
    },
    { numRuns: 3, share: 0.7 },
  );
}

/** Checks the dialect's rule for usage in streams without include_usage. */
async function checkUnasked(probe: Probe): Promise<void> {
  const request = requests(probe, { maxTokens: { min: 1, max: 8 }, seed: probe.features.has("seed"), n: 2 });
  const ways: readonly ChatRequest[] = [...(probe.features.has("stream_usage") ? [{ stream_options: {} }] : []), {}];
  for (const options of ways) {
    await probe.forAll(
      request,
      async (request) => {
        const answer = await probe.ask({ ...request, ...options, stream: true });
        const chunks = answer.chunks as readonly Chunk[];
        const places = chunks.flatMap(({ usage }, i) => (usage == null ? [] : [i]));
        const isLast =
          places.length === 1 && places[0] === chunks.length - 1 && chunks.at(-1)?.choices?.[0]?.finish_reason != null;
        if (probe.dialect === "openai" ? places.length === 0 : isLast) return;
        const rule =
          probe.dialect === "openai"
            ? "no chunk may have usage"
            : "the finish chunk of the choice that ends last must have usage, and no other";
        const told = places.length === 0 ? "none has it" : `chunks ${places.join(", ")} of ${chunks.length} have it`;
        throw new Violation(`Without include_usage ${rule}; ${told}`, [answer.exchange], "TS-1.3");
      },
      { numRuns: 2 },
    );
  }
}

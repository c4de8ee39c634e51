import fc from "fast-check";

import { difference, labelOf, quoted } from "../answers.js";
import { Violation, type Answer, type Law, type Probe, type TokenLogprob } from "../law.js";
import { limit, requests, seeds, user } from "../requests.js";

/**
 * Broken if probabilities are returned instead of logarithms, if lists have another length or order, if entries are
 * lost in a stream or after reasoning, or if the values are computed after temperature, penalties or bias.
 */
export const logprobs: Law = {
  id: "P7",
  title: "Log-probabilities are the model's own, complete and in order",
  clauses: ["TS-4.1", "TS-2.21", "TS-2.22", "TS-4.2", "TS-4.4", "TS-4.7", "TS-4.8", "TS-4.10", "TS-3.10"],
  reports: ["llama.cpp#11346", "llama.cpp#10733", "llama.cpp#28478", "vllm#4795", "ollama#16117"],
  needs: ["logprobs", "top_logprobs"],
  errorRate: null,
  async check(probe) {
    const { features } = probe;
    const cases = fc.record({
      request: requests(probe, { maxTokens: { min: 2, max: 24 }, seed: features.has("seed"), n: 2 }),
      top: fc.integer({ min: 1, max: 5 }),
      stream: features.has("stream") ? fc.boolean() : fc.constant(false),
    });
    await probe.forAll(
      cases,
      async ({ request, top, stream }) => {
        const usage = stream && features.has("stream_usage") ? { stream_options: { include_usage: true } } : {};
        const answer = await probe.ask({
          ...request,
          logprobs: true,
          top_logprobs: top,
          ...(stream ? { stream, ...usage } : {}),
        });
        demandEntries(answer, top);
        const isRaw = ["logit_bias", "frequency_penalty", "presence_penalty", "repetition_penalty"].every(
          (name) => !(name in request),
        );
        if (request["temperature"] === 0 && isRaw) demandGreedy(answer);
      },
      { numRuns: 12, share: 0.5 },
    );
    await checkAsked(probe);
    await checkUnprocessed(probe);
  },
};

function demandEntries({ choices, usage, exchange }: Answer, top: number): void {
  const fail = (message: string, clause: string | null = null): never => {
    throw new Violation(message, [exchange], clause);
  };
  for (const { index, logprobs } of choices) {
    if (logprobs === null) return fail(`logprobs: true was requested, but choice ${index} has none`, "TS-4.4");
    for (const [i, entry] of logprobs.entries()) {
      const where = `entry ${i} of choice ${index}`;
      const { topLogprobs } = entry;
      const wrong = [entry, ...topLogprobs].find(({ logprob }) => !(logprob <= 0 && Number.isFinite(logprob)));
      if (wrong !== undefined)
        fail(`A logprob must be finite and at most 0; in ${where} that of ${quoted(wrong.token)} is ${wrong.logprob}`);
      if (topLogprobs.length !== top)
        fail(`top_logprobs: ${top} was requested; ${where} has ${topLogprobs.length}`, "TS-4.2");
      const values = topLogprobs.map(({ logprob }) => logprob);
      if (values.some((value, j) => value > (values[j - 1] ?? 0)))
        fail(`top_logprobs must be in descending order; in ${where} they are ${JSON.stringify(values)}`, "TS-4.2");
      const sum = values.reduce((total, value) => total + Math.exp(value), 0);
      if (sum > 1 + SLACK)
        fail(
          `The probabilities of different tokens cannot add up to ${sum}; in ${where} the logprobs are ${JSON.stringify(values)}`,
        );
      demandDrawn(entry, where, fail);
    }
  }
  const numEntries = choices.reduce((total, { logprobs }) => total + logprobs!.length, 0);
  if (usage !== null && usage.completionTokens !== numEntries) {
    fail(
      `Every generated token must have an entry: usage has ${usage.completionTokens} tokens, and logprobs has ${numEntries} entries`,
      "TS-4.4",
    );
  }
}

/** Checks that the drawn token has the same logprob in the list, and that it is in the list if it is likely enough. */
function demandDrawn(entry: TokenLogprob, where: string, fail: (message: string, clause?: string) => never): void {
  const alike = entry.topLogprobs.filter((other) => labelOf(other) === labelOf(entry));
  const last = entry.topLogprobs.at(-1)!;
  if (
    alike.length === 0
      ? entry.logprob > last.logprob + SLACK
      : !alike.some(({ logprob }) => Math.abs(logprob - entry.logprob) <= SLACK)
  ) {
    const listed = JSON.stringify(entry.topLogprobs);
    fail(
      `In ${where} ${quoted(entry.token)} was drawn with logprob ${entry.logprob}, which its top_logprobs contradict: ${listed}`,
      "TS-4.2",
    );
  }
}

function demandGreedy({ choices, exchange }: Answer): void {
  for (const { index, logprobs } of choices) {
    const at = logprobs!.findIndex(({ logprob, topLogprobs }) => logprob < topLogprobs[0]!.logprob - SLACK);
    if (at < 0) continue;
    const { token, topLogprobs } = logprobs![at]!;
    const message = `At temperature 0 token ${at} of choice ${index} is ${quoted(token)}, and ${quoted(topLogprobs[0]!.token)} is likelier`;
    throw new Violation(message, [exchange], "TS-3.10");
  }
}

/** Checks that log-probabilities are returned only on request, and that requesting them does not change the answer. */
async function checkAsked(probe: Probe): Promise<void> {
  const cases = requests(probe, { maxTokens: { min: 4, max: 16 }, seed: probe.features.has("seed") });
  await probe.forAll(
    cases,
    async (request) => {
      const without = await probe.ask(request);
      if (without.choices.some(({ logprobs }) => logprobs !== null)) {
        throw new Violation("logprobs were not requested, but the answer has some", [without.exchange], "TS-4.8");
      }
      const bare = await probe.ask({ ...request, logprobs: true });
      const listed = bare.choices
        .flatMap(({ logprobs }) => logprobs ?? [])
        .find(({ topLogprobs }) => topLogprobs.length > 0);
      if (listed !== undefined) {
        throw new Violation(
          `Without top_logprobs the lists must be empty; one has ${listed.topLogprobs.length} entries`,
          [bare.exchange],
          "TS-4.2",
        );
      }
      if (!probe.features.has("seed")) return;
      const changed = difference(without, {
        ...bare,
        choices: bare.choices.map((choice) => ({ ...choice, logprobs: null })),
      });
      if (changed === null || difference(without, await probe.ask(request)) !== null) return;
      throw new Violation(
        `Requesting logprobs changed the answer: ${changed}`,
        [without.exchange, bare.exchange],
        "TS-4.10",
      );
    },
    { numRuns: 2, share: 0.5 },
  );
}

/** Checks that the list of the first token depends only on the prompt, not on parameters that change the logits. */
async function checkUnprocessed(probe: Probe): Promise<void> {
  const capabilities = await probe.send("", { method: "GET", path: "/capabilities" });
  if (capabilities.status === 200 && /"logprobs"\s*:\s*"processed"/.test(capabilities.text)) {
    return probe.note(
      "The endpoint says that it reports processed log-probabilities, so they were not held against the model's own.",
    );
  }
  const changes = Object.entries(PROCESSING).filter(([feature]) =>
    probe.features.has(feature as keyof typeof PROCESSING),
  );
  if (changes.length === 0) return;
  const cases = fc.record({
    change: fc.constantFrom(...changes.map(([name, value]) => ({ [name]: value }))),
    seed: seeds,
  });
  await probe.forAll(
    cases,
    async ({ change, seed }) => {
      const first = (fields: object) =>
        probe.ask({
          ...user("Tell me a story"),
          ...(probe.features.has("seed") ? { seed } : {}),
          ...limit(probe, 1),
          logprobs: true,
          top_logprobs: 3,
          ...fields,
        });
      const [plain, processed] = [await first({}), await first(change)];
      const [expected, got] = [plain, processed].map(
        ({ choices }) => choices[0]?.logprobs?.[0]?.topLogprobs.map(({ logprob }) => logprob) ?? [],
      );
      // Values of the same prompt may differ slightly if the order of additions varies.
      if (expected!.length === got!.length && expected!.every((value, i) => Math.abs(value - got![i]!) < 0.01)) return;
      const lists = `${JSON.stringify(expected)} without it, ${JSON.stringify(got)} with it`;
      throw new Violation(
        `The model's logprobs for the first token cannot depend on ${JSON.stringify(change)}: ${lists}`,
        [plain.exchange, processed.exchange],
      );
    },
    { numRuns: 3, examples: changes.slice(0, 1).map(([name, value]) => ({ change: { [name]: value }, seed: 1 })) },
  );
}

const PROCESSING = { temperature: 0.3, top_k: 2, repetition_penalty: 1.9, logit_bias: { "40": 60 } };

/** Tolerance for rounding of log-probabilities to float32. */
const SLACK = 1e-4;

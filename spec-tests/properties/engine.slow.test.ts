/**
 * Properties of complete answers with all sampling and text parameters, on the token loop and a fast fake model.
 * scheduling.slow.test.ts tests the influence of other requests and of the cache.
 */

import fc from "fast-check";
import { afterAll, beforeAll, expect } from "vitest";

import { generationConfig, type GenerationOptions } from "../../engine/sampling/generation-config.js";
import { AnswerCollector, type AnswerResult } from "../../engine/core/answer-collector.js";
import type { OutputDelta } from "../../engine/core/sequence.js";
import { PLAIN, THINK, THINKING } from "../../engine/message/message-format.js";
import { TextStream } from "../../engine/message/text-stream.js";
import { generationConfigs } from "../fixtures/generation-configs.js";
import { createEngine, END_TOKEN, PROFILES, tokenizer, type LoadedProfile } from "../fixtures/scheduling-profiles.js";
import { law } from "./law.js";

interface Ask extends GenerationOptions {
  readonly prompt: readonly number[];
  /** True if the chat template has opened the reasoning. */
  readonly reasons?: boolean;
}

type Answer = Omit<AnswerResult, "timings" | "seed">;

const profile = PROFILES[0]!;
let loaded: LoadedProfile;
beforeAll(async () => {
  loaded = await profile.load();
});
afterAll(() => loaded.close());

/** Returns the answers of one engine to concurrent requests. */
async function answers(asks: readonly Ask[]): Promise<Answer[]> {
  const { engine } = createEngine(profile, loaded, { maxPages: 4000 });
  return Promise.all(
    asks.map(({ prompt, reasons = false, ...options }) => {
      const config = generationConfig(options);
      const start = { format: reasons ? THINKING : PLAIN, insideReasoning: reasons };
      const { stop, includeStop, separateReasoning } = config;
      return readAll(
        engine.submit({
          promptTokenIds: prompt,
          promptParam: "messages",
          config,
          createText: () =>
            new TextStream({
              vocabulary: tokenizer,
              promptIds: prompt,
              ...start,
              separateReasoning,
              stop,
              includeStop,
            }),
        }),
      );
    }),
  );
}

const answer = async (ask: Ask): Promise<Answer> => (await answers([ask]))[0]!;

async function readAll(stream: AsyncIterable<OutputDelta>): Promise<Answer> {
  const collector = new AnswerCollector();
  const finished = new Set<number>();
  let isWhole = false;
  for await (const delta of stream) {
    expect(isWhole, "nothing comes after the usage").toBe(false);
    expect(finished.has(delta.choice), "nothing of a choice comes after its end").toBe(false);
    if (delta.finishReason !== null) finished.add(delta.choice);
    isWhole = delta.usage !== null;
    collector.add(delta);
  }
  const { choices, usage } = collector.result(0);
  return { choices, usage };
}

const tokens = fc.nat(END_TOKEN);
const prompt = fc.array(fc.nat(255), { minLength: 1, maxLength: 20 });
const asks = fc
  .record({
    prompt,
    reasons: fc.boolean(),
    config: generationConfigs({
      n: fc.integer({ min: 1, max: 4 }),
      maxTokens: fc.integer({ min: 1, max: 30 }),
      // Extreme values are frequent anyway; these values keep several tokens likely.
      temperature: fc.constantFrom(0, 0.3, 0.7, 1, 2),
      repetitionPenalty: fc.constantFrom(1, 1, 0.7, 1.4),
      logitBias: fc
        .array(fc.tuple(tokens, fc.integer({ min: -100, max: 5 })), { maxLength: 4 })
        .map((entries) => new Map(entries)),
      logprobs: fc.constant(true),
      topLogprobs: fc.nat(3),
    }),
  })
  .map(({ config, ...rest }) => ({ ...config, ...rest }));
type FullAsk = typeof asks extends fc.Arbitrary<infer T> ? T : never;

const runs = { numRuns: 60 };

law(
  "TS-2.11",
  "the same request with the same seed gets the same answer",
  fc.asyncProperty(asks, async (ask) => {
    expect(await answer(ask)).toEqual(await answer(ask));
  }),
  runs,
);

law(
  "TS-2.11",
  "another seed gives another answer if many tokens are likely",
  fc.asyncProperty(prompt, fc.maxSafeInteger(), fc.maxSafeInteger(), async (prompt, a, b) => {
    fc.pre(a !== b);
    const [first, second] = await answers(
      [a, b].map((seed) => ({ prompt, seed, maxTokens: 30, logitBias: new Map([[END_TOKEN, -100]]) })),
    );
    expect(first!.choices[0]!.tokenIds).not.toEqual(second!.choices[0]!.tokenIds);
  }),
  runs,
);

law(
  "TS-10.8",
  "concurrent requests do not change an answer, whatever their parameters",
  fc.asyncProperty(fc.array(asks, { minLength: 2, maxLength: 5 }), async (all) => {
    const together = await answers(all);
    for (const [index, ask] of all.entries()) expect(together[index]!.choices).toEqual((await answer(ask)).choices);
  }),
  runs,
);

law(
  "TS-2.10",
  "choice i of n is choice i of i + 1",
  fc.asyncProperty(asks, async (ask) => {
    const { choices } = await answer({ ...ask, n: 4 });
    for (const n of [1, 2, 3]) expect((await answer({ ...ask, n })).choices).toEqual(choices.slice(0, n));
  }),
  runs,
);

law(
  "TS-3.10",
  "at temperature 0 seeds, choices and filters have no effect",
  fc.asyncProperty(asks, fc.maxSafeInteger(), async (ask, seed) => {
    const greedy: FullAsk = { ...ask, n: 2, temperature: 0 };
    const { choices } = await answer(greedy);
    expect(choices[1]).toEqual(choices[0]);
    expect((await answer({ ...greedy, seed, topK: null, topP: null, minP: null })).choices).toEqual(choices);
  }),
  runs,
);

law(
  "TS-4.10",
  "requesting log-probabilities changes nothing else",
  fc.asyncProperty(asks, async (ask) => {
    const without = await answer({ ...ask, logprobs: false, topLogprobs: 0 });
    expect(without.choices.flatMap(({ logprobs }) => logprobs)).toEqual([]);
    const { choices, usage } = await answer(ask);
    expect(without).toEqual({ choices: choices.map((choice) => ({ ...choice, logprobs: [] })), usage });
  }),
  runs,
);

law(
  "TS-4.4",
  "every token has an entry with its bytes, a log-probability of at most 0 and the requested number of alternatives",
  fc.asyncProperty(asks, async (ask) => {
    for (const { tokenIds, logprobs } of (await answer(ask)).choices) {
      expect(logprobs.map(({ tokenId }) => tokenId)).toEqual(tokenIds);
      for (const { topLogprobs, ...own } of logprobs) {
        expect(topLogprobs).toHaveLength(ask.topLogprobs);
        expect(topLogprobs.map(({ logprob }) => logprob)).toEqual(
          topLogprobs.map(({ logprob }) => logprob).toSorted((a, b) => b - a),
        );
        for (const { tokenId, token, logprob, bytes } of [own, ...topLogprobs]) {
          expect(bytes).toEqual([...tokenizer.tokenBytes(tokenId)]);
          expect(token).toBe(tokenizer.tokenText(tokenId));
          expect(logprob).toBeLessThanOrEqual(0);
        }
      }
    }
  }),
  runs,
);

law(
  "TS-4.9",
  "the bytes of the entries are those of the content, unless a stop sequence cut it",
  fc.asyncProperty(asks, async (ask) => {
    // Only ASCII tokens, so that the text is valid UTF-8.
    const logitBias = new Map(Array.from({ length: 128 }, (_, index) => [128 + index, -100]));
    for (const { content, logprobs } of (await answer({ ...ask, prompt: [65], reasons: false, stop: [], logitBias }))
      .choices) {
      expect([...new TextEncoder().encode(content)]).toEqual(logprobs.flatMap(({ bytes }) => bytes));
    }
  }),
  runs,
);

law(
  "TS-5.3",
  "stop sequences cut the answer that is generated without them",
  fc.asyncProperty(asks, async (ask) => {
    const whole = await answer({ ...ask, stop: [], reasons: false });
    const cut = await answer({ ...ask, reasons: false, includeStop: true });
    for (const [index, { tokenIds, content }] of cut.choices.entries()) {
      expect(tokenIds).toEqual(whole.choices[index]!.tokenIds.slice(0, tokenIds.length));
      expect(whole.choices[index]!.content.startsWith(content)).toBe(true);
      const beforeLast = tokenizer.decode(tokenIds.slice(0, -1));
      for (const sequence of ask.stop)
        for (const before of [content.slice(0, -1), beforeLast]) expect(before).not.toContain(sequence);
    }
  }),
  runs,
);

law(
  "TS-5.8",
  "stop sequences do not end the reasoning",
  fc.asyncProperty(asks, async (ask) => {
    // Without "<" the model cannot close the reasoning that the template has opened.
    const unfinished = { ...ask, reasons: true, logitBias: new Map([[60, -100]]) };
    expect(await answer(unfinished)).toEqual(await answer({ ...unfinished, stop: [] }));
  }),
  runs,
);

law(
  "TS-5.10",
  "finish_reason is stop for an end token or a stop sequence, also at the last allowed token, and length for the limit",
  fc.asyncProperty(asks, async (ask) => {
    const { choices } = await answer({ ...ask, reasons: false, includeStop: true });
    for (const [index, { tokenIds, content, finishReason }] of choices.entries()) {
      const isStopped = ask.stop.some((sequence) => content.endsWith(sequence));
      expect(finishReason).toBe(tokenIds.at(-1) === END_TOKEN || isStopped ? "stop" : "length");
      if (finishReason === "length") expect(tokenIds).toHaveLength(ask.maxTokens!);
      expect(tokenIds.slice(0, -1)).not.toContain(END_TOKEN);
      const exact = await answer({ ...ask, reasons: false, includeStop: true, maxTokens: tokenIds.length });
      expect(exact.choices[index]!.finishReason).toBe(finishReason);
    }
  }),
  runs,
);

law(
  "TS-5.11",
  "a lower max_tokens gives a prefix of the same tokens, of at most that length",
  fc.asyncProperty(asks, fc.integer({ min: 1, max: 30 }), async (ask, maxTokens) => {
    const whole = await answer({ ...ask, maxTokens: 30 });
    for (const [index, { tokenIds, logprobs }] of (await answer({ ...ask, maxTokens })).choices.entries()) {
      const longer = whole.choices[index]!;
      expect(tokenIds).toEqual(longer.tokenIds.slice(0, maxTokens));
      expect(logprobs).toEqual(longer.logprobs.slice(0, maxTokens));
    }
  }),
  runs,
);

law(
  "TS-5.12",
  "usage counts every token of every choice once",
  fc.asyncProperty(asks, async (ask) => {
    const { choices, usage } = await answer(ask);
    const completionTokens = choices.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);
    const promptTokens = ask.prompt.length;
    const totalTokens = promptTokens + completionTokens;
    expect(usage).toMatchObject({ promptTokens, completionTokens, totalTokens, cachedTokens: 0 });
    // The fake model does not close the reasoning that the template has opened.
    expect(usage.reasoningTokens).toBe(ask.reasons ? completionTokens : 0);
  }),
  runs,
);

law(
  "TS-6.5",
  "separate_reasoning changes the field of the text, and no token",
  fc.asyncProperty(asks, async (ask) => {
    const reasoning = { ...ask, reasons: true };
    const apart = await answer({ ...reasoning, separateReasoning: true });
    const together = await answer({ ...reasoning, separateReasoning: false });
    expect(together.usage).toEqual(apart.usage);
    for (const [index, choice] of together.choices.entries()) {
      expect(choice.tokenIds).toEqual(apart.choices[index]!.tokenIds);
      expect(choice.reasoning ?? "").toBe("");
      expect(choice.content.startsWith(THINK.open)).toBe(true);
      expect(choice.content).toContain(apart.choices[index]!.reasoning);
    }
  }),
  runs,
);

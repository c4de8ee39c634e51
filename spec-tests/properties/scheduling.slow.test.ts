/**
 * Properties of the engine's token loop, with every profile: concurrent requests, earlier requests, the number of
 * choices and clients that leave early never change an output; nothing is computed twice without need; all pages are
 * released.
 */

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";

import type { Engine } from "../../engine/core/engine.js";
import { EngineError } from "../../engine/errors.js";
import { generationConfig } from "../../engine/sampling/generation-config.js";
import type { OutputDelta, Usage } from "../../engine/core/sequence.js";
import { PLAIN } from "../../engine/message/message-format.js";
import { TextStream } from "../../engine/message/text-stream.js";
import { draftFrom } from "../fixtures/drafts.js";
import { randomSource } from "../fixtures/random-model.js";
import {
  CONTEXT,
  createEngine,
  END_TOKEN,
  PROFILES,
  tokenizer,
  type EngineUnderTest,
  type LoadedProfile,
} from "../fixtures/scheduling-profiles.js";

interface Ask {
  readonly prompt: readonly number[];
  readonly seed: number;
  readonly n: number;
  /** null: as many as fit. */
  readonly maxTokens: number | null;
  readonly logitBias?: ReadonlyMap<number, number>;
  readonly contextLengthExceededBehavior?: "error";
}

/** A request, its arrival in event loop ticks, and the number of deltas after which its consumer leaves. */
interface Visit {
  readonly ask: Ask;
  readonly arrival: number;
  readonly patience: number;
}

interface Choice {
  content: string;
  tokenIds: number[];
  logprobs: number[];
  finishReason: string | null;
}

interface Output {
  readonly choices: Choice[];
  readonly usage: Usage | null;
}

describe.each(PROFILES)("$name", (profile) => {
  const { blockSize, pageSize, numRuns, reuse } = profile;
  let loaded: LoadedProfile;
  beforeAll(async () => {
    loaded = await profile.load();
  });
  afterAll(() => loaded.close());
  const create = (options: Parameters<typeof createEngine>[2] = {}): EngineUnderTest =>
    createEngine(profile, loaded, options);
  const alone = (ask: Ask): Promise<Output> => readAll(submit(create().engine, ask));

  /**
   * Prompts that often share prefixes: a part of one of three prefixes, two of which begin alike, and some other
   * tokens.
   */
  const prompts = fc
    .tuple(fc.nat(2), fc.nat(5 * blockSize), fc.array(fc.nat(3), { minLength: 1, maxLength: 2 * blockSize }))
    .map(([family, numShared, own]) => [...prefix(family).slice(0, numShared), ...own]);
  const asks: fc.Arbitrary<Ask> = fc.record({
    prompt: prompts,
    seed: fc.integer({ min: -1000, max: 1000 }),
    n: fc.constantFrom(1, 1, 1, 2, 4, 7),
    maxTokens: fc.integer({ min: 1, max: 20 }),
  });
  const visits: fc.Arbitrary<Visit> = fc.record({
    ask: asks,
    arrival: fc.nat(12),
    patience: fc.constantFrom(Infinity, Infinity, 0, 1, 5),
  });
  /** Number of pages that a request needs to run alone. */
  const numPagesOf = ({ prompt, maxTokens }: Ask): number =>
    Math.ceil(prompt.length / pageSize) +
    Math.ceil((prompt.length + (maxTokens ?? CONTEXT)) / pageSize) -
    Math.floor(prompt.length / pageSize);

  describe("the output of a request does not depend", () => {
    test("TS-10.8 on prefixes, arrival and departure of other requests, or on memory", async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(visits, { minLength: 2, maxLength: 8 }),
          fc.nat(5),
          fc.integer({ min: 1, max: 4 }),
          async (all, numSparePages, slots) => {
            const expected = [];
            for (const { ask } of all) expected.push((await alone(ask)).choices);
            const maxPages = Math.max(...all.map(({ ask }) => numPagesOf(ask))) + numSparePages;
            const { engine, cache, prompts } = create({ slots, maxPages });
            const seen = await Promise.all(all.map((visit, index) => visited(engine, visit, index % 2 === 0)));
            for (const [index, output] of seen.entries()) {
              if (all[index]!.patience === Infinity) expect(output.choices).toEqual(expected[index]);
            }
            await engine.idle();
            expect(cache.numPagesUsed).toBe(0);
            expect(cache.numPagesCached).toBeLessThanOrEqual(maxPages);
            expect(cache.reserve(maxPages)).toBe(true);
            if (all.every(({ patience }) => patience === Infinity)) {
              const numComputed = seen.reduce((sum, { usage }) => sum + usage!.promptTokens - usage!.cachedTokens, 0);
              expect(prompts.numTokens).toBe(numComputed);
            }
          },
        ),
        { numRuns },
      );
    });

    test("TS-10.7 on the content of the prefix cache, complete or partly evicted", async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(asks, { minLength: 2, maxLength: 6 }),
          fc.option(fc.nat(5)),
          async (all, numSparePages) => {
            const roomy = numSparePages === null;
            const maxPages = roomy ? 600 : Math.max(...all.map(numPagesOf)) + numSparePages;
            const { engine } = create({ maxPages });
            for (const ask of [...all, ...all]) {
              const warm = await readAll(submit(engine, ask));
              expect(warm.choices).toEqual((await alone(ask)).choices);
            }
            if (!roomy) return;
            const again = await readAll(submit(engine, all[0]!));
            const numBeforeLast = all[0]!.prompt.length - 1;
            expect(again.usage!.cachedTokens).toBe(
              reuse === "token" ? numBeforeLast : numBeforeLast - (numBeforeLast % blockSize),
            );
          },
        ),
        { numRuns },
      );
    });

    test("TS-10.12 on drafts of its tokens, right or wrong", async () => {
      const random = randomSource(11);
      let numDrafted = 0;
      await fc.assert(
        fc.asyncProperty(
          fc.array(asks, { minLength: 1, maxLength: 5 }),
          fc.constantFrom(0, 0.1, 0.5, 1),
          fc.integer({ min: 1, max: 4 }),
          async (all, wrong, slots) => {
            const expected: Choice[][] = [];
            for (const ask of all) expected.push((await alone(ask)).choices);
            const counts = draftFrom(
              expected.flat().map(({ tokenIds }) => tokenIds),
              { random, wrong },
            );
            try {
              const { engine, cache } = create({ slots, drafts: true });
              // The second time, prompts continue what answers with drafts have left in the prefix cache.
              for (const _ of ["cold", "warm"]) {
                const seen = await Promise.all(all.map((ask) => readAll(submit(engine, ask))));
                expect(seen.map(({ choices }) => choices)).toEqual(expected);
              }
              const continued = all.map((ask, index) => {
                const { tokenIds } = expected[index]![0]!;
                return { ...ask, prompt: [...ask.prompt, ...tokenIds, 7] };
              });
              const seen = await Promise.all(continued.map((ask) => readAll(submit(engine, ask))));
              vi.restoreAllMocks();
              for (const [index, ask] of continued.entries())
                expect(seen[index]!.choices).toEqual((await alone(ask)).choices);
              await engine.idle();
              expect(cache.numPagesUsed).toBe(0);
              numDrafted += counts.numDrafted;
            } finally {
              vi.restoreAllMocks();
            }
          },
        ),
        { numRuns },
      );
      expect(numDrafted).toBeGreaterThan(0);
    });

    test("TS-2.10 choice i of n is choice i of i + 1", async () => {
      await fc.assert(
        fc.asyncProperty(asks, async (ask) => {
          const whole = await readAll(submit(create({ slots: 3 }).engine, ask));
          expect(whole.choices).toHaveLength(ask.n);
          const fewer = await alone({ ...ask, n: Math.max(1, ask.n - 1) });
          expect(whole.choices.slice(0, fewer.choices.length)).toEqual(fewer.choices);
        }),
        { numRuns },
      );
    });
  });

  describe("nothing is computed twice without need", () => {
    const TURNS = 10;

    /** Ten turns of a conversation; returns how often each position was computed. */
    async function converse(numUserTokens: number, numAnswerTokens: number): Promise<{ times: number[] }> {
      const { engine, prompts, tokens } = create();
      let history: number[] = [];
      for (let turn = 0; turn < TURNS; turn++) {
        const prompt = [...history, ...Array.from({ length: numUserTokens }, (_, i) => (turn * 31 + i * 7) % 256)];
        const ask = { prompt, seed: turn, n: 1, maxTokens: numAnswerTokens, logitBias: new Map([[END_TOKEN, -100]]) };
        const warm = await readAll(submit(engine, ask));
        expect(warm.choices).toEqual((await alone(ask)).choices);
        history = [...prompt, ...warm.choices[0]!.tokenIds];
      }
      const times = new Array<number>(history.length).fill(0);
      for (const { start, count } of [...prompts.calls, ...tokens.calls].flat()) {
        for (let position = start; position < start + count; position++) times[position]!++;
      }
      return { times };
    }

    test("TS-10.7 a conversation of ten turns, each message as long as a block", async () => {
      const { times } = await converse(blockSize, 12);
      // The last drawn token never runs. With reuse by blocks, each token runs again when its block is complete.
      expect(times.pop()).toBe(0);
      expect(Math.max(...times)).toBe(reuse === "token" ? 1 : 2);
      expect(Math.min(...times)).toBe(1);
    });

    test("TS-10.7 a conversation of ten turns of a few tokens", async () => {
      const { times } = await converse(3, 5);
      expect(times.pop()).toBe(0);
      const numComputed = times.reduce((a, b) => a + b, 0);
      if (reuse === "token") expect(numComputed).toBe(times.length);
      // The block in which a prompt ends runs again with the next prompt.
      else expect(numComputed).toBeLessThanOrEqual(2 * times.length + TURNS * blockSize);
    });

    test("TS-10.7 sixteen requests with a system message of 300 tokens, at once", async () => {
      const system = prefix(0).slice(0, 300);
      const all = Array.from({ length: 16 }, (_, i) => ({
        prompt: [...system, 200 + i, ...Array.from({ length: (i * 5) % 23 }, (_, j) => (i + j) % 256)],
        seed: i,
        n: 1 + (i % 2),
        maxTokens: 4,
      }));
      const expected = [];
      for (const ask of all) expected.push((await alone(ask)).choices);
      const { engine, prompts } = create({ maxPages: 4000, slots: 5 });
      const together = await Promise.all(all.map((ask) => readAll(submit(engine, ask))));
      expect(together.map(({ choices }) => choices)).toEqual(expected);
      const numOwn = all.reduce((sum, { prompt }) => sum + prompt.length - system.length, 0);
      if (reuse === "token") expect(prompts.numTokens).toBe(300 + numOwn);
      else expect(prompts.numTokens).toBeLessThanOrEqual(300 + numOwn + 16 * blockSize);
    });

    test("TS-10.7 a prompt that contains an earlier answer", async () => {
      const { engine, prompts } = create();
      const prompt = prefix(1).slice(0, blockSize + 3);
      const first = { prompt, seed: 1, n: 1, maxTokens: 2 * blockSize, logitBias: new Map([[END_TOKEN, -100]]) };
      const { choices } = await readAll(submit(engine, first));
      prompts.calls.length = 0;
      const second = { prompt: [...prompt, ...choices[0]!.tokenIds, 7], seed: 1, n: 1, maxTokens: 3 };
      const warm = await readAll(submit(engine, second));
      expect(warm.choices).toEqual((await alone(second)).choices);
      // Only the last drawn token and the new token run. With reuse by blocks, all but the prompt's complete block run.
      expect(prompts.numTokens).toBe(reuse === "token" ? 2 : second.prompt.length - blockSize);
    });
  });

  describe("the token loop", () => {
    test("TS-5.12 usage counts every generated token, and the prompt once", async () => {
      const { choices, usage } = await alone({ prompt: [1, 2, 3], seed: 5, n: 4, maxTokens: 9 });
      const completionTokens = choices.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);
      expect(usage).toMatchObject({
        promptTokens: 3,
        completionTokens,
        totalTokens: 3 + completionTokens,
        cachedTokens: 0,
      });
      for (const { tokenIds, logprobs, finishReason } of choices) {
        expect(logprobs).toHaveLength(tokenIds.length);
        expect(finishReason).toBe(tokenIds.at(-1) === END_TOKEN ? "stop" : "length");
        if (finishReason === "length") expect(tokenIds).toHaveLength(9);
      }
    });

    test("TS-10.6 runs prompts in aligned blocks, at most one block between two steps of the running sequences, which run as a batch", async () => {
      const { engine, prompts, tokens } = create();
      const order: string[] = [];
      for (const [name, runner] of Object.entries({ prompts, tokens })) {
        const { forward } = runner;
        runner.forward = (passes) => {
          order.push(name);
          return forward.call(runner, passes);
        };
      }
      const unended = new Map([[END_TOKEN, -100]]);
      const long = Array.from({ length: 3 * blockSize + 5 }, (_, i) => i);
      const all = [
        { prompt: [1], n: 3 },
        { prompt: long, n: 1 },
      ].map((ask) => ({ ...ask, seed: 1, maxTokens: 20, logitBias: unended }));
      await Promise.all(all.map((ask) => readAll(submit(engine, ask))));
      const blocks = prompts.calls.map(([pass, ...others]) => [pass!.start, pass!.count, others.length]);
      expect(blocks).toEqual([
        [0, 1, 0],
        ...[0, 1, 2].map((i) => [i * blockSize, blockSize, 0]),
        [3 * blockSize, 5, 0],
      ]);
      expect(order.join(" ")).not.toMatch(/tokens prompts prompts/);
      expect(Math.max(...tokens.calls.map((passes) => passes.length))).toBe(4);
      // 19 steps of the first request; the 19 steps of the second overlap with them and follow.
      expect(tokens.calls.length).toBeLessThanOrEqual(19 + blocks.length);
    });

    test("TS-10.9 a prompt that fails does not affect other requests", async () => {
      const { engine, prompts, cache } = create();
      const ask = { prompt: [1, 2, 3], seed: 3, n: 2, maxTokens: 10 };
      prompts.poison = 99;
      const failing = readAll(submit(engine, { prompt: [1, 2, 99], seed: 3, n: 1, maxTokens: 10 }));
      const fine = readAll(submit(engine, ask));
      await expect(failing).rejects.toMatchObject({ code: "internal_error", message: "poisoned" });
      expect((await fine).choices).toEqual((await alone(ask)).choices);
      await engine.idle();
      expect(cache.numPagesUsed).toBe(0);
      // The failed prompt is not in the prefix cache.
      prompts.poison = null;
      const again = { ...ask, prompt: [1, 2, 99, 4] };
      expect((await readAll(submit(engine, again))).choices).toEqual((await alone(again)).choices);
    });

    test("TS-10.9 a token that fails ends only its own request; concurrent requests continue", async () => {
      const { engine, tokens, cache } = create({ slots: 4 });
      const unended = new Map([
        [END_TOKEN, -100],
        [99, -100],
      ]);
      const fine = [4, 5].map((seed) => ({ prompt: [1, 2, seed], seed, n: 1, maxTokens: 30, logitBias: unended }));
      const failing = { prompt: [1, 2, 6], seed: 3, n: 1, maxTokens: 30, logitBias: new Map([[99, 100]]) };
      tokens.poison = 99;
      const outputs = await Promise.allSettled(
        [fine[0]!, failing, fine[1]!].map((ask) => readAll(submit(engine, ask))),
      );
      expect(outputs[1]).toMatchObject({ status: "rejected", reason: { code: "internal_error", message: "poisoned" } });
      for (const [index, ask] of [
        [0, fine[0]!],
        [2, fine[1]!],
      ] as const) {
        expect((outputs[index] as PromiseFulfilledResult<Output>).value.choices).toEqual((await alone(ask)).choices);
      }
      await engine.idle();
      expect(cache.numPagesUsed).toBe(0);
      // The prefix cache may contain the prompt of the failed request, but not the failed token.
      tokens.poison = null;
      const again = { ...failing, prompt: [1, 2, 6, 99, 99, 1] };
      const warm = await readAll(submit(engine, again));
      expect(warm.choices).toEqual((await alone(again)).choices);
      expect(warm.usage!.cachedTokens).toBe(reuse === "token" ? 3 : 0);
    });

    test("TS-1.4 lowers max_tokens to the context or refuses, as requested; never cuts a prompt", async () => {
      const { engine } = create();
      const prompt = Array.from({ length: CONTEXT - 5 }, () => 65);
      const { choices } = await readAll(submit(engine, { prompt, seed: 1, n: 1, maxTokens: 50 }));
      expect(choices[0]!.tokenIds.length).toBeLessThanOrEqual(5);
      expect(() =>
        submit(engine, { prompt, seed: 1, n: 1, maxTokens: 50, contextLengthExceededBehavior: "error" }),
      ).toThrow(/prompt has 1019 tokens and maxTokens is 50.*at most 1024/);
      const tooLong = Array.from({ length: CONTEXT }, () => 65);
      expect(() => submit(engine, { prompt: tooLong, seed: 1, n: 1, maxTokens: 1 })).toThrow(EngineError);
    });

    test("TS-9.11 refuses at once a request that can never fit in memory", async () => {
      const { engine } = create({ maxPages: 5 });
      const prompt = Array.from({ length: 4 * pageSize }, () => 1);
      expect(() => submit(engine, { prompt, seed: 1, n: 1, maxTokens: pageSize + 1 })).toThrow(
        `memory is set aside for ${5 * pageSize} positions`,
      );
    });

    test("TS-2.7 without max_tokens memory determines the limit", async () => {
      const { engine } = create({ maxPages: 5 });
      const prompt = Array.from({ length: pageSize + 3 }, () => 1);
      const { choices } = await readAll(
        submit(engine, { prompt, seed: 1, n: 1, maxTokens: null, logitBias: new Map([[END_TOKEN, -100]]) }),
      );
      // The prompt's last page is copied for the answer: of the five pages, two are the prompt's and three the
      // answer's.
      expect(choices[0]!.tokenIds.length).toBe(4 * pageSize - prompt.length);
    });

    test("TS-8.12 an aborted signal refuses at once", async () => {
      const { engine } = create();
      expect(() => submit(engine, { prompt: [1], seed: 1, n: 1, maxTokens: 2 }, AbortSignal.abort())).toThrow(
        /aborted/,
      );
    });
  });
});

/** Returns one of three long token sequences. 0 and 1 begin with the same tokens. */
function prefix(family: number): number[] {
  return Array.from({ length: 320 }, (_, i) => (i < 11 && family < 2 ? i : (i * 13 + family * 101) % 251));
}

function submit(engine: Engine, ask: Ask, signal?: AbortSignal): AsyncGenerator<OutputDelta> {
  const { prompt, seed, n, maxTokens, logitBias = null, contextLengthExceededBehavior = "truncate" } = ask;
  return engine.submit({
    promptTokenIds: prompt,
    promptParam: "messages",
    config: generationConfig({
      seed,
      n,
      maxTokens,
      logitBias,
      contextLengthExceededBehavior,
      logprobs: true,
      topLogprobs: 2,
    }),
    createText: () =>
      new TextStream({
        vocabulary: tokenizer,
        promptIds: prompt,
        format: PLAIN,
        insideReasoning: false,
        separateReasoning: false,
        stop: [],
        includeStop: false,
      }),
    signal,
  });
}

/** Submits a request at its arrival and leaves after its patience, by abort or by ending the iteration. */
async function visited(engine: Engine, { ask, arrival, patience }: Visit, aborts: boolean): Promise<Output> {
  for (let tick = 0; tick < arrival; tick++) await new Promise((resolve) => setImmediate(resolve));
  const controller = new AbortController();
  let numRead = 0;
  try {
    return await readAll(submit(engine, ask, controller.signal), () => {
      if (numRead++ < patience) return true;
      if (aborts) controller.abort();
      return aborts;
    });
  } catch (error) {
    expect((error as Error).name).toBe("AbortError");
    return { choices: [], usage: null };
  }
}

/** @param goesOn called before each delta is stored; returns false to end the iteration */
async function readAll(stream: AsyncIterable<OutputDelta>, goesOn: () => boolean = () => true): Promise<Output> {
  const choices: Choice[] = [];
  let usage: Usage | null = null;
  for await (const delta of stream) {
    if (!goesOn()) break;
    const choice = (choices[delta.choice] ??= { content: "", tokenIds: [], logprobs: [], finishReason: null });
    expect(choice.finishReason).toBeNull();
    choice.content += delta.content;
    choice.tokenIds.push(...delta.tokenIds);
    choice.logprobs.push(...delta.logprobs.map(({ logprob }) => logprob));
    choice.finishReason = delta.finishReason;
    if (delta.usage !== null) usage = delta.usage;
  }
  return { choices, usage };
}

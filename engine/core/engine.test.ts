/**
 * Tests of the token loop with a fast fake model: how requests share the places of a step, what a fault ends, and how a
 * request waits for its reader.
 */

import { getEventListeners } from "node:events";

import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";

import {
  createEngine,
  END_TOKEN,
  PROFILES,
  tokenizer,
  type EngineUnderTest,
  type LoadedProfile,
} from "../../spec-tests/fixtures/scheduling-profiles.js";
import { draftFrom } from "../../spec-tests/fixtures/drafts.js";
import { randomSource } from "../../spec-tests/fixtures/random-model.js";
import { InvalidLogitsError, KernelFailure } from "../../kernels/index.js";
import { BrokenInvariant, EngineError } from "../errors.js";
import { LIMITS } from "../limits.js";
import type { AnswerMask } from "../message/answer-mask.js";
import { PLAIN, THINKING } from "../message/message-format.js";
import { TextStream, type TextStreamOptions } from "../message/text-stream.js";
import { generationConfig, type GenerationOptions } from "../sampling/generation-config.js";
import { Sampler } from "../sampling/sampler.js";
import { AnswerCollector } from "./answer-collector.js";
import type { Engine, EngineRequest } from "./engine.js";
import { KVCache } from "./kv-cache.js";
import { LMHead } from "./lm-head.js";
import { Scheduler } from "./scheduler.js";
import type { OutputDelta } from "./sequence.js";

const PROFILE = PROFILES[0]!;
const MAX_PAGES = 200;
/** Draws tokens that are never an end token. */
const UNENDED = new Map([[END_TOKEN, -100]]);
/** Draws the letter A, so that each token completes text. */
const LETTERS = new Map([[65, 100]]);

let loaded: LoadedProfile;
beforeAll(async () => {
  loaded = await PROFILE.load();
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** An answer that is much larger than what may wait for its reader. */
const LARGE: Ask = { n: 8, maxTokens: 60, logprobs: true, topLogprobs: 20, logitBias: LETTERS };

interface Ask extends GenerationOptions {
  readonly prompt?: readonly number[];
}

function create(options: Parameters<typeof createEngine>[2] = {}): EngineUnderTest {
  return createEngine(PROFILE, loaded, { maxPages: MAX_PAGES, ...options });
}

function createText(promptIds: readonly number[], changes: Partial<TextStreamOptions> = {}): TextStream {
  const reasoning = { format: PLAIN, insideReasoning: false, separateReasoning: false };
  return new TextStream({ vocabulary: tokenizer, promptIds, ...reasoning, stop: [], includeStop: false, ...changes });
}

function submit(
  engine: Engine,
  { prompt = [1, 2, 3], ...options }: Ask,
  changes: Partial<EngineRequest> = {},
): AsyncGenerator<OutputDelta, void, void> {
  return engine.submit({
    promptTokenIds: prompt,
    promptParam: "messages",
    config: generationConfig({ seed: 1, logitBias: UNENDED, ...options }),
    createText: () => createText(prompt),
    ...changes,
  });
}

async function choicesOf(deltas: AsyncIterable<OutputDelta>): Promise<object> {
  const collector = new AnswerCollector();
  for await (const delta of deltas) collector.add(delta);
  return collector.result(0).choices;
}

const alone = (ask: Ask): Promise<object> => choicesOf(submit(create().engine, ask));

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Waits until the engine has stopped to run steps. */
async function settled({ tokens }: EngineUnderTest): Promise<number> {
  for (let before = -1; before !== tokens.calls.length;) {
    before = tokens.calls.length;
    await turns(10);
  }
  return tokens.calls.length;
}

/** Expects that no request holds pages or reservations. */
async function expectNothingHeld({ engine, cache, prompts }: EngineUnderTest): Promise<void> {
  await engine.idle();
  expect(prompts.keepsPrompt).toBe(false);
  expect(cache.numPagesUsed).toBe(0);
  expect(cache.reserve(MAX_PAGES)).toBe(true);
  cache.unreserve(MAX_PAGES);
}

describe("places", () => {
  const BIG: Ask = { n: 128, maxTokens: 12 };

  test.each([
    [1, 16],
    [4, 32],
    [16, 128],
  ])("a newcomer draws its first token in the step after its prompt (%i places, n = %i)", async (slots, n) => {
    const under = create({ slots, maxPages: 2000 });
    const { engine, tokens } = under;
    const bigChoices = choicesOf(submit(engine, { ...BIG, n }));
    while (tokens.calls.length < 20) await turns(1);
    expect(tokens.calls.at(-1)!.length).toBe(slots);

    const ask: Ask = { prompt: [7, 8, 9], maxTokens: 40, logitBias: LETTERS };
    const start = tokens.calls.length;
    const newcomer = submit(engine, ask);
    const first = await newcomer.next();
    expect(first.value!.content).toBe("A");
    expect(tokens.calls.length - start).toBeLessThanOrEqual(2);

    for await (const delta of newcomer) if (delta.finishReason !== null) break;
    // With one place the two requests take turns; with more, the newcomer has one in every step.
    expect(tokens.calls.length - start).toBeLessThanOrEqual(slots === 1 ? 85 : 45);
    expect(await bigChoices).toEqual(await alone({ ...BIG, n }));
  });

  test("a first token is delivered before the others run", async () => {
    const { engine, prompts, tokens } = create({ maxPages: 2000 });
    const other = choicesOf(submit(engine, { n: 4, maxTokens: 40 }));
    while (tokens.calls.length < 5) await turns(1);
    let numRead = 0;
    const numReadAtPasses: number[] = [];
    const forward = tokens.forward.bind(tokens);
    tokens.forward = (passes) => {
      if (prompts.calls.length === 2) numReadAtPasses.push(numRead);
      return forward(passes);
    };
    for await (const _ of submit(engine, { prompt: [7, 8, 9], maxTokens: 3, logitBias: LETTERS })) numRead++;
    expect(numReadAtPasses.slice(0, 2)).toEqual([1, 1]);
    await other;
  });

  test("a request that is canceled while first tokens are delivered does not run again", async () => {
    const { engine, tokens } = create({ maxPages: 2000 });
    const controller = new AbortController();
    const other = choicesOf(submit(engine, { n: 4, maxTokens: 40 }, { signal: controller.signal }));
    const reason = other.then(null, (error: Error) => error.message);
    while (tokens.calls.length < 5) await turns(1);
    let numBefore = 0;
    for await (const _ of submit(engine, { prompt: [7, 8, 9], maxTokens: 5, logitBias: LETTERS })) {
      if (controller.signal.aborted) continue;
      numBefore = tokens.calls.length;
      controller.abort(new Error("enough"));
    }
    expect(await reason).toBe("enough");
    expect(tokens.calls.slice(numBefore).map(({ length }) => length)).toEqual([1, 1, 1, 1]);
  });

  test("a place that a reader leaves unused goes to others at once", async () => {
    const under = create({ slots: 4, maxPages: 2000 });
    const { engine, tokens } = under;
    const controller = new AbortController();
    const big = submit(engine, BIG, { signal: controller.signal });
    await big.next();
    const other = choicesOf(submit(engine, { n: 4, maxTokens: 20 }));
    await turns(5);
    controller.abort(new Error("enough"));
    const start = tokens.calls.length;
    expect(await other).toEqual(await alone({ n: 4, maxTokens: 20 }));
    expect(tokens.calls.length - start).toBeLessThanOrEqual(21);
    await expect(choicesOf(big)).rejects.toThrow("enough");
    await engine.idle();
    expect(under.cache.numPagesUsed).toBe(0);
  });

  test("requests that are submitted while the loop ends still run", async () => {
    const { engine } = create();
    for (let round = 0; round < 40; round++) {
      const deltas = submit(engine, { maxTokens: 1 });
      for (let hop = 0; hop < round % 7; hop++) await Promise.resolve();
      await choicesOf(deltas);
      if (round % 3 === 0) await engine.idle();
    }
    await engine.idle();
  });

  test("a request of a single token holds nothing afterwards", async () => {
    const under = create();
    await choicesOf(submit(under.engine, { maxTokens: 1 }));
    await expectNothingHeld(under);
  });

  test("a canceled request ends the loop, whenever it is canceled", async () => {
    for (let numTurns = 0; numTurns < 8; numTurns++) {
      const under = create();
      const controller = new AbortController();
      const deltas = submit(under.engine, { maxTokens: 50 }, { signal: controller.signal });
      await turns(numTurns);
      controller.abort(new Error("enough"));
      await expectNothingHeld(under);
      await expect(choicesOf(deltas)).rejects.toThrow("enough");
    }
  });
});

describe("a request", () => {
  const read = async (deltas: AsyncIterable<OutputDelta>): Promise<OutputDelta[]> => {
    const all = [];
    for await (const delta of deltas) all.push(delta);
    return all;
  };

  test("reports usage and timings with its last delta only", async () => {
    const { engine } = create({ slots: 2 });
    const start = performance.now();
    const deltas = await read(submit(engine, { n: 3, maxTokens: 5, logitBias: LETTERS }));
    const elapsed = performance.now() - start;
    expect(deltas).toHaveLength(15);
    const last = deltas.pop()!;
    expect(last.usage).toEqual({
      promptTokens: 3,
      completionTokens: 15,
      totalTokens: 18,
      reasoningTokens: 0,
      cachedTokens: 0,
    });
    const { promptMs, completionMs } = last.timings!;
    expect(Math.min(promptMs, completionMs)).toBeGreaterThanOrEqual(0);
    expect(promptMs + completionMs).toBeLessThanOrEqual(elapsed);
    for (const { usage, timings } of deltas) expect([usage, timings]).toEqual([null, null]);
    expect(deltas.filter(({ finishReason }) => finishReason !== null)).toHaveLength(2);
    for (const { content, reasoning, tokenIds, logprobs } of deltas)
      expect({ content, reasoning, tokenIds, logprobs }).toEqual({
        content: "A",
        reasoning: null,
        tokenIds: [65],
        logprobs: [],
      });

    const again = await read(submit(engine, { n: 1, maxTokens: 1 }));
    expect(again.at(-1)!.usage!.cachedTokens).toBe(2);
  });

  test("reports the text and the bytes of its tokens and of their alternatives", async () => {
    const { engine } = create();
    const [delta] = await read(
      submit(engine, { maxTokens: 1, logprobs: true, topLogprobs: 3, logitBias: new Map([[66, 100]]) }),
    );
    const [entry] = delta!.logprobs;
    expect(entry).toMatchObject({ tokenId: 66, token: "B", bytes: [66], logprob: expect.any(Number) });
    expect(entry!.topLogprobs).toHaveLength(3);
    for (const { tokenId, bytes } of entry!.topLogprobs) expect(bytes).toEqual(tokenId < 256 ? [tokenId] : []);
  });

  test("ends at an end token, whose text is not part of the answer", async () => {
    const { engine } = create();
    const [delta, ...others] = await read(submit(engine, { maxTokens: 9, logitBias: new Map([[END_TOKEN, 100]]) }));
    expect(others).toEqual([]);
    expect(delta).toMatchObject({ content: "", tokenIds: [END_TOKEN], finishReason: "stop" });

    const withText = create({ endTokenIds: [65] });
    expect(await read(submit(withText.engine, { maxTokens: 9, logitBias: LETTERS }))).toMatchObject([
      { content: "", tokenIds: [65], finishReason: "stop" },
    ]);
  });

  test("delivers tokens with the text that they complete", async () => {
    const { engine } = create();
    const createMask = (): AnswerMask => {
      let numTokens = 0;
      const allowed = (): Uint32Array => {
        const tokenId = [195, 169][numTokens % 2]!;
        const words = new Uint32Array(Math.ceil(tokenizer.vocabSize / 32));
        words[tokenId >> 5] = 1 << (tokenId & 31);
        return words;
      };
      return anyToken({ allowed, accept: () => void numTokens++ });
    };
    const deltas = await read(submit(engine, { maxTokens: 4 }, { createMask, createText: () => createText([1]) }));
    expect(deltas.map(({ content, tokenIds }) => [content, tokenIds])).toEqual([
      ["é", [195, 169]],
      ["é", [195, 169]],
    ]);
  });

  test.each([
    [["AAA"], 9, "", 3, "stop"],
    [["AB"], 4, "AAAA", 4, "length"],
    [["ZZ"], 2, "AA", 2, "length"],
  ] as const)(
    "with the stop sequence %o and %i tokens gives %o",
    async (stop, maxTokens, content, numTokens, finishReason) => {
      const { engine } = create();
      const deltas = await read(
        submit(engine, { maxTokens, logitBias: LETTERS }, { createText: () => createText([1], { stop }) }),
      );
      expect(deltas.map((delta) => delta.content).join("")).toBe(content);
      expect(deltas.flatMap(({ tokenIds }) => tokenIds)).toHaveLength(numTokens);
      expect(deltas.at(-1)!.finishReason).toBe(finishReason);
    },
  );

  test("stops if the text that was held back until the end completes a stop sequence", async () => {
    const { engine } = create();
    const createText195 = (): TextStream => createText([1], { stop: ["\uFFFD"] });
    // The token is the first byte of a character; what is missing becomes U+FFFD at the end.
    const ask = { maxTokens: 1, logitBias: new Map([[195, 100]]) };
    const [delta] = await read(submit(engine, ask, { createText: createText195 }));
    expect(delta).toMatchObject({ content: "", finishReason: "stop" });
  });

  test("delivers reasoning as it grows, and what was held back of it at the end", async () => {
    const { engine } = create();
    const reasoning = { format: THINKING, insideReasoning: true, separateReasoning: true };
    const createReasoning = (): TextStream => createText([1], reasoning);
    const letters = await read(submit(engine, { maxTokens: 3, logitBias: LETTERS }, { createText: createReasoning }));
    expect(letters.map((delta) => [delta.content, delta.reasoning])).toEqual([
      ["", "A"],
      ["", "A"],
      ["", "A"],
    ]);
    expect(letters.at(-1)!.usage!.reasoningTokens).toBe(3);

    // Each token is the first byte of a character; what is missing becomes U+FFFD when that is known.
    const ask = { n: 2, maxTokens: 2, logitBias: new Map([[195, 100]]) };
    const held = await read(submit(engine, ask, { createText: createReasoning }));
    const textOf = (choice: number): string =>
      held.flatMap((delta) => (delta.choice === choice ? [delta.reasoning] : [])).join("");
    expect([0, 1].map(textOf)).toEqual(["\uFFFD\uFFFD", "\uFFFD\uFFFD"]);
    expect(held.at(-1)!.usage!.reasoningTokens).toBe(4);
  });

  test("whose mask is finished may still draw an end token, and has stopped in any case", async () => {
    const { engine } = create();
    const createMask = (): AnswerMask => anyToken({ isFinished: true });
    const deltas = await read(submit(engine, { maxTokens: 3, logitBias: LETTERS }, { createMask }));
    expect(deltas.flatMap(({ tokenIds }) => tokenIds)).toEqual([65, 65, 65]);
    expect(deltas.at(-1)!.finishReason).toBe("stop");
  });

  test("whose mask is finished ends at once if the model has no end token", async () => {
    const { engine } = create({ endTokenIds: [] });
    const createMask = (): AnswerMask => anyToken({ isFinished: true });
    const [delta, ...others] = await read(submit(engine, { maxTokens: 3, logitBias: LETTERS }, { createMask }));
    expect(others).toEqual([]);
    expect(delta).toMatchObject({ content: "A", tokenIds: [65], finishReason: "stop" });
    expect(await read(submit(engine, { maxTokens: 3, logitBias: LETTERS }))).toHaveLength(3);
  });

  test("is refused at once if its signal has been aborted", () => {
    const { engine } = create();
    expect(() => submit(engine, {}, { signal: AbortSignal.abort(new Error("before")) })).toThrow("before");
  });

  test("has at most the tokens that context and memory leave, or is refused with the numbers", async () => {
    const prompt = (length: number): number[] => Array<number>(length).fill(65);
    const refused = (under: EngineUnderTest, options: Ask): unknown => {
      try {
        submit(under.engine, options);
      } catch (error) {
        const { code, message, param } = error as EngineError;
        return { code, message, param };
      }
      return null;
    };
    const roomy = create({ maxPages: 600 });
    const code = "context_length_exceeded";
    expect(refused(roomy, { prompt: prompt(1024), maxTokens: 1 })).toEqual({
      code,
      message: "The prompt has 1024 tokens; the context holds 1024, of which at least one must be left for the answer.",
      param: "messages",
    });
    const strict = { maxTokens: 5, contextLengthExceededBehavior: "error" } as const;
    expect(refused(roomy, { ...strict, prompt: prompt(1020) })).toEqual({
      code,
      message: "The prompt has 1020 tokens and maxTokens is 5; together they may be at most 1024.",
      param: "maxTokens",
    });
    const tokensOf = async (under: EngineUnderTest, options: Ask): Promise<number> =>
      (await read(submit(under.engine, { logitBias: LETTERS, ...options }))).flatMap(({ tokenIds }) => tokenIds).length;
    expect(await tokensOf(roomy, { ...strict, prompt: prompt(1019) })).toBe(5);
    expect(await tokensOf(roomy, { prompt: prompt(1020), maxTokens: 5 })).toBe(4);
    expect(await tokensOf(roomy, { prompt: prompt(1023) })).toBe(1);

    const small = create({ maxPages: 5 });
    expect(await tokensOf(small, { prompt: prompt(7) })).toBe(9);
    expect(refused(small, { prompt: prompt(16), maxTokens: 5 })).toEqual({
      code,
      message: "The prompt has 16 tokens and 5 may follow; memory is set aside for 20 positions.",
      param: "messages",
    });
    expect(refused(small, { prompt: prompt(21) })).toMatchObject({ code, param: "messages" });
  });

  test("of a batch that fails runs again alone, and ends only if it fails again", async () => {
    const under = create({ slots: 8 });
    const asks = [1, 2, 3].map((seed): Ask => ({
      prompt: [seed, 4],
      seed,
      n: 2,
      maxTokens: 12,
      logitBias: new Map([...UNENDED, [99, -100]]),
    }));
    under.tokens.poison = 99;
    const others = asks.map((ask) => choicesOf(submit(under.engine, ask)));
    const failing = choicesOf(submit(under.engine, { prompt: [5], maxTokens: 12, logitBias: new Map([[99, 100]]) }));
    await expect(failing).rejects.toMatchObject({ code: "internal_error", message: "poisoned" });
    for (const [index, other] of others.entries()) expect(await other).toEqual(await alone(asks[index]!));
    await expectNothingHeld(under);
    // The batch and, once for each sequence of it, a pass alone.
    expect(under.tokens.calls.filter(({ length }) => length === 1).length).toBeGreaterThanOrEqual(5);
  });

  test("that throws no Error is reported by its text", async () => {
    const { engine } = create();
    const createMask = (): never => {
      throw "odd";
    };
    await expect(choicesOf(submit(engine, {}, { createMask }))).rejects.toMatchObject({
      code: "internal_error",
      message: "odd",
    });
  });
});

/** Returns a mask that allows every token. */
function anyToken(
  changes: Partial<Pick<AnswerMask, "prepare" | "allowed" | "accept" | "isFinished">> = {},
): AnswerMask {
  const allowed = new Uint32Array(Math.ceil(tokenizer.vocabSize / 32)).fill(0xffff_ffff);
  return { prepare: () => true, allowed: () => allowed, accept: () => {}, isFinished: false, ...changes } as AnswerMask;
}

/** Returns a function that throws in its k-th call. */
function failingAt<T>(k: number, error: Error, otherwise: () => T): () => T {
  let numCalls = 0;
  return () => {
    if (++numCalls === k) throw error;
    return otherwise();
  };
}

describe("a fault of one request", () => {
  const boom = (): Error => new Error("boom");
  const textThat = (changes: (text: TextStream) => void): TextStream => {
    const text = createText([1, 2, 3]);
    changes(text);
    return text;
  };
  const FAULTS: [string, () => Partial<EngineRequest>][] = [
    ["creation of the text", () => ({ createText: failingAt(1, boom(), () => createText([1, 2, 3])) })],
    ["creation of a later text", () => ({ createText: failingAt(5, boom(), () => createText([1, 2, 3])) })],
    ["creation of the mask", () => ({ createMask: failingAt(1, boom(), anyToken) })],
    ["creation of a later mask", () => ({ createMask: failingAt(6, boom(), anyToken) })],
    [
      "a broken invariant of the mask",
      () => ({ createMask: failingAt(2, new BrokenInvariant("boom"), () => anyToken()) }),
    ],
    [
      "computing the mask",
      () => ({ createMask: () => anyToken({ allowed: failingAt(3, boom(), () => anyToken().allowed()) }) }),
    ],
    ["accepting a token", () => ({ createMask: () => anyToken({ accept: failingAt(3, boom(), () => {}) }) })],
    [
      "text of a token",
      () => ({
        createText: () =>
          textThat((text) => {
            const push = text.push.bind(text);
            let numTokens = 0;
            text.push = (tokenId) => {
              if (++numTokens === 4) throw boom();
              return push(tokenId);
            };
          }),
      }),
    ],
    [
      "text at the end",
      () => ({
        createText: () =>
          textThat((text) => {
            text.finish = () => {
              throw boom();
            };
          }),
      }),
    ],
    [
      "the delta",
      () => ({
        createText: () =>
          textThat((text) =>
            Object.defineProperty(text, "hasReasoning", {
              get: () => {
                throw boom();
              },
            }),
          ),
      }),
    ],
    ["the size of the mask", () => ({ createMask: () => anyToken({ allowed: () => new Uint32Array(1) }) })],
  ];

  test.each(FAULTS)("ends only that request and gives back what it held: %s", async (_, changes) => {
    const under = create({ slots: 3 });
    const { engine } = under;
    const fine: Ask = { prompt: [4, 5], n: 3, maxTokens: 15 };
    const others = [choicesOf(submit(engine, fine)), choicesOf(submit(engine, { ...fine, seed: 2 }))];
    const failing = choicesOf(submit(engine, { n: 8, maxTokens: 10, seed: 3 }, changes()));
    await expect(failing).rejects.toMatchObject({
      name: "EngineError",
      code: "internal_error",
      cause: { stack: expect.anything() },
    });
    expect(await Promise.all(others)).toEqual([await alone(fine), await alone({ ...fine, seed: 2 })]);
    await expectNothingHeld(under);
    for (let round = 0; round < 2; round++)
      await expect(choicesOf(submit(engine, { n: 8, maxTokens: 10 }, changes()))).rejects.toThrow();
    await expectNothingHeld(under);
    expect(await choicesOf(submit(engine, fine))).toEqual(await alone(fine));
  });

  test("keeps its code if it is an EngineError", async () => {
    const error = new EngineError("unsupported_value", "no", "responseFormat");
    const { engine } = create();
    const deltas = submit(engine, { maxTokens: 3 }, { createMask: failingAt(1, error, anyToken) });
    await expect(choicesOf(deltas)).rejects.toBe(error);
  });

  test("logits that define no distribution end the request that draws from them", async () => {
    const under = create();
    const { kernels } = loaded;
    const sample = kernels.sample.bind(kernels);
    vi.spyOn(kernels, "sample").mockImplementation((logits, vocabSize, request) => {
      if (request.temperature === 0.5) throw new InvalidLogitsError("The row of logits holds NaN");
      return sample(logits, vocabSize, request);
    });
    const fine = choicesOf(submit(under.engine, { maxTokens: 5 }));
    await expect(choicesOf(submit(under.engine, { temperature: 0.5, maxTokens: 5 }))).rejects.toThrow(/holds NaN/);
    expect(await fine).toEqual(await alone({ maxTokens: 5 }));
    await expectNothingHeld(under);
  });

  test.each(["prompts", "tokens"] as const)("memory that the machine lacks ends the request: %s", async (name) => {
    const under = create();
    const runner = under[name];
    const forward = runner.forward.bind(runner);
    runner.forward = async (passes) => {
      // A runner first extends the tables of its passes, for which pages are allocated.
      if (passes.some(({ table }) => table.numPositions >= (name === "prompts" ? 0 : 15)))
        vi.spyOn(loaded.kernels, "allocate").mockImplementation(() => {
          throw new RangeError("no memory");
        });
      try {
        return await forward(passes);
      } finally {
        vi.restoreAllMocks();
      }
    };
    const failing = choicesOf(submit(under.engine, { n: 2, maxTokens: 30 }));
    await expect(failing).rejects.toMatchObject({ code: "internal_error", message: "no memory" });
    await expectNothingHeld(under);
    runner.forward = forward;
    expect(await choicesOf(submit(under.engine, { n: 2, maxTokens: 30 }))).toEqual(
      await alone({ n: 2, maxTokens: 30 }),
    );
  });
});

describe("a fault outside the work of one request", () => {
  const trap = (): Error => new WebAssembly.RuntimeError("unreachable");
  const rejecting = (error: Error) => () => Promise.reject(error);
  const throwing = (error: Error) => () => {
    throw error;
  };
  const FAULTS: [string, (under: EngineUnderTest) => void][] = [
    ["a trap in a token", ({ tokens }) => (tokens.forward = rejecting(trap()))],
    ["a failed kernel in a token", ({ tokens }) => (tokens.forward = rejecting(new KernelFailure("thread died")))],
    ["a trap in a prompt", ({ prompts }) => (prompts.forward = rejecting(trap()))],
    ["a broken invariant in a prompt", ({ prompts }) => (prompts.forward = rejecting(new BrokenInvariant("pages")))],
    ["a broken invariant in a token", ({ tokens }) => (tokens.forward = rejecting(new BrokenInvariant("pages")))],
    ["no hidden state", ({ prompts }) => (prompts.forward = async () => [])],
    ["a trap in the LM head", () => vi.spyOn(LMHead.prototype, "project").mockImplementation(throwing(trap()))],
    [
      "an error of the LM head",
      () => vi.spyOn(LMHead.prototype, "project").mockImplementation(throwing(new Error("odd"))),
    ],
    ["a trap while sampling", () => vi.spyOn(loaded.kernels, "sample").mockImplementation(throwing(trap()))],
    [
      "a failed kernel while sampling",
      () => vi.spyOn(loaded.kernels, "sample").mockImplementation(throwing(new KernelFailure("thread died"))),
    ],
    [
      "reservations",
      ({ cache }) => vi.spyOn(cache, "unreserve").mockImplementation(throwing(new BrokenInvariant("KV"))),
    ],
    ["admission", ({ cache }) => vi.spyOn(cache, "reserve").mockImplementation(throwing(new Error("KV")))],
    ["memory that was lost", ({ cache }) => void cache.reserve(MAX_PAGES - 1)],
  ];

  test.each(FAULTS)("ends the engine with one error for all: %s", async (_, inject) => {
    const under = create({ slots: 2 });
    const { engine, prompts, tokens } = under;
    inject(under);
    const asks = [1, 2, 3, 3].map((n, seed) => choicesOf(submit(engine, { seed, n, maxTokens: 5 })));
    const reasons = (await Promise.allSettled(asks)).map((outcome) => (outcome as PromiseRejectedResult).reason);
    const [failure] = reasons;
    expect(failure).toBeInstanceOf(EngineError);
    expect(failure).toMatchObject({
      code: "internal_error",
      message: expect.stringMatching(/^The engine has failed and must be loaded again: \w/),
      cause: expect.any(Error),
    });
    for (const reason of reasons) expect(reason).toBe(failure);
    expect(await engine.failed).toBe(failure);
    await engine.idle();
    expect(() => submit(engine, { maxTokens: 1 })).toThrow(failure);
    const numCalls = prompts.calls.length + tokens.calls.length;
    await turns(20);
    expect(prompts.calls.length + tokens.calls.length).toBe(numCalls);
  });

  test("ends requests that have run for a while, after the deltas that they had", async () => {
    const { engine, tokens } = create();
    const deltas = submit(engine, { maxTokens: 50, logitBias: LETTERS });
    const forward = tokens.forward.bind(tokens);
    tokens.forward = (passes) => (tokens.calls.length === 9 ? Promise.reject(trap()) : forward(passes));
    let text = "";
    await expect(async () => {
      for await (const { content } of deltas) text += content;
    }).rejects.toThrow(/failed.*unreachable/);
    expect(text).toBe("A".repeat(10));
  });
});

describe("a token mask that takes long", () => {
  /** Needs so many calls of `isOver` for each mask, and allows one letter after another. */
  class SlowMask {
    readonly isFinished = false;
    numCalls = 0;
    #numLeft: number;
    #numAccepted = 0;

    constructor(readonly numPieces: number) {
      this.#numLeft = numPieces;
    }

    prepare(isOver: () => boolean): boolean {
      this.numCalls++;
      for (; this.#numLeft > 0; this.#numLeft--) {
        if (isOver()) return false;
        // A piece takes some time, so that a slice ends after a few of them.
        for (const start = performance.now(); performance.now() - start < 0.2;);
      }
      return true;
    }

    allowed(): Uint32Array {
      expect(this.#numLeft).toBe(0);
      const allowed = new Uint32Array(Math.ceil(tokenizer.vocabSize / 32));
      const tokenId = 65 + (this.#numAccepted % 26);
      allowed[tokenId >> 5]! |= 1 << (tokenId & 31);
      return allowed;
    }

    accept(): void {
      this.#numLeft = this.numPieces;
      this.#numAccepted++;
    }

    get asMask(): AnswerMask {
      return this as unknown as AnswerMask;
    }
  }

  const slow = (numPieces: number, masks: SlowMask[] = []): (() => AnswerMask) => {
    return () => {
      const mask = new SlowMask(numPieces);
      masks.push(mask);
      return mask.asMask;
    };
  };
  const PLAIN_ASK: Ask = { prompt: [9, 8], maxTokens: 40 };

  test("does not stop the tokens of others, and its own answer is right", async () => {
    const under = create({ slots: 4 });
    const masks: SlowMask[] = [];
    const constrained = choicesOf(submit(under.engine, { n: 3, maxTokens: 4 }, { createMask: slow(200, masks) }));
    const plain = choicesOf(submit(under.engine, PLAIN_ASK));
    let isDone = false;
    void constrained.then(() => (isDone = true));
    expect(await plain).toEqual(await alone(PLAIN_ASK));
    expect(isDone).toBe(false);
    expect(await constrained).toMatchObject([{ content: "ABCD" }, { content: "ABCD" }, { content: "ABCD" }]);
    await expectNothingHeld(under);
  });

  test("of one request does not keep those of another from being ready", async () => {
    const under = create({ slots: 4 });
    const endless = new AbortController();
    const ask = { n: 4, maxTokens: 4 };
    const stuck = choicesOf(submit(under.engine, ask, { createMask: slow(1e9), signal: endless.signal }));
    const short = choicesOf(submit(under.engine, { maxTokens: 3 }, { createMask: slow(5) }));
    expect(await short).toMatchObject([{ content: "ABC" }]);
    endless.abort(new Error("enough"));
    await expect(stuck).rejects.toThrow("enough");
    await expectNothingHeld(under);
  });

  test("can be aborted, and requests that come meanwhile run", async () => {
    const under = create({ slots: 4 });
    const controller = new AbortController();
    const masks: SlowMask[] = [];
    const stuck = choicesOf(
      submit(under.engine, { maxTokens: 4 }, { createMask: slow(1e9, masks), signal: controller.signal }),
    );
    while ((masks[0]?.numCalls ?? 0) < 3) await turns(1);
    expect(await choicesOf(submit(under.engine, PLAIN_ASK))).toEqual(await alone(PLAIN_ASK));
    controller.abort(new Error("enough"));
    await expect(stuck).rejects.toThrow("enough");
    await expectNothingHeld(under);
    const { numCalls } = masks[0]!;
    await turns(20);
    expect(masks[0]!.numCalls).toBe(numCalls);
  });

  test("is given slices, not polled, while nothing else runs", async () => {
    const under = create();
    const masks: SlowMask[] = [];
    const schedule = vi.spyOn(Scheduler.prototype, "nextSequences");
    await choicesOf(submit(under.engine, { maxTokens: 2 }, { createMask: slow(100, masks) }));
    // Two masks of 20 ms each take a few steps, not thousands.
    expect(schedule.mock.calls.length).toBeLessThan(100);
  });

  describe("gets", () => {
    /** Milliseconds of a piece of work. */
    const PIECE_MS = 0.25;
    let clockMs = 0;
    /** Masks in the order in which a piece of each was computed. */
    let pieces: string[] = [];
    beforeEach(() => {
      pieces = [];
      vi.spyOn(performance, "now").mockImplementation(() => clockMs);
    });

    /** Creates masks that are ready for the first token, and not before the end of time for the second. */
    const endless = (name: string): (() => AnswerMask) => {
      let numCreated = 0;
      return () => {
        const own = `${name}${numCreated++}`;
        let isFirst = true;
        return anyToken({
          accept: () => (isFirst = false),
          prepare: (isOver) => {
            while (!isFirst && !isOver()) {
              pieces.push(own);
              clockMs += PIECE_MS;
            }
            return isFirst;
          },
        });
      };
    };

    test.each([
      [0, LIMITS.minMaskSliceMs],
      [12, 6],
      [100, LIMITS.maxMaskSliceMs],
    ])("a slice of each step, in which requests take turns: beside passes of %i ms, %i ms", async (passMs, sliceMs) => {
      const under = create({ slots: 8 });
      const controller = new AbortController();
      const asks = (
        [
          ["a", 3],
          ["b", 1],
        ] as const
      ).map(([name, n]) =>
        choicesOf(submit(under.engine, { n, maxTokens: 9 }, { createMask: endless(name), signal: controller.signal })),
      );
      const times: number[] = [];
      const forward = under.tokens.forward.bind(under.tokens);
      under.tokens.forward = (passes) => {
        times.push(clockMs);
        clockMs += passMs;
        return forward(passes);
      };
      await choicesOf(submit(under.engine, PLAIN_ASK));
      controller.abort(new Error("enough"));
      for (const ask of asks) await expect(ask).rejects.toThrow("enough");

      // The masks are wanted from the second step on.
      const slices = times.slice(4).map((time, index) => time - times[index + 3]! - passMs);
      expect(new Set(slices)).toEqual(new Set([sliceMs]));
      const names = pieces.filter((name, index) => name !== pieces[index - 1]);
      const start = names.lastIndexOf("a0") - 12;
      expect(names.slice(start, start + 6)).toEqual(["a0", "b0", "a1", "b0", "a2", "b0"]);
      const turnMs = (pieces.length / names.length) * PIECE_MS;
      expect(turnMs).toBeCloseTo(LIMITS.maskTurnMs, 1);
    });

    test("a longer slice while nothing else can run", async () => {
      const under = create();
      const controller = new AbortController();
      const times: number[] = [];
      const original = Scheduler.prototype.nextSequences;
      vi.spyOn(Scheduler.prototype, "nextSequences").mockImplementation(function (this: Scheduler, isReady) {
        times.push(clockMs);
        if (times.length === 8) controller.abort(new Error("enough"));
        return original.call(this, isReady);
      });
      const ask = submit(under.engine, { maxTokens: 9 }, { createMask: endless("a"), signal: controller.signal });
      await expect(choicesOf(ask)).rejects.toThrow("enough");
      const slices = times.slice(3, 7).map((time, index) => time - times[index + 2]!);
      expect(slices).toEqual(Array(4).fill(LIMITS.minMaskSliceMs + LIMITS.maxMaskSliceMs));
    });
  });

  test.each<[string, (mask: SlowMask, choice: number) => void]>([
    [
      "in its work",
      (mask) => {
        let numCalls = 0;
        mask.prepare = () => {
          if (++numCalls === 2) throw new Error("boom");
          return false;
        };
      },
    ],
    [
      "for a token, while that of another choice is not ready",
      (mask, choice) => {
        let isFirst = true;
        mask.prepare = () => isFirst;
        mask.allowed = () => anyToken().allowed();
        mask.accept = () => {
          if (choice === 0) throw new Error("boom");
          isFirst = false;
        };
      },
    ],
  ])("that fails ends its request, and nothing spins afterwards: %s", async (_, change) => {
    const under = create();
    let numMasks = 0;
    const createMask = (): AnswerMask => {
      const mask = new SlowMask(10);
      change(mask, numMasks++);
      return mask.asMask;
    };
    const plain = choicesOf(submit(under.engine, PLAIN_ASK));
    const failing = submit(under.engine, { n: 2 }, { createMask });
    expect(await plain).toEqual(await alone(PLAIN_ASK));
    await expectNothingHeld(under);

    const deltas = submit(under.engine, LARGE);
    await settled(under);
    const schedule = vi.spyOn(Scheduler.prototype, "nextSequences");
    await turns(20);
    expect(schedule).not.toHaveBeenCalled();
    await expect(choicesOf(failing)).rejects.toMatchObject({ code: "internal_error", message: "boom" });
    await deltas.return();
  });
});

describe("drafts", () => {
  /** Asks whose tokens depend on those before, with everything that an answer may have. */
  const ASKS: readonly Ask[] = [
    { maxTokens: 40, seed: 1 },
    { maxTokens: 1, seed: 2 },
    { maxTokens: 2, seed: 3 },
    { n: 5, maxTokens: 25, seed: 4, temperature: 2 },
    { maxTokens: 30, seed: 5, frequencyPenalty: 1.5, presencePenalty: 0.5, repetitionPenalty: 1.3 },
    { maxTokens: 30, seed: 6, logprobs: true, topLogprobs: 3, topK: 5 },
    { maxTokens: 60, seed: 7, logitBias: new Map([[END_TOKEN, 3]]) },
    { maxTokens: 30, seed: 8, temperature: 0, prompt: [1, 2, 3, 4, 5, 6, 7, 8, 9] },
  ];
  const tokensOf = async (deltas: AsyncIterable<OutputDelta>): Promise<number[][]> => {
    const answers: number[][] = [];
    for await (const { choice, tokenIds } of deltas) (answers[choice] ??= []).push(...tokenIds);
    return answers;
  };

  test.each([
    ["all right", 0],
    ["some wrong", 0.2],
    ["mostly wrong", 0.8],
  ])("%s, change no answer, and what they held is given back", async (_, wrong) => {
    const expected = [];
    const answers = [];
    for (const ask of ASKS) {
      expected.push(await alone(ask));
      answers.push(...(await tokensOf(submit(create().engine, ask))));
    }
    const random = randomSource(3);
    const counts = draftFrom(answers, { random, wrong });
    for (let round = 0; round < 5; round++) {
      const under = create({ slots: 1 + (round % 3), drafts: true, maxPages: 2000 });
      const together = await Promise.all(ASKS.map((ask) => choicesOf(submit(under.engine, ask))));
      expect(together).toEqual(expected);
      await under.engine.idle();
      expect(under.cache.numPagesUsed).toBe(0);
      expect(under.cache.reserve(2000)).toBe(true);
    }
    expect(counts.numDrafted).toBeGreaterThan(200);
  });

  test("that are right take fewer passes, and no page is copied for wrong ones", async () => {
    const ask: Ask = { maxTokens: 63 };
    const answers = await tokensOf(submit(create().engine, ask));
    // The drafts go on where the answer ends.
    const longer = answers.map((tokenIds) => [...tokenIds, 1, 2, 3, 4, 5, 6, 7, 8]);
    const run = async (wrong: number): Promise<EngineUnderTest> => {
      draftFrom(longer, { random: () => 0.999, wrong });
      const under = create({ drafts: true });
      expect(await tokensOf(submit(under.engine, ask))).toEqual(answers);
      return under;
    };
    const right = await run(0);
    // The first token is drawn from the prompt; then eight at a time. The last one never runs.
    expect(right.tokens.calls.length).toBe(8);
    const [last] = right.tokens.calls.at(-1)!;
    expect(last!.start + last!.count).toBe(3 + 62);
    const trades = vi.spyOn(KVCache.prototype, "tradePage");
    const wrong = await run(1);
    expect(wrong.tokens.calls.length).toBe(62);
    // The first pass copies the prompt's last page, which the request shares with its choice.
    expect(trades.mock.calls.length).toBeLessThanOrEqual(1);
  });

  test("run with real n-grams, once their passes were measured, and never beyond the tokens of an answer", async () => {
    const under = create({ drafts: true });
    // One letter for ever is drafted rightly after a few tokens.
    const ask: Ask = { prompt: [65, 65, 65, 65], maxTokens: 50, temperature: 0, logitBias: LETTERS };
    expect(await choicesOf(submit(under.engine, ask))).toEqual(await alone(ask));
    const counts = under.tokens.calls.map(([pass]) => pass!.count);
    expect(Math.max(...counts)).toBeGreaterThan(1);
    expect(counts[0]).toBe(1);
    const lastPosition = Math.max(...under.tokens.calls.map(([pass]) => pass!.start + pass!.count));
    expect(lastPosition).toBe(4 + 50 - 1);
  });

  test("stop where the mask of the next token is not ready, and its answer is right", async () => {
    const isEven = (tokenId: number): boolean => tokenId % 2 === 0;
    const createMask = (): AnswerMask => {
      let numAccepted = 0;
      let numPolls = 0;
      const allowed = new Uint32Array(Math.ceil(tokenizer.vocabSize / 32)).fill(0x5555_5555);
      // Every fifth mask takes some turns.
      const isReady = (): boolean => numAccepted % 5 !== 4 || numPolls > 3;
      return anyToken({
        allowed: () => {
          if (!isReady()) throw new Error("a mask was asked for too early");
          return numAccepted % 3 === 2 ? new Uint32Array(allowed.length).fill(-1) : allowed;
        },
        accept: () => {
          numAccepted++;
          numPolls = 0;
        },
        prepare: () => {
          numPolls++;
          return isReady();
        },
      });
    };
    const ask: Ask = { n: 2, maxTokens: 40 };
    const expected = await tokensOf(submit(create().engine, ask, { createMask }));
    expect(expected[0]!.some(isEven)).toBe(true);
    const counts = draftFrom(expected, { random: randomSource(5), wrong: 0.1 });
    const under = create({ drafts: true });
    expect(await tokensOf(submit(under.engine, ask, { createMask }))).toEqual(expected);
    expect(counts.numDrafted).toBeGreaterThan(20);
    await expectNothingHeld(under);
  });

  test("do not end a request by a token that is never drawn", async () => {
    const ask: Ask = { maxTokens: 12, logitBias: new Map([...UNENDED, [99, -100]]) };
    const answers = await tokensOf(submit(create().engine, ask));
    draftFrom(
      answers.map((tokenIds) => tokenIds.map((tokenId, index) => (index % 4 === 3 ? 99 : tokenId))),
      { random: () => 0.999, wrong: 0 },
    );
    const under = create({ drafts: true });
    under.tokens.poison = 99;
    expect(await tokensOf(submit(under.engine, ask))).toEqual(answers);
    expect(under.tokens.calls.length).toBeGreaterThan(5);
  });

  test("stop for a reader that is behind, who gets the same answer", async () => {
    const expected = await choicesOf(submit(create().engine, LARGE));
    const answers = await tokensOf(submit(create().engine, LARGE));
    const counts = draftFrom(answers, { random: randomSource(7), wrong: 0.1 });
    const under = create({ slots: 3, drafts: true });
    const collector = new AnswerCollector();
    let numRead = 0;
    for await (const delta of submit(under.engine, LARGE)) {
      collector.add(delta);
      if (numRead++ % 50 === 0) await settled(under);
    }
    expect(counts.numDrafted).toBeGreaterThan(50);
    expect(collector.result(0).choices).toEqual(expected);
  });

  test("are not drawn from once the reader is behind", async () => {
    const ask = { ...LARGE, maxTokens: 47 };
    const answers = await tokensOf(submit(create().engine, ask));
    const drawnUnread = async (draftLength: number): Promise<number> => {
      if (draftLength > 0) draftFrom(answers, { random: () => draftLength / 8, wrong: 0 });
      const under = create({ slots: 1, drafts: draftLength > 0 });
      const accept = vi.spyOn(Sampler.prototype, "accept");
      accept.mockClear();
      const deltas = submit(under.engine, ask);
      await settled(under);
      const numDrawn = accept.mock.calls.length;
      await deltas.return();
      return numDrawn;
    };
    const plain = await drawnUnread(0);
    expect(plain).toBeLessThan(8 * 47);
    for (const length of [3, 4, 5, 6, 7]) expect(await drawnUnread(length)).toBe(plain);
  });

  test("of a request that leaves in the middle of them are dropped", async () => {
    const ask: Ask = { maxTokens: 60, logitBias: LETTERS };
    const counts = draftFrom([Array.from({ length: 60 }, () => 65)], { random: () => 0.999, wrong: 0 });
    for (const numRead of [1, 2, 5, 9, 10]) {
      const under = create({ drafts: true });
      const controller = new AbortController();
      const deltas = submit(under.engine, ask, { signal: controller.signal });
      for (let read = 0; read < numRead; read++) await deltas.next();
      controller.abort(new Error("enough"));
      await expect(choicesOf(deltas)).rejects.toThrow("enough");
      await expectNothingHeld(under);
    }
    expect(counts.numDrafted).toBeGreaterThan(5);
  });
});

describe("a reader that is behind", () => {
  test("does not end the engine while others wait for the memory of its request", async () => {
    const under = create({ maxPages: 130 });
    const deltas = submit(under.engine, { ...LARGE, n: 1, maxTokens: 400 });
    const waiting = choicesOf(submit(under.engine, { maxTokens: 150 }));
    await settled(under);
    const [first, second] = [await choicesOf(deltas), await waiting];
    expect(first).toMatchObject([{ content: "A".repeat(400) }]);
    expect(second).toEqual(await alone({ maxTokens: 150 }));
  });

  test("pauses its request, which keeps its pages while others run, and continues where it was", async () => {
    const under = create({ slots: 8 });
    const { engine, tokens, cache } = under;
    const schedule = vi.spyOn(Scheduler.prototype, "nextSequences");
    const deltas = submit(engine, LARGE);
    await deltas.next();
    const numSteps = await settled(under);
    expect(numSteps).toBeLessThan(40);
    const numScheduled = schedule.mock.calls.length;
    await turns(50);
    // Nothing spins while the request pauses.
    expect(schedule.mock.calls.length).toBe(numScheduled);
    const numHeld = cache.numPagesUsed;
    expect(numHeld).toBeGreaterThan(8);

    const fine: Ask = { prompt: [9], n: 8, maxTokens: 30 };
    expect(await choicesOf(submit(engine, fine))).toEqual(await alone(fine));
    expect(tokens.calls.length).toBeLessThanOrEqual(numSteps + 30);
    expect(cache.numPagesUsed).toBe(numHeld);

    const first = await choicesOf(submit(create().engine, { ...LARGE, n: 1 }));
    const whole = new AnswerCollector();
    const texts: string[] = Array.from({ length: 8 }, () => "");
    for await (const delta of deltas) {
      if (delta.usage !== null) expect(delta.usage.completionTokens).toBe(8 * 60);
      texts[delta.choice] += delta.content;
      whole.add(delta);
    }
    // One delta was read before.
    expect(texts.map(({ length }) => length).reduce((a, b) => a + b)).toBe(8 * 60 - 1);
    expect(first).toMatchObject([{ content: "A".repeat(60) }]);
    await engine.idle();
    expect(cache.numPagesUsed).toBe(0);
  });

  test("gets the same answer as a fast reader, however it reads", async () => {
    const under = create({ slots: 3 });
    const expected = await choicesOf(submit(create().engine, LARGE));
    const collector = new AnswerCollector();
    let numRead = 0;
    for await (const delta of submit(under.engine, LARGE)) {
      collector.add(delta);
      if (numRead++ % 50 === 0) await settled(under);
    }
    expect(collector.result(0).choices).toEqual(expected);
  });

  test("never has more than the bound and one step waiting", async () => {
    const under = create({ slots: 8 });
    const deltas = submit(under.engine, LARGE);
    await settled(under);
    const numDrawn = 8 * (under.tokens.calls.length + 1);
    const bytesPerToken = LIMITS.maxUnreadBytes / numDrawn;
    // 21 entries of about 60 bytes, and 200 bytes around them.
    expect(bytesPerToken).toBeGreaterThan(1200);
    expect(bytesPerToken).toBeLessThan(1600);
    await deltas.return();
    await deltas.next();
  });

  test("counts as gone after a bounded time; nothing is lost of what waits, and all is given back", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const under = create({ slots: 8 });
    const deltas = submit(under.engine, LARGE);
    await settled(under);
    vi.advanceTimersByTime(LIMITS.maxReaderPauseMs - 1);
    await turns(5);
    expect(under.cache.numPagesUsed).toBeGreaterThan(0);
    vi.advanceTimersByTime(1);
    await expectNothingHeld(under);
    let numDeltas = 0;
    await expect(async () => {
      for await (const _ of deltas) numDeltas++;
    }).rejects.toMatchObject({
      code: "reader_stalled",
      message: "The answer was not read: 256 KiB of it waited, and half of them were not taken within 60 seconds.",
    });
    expect(numDeltas).toBeGreaterThan(100);
  });

  test("that reads too slowly counts as gone too; one that reads half in time does not", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const under = create({ slots: 8 });
    const [slow, steady] = [submit(under.engine, LARGE), submit(under.engine, { ...LARGE, seed: 2 })];
    let numSteady = 0;
    for (let round = 0; round < 4; round++) {
      await settled(under);
      await slow.next();
      for (let i = 0; i < 100; i++) if (!(await steady.next()).done) numSteady++;
      vi.advanceTimersByTime(LIMITS.maxReaderPauseMs / 2);
    }
    await expect(choicesOf(slow)).rejects.toMatchObject({ code: "reader_stalled" });
    for await (const _ of steady) numSteady++;
    expect(numSteady).toBe(8 * 60);
    await under.engine.idle();
    expect(under.cache.numPagesUsed).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  test.each([
    ["abort", 0],
    ["abort", 1],
    ["leave", 0],
    ["leave", 1],
  ] as const)("gives all back at once when it goes: %s after %i deltas", async (how, numRead) => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const under = create({ slots: 8 });
    const controller = new AbortController();
    const deltas = submit(under.engine, LARGE, { signal: controller.signal });
    if (numRead > 0) await deltas.next();
    await settled(under);
    expect(vi.getTimerCount()).toBe(1);
    if (how === "abort") controller.abort(new Error("enough"));
    else await deltas.return();
    await expectNothingHeld(under);
    expect(vi.getTimerCount()).toBe(0);
    expect(getEventListeners(controller.signal, "abort")).toEqual([]);
  });

  test("leaves no listener on its signal after the end", async () => {
    const { engine } = create();
    const { signal } = new AbortController();
    const deltas = submit(engine, { maxTokens: 3 }, { signal });
    expect(getEventListeners(signal, "abort")).toHaveLength(1);
    await choicesOf(deltas);
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  test("does not hold a short answer: it is generated, and kept for a reader that comes late", async () => {
    const under = create();
    const deltas = submit(under.engine, { n: 2, maxTokens: 20 });
    await expectNothingHeld(under);
    expect(await choicesOf(deltas)).toEqual(await alone({ n: 2, maxTokens: 20 }));
  });
});

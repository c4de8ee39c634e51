/**
 * Laws of the token loop on a runner that answers at once: what else runs, how many choices there are and
 * who leaves early never change an output, and everything borrowed is given back.
 *
 * The fake runner keeps token ids in the KV cache and derives the hidden state from what it reads back, so
 * a page shared, copied or freed wrongly changes the outputs.
 */

import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { Engine } from "../../engine/engine.js";
import { EngineError } from "../../engine/errors.js";
import { grouped, KVCache } from "../../engine/kv-cache.js";
import { LMHead } from "../../engine/lm-head.js";
import type { ForwardPass, ModelRunner } from "../../engine/runner/model-runner.js";
import { generationConfig } from "../../engine/sampling/generation-config.js";
import type { OutputDelta } from "../../engine/sequence.js";
import { TextStream } from "../../engine/text/text-stream.js";
import { Kernels, pack } from "../../kernels/index.js";
import { byteTokenizer } from "../byte-tokenizer.js";

const HIDDEN = 32;
const BLOCK = 8;
const CONTEXT = 64;
const END_TOKEN = 256;
const tokenizer = byteTokenizer();

/** Hidden states that depend on every token before, and on nothing else. */
class EchoRunner implements ModelRunner {
  readonly blockSize = BLOCK;
  readonly passes: { phase: string; start: number; count: number }[] = [];
  /** Token id that makes the runner throw. */
  poison: number | null = null;

  async forward({ phase, tokenIds, table }: ForwardPass): Promise<Float32Array> {
    if (this.poison !== null && tokenIds.includes(this.poison)) throw new Error("poisoned");
    const start = table.numPositions;
    this.passes.push({ phase, start, count: tokenIds.length });
    table.extend(tokenIds.length);
    const ids = new Float32Array(grouped(tokenIds.length));
    ids.set(tokenIds);
    table.write(0, start, tokenIds.length, ids, ids.map((id) => -id), ids.length);
    const [keys, values] = [new Float32Array(grouped(table.numPositions)), new Float32Array(grouped(table.numPositions))];
    table.read(0, keys.length, keys, values);
    const [seen, negated] = [keys.subarray(0, table.numPositions), values.subarray(0, table.numPositions)];
    let hash = 17;
    seen.forEach((id, position) => {
      expect(negated[position]).toBe(-id);
      hash = (Math.imul(hash, 31) + id) >>> 0;
    });
    return Float32Array.from({ length: HIDDEN }, (_, i) => ((Math.imul(hash, 2 * i + 3) >>> 0) / 2 ** 31 - 1) * 0.5);
  }

  async release(): Promise<void> {}
}

async function createEngine(options: { pagesMax?: number; slots?: number } = {}) {
  const kernels = await Kernels.load();
  const rows = tokenizer.vocabSize;
  const values = Float32Array.from({ length: rows * HIDDEN }, (_, i) => Math.fround(((i * 7919) % 1013) / 506 - 1));
  const head = kernels.allocateMatrix("f32", rows, HIDDEN);
  kernels.bytes(head.address, head.byteLength).set(pack({ format: "f32", rows, cols: HIDDEN, values }));
  const runner = new EchoRunner();
  const cache = new KVCache(kernels, { numLayers: 1, numKvHeads: 1, headDim: 1, pageSize: 4, pagesMax: options.pagesMax ?? 400 });
  const engine = new Engine({
    kernels,
    runner,
    lmHead: new LMHead(kernels, head, { numRowsMax: options.slots ?? 5, vocabSize: rows, hasToken: () => true }),
    cache,
    tokenizer,
    endTokenIds: new Set([END_TOKEN]),
    contextLength: CONTEXT,
  });
  return { engine, runner, cache };
}

interface Ask {
  readonly prompt: number[];
  readonly seed: number;
  readonly n: number;
  readonly maxTokens: number;
}

const asks: fc.Arbitrary<Ask> = fc.record({
  prompt: fc.array(fc.integer({ min: 0, max: 255 }), { minLength: 1, maxLength: 30 }),
  seed: fc.integer({ min: -1000, max: 1000 }),
  n: fc.integer({ min: 1, max: 7 }),
  maxTokens: fc.integer({ min: 1, max: 20 }),
});

function submit(engine: Engine, ask: Ask, signal?: AbortSignal): AsyncGenerator<OutputDelta> {
  return engine.submit({
    promptTokenIds: ask.prompt,
    config: generationConfig({ seed: ask.seed, n: ask.n, maxTokens: ask.maxTokens, logprobs: true, topLogprobs: 2 }),
    contextLengthExceededBehavior: "truncate",
    createText: () => new TextStream({ tokenizer, promptIds: ask.prompt, reasoning: null, separateReasoning: false, stop: [], includeStop: false }),
    signal,
  });
}

interface Choice {
  content: string;
  tokenIds: number[];
  logprobs: number[];
  finishReason: string | null;
}

async function readAll(stream: AsyncIterable<OutputDelta>) {
  const choices: Choice[] = [];
  let usage = null;
  for await (const delta of stream) {
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

describe("a request's output does not depend on the others", () => {
  test("together as alone, in a cache that is barely large enough", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(asks, { minLength: 2, maxLength: 6 }), fc.integer({ min: 1, max: 4 }), async (all, slots) => {
        const alone = [];
        for (const ask of all) alone.push(await readAll(submit((await createEngine()).engine, ask)));
        const { engine, cache } = await createEngine({ slots, pagesMax: 26 });
        const together = await Promise.all(all.map((ask) => readAll(submit(engine, ask))));
        expect(together).toEqual(alone);
        await engine.idle();
        expect(cache.numPagesUsed).toBe(0);
        expect(cache.reserve(26)).toBe(true);
      }),
      { numRuns: 25 },
    );
  });

  test("also when neighbours are aborted or left", async () => {
    await fc.assert(
      fc.asyncProperty(asks, fc.array(asks, { minLength: 1, maxLength: 4 }), fc.nat(8), async (kept, others, deltasRead) => {
        const alone = await readAll(submit((await createEngine()).engine, kept));
        const { engine, cache } = await createEngine({ slots: 3 });
        const leaving = others.map(async (ask, index) => {
          const controller = new AbortController();
          let read = 0;
          try {
            for await (const _ of submit(engine, ask, controller.signal)) {
              if (read++ < deltasRead) continue;
              if (index % 2 === 0) break;
              controller.abort();
            }
          } catch (error) {
            expect((error as Error).name).toBe("AbortError");
          }
        });
        const [together] = await Promise.all([readAll(submit(engine, kept)), ...leaving]);
        expect(together).toEqual(alone);
        await engine.idle();
        expect(cache.numPagesUsed).toBe(0);
      }),
      { numRuns: 25 },
    );
  });

  test("choice i of n is choice i of i + 1", async () => {
    await fc.assert(
      fc.asyncProperty(asks, async (ask) => {
        const whole = await readAll(submit((await createEngine({ slots: 3 })).engine, ask));
        expect(whole.choices).toHaveLength(ask.n);
        const fewer = await readAll(submit((await createEngine()).engine, { ...ask, n: Math.max(1, ask.n - 1) }));
        expect(whole.choices.slice(0, fewer.choices.length)).toEqual(fewer.choices);
      }),
      { numRuns: 25 },
    );
  });
});

describe("the token loop", () => {
  test("usage counts every generated token, and the prompt once", async () => {
    const { engine } = await createEngine();
    const { choices, usage } = await readAll(submit(engine, { prompt: [1, 2, 3], seed: 5, n: 4, maxTokens: 9 }));
    const completionTokens = choices.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);
    expect(usage).toMatchObject({ promptTokens: 3, completionTokens, totalTokens: 3 + completionTokens });
    for (const { tokenIds, logprobs, finishReason } of choices) {
      expect(logprobs).toHaveLength(tokenIds.length);
      expect(finishReason).toBe(tokenIds.at(-1) === END_TOKEN ? "stop" : "length");
      if (finishReason === "length") expect(tokenIds).toHaveLength(9);
    }
  });

  test("runs prompts in blocks on the grid, one between two tokens of a running sequence", async () => {
    const { engine, runner } = await createEngine();
    const first = readAll(submit(engine, { prompt: [1], seed: 1, n: 1, maxTokens: 20 }));
    const second = readAll(submit(engine, { prompt: Array.from({ length: 30 }, (_, i) => i), seed: 1, n: 1, maxTokens: 2 }));
    await Promise.all([first, second]);
    const blocks = runner.passes.filter(({ phase }) => phase === "prefill");
    expect(blocks.map(({ start, count }) => [start, count])).toEqual([[0, 1], [0, 8], [8, 8], [16, 8], [24, 6]]);
    for (let index = 1; index < runner.passes.length; index++) {
      const [before, here] = [runner.passes[index - 1]!, runner.passes[index]!];
      expect(before.phase === "prefill" && here.phase === "prefill" && before.start > 0).toBe(false);
    }
  });

  test("a request that fails leaves the others alone", async () => {
    const { engine, runner, cache } = await createEngine();
    const ask = { prompt: [1, 2, 3], seed: 3, n: 2, maxTokens: 10 };
    const alone = await readAll(submit((await createEngine()).engine, ask));
    runner.poison = 99;
    const failing = readAll(submit(engine, { prompt: [99], seed: 3, n: 1, maxTokens: 10 }));
    const fine = readAll(submit(engine, ask));
    await expect(failing).rejects.toMatchObject({ code: "internal_error", message: "poisoned" });
    if (!alone.choices.some(({ tokenIds }) => tokenIds.includes(99))) expect(await fine).toEqual(alone);
    await engine.idle();
    expect(cache.numPagesUsed).toBe(0);
  });

  test("lowers max_tokens to the context or refuses, as told; never cuts a prompt", async () => {
    const { engine } = await createEngine();
    const prompt = Array.from({ length: CONTEXT - 5 }, () => 65);
    const { choices } = await readAll(submit(engine, { prompt, seed: 1, n: 1, maxTokens: 50 }));
    expect(choices[0]!.tokenIds.length).toBeLessThanOrEqual(5);
    const config = generationConfig({ seed: 1, maxTokens: 50 });
    const createText = () => new TextStream({ tokenizer, promptIds: prompt, reasoning: null, separateReasoning: false, stop: [], includeStop: false });
    expect(() => engine.submit({ promptTokenIds: prompt, config, contextLengthExceededBehavior: "error", createText })).toThrow(/prompt has 59 tokens and max_tokens is 50.*at most 64/);
    const tooLong = Array.from({ length: CONTEXT }, () => 65);
    expect(() => submit(engine, { prompt: tooLong, seed: 1, n: 1, maxTokens: 1 })).toThrow(EngineError);
  });

  test("refuses at once what could never fit in memory", async () => {
    const { engine } = await createEngine({ pagesMax: 5 });
    expect(() => submit(engine, { prompt: Array.from({ length: 12 }, () => 1), seed: 1, n: 1, maxTokens: 20 })).toThrow(/memory is set aside for 20 positions/);
  });

  test("an aborted signal refuses at once", async () => {
    const { engine } = await createEngine();
    expect(() => submit(engine, { prompt: [1], seed: 1, n: 1, maxTokens: 2 }, AbortSignal.abort())).toThrow(/aborted/);
  });
});

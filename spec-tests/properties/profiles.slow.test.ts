/**
 * Properties of scheduling.slow.test.ts on real models, in both profiles: a request's bytes are the same alone in a new
 * engine, with concurrent requests, with requests that are aborted, and with a cached prompt or prefix.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import {
  loadModel,
  type GenerateOptions,
  type KVFormat,
  type Model,
  type OutputDelta,
  type Profile,
} from "../../engine/index.js";
import { convert } from "../../engine/store/convert.js";
import { writeRandomModel } from "../fixtures/random-model.js";

let scratch: string;
let pack: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "profiles-"));
  pack = join(scratch, "pack");
  await writeRandomModel(join(scratch, "model"), {
    config: { max_position_embeddings: 320, model_type: "qwen3", head_dim: 16 },
  });
  await convert(join(scratch, "model"), pack, { quant: "q8" });
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

/** Requests with prompts of up to four blocks that often share a prefix. */
const asks: fc.Arbitrary<GenerateOptions> = fc.record({
  prompt: fc
    .array(fc.constantFrom("a".repeat(40), "system ".repeat(10), "b", "\u00e9?"), { minLength: 1, maxLength: 4 })
    .map((parts) => parts.join("")),
  seed: fc.integer({ min: -1000, max: 1000 }),
  n: fc.integer({ min: 1, max: 4 }),
  maxTokens: fc.integer({ min: 1, max: 12 }),
  logprobs: fc.constant(true),
  topLogprobs: fc.constant(2),
});

describe.each<[Profile, KVFormat]>([
  ["fast", "f32"],
  ["fast", "bf16"],
  ["fast", "q8"],
  ["exact", "f32"],
])("%s, %s keys and values", (profile, kvCache) => {
  const open = (): Promise<Model> => loadModel({ model: pack, profile, kvCache, numThreads: 2 });

  async function inFreshEngine(ask: GenerateOptions): Promise<Answer> {
    const model = await open();
    const answer = await readAll(model.generate(ask));
    await model.close();
    return answer;
  }

  let used: Model;
  beforeAll(async () => {
    used = await open();
  });
  afterAll(() => used.close());

  test("TS-10.8 concurrent requests give the same bytes as single ones, with a cold or warm cache", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(asks, { minLength: 2, maxLength: 5 }), async (all) => {
        const alone = [];
        for (const ask of all) alone.push(await inFreshEngine(ask));
        const model = await open();
        for (const _ of ["cold", "warm"])
          expect(await Promise.all(all.map((ask) => readAll(model.generate(ask))))).toEqual(alone);
        expect(await Promise.all(all.map((ask) => readAll(used.generate(ask))))).toEqual(alone);
        await model.close();
      }),
      { numRuns: 8 },
    );
  });

  test("TS-10.9 the same holds if concurrent requests are aborted or abandoned", async () => {
    await fc.assert(
      fc.asyncProperty(
        asks,
        fc.array(asks, { minLength: 1, maxLength: 4 }),
        fc.nat(8),
        async (kept, others, deltasRead) => {
          const alone = await inFreshEngine(kept);
          const leaving = others.map(async (ask, index) => {
            const controller = new AbortController();
            let read = 0;
            try {
              for await (const _ of used.generate({ ...ask, signal: controller.signal })) {
                if (read++ < deltasRead) continue;
                if (index % 2 === 0) break;
                controller.abort();
              }
            } catch (error) {
              expect((error as Error).name).toBe("AbortError");
            }
          });
          const [together] = await Promise.all([readAll(used.generate(kept)), ...leaving]);
          expect(together).toEqual(alone);
        },
      ),
      { numRuns: 8 },
    );
  });

  test("TS-2.10 choice i of n is choice i of i + 1", async () => {
    await fc.assert(
      fc.asyncProperty(asks, async (ask) => {
        const whole = await readAll(used.generate({ ...ask, n: 4 }));
        for (const n of [1, 2]) expect(await inFreshEngine({ ...ask, n })).toEqual(whole.slice(0, n));
      }),
      { numRuns: 5 },
    );
  });
});

test("TS-10.3 any number of threads gives the same bytes", async () => {
  const models = await Promise.all(
    [1, 2, 3].map((numThreads) => loadModel({ model: pack, profile: "exact", numThreads })),
  );
  await fc.assert(
    fc.asyncProperty(asks, async (ask) => {
      const [one, ...more] = await Promise.all(models.map((model) => readAll(model.generate(ask))));
      for (const answer of more) expect(answer).toEqual(one);
    }),
    { numRuns: 8 },
  );
  for (const model of models) await model.close();
});

type Answer = { content: string; tokenIds: number[]; logprobs: number[]; finishReason: string | null }[];

async function readAll(stream: AsyncIterable<OutputDelta>): Promise<Answer> {
  const choices: Answer = [];
  for await (const { choice, content, tokenIds, logprobs, finishReason } of stream) {
    const own = (choices[choice] ??= { content: "", tokenIds: [], logprobs: [], finishReason: null });
    own.content += content;
    own.tokenIds.push(...tokenIds);
    for (const { logprob, topLogprobs } of logprobs)
      own.logprobs.push(logprob, ...topLogprobs.map((top) => top.logprob));
    own.finishReason = finishReason;
  }
  return choices;
}

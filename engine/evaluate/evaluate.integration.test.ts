import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import type { MatrixFormat } from "../../kernels/index.js";
import type { Profile } from "../runner/index.js";
import { randomModel } from "../../spec-tests/fixtures/random-model.js";
import { DivergenceMeter } from "./divergence.js";
import { loadModel } from "../model/model.js";
import { LMHead } from "../core/lm-head.js";
import { evaluate, selfWrittenTexts } from "./evaluate.js";
import type { ModelPack } from "../folder/pack.js";
import { openPack } from "../folder/pack.js";
import { convert } from "../store/convert.js";
import { testOnnxRunner, testRunner } from "../../spec-tests/fixtures/runners.js";

/** A context of two blocks and a part, so that a text has several windows and no window consists of whole blocks. */
const CONTEXT = 150;
const TEXTS = [340, 1, 5].map((length, text) => Array.from({ length }, (_, i) => (i * i * 31 + text) % 257));

let scratch: string;
let packs: Record<"q8" | "f32", ModelPack>;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "evaluate-"));
  await randomModel(join(scratch, "model"), { config: { max_position_embeddings: CONTEXT } });
  process.env["TOUCHSTONE_CACHE"] = join(scratch, "cache");
  const open = async (format: MatrixFormat): Promise<ModelPack> => {
    await convert(join(scratch, "model"), join(scratch, format), { quant: format });
    return openPack(join(scratch, format));
  };
  packs = { q8: await open("q8"), f32: await open("f32") };
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

test("compares fast with exact like blocks of the prompt runner with single tokens in the kernels, window by window", async () => {
  const pack = packs.q8;
  const { kernels, weights, runner, cache } = await testRunner(pack, { pageSize: 64 });
  const prompts = await testOnnxRunner(pack, kernels, weights);
  const lmHead = new LMHead(kernels, weights.lmHead, { maxRows: 1, vocabSize: 257, hasToken: () => true });
  const logits = (hidden: Float32Array): Float32Array => kernels.f32(lmHead.project([hidden])[0]!, 257).slice();
  const meter = new DivergenceMeter();
  for (const text of TEXTS) {
    for (let start = 0; start < text.length; start += CONTEXT) {
      const window = text.slice(start, start + CONTEXT);
      const [exact, fast] = [cache.createTable(), cache.createTable()];
      const blocks: number[] = [];
      for (let at = 0; at < window.length; at += 64)
        blocks.push(...(await prompts.forwardEach([{ tokenIds: window.slice(at, at + 64), table: fast }]))[0]!);
      for (const [position, tokenId] of window.entries()) {
        const [hidden] = await runner.forward([{ tokenIds: [tokenId], table: exact }]);
        const other = Float32Array.from(blocks.slice(position * 48, (position + 1) * 48));
        meter.add(logits(hidden!), logits(other), text[start + position + 1] ?? null);
      }
    }
  }
  await prompts.release();
  await kernels.close();
  const divergence = await evaluate({ pack, profile: "exact" }, { pack, profile: "fast" }, TEXTS, 1);
  expect(divergence).toEqual(meter.result());
  expect(divergence.numPositions).toBe(346);
  expect(divergence.klDivergence).toBeGreaterThan(0);
});

test("reports no divergence of a model from itself; 8 bits and 32 bits diverge, and KL divergence is not symmetric", async () => {
  const [q8, f32] = [
    { pack: packs.q8, profile: "exact" },
    { pack: packs.f32, profile: "exact" },
  ] as const;
  expect(await evaluate(q8, q8, TEXTS, 2)).toMatchObject({ klDivergence: 0, top1Agreement: 1 });
  const [divergence, back] = [await evaluate(f32, q8, TEXTS, 1), await evaluate(q8, f32, TEXTS, 1)];
  expect(divergence.klDivergence).toBeGreaterThan(1e-6);
  expect(divergence.klDivergence).toBeLessThan(0.1);
  expect(back.klDivergence).not.toBe(divergence.klDivergence);
  expect(back.perplexity).toEqual({ reference: divergence.perplexity.other, other: divergence.perplexity.reference });
});

test.each<Profile>(["exact", "fast"])("%s: bfloat16 keys and values diverge less than 8-bit ones", async (profile) => {
  const reference = { pack: packs.f32, profile };
  const [same, bf16, q8] = await Promise.all(
    (["f32", "bf16", "q8"] as const).map((kvCache) => evaluate(reference, { ...reference, kvCache }, TEXTS, 1)),
  );
  expect(same!.klDivergence).toBe(0);
  expect(bf16!.klDivergence).toBeGreaterThan(0);
  expect(q8!.klDivergence).toBeGreaterThan(bf16!.klDivergence);
  expect(q8!.klDivergence).toBeLessThan(1e-2);
});

test("refuses texts with fewer than two tokens, and unknown tokens", async () => {
  const side = { pack: packs.q8, profile: "exact" } as const;
  await expect(evaluate(side, side, [[1], []], 1)).rejects.toMatchObject({
    code: "out_of_range",
    message: expect.stringMatching(/fewer than two tokens/) as string,
  });
  await expect(evaluate(side, side, [[1, 257]], 1)).rejects.toMatchObject({
    code: "out_of_range",
    message: expect.stringMatching(/token 257.*256/) as string,
  });
});

test("generates the same texts from the same seeds, with a chat template and without one", async () => {
  const files = {
    "tokenizer_config.json": JSON.stringify({ chat_template: "{% for m in messages %}{{ m.content }}{% endfor %}" }),
  };
  const templated = await randomModel(join(scratch, "templated"), { files });
  for (const dir of [join(scratch, "f32"), templated]) {
    const model = await loadModel({ model: dir, profile: "exact" });
    const texts = await selfWrittenTexts(model, 200, 5);
    expect(texts.flat().length).toBeGreaterThanOrEqual(200);
    expect(await selfWrittenTexts(model, 200, 5)).toEqual(texts);
    expect(await selfWrittenTexts(model, 200, 6)).not.toEqual(texts);
    expect(texts[0]![0]).toBe(dir === templated ? "H".charCodeAt(0) : 256);
    await model.close();
  }
});

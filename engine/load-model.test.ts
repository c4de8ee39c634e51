import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { randomModel } from "../spec-tests/random-model.js";
import { LIMITS } from "./limits.js";
import { loadModel, type Model } from "./load-model.js";
import { convert } from "./model/index.js";

const CONTEXT = 1 << 21;
const NUM_LAYERS = 16;
/** Keys and values, two heads of 12 dimensions, float32. */
const BYTES_PER_POSITION = NUM_LAYERS * 2 * 2 * 12 * 4;

let scratch: string;
let pack: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "load-model-"));
  pack = join(scratch, "pack");
  const config = { max_position_embeddings: CONTEXT, num_hidden_layers: NUM_LAYERS };
  await convert(await randomModel(join(scratch, "model"), { config }), pack, { format: "q8" });
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

describe("memory for keys and values", () => {
  const bytesPerPage = BYTES_PER_POSITION * LIMITS.promptBlockTokens;

  test.each<[string, number | undefined, (numPages: number) => boolean]>([
    ["a number of bytes", 3.9 * bytesPerPage, (numPages) => numPages === 3],
    ["2 GiB by default", undefined, (numPages) => numPages === Math.floor(2 ** 31 / bytesPerPage)],
    ["no more than is left of 4 GiB", 2 ** 40, (numPages) => numPages > 3.8 * 2 ** 30 / bytesPerPage && numPages < 2 ** 32 / bytesPerPage],
  ])("%s", async (_, kvCacheBytes, isRight) => {
    const model = await loadModel({ model: pack, ...(kvCacheBytes === undefined ? {} : { kvCacheBytes: Math.floor(kvCacheBytes) }) });
    expect(isRight(numPagesOf(model))).toBe(true);
    await model.close();
  });

  test.each([0, -1, 1.5, NaN, Infinity])("not %d", async (kvCacheBytes) => {
    await expect(loadModel({ model: pack, kvCacheBytes })).rejects.toMatchObject({ code: "out_of_range", param: "kvCacheBytes" });
  });

  /** Told by the message that refuses what can never fit. */
  function numPagesOf(model: Model): number {
    try {
      model.generate({ prompt: "a" });
    } catch (error) {
      const [, numPositions] = /set aside for (\d+) positions/.exec((error as Error).message)!;
      return Number(numPositions) / LIMITS.promptBlockTokens;
    }
    throw new Error("the whole context fits");
  }
});

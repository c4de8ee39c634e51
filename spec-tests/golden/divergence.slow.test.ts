/**
 * Tests of the limits of the divergence of the profile fast from exact, at q8, for both trained models and variants of them
 * with outlier channels. Each is measured on 1,500 tokens. DIVERGENCE_TOKENS=10000 uses as many as the limits are specified
 * for. `node dist/spec-tests/golden/divergence-table.js` prints all figures.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { evaluate } from "../../engine/evaluate/index.js";
import type { ModelPack } from "../../engine/folder/pack.js";
import { describeWithAssets } from "../fixtures/assets.js";
import { EMBEDDED, openVariant, STORIES, VARIANTS, type TrainedModel } from "../fixtures/outlier-variants.js";

const NUM_TOKENS = Number(process.env["DIVERGENCE_TOKENS"] ?? 1500);
/**
 * In nats per token. The specified limit is 0.01 for both. Measured values are about half of these stricter limits.
 * With one scale for all rows of a block, the value of the embedded model is ten times as large, still within the
 * specified limit.
 */
const MAX_KL_DIVERGENCE = { embedded: 0.0005, stories260K: 0.002 };
const MIN_TOP1_AGREEMENT = 0.98;

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "divergence-"));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

describe("divergence of the embedded model", () => staysWithinBars(EMBEDDED, MAX_KL_DIVERGENCE.embedded));
describeWithAssets("divergence of stories260K", () => staysWithinBars(STORIES, MAX_KL_DIVERGENCE.stories260K));

function staysWithinBars(model: TrainedModel, maxKLDivergence: number): void {
  let texts: number[][];
  let plain: ModelPack;
  beforeAll(async () => {
    texts = await model.write(NUM_TOKENS);
    plain = (await openVariant(model, VARIANTS[0]!, scratch, ["f32"])).f32;
  }, 300_000);

  test.each(VARIANTS.map((variant) => [variant.name, variant] as const))(
    "%s",
    async (name, variant) => {
      const { q8, f32 } = await openVariant(model, variant, scratch, ["q8", "f32"]);

      // The injection must not change the function that the model computes.
      const injected = await evaluate(
        { pack: plain, profile: "exact" },
        { pack: f32, profile: "exact" },
        texts.slice(0, 2),
        1,
      );
      expect(injected.klDivergence).toBeLessThan(1e-6);

      const divergence = await evaluate({ pack: q8, profile: "exact" }, { pack: q8, profile: "fast" }, texts, 1);
      const measured = `${divergence.klDivergence.toFixed(5)} nats, ${(100 * divergence.top1Agreement).toFixed(2)} %, ${divergence.numPositions} tokens`;
      console.log(`${model.name}, ${name}: ${measured}`);
      expect(divergence.numPositions).toBeGreaterThanOrEqual(NUM_TOKENS);
      expect(divergence.klDivergence).toBeLessThanOrEqual(maxKLDivergence);
      expect(divergence.top1Agreement).toBeGreaterThanOrEqual(MIN_TOP1_AGREEMENT);
    },
    300_000,
  );
}

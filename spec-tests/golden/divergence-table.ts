/**
 * Prints the divergence of both trained models and their variants as a Markdown table: of fast from exact (the golden tests
 * check its limits at q8), and of the 8-bit and 4-bit weights from the same weights in f32.
 *
 *   TOUCHSTONE_ASSETS=DIR node dist/spec-tests/golden/divergence-table.js [tokens]
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { evaluate, type Divergence, type EvaluatedModel } from "../../engine/evaluate/index.js";
import { EMBEDDED, openVariant, STORIES, VARIANTS } from "../fixtures/outlier-variants.js";

const NUM_THREADS = 1;

async function main(numTokens: number): Promise<void> {
  const scratch = await mkdtemp(join(tmpdir(), "divergence-"));
  console.log(
    "| model | variant | tokens | q8: fast from exact | q4: fast from exact | q8 from f32, exact | q4 from f32, exact |",
  );
  console.log("| --- | --- | --- | --- | --- | --- | --- |");
  for (const model of [STORIES, EMBEDDED]) {
    const texts = await model.write(numTokens);
    for (const variant of VARIANTS) {
      const { f32, q8, q4 } = await openVariant(model, variant, scratch, ["f32", "q8", "q4"]);
      const pairs: [EvaluatedModel, EvaluatedModel][] = [
        [
          { pack: q8, profile: "exact" },
          { pack: q8, profile: "fast" },
        ],
        [
          { pack: q4, profile: "exact" },
          { pack: q4, profile: "fast" },
        ],
        [
          { pack: f32, profile: "exact" },
          { pack: q8, profile: "exact" },
        ],
        [
          { pack: f32, profile: "exact" },
          { pack: q4, profile: "exact" },
        ],
      ];
      const divergences: Divergence[] = [];
      for (const [reference, other] of pairs) divergences.push(await evaluate(reference, other, texts, NUM_THREADS));
      console.log(
        `| ${[model.name, variant.name, divergences[0]!.numPositions, ...divergences.map(cell)].join(" | ")} |`,
      );
    }
  }
  await rm(scratch, { recursive: true });
}

/** Formats KL divergence in nats per token, top-1 agreement and both perplexities. */
function cell({ klDivergence, top1Agreement, perplexity }: Divergence): string {
  const perplexities = `${perplexity.reference.toFixed(3)} → ${perplexity.other.toFixed(3)}`;
  return `${klDivergence.toFixed(5)}; ${(100 * top1Agreement).toFixed(2)} %; ${perplexities}`;
}

await main(Number(process.argv[2] ?? 10_000));

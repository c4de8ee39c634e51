/**
 * Prints the divergence of both trained models and their variants as two Markdown tables: of fast from exact (the golden
 * tests check its limits at q8), and of the 8-bit and 4-bit weights from the same weights in f32; and of keys and values in
 * bf16 and q8 from those in f32, with 8-bit weights.
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
  const cacheRows: string[] = [];
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
      console.log(await rowOf(model.name, variant.name, pairs, texts));
      const cachePairs = (["exact", "fast"] as const).flatMap((profile) =>
        (["bf16", "q8"] as const).map((kvCache): [EvaluatedModel, EvaluatedModel] => [
          { pack: q8, profile },
          { pack: q8, profile, kvCache },
        ]),
      );
      cacheRows.push(await rowOf(model.name, variant.name, cachePairs, texts));
    }
  }
  console.log("\n| model | variant | tokens | exact: bf16 | exact: q8 | fast: bf16 | fast: q8 |");
  console.log("| --- | --- | --- | --- | --- | --- | --- |");
  for (const row of cacheRows) console.log(row);
  await rm(scratch, { recursive: true });
}

/** Evaluates each pair and returns a row of a table. */
async function rowOf(
  model: string,
  variant: string,
  pairs: readonly (readonly [EvaluatedModel, EvaluatedModel])[],
  texts: readonly (readonly number[])[],
): Promise<string> {
  const divergences: Divergence[] = [];
  for (const [reference, other] of pairs) divergences.push(await evaluate(reference, other, texts, NUM_THREADS));
  return `| ${[model, variant, divergences[0]!.numPositions, ...divergences.map(cell)].join(" | ")} |`;
}

/** Formats KL divergence in nats per token, top-1 agreement and both perplexities. */
function cell({ klDivergence, top1Agreement, perplexity }: Divergence): string {
  const perplexities = `${perplexity.reference.toFixed(3)} → ${perplexity.other.toFixed(3)}`;
  return `${klDivergence.toFixed(5)}; ${(100 * top1Agreement).toFixed(2)} %; ${perplexities}`;
}

await main(Number(process.argv[2] ?? 10_000));

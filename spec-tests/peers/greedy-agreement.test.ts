/**
 * Tests that greedy continuations of the same weights in other engines are the same tokens.
 *
 * For float weights all ids must be equal. Two engines may differ only if the two most likely tokens are closer to each
 * other than the order of float additions can move them (CLEAR_MARGIN). Such a position is printed, and later tokens
 * are not compared. For quantized weights, each engine rounds activations differently, so the agreement up to the first
 * difference is bounded and printed: the share of equal tokens among those chosen after the same text. (After a
 * difference the texts differ.) At q4 the weights alone make both engines differ from f32 early, so the pack must agree
 * with f32 as often as transformers.js does.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { getLlama, LlamaLogLevel, type Token } from "node-llama-cpp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { loadModel, type LoadModelOptions, type OnnxDtype } from "../../engine/index.js";
import { convertModel } from "../../engine/models.js";
import { asset, describeWithAssets } from "../fixtures/assets.js";
import { writeExport, type ExportShape } from "../fixtures/onnx-export.js";
import { randomSource, writeRandomModel, type RandomTensor } from "../fixtures/random-model.js";
import { transformersContinuations } from "./transformers-process.js";

const PROMPTS = [
  "",
  "Once upon a time",
  "Lily and Ben went to the farm.",
  "Lily and Ben went to the zoo.",
  "The little dog was very sad because",
  '"Mom, can I have a cookie?" asked',
  "One day, a big bear found 3 red apples in the",
  "Tom had a new kite. It was blue and",
  'She smiled and said, "Thank you!"\n',
  "In the park there was a tall tree. A bird",
  "Café naïve 😊",
  "The sun was hot. Sam wanted to swim, but",
  "There was a girl named Mia who liked to",
  '"Look at the moon!" said the old',
  "It was raining all day, so the children",
  "A small cat sat on the",
  "Once there was a little car that could",
  "Anna saw a frog. The frog was green. It",
  "Ben did not want to share his toys with",
  "At night, the stars were bright. Dad told a story about a king who lived in a big house and had a friend, a mouse. The mouse",
];

const NUM_TOKENS = 120;
/** Margin far above the effect of the order of float additions, in nats. */
const CLEAR_MARGIN = 1e-3;

interface Continuation {
  readonly promptIds: readonly number[];
  readonly tokenIds: readonly number[];
  /** Distance of each token's log-probability from that of the second most likely token, in nats. */
  readonly margins: readonly number[];
}

async function ours(options: LoadModelOptions, prompts: readonly string[], numTokens: number): Promise<Continuation[]> {
  const model = await loadModel(options);
  const all: Continuation[] = [];
  for (const prompt of prompts) {
    const stream = model.generate({ prompt, temperature: 0, maxTokens: numTokens, logprobs: true, topLogprobs: 2 });
    const tokenIds: number[] = [];
    const margins: number[] = [];
    for await (const delta of stream) {
      tokenIds.push(...delta.tokenIds);
      margins.push(...delta.logprobs.map(({ topLogprobs: [first, second] }) => first!.logprob - second!.logprob));
    }
    all.push({ promptIds: stream.promptTokenIds, tokenIds, margins });
  }
  await model.close();
  return all;
}

async function llamaContinuations(
  modelPath: string,
  prompts: readonly (readonly number[])[],
  numTokens: number,
): Promise<number[][]> {
  const llama = await getLlama({ gpu: false, build: "never", logLevel: LlamaLogLevel.error });
  const model = await llama.loadModel({ modelPath });
  const sequence = (await model.createContext({ contextSize: 512, threads: 1 })).getSequence();
  const all: number[][] = [];
  for (const prompt of prompts) {
    await sequence.clearHistory();
    const tokenIds: number[] = [];
    for await (const token of sequence.evaluate([...prompt] as Token[], { temperature: 0 })) {
      tokenIds.push(token);
      if (tokenIds.length === numTokens) break;
    }
    all.push(tokenIds);
  }
  return all;
}

/** Returns the number of tokens before the first difference. */
function numEqual(actual: readonly number[], expected: readonly number[]): number {
  const index = expected.findIndex((id, at) => id !== actual[at]);
  return index < 0 ? expected.length : index;
}

/** Checks that every continuation is the expected one or differs from it at a tie. */
function expectAgreement(
  name: string,
  actual: readonly (readonly number[])[],
  expected: readonly Continuation[],
  tie: number,
): void {
  expect(actual).toHaveLength(expected.length);
  const ties: string[] = [];
  for (const [index, { tokenIds, margins }] of expected.entries()) {
    const position = numEqual(actual[index]!, tokenIds);
    if (position === tokenIds.length) continue;
    if (margins[position]! < tie)
      ties.push(`prompt ${index}, token ${position}: a tie to ${margins[position]!.toExponential(1)}`);
    else
      expect(
        actual[index],
        `${name}, prompt ${index}, parts at token ${position}, whose margin is ${margins[position]}`,
      ).toEqual(tokenIds);
  }
  console.log(
    `${name}: ${expected.length - ties.length} of ${expected.length} continuations equal${ties.map((line) => `\n  ${line}`).join("")}`,
  );
  expect(ties.length, `${name}: ties`).toBeLessThanOrEqual(expected.length / 4);
}

/** Returns the share of equal tokens among those that both chose after the same text. */
function agreement(actual: readonly (readonly number[])[], expected: readonly (readonly number[])[]): number {
  const equal = expected.map((ids, index) => numEqual(actual[index]!, ids));
  const numEqualTokens = equal.reduce((sum, count) => sum + count, 0);
  const numDifferences = equal.filter((count, index) => count < expected[index]!.length).length;
  return numEqualTokens / (numEqualTokens + numDifferences);
}

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "agreement-"));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

describeWithAssets("stories260K", () => {
  const source = asset("stories260K");
  let expected: Continuation[];
  let prompts: (readonly number[])[];
  beforeAll(async () => {
    for (const format of ["f32", "q8", "q4"] as const)
      await convertModel(source, join(scratch, format), { quant: format, layout: "onnx" });
    expected = await ours({ model: source, quant: "f32" }, PROMPTS, NUM_TOKENS);
    prompts = expected.map(({ promptIds }) => promptIds);
  });

  test.each<[string, () => Promise<readonly (readonly number[])[]>]>([
    [
      "ours, exact",
      async () =>
        (await ours({ model: source, quant: "f32", profile: "exact" }, PROMPTS, NUM_TOKENS)).map(
          ({ tokenIds }) => tokenIds,
        ),
    ],
    [
      "ours, from the ONNX folder that it wrote",
      async () => (await ours({ model: join(scratch, "f32") }, PROMPTS, NUM_TOKENS)).map(({ tokenIds }) => tokenIds),
    ],
    [
      "transformers.js, from the same folder",
      () => transformersContinuations({ path: join(scratch, "f32"), dtype: "fp32", prompts, numTokens: NUM_TOKENS }),
    ],
    ["node-llama-cpp", () => llamaContinuations(join(source, "stories260K.gguf"), prompts, NUM_TOKENS)],
  ])("f32: %s", async (name, continuations) => {
    expectAgreement(name, await continuations(), expected, CLEAR_MARGIN);
  });

  test("q8 and q4: the pack agrees with transformers.js, with this engine on the same folder, and with f32", async () => {
    const rows: Record<string, Record<string, string>> = {};
    const shares: Record<string, Record<string, number>> = {};
    for (const format of ["q8", "q4"] as const) {
      const model = join(scratch, format);
      const pack = (await ours({ model: source, quant: format }, PROMPTS, NUM_TOKENS)).map(({ tokenIds }) => tokenIds);
      const theirs = await transformersContinuations({ path: model, dtype: format, prompts, numTokens: NUM_TOKENS });
      const folder = (await ours({ model }, PROMPTS, NUM_TOKENS)).map(({ tokenIds }) => tokenIds);
      shares[format] = {
        "pack against transformers.js": agreement(pack, theirs),
        "our ONNX against transformers.js": agreement(folder, theirs),
        "pack against f32": agreement(
          pack,
          expected.map(({ tokenIds }) => tokenIds),
        ),
        "transformers.js against f32": agreement(
          theirs,
          expected.map(({ tokenIds }) => tokenIds),
        ),
      };
      rows[format] = Object.fromEntries(
        Object.entries(shares[format]).map(([name, share]) => [name, `${(100 * share).toFixed(1)} %`]),
      );
    }
    console.table(rows);
    for (const [format, share] of [
      ["q8", 0.98],
      ["q4", 0.9],
    ] as const) {
      expect(shares[format]!["pack against transformers.js"]).toBeGreaterThanOrEqual(share);
      expect(shares[format]!["our ONNX against transformers.js"]).toBe(1);
      expect(shares[format]!["pack against f32"]).toBeGreaterThanOrEqual(
        format === "q8" ? share : shares[format]!["transformers.js against f32"]! - 0.02,
      );
    }
  });
});

/**
 * Folders like those of common exporters, with random weights. Their most likely tokens are often close, so the
 * tolerance for ties is larger in formats with fewer bits.
 */
describe("common ONNX exports agree with transformers.js", () => {
  const shape: ExportShape = {
    hidden: 64,
    inner: 96,
    layers: 2,
    heads: 4,
    kvHeads: 2,
    vocab: 257,
    positions: 512,
    ropeTheta: 10_000,
    epsilon: 1e-5,
  };
  const config = {
    hidden_size: 64,
    intermediate_size: 96,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    max_position_embeddings: 512,
  };
  const random = randomSource(11);
  const prompts = Array.from({ length: 20 }, (_, index) =>
    Array.from({ length: 1 + 7 * index }, () => String.fromCharCode(97 + Math.floor(random() * 26))).join(""),
  );
  let source: string;
  let tensors: Map<string, RandomTensor>;
  beforeAll(async () => {
    source = join(scratch, "random");
    tensors = await writeRandomModel(source, { config, seed: 6, files: { "model.safetensors": null } });
  });

  // Half precision rounds logits of about 4 to steps of 2^-8. Logits from the kernels' head are not rounded.
  // A graph that is not split gives exactly the same logits for prompts of one block.
  test.each<[OnnxDtype, number]>([
    ["fp32", 1e-4],
    ["fp16", 2 ** -7],
    ["q8", 1e-4],
    ["q4", 1e-4],
    ["q4f16", 2 ** -7],
  ])("%s", async (dtype, tie) => {
    const dir = join(scratch, `export-${dtype}`);
    await writeExport(source, dir, shape, tensors, { dtype });
    const own = await ours(
      { model: dir },
      dtype === "q8" ? prompts.filter(({ length }) => length <= 128) : prompts,
      48,
    );
    const theirs = await transformersContinuations({
      path: dir,
      dtype,
      prompts: own.map(({ promptIds }) => promptIds),
      numTokens: 48,
    });
    expectAgreement(dtype, theirs, own, tie);
  });
});

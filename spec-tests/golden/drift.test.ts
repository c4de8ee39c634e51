/**
 * How far the prompt path's int8 drifts from the pack's own weights in float, on both trained models and on variants
 * of them with outlier channels, over text that the models wrote themselves.
 */

import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { DriftMeter, type Drift } from "../../engine/drift.js";
import { loadModel } from "../../engine/index.js";
import { KVCache } from "../../engine/kv-cache.js";
import { convert, openPack, type ModelConfig } from "../../engine/model/index.js";
import { SafetensorsReader } from "../../engine/model/safetensors.js";
import { OnnxRunner } from "../../engine/runner/onnx-runner.js";
import { dequantize, Kernels, kvPageByteLength, quantize } from "../../kernels/index.js";
import { evaluationSet } from "../../models/tiny/data/evaluation.js";
import { asset, describeWithAssets } from "../assets.js";
import { equalisedTensors } from "../equalised-weights.js";
import { gatherMean, scaleFeedForward, scaleKeys, scaleNorms, scaleValues, type Injection, type OutlierOptions } from "../outliers.js";
import { safetensors, type RandomTensor } from "../random-model.js";

const BLOCK = 64;
const NUM_TOKENS = 10_000;

const VARIANTS: [string, Injection | null, OutlierOptions][] = [
  ["as it is", null, { strength: 1, numChannels: 0 }],
  ["norms x40", scaleNorms, { strength: 40, numChannels: 2 }],
  ["up and down x40", scaleFeedForward, { strength: 40, numChannels: 2 }],
  ["up and down x1000", scaleFeedForward, { strength: 1000, numChannels: 5 }],
  ["v and output x40", scaleValues, { strength: 40, numChannels: 2 }],
  ["q and k x40", scaleKeys, { strength: 40, numChannels: 2 }],
  ["the stream's mean on one channel", gatherMean, { strength: 1, numChannels: 1 }],
];

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "drift-"));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

function describeDrift(name: string, source: () => string, write: (dir: string) => Promise<number[][]>): void {
  let texts: number[][];
  let plain: Float32Array[];
  beforeAll(async () => {
    texts = await write(source());
    expect(texts.flat().length).toBeGreaterThanOrEqual(NUM_TOKENS);
    const tensors = await readTensors(source());
    plain = await bodyStates(await variant(`${name}-plain`, source(), tensors), "f32", tensors, texts.slice(0, 2));
  }, 300_000);

  test.each(VARIANTS)("%s", async (label, inject, options) => {
    const tensors = await readTensors(source());
    const { config } = await openPack(await packed(await variant(`${name}-source`, source(), tensors), "f32"));
    inject?.(config, tensors, options);
    const untied = tensors.has("lm_head.weight") && config.tiedEmbeddings;
    const dir = await variant(`${name} ${label}`, source(), tensors, { tie_word_embeddings: config.tiedEmbeddings && !untied });

    // The injection leaves the function as it was.
    const head = (tensors.get("lm_head.weight") ?? tensors.get("model.embed_tokens.weight")!).values;
    const plainHead = (await readTensors(source())).get("model.embed_tokens.weight")!.values;
    const injected = await bodyStates(dir, "f32", tensors, texts.slice(0, 2));
    expect(drift(config, texts.slice(0, 2), [plain, plainHead], [injected, head]).klDivergence).toBeLessThan(1e-6);

    const effective = await equalisedTensors(config, tensors, (values, weight) =>
      weight.kind === "vector" || !weight.name.startsWith("layers.") ? values : dequantize(quantize("q8", values, weight.rows, weight.cols)),
    );
    const tie = { tie_word_embeddings: config.tiedEmbeddings && !untied };
    const reference = await bodyStates(await variant(`${name} ${label} effective`, source(), effective, tie), "f32", tensors, texts);
    const fast = await bodyStates(dir, "q8", tensors, texts);
    const measured = drift(config, texts, [reference, head], [fast, head]);
    console.log(`${name}, ${label}: ${measured.klDivergence.toFixed(5)} nats, ${(100 * measured.top1Agreement).toFixed(2)} %, ${measured.numPositions} positions`);
    expect(measured.klDivergence).toBeLessThan(0.01);
    expect(measured.top1Agreement).toBeGreaterThanOrEqual(0.98);
  }, 300_000);
}

describe("drift of the embedded model", () => {
  describeDrift("tiny", () => resolve("models/tiny"), async () => {
    const model = await loadModel();
    const asked = evaluationSet();
    const texts = await written((i) => model.chat({ messages: asked[(i * 37) % asked.length]!.example.messages, temperature: 1, seed: i + 9000, maxTokens: 400 }));
    await model.close();
    return texts;
  });
});

describeWithAssets("drift of stories260K", () => {
  describeDrift("stories260K", () => asset("stories260K"), async (dir) => {
    const model = await loadModel({ model: dir });
    const texts = await written((i) => model.generate({ prompt: "", temperature: 1, seed: i + 9000, maxTokens: 500 }));
    await model.close();
    return texts;
  });
});

/** Token ids of what a model writes, prompts included. */
async function written(start: (index: number) => { promptTokenIds: readonly number[] } & AsyncIterable<{ tokenIds: readonly number[] }>): Promise<number[][]> {
  const texts: number[][] = [];
  while (texts.flat().length < NUM_TOKENS) {
    const streams = Array.from({ length: 8 }, (_, i) => start(texts.length + i));
    for (const stream of streams) {
      const ids = [...stream.promptTokenIds];
      for await (const { tokenIds } of stream) ids.push(...tokenIds);
      texts.push(ids);
    }
  }
  return texts;
}

/** Writes a model with other tensors than its own. */
async function variant(name: string, from: string, tensors: ReadonlyMap<string, RandomTensor>, config: object = {}): Promise<string> {
  const dir = join(scratch, name.replaceAll(" ", "-"));
  await mkdir(dir, { recursive: true });
  for (const file of ["tokenizer.json", "tokenizer_config.json", "generation_config.json"]) await copyFile(join(from, file), join(dir, file));
  const own = JSON.parse(readFileSync(join(from, "config.json"), "utf8")) as object;
  await writeFile(join(dir, "config.json"), JSON.stringify({ ...own, ...config }));
  await writeFile(join(dir, "model.safetensors"), safetensors(tensors, "F32"));
  return dir;
}

async function packed(source: string, format: "f32" | "q8"): Promise<string> {
  const out = `${source}-${format}`;
  await rm(out, { recursive: true, force: true });
  await convert(source, out, { format });
  return out;
}

/** The hidden states of every position of every text, f32 [positions, hidden_size]. */
async function bodyStates(
  source: string,
  format: "f32" | "q8",
  tensors: ReadonlyMap<string, RandomTensor>,
  texts: readonly number[][],
): Promise<Float32Array[]> {
  const pack = await openPack(await packed(source, format));
  const { config } = pack;
  const embeddings = tensors.get("model.embed_tokens.weight")!.values;
  const embed = (id: number, target: Float32Array): void => target.set(embeddings.subarray(id * config.hiddenSize, (id + 1) * config.hiddenSize));
  const kernels = await Kernels.load();
  const runner = await OnnxRunner.load({ kernels, bodyPath: pack.bodyPath, config, embed, numThreads: 1, blockSize: BLOCK });
  const pageByteLength = kvPageByteLength({ ...config, pageSize: BLOCK, kvFormat: "f32" });
  const cache = new KVCache(kernels, { pageSize: BLOCK, pageByteLength, pagesMax: Math.ceil(config.contextLength / BLOCK), reuse: "block" });
  const states: Float32Array[] = [];
  for (const text of texts) {
    const table = cache.createTable();
    const hidden = new Float32Array(text.length * config.hiddenSize);
    for (let start = 0; start < text.length; start += BLOCK) {
      const tokenIds = text.slice(start, start + BLOCK);
      hidden.set(await runner.forwardEach({ tokenIds, table }), start * config.hiddenSize);
    }
    table.release();
    states.push(hidden);
  }
  await runner.release();
  return states;
}

type Side = readonly [hidden: readonly Float32Array[], head: Float32Array];

function drift(config: ModelConfig, texts: readonly number[][], reference: Side, other: Side): Drift {
  const meter = new DriftMeter();
  for (const [index, text] of texts.entries()) {
    for (let position = 0; position < text.length; position++) {
      const [a, b] = [reference, other].map(([hidden, head]) => logits(config, head, hidden[index]!, position));
      meter.add(a!, b!, text[position + 1] ?? null);
    }
  }
  return meter.result();
}

function logits({ hiddenSize, vocabSize }: ModelConfig, head: Float32Array, hidden: Float32Array, position: number): Float32Array {
  const result = new Float32Array(vocabSize);
  for (let id = 0; id < vocabSize; id++) {
    let total = 0;
    for (let i = 0; i < hiddenSize; i++) total += head[id * hiddenSize + i]! * hidden[position * hiddenSize + i]!;
    result[id] = total;
  }
  return result;
}

async function readTensors(dir: string): Promise<Map<string, RandomTensor>> {
  const reader = await SafetensorsReader.open(dir);
  const tensors = new Map<string, RandomTensor>();
  for (const [name, { shape }] of reader.tensors) {
    const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
    await reader.readRows(name, 0, shape[0]!, values);
    tensors.set(name, { shape, values });
  }
  await reader.close();
  return tensors;
}

/**
 * What drift is measured on: both trained models as they are and with outlier channels injected, and text that no
 * choice of ours was made on: the models' own, at temperature 1, from seeds used nowhere else, the embedded model's
 * half from its openings and half from unseen questions of its evaluation.
 */

import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";

import { loadModel, selfWrittenTexts } from "../engine/index.js";
import { convert, openPack, type ModelPack } from "../engine/model/index.js";
import type { SafetensorsReader } from "../engine/model/safetensors.js";
import { openSourceModel } from "../engine/model/source-model.js";
import type { MatrixFormat } from "../kernels/index.js";
import { evaluationSet } from "../models/tiny/data/evaluation.js";
import { asset } from "./assets.js";
import { gatherMean, scaleFeedForward, scaleKeys, scaleNorms, scaleValues, type Injection, type OutlierOptions } from "./outliers.js";
import { safetensors, type RandomTensor } from "./random-model.js";

export interface DriftVariant {
  readonly name: string;
  readonly inject: Injection;
  readonly options: OutlierOptions;
}

export const VARIANTS: readonly DriftVariant[] = [
  { name: "as it is", inject: () => {}, options: { strength: 1, numChannels: 0 } },
  { name: "norms x40", inject: scaleNorms, options: { strength: 40, numChannels: 2 } },
  { name: "up and down x40", inject: scaleFeedForward, options: { strength: 40, numChannels: 2 } },
  { name: "up and down x1000", inject: scaleFeedForward, options: { strength: 1000, numChannels: 5 } },
  { name: "v and output x40", inject: scaleValues, options: { strength: 40, numChannels: 2 } },
  { name: "q and k x40", inject: scaleKeys, options: { strength: 40, numChannels: 2 } },
  { name: "the stream's mean on one channel", inject: gatherMean, options: { strength: 1, numChannels: 1 } },
];

export interface DriftModel {
  readonly name: string;
  /** A Hugging Face folder. */
  readonly source: string;
  /** Token ids of texts with at least `numTokens` in all. */
  readonly write: (numTokens: number) => Promise<number[][]>;
}

const FIRST_SEED = 7_000_000;

export const STORIES: DriftModel = {
  name: "stories260K",
  source: asset("stories260K"),
  write: async (numTokens) => {
    const model = await loadModel({ model: STORIES.source, profile: "exact" });
    return selfWrittenTexts(model, numTokens, FIRST_SEED).finally(() => model.close());
  },
};

export const EMBEDDED: DriftModel = {
  name: "the embedded model",
  source: resolve("models/tiny"),
  write: async (numTokens) => {
    const model = await loadModel({ profile: "exact" });
    const texts = await selfWrittenTexts(model, numTokens / 2, FIRST_SEED);
    const questions = evaluationSet();
    for (let i = 0; texts.flat().length < numTokens; i++) {
      // A step that goes through all skills.
      const { messages } = questions[(i * 37) % questions.length]!.example;
      const stream = model.chat({ messages, temperature: 1, seed: FIRST_SEED - 1 - i, maxTokens: 400 });
      const tokenIds = [...stream.promptTokenIds];
      for await (const delta of stream) tokenIds.push(...delta.tokenIds);
      texts.push(tokenIds);
    }
    await model.close();
    return texts;
  },
};

const TEXT_FILES = ["tokenizer.json", "tokenizer_config.json", "generation_config.json"];

/** Writes a model's variant below `scratch` and opens it in each of the formats. */
export async function openVariant<F extends MatrixFormat>(
  { name: modelName, source }: DriftModel,
  { name, inject, options }: DriftVariant,
  scratch: string,
  formats: readonly F[],
): Promise<Record<F, ModelPack>> {
  const dir = join(scratch, `${modelName} ${name}`.replaceAll(/\W+/g, "-"));
  await mkdir(join(dir, "source"), { recursive: true });
  for (const file of TEXT_FILES) await copyFile(join(source, file), join(dir, "source", file));
  const model = await openSourceModel(source);
  const tensors = await readTensors(model.reader);
  inject(model.config, tensors, options);
  const config = JSON.parse(await readFile(join(source, "config.json"), "utf8")) as object;
  const isTied = !tensors.has("lm_head.weight");
  await writeFile(join(dir, "source", "config.json"), JSON.stringify({ ...config, tie_word_embeddings: isTied }));
  await writeFile(join(dir, "source", "model.safetensors"), safetensors(tensors, "F32"));
  const packs: [F, ModelPack][] = [];
  for (const format of formats) {
    await convert(join(dir, "source"), join(dir, format), { format, replace: true });
    packs.push([format, await openPack(join(dir, format))]);
  }
  return Object.fromEntries(packs) as Record<F, ModelPack>;
}

/** All tensors of a model, which is closed then. */
async function readTensors(reader: SafetensorsReader): Promise<Map<string, RandomTensor>> {
  const tensors = new Map<string, RandomTensor>();
  for (const [name, { shape }] of reader.tensors) {
    const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
    await reader.readRows(name, 0, shape[0]!, values);
    tensors.set(name, { shape, values });
  }
  await reader.close();
  return tensors;
}

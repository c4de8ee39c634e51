/** A model in a GGUF file: its text files are made from the metadata. */

import { basename, dirname } from "node:path";

import {
  checkWeights,
  ggufConfig,
  GgufWeights,
  llama3Scaling,
  modelWeights,
  readModelConfig,
  ROPE_FACTORS,
} from "../architecture/index.js";
import { GgufReader } from "../formats/index.js";
import { readEndTokenIds } from "./end-tokens.js";
import { ggufTokenizer } from "./gguf-tokenizer.js";
import type { SourceModel } from "./source-model.js";
import { textsIn, type TextFiles } from "./text-files.js";

export const isGguf = (path: string): boolean => path.toLowerCase().endsWith(".gguf");

/** @throws EngineError naming what is missing, damaged or not supported; no file stays open in that case */
export async function openGguf(path: string): Promise<SourceModel> {
  const reader = await GgufReader.open(path);
  try {
    const texts = await ggufTexts(reader, path);
    const endTokenIds = readEndTokenIds(texts);
    const config = readModelConfig(texts.config, endTokenIds);
    const weights = modelWeights(config);
    const renamed = new GgufWeights(reader, reader.metadata, config.headDim);
    await checkWeights(config, weights, renamed);
    const { files, tokenizer, tokenizerConfig } = texts;
    return { config, weights, reader: renamed, files, tokenizer, tokenizerConfig };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/** Reads what text files would say. @throws EngineError */
export async function readGgufTexts(path: string): Promise<TextFiles> {
  const reader = await GgufReader.open(path);
  try {
    return await ggufTexts(reader, path);
  } finally {
    await reader.close();
  }
}

/** Names of the files of a model, the given one first. */
export async function ggufShards(path: string): Promise<string[]> {
  const reader = await GgufReader.open(path);
  await reader.close();
  return reader.files.map((file) => basename(file));
}

async function ggufTexts(reader: GgufReader, path: string): Promise<TextFiles> {
  const file = basename(path);
  const config = ggufConfig(reader.metadata, reader.tensors, file);
  const factors = reader.tensors.get(ROPE_FACTORS);
  if (factors !== undefined) {
    const values = new Float32Array(factors.shape[0]!);
    await reader.readRows(ROPE_FACTORS, 0, values.length, values);
    config["rope_scaling"] = llama3Scaling(values, (config["rope_theta"] as number | undefined) ?? 10000, file);
  }
  const { tokenizer, tokenizerConfig, endTokenIds } = ggufTokenizer(reader.metadata, file);
  const contents: Readonly<Record<string, object>> = {
    "config.json": config,
    "generation_config.json": { eos_token_id: endTokenIds },
    "tokenizer.json": tokenizer,
    "tokenizer_config.json": tokenizerConfig,
  };
  const encoder = new TextEncoder();
  const files = Object.entries(contents).map(([name, value]) => [name, encoder.encode(JSON.stringify(value))] as const);
  return textsIn(new Map(files), dirname(path));
}

/** A model in a GGUF file: its text files are made from the metadata. */

import { basename, dirname } from "node:path";

import { ggufConfig, llama3Scaling, ROPE_FACTORS } from "../architecture/index.js";
import { GgufReader } from "../formats/index.js";
import { ggufTokenizer } from "./gguf-tokenizer.js";
import { textsIn, type TextFiles } from "./text-files.js";

export const isGguf = (path: string): boolean => path.toLowerCase().endsWith(".gguf");

export interface OpenGguf {
  readonly texts: TextFiles;
  /** Must be closed by the caller. */
  readonly reader: GgufReader;
}

/** @throws EngineError naming what is missing, damaged or not supported; no file stays open in that case */
export async function openGguf(path: string): Promise<OpenGguf> {
  const reader = await GgufReader.open(path);
  try {
    return { texts: await ggufTexts(reader, path), reader };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/** Reads what text files would say. @throws EngineError */
export async function readGgufTexts(path: string): Promise<TextFiles> {
  const { texts, reader } = await openGguf(path);
  await reader.close();
  return texts;
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

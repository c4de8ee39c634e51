/**
 * A Hugging Face model folder, read and checked before a byte is written: configuration, tokenizer files,
 * and every weight's presence and shape.
 */

import { stat } from "node:fs/promises";
import { join } from "node:path";

import { EngineError } from "../errors.js";
import { Tokenizer } from "../text/tokenizer.js";
import { readEndTokenIds, readModelConfig, tokenId, type ModelConfig } from "./config.js";
import { isJsonObject, parseJsonObject, type JsonObject } from "./json.js";
import { readModelFile } from "./model-files.js";
import { SafetensorsReader } from "./safetensors.js";
import { checkWeights, modelWeights, type ModelWeights } from "./weights.js";

/** @throws EngineError naming what is missing, damaged or not supported; nothing stays open then */
export async function openSourceModel(dir: string): Promise<SourceModel> {
  const entry = await stat(dir).catch(() => null);
  if (entry === null) throw new EngineError("model_not_found", `there is no model folder at ${dir}`);
  if (!entry.isDirectory()) throw new EngineError("invalid_model", `${dir} is a file; a model is a folder`);
  const texts = await readTextFiles(dir);
  const config = configOf(texts);
  const weights = modelWeights(config);
  const reader = await SafetensorsReader.open(dir);
  try {
    await checkWeights(config, weights, reader);
  } catch (error) {
    await reader.close();
    throw error;
  }
  const { files, tokenizer, tokenizerConfig } = texts;
  return { config, weights, reader, files, tokenizer, tokenizerConfig };
}

/** Its `files` are what a pack repeats as they are. */
export interface SourceModel extends Pick<TextFiles, "files" | "tokenizer" | "tokenizerConfig"> {
  readonly config: ModelConfig;
  readonly weights: ModelWeights;
  /** To be closed by whoever opened the model. */
  readonly reader: SafetensorsReader;
}

/**
 * What the files beside the weights tell of whether the model can be run, for whoever has yet to download the weights.
 *
 * @throws EngineError naming what is missing, damaged or not supported
 */
export async function checkTextFiles(dir: string): Promise<ModelConfig> {
  const texts = await readTextFiles(dir);
  const config = configOf(texts);
  checkTokenizer(texts);
  return config;
}

/** The same for whoever leaves the tokenizer to other programs. */
export async function checkConfig(dir: string): Promise<ModelConfig> {
  return configOf(await readTextFiles(dir));
}

/** @throws EngineError for a tokenizer that the engine cannot use */
export function checkTokenizer({ tokenizer, tokenizerConfig }: Pick<TextFiles, "tokenizer" | "tokenizerConfig">): Tokenizer {
  return new Tokenizer(tokenizer, tokenizerConfig);
}

function configOf(texts: TextFiles): ModelConfig {
  return readModelConfig(texts.config, readEndTokenIds(texts));
}

export interface TextFiles {
  /** By name, those that are there. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly config: JsonObject;
  readonly generationConfig: JsonObject | null;
  readonly tokenizer: JsonObject;
  /** Empty where the folder has none. */
  readonly tokenizerConfig: JsonObject;
  /** Jinja source, or null where the model has no template. */
  readonly chatTemplate: string | null;
  /** Null where neither tokenizer nor template knows such tags. */
  readonly reasoning: ReasoningTags | null;
}

/** What opens and closes a model's reasoning. */
export interface ReasoningTags {
  readonly open: string;
  readonly close: string;
}

export const TEXT_FILES = [
  "config.json",
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "chat_template.jinja",
] as const;

/** Reads the files beside the weights, from a model folder or a pack. */
export async function readTextFiles(dir: string): Promise<TextFiles> {
  const files = new Map<string, Uint8Array>();
  for (const name of TEXT_FILES) {
    const bytes = await readModelFile(dir, name);
    if (bytes !== null) files.set(name, bytes);
  }
  const optional = (name: string): JsonObject | null => {
    const bytes = files.get(name);
    return bytes === undefined ? null : parseJsonObject(bytes, join(dir, name));
  };
  const required = (name: string): JsonObject => {
    const object = optional(name);
    if (object === null) throw new EngineError("invalid_model", `${dir} has no ${name}`);
    return object;
  };
  const tokenizer = required("tokenizer.json");
  const tokenizerConfig = optional("tokenizer_config.json") ?? {};
  const template = chatTemplate(files.get("chat_template.jinja"), tokenizerConfig);
  return {
    files,
    config: required("config.json"),
    generationConfig: optional("generation_config.json"),
    tokenizer,
    tokenizerConfig,
    chatTemplate: template,
    reasoning: reasoningTags(tokenizer, template),
  };
}

/** chat_template.jinja, else tokenizer_config.json's `chat_template`: a string, or a list that names one "default". */
function chatTemplate(file: Uint8Array | undefined, tokenizerConfig: JsonObject): string | null {
  if (file !== undefined) return new TextDecoder().decode(file);
  const template = tokenizerConfig["chat_template"] ?? null;
  if (template === null || typeof template === "string") return template;
  for (const entry of Array.isArray(template) ? (template as unknown[]) : []) {
    if (isJsonObject(entry) && entry["name"] === "default" && typeof entry["template"] === "string") return entry["template"];
  }
  throw new EngineError("invalid_model", "tokenizer_config.json: chat_template must be a string, or a list that has a template named default");
}

/**
 * `<think>` and `</think>`, or another pair that is named after thinking: both tokens, or both in the template.
 * What a model means by channels, where the same words open reasoning and answers, is no such pair.
 */
function reasoningTags(tokenizer: JsonObject, template: string | null): ReasoningTags | null {
  const added: unknown[] = Array.isArray(tokenizer["added_tokens"]) ? tokenizer["added_tokens"] : [];
  const contents = added.map((token) => `${isJsonObject(token) ? token["content"] : ""}`);
  const ordinary = ["<think>", "</think>"].filter((tag) => tokenId(tokenizer, tag) !== null);
  const named = (texts: readonly string[]): string[] => texts.filter((text) => new RegExp(`^${TAG.source}$`, "i").test(text));
  const pairs = [[...ordinary, ...named(contents)], template?.match(TAG) ?? []].flatMap((tags) => pairsAmong(tags));
  return pairs.find(({ open }) => open === "<think>") ?? pairs[0] ?? null;
}

const TAG = /(?:<\|?|\[)[\w:/]*(?:think|thought|reason)\w*(?:\|?>|\])/gi;

/** A closing tag is the opening one with a slash, or with "end" where that has "start" or "begin". */
function pairsAmong(tags: readonly string[]): ReasoningTags[] {
  return tags.flatMap((open) => {
    const closings = [open.replace(/^(<\|?|\[)/, "$1/"), open.replace(/start|begin/, "end"), open.replace(/START|BEGIN/, "END")];
    const close = closings.find((closing) => closing !== open && tags.includes(closing));
    return close === undefined ? [] : [{ open, close }];
  });
}

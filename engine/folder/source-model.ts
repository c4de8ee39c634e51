/**
 * Opens a Hugging Face model folder or a GGUF file and checks it before anything is written: configuration, tokenizer
 * files, and the presence and shape of every weight.
 */

import {
  checkWeights,
  GgufWeights,
  modelWeights,
  readModelConfig,
  type ModelConfig,
  type ModelWeights,
} from "../architecture/index.js";
import { EngineError } from "../errors.js";
import { entryAt, SafetensorsReader, type TensorReader } from "../formats/index.js";
import { Tokenizer } from "../text/index.js";
import { readEndTokenIds } from "./end-tokens.js";
import { refuseOtherLayout } from "./other-layouts.js";
import { isGguf, openGguf } from "./gguf-file.js";
import { readTextFiles, type TextFiles } from "./text-files.js";

/** @throws EngineError naming what is missing, damaged or not supported; no file stays open in that case */
export async function openSourceModel(dir: string): Promise<SourceModel> {
  const entry = await entryAt(dir);
  if (entry === null) throw new EngineError("model_not_found", `there is no model folder at ${dir}`);
  if (isGguf(dir)) {
    const { texts, reader } = await openGguf(dir);
    return checked(texts, reader, ({ headDim }) => new GgufWeights(reader, reader.metadata, headDim));
  }
  if (!entry.isDirectory()) throw new EngineError("invalid_model", `${dir} is a file; a model is a folder`);
  await refuseOtherLayout(dir);
  const texts = await readTextFiles(dir);
  // A configuration that cannot run is refused first, whatever the weights are.
  readModelConfig(texts.config, readEndTokenIds(texts));
  const reader = await SafetensorsReader.open(dir);
  return checked(texts, reader, () => reader);
}

/** @param named returns the tensors under the names that the architecture gives them */
async function checked(
  texts: TextFiles,
  file: TensorReader,
  named: (config: ModelConfig) => TensorReader,
): Promise<SourceModel> {
  try {
    const hasHead = file.tensors.has("lm_head.weight");
    const config = readModelConfig(texts.config, readEndTokenIds(texts), hasHead);
    const weights = modelWeights(config);
    const reader = named(config);
    await checkWeights(config, weights, reader);
    const { files, tokenizer, tokenizerConfig } = texts;
    return { config, weights, reader, files, tokenizer, tokenizerConfig };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** An opened model folder. A pack contains unchanged copies of its `files`. */
export interface SourceModel extends Pick<TextFiles, "files" | "tokenizer" | "tokenizerConfig"> {
  readonly config: ModelConfig;
  readonly weights: ModelWeights;
  /** Must be closed by the caller that opened the model. */
  readonly reader: TensorReader;
}

/**
 * Checks everything that the text files reveal about whether the model can run, before its weights are downloaded.
 *
 * @throws EngineError naming what is missing, damaged or not supported
 */
export async function checkTextFiles(dir: string): Promise<ModelConfig> {
  const texts = await readTextFiles(dir);
  const config = configOf(texts);
  checkTokenizer(texts);
  return config;
}

/** Like `checkTextFiles`, but ignores the tokenizer: for output that other programs run. */
export async function checkConfig(dir: string): Promise<ModelConfig> {
  return configOf(await readTextFiles(dir));
}

/** @throws EngineError for a tokenizer that the engine cannot use */
export function checkTokenizer({
  tokenizer,
  tokenizerConfig,
}: Pick<TextFiles, "tokenizer" | "tokenizerConfig">): Tokenizer {
  return new Tokenizer(tokenizer, tokenizerConfig);
}

function configOf(texts: TextFiles): ModelConfig {
  return readModelConfig(texts.config, readEndTokenIds(texts));
}

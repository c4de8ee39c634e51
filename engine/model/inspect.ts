/** What a model is, without loading its weights. */

import type { KVFormat, MatrixFormat } from "../../kernels/index.js";
import type { OnnxDtype, RunnableModel } from "../folder/index.js";
import { markupOf, type Markup } from "../message/index.js";
import type { Profile } from "../runner/index.js";
import { Tokenizer } from "../text/index.js";
import { prepare, type LoadModelOptions } from "./load-options.js";
import { estimateMemory, type MemoryEstimate } from "./memory.js";

export interface ModelDescription {
  /** The folder of a pack, or the ONNX file. */
  readonly path: string;
  /** `model_type` of config.json. */
  readonly architecture: string;
  readonly weights: MatrixFormat | OnnxDtype;
  readonly profile: Profile;
  readonly numThreads: number;
  /** Tokens that prompt and answer together may have. */
  readonly contextLength: number;
  /** Logits that the model computes at a position. */
  readonly vocabSize: number;
  /** Token ids of the tokenizer; a model may have logits for more. */
  readonly numTokens: number;
  readonly endTokens: readonly { readonly tokenId: number; readonly text: string }[];
  /** Jinja source, or null where the model has no template. */
  readonly chatTemplate: string | null;
  /** The texts around the reasoning; null for a model that does not reason. */
  readonly reasoning: Markup | null;
  /** Null for a folder of ONNX files, whose graph alone knows them. */
  readonly sizes: ModelSizes | null;
  /** Format of keys and values; for a folder of ONNX files, the tensors of the graph in words. */
  readonly kvCache: string;
  /** Null for a folder of ONNX files. */
  readonly memory: MemoryEstimate | null;
}

/** In elements. */
export interface ModelSizes {
  readonly numLayers: number;
  readonly hiddenSize: number;
  /** Of the feed-forward network. */
  readonly intermediateSize: number;
  readonly numHeads: number;
  /** Heads of keys and values; several query heads share one where there are fewer. */
  readonly numKvHeads: number;
  readonly headDim: number;
  /** The embedding is the output's matrix too. */
  readonly tiedEmbeddings: boolean;
}

/**
 * Describes a model; one of the hub is downloaded, and safetensors are converted, unless that has been done before.
 *
 * @param model as `loadModel` takes it
 * @throws EngineError for an option or a model that cannot be used
 */
export async function inspectModel(
  model: string | null = null,
  options: Omit<LoadModelOptions, "model"> = {},
): Promise<ModelDescription> {
  const { folder, options: engine } = await prepare({ ...options, model });
  const tokenizer = new Tokenizer(folder.tokenizerJson, folder.tokenizerConfig, markupOf(folder.messageFormat));
  const { contextLength, vocabSize, endTokenIds, chatTemplate, messageFormat } = folder;
  return {
    ...(folder.kind === "pack"
      ? {
          path: folder.dir,
          architecture: folder.config.architecture,
          weights: folder.manifest.format,
          sizes: sizesOf(folder.config),
        }
      : { path: folder.path, architecture: folder.architecture, weights: folder.dtype, sizes: null }),
    profile: engine.profile,
    numThreads: engine.numThreads,
    contextLength,
    vocabSize,
    numTokens: tokenizer.vocabSize,
    endTokens: endTokenIds.map((tokenId) => ({ tokenId, text: tokenizer.tokenText(tokenId) })),
    chatTemplate,
    reasoning: messageFormat.reasoning,
    kvCache: cacheOf(folder, engine.kvCache),
    memory:
      folder.kind === "pack" ? estimateMemory(folder.config, { ...engine, format: folder.manifest.format }) : null,
  };
}

function sizesOf({
  numLayers,
  hiddenSize,
  intermediateSize,
  numHeads,
  numKvHeads,
  headDim,
  tiedEmbeddings,
}: ModelSizes): ModelSizes {
  return { numLayers, hiddenSize, intermediateSize, numHeads, numKvHeads, headDim, tiedEmbeddings };
}

function cacheOf(folder: RunnableModel, format: KVFormat): string {
  if (folder.kind === "pack") return format;
  const { caches } = folder.decoder;
  const shapes = new Set(caches.map(({ numHeads, headDim, type }) => `${numHeads} x ${headDim} ${type}`));
  return `${caches.length} tensors, ${[...shapes].join(", ")}; final product ${folder.decoder.ending}`;
}

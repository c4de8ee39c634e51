/** Describes a model without loading its weights. */

import type { KVFormat, MatrixFormat } from "../../kernels/index.js";
import type { OnnxDtype, RunnableModel } from "../folder/index.js";
import { markupOf, type Markup, writtenCalls } from "../message/index.js";
import type { Profile } from "../runner/index.js";
import { Tokenizer } from "../text/index.js";
import { prepare, type LoadModelOptions } from "./load-options.js";
import { estimateMemory, type MemoryEstimate } from "./memory.js";

export interface ModelDescription {
  /** Path of the pack's folder or of the ONNX file. */
  readonly path: string;
  /** `model_type` of config.json. */
  readonly architecture: string;
  readonly weights: MatrixFormat | OnnxDtype;
  readonly profile: Profile;
  readonly numThreads: number;
  /** Maximum number of tokens of prompt and answer together. */
  readonly contextLength: number;
  /** Logits that the model computes per position. */
  readonly vocabSize: number;
  /** Number of token ids of the tokenizer; a model may compute logits for more ids. */
  readonly numTokens: number;
  readonly endTokens: readonly { readonly tokenId: number; readonly text: string }[];
  /** Jinja source; null if the model has no template. */
  readonly chatTemplate: string | null;
  /** Markup around the reasoning; null for a model that does not reason. */
  readonly reasoning: Markup | null;
  /** A call of a tool as the model writes it; null if its chat template has no tools, or calls that are not understood. */
  readonly toolCall: string | null;
  /** Null for a folder of ONNX files, because only the graph has the sizes. */
  readonly sizes: ModelSizes | null;
  /** Format of keys and values; for a folder of ONNX files, a description of the graph's cache tensors and LM head. */
  readonly kvCache: string;
  /** Null for a folder of ONNX files. */
  readonly memory: MemoryEstimate | null;
}

/** Sizes of a model, in elements. */
export interface ModelSizes {
  readonly numLayers: number;
  readonly hiddenSize: number;
  /** Width of the feed-forward network. */
  readonly intermediateSize: number;
  readonly numHeads: number;
  /** Heads of keys and values; if fewer than `numHeads`, several query heads share one. */
  readonly numKvHeads: number;
  readonly headDim: number;
  /** True if the embedding is also the LM head's matrix. */
  readonly tiedEmbeddings: boolean;
}

/**
 * Describes a model. Downloads it from the hub and converts safetensors, unless that has been done before.
 *
 * @param model model as for `loadModel`
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
    toolCall: messageFormat.calls === null ? null : writtenCalls(messageFormat.calls, [SAMPLE_CALL]),
    kvCache: cacheOf(folder, engine.kvCache),
    memory:
      folder.kind === "pack" ? estimateMemory(folder.config, { ...engine, format: folder.manifest.format }) : null,
  };
}

const SAMPLE_CALL = { name: "get_weather", json: '{"city":"Oslo"}' };

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
  return `${caches.length} tensors, ${[...shapes].join(", ")}; LM head ${folder.decoder.ending}`;
}

/**
 * The library's front: a model folder in, a `Model` out whose `chat` and `generate` stream deltas.
 */

import { availableParallelism } from "node:os";

import { Kernels, type MatrixFormat, type PackedMatrix } from "../kernels/index.js";
import { Engine } from "./engine.js";
import { EngineError } from "./errors.js";
import { KVCache } from "./kv-cache.js";
import { LIMITS } from "./limits.js";
import { LMHead } from "./lm-head.js";
import { preparePack, type ModelConfig, type ModelPack } from "./model/index.js";
import { OnnxRunner } from "./runner/onnx-runner.js";
import { generationConfig, type GenerationConfig, type GenerationOptions } from "./sampling/generation-config.js";
import type { OutputDelta } from "./sequence.js";
import { ChatTemplate, type ChatMessage } from "./text/chat-template.js";
import type { Reasoning } from "./text/reasoning-parser.js";
import { TextStream } from "./text/text-stream.js";
import { Tokenizer } from "./text/tokenizer.js";

export interface LoadModelOptions {
  /** A Hugging Face folder, a pack, or null for the embedded model. */
  readonly model?: string | null;
  /** How a Hugging Face folder is converted: `q8` unless given. A pack has its own format. */
  readonly quant?: MatrixFormat;
  /** Threads of ONNX Runtime; the machine's parallelism unless given. */
  readonly numThreads?: number;
  /** Memory for keys and values; LIMITS.kvCacheBytesMax unless given, and never more than the weights leave of 4 GiB. */
  readonly kvCacheBytes?: number;
  /** Called while a folder is converted, with bytes done and bytes in all. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** Sampling parameters and what surrounds them; absent ones take the contract's defaults. */
export interface RequestOptions extends GenerationOptions {
  /** When prompt + maxTokens exceeds the context: lower maxTokens (`truncate`, the default) or refuse. */
  readonly contextLengthExceededBehavior?: "truncate" | "error";
  /** Ends the request at the next token; the stream then throws the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Reasoning comes apart from the answer (`separateReasoning`) unless asked for otherwise. */
export interface ChatOptions extends RequestOptions {
  readonly messages: readonly ChatMessage[];
}

export interface GenerateOptions extends RequestOptions {
  /** Raw text; special tokens in it are recognised, and the tokenizer adds its begin token if it does so. */
  readonly prompt: string;
}

/** A stream of deltas, with what is known before the first token. */
export interface OutputStream extends AsyncIterable<OutputDelta> {
  /** The seed used: the one given, or the one drawn. */
  readonly seed: number;
  readonly promptTokenIds: readonly number[];
}

/** Loads a model, converting its folder into a pack in the cache if that has not been done yet. */
export async function loadModel(options: LoadModelOptions = {}): Promise<Model> {
  const { kvCacheBytes = LIMITS.kvCacheBytesMax } = options;
  if (!Number.isSafeInteger(kvCacheBytes) || kvCacheBytes < 1) {
    throw new EngineError("out_of_range", `kvCacheBytes must be an integer >= 1. Given: ${kvCacheBytes}`, "kvCacheBytes");
  }
  const pack = await preparePack({
    model: options.model ?? null,
    ...(options.quant === undefined ? {} : { format: options.quant }),
    ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
  });
  return Model.open(pack, { numThreads: options.numThreads ?? availableParallelism(), kvCacheBytes });
}

export class Model {
  readonly pack: ModelPack;
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
  readonly #engine: Engine;
  readonly #runner: OnnxRunner;

  private constructor(pack: ModelPack, tokenizer: Tokenizer, engine: Engine, runner: OnnxRunner) {
    this.pack = pack;
    this.tokenizer = tokenizer;
    this.template = new ChatTemplate(pack.chatTemplate, pack.tokenizerConfig, tokenizer);
    this.#engine = engine;
    this.#runner = runner;
  }

  static async open(pack: ModelPack, { numThreads, kvCacheBytes }: { numThreads: number; kvCacheBytes: number }): Promise<Model> {
    const { config } = pack;
    const kernels = await Kernels.load();
    const head = await readMatrix(kernels, pack, "lm_head");
    const embedding = config.tiedEmbeddings ? head : await readMatrix(kernels, pack, "embed_tokens");
    const row = kernels.allocate(config.hiddenSize * 4);
    const runner = await OnnxRunner.load({
      kernels,
      bodyPath: pack.bodyPath,
      config,
      embed: (tokenId, target) => {
        kernels.readRow(embedding, tokenId, row);
        target.set(kernels.f32(row, config.hiddenSize));
      },
      numThreads,
      blockSize: LIMITS.promptBlockTokens,
      pageSize: LIMITS.promptBlockTokens,
    });
    const tokenizer = new Tokenizer(pack.tokenizerJson, pack.tokenizerConfig);
    const vocabSize = Math.min(tokenizer.vocabSize, head.rows);
    const lmHead = new LMHead(kernels, head, {
      numRowsMax: LIMITS.runningSequencesMax,
      vocabSize,
      hasToken: (tokenId) => tokenizer.hasToken(tokenId),
    });
    const engine = new Engine({
      kernels,
      promptRunner: runner,
      tokenRunner: runner.withBlockSize(1),
      blockSize: LIMITS.promptBlockTokens,
      lmHead,
      cache: createCache(kernels, kvPageByteLength(config), kvCacheBytes),
      tokenizer,
      endTokenIds: new Set(config.endTokenIds),
      contextLength: config.contextLength,
    });
    return new Model(pack, tokenizer, engine, runner);
  }

  /**
   * Answers a conversation.
   * @throws EngineError at once for anything the request gets wrong
   */
  chat({ messages, separateReasoning = true, ...options }: ChatOptions): OutputStream {
    const prompt = this.template.render(messages);
    const tags = this.pack.reasoning;
    const reasoning = tags === null ? null : { ...tags, startsInside: prompt.opensReasoning };
    return this.#submit(this.tokenizer.encodePrompt(prompt), { ...options, separateReasoning }, reasoning);
  }

  /** Continues raw text. Reasoning tags are ordinary text here. */
  generate({ prompt, ...options }: GenerateOptions): OutputStream {
    const promptTokenIds = this.tokenizer.encode(prompt);
    if (promptTokenIds.length === 0) {
      throw new EngineError("out_of_range", "The prompt is empty, and this model's tokenizer has no begin token to start from.", "prompt");
    }
    return this.#submit(promptTokenIds, options, null);
  }

  /** Waits for running requests, then frees the model. */
  async close(): Promise<void> {
    await this.#engine.idle();
    await this.#runner.release();
  }

  #submit(promptTokenIds: number[], options: RequestOptions, reasoning: Reasoning | null): OutputStream {
    const { contextLengthExceededBehavior = "truncate", signal, ...parameters } = options;
    const config = generationConfig(parameters);
    this.#checkTokenIds(promptTokenIds, config);
    const deltas = this.#engine.submit({
      promptTokenIds,
      config,
      contextLengthExceededBehavior,
      signal,
      createText: () =>
        new TextStream({
          tokenizer: this.tokenizer,
          promptIds: promptTokenIds,
          reasoning,
          separateReasoning: config.separateReasoning,
          stop: config.stop,
          includeStop: config.includeStop,
        }),
    });
    return { seed: config.seed, promptTokenIds, [Symbol.asyncIterator]: () => deltas };
  }

  #checkTokenIds(promptTokenIds: readonly number[], { logitBias }: GenerationConfig): void {
    const last = Math.min(this.pack.config.vocabSize, this.tokenizer.vocabSize) - 1;
    const unknown = promptTokenIds.find((id) => id > last);
    if (unknown !== undefined) {
      throw new EngineError("out_of_range", `The prompt holds token ${unknown} (${this.tokenizer.tokenText(unknown)}); this model's tokens end at ${last}.`);
    }
    for (const id of logitBias.keys()) {
      if (id <= last && this.tokenizer.hasToken(id)) continue;
      throw new EngineError("out_of_range", `logit_bias names ${id}, which is no token of this model; ids are 0 to ${last}.`, `logit_bias.${id}`);
    }
  }
}

async function readMatrix(kernels: Kernels, pack: ModelPack, name: string): Promise<PackedMatrix> {
  const tensor = pack.tensors.get(name);
  if (tensor === undefined) throw new EngineError("invalid_model", `${pack.dir}: the pack has no tensor ${name}`);
  const matrix = kernels.allocateMatrix(tensor.format, tensor.rows, tensor.cols);
  await pack.readTensor(name, kernels.bytes(matrix.address, matrix.byteLength));
  return matrix;
}

/** After everything else of a fixed size is allocated: what is left bounds the pages. */
function createCache(kernels: Kernels, pageByteLength: number, kvCacheBytes: number): KVCache {
  const numBytes = Math.min(kvCacheBytes, kernels.numBytesLeft - LIMITS.kernelScratchBytesMax);
  const pagesMax = Math.max(0, Math.floor(numBytes / pageByteLength));
  return new KVCache(kernels, { pageSize: LIMITS.promptBlockTokens, pageByteLength, pagesMax, reuse: "block" });
}

function kvPageByteLength({ numLayers, numKvHeads, headDim }: ModelConfig): number {
  return numLayers * 2 * numKvHeads * LIMITS.promptBlockTokens * headDim * 4;
}

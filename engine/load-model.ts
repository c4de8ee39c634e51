/**
 * The library's front: a model folder in, a `Model` out whose `chat` and `generate` stream deltas.
 */

import { availableParallelism } from "node:os";

import { Kernels, type LogprobsMode, type MatrixFormat, type PackedMatrix } from "../kernels/index.js";
import { Engine } from "./engine.js";
import { assert, EngineError } from "./errors.js";
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
  /** Choices that draw tokens at the same time, 1..128: 16 unless given. More wait for their turn; answers stay the same. */
  readonly maxConcurrency?: number;
  /**
   * Whose log-probabilities answers report: the model's own (`raw`, unless given), or those of the tokens that
   * grammar, bias, penalties, temperature and filters leave (`processed`). At temperature 0 nothing is scaled or
   * filtered, so `processed` means after the penalties there. What is drawn stays the same.
   */
  readonly logprobsMode?: LogprobsMode;
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

interface Submission {
  readonly promptTokenIds: number[];
  readonly config: GenerationConfig;
  readonly reasoning: Reasoning | null;
  readonly contextLengthExceededBehavior: RequestOptions["contextLengthExceededBehavior"];
  readonly signal: AbortSignal | undefined;
}

/** A stream of deltas, with what is known before the first token. */
export interface OutputStream extends AsyncIterable<OutputDelta> {
  /** The seed used: the one given, or the one drawn. */
  readonly seed: number;
  readonly promptTokenIds: readonly number[];
}

/**
 * Loads a model, converting its folder into a pack in the cache if that has not been done yet.
 * @throws EngineError for an option or a model that cannot be used
 */
export async function loadModel(options: LoadModelOptions = {}): Promise<Model> {
  const {
    numThreads = availableParallelism(),
    maxConcurrency = LIMITS.runningSequencesDefault,
    logprobsMode = "raw",
    kvCacheBytes = LIMITS.kvCacheBytesMax,
  } = options;
  checkMaxConcurrency(maxConcurrency);
  checkLogprobsMode(logprobsMode);
  checkKvCacheBytes(kvCacheBytes);
  const pack = await preparePack({
    model: options.model ?? null,
    ...(options.quant === undefined ? {} : { format: options.quant }),
    ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
  });
  return Model.open(pack, { numThreads, maxConcurrency, logprobsMode, kvCacheBytes });
}

/** How a pack is run. */
type EngineOptions = Required<Pick<LoadModelOptions, "numThreads" | "maxConcurrency" | "logprobsMode" | "kvCacheBytes">>;

export class Model {
  readonly pack: ModelPack;
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
  /** What it was loaded with, as `logprobsMode`. */
  readonly maxConcurrency: number;
  readonly logprobsMode: LogprobsMode;
  readonly #engine: Engine;
  readonly #runner: OnnxRunner;

  private constructor(pack: ModelPack, options: EngineOptions, tokenizer: Tokenizer, engine: Engine, runner: OnnxRunner) {
    this.pack = pack;
    this.maxConcurrency = options.maxConcurrency;
    this.logprobsMode = options.logprobsMode;
    this.tokenizer = tokenizer;
    this.template = new ChatTemplate(pack.chatTemplate, pack.tokenizerConfig, tokenizer);
    this.#engine = engine;
    this.#runner = runner;
  }

  static async open(pack: ModelPack, options: EngineOptions): Promise<Model> {
    const { config } = pack;
    const { numThreads, maxConcurrency, logprobsMode, kvCacheBytes } = options;
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
      numRowsMax: maxConcurrency,
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
      logprobsMode,
    });
    return new Model(pack, options, tokenizer, engine, runner);
  }

  /**
   * Answers a conversation.
   * @throws EngineError at once for anything the request gets wrong
   */
  chat({ messages, separateReasoning = true, contextLengthExceededBehavior, signal, ...parameters }: ChatOptions): OutputStream {
    const config = this.#checkedConfig({ ...parameters, separateReasoning });
    this.#checkNumMessages(messages.length);
    const prompt = this.template.render(messages);
    this.#checkTextLength(prompt.text, "messages");
    const tags = this.pack.reasoning;
    const reasoning = tags === null ? null : { ...tags, startsInside: prompt.opensReasoning };
    const promptTokenIds = this.tokenizer.encodePrompt(prompt);
    return this.#submit({ promptTokenIds, config, reasoning, contextLengthExceededBehavior, signal });
  }

  /** Continues raw text. Reasoning tags are ordinary text here. */
  generate({ prompt, contextLengthExceededBehavior, signal, ...parameters }: GenerateOptions): OutputStream {
    const config = this.#checkedConfig(parameters);
    this.#checkTextLength(prompt, "prompt");
    const promptTokenIds = this.tokenizer.encode(prompt);
    if (promptTokenIds.length === 0) {
      throw new EngineError("out_of_range", "The prompt is empty, and this model's tokenizer has no begin token to start from.", "prompt");
    }
    return this.#submit({ promptTokenIds, config, reasoning: null, contextLengthExceededBehavior, signal });
  }

  /** Waits for running requests, then frees the model. */
  async close(): Promise<void> {
    await this.#engine.idle();
    await this.#runner.release();
  }

  #submit({ promptTokenIds, config, reasoning, contextLengthExceededBehavior = "truncate", signal }: Submission): OutputStream {
    this.#checkPrompt(promptTokenIds);
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

  /** Rendering and encoding megabytes takes seconds, during which nothing else runs: what cannot fit is refused before. */
  #checkNumMessages(numMessages: number): void {
    const { contextLength } = this.pack.config;
    if (numMessages <= contextLength) return;
    throw new EngineError("context_length_exceeded", `There are ${numMessages} messages; the context's ${contextLength} tokens hold at most as many.`, "messages");
  }

  #checkTextLength({ length }: string, param: string): void {
    const { contextLength } = this.pack.config;
    const lengthMax = contextLength * this.tokenizer.tokenLengthMax * NORMALIZATION_FACTOR;
    if (length <= lengthMax) return;
    throw new EngineError("context_length_exceeded", `The prompt has ${length} characters; the context's ${contextLength} tokens hold fewer than ${lengthMax}.`, param);
  }

  #checkPrompt(promptTokenIds: readonly number[]): void {
    const last = this.#lastTokenId;
    const unknown = promptTokenIds.find((id) => id > last);
    if (unknown === undefined) return;
    throw new EngineError("out_of_range", `The prompt holds token ${unknown} (${this.tokenizer.tokenText(unknown)}); this model's tokens end at ${last}.`);
  }

  /** The sampling parameters, checked before the prompt is. */
  #checkedConfig(parameters: GenerationOptions): GenerationConfig {
    const config = generationConfig(parameters);
    const last = this.#lastTokenId;
    for (const id of config.logitBias.keys()) {
      if (id <= last && this.tokenizer.hasToken(id)) continue;
      throw new EngineError("out_of_range", `logit_bias names ${id}, which is no token of this model; ids are 0 to ${last}.`, `logit_bias.${id}`);
    }
    return config;
  }

  get #lastTokenId(): number {
    return Math.min(this.pack.config.vocabSize, this.tokenizer.vocabSize) - 1;
  }
}

function checkMaxConcurrency(value: unknown): void {
  if (typeof value !== "number" || (Number.isFinite(value) && !Number.isInteger(value))) {
    throw new EngineError("invalid_type", `maxConcurrency must be an integer. Given: ${String(value)}`, "maxConcurrency");
  }
  if (!(value >= 1 && value <= LIMITS.runningSequencesMax)) {
    throw new EngineError("out_of_range", `maxConcurrency must be in 1..${LIMITS.runningSequencesMax}. Given: ${value}`, "maxConcurrency");
  }
}

function checkKvCacheBytes(value: number): void {
  if (Number.isSafeInteger(value) && value >= 1) return;
  throw new EngineError("out_of_range", `kvCacheBytes must be an integer >= 1. Given: ${value}`, "kvCacheBytes");
}

function checkLogprobsMode(value: unknown): void {
  if (value === "raw" || value === "processed") return;
  throw new EngineError("unsupported_value", `logprobsMode must be raw or processed. Given: ${String(value)}`, "logprobsMode");
}

/** Composing Unicode characters (NFC, NFKC) makes at most this many of a text's code units one. */
const NORMALIZATION_FACTOR = 4;

async function readMatrix(kernels: Kernels, pack: ModelPack, name: string): Promise<PackedMatrix> {
  const tensor = pack.tensors.get(name);
  assert(tensor !== undefined && tensor.format !== "vector", `the pack has no matrix ${name}`);
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

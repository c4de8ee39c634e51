/**
 * The library's front: a model folder in, a `Model` out whose `chat` and `generate` stream deltas.
 */

import {
  Kernels,
  type KernelVariant,
  type KVFormat,
  type LogprobsMode,
  type MatrixFormat,
} from "../../kernels/index.js";
import {
  AnswerGrammar,
  answerGrammar,
  AnswerVocabulary,
  markupOf,
  TextStream,
  type Reasoning,
  type ResponseFormat,
} from "../message/index.js";
import { Engine, GraphLogits, KVCache, LMHead, type OutputDelta } from "../core/index.js";
import { described, EngineError, wrongType } from "../errors.js";
import type { Grammar } from "../grammar/index.js";
import { LIMITS } from "../limits.js";
import {
  checkOneOf,
  checkSignal,
  engineOptions,
  isOptions,
  type EngineOptions,
  type LoadModelOptions,
  type Profile,
} from "./load-options.js";
import { checkMemory, estimateMemory, type MemoryEstimate } from "./memory.js";
import type { ModelConfig } from "../architecture/index.js";
import type { RunnableModel } from "../folder/index.js";
import { prepareModel } from "../store/index.js";
import { openRunners, type ModelRunner, type ModelRunners } from "../runner/index.js";
import { generationConfig, type GenerationConfig, type GenerationOptions } from "../sampling/index.js";
import { ChatTemplate, type ChatMessage } from "../template/index.js";
import { Tokenizer } from "../text/index.js";

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
  /** What the answer is, behind the reasoning: `{ type: "text" }` unless given. */
  readonly responseFormat?: ResponseFormat | null | undefined;
}

export interface GenerateOptions extends RequestOptions {
  /** Raw text; special tokens in it are recognised, and the tokenizer adds its begin token if it does so. */
  readonly prompt: string;
}

interface Submission {
  readonly promptTokenIds: number[];
  readonly config: GenerationConfig;
  readonly reasoning: Reasoning | null;
  readonly grammar: Grammar | null;
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
 * Loads a model, downloading it from the hub and converting it into a pack in the cache if that has not been done yet.
 * @throws EngineError for an option or a model that cannot be used
 */
export async function loadModel(options: LoadModelOptions = {}): Promise<Model> {
  const engine = engineOptions(options);
  const { model = null, quant, dtype, offline, signal, onProgress, onDownload, onNotice } = options;
  const onConfig = (config: ModelConfig, format: MatrixFormat): void =>
    checkMemory(config, { ...engine, format }, true);
  const folder = await prepareModel({
    model,
    format: quant,
    dtype,
    offline,
    signal,
    onConfig,
    onProgress,
    onDownload,
    onNotice,
  });
  signal?.throwIfAborted();
  return Model.open(folder, engine);
}

export class Model {
  /** What it runs from: a pack, or a folder of ONNX files. */
  readonly folder: RunnableModel;
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
  /** What it was loaded with, down to `logprobsMode`. */
  readonly profile: Profile;
  readonly kvCache: KVFormat;
  readonly maxConcurrency: number;
  readonly logprobsMode: LogprobsMode;
  /** What it takes, as told before it was loaded; null for a folder of ONNX files. */
  readonly memory: MemoryEstimate | null;
  readonly #engine: Engine;
  readonly #kernels: Kernels;
  readonly #runners: ReadonlySet<ModelRunner>;
  #answerVocabulary: AnswerVocabulary | null = null;
  #closing: Promise<void> | null = null;

  private constructor(
    folder: RunnableModel,
    options: EngineOptions,
    parts: { tokenizer: Tokenizer; engine: Engine; kernels: Kernels; runners: readonly ModelRunner[] },
  ) {
    this.folder = folder;
    this.profile = options.profile;
    this.kvCache = options.kvCache;
    this.maxConcurrency = options.maxConcurrency;
    this.logprobsMode = options.logprobsMode;
    this.memory =
      folder.kind === "pack" ? estimateMemory(folder.config, { ...options, format: folder.manifest.format }) : null;
    this.tokenizer = parts.tokenizer;
    this.template = new ChatTemplate(
      folder.chatTemplate,
      folder.tokenizerConfig,
      parts.tokenizer,
      folder.messageFormat,
    );
    this.#engine = parts.engine;
    this.#kernels = parts.kernels;
    this.#runners = new Set(parts.runners);
  }

  static async open(folder: RunnableModel, options: EngineOptions): Promise<Model> {
    if (folder.kind === "pack") checkMemory(folder.config, { ...options, format: folder.manifest.format }, false);
    const kernels = await Kernels.load({ numThreads: options.numThreads });
    try {
      return await Model.#assemble(folder, options, kernels);
    } catch (error) {
      await kernels.close();
      throw error;
    }
  }

  static async #assemble(folder: RunnableModel, options: EngineOptions, kernels: Kernels): Promise<Model> {
    const runners = await openRunners(folder, kernels, options);
    const { promptRunner, tokenRunner, lmHead } = runners;
    const tokenizer = new Tokenizer(folder.tokenizerJson, folder.tokenizerConfig, markupOf(folder.messageFormat));
    const head = {
      numRowsMax: options.maxConcurrency,
      vocabSize: Math.min(tokenizer.vocabSize, lmHead?.rows ?? folder.vocabSize),
      hasToken: (tokenId: number) => tokenizer.hasToken(tokenId),
    };
    const engine = new Engine({
      kernels,
      promptRunner,
      tokenRunner,
      blockSize: runners.blockSize,
      lmHead: lmHead === null ? new GraphLogits(kernels, head) : new LMHead(kernels, lmHead, head),
      cache: createCache(kernels, runners, options),
      tokenizer,
      endTokenIds: new Set(folder.endTokenIds),
      contextLength: folder.contextLength,
      logprobsMode: options.logprobsMode,
    });
    return new Model(folder, options, { tokenizer, engine, kernels, runners: [promptRunner, tokenRunner] });
  }

  /** Which build of the kernels this machine runs. */
  get kernelVariant(): KernelVariant {
    return this.#kernels.variant;
  }

  /** Threads that compute. */
  get numThreads(): number {
    return this.#kernels.numThreads;
  }

  /**
   * Answers a conversation.
   * @throws EngineError at once for anything the request gets wrong
   */
  chat(options: ChatOptions): OutputStream {
    this.#checkRequest(options, "messages");
    const {
      messages,
      separateReasoning = true,
      responseFormat = null,
      contextLengthExceededBehavior,
      signal,
      ...parameters
    } = options;
    const config = this.#checkedConfig({ ...parameters, separateReasoning });
    const grammar = answerGrammar(responseFormat, this.folder.messageFormat.reasoning !== null);
    this.#checkNumMessages(messages);
    const prompt = this.template.render(messages);
    this.#checkTextLength(prompt.text, "messages");
    const { reasoning: tags } = this.folder.messageFormat;
    const reasoning = tags === null ? null : { ...tags, startsInside: prompt.opensReasoning };
    const promptTokenIds = this.tokenizer.encodePrompt(prompt);
    return this.#submit({ promptTokenIds, config, reasoning, grammar, contextLengthExceededBehavior, signal });
  }

  /** Continues raw text. Reasoning tags are ordinary text here. */
  generate(options: GenerateOptions): OutputStream {
    this.#checkRequest(options, "prompt");
    const { prompt, contextLengthExceededBehavior, signal, ...parameters } = options;
    const config = this.#checkedConfig(parameters);
    if (typeof prompt !== "string") throw wrongType("prompt", "a string", prompt);
    this.#checkTextLength(prompt, "prompt");
    const promptTokenIds = this.tokenizer.encode(prompt);
    if (promptTokenIds.length === 0) {
      throw new EngineError(
        "out_of_range",
        "The prompt is empty, and this model's tokenizer has no begin token to start from.",
        "prompt",
      );
    }
    return this.#submit({
      promptTokenIds,
      config,
      reasoning: null,
      grammar: null,
      contextLengthExceededBehavior,
      signal,
    });
  }

  /** Waits for running requests, then frees the model, which takes no more of them from now on. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    await this.#engine.idle();
    for (const runner of this.#runners) await runner.release();
    await this.#kernels.close();
  }

  #submit({
    promptTokenIds,
    config,
    reasoning,
    grammar,
    contextLengthExceededBehavior = "truncate",
    signal,
  }: Submission): OutputStream {
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
      ...(grammar === null
        ? {}
        : { createGrammar: () => new AnswerGrammar(grammar, this.#vocabularyOfAnswers, reasoning) }),
    });
    return { seed: config.seed, promptTokenIds, [Symbol.asyncIterator]: () => deltas };
  }

  /** What surrounds the sampling parameters; TypeScript checks it for its own callers alone. */
  #checkRequest(options: RequestOptions, text: string): void {
    if (this.#closing !== null) throw new EngineError("model_closed", "The model is closed.");
    if (!isOptions(options))
      throw new EngineError("invalid_type", `A request must be an object with ${text}. Given: ${described(options)}`);
    const { contextLengthExceededBehavior: behavior, signal } = options;
    if (behavior !== undefined) checkOneOf("contextLengthExceededBehavior", behavior, ["truncate", "error"]);
    checkSignal(signal);
  }

  /** Rendering and encoding megabytes takes seconds, during which nothing else runs: what cannot fit is refused before. */
  #checkNumMessages(messages: readonly ChatMessage[]): void {
    const { contextLength } = this.folder;
    // What is no list is refused with the messages themselves.
    if (!Array.isArray(messages) || messages.length <= contextLength) return;
    throw new EngineError(
      "context_length_exceeded",
      `There are ${messages.length} messages; the context's ${contextLength} tokens hold at most as many.`,
      "messages",
    );
  }

  #checkTextLength({ length }: string, param: string): void {
    const { contextLength } = this.folder;
    const lengthMax = contextLength * this.tokenizer.tokenLengthMax * NORMALIZATION_FACTOR;
    if (length <= lengthMax) return;
    throw new EngineError(
      "context_length_exceeded",
      `The prompt has ${length} characters; the context's ${contextLength} tokens hold fewer than ${lengthMax}.`,
      param,
    );
  }

  #checkPrompt(promptTokenIds: readonly number[]): void {
    const last = this.#lastTokenId;
    const unknown = promptTokenIds.find((id) => id > last);
    if (unknown === undefined) return;
    throw new EngineError(
      "out_of_range",
      `The prompt holds token ${unknown} (${this.tokenizer.tokenText(unknown)}); this model's tokens end at ${last}.`,
    );
  }

  /** The sampling parameters, checked before the prompt is. */
  #checkedConfig(parameters: GenerationOptions): GenerationConfig {
    const config = generationConfig(parameters);
    const last = this.#lastTokenId;
    for (const id of config.logitBias.keys()) {
      if (id <= last && this.tokenizer.hasToken(id)) continue;
      throw new EngineError(
        "out_of_range",
        `logit_bias names ${id}, which is no token of this model; ids are 0 to ${last}.`,
        `logit_bias.${id}`,
      );
    }
    return config;
  }

  /** Made for the first answer with a grammar: a large vocabulary takes a part of a second. */
  get #vocabularyOfAnswers(): AnswerVocabulary {
    if (this.#answerVocabulary !== null) return this.#answerVocabulary;
    const tokens = Array.from({ length: this.#lastTokenId + 1 }, (_, tokenId) => this.tokenizer.tokenBytes(tokenId));
    return (this.#answerVocabulary = new AnswerVocabulary(
      tokens,
      this.folder.endTokenIds,
      this.folder.messageFormat.reasoning,
    ));
  }

  get #lastTokenId(): number {
    return Math.min(this.folder.vocabSize, this.tokenizer.vocabSize) - 1;
  }
}

/** Composing Unicode characters (NFC, NFKC) makes at most this many of a text's code units one. */
const NORMALIZATION_FACTOR = 4;

/** After everything else of a fixed size is allocated: what is left bounds the pages. */
function createCache(
  kernels: Kernels,
  { blockSize: pageSize, pageByteLength, reuse }: ModelRunners,
  { kvCacheBytes }: EngineOptions,
): KVCache {
  const numBytes = Math.min(kvCacheBytes, kernels.numBytesLeft - LIMITS.kernelScratchBytesMax);
  if (numBytes < pageByteLength) {
    throw new EngineError(
      "out_of_memory",
      `Keys and values take ${pageByteLength} bytes for each ${pageSize} positions; there are ${Math.max(0, numBytes)} for them.`,
    );
  }
  return new KVCache(kernels, { pageSize, pageByteLength, pagesMax: Math.floor(numBytes / pageByteLength), reuse });
}

/** A loaded model: messages or raw text in, an `Answer` out. */

import { Kernels, type KVFormat, type LogprobsMode, type MatrixFormat } from "../../kernels/index.js";
import { Engine, GraphLogits, KVCache, LMHead } from "../core/index.js";
import { described, EngineError, outOfRange, wrongType } from "../errors.js";
import type { OnnxDtype, RunnableModel } from "../folder/index.js";
import type { Grammar } from "../grammar/index.js";
import { isObject } from "../json.js";
import { LIMITS } from "../limits.js";
import {
  answerGrammar,
  AnswerMask,
  AnswerVocabulary,
  markupOf,
  PLAIN,
  TextStream,
  type MessageFormat,
  type ResponseFormat,
} from "../message/index.js";
import { openRunners, type ModelRunner, type ModelRunners, type Profile } from "../runner/index.js";
import { generationConfig, type GenerationConfig, type GenerationOptions } from "../sampling/index.js";
import { ChatTemplate, type ChatMessage } from "../template/index.js";
import { Tokenizer } from "../text/index.js";
import { Answer } from "./answer.js";
import { checkSignal, prepare, type EngineOptions, type LoadModelOptions } from "./load-options.js";
import { checkMemory, estimateMemory, type MemoryEstimate } from "./memory.js";

/**
 * Sampling parameters, and a signal that ends the request at the next token; reading the answer then throws the
 * signal's reason.
 */
export interface RequestOptions extends GenerationOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface ChatOptions extends RequestOptions {
  readonly messages: readonly ChatMessage[];
  /** Required format of the answer after the reasoning; `{ type: "text" }` by default. */
  readonly responseFormat?: ResponseFormat | null | undefined;
}

export interface GenerateOptions extends RequestOptions {
  /** Raw text. Special tokens in it are recognized, and the begin token is added if the tokenizer has that setting. */
  readonly prompt: string;
}

export interface ModelInfo {
  /** SHA-256 of the model's files, in hexadecimal: equal hashes mean equal models. */
  readonly modelHash: string;
  /** `model_type` of config.json. */
  readonly architecture: string;
  /** Format of the weights. */
  readonly weights: MatrixFormat | OnnxDtype;
  /** Maximum number of tokens of prompt and answer together. */
  readonly contextLength: number;
  /** Exclusive upper bound of token ids; some ids below it may not be tokens. */
  readonly vocabSize: number;
  readonly profile: Profile;
  /** Format of keys and values. */
  readonly kvCache: KVFormat;
  /** Number of compute threads. */
  readonly numThreads: number;
  /** Choices that draw tokens at the same time. */
  readonly maxConcurrency: number;
  readonly logprobsMode: LogprobsMode;
}

/**
 * Loads a model: downloads it from the hub and converts it into a pack in the cache, unless that has been done before.
 *
 * @param model a Hugging Face folder, a pack, a folder of ONNX files, `org/name[@revision]` on the hub, or null for the
 *   embedded model; or all options in one object
 * @throws EngineError for an option or a model that cannot be used
 */
export async function loadModel(
  model: string | null | LoadModelOptions = null,
  options: Omit<LoadModelOptions, "model"> = {},
): Promise<Model> {
  if (!isObject(options)) throw wrongType("options", "an object", options);
  const { folder, options: checked } = await prepare({ ...options, ...(isObject(model) ? model : { model }) });
  return Model.open(folder, checked);
}

export class Model {
  /** @internal Pack or folder of ONNX files from which the model runs. */
  readonly folder: RunnableModel;
  /** @internal */
  readonly tokenizer: Tokenizer;
  /** @internal */
  readonly template: ChatTemplate;
  readonly info: ModelInfo;
  /** @internal Memory of the model, as estimated before it was loaded; null for a folder of ONNX files. */
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
    const { profile, kvCache, maxConcurrency, logprobsMode } = options;
    const { modelHash, contextLength, messageFormat } = folder;
    const isPack = folder.kind === "pack";
    this.folder = folder;
    this.memory = isPack ? estimateMemory(folder.config, { ...options, format: folder.manifest.format }) : null;
    this.tokenizer = parts.tokenizer;
    this.template = new ChatTemplate(folder.chatTemplate, folder.tokenizerConfig, parts.tokenizer, messageFormat);
    this.#engine = parts.engine;
    this.#kernels = parts.kernels;
    this.#runners = new Set(parts.runners);
    this.info = {
      modelHash,
      architecture: isPack ? folder.config.architecture : folder.architecture,
      weights: isPack ? folder.manifest.format : folder.dtype,
      contextLength,
      vocabSize: this.#lastTokenId + 1,
      profile,
      kvCache,
      numThreads: parts.kernels.numThreads,
      maxConcurrency,
      logprobsMode,
    };
  }

  /** @internal */
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
      maxRows: options.maxConcurrency,
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

  /** @internal Build of the kernels that this machine runs. */
  get kernelVariant(): Kernels["variant"] {
    return this.#kernels.variant;
  }

  /**
   * Answers a conversation.
   * @throws EngineError immediately for an invalid request
   */
  chat(options: ChatOptions): Answer {
    this.#checkRequest(options, "messages");
    const { messages, responseFormat = null, signal, ...parameters } = options;
    const config = this.#checkedConfig(parameters);
    const grammar = answerGrammar(responseFormat, this.folder.messageFormat.reasoning !== null);
    this.#checkNumMessages(messages);
    const prompt = this.template.render(messages);
    this.#checkTextLength(prompt.text, "messages");
    const promptTokenIds = this.tokenizer.encodePrompt(prompt);
    const start = { format: this.folder.messageFormat, insideReasoning: prompt.opensReasoning };
    return this.#submit({ promptTokenIds, promptParam: "messages", config, ...start, grammar, signal });
  }

  /**
   * Continues raw text. Reasoning markup is treated as ordinary text.
   * @throws EngineError immediately for an invalid request
   */
  generate(options: GenerateOptions): Answer {
    this.#checkRequest(options, "prompt");
    const { prompt, signal, ...parameters } = options;
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
    const start = { format: PLAIN, insideReasoning: false };
    return this.#submit({ promptTokenIds, promptParam: "prompt", config, ...start, grammar: null, signal });
  }

  /**
   * Encodes text or messages.
   * @param input raw text, in which special tokens are recognized, or messages, which the chat template renders
   * @returns the token ids that the model would read
   * @throws EngineError for text that cannot be encoded, or messages that the template refuses
   */
  encode(input: string | readonly ChatMessage[]): number[] {
    if (typeof input === "string") return this.tokenizer.encode(input, "text");
    return this.tokenizer.encodePrompt(this.template.render(input));
  }

  /**
   * Decodes token ids to text.
   * @throws EngineError for an id that is not a token of this model
   */
  decode(tokenIds: readonly number[]): string {
    const { tokenizer } = this;
    const index = tokenIds.findIndex((id) => id >= tokenizer.vocabSize || !tokenizer.hasToken(id));
    if (index >= 0)
      throw outOfRange(
        `tokenIds[${index}]`,
        `is not a token of this model; ids are 0 to ${tokenizer.vocabSize - 1}`,
        tokenIds[index],
      );
    return tokenizer.decode(tokenIds);
  }

  /** Waits for running requests, then frees the model. New requests are refused from now on. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  /** Closes the model like `close`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    await this.#engine.idle();
    for (const runner of this.#runners) await runner.release();
    await this.#kernels.close();
  }

  #submit({ promptTokenIds, promptParam, config, format, insideReasoning, grammar, signal }: Submission): Answer {
    this.#checkPrompt(promptTokenIds, promptParam);
    const { tokenizer } = this;
    const { separateReasoning, stop, includeStop } = config;
    const text = {
      tokenizer,
      promptIds: promptTokenIds,
      format,
      insideReasoning,
      separateReasoning,
      stop,
      includeStop,
    };
    const deltas = this.#engine.submit({
      promptTokenIds,
      promptParam,
      config,
      signal,
      createText: () => new TextStream(text),
      createMask:
        grammar === null ? undefined : () => new AnswerMask(grammar, this.#vocabularyOfAnswers, insideReasoning),
    });
    return new Answer(deltas, config.seed, promptTokenIds);
  }

  /** Checks everything but the sampling parameters, because TypeScript checks it only for callers in TypeScript. */
  #checkRequest(options: RequestOptions, text: string): void {
    if (this.#closing !== null) throw new EngineError("model_closed", "The model is closed.");
    if (!isObject(options))
      throw new EngineError("invalid_type", `A request must be an object with ${text}. Given: ${described(options)}`);
    checkSignal(options.signal);
  }

  /**
   * Refuses more messages than can fit, before they are rendered and encoded: for megabytes of text this takes seconds,
   * during which nothing else runs.
   */
  #checkNumMessages(messages: readonly ChatMessage[]): void {
    const { contextLength } = this.folder;
    // A value that is not an array is refused later, when the messages are checked.
    if (!Array.isArray(messages) || messages.length <= contextLength) return;
    const limit = `the context's ${contextLength} tokens hold at most ${contextLength}`;
    throw new EngineError("context_length_exceeded", `There are ${messages.length} messages; ${limit}.`, "messages");
  }

  #checkTextLength({ length }: string, param: string): void {
    const { contextLength } = this.folder;
    const maxLength = contextLength * this.tokenizer.maxTokenLength * NORMALIZATION_FACTOR;
    if (length <= maxLength) return;
    const limit = `the context's ${contextLength} tokens hold at most ${maxLength}`;
    throw new EngineError("context_length_exceeded", `The prompt has ${length} characters; ${limit}.`, param);
  }

  #checkPrompt(promptTokenIds: readonly number[], param: string): void {
    const last = this.#lastTokenId;
    const unknown = promptTokenIds.find((id) => id > last);
    if (unknown === undefined) return;
    throw new EngineError(
      "out_of_range",
      `The prompt contains token ${unknown} (${this.tokenizer.tokenText(unknown)}); the largest token id of this model is ${last}.`,
      param,
    );
  }

  /** Checks the sampling parameters; called before the prompt is checked. */
  #checkedConfig(parameters: GenerationOptions): GenerationConfig {
    const config = generationConfig(parameters);
    const last = this.#lastTokenId;
    for (const id of config.logitBias.keys()) {
      if (id <= last && this.tokenizer.hasToken(id)) continue;
      const rule = `which is not a token of this model; ids are 0 to ${last}.`;
      throw new EngineError("out_of_range", (name) => `${name("logitBias")} names ${id}, ${rule}`, `logitBias.${id}`);
    }
    return config;
  }

  /** Vocabulary of token masks, built for the first answer with a grammar: a large one takes a fraction of a second. */
  get #vocabularyOfAnswers(): AnswerVocabulary {
    if (this.#answerVocabulary !== null) return this.#answerVocabulary;
    const tokens = Array.from({ length: this.#lastTokenId + 1 }, (_, tokenId) => this.tokenizer.tokenBytes(tokenId));
    return (this.#answerVocabulary = new AnswerVocabulary(tokens, this.folder.endTokenIds, this.folder.messageFormat));
  }

  get #lastTokenId(): number {
    return Math.min(this.folder.vocabSize, this.tokenizer.vocabSize) - 1;
  }
}

interface Submission {
  readonly promptTokenIds: number[];
  readonly promptParam: "messages" | "prompt";
  readonly config: GenerationConfig;
  readonly format: MessageFormat;
  readonly insideReasoning: boolean;
  readonly grammar: Grammar | null;
  readonly signal: AbortSignal | undefined;
}

/** Maximum number of code units that Unicode composition (NFC, NFKC) turns into one. */
const NORMALIZATION_FACTOR = 4;

/** Creates the KV cache, after all allocations of a fixed size: the remaining memory limits the number of pages. */
function createCache(
  kernels: Kernels,
  { blockSize: pageSize, pageByteLength, reuse }: ModelRunners,
  { kvCacheBytes }: EngineOptions,
): KVCache {
  const numBytes = Math.min(kvCacheBytes, kernels.numBytesLeft - LIMITS.maxKernelScratchBytes);
  if (numBytes < pageByteLength) {
    const needed = `Keys and values take ${pageByteLength} bytes for each ${pageSize} positions`;
    throw new EngineError("out_of_memory", `${needed}; ${Math.max(0, numBytes)} bytes are available.`);
  }
  return new KVCache(kernels, { pageSize, pageByteLength, maxPages: Math.floor(numBytes / pageByteLength), reuse });
}

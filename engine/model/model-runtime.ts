/** A model in memory: weights, kernels and the token loop. It runs prepared requests (preparer.ts). */

import { createHash } from "node:crypto";

import type { Kernels, KVFormat, LogprobsMode, MatrixFormat } from "../../kernels/index.js";
import { Engine, GraphLogits, KVCache, LMHead } from "../core/index.js";
import { EngineError } from "../errors.js";
import type { OnnxDtype, RunnableModel } from "../folder/index.js";
import { LoadedGrammars, type Grammar } from "../grammar/index.js";
import { LIMITS } from "../limits.js";
import { AnswerMask, AnswerVocabulary, markupOf, TextStream, type MessageFormat } from "../message/index.js";
import { openKernels, openRunners, type ModelRunner, type ModelRunners, type Profile } from "../runner/index.js";
import { readTokens, Vocabulary } from "../text/index.js";
import { Answer } from "./answer.js";
import type { EngineOptions } from "./load-options.js";
import { checkMemory, estimateMemory, type MemoryEstimate } from "./memory.js";
import type { PreparedRequest } from "./preparer.js";

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
  /** True if the model calls tools in a form that is understood. */
  readonly callsTools: boolean;
}

export class ModelRuntime {
  readonly info: ModelInfo;
  /** Memory of the model, as estimated before it was loaded; null for a folder of ONNX files. */
  readonly memory: MemoryEstimate | null;
  readonly #vocabulary: Vocabulary;
  readonly #engine: Engine;
  readonly #kernels: Kernels;
  readonly #runners: ReadonlySet<ModelRunner>;
  readonly #grammars = new LoadedGrammars(LIMITS.maxLoadedGrammarBytes);
  readonly #endTokenIds: readonly number[];
  readonly #messageFormat: MessageFormat;
  #answerVocabulary: AnswerVocabulary | null = null;
  #closing: Promise<void> | null = null;

  private constructor(
    folder: RunnableModel,
    options: EngineOptions,
    parts: { vocabulary: Vocabulary; engine: Engine; kernels: Kernels; runners: readonly ModelRunner[] },
  ) {
    const { profile, kvCache, maxConcurrency, logprobsMode } = options;
    const { modelHash, contextLength } = folder;
    const isPack = folder.kind === "pack";
    this.memory = isPack ? estimateMemory(folder.config, { ...options, format: folder.manifest.format }) : null;
    this.#vocabulary = parts.vocabulary;
    this.#engine = parts.engine;
    this.#kernels = parts.kernels;
    this.#runners = new Set(parts.runners);
    this.info = {
      modelHash,
      architecture: isPack ? folder.config.architecture : folder.architecture,
      weights: isPack ? folder.manifest.format : folder.dtype,
      contextLength,
      vocabSize: Math.min(folder.vocabSize, parts.vocabulary.vocabSize),
      profile,
      kvCache,
      numThreads: parts.kernels.numThreads,
      maxConcurrency,
      logprobsMode,
      callsTools: folder.messageFormat.calls !== null,
    };
    this.#endTokenIds = folder.endTokenIds;
    this.#messageFormat = folder.messageFormat;
  }

  /**
   * @param readVocabulary called while the weights are read
   * @throws EngineError for a model that cannot be used or does not fit into memory
   */
  static async open(
    folder: RunnableModel,
    options: EngineOptions,
    readVocabulary: () => Vocabulary = () =>
      new Vocabulary(readTokens(folder.tokenizerJson, folder.tokenizerConfig, markupOf(folder.messageFormat))),
  ): Promise<ModelRuntime> {
    if (folder.kind === "pack") checkMemory(folder.config, { ...options, format: folder.manifest.format }, false);
    const kernels = await openKernels(options.numThreads);
    try {
      return await ModelRuntime.#assemble(folder, readVocabulary, options, kernels);
    } catch (error) {
      await kernels.close();
      throw error;
    }
  }

  static async #assemble(
    folder: RunnableModel,
    readVocabulary: () => Vocabulary,
    options: EngineOptions,
    kernels: Kernels,
  ): Promise<ModelRuntime> {
    let vocabulary!: Vocabulary;
    const runners = await openRunners(folder, kernels, options, () => {
      vocabulary = readVocabulary();
    });
    const { promptRunner, tokenRunner, draftRunner, lmHead } = runners;
    const head = {
      maxRows: Math.max(options.maxConcurrency, draftRunner === null ? 1 : 1 + LIMITS.maxDraftTokens),
      vocabSize: Math.min(vocabulary.vocabSize, lmHead?.rows ?? folder.vocabSize),
      hasToken: (tokenId: number) => vocabulary.hasToken(tokenId),
    };
    const engine = new Engine({
      kernels,
      promptRunner,
      tokenRunner,
      draftRunner,
      blockSize: runners.blockSize,
      maxBlocks: runners.maxBlocks,
      numPlaces: options.maxConcurrency,
      lmHead: lmHead === null ? new GraphLogits(kernels, head) : new LMHead(kernels, lmHead, head),
      cache: createCache(kernels, runners, options),
      vocabulary,
      endTokenIds: new Set(folder.endTokenIds),
      contextLength: folder.contextLength,
      logprobsMode: options.logprobsMode,
    });
    return new ModelRuntime(folder, options, { vocabulary, engine, kernels, runners: [promptRunner, tokenRunner] });
  }

  /** Resolves with the fault that ends the model's engine; the model must then be loaded again. */
  get failed(): Promise<Error> {
    return this.#engine.failed;
  }

  /** Build of the kernels that this machine runs. */
  get kernelVariant(): Kernels["variant"] {
    return this.#kernels.variant;
  }

  /**
   * Builds the tables for token masks, which takes some 100 ms for a large vocabulary. Otherwise the first request with
   * a response format builds them, and delays the tokens of all requests.
   */
  prepareMasks(): AnswerVocabulary {
    if (this.#answerVocabulary === null) {
      const { vocabSize } = this.info;
      const tokens = Array.from({ length: vocabSize }, (_, tokenId) => this.#vocabulary.tokenBytes(tokenId));
      this.#answerVocabulary = new AnswerVocabulary(tokens, this.#endTokenIds, this.#messageFormat);
    }
    return this.#answerVocabulary;
  }

  /** @throws EngineError model_closed */
  checkOpen(): void {
    if (this.#closing !== null) throw new EngineError("model_closed", "The model is closed.");
  }

  /**
   * Starts a request.
   * @throws EngineError immediately if the model is closed or the request can never run
   */
  submit(request: PreparedRequest, signal: AbortSignal | undefined): Answer {
    this.checkOpen();
    const { promptTokenIds, promptParam, date, config, format, insideReasoning, calls } = request;
    const { separateReasoning, stop, includeStop } = config;
    const text = {
      vocabulary: this.#vocabulary,
      promptIds: promptTokenIds,
      format,
      insideReasoning,
      separateReasoning,
      stop,
      includeStop,
    };
    const grammar = request.grammar === null ? null : this.#grammars.get(request.grammar);
    const deltas = this.#engine.submit({
      promptTokenIds,
      promptParam,
      config,
      signal,
      createText: (choice) => {
        if (calls === null) return new TextStream(text);
        const idOf = (index: number): string => callId(calls.promptDigest, config.seed, choice, index);
        return new TextStream({ ...text, calls: { ...calls, idOf } });
      },
      createMask: grammar === null ? undefined : this.#maskCreator(grammar, insideReasoning),
    });
    return new Answer(deltas, { seed: config.seed, date, schemaNotes: grammar?.notes ?? [], promptTokenIds });
  }

  #maskCreator(grammar: Grammar, insideReasoning: boolean): () => AnswerMask {
    const vocabulary = this.prepareMasks();
    return () => new AnswerMask(grammar, vocabulary, insideReasoning);
  }

  /** Waits for running requests, then frees the model. New requests are refused from now on. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    await this.#engine.idle();
    for (const runner of this.#runners) await runner.release();
    await this.#kernels.close();
  }
}

/**
 * Returns the id of a call. It depends on the prompt, because clients with a fixed seed would otherwise take the calls
 * of later requests for those that they have already answered.
 */
function callId(promptDigest: string, seed: number | bigint, choice: number, index: number): string {
  const digest = createHash("sha256").update(`${promptDigest}/${seed}/${choice}/${index}`).digest("hex");
  return `call_${digest.slice(0, ID_CHARACTERS)}`;
}

const ID_CHARACTERS = 24;

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

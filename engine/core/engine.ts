/**
 * The token loop: schedule, run, project, sample, commit. One step advances every running sequence by a token and one
 * prompt by a block. The sampler, the text stream and the step plan handle everything that depends on a token's
 * meaning; a feature that would need an `if` in `step` belongs in one of them.
 */

import type { Address, Kernels, LogprobsMode, SampledToken } from "../../kernels/index.js";
import type { AnswerMask, TextDelta, TextStream } from "../message/index.js";
import { AsyncQueue } from "../async-queue.js";
import { assert, EngineError } from "../errors.js";
import type { KVCache } from "./kv-cache.js";
import type { Head } from "./lm-head.js";
import type { ModelRunner } from "../runner/index.js";
import { Sampler, type GenerationConfig } from "../sampling/index.js";
import { Scheduler } from "./scheduler.js";
import type {
  FinishReason,
  OutputDelta,
  Prompt,
  Request,
  Sequence,
  TokenAlternative,
  TokenLogprob,
} from "./sequence.js";
import type { Tokenizer } from "../text/index.js";

export interface EngineParts {
  readonly kernels: Kernels;
  /** Runs prompts, one block per call. */
  readonly promptRunner: ModelRunner;
  /** Runs the generated tokens of all running sequences together. */
  readonly tokenRunner: ModelRunner;
  /** Tokens per prompt block. */
  readonly blockSize: number;
  readonly lmHead: Head;
  readonly cache: KVCache;
  readonly tokenizer: Tokenizer;
  readonly endTokenIds: ReadonlySet<number>;
  /** Maximum number of tokens of prompt and completion together. */
  readonly contextLength: number;
  /** Reported log-probabilities: the model's own (`raw`, default) or those of what sampling keeps (`processed`). */
  readonly logprobsMode?: LogprobsMode;
}

export interface EngineRequest {
  readonly promptTokenIds: readonly number[];
  /** Name of the parameter that the prompt comes from, for errors. */
  readonly promptParam: "messages" | "prompt";
  readonly config: GenerationConfig;
  /** Creates the text stream that turns a choice's tokens into text. */
  readonly createText: () => TextStream;
  /** Creates the token mask that constrains a choice's answer; without it any text is allowed. */
  readonly createMask?: (() => AnswerMask) | undefined;
  readonly signal?: AbortSignal | undefined;
}

const NO_TEXT: TextDelta = { content: "", reasoning: "", stopped: null };

export class Engine {
  readonly #parts: EngineParts;
  readonly #scheduler: Scheduler;
  #loop: Promise<void> | null = null;

  constructor(parts: EngineParts) {
    this.#parts = parts;
    this.#scheduler = new Scheduler(parts.cache, {
      blockSize: parts.blockSize,
      maxSequences: parts.lmHead.maxRows,
    });
  }

  /**
   * Starts a request and yields its deltas as the choices grow, choices interleaved. Leaving the loop early or aborting
   * the signal ends the request at the next token; after an abort the generator throws the signal's reason.
   * @throws EngineError immediately if the request can never run
   */
  submit(request: EngineRequest): AsyncGenerator<OutputDelta, void, void> {
    request.signal?.throwIfAborted();
    const maxTokens = this.#maxTokens(request);
    const deltas = new AsyncQueue<OutputDelta>();
    const running = this.#createRequest(request, maxTokens, deltas);
    this.#scheduler.add(running);
    this.#loop ??= this.#run().finally(() => (this.#loop = null));

    const abort = (): void => {
      running.canceled = true;
      deltas.fail(request.signal?.reason);
    };
    request.signal?.addEventListener("abort", abort, { once: true });
    return drained(deltas, () => {
      running.canceled = true;
      request.signal?.removeEventListener("abort", abort);
    });
  }

  /** Resolves when no request runs. */
  async idle(): Promise<void> {
    await this.#loop;
  }

  async #run(): Promise<void> {
    while (this.#scheduler.hasWork) {
      try {
        await this.step();
      } catch (error) {
        // The error is a bug outside the work of a single request, so no running request can be trusted.
        for (const request of this.#scheduler.requests()) fail(request, error);
      }
      // Yields to the event loop, so that aborts and consumers run between two steps.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Runs one prompt block and draws one token for every running sequence. */
  async step(): Promise<void> {
    const { prefill, sequences } = this.#scheduler.schedule();
    if (prefill !== null) await this.#guard(prefill.request, () => this.#prefill(prefill));

    const rows = await this.#hiddenStates(sequences.filter(({ request }) => !request.canceled));
    if (rows.length === 0) return;

    const logits = this.#parts.lmHead.project(rows.map(({ hidden }) => hidden));
    for (const [index, { sequence }] of rows.entries()) {
      await this.#guard(sequence.request, () => this.#commit(sequence, draw(sequence, logits[index]!)));
    }
  }

  /**
   * Returns the hidden states from which the next tokens are drawn. The first token of a sequence uses the state of the
   * last prompt token; every other token needs a decode pass.
   */
  async #hiddenStates(sequences: readonly Sequence[]): Promise<{ sequence: Sequence; hidden: Float32Array }[]> {
    const decoded = await this.#decode(sequences.filter(({ outputIds }) => outputIds.length > 0));
    return sequences.flatMap((sequence) => {
      const hidden = sequence.outputIds.length === 0 ? sequence.request.prompt.lastHidden : decoded.get(sequence);
      assert(hidden !== null, "a sequence started before its prompt was computed");
      return hidden === undefined ? [] : [{ sequence, hidden }];
    });
  }

  /** Runs the last token of every sequence in one batch. The result lacks the sequences that failed. */
  async #decode(sequences: readonly Sequence[]): Promise<Map<Sequence, Float32Array>> {
    const [first, ...others] = sequences;
    if (first === undefined) return new Map();
    const passes = sequences.map(({ outputIds, table }) => ({ tokenIds: outputIds.slice(-1), table }));
    const starts = passes.map(({ table }) => table.numPositions);
    try {
      const hidden = await this.#parts.tokenRunner.forward(passes);
      return new Map(sequences.map((sequence, index) => [sequence, hidden[index]!]));
    } catch (error) {
      if (others.length === 0) {
        fail(first.request, error);
        return new Map();
      }
      // The failing pass is unknown, so each pass runs again alone. Its result is the same as in the batch.
      passes.forEach(({ table }, index) => table.rewind(starts[index]!));
      const alone = new Map<Sequence, Float32Array>();
      for (const sequence of sequences) {
        for (const [, hidden] of await this.#decode([sequence])) alone.set(sequence, hidden);
      }
      return alone;
    }
  }

  async #prefill({ request, tokenIds }: { request: Request; tokenIds: readonly number[] }): Promise<void> {
    const { prompt } = request;
    const [hidden] = await this.#parts.promptRunner.forward([{ tokenIds, table: prompt.table }]);
    assert(hidden !== undefined, "a forward pass returned no hidden state");
    prompt.table.insertPrefix(prompt.tokenIds.slice(0, prompt.table.numPositions));
    if (prompt.table.numPositions < prompt.tokenIds.length) return;
    prompt.lastHidden = hidden;
    request.promptDoneAtMs = performance.now();
  }

  /** Appends a drawn token to its sequence and emits the text that it completes. */
  #commit(sequence: Sequence, sampled: SampledToken): void {
    const { request, text, mask, outputIds } = sequence;
    const { tokenId } = sampled;
    outputIds.push(tokenId);
    request.numCompletionTokens++;
    sequence.sampler.accept(tokenId);
    mask?.accept(tokenId);
    sequence.pending.push({ tokenId, sampled });

    const ended = this.#parts.endTokenIds.has(tokenId);
    let gained = NO_TEXT;
    if (ended) text.pushEnd();
    else gained = text.push(tokenId);
    // A complete structured answer is followed by an end token if the model has one and maxTokens leaves room.
    const finished = mask?.isFinished ?? false;
    const goesOn = outputIds.length < request.maxTokens && !(finished && this.#parts.endTokenIds.size === 0);
    if (!ended && gained.stopped === null && goesOn) {
      if (gained.content !== "" || gained.reasoning !== "") this.#emit(sequence, gained, null);
      return;
    }
    const rest = gained.stopped === null ? text.finish() : NO_TEXT;
    request.numReasoningTokens += text.numReasoningTokens;
    this.#scheduler.finish(sequence);
    const all = { content: gained.content + rest.content, reasoning: gained.reasoning + rest.reasoning };
    // Text held back until the end may complete a stop sequence.
    const stopped = ended || finished || gained.stopped !== null || rest.stopped !== null;
    this.#emit(sequence, all, stopped ? "stop" : "length");
  }

  #emit(sequence: Sequence, gained: Omit<TextDelta, "stopped">, finishReason: FinishReason | null): void {
    const { request, choice, pending } = sequence;
    sequence.pending = [];
    const isLast = finishReason !== null && request.running.size === 0 && request.nextChoice === request.config.n;
    const numPromptTokens = request.prompt.tokenIds.length;
    request.emit({
      choice,
      content: gained.content,
      reasoning: sequence.text.hasReasoning ? gained.reasoning : null,
      tokenIds: pending.map(({ tokenId }) => tokenId),
      logprobs: request.config.logprobs ? pending.map(({ sampled }) => this.#tokenLogprob(sampled)) : [],
      finishReason,
      usage: isLast
        ? {
            promptTokens: numPromptTokens,
            completionTokens: request.numCompletionTokens,
            totalTokens: numPromptTokens + request.numCompletionTokens,
            reasoningTokens: request.numReasoningTokens,
            cachedTokens: request.prompt.numCached,
          }
        : null,
      timings: isLast
        ? {
            promptMs: request.promptDoneAtMs - request.startedAtMs,
            completionMs: performance.now() - request.promptDoneAtMs,
          }
        : null,
    });
  }

  #tokenLogprob({ tokenId, logprob, topLogprobs }: SampledToken): TokenLogprob {
    assert(logprob !== null, "log-probabilities were requested but not computed");
    return {
      ...this.#alternative(tokenId, logprob),
      topLogprobs: topLogprobs.map((top) => this.#alternative(top.tokenId, top.logprob)),
    };
  }

  #alternative(tokenId: number, logprob: number): TokenAlternative {
    const { tokenizer } = this.#parts;
    return { tokenId, token: tokenizer.tokenText(tokenId), logprob, bytes: [...tokenizer.tokenBytes(tokenId)] };
  }

  /**
   * Runs work of one request, unless the request was canceled. If the work throws, this request fails and the others
   * continue.
   */
  async #guard(request: Request, work: () => void | Promise<void>): Promise<void> {
    if (request.canceled) return;
    try {
      await work();
    } catch (error) {
      fail(request, error);
    }
  }

  #createRequest(
    { promptTokenIds, config, createText, createMask }: EngineRequest,
    maxTokens: number,
    deltas: AsyncQueue<OutputDelta>,
  ): Request {
    const { kernels, cache, lmHead, logprobsMode } = this.#parts;
    const prompt: Prompt = { tokenIds: promptTokenIds, table: cache.createTable(), numCached: 0, lastHidden: null };
    const request: Request = {
      prompt,
      config,
      maxTokens,
      createSequence: (choice, numPagesReserved) => ({
        request,
        choice,
        table: prompt.table.fork(),
        numPagesReserved,
        sampler: new Sampler(kernels, lmHead.vocabSize, config, promptTokenIds, choice, logprobsMode),
        text: createText(),
        mask: createMask?.() ?? null,
        outputIds: [],
        pending: [],
      }),
      nextChoice: 0,
      running: new Set(),
      numCompletionTokens: 0,
      numReasoningTokens: 0,
      canceled: false,
      emit: (delta) => {
        deltas.push(delta);
        if (delta.usage !== null) deltas.end();
      },
      fail: (error) => deltas.fail(error),
      startedAtMs: performance.now(),
      promptDoneAtMs: 0,
    };
    return request;
  }

  #maxTokens({ promptTokenIds, promptParam, config }: EngineRequest): number {
    const { contextLength, cache } = this.#parts;
    const numPromptTokens = promptTokenIds.length;
    const left = contextLength - numPromptTokens;
    if (left <= 0) {
      throw new EngineError(
        "context_length_exceeded",
        `The prompt has ${numPromptTokens} tokens; the context holds ${contextLength}, of which at least one must be left for the answer.`,
        promptParam,
      );
    }
    if (config.maxTokens !== null && config.maxTokens > left && config.contextLengthExceededBehavior === "error") {
      throw new EngineError(
        "context_length_exceeded",
        (name) =>
          `The prompt has ${numPromptTokens} tokens and ${name("maxTokens")} is ${config.maxTokens}; together they may be at most ${contextLength}.`,
        "maxTokens",
      );
    }
    let maxTokens = Math.min(config.maxTokens ?? left, left);
    // Without a requested maxTokens, the limit is lowered to what fits into memory before the request is refused.
    const isLowered = config.maxTokens === null;
    while (isLowered && maxTokens > 1 && !this.#scheduler.canEverFit(numPromptTokens, maxTokens)) {
      const maxPositions = cache.shape.maxPages * cache.shape.pageSize;
      maxTokens = Math.max(1, Math.min(maxTokens - cache.shape.pageSize, maxPositions - numPromptTokens));
    }
    if (!this.#scheduler.canEverFit(numPromptTokens, maxTokens)) {
      const maxPositions = cache.shape.maxPages * cache.shape.pageSize;
      throw new EngineError(
        "context_length_exceeded",
        `The prompt has ${numPromptTokens} tokens and ${maxTokens} may follow; memory is set aside for ${maxPositions} positions.`,
        promptParam,
      );
    }
    return maxTokens;
  }
}

/** Draws the next token of a sequence among those that its mask allows. */
function draw({ sampler, mask }: Sequence, logits: Address): SampledToken {
  return sampler.sample(logits, mask?.allowed() ?? null);
}

/** Ends a request with an error; the next step removes it from the schedule. */
function fail(request: Request, error: unknown): void {
  request.canceled = true;
  const message = error instanceof Error ? error.message : String(error);
  request.fail(
    error instanceof EngineError ? error : new EngineError("internal_error", message, null, { cause: error }),
  );
}

/**
 * Yields the values of a queue.
 * @param onLeave called when the reader has received all values or leaves early
 */
async function* drained<T>(queue: AsyncQueue<T>, onLeave: () => void): AsyncGenerator<T, void, void> {
  try {
    for (let values = await queue.take(); values !== null; values = await queue.take()) yield* values;
  } finally {
    onLeave();
  }
}

/**
 * The token loop: schedule, run, project, sample, emit. One step computes blocks of one prompt and draws a token for
 * each sequence that has a place, or several if a draft of them is right. A token mask may take many steps to compute:
 * each step spends a bounded time on masks, and a sequence whose mask is not ready gets no place. The sampler, the text
 * stream and the scheduler handle everything that depends on a token's meaning; a feature that would need an `if` in
 * `#step` belongs in one of them.
 *
 * A fault ends what it may have damaged:
 * - One request: any error of its sampler, token mask or text stream, their creation included, and of a forward pass
 *   that runs its tokens alone. It gives back everything that it held.
 * - The engine with all its requests: a trap of the kernels, which share one memory; a broken invariant in a forward
 *   pass, which concerns the pages of keys and values; and any error elsewhere.
 */

import {
  type Address,
  KernelFailure,
  type Kernels,
  type LogprobsMode,
  type SampledToken,
} from "../../kernels/index.js";
import type { AnswerMask, TextDelta, TextStream } from "../message/index.js";
import { assert, BrokenInvariant, EngineError } from "../errors.js";
import { LIMITS } from "../limits.js";
import { DeltaStream } from "./delta-stream.js";
import type { KVCache } from "./kv-cache.js";
import type { Head } from "./lm-head.js";
import { type Draft, NgramDrafter } from "./ngram-drafter.js";
import type { EachTokenRunner, ModelRunner } from "../runner/index.js";
import { Sampler, type GenerationConfig } from "../sampling/index.js";
import { type PromptBlocks, Scheduler } from "./scheduler.js";
import { Speculation } from "./speculation.js";
import type {
  FinishReason,
  Output,
  OutputDelta,
  Prompt,
  Request,
  Sequence,
  TokenAlternative,
  TokenLogprob,
} from "./sequence.js";
import type { Vocabulary } from "../text/index.js";

export interface EngineParts {
  readonly kernels: Kernels;
  /** Runs prompts, at most `maxBlocks` blocks per call. */
  readonly promptRunner: ModelRunner;
  /** Runs the generated tokens of all running sequences together. */
  readonly tokenRunner: ModelRunner;
  /** Runs them with drafts of the tokens that may follow; null if no tokens are drafted. */
  readonly draftRunner: EachTokenRunner | null;
  /** Tokens per prompt block. */
  readonly blockSize: number;
  /** Blocks of a prompt that one pass may hold. */
  readonly maxBlocks: number;
  /** Sequences that one step runs at most. */
  readonly numPlaces: number;
  /** Takes at least `numPlaces` rows. */
  readonly lmHead: Head;
  readonly cache: KVCache;
  readonly vocabulary: Vocabulary;
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
  readonly createText: (choice: number) => TextStream;
  /** Creates the token mask that constrains a choice's answer; without it any text is allowed. */
  readonly createMask?: (() => AnswerMask) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A sequence that has run, and what its next tokens are drawn from. */
interface DrawRow {
  readonly sequence: Sequence;
  /** f32 [1 + draft.length, hidden_size]: the states after the last token and after each token of the draft. */
  readonly hidden: Float32Array;
  readonly draft: readonly number[];
}

/** Output of a sequence that a token has completed. */
interface Progress extends Pick<TextDelta, "content" | "reasoning" | "calls"> {
  /** Null if the sequence continues. */
  readonly finishReason: FinishReason | null;
}

const NO_DRAFT: Draft = { tokenIds: [], probabilities: [] };
const hasOutput = ({ content, reasoning, calls }: Progress): boolean =>
  content !== "" || reasoning !== "" || calls.length > 0;

const NO_TEXT: TextDelta = { content: "", reasoning: "", calls: [], stopped: null };

export class Engine {
  /** Resolves with the fault that ends the engine. It must then be loaded again; `submit` refuses every request. */
  readonly failed: Promise<EngineError>;
  readonly #parts: EngineParts;
  readonly #scheduler: Scheduler;
  #loop: Promise<void> | null = null;
  #failure: EngineError | null = null;
  #announceFailure!: (failure: EngineError) => void;
  /** Ends a wait of the loop: a request has come, has been canceled, or may continue. */
  #wake: () => void = () => {};
  /** Sequences whose next mask is not ready, by request. The first of each has waited longest for a turn. */
  readonly #unprepared = new Map<Request, Set<Sequence>>();
  /** Duration of the last forward pass for generated tokens. */
  #passMs = 0;
  readonly #speculation = new Speculation();

  constructor(parts: EngineParts) {
    this.#parts = parts;
    this.#scheduler = new Scheduler(parts.cache, {
      blockSize: parts.blockSize,
      maxBlocks: parts.maxBlocks,
      numPlaces: parts.numPlaces,
    });
    this.failed = new Promise((resolve) => (this.#announceFailure = resolve));
  }

  /**
   * Starts a request and yields its deltas as the choices grow, choices interleaved. Leaving the loop early or aborting
   * the signal ends the request at the next step; after an abort the generator throws the signal's reason. A request
   * whose deltas are not read pauses, and fails with `reader_stalled` after a bounded time.
   * @throws EngineError immediately if the request can never run, or if the engine has failed
   */
  submit(request: EngineRequest): AsyncGenerator<OutputDelta, void, void> {
    request.signal?.throwIfAborted();
    if (this.#failure !== null) throw this.#failure;
    const { signal } = request;
    const abort = (): void => {
      output.fail(signal?.reason);
      this.#cancel(running);
    };
    const onLeave = (): void => {
      signal?.removeEventListener("abort", abort);
      this.#cancel(running);
    };
    const output = new DeltaStream({ onResume: () => this.#wake(), onLeave });
    const running = this.#createRequest(request, this.#maxTokens(request), output);
    signal?.addEventListener("abort", abort, { once: true });
    this.#scheduler.add(running);
    this.#loop ??= this.#run();
    this.#wake();
    return output.read();
  }

  /** Resolves when no request runs, or when the engine has failed. */
  async idle(): Promise<void> {
    await this.#loop;
  }

  async #run(): Promise<void> {
    try {
      while (this.#scheduler.hasWork) {
        // Yields to the event loop, so that aborts and readers run between two steps.
        await nextTurn();
        // Created before the step, so that no change during the step is missed.
        const change = new Promise<void>((resolve) => (this.#wake = resolve));
        const ran = await this.#step();
        if (!ran && this.#scheduler.hasWork) await change;
      }
    } catch (error) {
      this.#stop(error);
    } finally {
      this.#loop = null;
    }
  }

  /** Ends the engine and every request, with one error. Memory of the requests is not given back: it may be damaged. */
  #stop(error: unknown): void {
    const failure = internalError(`The engine has failed and must be loaded again: ${messageOf(error)}`, error);
    this.#failure = failure;
    // The owner hears of it first: it must not pass on new requests once a request has its error.
    this.#announceFailure(failure);
    for (const request of this.#scheduler.requests()) this.#fail(request, failure);
  }

  /**
   * Runs one prompt block, or several, and draws one token for each sequence that has a place, or several if a draft
   * of them is right.
   * @returns false if nothing could run, because readers are behind
   */
  async #step(): Promise<boolean> {
    const blocks = this.#scheduler.nextPromptBlocks();
    if (blocks !== null) await this.#prefill(blocks);

    this.#prepareMasks(Math.max(LIMITS.minMaskSliceMs, Math.min(this.#passMs / 2, LIMITS.maxMaskSliceMs)));
    const sequences = this.#scheduler.nextSequences((sequence) => this.#isReady(sequence));
    if (!this.#scheduler.hasPrompts) this.#parts.promptRunner.endPrompts?.();
    if (blocks === null && sequences.length === 0) {
      if (this.#unprepared.size > 0) {
        this.#prepareMasks(LIMITS.maxMaskSliceMs);
        return true;
      }
      const requests = this.#scheduler.requests();
      const isExplained = requests.length === 0 || requests.some(({ canceled, output }) => canceled || output.isBehind);
      assert(isExplained, "no request can run, and no reader is behind");
      return false;
    }
    const starting = sequences.filter(({ outputIds }) => outputIds.length === 0);
    const continuing = sequences.filter(({ outputIds }) => outputIds.length > 0);
    if (starting.length > 0) {
      // First tokens need no forward pass, and their readers do not wait for the pass of the others.
      this.#draw(
        starting.map((sequence) => ({ sequence, hidden: promptStateOf(sequence), draft: [] })),
        null,
      );
      await nextTurn();
    }
    const { rows, passMs } = await this.#decode(continuing, this.#draftsOf(continuing));
    this.#draw(rows, passMs);
    return true;
  }

  /** Works on masks that are not ready, requests in turns and their sequences in turns, until the time is over. */
  #prepareMasks(maxMs: number): void {
    const end = performance.now() + maxMs;
    for (let now = performance.now(); now < end && this.#unprepared.size > 0; now = performance.now()) {
      const [request, sequences] = this.#unprepared.entries().next().value!;
      const sequence = sequences.values().next().value!;
      const turnEnd = Math.min(end, now + LIMITS.maskTurnMs);
      const isReady = this.#own(request, () => sequence.mask!.prepare(() => performance.now() >= turnEnd));
      this.#unprepared.delete(request);
      if (isReady === null) continue;
      sequences.delete(sequence);
      if (!isReady) sequences.add(sequence);
      if (sequences.size > 0) this.#unprepared.set(request, sequences);
    }
  }

  #isReady(sequence: Sequence): boolean {
    return this.#unprepared.get(sequence.request)?.has(sequence) !== true;
  }

  /** Lets a sequence wait until `#prepareMasks` has computed its mask. */
  #awaitMask(sequence: Sequence): void {
    const sequences = this.#unprepared.get(sequence.request);
    if (sequences === undefined) this.#unprepared.set(sequence.request, new Set([sequence]));
    else sequences.add(sequence);
  }

  /**
   * Draws the next token of each sequence from its hidden state, then from the state of each drafted token as long as
   * the draft is right, and emits the text that they complete.
   * @param passMs duration of the pass that computed all states; null if there was no such pass
   */
  #draw(rows: readonly DrawRow[], passMs: number | null): void {
    if (rows.length === 0) return;
    const startMs = performance.now();
    const logits = this.#parts.lmHead.project(rows.flatMap(({ hidden, draft }) => statesOf(hidden, 1 + draft.length)));
    if (passMs !== null) this.#speculation.record(logits.length, passMs + performance.now() - startMs);
    let first = 0;
    for (const { sequence, draft } of rows) {
      this.#drawSequence(sequence, draft, logits.slice(first, first + 1 + draft.length));
      first += 1 + draft.length;
    }
  }

  /** @param logits for the next token, and for the one after each token of the draft */
  #drawSequence(sequence: Sequence, draft: readonly number[], logits: readonly Address[]): void {
    const { request, table, outputIds } = sequence;
    for (const [index, row] of logits.entries()) {
      const progress = this.#own(request, () => this.#accept(sequence, drawn(sequence, row)));
      const hasEnded = progress !== null && progress.finishReason !== null;
      if (progress !== null && !hasEnded && hasOutput(progress))
        this.#own(request, () => this.#emit(sequence, progress));
      const isDrafted = index < draft.length && outputIds.at(-1) === draft[index];
      const mayGoOn = !hasEnded && !request.canceled && !request.output.isBehind && this.#isReady(sequence);
      if (isDrafted && mayGoOn) continue;
      // The remaining positions hold drafted tokens that were not drawn.
      if (index < draft.length) table.rewind(table.numPositions - (draft.length - index));
      if (hasEnded) {
        this.#scheduler.finish(sequence);
        this.#own(request, () => this.#emit(sequence, progress));
      }
      return;
    }
  }

  /** Returns for each sequence the drafted tokens that run with its last token. */
  #draftsOf(sequences: readonly Sequence[]): (readonly number[])[] {
    const { draftRunner, lmHead } = this.#parts;
    if (draftRunner === null || sequences.length === 0) return sequences.map(() => []);
    const drafts = sequences.map(({ drafter, outputIds, request }) => {
      // The last token of an answer has no row, because nothing is drawn from it.
      const maxTokens = Math.min(LIMITS.maxDraftTokens, request.maxTokens - outputIds.length - 1);
      return drafter?.draft(maxTokens) ?? NO_DRAFT;
    });
    const lengths = this.#speculation.choose(drafts, lmHead.maxRows);
    return drafts.map(({ tokenIds }, index) => tokenIds.slice(0, lengths[index]));
  }

  /**
   * Runs the last token of every sequence and its draft in one batch. The result lacks the sequences that failed.
   * @returns passMs: the duration, or null if the rows did not run together
   */
  async #decode(
    sequences: readonly Sequence[],
    drafts: readonly (readonly number[])[],
  ): Promise<{ rows: DrawRow[]; passMs: number | null }> {
    const running = sequences
      .map((sequence, index) => ({ sequence, draft: drafts[index]! }))
      .filter(({ sequence }) => !sequence.request.canceled);
    if (running.length === 0) return { rows: [], passMs: null };
    const passes = running.map(({ sequence: { outputIds, table }, draft }) => ({
      tokenIds: [...outputIds.slice(-1), ...draft],
      table,
    }));
    const starts = passes.map(({ table }) => table.numPositions);
    const startMs = performance.now();
    try {
      const { draftRunner, tokenRunner } = this.#parts;
      const hidden = await (draftRunner?.forwardEach(passes) ?? tokenRunner.forward(passes));
      this.#passMs = performance.now() - startMs;
      return { rows: running.map((row, index) => ({ ...row, hidden: hidden[index]! })), passMs: this.#passMs };
    } catch (error) {
      if (damagesMemory(error)) throw error;
      if (running.length === 1 && running[0]!.draft.length === 0) {
        this.#fail(running[0]!.sequence.request, error);
        return { rows: [], passMs: null };
      }
      // The failing pass is unknown, so each token runs again alone. Its result is the same as in the batch.
      passes.forEach(({ table }, index) => table.rewind(starts[index]!));
      const rows = [];
      for (const { sequence } of running) rows.push(...(await this.#decode([sequence], [[]])).rows);
      return { rows, passMs: null };
    }
  }

  async #prefill({ request, tokenIds }: PromptBlocks): Promise<void> {
    const { prompt } = request;
    const { table } = prompt;
    const promptLength = prompt.tokenIds.length;
    let hidden: Float32Array | undefined;
    try {
      [hidden] = await this.#parts.promptRunner.forward([{ tokenIds, table, promptLength }]);
    } catch (error) {
      if (damagesMemory(error)) throw error;
      this.#fail(request, error);
      return;
    }
    assert(hidden !== undefined, "a forward pass returned no hidden state");
    table.insertPrefix(prompt.tokenIds.slice(0, table.numPositions));
    if (table.numPositions < promptLength) return;
    prompt.lastHidden = hidden;
    request.promptDoneAtMs = performance.now();
  }

  /** Appends a drawn token to its sequence. */
  #accept(sequence: Sequence, sampled: SampledToken): Progress {
    const { request, text, mask, outputIds } = sequence;
    const { tokenId } = sampled;
    outputIds.push(tokenId);
    sequence.drafter?.accept(tokenId);
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
      if (!isPrepared(mask)) this.#awaitMask(sequence);
      return { ...gained, finishReason: null };
    }

    const rest = gained.stopped === null ? text.finish() : NO_TEXT;
    request.numReasoningTokens += text.numReasoningTokens;
    // Text held back until the end may complete a stop sequence.
    const stopped = ended || finished || gained.stopped !== null || rest.stopped !== null;
    return {
      content: gained.content + rest.content,
      reasoning: gained.reasoning + rest.reasoning,
      calls: [...gained.calls, ...rest.calls],
      finishReason: stopped ? text.finishReason : "length",
    };
  }

  #emit(sequence: Sequence, { content, reasoning, calls, finishReason }: Progress): void {
    const { request, choice, pending } = sequence;
    sequence.pending = [];
    const isLast = request.running.size === 0 && request.nextChoice === request.config.n;
    const numPromptTokens = request.prompt.tokenIds.length;
    request.output.push({
      choice,
      content,
      reasoning: sequence.text.hasReasoning ? reasoning : null,
      toolCalls: calls,
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
    if (isLast) request.output.end();
  }

  #tokenLogprob({ tokenId, logprob, topLogprobs }: SampledToken): TokenLogprob {
    assert(logprob !== null, "log-probabilities were requested but not computed");
    return {
      ...this.#alternative(tokenId, logprob),
      topLogprobs: topLogprobs.map((top) => this.#alternative(top.tokenId, top.logprob)),
    };
  }

  #alternative(tokenId: number, logprob: number): TokenAlternative {
    const { vocabulary } = this.#parts;
    return { tokenId, token: vocabulary.tokenText(tokenId), logprob, bytes: [...vocabulary.tokenBytes(tokenId)] };
  }

  /**
   * Runs work on the sampler, mask and text of one request, unless the request was canceled. If it throws, this request
   * fails and the others continue.
   */
  #own<T>(request: Request, work: () => T): T | null {
    if (request.canceled) return null;
    try {
      return work();
    } catch (error) {
      if (isTrap(error)) throw error;
      this.#fail(request, error);
      return null;
    }
  }

  /** Ends a request with an error. */
  #fail(request: Request, error: unknown): void {
    request.output.fail(error instanceof EngineError ? error : internalError(messageOf(error), error));
    this.#cancel(request);
  }

  /** Lets the next step remove a request and give back what it holds. */
  #cancel(request: Request): void {
    request.canceled = true;
    this.#unprepared.delete(request);
    this.#wake();
  }

  #createRequest(
    { promptTokenIds, config, createText, createMask }: EngineRequest,
    maxTokens: number,
    output: Output,
  ): Request {
    const { kernels, cache, draftRunner, lmHead, logprobsMode } = this.#parts;
    const prompt: Prompt = { tokenIds: promptTokenIds, table: cache.createTable(), numCached: 0, lastHidden: null };
    let samplerOf: ((choice: number) => Sampler) | null = null;
    const request: Request = {
      prompt,
      config,
      maxTokens,
      createSequence: (choice) => {
        const own = this.#own(request, () => {
          const mask = createMask?.() ?? null;
          samplerOf ??= Sampler.ofRequest(kernels, lmHead.vocabSize, config, promptTokenIds, logprobsMode);
          return { parts: { sampler: samplerOf(choice), text: createText(choice), mask }, isReady: isPrepared(mask) };
        });
        if (own === null) return null;
        // The pages are shared last, so that a choice that cannot be created holds none.
        const table = prompt.table.fork();
        const drafter = draftRunner === null ? null : new NgramDrafter(promptTokenIds);
        const sequence: Sequence = { request, choice, ...own.parts, table, drafter, outputIds: [], pending: [] };
        if (!own.isReady) this.#awaitMask(sequence);
        return sequence;
      },
      nextChoice: 0,
      running: new Set(),
      numChoicesReserved: 0,
      numCompletionTokens: 0,
      numReasoningTokens: 0,
      canceled: false,
      output,
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

/**
 * Returns true if a fault in a forward pass may have damaged what all requests share: the kernels' memory, or the
 * record of its pages.
 */
function damagesMemory(error: unknown): boolean {
  return isTrap(error) || error instanceof BrokenInvariant;
}

function isTrap(error: unknown): boolean {
  return error instanceof KernelFailure || error instanceof WebAssembly.RuntimeError;
}

/** Returns true if the next mask is known without computing it. */
function isPrepared(mask: AnswerMask | null): boolean {
  return mask?.prepare(() => true) ?? true;
}

/** Draws the next token of a sequence among those that its mask allows. */
function drawn({ sampler, mask }: Sequence, logits: Address): SampledToken {
  return sampler.sample(logits, mask?.allowed() ?? null);
}

/** Divides the states of consecutive tokens. @param hidden f32 [count, hidden_size] */
function statesOf(hidden: Float32Array, count: number): Float32Array[] {
  const size = hidden.length / count;
  return Array.from({ length: count }, (_, index) => hidden.subarray(index * size, (index + 1) * size));
}

/** Returns the hidden state from which the first token of a sequence is drawn. */
function promptStateOf({ request }: Sequence): Float32Array {
  const { lastHidden } = request.prompt;
  assert(lastHidden !== null, "a sequence started before its prompt was computed");
  return lastHidden;
}

function internalError(message: string, cause: unknown): EngineError {
  return new EngineError("internal_error", message, null, { cause });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

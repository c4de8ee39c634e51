/**
 * The server thread's interface to one model: chat, tokenize and detokenize. Two worker threads do the work, so that
 * nothing that grows with a request runs in the thread that makes tokens: the preparer turns requests into token ids
 * and grammars, and the engine generates. The engine is replaced if it dies or hangs, and the preparer likewise, which
 * disturbs no answer.
 */

import { Worker } from "node:worker_threads";

import type { Logger } from "pino";

import { checkedAnswerSize, type AnswerExtent } from "../../engine/core/index.js";
import { assert, EngineError } from "../../engine/errors.js";
import type { ModelInfo } from "../../engine/index.js";
import type { PreparerSource } from "../../engine/model/index.js";
import { ApiError, RETRY_SOON, wireName, type SentNames } from "../openai/index.js";
import { Admission, type AdmissionOptions } from "./admission.js";
import { Call, type DeltaBatches } from "./call.js";
import { JobLost, JobWorker } from "./job-worker.js";
import {
  receivedError,
  type ChatWork,
  type EngineInput,
  type FromEngine,
  type FromPreparer,
  type PostedRequest,
  type Sealed,
  type ToEngine,
  type TokenizeInput,
  type ToPreparer,
  type WorkerModel,
} from "./worker-protocol.js";

export interface HostOptions extends AdmissionOptions {
  readonly model: WorkerModel;
  readonly log: Logger;
  /** Called while a model folder is converted. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Called while a file of the model is downloaded. */
  readonly onDownload?: (done: number, total: number, file: string) => void;
  /** Called with a notice, a sentence that does not report an error. */
  readonly onNotice?: (message: string) => void;
  /** Time for which a request waits for a model that is being loaded (default: 30 s). */
  readonly holdMs?: number | undefined;
  /** Programs of the workers; tests replace them. */
  readonly engineUrl?: URL;
  readonly preparerUrl?: URL;
  /** Tests shorten these times. */
  readonly maxPreparationMs?: number;
  readonly maxSilenceMs?: number;
}

/** A started answer. */
export interface Generation {
  readonly seed: number | bigint;
  /** Date that the chat template got. */
  readonly date: string;
  readonly numPromptTokens: number;
  /** Remarks on the schema of the answer. */
  readonly schemaNotes: readonly string[];
  readonly deltas: DeltaBatches;
}

/** `failed`: the engine died several times in a row, and stays down. */
export type HostState = "loading" | "ready" | "restarting" | "failed" | "closed";

export class EngineHost {
  /** Resolves when the model has been loaded for the first time; rejects if loading fails. */
  readonly loaded: Promise<ModelInfo>;
  /** Resolves when the engine has died so often that it is not started again. */
  readonly failed: Promise<Error>;
  readonly #options: HostOptions;
  readonly #admission: Admission;
  readonly #calls = new Map<number, Call>();
  readonly #heartbeat = new Int32Array(new SharedArrayBuffer(4));
  readonly #watch: NodeJS.Timeout;
  #nextCall = 0;
  #engine: Worker;
  #preparer: JobWorker<ToPreparer, FromPreparer> | null = null;
  #state: HostState = "loading";
  /** Called when the model is no longer being loaded: one for each request that waits for it. */
  readonly #held = new Set<() => void>();
  #numGeneratedTokens = 0;
  #info: ModelInfo | null = null;
  #lastError: Error | null = null;
  #announceFailure!: (error: Error) => void;
  #settleLoaded: { resolve: (info: ModelInfo) => void; reject: (error: unknown) => void } | null = null;
  #numRestarts = 0;
  /** Times of the latest unexpected ends of the engine. */
  #deathsAtMs: number[] = [];
  #restart: NodeJS.Timeout | undefined;

  constructor(options: HostOptions) {
    this.#options = options;
    this.#admission = new Admission(options);
    this.loaded = new Promise((resolve, reject) => (this.#settleLoaded = { resolve, reject }));
    // The creator handles a rejection; until it does, the rejection must not end the process as unhandled.
    this.loaded.catch(() => {});
    this.failed = new Promise((resolve) => (this.#announceFailure = resolve));
    this.#engine = this.#startEngine();
    this.#watch = this.#watchEngine();
  }

  get state(): HostState {
    return this.#state;
  }

  /** Null before the model is loaded for the first time. */
  get info(): ModelInfo | null {
    return this.#info;
  }

  /** Number of requests whose answers have begun. */
  get numRunning(): number {
    return [...this.#calls.values()].filter(({ hasDeltas }) => hasDeltas).length;
  }

  /** Number of requests that are being prepared, or wait for their first token. */
  get numWaiting(): number {
    return this.#admission.numAdmitted - this.numRunning;
  }

  /** Tokens that the engine has generated, delivered or not. */
  get numGeneratedTokens(): number {
    return this.#numGeneratedTokens;
  }

  get numRestarts(): number {
    return this.#numRestarts;
  }

  /**
   * Prepares and starts an answer. When the signal aborts, the engine stops at the next step.
   *
   * @param date date for the chat template, unless the request has its own
   * @param whole largest extent of an answer that the caller collects as a whole; null if it passes on the deltas
   * @throws ApiError queue_full, model_loading, or request_too_large if the preparation takes too much; EngineError for
   *   an invalid request
   */
  async chat(
    options: Sealed<ChatWork>,
    date: string,
    whole: WholeAnswer | null,
    signal: AbortSignal,
  ): Promise<Generation> {
    const { contextLength } = await this.#untilReady(signal);
    const answerBytes = whole === null ? 0 : wholeAnswerBytes(whole, contextLength);
    const leave = this.#admission.enter(answerBytes);
    try {
      const { request } = await this.#prepare({ type: "chat", options, date }, options, "request", signal);
      const call = this.#submit(request, signal, leave);
      const { seed, numPromptTokens } = await call.started;
      const schemaNotes = request.grammar?.data.notes ?? [];
      return { seed, date: request.date ?? date, numPromptTokens, schemaNotes, deltas: call.deltas };
    } catch (error) {
      leave();
      throw error;
    }
  }

  /**
   * @param date date for the chat template, unless the request has its own
   * @returns the response body, JSON, and the date that the chat template got; null for raw text
   * @throws EngineError for an invalid request
   */
  async tokenize(
    input: Sealed<TokenizeInput>,
    date: string,
    signal: AbortSignal,
  ): Promise<{ readonly body: Buffer; readonly date: string | null }> {
    await this.#untilReady(signal);
    const reply = await this.#prepare({ type: "tokenize", input, date }, input, "json", signal);
    const { json } = reply;
    return { body: Buffer.from(json.buffer, json.byteOffset, json.byteLength), date: reply.date };
  }

  /**
   * @returns the response body, JSON
   * @throws EngineError for an id that is not a token
   */
  async detokenize(tokenIds: Sealed<readonly number[]>, signal: AbortSignal): Promise<Buffer> {
    await this.#untilReady(signal);
    const { json } = await this.#prepare({ type: "detokenize", tokenIds }, tokenIds, "json", signal);
    return Buffer.from(json.buffer, json.byteOffset, json.byteLength);
  }

  /** Ends the workers. Running calls fail. */
  async close(): Promise<void> {
    clearTimeout(this.#restart);
    clearInterval(this.#watch);
    if (this.#state === "closed") return;
    // Node's thread id of a worker that has ended is -1. The engine may end while the preparer is being ended.
    const hasEngine = this.#engine.threadId !== -1;
    const exit = new Promise<void>((resolve) => this.#engine.once("exit", () => resolve()));
    this.#enter("closed");
    this.#failAll(new ApiError("shutting_down", "The server is shutting down.", null, RETRY_SOON));
    await this.#preparer?.close();
    if (!hasEngine) return;
    this.#tell({ type: "close" });
    const timer = setTimeout(() => void this.#engine.terminate(), CLOSE_MS);
    await exit;
    clearTimeout(timer);
  }

  /**
   * Runs a job of the preparer.
   * @param work the payload of the job; bytes are transferred, not copied
   */
  async #prepare<T extends "request" | "json">(
    job: ToPreparer,
    work: Sealed<object>,
    type: T,
    signal: AbortSignal,
  ): Promise<Extract<FromPreparer, { readonly type: T }>> {
    const preparer = this.#preparer;
    if (preparer === null) throw modelLoading();
    const moved = work instanceof Uint8Array ? [work.buffer as ArrayBuffer] : [];
    const reply = await preparer.run(job, moved, signal).catch((error: unknown) => {
      throw this.#preparationError(error);
    });
    this.#checkReady();
    if (reply.type === "error") throw receivedError(reply.error);
    if (reply.type !== type) throw new Error(`The preparer replied ${reply.type}; ${type} was expected`);
    return reply as Extract<FromPreparer, { readonly type: T }>;
  }

  /** Returns the error to answer if a job was not done. */
  #preparationError(error: unknown): unknown {
    if (!(error instanceof JobLost)) return error;
    if (this.#state !== "ready") return modelLoading();
    this.#options.log.error({ err: error }, "preparer stopped");
    switch (error.reason) {
      case "hung": {
        const limit = `more than ${(this.#options.maxPreparationMs ?? MAX_PREPARATION_MS) / 1000} s`;
        return new ApiError("request_too_large", `The request takes ${limit} to prepare; a smaller one may succeed.`);
      }
      case "out of memory":
        return new ApiError(
          "request_too_large",
          `The request takes more than ${MAX_PREPARER_HEAP_MIB} MiB to prepare; a smaller one may succeed.`,
        );
      case "died":
        return new EngineError("internal_error", "The thread that prepares requests has ended.", null, {
          cause: error.cause ?? error,
        });
    }
  }

  #startEngine(): Worker {
    const { model, engineUrl = ENGINE_URL } = this.#options;
    const workerData: EngineInput = { model, heartbeat: this.#heartbeat.buffer as SharedArrayBuffer };
    // Weights are not in the heap; what is there does not grow with the model.
    const engine = new Worker(engineUrl, {
      workerData,
      resourceLimits: { maxOldGenerationSizeMb: MAX_ENGINE_HEAP_MIB },
    });
    engine.on("message", (message: FromEngine) => this.#receive(message));
    engine.on("error", (error) => (this.#lastError = error instanceof Error ? error : new Error(String(error))));
    engine.once("exit", (code) => this.#exited(this.#lastError ?? new Error(`The worker ended with code ${code}`)));
    return engine;
  }

  /** Replaces an engine whose event loop has stood still for a long time. */
  #watchEngine(): NodeJS.Timeout {
    const { maxSilenceMs = MAX_SILENCE_MS, log } = this.#options;
    let lastBeat = 0;
    let numSilent = 0;
    // Checks are counted, not timed: time passes while a machine sleeps, but no checks happen.
    const check = (): void => {
      const beat = Atomics.load(this.#heartbeat, 0);
      numSilent = this.#state === "ready" && beat === lastBeat ? numSilent + 1 : 0;
      lastBeat = beat;
      if (numSilent < SILENCE_CHECKS) return;
      numSilent = 0;
      log.error({ silentMs: maxSilenceMs }, "engine hangs");
      this.#lastError = new Error(`The engine was silent for ${maxSilenceMs / 1000} s`);
      void this.#engine.terminate();
    };
    return setInterval(check, maxSilenceMs / SILENCE_CHECKS).unref();
  }

  #receive(message: FromEngine): void {
    switch (message.type) {
      case "progress":
        return this.#options.onProgress?.(message.done, message.total);
      case "download":
        return this.#options.onDownload?.(message.done, message.total, message.file);
      case "notice":
        return this.#options.onNotice?.(message.message);
      case "opened":
        return this.#startPreparer(message.source);
      case "ready":
        void this.#loaded(message.info);
        return;
      case "unusable":
        return this.#refuseModel(receivedError(message.error));
      case "failed":
        if (this.#state === "ready") this.#enter("restarting");
        return;
      case "delta":
        this.#numGeneratedTokens += message.delta.tokenIds.length;
        this.#calls.get(message.call)?.receive(message);
        return;
      default:
        this.#calls.get(message.call)?.receive(message);
    }
  }

  #startPreparer(source: PreparerSource): void {
    void this.#preparer?.close();
    const { preparerUrl: url = PREPARER_URL, maxPreparationMs: timeoutMs = MAX_PREPARATION_MS } = this.#options;
    try {
      this.#preparer = new JobWorker({ url, data: source, timeoutMs, maxHeapMiB: MAX_PREPARER_HEAP_MIB });
    } catch (error) {
      // No memory is left. An exception in a listener would end the process.
      this.#refuseModel(error as Error);
    }
  }

  /** Waits until the preparer is loaded too. */
  async #loaded(info: ModelInfo): Promise<void> {
    const preparer = this.#preparer;
    try {
      const reply = await preparer!.run({ type: "load" }, [], NEVER);
      if (reply.type === "error") throw receivedError(reply.error);
    } catch (error) {
      if (this.#state !== "closed" && this.#preparer === preparer) this.#refuseModel(error as Error);
      return;
    }
    this.#info = info;
    if (this.#state === "loading" && this.#preparer === preparer) this.#enter("ready");
    this.#settleLoaded?.resolve(info);
    this.#settleLoaded = null;
  }

  #refuseModel(error: Error): void {
    this.#lastError = error;
    void this.#engine.terminate();
  }

  #exited(error: Error): void {
    this.#lastError = null;
    if (this.#state === "closed") return;
    const isFirstStart = this.#settleLoaded !== null;
    this.#enter("restarting");
    this.#failAll(new EngineError("internal_error", "The engine stopped unexpectedly and is being restarted."));
    if (isFirstStart) {
      this.#enter("closed");
      void this.#preparer?.close();
      this.#settleLoaded?.reject(error);
      return;
    }
    const nowMs = performance.now();
    this.#deathsAtMs = [...this.#deathsAtMs.filter((atMs) => nowMs - atMs < DEATHS_WITHIN_MS), nowMs];
    if (this.#deathsAtMs.length >= MAX_DEATHS) return this.#fail(error);
    this.#numRestarts++;
    this.#options.log.error({ err: error, pauseMs: RESTART_MS }, "engine stopped");
    this.#restart = setTimeout(() => {
      try {
        this.#engine = this.#startEngine();
        this.#enter("loading");
      } catch (cause) {
        // No thread can be started: another attempt follows, as after a death of the engine.
        this.#exited(cause as Error);
      }
    }, RESTART_MS);
  }

  #fail(error: Error): void {
    this.#enter("failed");
    this.#options.log.fatal({ err: error }, "engine stopped too often, and stays down");
    const times = `${MAX_DEATHS} times within ${DEATHS_WITHIN_MS / 1000} s`;
    this.#announceFailure(
      new Error(`the engine stopped ${times}, the last time with: ${error.message}`, { cause: error }),
    );
  }

  #failAll(error: Error): void {
    for (const call of this.#calls.values()) call.fail(error);
  }

  /**
   * Waits while the model is loaded, or loaded again, as one of the requests that may wait.
   * @throws ApiError queue_full; model_loading if it takes longer than `holdMs`; the reason of the signal
   */
  async #untilReady(signal: AbortSignal): Promise<ModelInfo> {
    if (isLoading(this.#state)) {
      const leave = this.#admission.enter(0);
      await this.#change(signal);
      leave();
      signal.throwIfAborted();
    }
    this.#checkReady();
    assert(this.#info !== null, "a model is ready before it is loaded");
    return this.#info;
  }

  /** Resolves when the model is no longer being loaded, after `holdMs`, or when the signal aborts. */
  #change(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", end);
        this.#held.delete(end);
        resolve();
      };
      const timer = setTimeout(end, this.#options.holdMs ?? HOLD_MS);
      signal.addEventListener("abort", end);
      this.#held.add(end);
      if (signal.aborted) end();
    });
  }

  #enter(state: HostState): void {
    this.#state = state;
    if (!isLoading(state)) for (const end of this.#held) end();
  }

  #checkReady(): void {
    if (this.#state === "ready") return;
    if (this.#state === "closed") throw new ApiError("shutting_down", "The server is shutting down.", null, RETRY_SOON);
    throw this.#state === "failed" ? modelFailed() : modelLoading();
  }

  #submit(request: PostedRequest, signal: AbortSignal, onEnd: () => void): Call {
    signal.throwIfAborted();
    const number = this.#nextCall++;
    const cancel = (): void => {
      this.#tell({ type: "cancel", call: number });
      call.fail(signal.reason);
    };
    const call = new Call({
      onRead: (numDeltas) => {
        if (this.#calls.has(number)) this.#tell({ type: "read", call: number, numDeltas });
      },
      onEnd: () => {
        this.#calls.delete(number);
        signal.removeEventListener("abort", cancel);
        onEnd();
      },
    });
    this.#calls.set(number, call);
    signal.addEventListener("abort", cancel, { once: true });
    try {
      this.#post({ type: "generate", call: number, request }, [request.promptTokenIds.buffer]);
    } catch (error) {
      call.fail(error);
    }
    return call;
  }

  #post(message: ToEngine, moved: readonly ArrayBuffer[] = []): void {
    this.#engine.postMessage(message, moved);
  }

  /**
   * Posts a message about a running call, or the last message. An engine that cannot be reached is ended: it would hold
   * the places and pages of a canceled call.
   */
  #tell(message: ToEngine): void {
    try {
      this.#post(message);
    } catch (error) {
      this.#lastError = error as Error;
      if (this.#state === "ready") this.#enter("restarting");
      void this.#engine.terminate();
    }
  }
}

const isLoading = (state: HostState): boolean => state === "loading" || state === "restarting";

/** The extent of an answer that is collected as a whole, and the request's names for it. */
type WholeAnswer = AnswerExtent & { readonly sentNames: SentNames };

function wholeAnswerBytes({ sentNames, ...extent }: WholeAnswer, contextLength: number): number {
  try {
    return checkedAnswerSize(extent, contextLength);
  } catch (error) {
    throw error instanceof EngineError ? error.renamed((path) => wireName(path, sentNames)) : error;
  }
}

function modelLoading(): ApiError {
  return new ApiError("model_loading", "The model is still loading. Try again in a moment.", null, RETRY_SOON);
}

function modelFailed(): ApiError {
  return new ApiError("model_loading", "The model's engine has stopped too often. The server must be started again.");
}

const NEVER = new AbortController().signal;
const ENGINE_URL = new URL("./engine-worker.js", import.meta.url);
const PREPARER_URL = new URL("./preparer-worker.js", import.meta.url);
/** Far above what a legal request of the default size takes. */
const MAX_PREPARATION_MS = 30_000;
const MAX_PREPARER_HEAP_MIB = 2048;
const MAX_ENGINE_HEAP_MIB = 2048;
const HOLD_MS = 30_000;
/** A step of a large model on a slow machine takes some tens of seconds. */
const MAX_SILENCE_MS = 120_000;
const SILENCE_CHECKS = 4;
/**
 * Time for a worker to end by itself before it is terminated. Terminating a worker inside native code may crash the
 * process.
 */
const CLOSE_MS = 10_000;
const RESTART_MS = 250;
/** An engine that stops this often within this time is not started again. */
const MAX_DEATHS = 3;
const DEATHS_WITHIN_MS = 60_000;

/**
 * The server thread's interface to one model in a worker thread: chat, tokenize and detokenize. Queues requests and
 * cancels calls when their signal aborts. If the worker dies, its calls fail, waiting requests are rejected, a new
 * worker is started, and requests are refused until the model is loaded again.
 */

import { Worker } from "node:worker_threads";

import type { Logger } from "pino";

import { EngineError } from "../../engine/errors.js";
import type { ModelInfo } from "../../engine/index.js";
import { ApiError, RETRY_SOON } from "../openai/index.js";
import { Admission, type AdmissionOptions } from "./admission.js";
import { Call, receivedError, type DeltaBatches } from "./call.js";
import type { ChatWork, FromWorker, Sealed, ToWorker, TokenizeInput, WorkerModel } from "./worker-protocol.js";

export interface HostOptions extends AdmissionOptions {
  readonly model: WorkerModel;
  readonly log: Logger;
  /** Called while a model folder is converted. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Called while a file of the model is downloaded. */
  readonly onDownload?: (done: number, total: number, file: string) => void;
  /** Called with a notice, a sentence that does not report an error. */
  readonly onNotice?: (message: string) => void;
  /** Program of the worker; tests replace it. */
  readonly workerUrl?: URL;
}

/** A started answer. */
export interface Generation {
  readonly seed: number;
  readonly numPromptTokens: number;
  readonly deltas: DeltaBatches;
}

export type HostState = "loading" | "ready" | "restarting" | "closed";

export class EngineHost {
  /** Resolves when the model has been loaded for the first time; rejects if loading fails. */
  readonly loaded: Promise<ModelInfo>;
  readonly #options: HostOptions;
  readonly #admission: Admission;
  readonly #calls = new Map<number, Call>();
  #nextCall = 0;
  #worker: Worker;
  #state: HostState = "loading";
  #info: ModelInfo | null = null;
  #lastError: Error | null = null;
  #settleLoaded: { resolve: (info: ModelInfo) => void; reject: (error: unknown) => void } | null = null;
  #numRestarts = 0;
  /** Crashes since the last delta of the model; each one doubles the pause before the next restart. */
  #numCrashesInRow = 0;
  #restart: NodeJS.Timeout | undefined;

  constructor(options: HostOptions) {
    this.#options = options;
    this.#admission = new Admission(options);
    this.loaded = new Promise((resolve, reject) => (this.#settleLoaded = { resolve, reject }));
    // The creator handles a rejection; until it does, the rejection must not end the process as unhandled.
    this.loaded.catch(() => {});
    this.#worker = this.#startWorker();
  }

  get state(): HostState {
    return this.#state;
  }

  /** Null before the model is loaded for the first time. */
  get info(): ModelInfo | null {
    return this.#info;
  }

  get numRunning(): number {
    return this.#admission.numRunning;
  }

  get numWaiting(): number {
    return this.#admission.numWaiting;
  }

  get numRestarts(): number {
    return this.#numRestarts;
  }

  /**
   * Waits for places and starts an answer. When the signal aborts, the places are released immediately and the engine
   * stops at the next token.
   *
   * @param n number of choices in `options`
   * @throws ApiError queue_full or model_loading; EngineError for an invalid request
   */
  async chat(options: Sealed<ChatWork>, n: number, signal: AbortSignal): Promise<Generation> {
    this.#checkReady();
    const leave = await this.#admission.enter(n, signal);
    try {
      signal.throwIfAborted();
      this.#checkReady();
      const call = this.#submit((call) => ({ type: "chat", call, options }), options, signal, leave);
      const { seed, numPromptTokens } = await call.reply("started");
      return { seed, numPromptTokens, deltas: call.deltas };
    } catch (error) {
      leave();
      throw error;
    }
  }

  /**
   * @returns the response body, JSON
   * @throws EngineError for an invalid request
   */
  async tokenize(input: Sealed<TokenizeInput>, signal: AbortSignal): Promise<Buffer> {
    this.#checkReady();
    const call = this.#submit((call) => ({ type: "tokenize", call, input }), input, signal);
    return jsonOf(call);
  }

  /**
   * @returns the response body, JSON
   * @throws EngineError for an id that is not a token
   */
  async detokenize(tokenIds: Sealed<readonly number[]>, signal: AbortSignal): Promise<Buffer> {
    this.#checkReady();
    const call = this.#submit((call) => ({ type: "detokenize", call, tokenIds }), tokenIds, signal);
    return jsonOf(call);
  }

  /** Ends the worker. Running calls fail. */
  async close(): Promise<void> {
    clearTimeout(this.#restart);
    if (this.#state === "closed") return;
    const hasWorker = this.#state !== "restarting";
    this.#state = "closed";
    this.#failAll(new ApiError("shutting_down", "The server is shutting down.", null, RETRY_SOON));
    if (!hasWorker) return;
    const exit = new Promise<void>((resolve) => this.#worker.once("exit", () => resolve()));
    this.#post({ type: "close" });
    const timer = setTimeout(() => void this.#worker.terminate(), CLOSE_MS);
    await exit;
    clearTimeout(timer);
  }

  #startWorker(): Worker {
    const worker = new Worker(this.#options.workerUrl ?? WORKER_URL, { workerData: this.#options.model });
    worker.on("message", (message: FromWorker) => this.#receive(message));
    worker.on("error", (error) => (this.#lastError = error instanceof Error ? error : new Error(String(error))));
    worker.once("exit", (code) => this.#exited(this.#lastError ?? new Error(`The worker ended with code ${code}`)));
    return worker;
  }

  #receive(message: FromWorker): void {
    switch (message.type) {
      case "progress":
        return this.#options.onProgress?.(message.done, message.total);
      case "download":
        return this.#options.onDownload?.(message.done, message.total, message.file);
      case "notice":
        return this.#options.onNotice?.(message.message);
      case "ready":
        this.#info = message.info;
        if (this.#state !== "closed") this.#state = "ready";
        this.#settleLoaded?.resolve(message.info);
        this.#settleLoaded = null;
        return;
      case "unusable": {
        this.#lastError = receivedError(message.error);
        void this.#worker.terminate();
        return;
      }
      case "delta":
        this.#numCrashesInRow = 0;
        this.#calls.get(message.call)?.receive(message);
        return;
      default:
        this.#calls.get(message.call)?.receive(message);
    }
  }

  #exited(error: Error): void {
    this.#lastError = null;
    if (this.#state === "closed") return;
    this.#failAll(new EngineError("internal_error", "The engine stopped unexpectedly and is being restarted."));
    if (this.#settleLoaded !== null) {
      this.#state = "closed";
      this.#settleLoaded.reject(error);
      return;
    }
    this.#state = "restarting";
    this.#numRestarts++;
    const pauseMs = Math.min(RESTART_MS * 2 ** this.#numCrashesInRow++, MAX_RESTART_MS);
    this.#options.log.error({ err: error, pauseMs }, "engine stopped");
    this.#restart = setTimeout(() => {
      this.#state = "loading";
      this.#worker = this.#startWorker();
    }, pauseMs);
  }

  #failAll(error: Error): void {
    this.#admission.refuseWaiting(this.#state === "closed" ? error : modelLoading());
    for (const call of this.#calls.values()) call.fail(error);
  }

  #checkReady(): void {
    if (this.#state !== "ready") throw modelLoading();
  }

  /** @param work the payload of the message; bytes are transferred, not copied */
  #submit(
    message: (call: number) => ToWorker,
    work: Sealed<object>,
    signal: AbortSignal,
    onEnd: () => void = () => {},
  ): Call {
    const number = this.#nextCall++;
    const cancel = (): void => {
      this.#post({ type: "cancel", call: number });
      call.fail(signal.reason);
    };
    const call = new Call(() => {
      this.#calls.delete(number);
      signal.removeEventListener("abort", cancel);
      onEnd();
    });
    this.#calls.set(number, call);
    signal.addEventListener("abort", cancel, { once: true });
    this.#post(message(number), work instanceof Uint8Array ? [work.buffer as ArrayBuffer] : []);
    return call;
  }

  #post(message: ToWorker, moved: readonly ArrayBuffer[] = []): void {
    this.#worker.postMessage(message, moved);
  }
}

async function jsonOf(call: Call): Promise<Buffer> {
  const { json } = await call.reply("json");
  return Buffer.from(json.buffer, json.byteOffset, json.byteLength);
}

function modelLoading(): ApiError {
  return new ApiError("model_loading", "The model is still loading. Try again in a moment.", null, RETRY_SOON);
}

const WORKER_URL = new URL("./worker.js", import.meta.url);
/**
 * Time for a worker to end by itself before it is terminated. Terminating a worker inside native code may crash the
 * process.
 */
const CLOSE_MS = 10_000;
const RESTART_MS = 250;
const MAX_RESTART_MS = 30_000;

/**
 * One model in a worker thread, seen from the server's thread: ask it for answers, tokens or text. Decides who
 * runs and who waits, takes calls back when their signal aborts, and starts another worker when one dies: its
 * calls fail, those that wait are sent away, and new ones are refused until the model is loaded again.
 */

import { Worker } from "node:worker_threads";

import type { Logger } from "pino";

import { EngineError } from "../../engine/errors.js";
import type { ModelInfo } from "../../engine/index.js";
import { ApiError } from "../openai/index.js";
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
  /** Called with a sentence about something that is no error. */
  readonly onNotice?: (message: string) => void;
  /** The worker's program; tests put others in its place. */
  readonly workerUrl?: URL;
}

/** An answer on its way. */
export interface Generation {
  readonly seed: number;
  readonly numPromptTokens: number;
  readonly deltas: DeltaBatches;
}

export type HostState = "loading" | "ready" | "restarting" | "closed";

export class EngineHost {
  /** Settles when the model has been loaded for the first time, or could not be. */
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
  /** Crashes since the model last answered: each doubles the pause before the next start. */
  #numCrashesInRow = 0;
  #restart: NodeJS.Timeout | undefined;

  constructor(options: HostOptions) {
    this.#options = options;
    this.#admission = new Admission(options);
    this.loaded = new Promise((resolve, reject) => (this.#settleLoaded = { resolve, reject }));
    // Whoever starts the host looks at it; a rejection must not end the process before.
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
   * Waits for a place and starts an answer. An abort of the signal gives the place back at once, and the engine's
   * work ends at the next token.
   *
   * @param n choices that the options ask for
   * @throws ApiError queue_full or model_loading; EngineError for what the request gets wrong
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
   * @returns the answer's body
   * @throws EngineError for what the request gets wrong
   */
  async tokenize(input: Sealed<TokenizeInput>, signal: AbortSignal): Promise<Buffer> {
    this.#checkReady();
    const call = this.#submit((call) => ({ type: "tokenize", call, input }), input, signal);
    return jsonOf(call);
  }

  /**
   * @returns the answer's body
   * @throws EngineError for an id that is no token
   */
  async detokenize(tokenIds: Sealed<readonly number[]>, signal: AbortSignal): Promise<Buffer> {
    this.#checkReady();
    const call = this.#submit((call) => ({ type: "detokenize", call, tokenIds }), tokenIds, signal);
    return jsonOf(call);
  }

  /** Ends the worker. Calls that still run fail. */
  async close(): Promise<void> {
    clearTimeout(this.#restart);
    if (this.#state === "closed") return;
    const hasWorker = this.#state !== "restarting";
    this.#state = "closed";
    this.#failAll(new ApiError("shutting_down", "The server is shutting down."));
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
    this.#failAll(new EngineError("internal_error", "The engine stopped unexpectedly; it is being started again."));
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

  /** @param work in the message; bytes are moved, not copied */
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
  return new ApiError("model_loading", "The model is being loaded. Try again in a moment.", null, {
    headers: { "retry-after": "1" },
  });
}

const WORKER_URL = new URL("./worker.js", import.meta.url);
/** How long a worker may take to end by itself. One that is ended inside native code may take the process along. */
const CLOSE_MS = 10_000;
const RESTART_MS = 250;
const MAX_RESTART_MS = 30_000;

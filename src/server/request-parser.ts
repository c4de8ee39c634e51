/**
 * Parses bodies without blocking the server's thread: small ones inline, large ones in a worker thread, one after the
 * other. The worker is started on demand and ended when idle, which releases its memory. If it dies, the body it was
 * parsing fails, and a new worker takes the next ones.
 */

import { Worker } from "node:worker_threads";

import { ApiError, type ApiErrorCode, type Dialect } from "../openai/index.js";
import { parseRequest, type RequestKind, type Requests } from "./parse-request.js";

/** A body sent to parser-worker.ts, which replies with one message. */
export interface ToParser {
  readonly kind: RequestKind;
  readonly dialect: Dialect;
  readonly body: Uint8Array;
}

export type FromParser =
  | { readonly request: Requests[RequestKind] }
  | { readonly error: { readonly code: ApiErrorCode; readonly message: string; readonly param: string | null } };

export interface RequestParserOptions {
  /** Program of the worker; tests replace it. */
  readonly workerUrl?: URL;
  readonly timeoutMs?: number;
  readonly idleMs?: number;
}

interface Job extends ToParser {
  readonly settle: (outcome: FromParser | Error) => void;
}

export class RequestParser {
  readonly #workerUrl: URL;
  readonly #timeoutMs: number;
  readonly #idleMs: number;
  readonly #waiting = new Set<Job>();
  #current: Job | null = null;
  #worker: Worker | null = null;
  /** Time limit of the body being parsed, or, without one, the idle timeout of the worker. */
  #timer: NodeJS.Timeout | undefined;

  constructor({ workerUrl = WORKER_URL, timeoutMs = TIMEOUT_MS, idleMs = IDLE_MS }: RequestParserOptions = {}) {
    this.#workerUrl = workerUrl;
    this.#timeoutMs = timeoutMs;
    this.#idleMs = idleMs;
  }

  /**
   * @param body a large body is transferred to the worker; the caller must not use it afterwards
   * @throws ApiError for the first failure in the contract's order; the signal's reason
   */
  async parse<K extends RequestKind>(
    kind: K,
    dialect: Dialect,
    body: Uint8Array,
    signal: AbortSignal,
  ): Promise<Requests[K]> {
    if (body.length <= MAX_INLINE_BYTES) return parseRequest(kind, body, dialect);
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.delete(job);
        reject(signal.reason as Error);
      };
      const settle = (outcome: FromParser | Error): void => {
        signal.removeEventListener("abort", leave);
        if (outcome instanceof Error) reject(outcome);
        else if ("error" in outcome)
          reject(new ApiError(outcome.error.code, outcome.error.message, outcome.error.param));
        else resolve(outcome.request as Requests[K]);
      };
      const job: Job = { kind, dialect, body, settle };
      signal.addEventListener("abort", leave, { once: true });
      this.#waiting.add(job);
      this.#parseNext();
    });
  }

  /** Ends the worker. The callers must have abandoned all pending bodies. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    const worker = this.#worker;
    this.#worker = null;
    await worker?.terminate();
  }

  #parseNext(): void {
    if (this.#current !== null) return;
    clearTimeout(this.#timer);
    const [job] = this.#waiting;
    if (job === undefined) {
      this.#timer = setTimeout(() => void this.close(), this.#idleMs);
      return;
    }
    this.#waiting.delete(job);
    this.#current = job;
    this.#worker ??= this.#startWorker();
    const { kind, dialect, body } = job;
    this.#worker.postMessage({ kind, dialect, body } satisfies ToParser, [body.buffer as ArrayBuffer]);
    this.#timer = setTimeout(() => {
      void this.#worker?.terminate();
    }, this.#timeoutMs);
  }

  #startWorker(): Worker {
    const worker = new Worker(this.#workerUrl);
    let failure: Error | null = null;
    worker.on("message", (reply: FromParser) => this.#settle(reply));
    worker.on("error", (error) => (failure = error instanceof Error ? error : new Error(String(error))));
    worker.once("exit", (code) => {
      if (this.#worker !== worker) return;
      this.#worker = null;
      this.#settle(failure ?? new Error(`The thread that parses bodies ended with code ${code}`));
    });
    return worker;
  }

  #settle(outcome: FromParser | Error): void {
    this.#current?.settle(outcome);
    this.#current = null;
    this.#parseNext();
  }
}

/**
 * Largest body parsed inline: it blocks the server's thread for a few milliseconds, or about 15 ms before V8 has
 * compiled the code. A body of 8 MiB, the default limit, can block it for more than a second.
 */
const MAX_INLINE_BYTES = 32 << 10;
/** No legal body takes this long; the thread is considered hung. */
const TIMEOUT_MS = 60_000;
const IDLE_MS = 10_000;
const WORKER_URL = new URL("./parser-worker.js", import.meta.url);

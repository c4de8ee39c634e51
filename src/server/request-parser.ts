/**
 * Turns bodies into requests without holding up the server's thread: small ones at once, large ones in a thread of
 * their own, one after the other. That thread is started when it is needed and ended when it is not, which gives its
 * memory back; if it dies, the body it was at fails and the next ones get another thread.
 */

import { Worker } from "node:worker_threads";

import { ApiError, type ApiErrorCode, type Dialect } from "../openai/index.js";
import { parseRequest, type RequestKind, type Requests } from "./parse-request.js";

/** A body for parser-worker.ts; its answer is the next message. */
export interface ToParser {
  readonly kind: RequestKind;
  readonly dialect: Dialect;
  readonly body: Uint8Array;
}

export type FromParser =
  | { readonly request: Requests[RequestKind] }
  | { readonly error: { readonly code: ApiErrorCode; readonly message: string; readonly param: string | null } };

export interface RequestParserOptions {
  /** The thread's program; tests put others in its place. */
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
  /** While a body is parsed, its time is up then; else, the thread is ended then. */
  #timer: NodeJS.Timeout | undefined;

  constructor({ workerUrl = WORKER_URL, timeoutMs = TIMEOUT_MS, idleMs = IDLE_MS }: RequestParserOptions = {}) {
    this.#workerUrl = workerUrl;
    this.#timeoutMs = timeoutMs;
    this.#idleMs = idleMs;
  }

  /**
   * @param body taken over: a large one is moved to the other thread
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

  /** Ends the thread. The bodies it had have been given up by then. */
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
 * A body of this size costs the server's thread a few milliseconds whatever is in it, or about 15 before anything is
 * compiled; one of the 8 MiB that are taken can cost more than a second.
 */
const MAX_INLINE_BYTES = 32 << 10;
/** Far from what any body takes; past it the thread hangs. */
const TIMEOUT_MS = 60_000;
const IDLE_MS = 10_000;
const WORKER_URL = new URL("./parser-worker.js", import.meta.url);

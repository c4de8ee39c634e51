/**
 * Parses bodies without blocking the server's thread: small ones inline, large ones in a worker thread, one after the
 * other. The worker is ended when idle, which releases its memory.
 */

import { ApiError, type ApiErrorCode, type Dialect } from "../openai/index.js";
import { JobWorker } from "./job-worker.js";
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

export class RequestParser {
  readonly #worker: JobWorker<ToParser, FromParser>;

  constructor({ workerUrl = WORKER_URL, timeoutMs = TIMEOUT_MS, idleMs = IDLE_MS }: RequestParserOptions = {}) {
    this.#worker = new JobWorker({ url: workerUrl, timeoutMs, idleMs });
  }

  /**
   * @param body a large body is transferred to the worker; the caller must not use it afterwards
   * @throws ApiError for the first failure in the contract's order; JobLost; the signal's reason
   */
  async parse<K extends RequestKind>(
    kind: K,
    dialect: Dialect,
    body: Uint8Array,
    signal: AbortSignal,
  ): Promise<Requests[K]> {
    if (body.length <= MAX_INLINE_BYTES) return parseRequest(kind, body, dialect);
    const reply = await this.#worker.run({ kind, dialect, body }, [body.buffer as ArrayBuffer], signal);
    if ("request" in reply) return reply.request as Requests[K];
    throw new ApiError(reply.error.code, reply.error.message, reply.error.param);
  }

  /** Ends the worker. Bodies that are being parsed are lost. */
  close(): Promise<void> {
    return this.#worker.close();
  }
}

/**
 * Largest body parsed inline: it blocks the server's thread for a few milliseconds, or about 15 ms before V8 has
 * compiled the code. A body of 8 MiB, the default limit, can block it for more than a second.
 */
const MAX_INLINE_BYTES = 32 << 10;
/** No legal body takes this long. */
const TIMEOUT_MS = 60_000;
const IDLE_MS = 10_000;
const WORKER_URL = new URL("./parser-worker.js", import.meta.url);

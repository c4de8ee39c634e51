/** One call to a worker: the first reply as a promise, deltas as they arrive, and one notification of the end. */

import { setImmediate as nextTurn } from "node:timers/promises";

import { AsyncQueue } from "../../engine/async-queue.js";
import { EngineError } from "../../engine/errors.js";
import type { OutputDelta } from "../../engine/index.js";
import type { FromWorker, PostedError } from "./worker-protocol.js";

/** Batches of deltas received since the last read, never empty; ends after the delta that carries the usage. */
export type DeltaBatches = AsyncIterable<readonly OutputDelta[]>;

type CallMessage = Extract<FromWorker, { readonly call: number }>;
type ReplyType = "started" | "json";
type Reply<T extends ReplyType> = Extract<FromWorker, { readonly type: T }>;

export class Call {
  readonly deltas: DeltaBatches = { [Symbol.asyncIterator]: () => this.#drain() };
  readonly #onEnd: () => void;
  readonly #first: Promise<CallMessage>;
  #settle!: { resolve: (reply: CallMessage) => void; reject: (error: unknown) => void };
  readonly #queue = new AsyncQueue<OutputDelta>();
  #ended = false;

  /** @param onEnd called once: after the last delta, the only reply, or a failure */
  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
    this.#first = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
    this.#first.catch(() => {}); // prevents an unhandled rejection if the call fails before reply() is awaited
  }

  /** Resolves with the first reply, which must be of the given type. */
  async reply<T extends ReplyType>(type: T): Promise<Reply<T>> {
    const reply = await this.#first;
    if (reply.type !== type) throw new Error(`The worker replied ${reply.type}; ${type} was expected`);
    return reply as Reply<T>;
  }

  receive(message: CallMessage): void {
    switch (message.type) {
      case "started":
        this.#settle.resolve(message);
        return;
      case "json":
        this.#settle.resolve(message);
        this.#end();
        return;
      case "delta":
        this.#queue.push(message.delta);
        if (message.delta.usage === null) return;
        this.#queue.end();
        this.#end();
        return;
      case "error":
        this.fail(receivedError(message.error));
    }
  }

  /** Ends the call with an error; deltas received before are still delivered. */
  fail(error: unknown): void {
    if (this.#ended) return;
    this.#queue.fail(error);
    this.#settle.reject(error);
    this.#end();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#onEnd();
  }

  async *#drain(): AsyncGenerator<readonly OutputDelta[], void, void> {
    for (let deltas = await this.#queue.take(); deltas !== null; deltas = await this.#queue.take()) {
      for (let start = 0; start < deltas.length; start += MAX_BATCH_DELTAS) {
        if (start > 0) await nextTurn();
        yield deltas.slice(start, start + MAX_BATCH_DELTAS);
      }
    }
  }
}

/** Largest batch given to a slow consumer: with log-probabilities, it takes a few milliseconds to serialize. */
const MAX_BATCH_DELTAS = 64;

/** Restores a posted error; for an internal error, the cause carries the worker's stack. */
export function receivedError({ code, message, param, stack }: PostedError): EngineError {
  if (stack === null) return new EngineError(code, message, param);
  const cause = new Error(message);
  cause.stack = stack;
  return new EngineError(code, message, param, { cause });
}

/** One answer of the engine worker: its start as a promise, deltas as they arrive, and one notification of the end. */

import { setImmediate as nextTurn } from "node:timers/promises";

import { AsyncQueue } from "../../engine/async-queue.js";
import type { OutputDelta } from "../../engine/index.js";
import { receivedError, type FromEngine } from "./worker-protocol.js";

/** Batches of deltas received since the last read, never empty; ends after the delta that carries the usage. */
export type DeltaBatches = AsyncIterable<readonly OutputDelta[]>;

type CallMessage = Extract<FromEngine, { readonly call: number }>;
type Started = Extract<FromEngine, { readonly type: "started" }>;

export interface CallEvents {
  /** Called when the reader asks for more, with the number of deltas that it has passed on. */
  readonly onRead: (numDeltas: number) => void;
  /** Called once: after the last delta, or a failure. */
  readonly onEnd: () => void;
}

export class Call {
  /** Resolves when the engine has accepted the request. */
  readonly started: Promise<Started>;
  readonly deltas: DeltaBatches = { [Symbol.asyncIterator]: () => this.#drain() };
  readonly #events: CallEvents;
  readonly #queue = new AsyncQueue<OutputDelta>();
  #settle!: { resolve: (reply: Started) => void; reject: (error: unknown) => void };
  #hasDeltas = false;
  #ended = false;

  constructor(events: CallEvents) {
    this.#events = events;
    this.started = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
    this.started.catch(() => {}); // prevents an unhandled rejection if the call fails before it is awaited
  }

  /** True if the first delta has arrived. */
  get hasDeltas(): boolean {
    return this.#hasDeltas;
  }

  receive(message: CallMessage): void {
    switch (message.type) {
      case "started":
        this.#settle.resolve(message);
        return;
      case "delta":
        this.#hasDeltas = true;
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
    this.#events.onEnd();
  }

  async *#drain(): AsyncGenerator<readonly OutputDelta[], void, void> {
    for (let deltas = await this.#queue.take(); deltas !== null; deltas = await this.#queue.take()) {
      for (let start = 0; start < deltas.length; start += MAX_BATCH_DELTAS) {
        if (start > 0) await nextTurn();
        const batch = deltas.slice(start, start + MAX_BATCH_DELTAS);
        yield batch;
        this.#events.onRead(batch.length);
      }
    }
  }
}

/** Largest batch given to a slow consumer: with log-probabilities, it takes a few milliseconds to serialize. */
const MAX_BATCH_DELTAS = 64;

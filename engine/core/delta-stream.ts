/**
 * The deltas of a request on their way to its reader. Unread deltas are bounded: when too many wait, the request pauses
 * until the reader has taken half of them. A reader that does not do so within a bounded time counts as gone.
 */

import { AsyncQueue } from "../async-queue.js";
import { EngineError } from "../errors.js";
import { LIMITS } from "../limits.js";
import { deltaByteLength } from "./answer-size.js";
import type { Output, OutputDelta } from "./sequence.js";

export interface DeltaStreamEvents {
  /** The reader has caught up, so the request may continue. */
  readonly onResume: () => void;
  /** The reader is gone: it has left the loop, or has not read for too long. */
  readonly onLeave: () => void;
}

export class DeltaStream implements Output {
  readonly #events: DeltaStreamEvents;
  readonly #queue = new AsyncQueue<{ readonly delta: OutputDelta; readonly byteLength: number }>();
  #unreadBytes = 0;
  /** Ends the pause of the request; null while it does not pause. */
  #timer: NodeJS.Timeout | null = null;
  #isOpen = true;

  constructor(events: DeltaStreamEvents) {
    this.#events = events;
  }

  /** True while the request must pause for its reader. */
  get isBehind(): boolean {
    return this.#timer !== null;
  }

  /** Deltas pushed after the end are dropped. */
  push(delta: OutputDelta): void {
    const byteLength = deltaByteLength(delta);
    this.#queue.push({ delta, byteLength });
    this.#unreadBytes += byteLength;
    if (this.#isOpen && !this.isBehind && this.#unreadBytes > LIMITS.maxUnreadBytes) {
      this.#timer = setTimeout(() => this.#giveUp(), LIMITS.maxReaderPauseMs);
    }
  }

  /** Ends the stream after the deltas that are already in it. */
  end(): void {
    this.#close();
    this.#queue.end();
  }

  /** Ends the stream with an error, which the reader gets after the deltas that are already in it. */
  fail(error: unknown): void {
    this.#close();
    this.#queue.fail(error);
  }

  /** Yields the deltas. A delta counts as read when the reader asks for it; leaving the loop ends the stream. */
  read(): AsyncGenerator<OutputDelta, void, void> {
    const deltas = this.#deltas();
    // Starts the generator: a reader that leaves one which has not started would not run its `finally`.
    void deltas.next();
    return deltas;
  }

  async *#deltas(): AsyncGenerator<OutputDelta, void, void> {
    try {
      // `read` takes this one.
      yield undefined as never;
      for (let entries = await this.#queue.take(); entries !== null; entries = await this.#queue.take()) {
        for (const { delta, byteLength } of entries) {
          this.#unreadBytes -= byteLength;
          if (this.isBehind && this.#unreadBytes <= LIMITS.maxUnreadBytes / 2) this.#resume();
          yield delta;
        }
      }
    } finally {
      this.#close();
      this.#events.onLeave();
    }
  }

  #resume(): void {
    this.#stopTimer();
    this.#events.onResume();
  }

  #giveUp(): void {
    const seconds = LIMITS.maxReaderPauseMs / 1000;
    const kibibytes = LIMITS.maxUnreadBytes / 1024;
    this.fail(
      new EngineError(
        "reader_stalled",
        `The answer was not read: ${kibibytes} KiB of it waited, and half of them were not taken within ${seconds} seconds.`,
      ),
    );
    this.#events.onLeave();
  }

  #close(): void {
    this.#isOpen = false;
    this.#stopTimer();
  }

  #stopTimer(): void {
    clearTimeout(this.#timer ?? undefined);
    this.#timer = null;
  }
}

/** The queue of the mock engine: a request takes one place per choice, and requests are admitted in order of arrival. */

import { ApiError } from "../../src/openai/index.js";

export interface PlacesOptions {
  /** Maximum number of choices that run at the same time. A request with more choices takes all places. */
  readonly numPlaces: number;
  /** Maximum number of waiting requests; further requests are refused. */
  readonly maxWaiting: number;
}

interface Waiting {
  readonly numPlaces: number;
  readonly admit: () => void;
  readonly refuse: (reason: unknown) => void;
}

export class Places {
  readonly #options: PlacesOptions;
  #waiting: Waiting[] = [];
  #numTaken = 0;
  #numRunning = 0;

  constructor(options: PlacesOptions) {
    this.#options = options;
  }

  /** Number of requests that hold places. */
  get numRunning(): number {
    return this.#numRunning;
  }

  get numWaiting(): number {
    return this.#waiting.length;
  }

  /**
   * Waits for places.
   *
   * @returns a function that releases the places; calling it again has no effect
   * @throws ApiError queue_full, immediately; the signal's reason if the signal aborts before admission
   */
  async enter(numChoices: number, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    const numPlaces = Math.min(numChoices, this.#options.numPlaces);
    if (this.#waiting.length > 0 || !this.#fits(numPlaces)) await this.#wait(numPlaces, signal);
    else this.#take(numPlaces);
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#numTaken -= numPlaces;
      this.#numRunning--;
      this.#admitNext();
    };
  }

  /** Rejects all waiting requests with `reason`. */
  refuseWaiting(reason: unknown): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { refuse } of waiting) refuse(reason);
  }

  #wait(numPlaces: number, signal: AbortSignal): Promise<void> {
    const { maxWaiting } = this.#options;
    if (this.#waiting.length >= maxWaiting) {
      throw new ApiError(
        "queue_full",
        `The queue is full: ${this.#numRunning} running, ${this.#waiting.length} waiting, at most ${maxWaiting} may wait. Try again later.`,
        null,
        {
          headers: { "retry-after": RETRY_AFTER_SECONDS },
        },
      );
    }
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiting = this.#waiting.filter((other) => other !== entry);
        reject(signal.reason);
        this.#admitNext();
      };
      const entry: Waiting = {
        numPlaces,
        admit: () => {
          signal.removeEventListener("abort", leave);
          resolve();
        },
        refuse: (reason) => {
          signal.removeEventListener("abort", leave);
          reject(reason);
        },
      };
      signal.addEventListener("abort", leave, { once: true });
      this.#waiting.push(entry);
    });
  }

  #admitNext(): void {
    for (let next = this.#waiting[0]; next !== undefined && this.#fits(next.numPlaces); next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#take(next.numPlaces);
      next.admit();
    }
  }

  #fits(numPlaces: number): boolean {
    return this.#numTaken + numPlaces <= this.#options.numPlaces;
  }

  #take(numPlaces: number): void {
    this.#numTaken += numPlaces;
    this.#numRunning++;
  }
}

const RETRY_AFTER_SECONDS = "1";

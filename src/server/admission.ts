/** Admission control: bounds the requests that a model has taken on. Independent of the engine. */

import { ApiError } from "../openai/index.js";

export interface AdmissionOptions {
  /** Number of choices that the engine generates at the same time. */
  readonly numPlaces: number;
  /** Number of requests that may wait in addition to as many as there are places. */
  readonly maxWaiting: number;
}

export class Admission {
  readonly #options: AdmissionOptions;
  #numAdmitted = 0;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  get numAdmitted(): number {
    return this.#numAdmitted;
  }

  /**
   * Admits a request.
   *
   * @returns a function that ends the admission; calling it again has no effect
   * @throws ApiError queue_full
   */
  enter(): () => void {
    const { numPlaces, maxWaiting } = this.#options;
    if (this.#numAdmitted >= numPlaces + maxWaiting) {
      throw new ApiError(
        "queue_full",
        `The queue is full: ${this.#numAdmitted} requests run or wait, at most ${numPlaces} + ${maxWaiting} may. Try again later.`,
        null,
        { headers: { "retry-after": RETRY_AFTER_SECONDS } },
      );
    }
    this.#numAdmitted++;
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#numAdmitted--;
    };
  }
}

const RETRY_AFTER_SECONDS = "1";

/** Admission control: bounds the requests that a model has taken on, and the memory of collected answers. */

import { LIMITS } from "../../engine/limits.js";
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
  #answerBytes = 0;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  get numAdmitted(): number {
    return this.#numAdmitted;
  }

  /**
   * Admits a request.
   *
   * @param answerBytes largest size of an answer that is collected as a whole; 0 if it is streamed
   * @returns a function that ends the admission; calling it again has no effect
   * @throws ApiError queue_full
   */
  enter(answerBytes: number): () => void {
    const { numPlaces, maxWaiting } = this.#options;
    if (this.#numAdmitted >= numPlaces + maxWaiting)
      throw full(`${this.#numAdmitted} requests run or wait, at most ${numPlaces} + ${maxWaiting} may`);
    if (this.#answerBytes + answerBytes > LIMITS.maxWholeAnswersBytes)
      throw full("the answers in progress that are not streamed may fill the memory set aside for them");
    this.#numAdmitted++;
    this.#answerBytes += answerBytes;
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#numAdmitted--;
      this.#answerBytes -= answerBytes;
    };
  }
}

function full(reason: string): ApiError {
  const headers = { "retry-after": RETRY_AFTER_SECONDS };
  return new ApiError("queue_full", `The queue is full: ${reason}. Try again later.`, null, { headers });
}

const RETRY_AFTER_SECONDS = "1";

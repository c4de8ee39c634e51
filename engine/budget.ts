/** Bounds the work for one request: code whose work grows with its input spends a step in each round of its loops. */

/** Thrown by `Budget.spend` after the request was canceled. */
export class Canceled extends Error {
  override readonly name = "Canceled";

  constructor() {
    super("The request was canceled");
  }
}

export class Budget {
  readonly #exhausted: () => Error;
  readonly #isCanceled: () => boolean;
  #numLeft: number;
  #numUntilCheck = STEPS_PER_CHECK;

  /**
   * Steps are counted, not timed, so that a request is refused on every machine or on none.
   *
   * @param exhausted returns the error for a request that needs more than `maxSteps`
   * @param isCanceled returns true once the result is no longer needed; called once in a thousand steps
   */
  constructor(maxSteps: number, exhausted: () => Error, isCanceled: () => boolean = () => false) {
    this.#numLeft = maxSteps;
    this.#exhausted = exhausted;
    this.#isCanceled = isCanceled;
  }

  /**
   * Counts steps, each some ten to a hundred nanoseconds of work.
   * @throws the error of the constructor's `exhausted` if the budget is spent, Canceled if the request was canceled
   */
  spend(numSteps = 1): void {
    this.#numLeft -= numSteps;
    if (this.#numLeft < 0) throw this.#exhausted();
    this.#numUntilCheck -= numSteps;
    if (this.#numUntilCheck > 0) return;
    this.#numUntilCheck = STEPS_PER_CHECK;
    if (this.#isCanceled()) throw new Canceled();
  }
}

const STEPS_PER_CHECK = 1000;

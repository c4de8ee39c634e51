/** Hands values from one producer to one consumer, in order. */
export class AsyncQueue<T> {
  #values: T[] = [];
  #end: { readonly error: unknown } | "open" | "whole" = "open";
  #wake: () => void = () => {};

  /** Values pushed after the end are dropped. */
  push(value: T): void {
    if (this.#end !== "open") return;
    this.#values.push(value);
    this.#wake();
  }

  /** Ends the queue: the consumer gets the remaining values, then null. */
  end(): void {
    if (this.#end === "open") this.#end = "whole";
    this.#wake();
  }

  /** Ends the queue with an error, which the consumer gets after the remaining values. */
  fail(error: unknown): void {
    if (this.#end === "open") this.#end = { error };
    this.#wake();
  }

  /**
   * Waits for values.
   * @returns all values pushed since the last call, at least one; null at the end
   * @throws the error that was passed to `fail`
   */
  async take(): Promise<T[] | null> {
    for (;;) {
      if (this.#values.length > 0) {
        const values = this.#values;
        this.#values = [];
        return values;
      }
      if (this.#end === "whole") return null;
      if (this.#end !== "open") throw this.#end.error;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

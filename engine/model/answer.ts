/** An answer on its way: read delta by delta, or waited for. */

import { AnswerCollector, type AnswerResult, type OutputDelta } from "../core/index.js";

/**
 * The answer to one request, read once: by `for await`, by `result()` or by `text()`. It is generated whether or not
 * anybody reads; leaving a `for await` loop early ends the request at the next token.
 */
export class Answer implements AsyncIterable<OutputDelta> {
  /** The seed used: the one given, or the one drawn. */
  readonly seed: number;
  /** The tokens that the model reads. */
  readonly promptTokenIds: readonly number[];
  #deltas: AsyncGenerator<OutputDelta, void, void> | null;

  /** @internal */
  constructor(deltas: AsyncGenerator<OutputDelta, void, void>, seed: number, promptTokenIds: readonly number[]) {
    this.#deltas = deltas;
    this.seed = seed;
    this.promptTokenIds = promptTokenIds;
  }

  /**
   * Text as it comes, choices interleaved.
   * @throws TypeError if the answer has been read already
   */
  [Symbol.asyncIterator](): AsyncGenerator<OutputDelta, void, void> {
    const deltas = this.#deltas;
    if (deltas === null)
      throw new TypeError("The answer has been read already: read it once, by for await, result() or text().");
    this.#deltas = null;
    return deltas;
  }

  /**
   * Waits for the whole answer.
   * @param onDelta called with each delta as it comes
   * @throws EngineError if the request fails; the signal's reason if it was aborted
   */
  async result(onDelta: (delta: OutputDelta) => void = () => {}): Promise<AnswerResult> {
    const collector = new AnswerCollector();
    for await (const delta of this) {
      onDelta(delta);
      collector.add(delta);
    }
    return collector.result(this.seed);
  }

  /**
   * Waits for the text of the first choice.
   * @throws EngineError if the request fails; the signal's reason if it was aborted
   */
  async text(): Promise<string> {
    const { choices } = await this.result();
    return choices[0]!.content;
  }
}

/** Answer to a request in progress, read delta by delta or as a whole. */

import { AnswerCollector, type AnswerResult, type OutputDelta } from "../core/index.js";

/**
 * Answer to one request. It can be read once: by `for await`, `result()` or `text()`. Leaving a `for await` loop early
 * ends the request at the next step.
 *
 * Generation starts at once and does not wait for a reader, up to a bound: when 256 KiB of the answer wait unread, the
 * request pauses. It continues when half of them have been read. If that takes longer than a minute, the request ends,
 * and reading the rest throws an `EngineError` with the code `reader_stalled`.
 */
export class Answer implements AsyncIterable<OutputDelta> {
  /** Seed of the request, given or drawn. */
  readonly seed: number | bigint;
  /** Date that the chat template got, given or today's in UTC; null for raw text. */
  readonly date: string | null;
  /** Remarks on the schema of the answer: unknown keywords that look misspelled, and what is enforced in part. */
  readonly schemaNotes: readonly string[];
  /** Ids of the prompt tokens that the model reads. */
  readonly promptTokenIds: readonly number[];
  #deltas: AsyncGenerator<OutputDelta, void, void> | null;

  /** @internal */
  constructor(
    deltas: AsyncGenerator<OutputDelta, void, void>,
    { seed, date, schemaNotes, promptTokenIds }: Pick<Answer, "seed" | "date" | "schemaNotes" | "promptTokenIds">,
  ) {
    this.#deltas = deltas;
    this.seed = seed;
    this.date = date;
    this.schemaNotes = schemaNotes;
    this.promptTokenIds = promptTokenIds;
  }

  /**
   * Yields deltas as they are generated, choices interleaved.
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
   * @param onDelta called with each delta as it is generated
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
   * Waits for the whole answer and returns the text of its first choice.
   * @throws EngineError if the request fails; the signal's reason if it was aborted
   */
  async text(): Promise<string> {
    const { choices } = await this.result();
    return choices[0]!.content;
  }
}

/** Deltas put together: the whole answer to a request. */

import { assert } from "../errors.js";
import type { FinishReason, OutputDelta, Timings, TokenLogprob, Usage } from "./sequence.js";

/** One of the `n` answers to a request. */
export interface AnswerChoice {
  /** Text of the answer; of everything, markup included, unless the reasoning was asked for apart. */
  readonly content: string;
  /** Text of the reasoning, if asked for apart; null where there is none. */
  readonly reasoning: string | null;
  /** Every drawn token, end tokens and removed stop sequences included. */
  readonly tokenIds: readonly number[];
  /** One entry for each of `tokenIds` if asked for, else empty. */
  readonly logprobs: readonly TokenLogprob[];
  /** `stop`: an end token, a stop sequence or a finished structured answer; `length`: the limit of tokens. */
  readonly finishReason: FinishReason;
}

export interface AnswerResult {
  /** In order of their numbers. */
  readonly choices: readonly AnswerChoice[];
  readonly usage: Usage;
  readonly timings: Timings;
  /** The seed used: the one given, or the one drawn. */
  readonly seed: number;
}

interface CollectedChoice {
  content: string;
  reasoning: string | null;
  readonly tokenIds: number[];
  readonly logprobs: TokenLogprob[];
  finishReason: FinishReason | null;
}

export class AnswerCollector {
  readonly #choices: CollectedChoice[] = [];
  #usage: Usage | null = null;
  #timings: Timings | null = null;

  add({ choice: index, content, reasoning, tokenIds, logprobs, finishReason, usage, timings }: OutputDelta): void {
    const choice = (this.#choices[index] ??= {
      content: "",
      reasoning: null,
      tokenIds: [],
      logprobs: [],
      finishReason: null,
    });
    choice.content += content;
    if (reasoning !== null) choice.reasoning = (choice.reasoning ?? "") + reasoning;
    for (const tokenId of tokenIds) choice.tokenIds.push(tokenId);
    for (const logprob of logprobs) choice.logprobs.push(logprob);
    choice.finishReason ??= finishReason;
    this.#usage ??= usage;
    this.#timings ??= timings;
  }

  /** @param seed the seed used */
  result(seed: number): AnswerResult {
    assert(this.#usage !== null && this.#timings !== null, "an answer is whole before its last delta");
    const choices = this.#choices.map(({ finishReason, ...rest }, index) => {
      assert(finishReason !== null, `choice ${index} has no finish reason`);
      return { ...rest, finishReason };
    });
    return { choices, usage: this.#usage, timings: this.#timings, seed };
  }
}

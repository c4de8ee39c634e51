/** Collects the deltas of a request into the whole answer. */

import { assert } from "../errors.js";
import type { FinishReason, OutputDelta, Timings, TokenLogprob, Usage } from "./sequence.js";

/** A call of a tool in an answer. */
export interface ToolCall {
  /** `call_` followed by 24 characters. */
  readonly id: string;
  readonly name: string;
  /** The JSON text of an object; only the beginning of it if the token limit has cut the call. */
  readonly arguments: string;
}

/** One of the `n` answers to a request. */
export interface AnswerChoice {
  /** Text of the answer. Without `separateReasoning` this is all text, reasoning and markup included. */
  readonly content: string;
  /** Text of the reasoning, with `separateReasoning`; null if the output contains no reasoning. */
  readonly reasoning: string | null;
  readonly toolCalls: readonly ToolCall[];
  /** All drawn tokens, including end tokens and removed stop sequences. */
  readonly tokenIds: readonly number[];
  /** One entry for each of `tokenIds` if log-probabilities were requested, else empty. */
  readonly logprobs: readonly TokenLogprob[];
  /**
   * `tool_calls`: calls of tools, which were not asked for by name; `stop`: an end token, a stop sequence, or a complete
   * structured answer; `length`: the token limit.
   */
  readonly finishReason: FinishReason;
}

export interface AnswerResult {
  /** Choices ordered by their numbers. */
  readonly choices: readonly AnswerChoice[];
  readonly usage: Usage;
  readonly timings: Timings;
  /** Seed of the request, given or drawn. */
  readonly seed: number | bigint;
}

interface CollectedChoice {
  content: string;
  reasoning: string | null;
  readonly toolCalls: { id: string; name: string; arguments: string }[];
  readonly tokenIds: number[];
  readonly logprobs: TokenLogprob[];
  finishReason: FinishReason | null;
}

export class AnswerCollector {
  readonly #choices: CollectedChoice[] = [];
  #usage: Usage | null = null;
  #timings: Timings | null = null;

  add({
    choice: index,
    content,
    reasoning,
    toolCalls,
    tokenIds,
    logprobs,
    finishReason,
    usage,
    timings,
  }: OutputDelta): void {
    const choice = (this.#choices[index] ??= {
      content: "",
      reasoning: null,
      toolCalls: [],
      tokenIds: [],
      logprobs: [],
      finishReason: null,
    });
    choice.content += content;
    if (reasoning !== null) choice.reasoning = (choice.reasoning ?? "") + reasoning;
    for (const call of toolCalls) {
      const known = (choice.toolCalls[call.index] ??= { id: call.id ?? "", name: call.name ?? "", arguments: "" });
      known.arguments += call.arguments;
    }
    for (const tokenId of tokenIds) choice.tokenIds.push(tokenId);
    for (const logprob of logprobs) choice.logprobs.push(logprob);
    choice.finishReason ??= finishReason;
    this.#usage ??= usage;
    this.#timings ??= timings;
  }

  /**
   * Returns the whole answer.
   * @param seed seed of the request, given or drawn
   */
  result(seed: number | bigint): AnswerResult {
    assert(this.#usage !== null && this.#timings !== null, "an answer was requested before its last delta");
    const choices = this.#choices.map(({ finishReason, ...rest }, index) => {
      assert(finishReason !== null, `choice ${index} has no finish reason`);
      return { ...rest, finishReason };
    });
    return { choices, usage: this.#usage, timings: this.#timings, seed };
  }
}

/**
 * Estimates the bytes of deltas and answers. The unit is a byte of the answer's JSON; as objects in memory, answers
 * take about twice as much.
 */

import { EngineError } from "../errors.js";
import { LIMITS } from "../limits.js";
import type { GenerationConfig } from "../sampling/index.js";
import type { OutputDelta, TokenAlternative } from "./sequence.js";

/** Returns the estimated size of a delta. */
export function deltaByteLength({ content, reasoning, toolCalls, tokenIds, logprobs }: OutputDelta): number {
  let byteLength = DELTA_BYTES + content.length + (reasoning?.length ?? 0) + tokenIds.length * TOKEN_ID_BYTES;
  for (const call of toolCalls) byteLength += CALL_BYTES + call.arguments.length;
  for (const entry of logprobs) {
    byteLength += alternativeByteLength(entry);
    for (const alternative of entry.topLogprobs) byteLength += alternativeByteLength(alternative);
  }
  return byteLength;
}

function alternativeByteLength({ token, bytes }: TokenAlternative): number {
  return ALTERNATIVE_BYTES + token.length + bytes.length * BYTES_PER_TOKEN_BYTE;
}

/** The parameters that decide how large an answer can become. */
export type AnswerExtent = Pick<GenerationConfig, "n" | "maxTokens" | "logprobs" | "topLogprobs">;

/**
 * Returns the estimated size of the largest answer to a request, before it starts.
 * @param contextLength tokens of the model's context: the limit of a choice without `maxTokens`
 */
export function answerByteLength({ n, maxTokens, logprobs, topLogprobs }: AnswerExtent, contextLength: number): number {
  const numTokens = n * Math.min(maxTokens ?? contextLength, contextLength);
  const numAlternatives = logprobs ? 1 + topLogprobs : 0;
  const alternativeBytes = ALTERNATIVE_BYTES + TYPICAL_TOKEN_BYTES * (1 + BYTES_PER_TOKEN_BYTE);
  return numTokens * (TYPICAL_TOKEN_BYTES + TOKEN_ID_BYTES + numAlternatives * alternativeBytes);
}

/**
 * Refuses a request whose answer, collected as a whole, could exceed the memory set aside for it.
 * @returns the estimated size of the largest answer
 * @throws EngineError `out_of_range` that names the factors
 */
export function checkedAnswerSize(extent: AnswerExtent, contextLength: number): number {
  const byteLength = answerByteLength(extent, contextLength);
  if (byteLength <= LIMITS.maxWholeAnswerBytes) return byteLength;
  const { n, maxTokens, logprobs, topLogprobs } = extent;
  const numTokens = Math.min(maxTokens ?? contextLength, contextLength);
  const mebibytes = (bytes: number): number => Math.ceil(bytes / 2 ** 20);
  throw new EngineError(
    "out_of_range",
    (name) => {
      const factors = [
        `${name("n")} ${n}`,
        `${name("maxTokens")} ${numTokens}${maxTokens === numTokens ? "" : " (what the context holds)"}`,
        ...(logprobs ? [`${name("topLogprobs")} ${topLogprobs}`] : []),
      ];
      const limit = `an answer that is not streamed may have ${mebibytes(LIMITS.maxWholeAnswerBytes)} MiB`;
      return `With ${factors.join(", ")} the answer may have ${mebibytes(byteLength)} MiB; ${limit}. Lower one of them, or stream the answer.`;
    },
    n > 1 ? "n" : "maxTokens",
  );
}

/** Names and punctuation around a delta. */
const DELTA_BYTES = 200;
/** Names and punctuation around a piece of a call. */
const CALL_BYTES = 150;
const TOKEN_ID_BYTES = 8;
/** Names, punctuation and number of a log-probability. */
const ALTERNATIVE_BYTES = 55;
/** A byte of a token in a list of numbers. */
const BYTES_PER_TOKEN_BYTE = 4;
/** Tokens of common vocabularies have 3 to 5 bytes on average. */
const TYPICAL_TOKEN_BYTES = 5;

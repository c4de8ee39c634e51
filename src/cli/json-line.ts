/** Formats an answer as the JSON line printed by `--json`. */

import type { AnswerChoice, AnswerResult } from "../../engine/index.js";
import { jsonText } from "../../engine/json.js";
import { logprobEntry, wireCall, wireUsage } from "../openai/response.js";

/**
 * Formats an answer: one choice has its fields at the top level; several are listed under `choices`.
 *
 * @param date date that the chat template got; null for raw text
 */
export function jsonLine(
  { choices, usage, timings, seed }: AnswerResult,
  date: string | null,
  textOf: (choice: AnswerChoice) => Record<string, string | null>,
): string {
  const fields = choices.map((choice) => ({
    ...textOf(choice),
    ...(choice.toolCalls.length === 0 ? {} : { tool_calls: choice.toolCalls.map(wireCall) }),
    token_ids: choice.tokenIds,
    ...(choice.logprobs.length === 0 ? {} : { logprobs: choice.logprobs.map(logprobEntry) }),
    finish_reason: choice.finishReason,
  }));
  return jsonText({
    ...(fields.length === 1 ? fields[0] : { choices: fields }),
    seed,
    ...(date === null ? {} : { date }),
    usage: wireUsage(usage),
    timings: { prompt_ms: timings.promptMs, completion_ms: timings.completionMs },
  });
}

/** Collects a stream of deltas into the one JSON line of `--json`. */

import type { OutputDelta, OutputStream, TokenLogprob, Usage } from "../../engine/index.js";

interface CollectedChoice {
  content: string;
  reasoning: string | null;
  tokenIds: number[];
  logprobs: TokenLogprob[];
  finishReason: string | null;
}

export interface Collected {
  readonly choices: readonly CollectedChoice[];
  readonly last: OutputDelta;
}

/** Reads a stream to its end, showing each delta as it comes. */
export async function collect(
  stream: OutputStream,
  onDelta: (delta: OutputDelta) => void = () => {},
): Promise<Collected> {
  const choices: CollectedChoice[] = [];
  let last: OutputDelta | null = null;
  for await (const delta of stream) {
    onDelta(delta);
    const choice = (choices[delta.choice] ??= {
      content: "",
      reasoning: null,
      tokenIds: [],
      logprobs: [],
      finishReason: null,
    });
    choice.content += delta.content;
    if (delta.reasoning !== null) choice.reasoning = (choice.reasoning ?? "") + delta.reasoning;
    choice.tokenIds.push(...delta.tokenIds);
    choice.logprobs.push(...delta.logprobs);
    choice.finishReason = delta.finishReason;
    last = delta;
  }
  if (last === null) throw new Error("The stream ended without a delta");
  return { choices, last };
}

/** One choice: its fields at the top level; several: a list of them under `choices`. */
export function jsonLine(
  { choices, last }: Collected,
  seed: number,
  textOf: (choice: CollectedChoice) => Record<string, string | null>,
): string {
  const fields = choices.map((choice) => ({
    ...textOf(choice),
    token_ids: choice.tokenIds,
    ...(choice.logprobs.length === 0 ? {} : { logprobs: choice.logprobs.map(wireLogprob) }),
    finish_reason: choice.finishReason,
  }));
  return JSON.stringify({
    ...(fields.length === 1 ? fields[0] : { choices: fields }),
    seed,
    usage: wireUsage(last.usage),
    timings:
      last.timings === null ? null : { prompt_ms: last.timings.promptMs, completion_ms: last.timings.completionMs },
  });
}

function wireLogprob({ token, logprob, bytes, topLogprobs }: TokenLogprob): object {
  return {
    token,
    logprob,
    bytes,
    top_logprobs: topLogprobs.map((top) => ({ token: top.token, logprob: top.logprob, bytes: top.bytes })),
  };
}

function wireUsage(usage: Usage | null): object | null {
  if (usage === null) return null;
  return {
    prompt_tokens: usage.promptTokens,
    completion_tokens: usage.completionTokens,
    total_tokens: usage.totalTokens,
    completion_tokens_details: { reasoning_tokens: usage.reasoningTokens },
    prompt_tokens_details: { cached_tokens: usage.cachedTokens },
  };
}

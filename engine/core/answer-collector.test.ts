import { expect, test } from "vitest";

import { AnswerCollector } from "./answer-collector.js";
import type { OutputDelta, Timings, TokenLogprob, Usage } from "./sequence.js";

const USAGE: Usage = { promptTokens: 1, completionTokens: 4, totalTokens: 5, reasoningTokens: 2, cachedTokens: 0 };
const TIMINGS: Timings = { promptMs: 1, completionMs: 2 };

const delta = (changes: Partial<OutputDelta>): OutputDelta => ({
  choice: 0,
  content: "",
  reasoning: null,
  toolCalls: [],
  tokenIds: [],
  logprobs: [],
  finishReason: null,
  usage: null,
  timings: null,
  ...changes,
});

const logprob = (tokenId: number): TokenLogprob => ({ tokenId, token: "", logprob: -1, bytes: [], topLogprobs: [] });

function collect(...deltas: Partial<OutputDelta>[]): AnswerCollector {
  const collector = new AnswerCollector();
  for (const one of deltas) collector.add(delta(one));
  return collector;
}

test("joins the deltas of each choice, in whatever order the choices begin and end", () => {
  const collector = collect(
    { choice: 1, content: "a", tokenIds: [1], logprobs: [logprob(1)] },
    { choice: 0, reasoning: "", tokenIds: [2] },
    { choice: 1, content: "b", tokenIds: [3, 4], logprobs: [logprob(3), logprob(4)], finishReason: "stop" },
    { choice: 0, reasoning: "c", content: "d", toolCalls: [{ index: 0, id: "x", name: "f", arguments: "" }] },
    { choice: 0, toolCalls: [{ index: 0, id: null, name: null, arguments: '{"a":' }] },
    { choice: 0, toolCalls: [{ index: 0, id: null, name: null, arguments: "1}" }] },
    { choice: 0, toolCalls: [{ index: 1, id: "y", name: "g", arguments: "{}" }] },
    { choice: 0, reasoning: "e", content: "f", finishReason: "length", usage: USAGE, timings: TIMINGS },
  );
  expect(collector.result(17)).toEqual({
    choices: [
      {
        content: "df",
        reasoning: "ce",
        toolCalls: [
          { id: "x", name: "f", arguments: '{"a":1}' },
          { id: "y", name: "g", arguments: "{}" },
        ],
        tokenIds: [2],
        logprobs: [],
        finishReason: "length",
      },
      {
        content: "ab",
        reasoning: null,
        toolCalls: [],
        tokenIds: [1, 3, 4],
        logprobs: [logprob(1), logprob(3), logprob(4)],
        finishReason: "stop",
      },
    ],
    usage: USAGE,
    timings: TIMINGS,
    seed: 17,
  });
});

test("reasoning without text is empty, not null", () => {
  const collector = collect({ reasoning: "" }, { finishReason: "stop", usage: USAGE, timings: TIMINGS });
  expect(collector.result(0).choices).toMatchObject([{ reasoning: "" }]);
});

test("refuses a result before the last delta", () => {
  expect(() => collect({ finishReason: "stop" }).result(0)).toThrow(/before its last delta/);
  expect(() => collect({ finishReason: "stop", usage: USAGE }).result(0)).toThrow(/before its last delta/);
  expect(() => collect({ finishReason: "stop", timings: TIMINGS }).result(0)).toThrow(/before its last delta/);
  expect(() => collect({ content: "a", usage: USAGE, timings: TIMINGS }).result(0)).toThrow(
    /choice 0 has no finish reason/,
  );
});

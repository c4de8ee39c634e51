import { setImmediate as nextTurn } from "node:timers/promises";

import { expect, test } from "vitest";

import { Call } from "./call.js";

const NUM_DELTAS = 1000;

test("delivers accumulated deltas in small batches, in order, and yields to the event loop between them", async () => {
  let numRead = 0;
  const call = new Call({ onRead: (numDeltas) => (numRead += numDeltas), onEnd: () => {} });
  for (let token = 0; token < NUM_DELTAS; token++) {
    const usage =
      token < NUM_DELTAS - 1
        ? null
        : {
            promptTokens: 1,
            completionTokens: NUM_DELTAS,
            totalTokens: NUM_DELTAS + 1,
            reasoningTokens: 0,
            cachedTokens: 0,
          };
    call.receive({
      type: "delta",
      call: 0,
      delta: {
        choice: 0,
        content: "",
        reasoning: null,
        toolCalls: [],
        tokenIds: [token],
        logprobs: [],
        finishReason: null,
        usage,
        timings: null,
      },
    });
  }
  let isOver = false;
  let numTurns = 0;
  const others = (async () => {
    for (; !isOver; numTurns++) await nextTurn();
  })();
  const sizes: number[] = [];
  const tokens: number[] = [];
  for await (const deltas of call.deltas) {
    sizes.push(deltas.length);
    // A batch counts as read when the next one is requested.
    expect(numRead).toBe(tokens.length);
    tokens.push(...deltas.flatMap(({ tokenIds }) => tokenIds));
  }
  isOver = true;
  expect(numRead).toBe(NUM_DELTAS);
  await others;
  expect(tokens).toEqual(Array.from({ length: NUM_DELTAS }, (_, token) => token));
  expect(Math.max(...sizes)).toBeLessThanOrEqual(64);
  expect(numTurns).toBeGreaterThanOrEqual(sizes.length - 1);
});

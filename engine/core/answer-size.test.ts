import { describe, expect, test } from "vitest";

import { LIMITS } from "../limits.js";
import { answerByteLength, checkedAnswerSize, deltaByteLength, type AnswerExtent } from "./answer-size.js";
import type { OutputDelta } from "./sequence.js";

const extent = (changes: Partial<AnswerExtent> = {}): AnswerExtent => ({
  n: 1,
  maxTokens: null,
  logprobs: false,
  topLogprobs: 0,
  ...changes,
});

/** Returns a delta of tokens of five letters with alternatives. */
function delta(numTokens: number, topLogprobs: number | null): OutputDelta {
  const alternative = (tokenId: number) => ({
    tokenId,
    token: " word",
    logprob: -1.2345678806304932,
    bytes: [32, 119, 111, 114, 100],
  });
  const tokenIds = Array.from({ length: numTokens }, (_, index) => index);
  const tops = Array.from({ length: topLogprobs ?? 0 }, (_, index) => alternative(index));
  return {
    choice: 0,
    content: " word".repeat(numTokens),
    reasoning: null,
    toolCalls: [],
    tokenIds,
    logprobs: topLogprobs === null ? [] : tokenIds.map((tokenId) => ({ ...alternative(tokenId), topLogprobs: tops })),
    finishReason: null,
    usage: null,
    timings: null,
  };
}

/** The JSON of a delta as the server sends it: no token ids beside log-probabilities. */
function jsonByteLength({ logprobs, ...rest }: OutputDelta): number {
  const alternative = ({ token, logprob, bytes }: { token: string; logprob: number; bytes: readonly number[] }) => ({
    token,
    logprob,
    bytes,
  });
  const entries = logprobs.map((entry) => ({
    ...alternative(entry),
    top_logprobs: entry.topLogprobs.map(alternative),
  }));
  return JSON.stringify({ ...rest, logprobs: entries }).length;
}

test.each<[number, number | null]>([
  [1, null],
  [50, null],
  [1, 0],
  [1, 20],
  [30, 20],
])("the estimate of a delta of %i tokens with %s alternatives is close to its JSON", (numTokens, topLogprobs) => {
  const ratio = deltaByteLength(delta(numTokens, topLogprobs)) / jsonByteLength(delta(numTokens, topLogprobs));
  expect(ratio).toBeGreaterThan(0.7);
  expect(ratio).toBeLessThan(1.8);
});

test("reasoning and long tokens count", () => {
  const base = delta(1, 0);
  const [logprob] = base.logprobs;
  expect(deltaByteLength({ ...base, reasoning: "x".repeat(100) })).toBe(deltaByteLength(base) + 100);
  const long = { ...logprob!, token: "x".repeat(105), bytes: Array<number>(105).fill(1) };
  expect(deltaByteLength({ ...base, logprobs: [long] })).toBe(deltaByteLength(base) + 500);
});

describe("the size of an answer", () => {
  test("is that of its deltas together, without what surrounds each", () => {
    for (const topLogprobs of [0, 5, 20]) {
      const whole = answerByteLength(extent({ n: 3, maxTokens: 100, logprobs: true, topLogprobs }), 4096);
      const deltas = 3 * deltaByteLength(delta(100, topLogprobs));
      expect(Math.abs(whole - deltas)).toBeLessThanOrEqual(600);
    }
  });

  test("grows with n, max_tokens and alternatives, and is limited by the context", () => {
    const size = (changes: Partial<AnswerExtent>): number => answerByteLength(extent(changes), 1000);
    expect(size({})).toBe(size({ maxTokens: 1000 }));
    expect(size({ maxTokens: 5000 })).toBe(size({ maxTokens: 1000 }));
    expect(size({ maxTokens: 500 })).toBe(size({}) / 2);
    expect(size({ n: 4 })).toBe(4 * size({}));
    // Without log-probabilities, no alternatives are reported.
    expect(size({ topLogprobs: 20 })).toBe(size({}));
    expect(size({ logprobs: true })).toBe(1000 * 93);
    expect(size({ logprobs: true, topLogprobs: 20 })).toBe(1000 * (13 + 21 * 80));
  });

  test.each<[string, Partial<AnswerExtent>, number]>([
    ["defaults, and the longest context", {}, 1 << 20],
    ["all alternatives, 32,768 tokens", { logprobs: true, topLogprobs: 20 }, 32_768],
    ["all choices", { n: 128 }, 32_768],
    ["all choices with all alternatives", { n: 128, maxTokens: 300, logprobs: true, topLogprobs: 20 }, 32_768],
  ])("allows %s", (_, changes, contextLength) => {
    expect(() => checkedAnswerSize(extent(changes), contextLength)).not.toThrow();
  });

  test.each<[Partial<AnswerExtent>, string, string]>([
    [
      { n: 128, logprobs: true, topLogprobs: 20 },
      "n",
      "With n 128, maxTokens 32768 (what the context holds), topLogprobs 20 the answer may have 6772 MiB; an answer that is not streamed may have 64 MiB. Lower one of them, or stream the answer.",
    ],
    [
      { n: 128, maxTokens: 2000, logprobs: true, topLogprobs: 20 },
      "n",
      "With n 128, maxTokens 2000, topLogprobs 20 the answer may have 414 MiB; an answer that is not streamed may have 64 MiB. Lower one of them, or stream the answer.",
    ],
  ])("refuses %o with the numbers", (changes, param, message) => {
    expect(() => checkedAnswerSize(extent(changes), 32_768)).toThrow(
      expect.objectContaining({ code: "out_of_range", param, message }),
    );
  });

  test("is refused with the names of the caller; one choice alone can be too long", () => {
    try {
      checkedAnswerSize(extent({ maxTokens: 1 << 20, logprobs: true, topLogprobs: 3 }), 1 << 21);
    } catch (error) {
      const { message, param } = (error as import("../errors.js").EngineError).renamed((name) => `<${name}>`);
      expect(param).toBe("<maxTokens>");
      expect(message).toMatch(/^With <n> 1, <maxTokens> 1048576, <topLogprobs> 3 the answer may have 333 MiB; /);
      return;
    }
    throw new Error("The answer was allowed");
  });

  test("is allowed up to the limit exactly", () => {
    const perToken = answerByteLength(extent({ maxTokens: 1 }), 10);
    const numTokens = Math.floor(LIMITS.maxWholeAnswerBytes / perToken);
    expect(() => checkedAnswerSize(extent({ maxTokens: numTokens }), 1 << 30)).not.toThrow();
    expect(() => checkedAnswerSize(extent({ maxTokens: numTokens + 1 }), 1 << 30)).toThrow(
      /^With n 1, maxTokens \d+ the answer may have 65 MiB; /,
    );
  });
});

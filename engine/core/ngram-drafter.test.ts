import { describe, expect, test } from "vitest";

import { LIMITS } from "../limits.js";
import { NgramDrafter } from "./ngram-drafter.js";

/** Returns a drafter that has accepted `tokens` after `prompt`. */
function after(prompt: readonly number[], tokens: readonly number[]): NgramDrafter {
  const drafter = new NgramDrafter(prompt);
  for (const tokenId of tokens) drafter.accept(tokenId);
  return drafter;
}

const drafted = (drafter: NgramDrafter, maxTokens = 7): readonly number[] => drafter.draft(maxTokens).tokenIds;

describe("a drafter", () => {
  test("drafts what followed the last three tokens", () => {
    const prompt = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
    expect(drafted(after(prompt, [3, 4]))).toEqual([]);
    expect(drafted(after(prompt, [3, 4, 5]))).toEqual([6, 7, 8, 9, 10, 3, 4]);
    expect(drafted(after(prompt, [3, 4, 5]), 2)).toEqual([6, 7]);
    expect(drafted(after(prompt, [3, 4, 5]), 0)).toEqual([]);
    expect(drafted(after(prompt, [3, 4, 5]), -1)).toEqual([]);
    expect(drafted(after(prompt, [2, 4, 5]))).toEqual([]);
  });

  test("finds tokens across the end of the prompt, and in the answer", () => {
    expect(drafted(after([1, 2], [3, 4, 9, 9, 1, 2, 3]), 2)).toEqual([4, 9]);
    expect(drafted(after([], [7, 8, 9, 5, 7, 8, 9]), 1)).toEqual([5]);
  });

  test("prefers the latest occurrence", () => {
    expect(drafted(after([1, 2, 3, 4, 0, 1, 2, 3, 5], [1, 2, 3]), 1)).toEqual([5]);
  });

  test("follows the earlier text again after another token was drawn", () => {
    const prompt = [1, 2, 3, 10, 11, 5, 6, 7, 8, ...Array.from({ length: 20 }, (_, index) => 100 + index), 90];
    const drafter = after(prompt, [1, 2, 3, 20]);
    expect(drafted(drafter)).toEqual([]);
    drafter.accept(21);
    expect(drafted(drafter)).toEqual([]);
    drafter.accept(5);
    expect(drafted(drafter, 3)).toEqual([6, 7, 8]);
    for (const tokenId of [6, 22, 8]) drafter.accept(tokenId);
    expect(drafted(drafter, 2)).toEqual([100, 101]);
    // The parted token itself may follow later, an equal one far behind does not count.
    const other = after(prompt, [1, 2, 3, 20, 10]);
    expect(drafted(other, 2)).toEqual([11, 5]);
    expect(drafted(after(prompt, [1, 2, 3, 20, 90]))).toEqual([]);
    const others = Array.from({ length: 20 }, (_, index) => 200 + index);
    expect(drafted(after(prompt, [1, 2, 3, 20, ...others.slice(0, 14), 5]), 1)).toEqual([6]);
    expect(drafted(after(prompt, [1, 2, 3, 20, ...others.slice(0, 15), 5]))).toEqual([]);
    expect(drafted(after(prompt, [1, 2, 3, 20, ...others, 5]))).toEqual([]);
  });

  test("follows an occurrence while it agrees, and looks for another when it does not", () => {
    const prompt = [1, 2, 3, 4, 5, 6, 0, 3, 4, 9, 8, 7];
    const drafter = after(prompt, [1, 2, 3]);
    expect(drafted(drafter, 1)).toEqual([4]);
    drafter.accept(4);
    expect(drafted(drafter, 2)).toEqual([5, 6]);
    drafter.accept(9);
    expect(drafted(drafter, 2)).toEqual([8, 7]);
    drafter.accept(77);
    expect(drafted(drafter)).toEqual([]);
  });

  test("drafts a repetition beyond the end of the sequence", () => {
    expect(drafted(after([], [5, 5, 5, 5]))).toEqual([5, 5, 5, 5, 5, 5, 5]);
    expect(drafted(after([], [1, 2, 3, 1, 2, 3]), 7)).toEqual([1, 2, 3, 1, 2, 3, 1]);
  });

  test("searches the last tokens only, of prompts and answers of any length", () => {
    const { maxDraftHistory } = LIMITS;
    const filler = Array.from({ length: maxDraftHistory - 6 }, (_, index) => 1000 + index);
    expect(drafted(after([1, 2, 3, 4, ...filler], [1, 2]), 1)).toEqual([]);
    expect(drafted(after([1, 2, 3, 4, ...filler.slice(4)], [1, 2, 3]), 1)).toEqual([4]);
    expect(drafted(after([1, 2, 3, 4, ...filler], [7, 7, 1, 2, 3]), 1)).toEqual([]);
  });

  test("looks at 64 earlier occurrences of the last token", () => {
    const others = (count: number): number[] => Array.from({ length: count }, (_, index) => [100 + index, 3]).flat();
    expect(drafted(after([1, 2, 3, 4, ...others(63)], [1, 2, 3]), 1)).toEqual([4]);
    expect(drafted(after([1, 2, 3, 4, ...others(64)], [1, 2, 3]), 1)).toEqual([]);
  });
});

describe("a sequence that is longer than the memory of the drafter", () => {
  const MEMORY = 2 * LIMITS.maxDraftHistory;

  /** Returns a drafter, the text of `period` tokens that it has accepted again and again, and the next place in it. */
  function repeated(period: number, length: number): { drafter: NgramDrafter; at: (index: number) => number } {
    const at = (index: number): number => 1000 + (index % period);
    const drafter = new NgramDrafter([]);
    for (let index = 0; index < length; index++) drafter.accept(at(index));
    return { drafter, at };
  }

  test("is followed while its beginning is dropped", () => {
    const period = LIMITS.maxDraftHistory - 6;
    const { drafter, at } = repeated(period, period + 3);
    const wrong: number[] = [];
    for (let index = period + 3; index < 3 * MEMORY; index++) {
      if (drafted(drafter, 2).join() !== `${at(index)},${at(index + 1)}`) wrong.push(index);
      drafter.accept(at(index));
    }
    expect(wrong).toEqual([]);
  });

  test("is met again after its beginning was dropped", () => {
    const { drafter, at } = repeated(16_000, MEMORY - 2);
    drafter.accept(7);
    drafter.accept(8);
    drafter.accept(at(MEMORY - 1));
    expect(drafted(drafter, 2)).toEqual([at(MEMORY), at(MEMORY + 1)]);
  });

  test("is no longer followed at a place that was dropped", () => {
    const period = LIMITS.maxDraftHistory - 4;
    const { drafter, at } = repeated(period, 20_000);
    for (let tokenId = 1; tokenId <= 10; tokenId++) drafter.accept(tokenId);
    const numMore = MEMORY - 20_010;
    for (let index = 20_001; index < 20_001 + numMore; index++) drafter.accept(at(index));
    expect(drafted(drafter, 1)).toEqual([at(20_001 + numMore)]);
    drafter.accept(at(20_001 + numMore));
    expect(drafted(drafter)).toEqual([]);
  });
});

describe("the probability of a draft", () => {
  const cycle = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13];

  /** Rates that are assumed for 0, 1, 2 to 3, 4 to 7, 8 to 15 and more agreeing tokens. */
  const FOUND = [0.35, 0.5, 0.65, 0.65, 0.8, 0.8, 0.8, 0.8, ...Array.from({ length: 8 }, () => 0.9), 0.95, 0.95];
  const products = (rates: readonly number[]): number[] => {
    let product = 1;
    return rates.map((rate) => (product *= rate));
  };

  /** Returns rounds in which one token follows 1, 2 and 3, and then tokens that occur once. */
  function rounds(following: readonly number[]): number[] {
    return following.flatMap((tokenId, round) => [
      1,
      2,
      3,
      tokenId,
      ...Array.from({ length: 17 }, (_, index) => 10_000 + 20 * round + index),
    ]);
  }

  test("is the product of the rates of its tokens", () => {
    const { probabilities } = after(cycle, [1, 2, 3]).draft(18);
    expect(probabilities).toHaveLength(18);
    for (const [index, expected] of products(FOUND).entries()) expect(probabilities[index]).toBeCloseTo(expected, 12);
    expect(after(cycle, [1, 2, 3, 4, 5]).draft(2).probabilities[0]).toBeCloseTo(0.65, 12);
  });

  test("is larger where earlier text was met again", () => {
    const { probabilities } = after([1, 2, 3, 10, 4, 5, 6, 7], [1, 2, 3, 20, 4]).draft(2);
    expect(probabilities[0]).toBeCloseTo(0.5, 12);
    expect(probabilities[1]).toBeCloseTo(0.3, 12);
  });

  test("does not depend on tokens for which nothing was drafted", () => {
    const others = Array.from({ length: 50 }, (_, index) => 500 + index);
    expect(after(cycle, [...others, 1, 2, 3]).draft(1).probabilities[0]).toBeCloseTo(0.35, 12);
  });

  test("counts the last tokens more than earlier ones", () => {
    const rate = (following: readonly number[]): number =>
      after([1, 2, 3, 99], [...rounds(following), 1, 2, 3]).draft(1).probabilities[0]!;
    const different = Array.from({ length: 60 }, (_, index) => 100 + index);
    expect(rate(different.slice(0, 12))).toBeCloseTo((0.35 * 4) / 16, 12);
    // The counts were halved at a weight of 64.
    expect(rate(different)).toBeCloseTo((0.35 * 4) / 64, 12);
    const equal = Array.from({ length: 31 }, () => different.at(-1)!);
    expect(rate([...different, ...equal])).toBeCloseTo((0.35 * 2 + 31) / 63, 12);
    expect(rate([...different, ...equal, equal[0]!, 98])).toBeCloseTo((0.35 + 16) / 33, 12);
  });

  test("grows with the tokens that have agreed, and with all agreement so far", () => {
    const first = (tokens: readonly number[]): number => after(cycle, tokens).draft(1).probabilities[0]!;
    expect(first(cycle.slice(0, 4))).toBeGreaterThan(first(cycle.slice(0, 3)));
    expect(first(cycle.slice(0, 12))).toBeGreaterThan(first(cycle.slice(0, 6)));
    const often = Array.from({ length: 50 }, () => [...cycle.slice(0, 4), 77]).flat();
    expect(first([...often, ...cycle.slice(0, 3)])).toBeGreaterThan(first(cycle.slice(0, 3)));
  });

  test("falls when what is followed does not come, also after much that came", () => {
    const agreeing = Array.from({ length: 40 }, () => cycle).flat();
    const drafter = after(cycle, agreeing);
    const before = drafter.draft(1).probabilities[0]!;
    expect(before).toBeGreaterThan(0.95);
    for (let round = 0; round < 30; round++) for (const tokenId of [1, 2, 3, 500 + round]) drafter.accept(tokenId);
    for (const tokenId of [1, 2, 3]) drafter.accept(tokenId);
    expect(drafter.draft(1).probabilities[0]!).toBeLessThan(0.3);
  });
});

import { describe, expect, test } from "vitest";

import type { Draft } from "./ngram-drafter.js";
import { Speculation } from "./speculation.js";

const NONE: Draft = { tokenIds: [], probabilities: [] };

/** Returns a draft of tokens that are drawn with these probabilities, each if the one before is. */
function draft(...rates: readonly number[]): Draft {
  const probabilities = rates.map((_, index) => rates.slice(0, index + 1).reduce((a, b) => a * b, 1));
  return { tokenIds: rates.map((_, index) => index), probabilities };
}

const SURE = draft(1, 1, 1, 1, 1, 1, 1);

/** Returns a speculation that knows the time of passes with so many rows. */
function measured(times: Readonly<Record<number, number>>): Speculation {
  const speculation = new Speculation();
  for (const [numRows, ms] of Object.entries(times)) speculation.record(Number(numRows), ms);
  return speculation;
}

describe("the drafted tokens of a pass", () => {
  test("are none before a pass without them was measured", () => {
    expect(new Speculation().choose([SURE], 8)).toEqual([0]);
    expect(measured({ 1: 10 }).choose([SURE, SURE], 8)).toEqual([0, 0]);
  });

  test("are those with which most tokens are expected in the time", () => {
    const slow = { 1: 10, 2: 15, 4: 26, 8: 45 };
    expect(measured(slow).choose([SURE], 8)).toEqual([7]);
    expect(measured(slow).choose([draft(0.9, 0.9, 0.1, 0.1)], 8)).toEqual([2]);
    expect(measured(slow).choose([draft(0.4, 0.9)], 8)).toEqual([0]);
    expect(measured({ ...slow, 2: 11 }).choose([draft(0.4, 0.1)], 8)).toEqual([1]);
    // Two more rows would not pay, three do.
    expect(measured({ 1: 10, 2: 20, 3: 30, 4: 30 }).choose([draft(1, 1, 1)], 8)).toEqual([3]);
    expect(measured({ 1: 10, 2: 30 }).choose([SURE], 8)).toEqual([0]);
  });

  test("of rows that were not measured are judged by fewer rows, else by what is usual", () => {
    expect(measured({ 1: 10 }).choose([SURE], 8)).toEqual([7]);
    expect(measured({ 1: 10 }).choose([draft(0.5)], 8)).toEqual([0]);
    expect(measured({ 1: 10, 2: 24, 4: 50 }).choose([SURE], 8)).toEqual([0]);
  });

  test("go to the likeliest drafts, within the rows of a pass", () => {
    const cheap = measured({ 1: 10, 2: 10, 3: 10, 4: 10, 5: 10, 6: 10, 7: 10, 8: 10 });
    expect(cheap.choose([draft(0.5, 0.5), draft(0.9, 0.9, 0.9)], 5)).toEqual([0, 3]);
    expect(cheap.choose([draft(0.8, 0.8), draft(0.9, 0.9, 0.9)], 6)).toEqual([1, 3]);
    expect(cheap.choose([NONE, SURE, NONE], 4)).toEqual([0, 1, 0]);
    expect(cheap.choose([NONE, NONE], 8)).toEqual([0, 0]);
    expect(cheap.choose([SURE, SURE], 2)).toEqual([0, 0]);
  });
});

describe("the time of passes", () => {
  test("follows what is measured, and hardly a single delay", () => {
    const speculation = measured({ 1: 10, 2: 12 });
    speculation.record(2, 1000);
    expect(speculation.choose([draft(0.9)], 2)).toEqual([1]);
    for (let pass = 0; pass < 20; pass++) speculation.record(2, 30);
    expect(speculation.choose([draft(0.9)], 2)).toEqual([0]);
    for (let pass = 0; pass < 20; pass++) speculation.record(2, 11);
    expect(speculation.choose([draft(0.9)], 2)).toEqual([1]);
  });

  test("of a first pass is at most twice what is expected, if a pass with fewer rows was measured", () => {
    const speculation = measured({ 1: 10 });
    speculation.record(4, 1000);
    // 26.5 ms were expected, so 53 count; the next ones move it by a quarter each.
    for (let pass = 0; pass < 12; pass++) speculation.record(4, 20);
    expect(speculation.choose([draft(1, 1, 1)], 4)).toEqual([3]);
  });

  /** Lets a sequence with a sure draft run, with the given times, and returns the lengths of its drafts. */
  function run(speculation: Speculation, numPasses: number, msOf: (numRows: number) => number): number[] {
    return Array.from({ length: numPasses }, () => {
      const [length] = speculation.choose([SURE], 8);
      speculation.record(1 + length!, msOf(1 + length!));
      return length!;
    });
  }

  test("is measured again without drafts after many passes with them", () => {
    const lengths = run(new Speculation(), 140, (numRows) => 10 + numRows);
    expect(lengths.flatMap((length, index) => (length === 0 ? [index] : []))).toEqual([0, 65, 130]);
  });

  test("is forgotten, so drafts that were slow at first run later", () => {
    const speculation = new Speculation();
    const slow = run(speculation, 40, (numRows) => (numRows === 1 ? 10 : 100));
    expect(slow.slice(-20)).toEqual(new Array(20).fill(0));
    const fast = run(speculation, 400, (numRows) => 10 + numRows);
    expect(Math.max(...fast.slice(-20))).toBe(7);
  });
});

/** Reference values were computed with 40 digits and rounded to 14. */

import { expect, test } from "vitest";

import { binomialTail, chiSquareTail } from "./statistics.js";

const relativeError = (value: number, expected: number): number => Math.abs(value - expected) / expected;

test.each([
  [8, 10, 0.5, 0.0546875],
  [1, 1000, 0.001, 0.63230457522904],
  [300, 1000, 0.25, 0.00019359032194908],
  [520, 1000, 0.5, 0.10872414660207],
  [30, 1000, 0.25, 1],
  [20, 20, 0.1, 1e-20],
  [6000, 10000, 0.55, 3.2974710354587e-24],
])("P(X >= %i) of %i trials at %d", (successes, trials, p, expected) => {
  expect(relativeError(binomialTail(successes, trials, p), expected)).toBeLessThan(1e-9);
});

test("the binomial tail handles its limits and refuses invalid parameters", () => {
  expect([binomialTail(0, 5, 0), binomialTail(6, 5, 1), binomialTail(1, 5, 0), binomialTail(5, 5, 1)]).toEqual([
    1, 0, 0, 1,
  ]);
  for (const [successes, trials, p] of [
    [0.5, 5, 0.5],
    [1, -1, 0.5],
    [1, 5, 1.5],
    [1, 5, NaN],
  ] as const) {
    expect(() => binomialTail(successes, trials, p)).toThrow(RangeError);
  }
});

test.each([
  [3.841458820694124, 1, 0.05],
  [0.001, 1, 0.97477287936996],
  [50, 1, 1.537459794428e-12],
  [1, 2, 0.60653065971263],
  [100, 2, 1.9287498479639e-22],
  [18.3, 10, 0.050109061411462],
  [2.5, 10, 0.9908757207816],
  [120, 37, 1.0717962899825e-10],
  [400, 300, 9.6786219949336e-5],
  [250, 300, 0.98380295020764],
])("P(X >= %d) of chi-square with %i degrees", (x, degrees, expected) => {
  expect(relativeError(chiSquareTail(x, degrees), expected)).toBeLessThan(1e-9);
});

test("the chi-square tail handles its limits and refuses invalid parameters", () => {
  expect([chiSquareTail(0, 3), chiSquareTail(-1, 3), chiSquareTail(Infinity, 3)]).toEqual([1, 1, 0]);
  expect(() => chiSquareTail(1, 0)).toThrow(RangeError);
  expect(() => chiSquareTail(NaN, 1)).toThrow(RangeError);
});

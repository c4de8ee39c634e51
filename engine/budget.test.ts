/** Tests the bound on the work for one request. */

import { expect, test } from "vitest";

import { Budget, Canceled } from "./budget.js";

test("allows as many steps as it has, then throws the given error", () => {
  const budget = new Budget(5, () => new RangeError("too much"));
  budget.spend();
  budget.spend(4);
  expect(() => budget.spend()).toThrow(new RangeError("too much"));
});

test("asks once in a thousand steps if the request was canceled", () => {
  let numAsked = 0;
  let isCanceled = false;
  const budget = new Budget(
    1e6,
    () => new RangeError("too much"),
    () => (numAsked++, isCanceled),
  );
  for (let i = 0; i < 5000; i++) budget.spend();
  expect(numAsked).toBe(5);
  isCanceled = true;
  expect(() => budget.spend(1000)).toThrow(Canceled);
});

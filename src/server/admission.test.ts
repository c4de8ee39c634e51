/** Tests the bounds on the requests that a model has taken on. */

import { expect, test } from "vitest";

import { LIMITS } from "../../engine/limits.js";
import { Admission } from "./admission.js";

const QUEUE_FULL = expect.objectContaining({ code: "queue_full", status: 429 });

test("admits as many requests as there are places and waiting ones, and another when one leaves", () => {
  const admission = new Admission({ numPlaces: 2, maxWaiting: 1 });
  const leave = admission.enter(0);
  admission.enter(0);
  admission.enter(0);
  expect(() => admission.enter(0)).toThrow(QUEUE_FULL);
  leave();
  leave(); // a second call must have no effect
  expect(admission.numAdmitted).toBe(2);
  admission.enter(0);
  expect(() => admission.enter(0)).toThrow(QUEUE_FULL);
});

test("bounds the size of all answers that are collected as a whole", () => {
  const admission = new Admission({ numPlaces: 10, maxWaiting: 10 });
  const half = LIMITS.maxWholeAnswersBytes / 2;
  const leave = admission.enter(half);
  admission.enter(half);
  expect(() => admission.enter(1)).toThrow(QUEUE_FULL);
  admission.enter(0);
  leave();
  admission.enter(half);
});

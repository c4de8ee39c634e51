import { expect, test } from "vitest";

import { DivergenceMeter } from "./divergence.js";

test("computes divergence, agreement and perplexity of a case computed by hand", () => {
  const meter = new DivergenceMeter();
  const [half, third] = [Math.log(0.5), Math.log(0.25)];
  // (1/2, 1/4, 1/4) against (1/4, 1/2, 1/4): 1/2 log 2 - 1/4 log 2. Logits may be shifted by any constant.
  meter.add([half + 9, third + 9, third + 9], [third, half, third], 0);
  meter.add([half, third, third], [half - 3, third - 3, third - 3], null);
  const divergence = meter.result();
  expect(divergence).toMatchObject({ numPositions: 2, top1Agreement: 0.5 });
  expect(divergence.klDivergence).toBeCloseTo(Math.log(2) / 8, 12);
  expect(divergence.perplexity.reference).toBeCloseTo(2, 12);
  expect(divergence.perplexity.other).toBeCloseTo(4, 12);
});

test("tokens of probability 0 contribute nothing", () => {
  const meter = new DivergenceMeter();
  meter.add([0, 0, -Infinity], [0, 0, -Infinity], 1);
  expect(meter.result()).toEqual({
    numPositions: 1,
    klDivergence: 0,
    top1Agreement: 1,
    perplexity: { reference: 2, other: 2 },
  });
});

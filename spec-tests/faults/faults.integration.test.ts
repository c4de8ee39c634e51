/** A small selection of the points that `npm run faults` tries. */

import { expect, test } from "vitest";

import { campaign } from "./campaign.js";
import { KINDS } from "./injection.js";
import { SCENARIOS } from "./scenarios.js";

/** A run of these scenarios takes milliseconds; others start threads. */
const FAST = new Set(["pull", "convert", "convert-onnx"]);
const TIMEOUT_MS = 600_000;

test.each(Object.keys(SCENARIOS))(
  "%s: a call that fails ends in a right answer or a clear error, and nothing is lost",
  async (scenario) => {
    const maxPoints = FAST.has(scenario) ? 12 : 2;
    const rows = await campaign({ scenario, kinds: KINDS, from: 1, to: Infinity, maxPoints, seed: 1 });
    expect(rows.flatMap(({ failures }) => failures)).toEqual([]);
    expect(rows.reduce((sum, { numPoints }) => sum + numPoints, 0)).toBeGreaterThanOrEqual(maxPoints);
  },
  TIMEOUT_MS,
);

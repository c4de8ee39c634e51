/** A small selection of the points that `npm run faults` tries, and those that it found faults at. */

import { expect, test } from "vitest";

import { campaign } from "./campaign.js";
import { KINDS } from "./injection.js";
import { SCENARIOS } from "./scenarios.js";

const MAX_POINTS = 2;
const TIMEOUT_MS = 300_000;

for (const scenario of Object.keys(SCENARIOS))
  test(
    `${scenario}: a call that fails ends in a right answer or a clear error, and nothing is lost`,
    { timeout: TIMEOUT_MS },
    async () => {
      const rows = await campaign({ scenario, kinds: KINDS, from: 1, to: Infinity, maxPoints: MAX_POINTS, seed: 1 });
      expect(rows.flatMap(({ failures }) => failures)).toEqual([]);
      expect(rows.reduce((sum, { numPoints }) => sum + numPoints, 0)).toBeGreaterThanOrEqual(MAX_POINTS);
    },
  );

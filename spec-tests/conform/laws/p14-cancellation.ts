import fc from "fast-check";

import { demandSame } from "../answers.js";
import type { Law } from "../law.js";
import { requests, together } from "../requests.js";

/**
 * Broken if a batch is discarded, recomputed differently, or shifted by one, because one of its requests left or
 * failed.
 */
export const cancellation: Law = {
  id: "P14",
  title: "A canceled or refused request does not affect other requests",
  clauses: ["TS-10.9"],
  reports: ["ik_llama.cpp#1929"],
  needs: ["stream", "seed"],
  errorRate: null,
  async check(probe) {
    const leaver = fc.record({
      request: requests(probe, { maxTokens: { min: 40, max: 80 }, n: 2 }),
      chunks: fc.integer({ min: 0, max: 6 }),
    });
    const cases = fc.record({
      request: requests(probe, { maxTokens: { min: 20, max: 40 }, n: 2 }),
      stream: fc.boolean(),
      leavers: fc.array(leaver, { minLength: 1, maxLength: 3 }),
      // If true, one more request is sent with an invalid role, which is refused.
      isOneRefused: fc.boolean(),
    });
    await probe.forAll(
      cases,
      async ({ request, stream, leavers, isOneRefused }) => {
        const asked = { ...request, ...(stream ? { stream } : {}) };
        const alone = await probe.ask(asked);
        const others = [
          ...leavers.map(
            ({ request, chunks }) =>
              () =>
                probe.abandon(request, { chunks }),
          ),
          ...(isOneRefused ? [() => probe.send({ ...request, messages: [{ role: "nobody", content: "" }] })] : []),
        ];
        const [beside] = await Promise.all([probe.ask(asked), together<unknown>(others)]);
        demandSame(
          alone,
          beside,
          `The same seeded request, first alone and then while ${leavers.length} clients disconnected`,
        );
      },
      { numRuns: 6, share: 0.9 },
    );
  },
};

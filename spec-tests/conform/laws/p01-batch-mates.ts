import fc from "fast-check";

import { demandSame } from "../answers.js";
import type { Law } from "../law.js";
import { requests, together } from "../requests.js";

/**
 * Broken if random numbers, logits or penalties depend on the batch: one random generator for all requests, a seed that
 * takes effect only if every request of the batch has one, kernels whose order of additions depends on the batch size.
 */
export const batchMates: Law = {
  id: "P1",
  title: "A seeded answer does not depend on concurrent requests",
  clauses: ["TS-10.8", "TS-2.11", "TS-3.20", "TS-10.1", "TS-10.3", "TS-10.5"],
  reports: ["vllm#51226", "vllm#17524", "vllm#11658", "vllm#51187", "sglang#5377", "sglang#15746", "llama.cpp#7052"],
  needs: ["seed"],
  errorRate: null,
  async check(probe) {
    const maxTokens = { min: 12, max: 24 };
    const mates = fc.array(
      fc.oneof(requests(probe, { seed: false, maxTokens, n: 3 }), requests(probe, { maxTokens })),
      { minLength: 1, maxLength: 4 },
    );
    const cases = fc.record({ request: requests(probe, { maxTokens, n: 2 }), mates, place: fc.nat(4) });
    await probe.forAll(
      cases,
      async ({ request, mates, place }) => {
        const alone = await probe.ask(request);
        const asks = mates.map((mate) => () => probe.ask(mate));
        const at = Math.min(place, mates.length);
        const beside = (await together(asks.toSpliced(at, 0, () => probe.ask(request))))[at]!;
        demandSame(
          alone,
          beside,
          `The same seeded request, first alone and then with ${mates.length} concurrent requests`,
        );
      },
      { numRuns: 6 },
    );
  },
};

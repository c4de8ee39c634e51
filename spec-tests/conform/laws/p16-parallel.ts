import fc from "fast-check";

import { choiceDifference, demandSame } from "../answers.js";
import { Violation, type Law } from "../law.js";
import { apart, PROMPTS, requests, together, user } from "../requests.js";

/**
 * Broken if requests or choices share buffers, parsers or detokenizers, so that text of one answer reaches another.
 * This is the only fault that also leaks data between clients.
 */
export const parallelAnswers: Law = {
  id: "P16",
  title: "Concurrent answers do not mix",
  clauses: ["TS-10.10", "TS-2.10", "TS-3.20", "TS-6.9", "TS-8.3", "TS-8.8"],
  reports: ["inferencer-feedback#127", "vllm#42493"],
  needs: ["seed"],
  errorRate: null,
  async check(probe) {
    const stream = probe.features.has("stream") ? fc.boolean() : fc.constant(false);
    const maxTokens = { min: 16, max: 40 };
    const asked = fc.record({ request: requests(probe, { maxTokens }), stream });
    await probe.forAll(
      fc.array(asked, { minLength: 2, maxLength: 4 }),
      async (list) => {
        // Each request has a different prompt, so that a misdirected answer is recognized.
        const all = list.map(({ request, stream }, i) => ({
          ...request,
          ...user(`${PROMPTS[i]} Mark ${i}.`),
          ...(stream ? { stream } : {}),
        }));
        const alone = [];
        for (const request of all) alone.push(await probe.ask(request));
        const beside = await together(all.map((request) => () => probe.ask(request)));
        for (const [i, answer] of alone.entries())
          demandSame(
            answer,
            beside[i]!,
            `Request ${i} of ${all.length}, first alone and then concurrently with the others`,
          );
      },
      { numRuns: 2, share: 0.4 },
    );
    if (!probe.features.has("n")) return;
    await probe.forAll(
      fc.record({
        request: requests(probe, { maxTokens: { min: 24, max: 48 } }),
        n: fc.integer({ min: 2, max: 5 }),
        stream,
      }),
      async ({ request, n, stream }) => {
        const asked = { ...request, ...apart(probe) };
        const [one, many] = [
          await probe.ask({ ...asked, n: 1 }),
          await probe.ask({ ...asked, n, ...(stream ? { stream } : {}) }),
        ];
        if (many.choices.some(({ index }, i) => index !== i) || many.choices.length !== n) {
          throw new Violation(
            `n is ${n}; the choices have the indexes ${many.choices.map(({ index }) => index).join(", ")}`,
            [many.exchange],
            "TS-8.3",
          );
        }
        const fewer = n > 2 ? await probe.ask({ ...asked, n: n - 1 }) : one;
        for (const answer of [one, fewer]) {
          for (const [i, choice] of answer.choices.entries()) {
            const found = choiceDifference(choice, many.choices[i]!);
            if (found !== null)
              throw new Violation(
                `Choice ${i} with n ${answer.choices.length} and with n ${n} differs: ${found}`,
                [answer.exchange, many.exchange],
                "TS-2.10",
              );
          }
        }
      },
      { numRuns: 6, share: 0.9 },
    );
  },
};

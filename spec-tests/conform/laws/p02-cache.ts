import fc from "fast-check";

import { demandSame } from "../answers.js";
import { Violation, type Answer, type Law } from "../law.js";
import { limit, requests, together, user } from "../requests.js";

/**
 * Broken if a prefix cache returns keys and values that differ from those of a cold run: one position too many is
 * reused, another kernel computed them, or they belong to a prompt that only shares a prefix.
 */
export const coldAndWarmCache: Law = {
  id: "P2",
  title: "A repeated prompt gets the same answer as a new one",
  clauses: ["TS-10.7", "TS-5.14", "TS-10.1", "TS-10.3", "TS-10.5"],
  reports: ["llama.cpp#4902", "llama.cpp#19981", "llama.cpp#28527", "ollama#5760"],
  needs: ["seed"],
  errorRate: null,
  async check(probe) {
    const words = (minLength: number, maxLength: number) =>
      fc.array(fc.constantFrom(...WORDS), { minLength, maxLength }).map((list) => list.join(" "));
    const cases = fc.record({
      // Makes the prompt unique, so that the first answer is computed without the cache.
      number: fc.nat(999_999_999),
      head: words(20, 60),
      tail: words(1, 12),
      otherTail: words(1, 20),
      sibling: fc.constantFrom<"another end" | "shorter" | "longer">("another end", "shorter", "longer"),
      request: requests(probe, { maxTokens: { min: 4, max: 12 } }),
    });
    await probe.forAll(
      cases,
      async ({ number, head, tail, otherTail, sibling, request }) => {
        const about = (text: string) => probe.ask({ ...request, ...user(`Number ${number}: ${text}`) });
        const prompt = `${head} ${tail}`;
        const cold = await about(prompt);
        const demandAsCold = (warm: Answer, after: string): void => {
          demandSame(cold, warm, `The same seeded request, first with a new prompt and then after ${after}`);
          const { cachedTokens, promptTokens } = warm.usage ?? { cachedTokens: null, promptTokens: 0 };
          if (cachedTokens !== null && cachedTokens > promptTokens) {
            throw new Violation(
              `A prompt of ${promptTokens} tokens cannot have ${cachedTokens} cached ones`,
              [warm.exchange],
              "TS-5.14",
            );
          }
        };
        demandAsCold(await about(prompt), "itself");
        // These requests evict the prompt from a small cache, which then holds only the prefix of the sibling.
        await together(
          Array.from(
            { length: NUM_OTHERS },
            (_, i) => () => probe.ask({ ...user(`${i} of ${number}: ${otherTail}`), ...limit(probe, 1) }),
          ),
        );
        await about(
          { "another end": `${head} ${otherTail}`, shorter: head, longer: `${prompt} ${otherTail}` }[sibling],
        );
        demandAsCold(await about(prompt), `other prompts and one with the same prefix (${sibling})`);
      },
      { numRuns: 3, share: 0.9 },
    );
  },
};

/** Number of prompts that a server with little memory may keep in its cache. */
const NUM_OTHERS = 4;

const WORDS = [
  "the",
  "fox",
  "blue",
  "and",
  "seven",
  "houses",
  "never",
  "rain",
  "said",
  "café",
  "to",
  "of",
  "river",
  "42",
  "because",
  "green",
];

import fc from "fast-check";

import { Violation, type ChatRequest, type Law, type Probe } from "../law.js";
import { limit, together, user } from "../requests.js";

/**
 * Broken if a server continues to compute for a disconnected client: its place is not available to others until the
 * answer would have ended. The law measures time, so an answer counts as slow only if it is much slower than usual,
 * every time.
 */
export const disconnect: Law = {
  id: "P13",
  title: "A client that disconnects frees its place",
  clauses: ["TS-8.12"],
  reports: ["llama.cpp#24496", "llama.cpp#13262", "llama.cpp#11414", "ik_llama.cpp#1020"],
  needs: ["stream"],
  errorRate: null,
  async check(probe) {
    const short = { ...user("Hello!"), ...limit(probe, 2) };
    const { exchange } = await probe.ask({ ...short, stream: true });
    const aloneMs = Math.max(exchange.durationMs, await msUntilAnswered(probe, short));
    const allowedMs = Math.max(SLOW_MS, SLOW_FACTOR * aloneMs);
    const ways = {
      "while their answers were computed": { ms: Math.max(LEAVE_MS, aloneMs) },
      "before their answers began": { chunks: 0 },
    };
    for (const [when, after] of Object.entries(ways)) {
      await probe.forAll(
        fc.constant({ clientsLeave: when }),
        async () => {
          for (let attempt = 0; attempt < NUM_ATTEMPTS; attempt++) {
            await together(Array.from({ length: NUM_CLIENTS }, (_, i) => () => probe.abandon(long(probe, i), after)));
            if ((await msUntilAnswered(probe, short, allowedMs)) < allowedMs) return;
          }
          const what = `After ${NUM_CLIENTS} clients disconnected ${when}, a short answer took more than ${Math.round(allowedMs)} ms, ${NUM_ATTEMPTS} times in a row`;
          throw new Violation(`${what}; alone it takes ${Math.round(aloneMs)} ms`, [exchange]);
        },
        { numRuns: 1, share: 0.5 },
      );
    }
  },
};

const NUM_CLIENTS = 6;
const NUM_ATTEMPTS = 2;
/** Minimum time until the clients disconnect, so that their answers have begun. */
const LEAVE_MS = 50;
/** Faster answers never count as slow. */
const SLOW_MS = 1000;
const SLOW_FACTOR = 10;

/** Measures the time until an answer ends, up to `limitMs`. */
async function msUntilAnswered(probe: Probe, request: ChatRequest, limitMs = 30_000): Promise<number> {
  const startMs = performance.now();
  await probe.abandon(request, { ms: limitMs });
  return performance.now() - startMs;
}

/** A request that occupies several places for a long time unless the disconnect is noticed. Prompts share no prefix. */
function long(probe: Probe, number: number): ChatRequest {
  const context = Math.min(probe.contextLength ?? 2048, 4096);
  const places = probe.features.has("n") ? { n: 4 } : {};
  return {
    ...user(`${number} ${"and so on, ".repeat(20)}tell me a very long story`),
    ...limit(probe, Math.floor(context / 2)),
    ...places,
  };
}

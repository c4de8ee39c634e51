import fc from "fast-check";

import { Violation, type ChatRequest, type Law, type Probe } from "../law.js";
import { limit, together, user } from "../requests.js";

/**
 * Broken by servers that go on for a client that has gone: its place is lost to others until the answer would have ended.
 * Time decides here, so a slow answer counts only if it is slow by far, and each time.
 */
export const disconnect: Law = {
  id: "P13",
  title: "A client that goes away makes room",
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
      "while they were answered": { ms: Math.max(LEAVE_MS, aloneMs) },
      "before they were answered": { chunks: 0 },
    };
    for (const [when, after] of Object.entries(ways)) {
      await probe.forAll(
        fc.constant({ clientsLeave: when }),
        async () => {
          for (let attempt = 0; attempt < NUM_ATTEMPTS; attempt++) {
            await together(Array.from({ length: NUM_CLIENTS }, (_, i) => () => probe.abandon(long(probe, i), after)));
            if ((await msUntilAnswered(probe, short, allowedMs)) < allowedMs) return;
          }
          const what = `After ${NUM_CLIENTS} clients had gone ${when}, a short answer took more than ${Math.round(allowedMs)} ms, ${NUM_ATTEMPTS} times`;
          throw new Violation(`${what}; alone it takes ${Math.round(aloneMs)} ms`, [exchange]);
        },
        { numRuns: 1, share: 0.5 },
      );
    }
  },
};

const NUM_CLIENTS = 6;
const NUM_ATTEMPTS = 2;
/** Long enough for the clients' answers to begin. */
const LEAVE_MS = 50;
/** Nobody is called slow who answers faster. */
const SLOW_MS = 1000;
const SLOW_FACTOR = 10;

/** The client of a server that hangs goes away when the answer is too late anyway. */
async function msUntilAnswered(probe: Probe, request: ChatRequest, limitMs = 30_000): Promise<number> {
  const startMs = performance.now();
  await probe.abandon(request, { ms: limitMs });
  return performance.now() - startMs;
}

/** Takes several places for a long time, if nobody minds that the client goes. No two have a cache in common. */
function long(probe: Probe, number: number): ChatRequest {
  const context = Math.min(probe.contextLength ?? 2048, 4096);
  const places = probe.features.has("n") ? { n: 4 } : {};
  return {
    ...user(`${number} ${"and so on, ".repeat(20)}tell me a very long story`),
    ...limit(probe, Math.floor(context / 2)),
    ...places,
  };
}

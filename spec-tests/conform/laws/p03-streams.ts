import fc from "fast-check";

import { demandSame } from "../answers.js";
import { Violation, type Answer, type ChatRequest, type Law, type Probe } from "../law.js";
import { requests } from "../requests.js";

/**
 * Broken if streams use a separate code path: tags or stop sequences are found only within one piece of text,
 * log-probabilities of held-back or reasoning tokens are dropped, or chunks differ from the form that OpenAI's clients
 * expect.
 */
export const streams: Law = {
  id: "P3",
  title: "The pieces of a stream add up to the unstreamed answer",
  clauses: [
    "TS-8.11",
    "TS-2.8",
    "TS-4.7",
    "TS-5.7",
    "TS-6.4",
    "TS-8.5",
    "TS-8.2",
    "TS-8.6",
    "TS-8.8",
    "TS-10.1",
    "TS-10.3",
    "TS-10.5",
  ],
  reports: ["sglang#30188", "vllm#41691", "lmstudio-bug-tracker#759", "vllm#55195"],
  needs: ["stream", "seed"],
  errorRate: null,
  async check(probe) {
    const cases = fc.record({
      request: requests(probe, { maxTokens: { min: 1, max: 48 }, n: 2 }),
      extras: extras(probe),
    });
    const usage = probe.features.has("stream_usage") ? { stream_options: { include_usage: true } } : {};
    await probe.forAll(
      cases,
      async ({ request, extras }) => {
        const whole = await probe.ask({ ...request, ...extras });
        const streamed = await probe.ask({ ...request, ...extras, stream: true, ...usage });
        demandSame(whole, streamed, "The same seeded request, first unstreamed and then streamed");
      },
      { numRuns: 10, share: 0.7 },
    );
    await probe.forAll(
      cases,
      async ({ request, extras }) => demandForm(await probe.ask({ ...request, ...extras, stream: true })),
      { numRuns: 4 },
    );
  },
};

function extras({ features, dialect }: Probe): fc.Arbitrary<ChatRequest> {
  return fc.record<ChatRequest>(
    {
      ...(features.has("logprobs") ? { logprobs: fc.constant(true) } : {}),
      ...(features.has("stop") ? { stop: fc.constantFrom<unknown>([" a", "e "], ".", ["\n\n"]) } : {}),
      ...(dialect === "ppio" ? { separate_reasoning: fc.constant(true) } : {}),
    },
    { requiredKeys: [] },
  );
}

interface Chunk {
  readonly id?: unknown;
  readonly object?: unknown;
  readonly created?: unknown;
  readonly model?: unknown;
  readonly choices?: readonly {
    readonly index: number;
    readonly delta?: Readonly<Record<string, unknown>>;
    readonly finish_reason?: unknown;
  }[];
}

/** Checks the order and form of chunks, on which clients rely. */
function demandForm({ chunks, choices, isDone, exchange }: Answer): void {
  const fail = (clause: string, message: string): never => {
    throw new Violation(message, [exchange], clause);
  };
  const all = chunks as readonly Chunk[];
  if (!isDone) fail("TS-8.5", "The stream ended without data: [DONE]");
  for (const name of ["id", "created", "model"] as const) {
    const values = new Set(all.map((chunk) => JSON.stringify(chunk[name])));
    if (values.size !== 1)
      fail("TS-8.2", `${name} must be the same on every chunk; the stream has ${[...values].slice(0, 3).join(", ")}`);
  }
  const objects = new Set(all.map(({ object }) => object));
  if (objects.size !== 1 || !objects.has("chat.completion.chunk")) {
    fail("TS-8.6", `object must be "chat.completion.chunk"; the stream has ${JSON.stringify([...objects])}`);
  }
  if (all.some((chunk) => (chunk.choices?.length ?? 0) > 1))
    fail("TS-8.8", "A chunk has more than one entry in choices");
  for (const { index } of choices) {
    const own = all.flatMap((chunk) => (chunk.choices ?? []).filter((choice) => choice.index === index));
    const [first, ...rest] = own;
    if (first?.delta?.["role"] !== "assistant") {
      fail(
        "TS-8.6",
        `The first chunk of choice ${index} must have the role assistant; its delta is ${JSON.stringify(first?.delta)}`,
      );
    }
    const reasons = own.map(({ finish_reason }) => finish_reason);
    if (reasons.slice(0, -1).some((reason) => reason !== null)) {
      fail(
        "TS-8.6",
        `finish_reason must be null on all chunks of choice ${index} but its last; it is ${JSON.stringify(reasons)}`,
      );
    }
    if (typeof reasons.at(-1) !== "string" || reasons.at(-1) === "") {
      fail(
        "TS-8.6",
        `The last chunk of choice ${index} must have its finish_reason; it is ${JSON.stringify(reasons.at(-1))}`,
      );
    }
    const hasText = (name: string) => rest.map(({ delta }) => typeof delta?.[name] === "string" && delta[name] !== "");
    if (
      hasText("reasoning_content").lastIndexOf(true) > hasText("content").indexOf(true) &&
      hasText("content").includes(true)
    ) {
      fail("TS-8.6", `Reasoning of choice ${index} comes after its answer`);
    }
  }
}

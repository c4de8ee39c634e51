import { demandSame } from "../answers.js";
import { Violation, type Answer, type Law } from "../law.js";
import { askIfSupported, toolRequests } from "../tools.js";

/**
 * Broken if streams have a parser of their own: pieces of arguments are lost, calls cannot be told apart by their
 * index, a choice ends twice, or only one of several choices has its calls.
 */
export const streamedCalls: Law = {
  id: "P18",
  title: "The pieces of a streamed call add up to the unstreamed call",
  clauses: ["TS-11.6", "TS-8.11", "TS-8.6"],
  reports: ["vllm#9693", "ollama#7881", "ollama#15457", "sglang#8417"],
  needs: ["tools", "stream", "seed"],
  errorRate: null,
  async check(probe) {
    const requests = toolRequests(probe, { n: 3 });
    const usage = probe.features.has("stream_usage") ? { stream_options: { include_usage: true } } : {};
    await probe.forAll(
      requests,
      async (request) => {
        const whole = await askIfSupported(probe, request, "some tools, or the tool_choice required");
        if (whole === null) return;
        const streamed = await probe.ask({ ...request, stream: true, ...usage });
        demandSame(whole, streamed, "The same seeded request with tools, first unstreamed and then streamed");
      },
      { numRuns: 8, share: 0.7 },
    );
    await probe.forAll(
      requests,
      async (request) => {
        const asked = { ...request, stream: true };
        const answer = await askIfSupported(probe, asked, "some tools, or the tool_choice required");
        if (answer !== null) demandForm(answer);
      },
      { numRuns: 6 },
    );
  },
};

interface Chunk {
  readonly choices?: readonly {
    readonly index: number;
    readonly delta?: { readonly content?: unknown; readonly tool_calls?: readonly Piece[] };
    readonly finish_reason?: unknown;
  }[];
}

interface Piece {
  readonly index?: unknown;
  readonly id?: unknown;
  readonly type?: unknown;
  readonly function?: { readonly name?: unknown; readonly arguments?: unknown };
}

/** Checks the order and form of the pieces, on which clients rely. */
function demandForm({ chunks, choices, exchange }: Answer): void {
  const fail = (message: string, clause: string | null = null): never => {
    throw new Violation(message, [exchange], clause);
  };
  for (const { index } of choices) {
    const own = (chunks as readonly Chunk[]).flatMap((chunk) =>
      (chunk.choices ?? []).filter((choice) => choice.index === index),
    );
    let numCalls = 0;
    for (const { delta } of own) {
      if (typeof delta?.content === "string" && delta.content !== "" && numCalls > 0)
        fail(`Content of choice ${index} comes after a call: ${JSON.stringify(delta.content)}`);
      for (const piece of delta?.tool_calls ?? []) {
        const shown = JSON.stringify(piece);
        if (piece.index === numCalls) {
          numCalls++;
          if (typeof piece.id !== "string" || piece.type !== "function" || typeof piece.function?.name !== "string")
            fail(`The first piece of a call must have its id, type and name: ${shown}`);
          if (piece.function?.arguments !== "") fail(`The first piece of a call must have empty arguments: ${shown}`);
        } else {
          if (piece.index !== numCalls - 1)
            fail(`A piece must belong to call ${numCalls - 1}, or begin the next one: ${shown}`);
          if (piece.id != null || piece.function?.name != null)
            fail(`Only the first piece of a call may have its id and name: ${shown}`);
        }
      }
    }
    const reasons = own.flatMap(({ finish_reason: reason }) => (reason === null ? [] : [reason]));
    if (reasons.length !== 1)
      fail(`Choice ${index} must have one finish_reason; it has ${JSON.stringify(reasons)}`, "TS-8.6");
  }
}

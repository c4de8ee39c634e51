import fc from "fast-check";

import { quoted } from "../answers.js";
import { Violation, type Law } from "../law.js";
import { askIfSupported, demandWholeCalls, TOOLS, toolRequests } from "../tools.js";

/**
 * Broken if calls are parsed from the text without a grammar: names of tools that do not exist, arguments that are not
 * JSON or lack a property, prose of the reasoning that is taken for a call, or markup that remains in the content.
 */
export const wholeCalls: Law = {
  id: "P17",
  title: "Every call is of a given tool, with valid arguments, and no part of it is in the text",
  clauses: ["TS-11.5", "TS-11.1"],
  reports: ["vllm#28806", "vllm#18108", "vllm#42021", "lmstudio-bug-tracker#1592", "llama.cpp#20260"],
  needs: ["tools"],
  errorRate: null,
  async check(probe) {
    const stream = probe.features.has("stream") ? fc.boolean() : fc.constant(false);
    let numWhole = 0;
    const holds = await probe.forAll(
      fc.record({ request: toolRequests(probe, { n: 4 }), stream }),
      async ({ request, stream }) => {
        const asked = { ...request, ...(stream ? { stream } : {}) };
        const answer = await askIfSupported(probe, asked, "some tools, or the tool_choice required");
        if (answer === null) return;
        demandWholeCalls(probe, answer, request.tools);
        numWhole += answer.choices.filter((choice) => choice.toolCalls.length > 0).length;
      },
      { numRuns: 16, share: 0.8 },
    );
    if (holds && numWhole === 0) probe.note("No answer had a call, so none was checked.");
    await probe.forAll(
      toolRequests(probe, { tools: fc.constant(TOOLS) }),
      async (request) => {
        const answer = await askIfSupported(probe, request, "the tool_choice required");
        const call = answer?.choices[0]?.toolCalls.find(({ id }) => !id.startsWith("call_"));
        if (call !== undefined)
          throw new Violation(`The id of a call begins with "call_"; it is ${quoted(call.id)}`, [answer!.exchange]);
      },
      { numRuns: 1 },
    );
  },
};

import fc from "fast-check";

import { Violation, type ChatRequest, type Choice, type Law } from "../law.js";
import { user } from "../requests.js";
import { askIfSupported, named, TOOL_PROMPTS, TOOLS, toolRequests } from "../tools.js";

/** Broken if a choice is only a request to the model, or holds only for some prompts, or only after reasoning. */
export const toolChoice: Law = {
  id: "P19",
  title: "tool_choice and parallel_tool_calls are obeyed, whatever the prompt needs",
  clauses: ["TS-11.2", "TS-11.3"],
  reports: ["vllm#53363", "vllm#39056", "llama.cpp#29240", "Rapid-MLX#445", "sglang#9696"],
  needs: ["tools"],
  errorRate: null,
  async check(probe) {
    const requests = toolRequests(probe, { tools: fc.constant(TOOLS), n: 4 });
    const names = TOOLS.map((tool) => tool.function.name);
    for (const [index, { what, fields, fault, clause = null }] of RULES.entries()) {
      await probe.forAll(
        fc.record({ request: requests, prompt: fc.constantFrom(...PROMPTS), name: fc.constantFrom(...names) }),
        async ({ request, prompt, name }) => {
          const asked = { ...request, ...user(prompt), ...fields(name) };
          const answer = await askIfSupported(probe, asked, what);
          for (const choice of answer?.choices ?? []) {
            const found = fault(choice, name);
            if (found === null) continue;
            const calls = JSON.stringify(choice.toolCalls.map((call) => call.name));
            const message = `With ${what}, ${found}; choice ${choice.index} has calls of ${calls}`;
            throw new Violation(message, [answer!.exchange], clause);
          }
        },
        { numRuns: 4, share: 0.9 / (RULES.length - index) },
      );
    }
  },
};

/** Text that looks like a call is not one. */
const PROMPTS: readonly string[] = [
  ...TOOL_PROMPTS,
  'Repeat: <tool_call>{"name": "now", "arguments": {}}</tool_call> [TOOL_CALLS][{"name": "now", "arguments": {}}]',
];

interface Rule {
  /** What is asked for. */
  readonly what: string;
  /** @param name of a tool, which the prompt need not have to do with */
  readonly fields: (name: string) => ChatRequest;
  readonly fault: (choice: Choice, name: string) => string | null;
  readonly clause?: string;
}

const RULES: readonly Rule[] = [
  {
    what: "the tool_choice required",
    fields: () => ({ tool_choice: "required" }),
    fault: withoutCalls,
  },
  {
    what: "the tool_choice none",
    fields: () => ({ tool_choice: "none" }),
    fault: ({ toolCalls }) => (toolCalls.length > 0 ? "no tool may be called" : null),
  },
  {
    what: "a named tool in tool_choice",
    fields: (name) => ({ tool_choice: named(name) }),
    fault: (choice, name) => withoutCalls(choice) ?? withOthers(choice, name),
  },
  {
    what: "allowed_tools of the mode required in tool_choice",
    fields: (name) => ({ tool_choice: allowed("required", name) }),
    fault: (choice, name) => withoutCalls(choice) ?? withOthers(choice, name),
  },
  {
    what: "allowed_tools of the mode auto in tool_choice",
    fields: (name) => ({ tool_choice: allowed("auto", name) }),
    fault: withOthers,
  },
  {
    what: "parallel_tool_calls false",
    fields: () => ({ tool_choice: "required", parallel_tool_calls: false }),
    fault: ({ toolCalls }) => (toolCalls.length > 1 ? "at most one tool may be called" : null),
    clause: "TS-11.3",
  },
];

/** An answer that is cut by the limit of tokens cannot be judged. */
function withoutCalls({ toolCalls, finishReason }: Choice): string | null {
  return toolCalls.length === 0 && finishReason !== "length" ? "a tool must be called" : null;
}

function withOthers({ toolCalls }: Choice, name: string): string | null {
  return toolCalls.some((call) => call.name !== name) ? `only ${name} may be called` : null;
}

function allowed(mode: string, name: string): ChatRequest {
  return { type: "allowed_tools", allowed_tools: { mode, tools: [named(name)] } };
}

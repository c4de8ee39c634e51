import fc from "fast-check";

import { callsText, quoted } from "../answers.js";
import { Violation, type Answer, type Choice, type Law, type Probe } from "../law.js";
import { askIfSupported, named, TOOLS, toolRequests } from "../tools.js";

/** Broken if a finish_reason tells of calls that are not there, or if a call that is cut counts as whole. */
export const endsOfCalls: Law = {
  id: "P22",
  title: "finish_reason and usage are right for answers with calls",
  clauses: ["TS-11.5", "TS-11.8", "TS-5.10", "TS-5.13"],
  reports: ["vllm#53255", "vllm#25054", "vllm#49496", "llama.cpp#24329", "FastFlowLM#728"],
  needs: ["tools"],
  errorRate: null,
  async check(probe) {
    const names = TOOLS.map((tool) => tool.function.name);
    const toolChoices = ["auto", "auto", "required", named(names[0]!), named(names[2]!)];
    const request = toolRequests(probe, { tools: fc.constant(TOOLS), toolChoices, n: 4 });
    const logprobs = probe.features.has("logprobs") ? { logprobs: true } : {};
    await probe.forAll(
      request,
      async (request) => {
        const asked = { ...request, ...logprobs };
        const answer = await askIfSupported(probe, asked, "the tool_choice required, or a named tool");
        if (answer === null) return;
        const isNamed = typeof request["tool_choice"] === "object";
        for (const choice of answer.choices) demandReason(choice, answer, isNamed);
        demandUsage(answer);
      },
      { numRuns: 14, share: 0.6 },
    );
    if (probe.features.has("seed") && probe.features.has("max_tokens")) await checkCut(probe);
  },
};

function demandReason(choice: Choice, answer: Answer, isNamed: boolean): void {
  const { exchange } = answer;
  const { index, toolCalls, finishReason, content } = choice;
  if (finishReason === "length") return;
  const expected = toolCalls.length > 0 && !isNamed ? "tool_calls" : "stop";
  if (finishReason !== expected) {
    const calls = `${toolCalls.length} calls${isNamed ? ", which tool_choice asked for by name" : ""}`;
    throw new Violation(
      `finish_reason of choice ${index}, with ${calls}, must be "${expected}"; it is ${quoted(finishReason)}`,
      [exchange],
    );
  }
  const numTokens = toolCalls.length > 0 || content !== "" ? 0 : numAnswerTokens(choice, answer);
  if (numTokens <= MAX_EMPTY_TOKENS) return;
  throw new Violation(
    `The answer of choice ${index} has ${numTokens} tokens, but neither text nor a call, and finish_reason is ${quoted(finishReason)}`,
    [exchange],
  );
}

/** Returns the number of a choice's tokens after its reasoning; 0 if the answer does not show it. */
function numAnswerTokens({ reasoning, logprobs }: Choice, { usage, choices }: Answer): number {
  if (reasoning === null && logprobs !== null) return logprobs.length;
  if (choices.length > 1 || usage === null) return 0;
  if (reasoning !== null && usage.reasoningTokens === null) return 0;
  return usage.completionTokens - (usage.reasoningTokens ?? 0);
}

/** Tokens that an answer without text may have: those that end it. */
const MAX_EMPTY_TOKENS = 3;

function demandUsage({ usage, choices, exchange }: Answer): void {
  if (usage === null) return;
  const { promptTokens, completionTokens, totalTokens } = usage;
  if (totalTokens !== promptTokens + completionTokens)
    throw new Violation(
      `total_tokens must be ${promptTokens} + ${completionTokens}; it is ${totalTokens}`,
      [exchange],
      "TS-5.13",
    );
  const numEntries = choices.reduce((sum, { logprobs }) => sum + (logprobs?.length ?? 0), 0);
  if (choices.every(({ logprobs }) => logprobs !== null) && completionTokens !== numEntries)
    throw new Violation(
      `usage has ${completionTokens} completion tokens, but logprobs has ${numEntries} entries`,
      [exchange],
      "TS-11.8",
    );
}

/** Checks answers that max_tokens cuts within their calls. */
async function checkCut(probe: Probe): Promise<void> {
  await probe.forAll(
    fc.record({
      request: toolRequests(probe, { tools: fc.constant(TOOLS), toolChoices: ["required", "auto"] }),
      percent: fc.integer({ min: 30, max: 95 }),
    }),
    async ({ request, percent }) => {
      const whole = await askIfSupported(probe, request, "the tool_choice required");
      const numTokens = whole?.usage?.completionTokens;
      if (whole === null || numTokens === undefined || whole.choices[0]!.toolCalls.length === 0) return;
      const maxTokens = Math.max(1, Math.floor((numTokens * percent) / 100));
      const cut = await probe.ask({ ...request, max_tokens: maxTokens });
      const [expected, got] = [whole.choices[0]!, cut.choices[0]!];
      if (callsText(expected) === callsText(got)) return;
      const exchanges = [whole.exchange, cut.exchange];
      if (got.finishReason !== "length")
        throw new Violation(
          `max_tokens ${maxTokens} cuts calls of ${numTokens} tokens, so finish_reason must be "length"; it is ${quoted(got.finishReason)}`,
          exchanges,
        );
      if (!isBeginning(got, expected))
        throw new Violation(
          `Calls that are cut must begin as the whole ones do: ${quoted(callsText(got))}, but whole ${quoted(callsText(expected))}`,
          exchanges,
        );
    },
    { numRuns: 8 },
  );
}

/** True if the calls of a choice are the first ones of another, and the last of them is the beginning of one. */
function isBeginning({ toolCalls }: Choice, whole: Choice): boolean {
  return toolCalls.every((call, index) => {
    const other = whole.toolCalls[index];
    const isLast = index === toolCalls.length - 1;
    if (other === undefined || call.name !== other.name) return false;
    return isLast ? other.arguments.startsWith(call.arguments) : other.arguments === call.arguments;
  });
}

import fc from "fast-check";

import { quoted } from "../answers.js";
import { readAnswer, refusal } from "../client.js";
import { Violation, type Answer, type ChatRequest, type Law, type Probe, type ToolCall } from "../law.js";
import { limit, user } from "../requests.js";
import { askIfSupported, demandWholeCalls, TOOL_PROMPTS, TOOLS, toolRequests } from "../tools.js";

/**
 * Broken if calls and results in the messages are refused, dropped or confused with those of the answer, or if a
 * program's mistake in them goes unnoticed.
 */
export const toolResults: Law = {
  id: "P20",
  title: "A conversation goes on with the results of its calls",
  clauses: ["TS-11.7", "TS-11.5"],
  reports: ["vllm#45763", "GenieX#1407", "llama-cpp-python#1805"],
  needs: ["tools"],
  errorRate: null,
  async check(probe) {
    await checkGiven(probe);
    await checkOwn(probe);
    await checkReached(probe);
    await checkMistakes(probe);
  },
};

type Message = ChatRequest;

const CALLS: readonly ToolCall[] = [
  { id: "call_a", type: "function", name: "get_weather", arguments: '{"days": 2, "city": "Oslo"}' },
  { id: "call_b", type: "function", name: "roll-dice", arguments: '{"sides":6}' },
  { id: "call_c", type: "function", name: "now", arguments: "{}" },
];

/** An assistant message with calls. Its content may be a text, null, or absent. */
function message(calls: readonly ToolCall[], content?: string | null): Message {
  const tool_calls = calls.map(({ id, type, name, arguments: text }) => ({
    id,
    type,
    function: { name, arguments: text },
  }));
  return { role: "assistant", ...(content === undefined ? {} : { content }), tool_calls };
}

const result = ({ id }: ToolCall, content = "7"): Message => ({ role: "tool", tool_call_id: id, content });

/** Checks conversations with calls that the endpoint did not write. */
async function checkGiven(probe: Probe): Promise<void> {
  const cases = fc.record({
    request: toolRequests(probe, { tools: fc.constant(TOOLS), toolChoices: ["auto"], n: 4 }),
    calls: fc.shuffledSubarray([...CALLS], { minLength: 1 }),
    content: fc.constantFrom<string | null | undefined>(null, undefined, "", "One moment."),
    isReversed: fc.boolean(),
    then: fc.constantFrom<string | null>(null, "And tomorrow?"),
  });
  await probe.forAll(
    cases,
    async ({ request, calls, content, isReversed, then }) => {
      const results = (isReversed ? [...calls].reverse() : calls).map((call) => result(call));
      const messages = [
        ...(request["messages"] as readonly Message[]),
        message(calls, content),
        ...results,
        ...(then === null ? [] : user(then).messages),
      ];
      const answer = await askAccepted(probe, { ...request, messages });
      demandWholeCalls(probe, answer, TOOLS);
    },
    { numRuns: 8, share: 0.5 },
  );
}

/** Checks that an answer of the endpoint can be sent back with its results. */
async function checkOwn(probe: Probe): Promise<void> {
  await probe.forAll(
    toolRequests(probe, { tools: fc.constant(TOOLS), toolChoices: ["required"] }),
    async (request) => {
      const answer = await askIfSupported(probe, request, "the tool_choice required");
      const [choice] = answer?.choices ?? [];
      if (choice === undefined || choice.toolCalls.length === 0 || choice.finishReason === "length") return;
      const { content, toolCalls } = choice;
      const messages = [
        ...(request["messages"] as readonly Message[]),
        message(toolCalls, content === "" ? null : content),
        ...toolCalls.map((call) => result(call)),
      ];
      const next = await askAccepted(probe, { ...request, messages, tool_choice: "auto" });
      demandWholeCalls(probe, next, TOOLS);
    },
    { numRuns: 2, share: 0.5 },
  );
}

async function askAccepted(probe: Probe, request: ChatRequest): Promise<Answer> {
  const exchange = await probe.send(request);
  if (exchange.status === 200) return readAnswer(exchange, false);
  const message = `Calls in messages and their results must be accepted. ${refusal(exchange)}`;
  throw new Violation(message, [exchange]);
}

/** Checks that the prompt grows with the text of a result. */
async function checkReached(probe: Probe): Promise<void> {
  await probe.forAll(
    fc.constantFrom(...TOOL_PROMPTS),
    async (prompt) => {
      const [call] = CALLS as [ToolCall];
      const ask = (text: string) => {
        const messages = [...user(prompt).messages, message([call], null), result(call, text)];
        return askAccepted(probe, { messages, tools: TOOLS, ...limit(probe, 1) });
      };
      const short = await ask("7");
      const long = await ask("7 degrees, and rain from the west until the evening");
      const [few, many] = [short.usage?.promptTokens, long.usage?.promptTokens];
      if (few === undefined || many === undefined || few < many) return;
      throw new Violation(
        `A prompt with a longer tool message must have more tokens; it has ${many}, and ${few} with a short one`,
        [short.exchange, long.exchange],
      );
    },
    { numRuns: 1 },
  );
}

/** Checks that a call without its result, and a result without its call, are refused. */
async function checkMistakes(probe: Probe): Promise<void> {
  const [first, second] = CALLS as [ToolCall, ToolCall];
  const mistakes: Readonly<Record<string, readonly Message[]>> = {
    "A call without its result": [message([first, second], null), result(first)],
    "A result with the id of no call": [message([first], null), result(second)],
    "A result without an id": [message([first], null), { role: "tool", content: "7" }],
  };
  const names = Object.keys(mistakes);
  await probe.forAll(
    fc.constantFrom(...names),
    async (name) => {
      const messages = [...user("Hello!").messages, ...mistakes[name]!, ...user("And now?").messages];
      const exchange = await probe.send({ messages, tools: TOOLS, ...limit(probe, 1) });
      if (exchange.status >= 400 && exchange.status < 500) return;
      throw new Violation(
        `${name} must be refused with status 400; the status is ${exchange.status}: ${quoted(exchange.text)}`,
        [exchange],
      );
    },
    { examples: names, numRuns: names.length, share: 0.9 },
  );
}

/**
 * npm run eval:tiny: asks the published model unseen questions with greedy sampling
 * and prints a table of results. Exits with 1 if a target is missed. With --tools, the
 * skills of the second stage are asked for too.
 *
 *   node dist/models/tiny/eval.js [--model FOLDER] [--tools] [--failures]
 */

import { parseArgs } from "node:util";

import { type ChatMessage, loadModel, type MessageCall, type Model } from "../../engine/index.js";
import { evaluate, evaluationSet, type Outcome, reached, scores, table } from "./data/evaluation.js";
import { SKILLS, TOOL_SKILLS } from "./data/skills.js";
import { type Call, type Example, type Message, plain, type Reply } from "./data/example.js";

const NUM_CONCURRENT = 8;
const MAX_TOKENS = 400;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      model: { type: "string" },
      tools: { type: "boolean", default: false },
      failures: { type: "boolean", default: false },
    },
  });
  const model = await loadModel(values.model ?? null);
  const skills = values.tools ? [...SKILLS, ...TOOL_SKILLS] : SKILLS;
  const outcomes = await evaluate(evaluationSet(skills), (example) => ask(model, example), NUM_CONCURRENT);
  await model.close();

  if (values.failures) for (const outcome of outcomes) if (!outcome.passed) console.log(`${describe(outcome)}\n`);
  const all = scores(outcomes);
  console.log(table(all));
  if (!all.every(reached)) process.exitCode = 1;
}

async function ask(model: Model, { messages, tools }: Example): Promise<Reply> {
  const answer = model.chat({ messages: chatMessages(messages), tools, temperature: 0, maxTokens: MAX_TOKENS });
  const { content, reasoning, toolCalls, finishReason } = (await answer.result()).choices[0]!;
  // The limit of tokens can cut arguments.
  const whole = finishReason === "length" ? [] : toolCalls;
  const calls = whole.map(({ name, arguments: json }): Call => ({ name, args: JSON.parse(json) as Call["args"] }));
  return { reasoning, content, calls, finishReason };
}

/** The messages as OpenAI writes them: the results of calls name the calls by their ids. */
function chatMessages(messages: readonly Message[]): ChatMessage[] {
  let numCalls = 0;
  let numResults = 0;
  return messages.map(({ role, content, calls }): ChatMessage => {
    if (role === "tool") return { role, content, tool_call_id: `call_${numResults++}` };
    const tool_calls = calls?.map((call): MessageCall => {
      const written = { name: call.name, arguments: JSON.stringify(call.args) };
      return { id: `call_${numCalls++}`, type: "function", function: written };
    });
    return { role, content, ...(tool_calls === undefined ? {} : { tool_calls }) };
  });
}

function describe({ example, reply }: Outcome): string {
  return [
    `${example.skill}: ${example.messages.map(({ role, content, calls }) => `[${role}] ${content ?? JSON.stringify(calls)}`).join(" ")}`,
    ...(example.tools ?? []).map((tool) => `  tool: ${JSON.stringify(tool.function)}`),
    `  expected: <${plain(example.reasoning)}> ${plain(example.answer)}`,
    `  got:      <${reply.reasoning ?? ""}> ${reply.content}${reply.calls.map((call) => JSON.stringify(call)).join("")} (${reply.finishReason})`,
  ].join("\n");
}

await main();

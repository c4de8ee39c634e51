/**
 * npm run eval:tiny: asks the published model unseen questions with greedy sampling
 * and prints a table of results. Exits with 1 if a target is missed.
 *
 *   node dist/models/tiny/eval.js [--failures]
 */

import { parseArgs } from "node:util";

import { loadModel, type Model } from "../../engine/index.js";
import { evaluate, evaluationSet, type Outcome, reached, scores, table } from "./data/evaluation.js";
import { type Message, plain, type Reply } from "./data/example.js";

const NUM_CONCURRENT = 8;
const MAX_TOKENS = 400;

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { failures: { type: "boolean", default: false } } });
  const model = await loadModel();
  const outcomes = await evaluate(evaluationSet(), (messages) => ask(model, messages), NUM_CONCURRENT);
  await model.close();

  if (values.failures) for (const outcome of outcomes) if (!outcome.passed) console.log(`${describe(outcome)}\n`);
  const all = scores(outcomes);
  console.log(table(all));
  if (!all.every(reached)) process.exitCode = 1;
}

async function ask(model: Model, messages: readonly Message[]): Promise<Reply> {
  let [reasoning, content, finishReason] = ["", "", null as string | null];
  for await (const delta of model.chat({ messages, temperature: 0, maxTokens: MAX_TOKENS })) {
    reasoning += delta.reasoning;
    content += delta.content;
    finishReason = delta.finishReason ?? finishReason;
  }
  return { reasoning: reasoning === "" ? null : reasoning, content, finishReason };
}

function describe({ example, reply }: Outcome): string {
  return [
    `${example.skill}: ${example.messages.map(({ role, content }) => `[${role}] ${content}`).join(" ")}`,
    `  expected: <${plain(example.reasoning)}> ${plain(example.answer)}`,
    `  got:      <${reply.reasoning ?? ""}> ${reply.content} (${reply.finishReason})`,
  ].join("\n");
}

await main();

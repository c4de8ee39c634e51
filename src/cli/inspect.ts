/** `touchstone inspect`: describes a model and, optionally, the tokens of one prompt. */

import { Command } from "commander";

import { EngineError, loadModel, type Model } from "../../engine/index.js";
import { describeEstimate } from "../../engine/model/index.js";
import { inspectModel, type ModelDescription } from "../../engine/models.js";
import { print, printLine } from "../../spec-tests/conform/terminal.js";
import { addModelOptions, dateOption, modelOptions, type ModelFlags } from "./request-options.js";
import { showLoading } from "./terminal.js";

interface InspectFlags extends ModelFlags {
  prompt?: string;
  message?: string;
  date?: string;
}

export function inspectCommand(): Command {
  const command = new Command("inspect")
    .description("show a model's architecture, sizes and chat template, and the tokens of a prompt")
    .option("--prompt <text>", "show the tokens of this raw text and the most probable next tokens")
    .option("--message <text>", "the same for a user message, rendered with the chat template")
    .addOption(dateOption());
  return addModelOptions(command).action(inspect);
}

async function inspect(flags: InspectFlags): Promise<void> {
  if (flags.prompt !== undefined && flags.message !== undefined) {
    throw new EngineError(
      "unsupported_value",
      "--prompt and --message are both given; only one of them is allowed.",
      "message",
    );
  }
  if (flags.date !== undefined && flags.message === undefined)
    throw new EngineError("unsupported_value", "--date needs --message: only chat templates write a date.", "date");
  const { model = null, ...options } = modelOptions(flags);
  printDescription(await showLoading((display) => inspectModel(model, { ...options, ...display })));
  if (flags.prompt === undefined && flags.message === undefined) return;
  const loaded = await showLoading((display) => loadModel(model, { ...options, ...display }));
  const description =
    flags.prompt === undefined
      ? await describeChat(loaded, flags.message!, flags.date)
      : await describeText(loaded, flags.prompt);
  print(process.stdout, `${description}\n`);
  await loaded.close();
}

function printDescription(description: ModelDescription): void {
  const { path, architecture, weights, profile, numThreads, contextLength, vocabSize, numTokens } = description;
  const { sizes, kvCache, memory, endTokens, reasoning, chatTemplate } = description;
  const rows: [string, string | number][] = [
    ["from", path],
    ["architecture", architecture],
    ["weights", weights],
    ["profile", `${profile}, threads: ${numThreads}`],
    ...(sizes === null ? [] : sizeRows(sizes)),
    ["keys and values", kvCache],
    ["context", contextLength],
    ["vocabulary", `${vocabSize} rows, ${numTokens} tokens`],
    ["end tokens", endTokens.map(({ tokenId, text }) => `${tokenId} ${JSON.stringify(text)}`).join(", ")],
    ...(memory === null ? [] : ([["memory", describeEstimate(memory)]] as [string, string][])),
    ["reasoning", reasoning === null ? "none" : `${reasoning.open} … ${reasoning.close}`],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  for (const [name, value] of rows) printLine(process.stdout, `${name.padEnd(width)}  ${value}`);
  print(process.stdout, `\ntemplate:\n${chatTemplate ?? "none"}\n`);
}

function sizeRows(sizes: NonNullable<ModelDescription["sizes"]>): [string, string | number][] {
  return [
    ["layers", sizes.numLayers],
    ["hidden size", sizes.hiddenSize],
    ["feed-forward size", sizes.intermediateSize],
    ["heads", `${sizes.numHeads} (${sizes.numKvHeads} for keys and values) of ${sizes.headDim}`],
    ["embedding", sizes.tiedEmbeddings ? "tied to the output" : "separate"],
  ];
}

const ONE_TOKEN = { maxTokens: 1, temperature: 0, logprobs: true, topLogprobs: 20 };

const describeText = (model: Model, prompt: string): Promise<string> =>
  describePrompt(model, model.generate({ prompt, ...ONE_TOKEN }));

const describeChat = (model: Model, content: string, date: string | undefined): Promise<string> =>
  describePrompt(model, model.chat({ messages: [{ role: "user", content }], date, ...ONE_TOKEN }));

async function describePrompt(model: Model, answer: ReturnType<Model["chat"]>): Promise<string> {
  const { choices } = await answer.result();
  const tokens = answer.promptTokenIds.map(
    (id) => `${String(id).padStart(8)}  ${JSON.stringify(model.tokenizer.tokenText(id))}`,
  );
  const next = choices[0]?.logprobs[0]?.topLogprobs ?? [];
  const top = next.map(
    ({ logprob, tokenId, token }) =>
      `${logprob.toFixed(4).padStart(10)}  ${String(tokenId).padStart(8)}  ${JSON.stringify(token)}`,
  );
  const heading = "most probable next tokens (log-probability, id, text)";
  return `\ntokens (${tokens.length}):\n${tokens.join("\n")}\n\n${heading}:\n${top.join("\n")}`;
}

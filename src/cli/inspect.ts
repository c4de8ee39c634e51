/** `touchstone inspect`: describes a model and, optionally, the tokens of one prompt; or a JSON schema. */

import { readFile } from "node:fs/promises";
import { buffer } from "node:stream/consumers";

import { Command } from "commander";

import { compile } from "../../engine/grammar.js";
import { EngineError, loadModel, type Model } from "../../engine/index.js";
import { JsonError, parseJson } from "../../engine/json.js";
import { describeEstimate } from "../../engine/model/index.js";
import { inspectModel, type ModelDescription } from "../../engine/models.js";
import { print, printLine } from "../../spec-tests/conform/terminal.js";
import { addModelOptions, dateOption, modelOptions, type ModelFlags } from "./request-options.js";
import { showLoading } from "./terminal.js";

interface InspectFlags extends ModelFlags {
  prompt?: string;
  message?: string;
  date?: string;
  schema?: string;
}

export function inspectCommand(): Command {
  const command = new Command("inspect")
    .description("show a model's architecture, sizes and chat template, and the tokens of a prompt")
    .option("--prompt <text>", "show the tokens of this raw text and the most probable next tokens")
    .option("--message <text>", "the same for a user message, rendered with the chat template")
    .option("--schema <file>", "check a JSON schema (- for stdin) and print remarks on it; no model is loaded")
    .addOption(dateOption());
  return addModelOptions(command).action(inspect);
}

async function inspect(flags: InspectFlags): Promise<void> {
  if (flags.schema !== undefined) return inspectSchema(flags.schema, flags);
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

async function inspectSchema(file: string, { prompt, message, date }: InspectFlags): Promise<void> {
  if (prompt !== undefined || message !== undefined || date !== undefined)
    throw new EngineError("unsupported_value", "--schema is given with --prompt, --message or --date; give one alone.");
  const { notes } = compile({ type: "json_schema", schema: await jsonOf(file) });
  printLine(process.stdout, "Every answer can be made to satisfy this schema.");
  for (const note of notes) printLine(process.stdout, `note: ${note}`);
}

async function jsonOf(file: string): Promise<unknown> {
  const bytes = file === "-" ? await buffer(process.stdin) : await readFile(file);
  try {
    return parseJson(bytes);
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    throw new EngineError("unsupported_value", `--schema ${file}: not valid JSON: ${error.message}`, "schema", {
      cause: error,
    });
  }
}

function printDescription(description: ModelDescription): void {
  const { path, architecture, weights, profile, numThreads, contextLength, vocabSize, numTokens } = description;
  const { sizes, kvCache, memory, endTokens, reasoning, toolCall, chatTemplate } = description;
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
    ["tool calls", toolCall === null ? "none" : JSON.stringify(toolCall)],
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

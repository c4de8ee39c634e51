/** `touchstone inspect`: what a model is, and how it sees one prompt. */

import { Command } from "commander";

import { EngineError, describeEstimate, loadModel, type Model } from "../../engine/index.js";
import { addModelOptions, modelOptions, type ModelFlags } from "./request-options.js";
import { collect } from "./result.js";
import { showLoading } from "./terminal.js";

interface InspectFlags extends ModelFlags {
  prompt?: string;
  message?: string;
}

export function inspectCommand(): Command {
  const command = new Command("inspect")
    .description("show a model's architecture, sizes and template, and how it sees a prompt")
    .option("--prompt <text>", "show the tokens of this raw text and the likeliest next ones")
    .option("--message <text>", "the same for a user's message, through the chat template");
  return addModelOptions(command).action(inspect);
}

async function inspect(flags: InspectFlags): Promise<void> {
  if (flags.prompt !== undefined && flags.message !== undefined) {
    throw new EngineError("unsupported_value", "Give --prompt or --message, not both.", "message");
  }
  const model = await showLoading((display) => loadModel({ ...modelOptions(flags), ...display }));
  print(describeModel(model));
  if (flags.prompt !== undefined) print(await describePrompt(model, { prompt: flags.prompt }));
  if (flags.message !== undefined) print(await describePrompt(model, { message: flags.message }));
  await model.close();
}

function describeModel({ folder, tokenizer, profile, numThreads, kvCache, memory }: Model): string {
  const { reasoning } = folder.messageFormat;
  const rows: [string, string | number][] = [
    ...(folder.kind === "pack" ? packRows(folder, profile, numThreads, kvCache) : onnxRows(folder, numThreads)),
    ["context", folder.contextLength],
    ["vocabulary", `${folder.vocabSize} rows, ${tokenizer.vocabSize} tokens`],
    ["end tokens", folder.endTokenIds.map((id) => `${id} ${JSON.stringify(tokenizer.tokenText(id))}`).join(", ")],
    ...(memory === null ? [] : [["memory", describeEstimate(memory)] as [string, string]]),
    ["reasoning", reasoning === null ? "none" : `${reasoning.open} … ${reasoning.close}`],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  const table = rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join("\n");
  return `${table}\n\ntemplate:\n${folder.chatTemplate ?? "none"}`;
}

type Folder<Kind> = Extract<Model["folder"], { kind: Kind }>;

function packRows(
  { dir, config, manifest }: Folder<"pack">,
  profile: string,
  numThreads: number,
  kvCache: string,
): [string, string | number][] {
  return [
    ["pack", dir],
    ["architecture", config.architecture],
    ["weights", manifest.format],
    ["profile", `${profile}, threads: ${numThreads}, keys and values: ${kvCache}`],
    ["layers", config.numLayers],
    ["hidden size", config.hiddenSize],
    ["feed-forward size", config.intermediateSize],
    ["heads", `${config.numHeads} (${config.numKvHeads} for keys and values) of ${config.headDim}`],
    ["embedding", config.tiedEmbeddings ? "tied to the output" : "separate"],
  ];
}

function onnxRows(
  { path, architecture, dtype, decoder }: Folder<"onnx">,
  numThreads: number,
): [string, string | number][] {
  const { caches, ending } = decoder;
  const shapes = new Set(caches.map(({ numHeads, headDim, type }) => `${numHeads} x ${headDim} ${type}`));
  return [
    ["onnx file", path],
    ["architecture", architecture],
    ["weights", dtype],
    ["profile", `fast, threads: ${numThreads}`],
    ["keys and values", `${caches.length} tensors, ${[...shapes].join(", ")}`],
    ["final product", ending],
  ];
}

async function describePrompt(model: Model, input: { prompt: string } | { message: string }): Promise<string> {
  const parameters = { maxTokens: 1, temperature: 0, logprobs: true, topLogprobs: 20 };
  const stream =
    "prompt" in input
      ? model.generate({ ...input, ...parameters })
      : model.chat({ messages: [{ role: "user", content: input.message }], ...parameters });
  const { choices } = await collect(stream);
  const tokens = stream.promptTokenIds.map(
    (id) => `${String(id).padStart(8)}  ${JSON.stringify(model.tokenizer.tokenText(id))}`,
  );
  const next = choices[0]?.logprobs[0]?.topLogprobs ?? [];
  const top = next.map(
    (t) => `${t.logprob.toFixed(4).padStart(10)}  ${String(t.tokenId).padStart(8)}  ${JSON.stringify(t.token)}`,
  );
  return `\ntokens (${tokens.length}):\n${tokens.join("\n")}\n\nlikeliest next tokens (log-probability, id, text):\n${top.join("\n")}`;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

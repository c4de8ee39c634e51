/** `touchstone evaluate`: how far the profile fast is from exact, on a text or on what the model writes itself. */

import { readFile } from "node:fs/promises";

import { Command } from "commander";

import { EngineError, loadModel, type MatrixFormat, type Model } from "../../engine/index.js";
import { evaluate, selfWrittenTexts, type Divergence } from "../../engine/evaluate/index.js";
import {
  modelOption,
  modelOptions,
  offlineOption,
  quantOption,
  threadsOption,
  type ModelFlags,
} from "./request-options.js";
import { showLoading } from "./terminal.js";

/** Of text that the model writes itself: enough that a mean moves little with the seeds. */
const NUM_OWN_TOKENS = 2000;
const FIRST_SEED = 1;

interface EvaluateFlags extends Pick<ModelFlags, "model" | "quant" | "threads" | "offline"> {
  text?: string;
  json?: boolean;
}

export function evaluateCommand(): Command {
  return new Command("evaluate")
    .description("measure how far the profile fast is from exact: KL divergence, agreement, perplexity")
    .addOption(modelOption())
    .addOption(offlineOption())
    .addOption(quantOption())
    .addOption(threadsOption())
    .option(
      "--text <file>",
      `UTF-8 text to read (default: ${NUM_OWN_TOKENS} tokens that the model writes itself, from fixed seeds)`,
    )
    .option("--json", "print one JSON line")
    .action(evaluateFlags);
}

async function evaluateFlags(flags: EvaluateFlags): Promise<void> {
  const text = flags.text === undefined ? null : await readText(flags.text);
  const model = await showLoading((display) => loadModel({ ...modelOptions(flags), profile: "exact", ...display }));
  const { folder: pack, info } = model;
  if (pack.kind !== "pack")
    throw new EngineError(
      "unsupported_value",
      `${pack.dir} holds ONNX files, which run in one way only: there is nothing to compare.`,
      "model",
    );
  const texts = await tokenIds(model, text).finally(() => model.close());
  const measured = await evaluate({ pack, profile: "exact" }, { pack, profile: "fast" }, texts, info.numThreads);
  const { format } = pack.manifest;
  process.stdout.write(
    flags.json === true ? `${json(measured, format, flags.text)}\n` : table(measured, format, flags.text),
  );
}

async function readText(file: string): Promise<string> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(file);
  } catch (error) {
    throw new EngineError("input_unavailable", `The text cannot be read: ${(error as Error).message}`, "text", {
      cause: error,
    });
  }
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new EngineError("input_unavailable", `${file} is not UTF-8.`, "text", { cause: error });
  }
  if (text === "") throw new EngineError("input_unavailable", `${file} is empty.`, "text");
  return text;
}

async function tokenIds(model: Model, text: string | null): Promise<number[][]> {
  return text === null ? selfWrittenTexts(model, NUM_OWN_TOKENS, FIRST_SEED) : [model.tokenizer.encode(text, "text")];
}

function table(
  { numPositions, klDivergence, top1Agreement, perplexity }: Divergence,
  format: MatrixFormat,
  file: string | undefined,
): string {
  const rows = [
    ["weights", format],
    ["text", file ?? `written by the model itself at temperature 1, seeds from ${FIRST_SEED}`],
    ["tokens", numPositions],
    ["KL(exact || fast)", `${klDivergence.toFixed(6)} nats per token`],
    ["same likeliest token", `${(100 * top1Agreement).toFixed(2)} %`],
    ["perplexity, exact", perplexity.reference.toFixed(4)],
    ["perplexity, fast", perplexity.other.toFixed(4)],
  ] as const;
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}\n`).join("");
}

function json(
  { numPositions, klDivergence, top1Agreement, perplexity }: Divergence,
  format: MatrixFormat,
  file: string | undefined,
): string {
  return JSON.stringify({
    weights: format,
    text: file ?? null,
    tokens: numPositions,
    kl_divergence: klDivergence,
    top1_agreement: top1Agreement,
    perplexity: { exact: perplexity.reference, fast: perplexity.other },
  });
}

/** The contract's request parameters as command-line options: one table for `generate` and `chat`. And the flags of whatever loads a model. */

import { existsSync } from "node:fs";

import { InvalidArgumentError, Option, type Command } from "commander";

import {
  EMBEDDED_MODEL,
  EngineError,
  LIMITS,
  ONNX_DTYPES,
  type KVFormat,
  type LoadModelOptions,
  type MatrixFormat,
  type OnnxDtype,
  type Profile,
  type RequestOptions,
} from "../../engine/index.js";

/** Adds every option of the table, `--model` and what goes with it. */
export function addRequestOptions(command: Command): Command {
  for (const option of REQUEST_OPTIONS) command.addOption(option());
  return command;
}

/** Flags common to every command that loads one model. */
export function addModelOptions(command: Command): Command {
  return addMachineOptions(command.addOption(modelOption()));
}

export function modelOption(): Option {
  return new Option(
    "--model <model>",
    "a Hugging Face folder, a pack, a folder of ONNX files, or a model of the hub (org/name[@revision]); the embedded model if absent",
  );
}

export function quantOption(): Option {
  return new Option("--quant <format>", "weights of a folder that is converted (default: q8)").choices([
    "q8",
    "q4",
    "f32",
  ]);
}

export function offlineOption(): Option {
  return new Option(
    "--offline",
    "do without the hub: its models must have been downloaded before (also HF_HUB_OFFLINE=1)",
  );
}

export function dtypeOption(): Option {
  return new Option("--dtype <name>", "which of a model's ONNX files is run (default: the first there is)").choices(
    ONNX_DTYPES,
  );
}

export function threadsOption(): Option {
  return new Option(
    "--threads <count>",
    "threads that compute (default: as many as the machine runs at a time)",
  ).argParser(threads);
}

/** How models run on this machine. */
export function addMachineOptions(command: Command): Command {
  return command
    .addOption(offlineOption())
    .addOption(quantOption())
    .addOption(dtypeOption())
    .addOption(
      new Option(
        "--profile <name>",
        "fast: ONNX Runtime computes prompts; exact: the same bytes on every machine (default: fast)",
      ).choices(["fast", "exact"]),
    )
    .addOption(threadsOption())
    .addOption(
      new Option(
        "--kv-cache <format>",
        "how keys and values are kept: f32, or q8 in a quarter of the memory (default: f32)",
      ).choices(["f32", "q8"]),
    );
}

/** What commander parsed of `addModelOptions`. */
export interface ModelFlags {
  model?: string;
  offline?: boolean;
  quant?: MatrixFormat;
  dtype?: OnnxDtype;
  profile?: Profile;
  threads?: number;
  kvCache?: KVFormat;
}

/** The model options that were given, under the library's names. */
export function modelOptions({
  model,
  offline,
  quant,
  dtype,
  profile,
  threads,
  kvCache,
}: ModelFlags): LoadModelOptions {
  return {
    ...(model === undefined || (model === EMBEDDED_MODEL && !existsSync(model)) ? {} : { model }),
    ...(offline === undefined ? {} : { offline }),
    ...(quant === undefined ? {} : { quant }),
    ...(dtype === undefined ? {} : { dtype }),
    ...(profile === undefined ? {} : { profile }),
    ...(threads === undefined ? {} : { numThreads: threads }),
    ...(kvCache === undefined ? {} : { kvCache }),
  };
}

/** What commander parsed, under its camel-case names. */
export interface ParsedRequestOptions {
  maxTokens?: number;
  seed?: number;
  n?: number;
  temperature?: number;
  topP?: number;
  topK?: number;
  minP?: number;
  frequencyPenalty?: number;
  presencePenalty?: number;
  repetitionPenalty?: number;
  stop?: string[];
  includeStop?: boolean;
  logitBias?: Map<number, number>;
  logprobs?: boolean;
  topLogprobs?: number;
  contextLengthExceededBehavior?: "truncate" | "error";
}

/** Keeps what was given and nothing else, so that the engine's defaults apply to the rest. */
export function requestOptions(parsed: ParsedRequestOptions): RequestOptions {
  const names = REQUEST_OPTIONS.map((option) => option().attributeName()) as (keyof ParsedRequestOptions)[];
  return Object.fromEntries(names.filter((name) => parsed[name] !== undefined).map((name) => [name, parsed[name]]));
}

/** @throws EngineError for a flag that only changes what `--json` prints, where that is not given */
export function checkJsonFlags(flags: {
  readonly json?: boolean;
  readonly logprobs?: boolean;
  readonly separateReasoning?: boolean;
}): void {
  if (flags.json === true) return;
  const given =
    flags.logprobs === true ? "--logprobs" : flags.separateReasoning === false ? "--no-separate-reasoning" : null;
  if (given !== null)
    throw new EngineError(
      "unsupported_value",
      `${given} needs --json: it changes nothing of what is printed as text.`,
      given.replace(/^-+/, ""),
    );
}

// Ranges are the engine's to check: it names the parameter, what was given and what is allowed.
const REQUEST_OPTIONS: readonly (() => Option)[] = [
  () => new Option("--max-tokens <count>", "tokens of the answer, at most").argParser(number),
  () => new Option("--seed <integer>", "makes the answer repeatable").argParser(number),
  () => new Option("--n <count>", "choices to draw").argParser(number),
  () => new Option("--temperature <x>", "0 is greedy (default: 1)").argParser(number),
  () => new Option("--top-p <x>", "keep the likeliest tokens that reach this share").argParser(number),
  () => new Option("--top-k <count>", "keep this many of the likeliest tokens").argParser(number),
  () => new Option("--min-p <x>", "keep tokens at least this likely, relative to the likeliest").argParser(number),
  () => new Option("--frequency-penalty <x>", "subtracted for each earlier use of a token").argParser(number),
  () => new Option("--presence-penalty <x>", "subtracted once for a token used before").argParser(number),
  () => new Option("--repetition-penalty <x>", "divides the logits of tokens in prompt and answer").argParser(number),
  () => new Option("--stop <text>", "ends the answer where this text appears; up to 4 times").argParser(collect),
  () => new Option("--include-stop", "keep the stop sequence in the answer"),
  () => new Option("--logit-bias <id=value>", "added to a token's logit; repeatable").argParser(bias),
  () => new Option("--logprobs", "report each token's log-probability (with --json)"),
  () => new Option("--top-logprobs <count>", "and those of the likeliest alternatives, up to 20").argParser(number),
  () =>
    new Option("--context-length-exceeded-behavior <how>", "when prompt and max-tokens exceed the context").choices([
      "truncate",
      "error",
    ]),
];

function number(text: string): number {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (Number.isNaN(value)) throw new InvalidArgumentError("It must be a number.");
  return value;
}

export function positiveInteger(text: string): number {
  const value = number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError("It must be an integer of at least 1.");
  return value;
}

function threads(text: string): number {
  const value = positiveInteger(text);
  if (value > LIMITS.threadsMax) throw new InvalidArgumentError(`It must be in 1..${LIMITS.threadsMax}.`);
  return value;
}

function collect(text: string, earlier: string[] | undefined): string[] {
  return [...(earlier ?? []), text];
}

function bias(text: string, earlier: Map<number, number> | undefined): Map<number, number> {
  const match = /^(\d+)=(.+)$/.exec(text);
  if (match === null) throw new InvalidArgumentError("It must look like 42=-1.5 (token id, value).");
  return new Map([...(earlier ?? []), [Number(match[1]), number(match[2]!)]]);
}

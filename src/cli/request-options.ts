/** Command-line options for loading models, and for request parameters, which the engine's parameter table defines. */

import { existsSync } from "node:fs";

import { InvalidArgumentError, Option, type Command } from "commander";

import {
  EngineError,
  type GenerationOptions,
  type KVFormat,
  type LoadModelOptions,
  type MatrixFormat,
  type OnnxDtype,
  type Profile,
  type SpeculationMode,
  type ToolFormat,
} from "../../engine/index.js";
import { ONNX_DTYPES, TOOL_FORMATS } from "../../engine/folder/index.js";
import { LIMITS } from "../../engine/limits.js";
import {
  isInteger64,
  MAX_INTEGER_64,
  MIN_INTEGER_64,
  PARAMETER_NAMES,
  parameterIn,
  PARAMETERS,
  type ParameterName,
} from "../../engine/sampling/index.js";
import { EMBEDDED_MODEL } from "../../engine/store/index.js";

/** Adds an option for every request parameter of the table. */
export function addRequestOptions(command: Command): Command {
  for (const name of REQUEST_PARAMETERS) command.addOption(requestOption(name));
  return command;
}

/** Adds the options common to all commands that load one model. */
export function addModelOptions(command: Command): Command {
  return addMachineOptions(command.addOption(modelOption()));
}

export function modelOption(): Option {
  return new Option(
    "--model <model>",
    "a Hugging Face folder, a pack (made by convert), a folder of ONNX files, or a model on the Hugging Face Hub (org/name[@revision]) (default: the embedded model)",
  );
}

export function dateOption(): Option {
  return new Option(
    "--date <date>",
    "date that chat templates write, such as 2026-11-30 (default: today's date in UTC)",
  );
}

export function quantOption(): Option {
  return new Option(
    "--quant <format>",
    "weight format for the conversion of a model on its first use (default: q8)",
  ).choices(["q8", "q4", "f32"]);
}

export function offlineOption(): Option {
  return new Option(
    "--offline",
    "do not access the hub; its models must have been downloaded before (also HF_HUB_OFFLINE=1)",
  );
}

function dtypeOption(): Option {
  return new Option("--dtype <name>", "data type of the ONNX files to run (default: the first available)").choices(
    ONNX_DTYPES,
  );
}

export function threadsOption(): Option {
  return new Option(
    "--threads <count>",
    "number of compute threads (default: as many as the machine can run in parallel)",
  ).argParser(threads);
}

/** Adds the options that determine how models run on this machine. */
export function addMachineOptions(command: Command): Command {
  return command
    .addOption(offlineOption())
    .addOption(quantOption())
    .addOption(dtypeOption())
    .addOption(
      new Option(
        "--profile <name>",
        "numerics. fast: ONNX Runtime computes prompts; exact: the results are the same bytes on every machine; auto: fast if ONNX Runtime is installed, but exact for the embedded model (default: auto)",
      ).choices(["auto", "fast", "exact"]),
    )
    .addOption(threadsOption())
    .addOption(
      new Option(
        "--kv-cache <format>",
        "format of the KV cache: f32, bf16, which takes half of the memory, or q8, which takes little more than a quarter (default: f32)",
      ).choices(["f32", "bf16", "q8"]),
    )
    .addOption(
      new Option(
        "--speculate <source>",
        "draft tokens and run several at once; changes no answer. ngram: from what followed the same tokens before; off (default: ngram, but off for ONNX folders)",
      ).choices(["off", "ngram"]),
    )
    .addOption(
      new Option(
        "--tool-format <format>",
        "for a model whose chat template knows no tools: tell it of tools, and let it call them, in this format (default: tools are refused then)",
      ).choices(TOOL_FORMATS),
    );
}

/** Parsed options of `addModelOptions`. */
export interface ModelFlags {
  model?: string;
  offline?: boolean;
  quant?: MatrixFormat;
  dtype?: OnnxDtype;
  profile?: Profile | "auto";
  threads?: number;
  kvCache?: KVFormat;
  speculate?: SpeculationMode;
  toolFormat?: ToolFormat;
}

/** Converts the given model options to the library's names. */
export function modelOptions({
  model,
  offline,
  quant,
  dtype,
  profile,
  threads,
  kvCache,
  speculate,
  toolFormat,
}: ModelFlags): LoadModelOptions {
  return {
    ...(model === undefined || (model === EMBEDDED_MODEL && !existsSync(model)) ? {} : { model }),
    ...(offline === undefined ? {} : { offline }),
    ...(quant === undefined ? {} : { quant }),
    ...(dtype === undefined ? {} : { dtype }),
    ...(profile === undefined ? {} : { profile }),
    ...(threads === undefined ? {} : { numThreads: threads }),
    ...(kvCache === undefined ? {} : { kvCache }),
    ...(speculate === undefined ? {} : { speculate }),
    ...(toolFormat === undefined ? {} : { toolFormat }),
  };
}

/** Parsed options of `addRequestOptions`. */
export type ParsedRequestOptions = GenerationOptions;

/** Returns only the options that were given, so that the engine's defaults apply to the others. */
export function requestOptions(parsed: ParsedRequestOptions): GenerationOptions {
  const given = REQUEST_PARAMETERS.filter((name) => parsed[name] !== undefined);
  return Object.fromEntries(given.map((name) => [name, parsed[name]]));
}

/** Flags of the model and server options, by their names in the library. */
const OPTION_FLAGS: Readonly<Record<string, string>> = {
  model: "--model",
  quant: "--quant",
  dtype: "--dtype",
  profile: "--profile",
  numThreads: "--threads",
  kvCache: "--kv-cache",
  speculate: "--speculate",
  toolFormat: "--tool-format",
  maxConcurrency: "--max-concurrency",
  logprobsMode: "--logprobs",
  offline: "--offline",
  host: "--host",
  apiKeys: "--api-key or TOUCHSTONE_API_KEYS",
  allowedHosts: "--allowed-host",
  corsOrigins: "--cors-origin",
  insecure: "--insecure",
  date: "--date",
};

/** Returns the flag of a library parameter or option, or of a path inside one: `logitBias.17` is `--logit-bias 17`. */
export function flagName(path: string): string {
  const [, head = "", place = ""] = /^(\w+)(.*)$/.exec(path) ?? [];
  if (Object.hasOwn(OPTION_FLAGS, path)) return OPTION_FLAGS[path]!;
  if (!PARAMETER_NAMES.includes(head as ParameterName)) return path;
  return `--${kebabCase(head)}${place.replace(/^\./, " ")}`;
}

/** @throws EngineError for a flag that would have no effect with `--json`, or without it */
export function checkJsonFlags(flags: {
  readonly json?: boolean;
  readonly hideReasoning?: boolean;
  readonly logprobs?: boolean | null | undefined;
  readonly separateReasoning?: boolean | null | undefined;
}): void {
  if (flags.json === true) {
    if (flags.hideReasoning !== true) return;
    throw new EngineError(
      "unsupported_value",
      "--hide-reasoning has no effect with --json, whose reasoning_content is separate.",
      "hide-reasoning",
    );
  }
  const given =
    flags.logprobs === true ? "--logprobs" : flags.separateReasoning === false ? "--no-separate-reasoning" : null;
  if (given !== null)
    throw new EngineError(
      "unsupported_value",
      `${given} needs --json: it has no effect on text output.`,
      given.replace(/^-+/, ""),
    );
}

/** All parameters except `separateReasoning`, which each command handles itself. */
const REQUEST_PARAMETERS = PARAMETER_NAMES.filter((name) => name !== "separateReasoning");

/** Builds the option of a parameter. The engine checks ranges; its errors name the parameter and the allowed values. */
function requestOption(name: ParameterName): Option {
  const { kind, default: fallback } = parameterIn(name, null);
  const flag = `--${kebabCase(name)}`;
  const isStated = typeof fallback === "number" || typeof fallback === "string";
  const help = helpOf(PARAMETERS[name].description) + (isStated ? ` (default: ${fallback})` : "");
  switch (kind.type) {
    case "integer":
      return new Option(`${flag} <integer>`, help).argParser(number);
    case "integer64":
      return new Option(`${flag} <integer>`, help).argParser(integer64);
    case "number":
      return new Option(`${flag} <x>`, help).argParser(number);
    case "boolean":
      return new Option(flag, help);
    case "choice":
      return new Option(`${flag} <how>`, help).choices(kind.values);
    case "texts":
      return new Option(`${flag} <text>`, `${help}; repeatable`).argParser(collect);
    case "biases":
      return new Option(`${flag} <id=value>`, `${help}; repeatable`).argParser(bias);
  }
}

/** Converts a parameter description to help text: lower case, no final period, wire names replaced by flags. */
function helpOf(description: string): string {
  const text = description.replaceAll(/`?\b([a-z]+(?:_[a-z]+)+)\b`?/g, (_, wire: string) => {
    const name = PARAMETER_NAMES.find((other) => PARAMETERS[other].wire === wire);
    return name === undefined ? wire : `--${kebabCase(name)}`;
  });
  return text.replace(/^[A-Z](?=[a-z ])/, (capital) => capital.toLowerCase()).replace(/\.$/, "");
}

const kebabCase = (name: string): string => name.replaceAll(/[A-Z]/g, (capital) => `-${capital.toLowerCase()}`);

function number(text: string): number {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (Number.isNaN(value)) throw new InvalidArgumentError("It must be a number.");
  return value;
}

/** Reads an integer exactly, whatever its size. */
function integer64(text: string): number | bigint {
  const value = /^\s*-?[0-9]{1,20}\s*$/.test(text) ? BigInt(text) : number(text);
  if (isInteger64(value) || (typeof value === "number" && !Number.isInteger(value))) return value;
  throw new InvalidArgumentError(`It must be an integer in ${MIN_INTEGER_64}..${MAX_INTEGER_64}, written in digits.`);
}

export function positiveInteger(text: string): number {
  const value = number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError("It must be an integer of at least 1.");
  return value;
}

function threads(text: string): number {
  const value = positiveInteger(text);
  if (value > LIMITS.maxThreads) throw new InvalidArgumentError(`It must be in 1..${LIMITS.maxThreads}.`);
  return value;
}

/** Collects the values of a flag that may be given several times. */
export function collect(text: string, earlier: string[] | undefined): string[] {
  return [...(earlier ?? []), text];
}

function bias(text: string, earlier: Map<number, number> | undefined): Map<number, number> {
  const match = /^(\d+)=(.+)$/.exec(text);
  if (match === null) throw new InvalidArgumentError("It must look like 42=-1.5 (token id, value).");
  return new Map([...(earlier ?? []), [Number(match[1]), number(match[2]!)]]);
}

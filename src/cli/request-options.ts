/** Command-line options of whatever loads a model, and those of requests, which come from the engine's table of parameters. */

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
} from "../../engine/index.js";
import { ONNX_DTYPES } from "../../engine/folder/index.js";
import { LIMITS } from "../../engine/limits.js";
import { PARAMETER_NAMES, parameterIn, PARAMETERS, type ParameterName } from "../../engine/sampling/index.js";
import { EMBEDDED_MODEL } from "../../engine/store/index.js";

/** Adds every option of the table, `--model` and what goes with it. */
export function addRequestOptions(command: Command): Command {
  for (const name of REQUEST_PARAMETERS) command.addOption(requestOption(name));
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
        "fast: ONNX Runtime computes prompts; exact: the same bytes on every machine (default: auto, which is fast where ONNX Runtime is installed, and exact for the embedded model)",
      ).choices(["auto", "fast", "exact"]),
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
  profile?: Profile | "auto";
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

/** What commander parsed of the table's options. */
export type ParsedRequestOptions = GenerationOptions;

/** Keeps what was given and nothing else, so that the engine's defaults apply to the rest. */
export function requestOptions(parsed: ParsedRequestOptions): GenerationOptions {
  const given = REQUEST_PARAMETERS.filter((name) => parsed[name] !== undefined);
  return Object.fromEntries(given.map((name) => [name, parsed[name]]));
}

/** Options of models and servers that have a flag, by the library's name. */
const OPTION_FLAGS: Readonly<Record<string, string>> = {
  model: "--model",
  quant: "--quant",
  dtype: "--dtype",
  profile: "--profile",
  numThreads: "--threads",
  kvCache: "--kv-cache",
  maxConcurrency: "--max-concurrency",
  logprobsMode: "--logprobs",
  offline: "--offline",
  insecure: "--insecure",
};

/** @returns the flag of a parameter or an option of the library, or of a place inside one: `logitBias.17` is `--logit-bias 17` */
export function flagName(path: string): string {
  const [, head = "", place = ""] = /^(\w+)(.*)$/.exec(path) ?? [];
  if (Object.hasOwn(OPTION_FLAGS, path)) return OPTION_FLAGS[path]!;
  if (!PARAMETER_NAMES.includes(head as ParameterName)) return path;
  return `--${kebabCase(head)}${place.replace(/^\./, " ")}`;
}

/** @throws EngineError for a flag that only changes what `--json` prints, where that is not given */
export function checkJsonFlags(flags: {
  readonly json?: boolean;
  readonly logprobs?: boolean | null | undefined;
  readonly separateReasoning?: boolean | null | undefined;
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

/** Every parameter but the one that each command treats in its own way. */
const REQUEST_PARAMETERS = PARAMETER_NAMES.filter((name) => name !== "separateReasoning");

/** Ranges are the engine's to check: it names the parameter, what was given and what is allowed. */
function requestOption(name: ParameterName): Option {
  const { kind, default: fallback } = parameterIn(name, null);
  const flag = `--${kebabCase(name)}`;
  const isStated = typeof fallback === "number" || typeof fallback === "string";
  const help = helpOf(PARAMETERS[name].description) + (isStated ? ` (default: ${fallback})` : "");
  switch (kind.type) {
    case "integer":
      return new Option(`${flag} <integer>`, help).argParser(number);
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

/** A description as help texts are written: no capital, no stop at its end, names of the wire as flags. */
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

function collect(text: string, earlier: string[] | undefined): string[] {
  return [...(earlier ?? []), text];
}

function bias(text: string, earlier: Map<number, number> | undefined): Map<number, number> {
  const match = /^(\d+)=(.+)$/.exec(text);
  if (match === null) throw new InvalidArgumentError("It must look like 42=-1.5 (token id, value).");
  return new Map([...(earlier ?? []), [Number(match[1]), number(match[2]!)]]);
}

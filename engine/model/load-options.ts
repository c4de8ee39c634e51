/** Options for loading a model, their defaults and their checks. */

import { availableParallelism } from "node:os";

import type { KVFormat, LogprobsMode, MatrixFormat } from "../../kernels/index.js";
import { described, EngineError, outOfRange, refuseUnknownOptions, wrongType } from "../errors.js";
import type { ModelConfig } from "../architecture/index.js";
import {
  hashWithToolFormat,
  ONNX_DTYPES,
  type OnnxDtype,
  type RunnableModel,
  TOOL_FORMATS,
  type ToolFormat,
  withToolFormat,
} from "../folder/index.js";
import { isObject } from "../json.js";
import { LIMITS } from "../limits.js";
import { onnxRuntimeProblem, type Profile, type SpeculationMode } from "../runner/index.js";
import { prepareModel } from "../store/index.js";
import { checkMemory } from "./memory.js";

export interface LoadModelOptions {
  /**
   * A Hugging Face folder, a pack, a folder of ONNX files in the layout of transformers.js, a hub model (`org/name` or
   * `org/name@revision`), or null for the embedded model.
   */
  readonly model?: string | null;
  /** Weight format to which a Hugging Face folder is converted; `q8` by default. A pack already has a format. */
  readonly quant?: MatrixFormat;
  /**
   * ONNX file to run, by its dtype name in transformers.js. By default safetensors if the model has them, else the
   * first available of fp32, fp16, q8 and so on.
   */
  readonly dtype?: OnnxDtype;
  /**
   * Execution of prompts (contract, section 10). `fast`: by ONNX Runtime; gives the same bytes on the same machine.
   * `exact`: by the kernels, like everything else; gives the same bytes on every machine, without ONNX Runtime. `auto`,
   * the default: `fast` if ONNX Runtime can be loaded, else `exact`; the embedded model runs `exact`, which starts
   * sooner.
   */
  readonly profile?: Profile | "auto";
  /** Threads of the kernels and of ONNX Runtime, which take turns; by default as many as the machine runs at a time. */
  readonly numThreads?: number;
  /** Choices that draw tokens at the same time, 1..128, 16 by default. Other choices wait; answers do not change. */
  readonly maxConcurrency?: number;
  /**
   * Distribution of the reported log-probabilities: the model's own (`raw`, default), or that of the tokens left after
   * grammar, bias, penalties, temperature and filters (`processed`). At temperature 0 nothing is scaled or filtered, so
   * `processed` then means after the penalties. The drawn tokens are the same with both.
   */
  readonly logprobsMode?: LogprobsMode;
  /**
   * Format of keys and values; `f32` by default. `bf16` takes half the memory, `q8` little more than a quarter. In the
   * profile `fast`, a run of a prompt holds one block with both, not several. A folder of ONNX files accepts `f32` only.
   */
  readonly kvCache?: KVFormat;
  /**
   * `ngram`, the default except for ONNX folders, drafts the next tokens from what followed the last ones before, and
   * runs several at once where that has been faster; answers do not change. `off` runs one token at a time.
   */
  readonly speculate?: SpeculationMode;
  /** Bytes for keys and values; LIMITS.maxKVCacheBytes by default, and never more than the weights leave of 4 GiB. */
  readonly kvCacheBytes?: number;
  /**
   * Format in which a model is told of tools and calls them, for a model whose chat template knows no tools: `hermes`,
   * JSON in tags. By default, tools are used as the template says, or refused.
   */
  readonly toolFormat?: ToolFormat;
  /**
   * True to make no requests to the hub: its models must have been downloaded before. The environment variable
   * `HF_HUB_OFFLINE` has the same effect.
   */
  readonly offline?: boolean;
  /** Ends a download, which resumes from there the next time, or a conversion, which leaves no files then. */
  readonly signal?: AbortSignal;
  /** Called while a folder is converted, with the converted bytes and the total bytes. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Called while a file of the model is downloaded, with the downloaded bytes, the total bytes and the file name. */
  readonly onDownload?: (done: number, total: number, file: string) => void;
  /** Called with a readable sentence about something that is not an error, such as a hub that does not answer. */
  readonly onNotice?: (message: string) => void;
}

/** Options for running a model, all checked and with defaults filled in. */
export interface CheckedOptions {
  readonly profile: Profile | "auto";
  readonly numThreads: number;
  readonly maxConcurrency: number;
  readonly logprobsMode: LogprobsMode;
  readonly kvCache: KVFormat;
  readonly kvCacheBytes: number;
  /** Undefined if not given: it then depends on the model. */
  readonly speculate: SpeculationMode | undefined;
}

/** Checked options in which `auto` has been replaced by a profile. */
export interface EngineOptions extends CheckedOptions {
  readonly profile: Profile;
}

/**
 * Checks the options and fills in their defaults.
 * @throws EngineError naming the invalid option
 */
export function checkedOptions(options: LoadModelOptions): CheckedOptions {
  if (!isObject(options as unknown)) {
    throw new EngineError("invalid_type", `The options of a model must be an object. Given: ${described(options)}`);
  }
  refuseUnknownOptions(options, Object.keys(CHECKS), "a model");
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined) CHECKS[name as keyof LoadModelOptions](value, name);
  }
  return {
    profile: options.profile ?? "auto",
    numThreads: options.numThreads ?? Math.min(availableParallelism(), LIMITS.maxThreads),
    maxConcurrency: options.maxConcurrency ?? LIMITS.runningSequencesDefault,
    logprobsMode: options.logprobsMode ?? "raw",
    kvCache: options.kvCache ?? "f32",
    kvCacheBytes: options.kvCacheBytes ?? LIMITS.maxKVCacheBytes,
    speculate: options.speculate,
  };
}

/** Returns the profile in which a model runs, before its folder is known. */
async function profileFor(
  { profile }: CheckedOptions,
  model: { readonly isEmbedded: boolean; readonly onNotice?: ((message: string) => void) | undefined },
): Promise<Profile> {
  if (profile !== "auto") return profile;
  if (model.isEmbedded) return "exact";
  const problem = await onnxRuntimeProblem();
  if (problem === null) return "fast";
  if (problem.isInstalled) model.onNotice?.(`${problem.message}. Prompts are computed by the kernels (profile exact).`);
  return "exact";
}

/** Folder of a model that is ready to run, and the options for running it. */
export interface PreparedModel {
  readonly folder: RunnableModel;
  readonly options: EngineOptions;
}

/**
 * Downloads and converts the model if needed, after all checks that can refuse it.
 * @throws EngineError for an option or a model that cannot be used
 */
export async function prepare(options: LoadModelOptions): Promise<PreparedModel> {
  const checked = checkedOptions(options);
  const { model = null, quant, dtype, toolFormat, offline, signal, onProgress, onDownload, onNotice } = options;
  const profile = await profileFor(checked, { isEmbedded: model === null, onNotice });
  const onConfig = (config: ModelConfig, format: MatrixFormat, canConvert: boolean): void =>
    checkMemory(config, { ...checked, profile, format }, canConvert);
  const hub = { dtype, offline, signal, onDownload, onNotice };
  const prepared = await prepareModel({ model, format: quant, onConfig, onProgress, ...hub });
  const modelHash = hashWithToolFormat(prepared.modelHash, toolFormat);
  const folder = { ...withToolFormat(prepared, toolFormat), modelHash };
  signal?.throwIfAborted();
  const beyond = folder.endTokenIds.filter((tokenId) => tokenId >= folder.vocabSize);
  if (beyond.length > 0)
    onNotice?.(`The model's files name end tokens beyond its ${folder.vocabSize} tokens: ${beyond.join(", ")}`);
  // A folder of ONNX files runs only in ONNX Runtime, so `auto` means `fast` for it, even if a pack would run `exact`.
  const isGraph = folder.kind === "onnx" && checked.profile === "auto";
  return { folder, options: { ...checked, profile: isGraph ? "fast" : profile } };
}

type Check = (value: unknown, name: string) => void;

const CHECKS: Readonly<Record<keyof LoadModelOptions, Check>> = {
  model: (value, name) => {
    if (value !== null && typeof value !== "string") throw wrongType(name, "a string or null", value);
  },
  quant: oneOf(["q8", "q4", "f32"] satisfies MatrixFormat[]),
  dtype: oneOf(ONNX_DTYPES),
  profile: oneOf(["auto", "fast", "exact"]),
  numThreads: count(LIMITS.maxThreads),
  maxConcurrency: count(LIMITS.maxRunningSequences),
  logprobsMode: oneOf(["raw", "processed"] satisfies LogprobsMode[]),
  kvCache: oneOf(["f32", "bf16", "q8"] satisfies KVFormat[]),
  kvCacheBytes: count(Number.MAX_SAFE_INTEGER),
  speculate: oneOf(["off", "ngram"] satisfies SpeculationMode[]),
  toolFormat: oneOf(TOOL_FORMATS),
  offline: (value, name) => {
    if (typeof value !== "boolean") throw wrongType(name, "a boolean", value);
  },
  signal: checkSignal,
  onProgress: callback,
  onDownload: callback,
  onNotice: callback,
};

export function checkSignal(signal: unknown): void {
  if (signal === undefined || signal instanceof AbortSignal) return;
  throw wrongType("signal", "an AbortSignal", signal);
}

function oneOf(allowed: readonly string[]): Check {
  return (value, name) => {
    if (typeof value !== "string") throw wrongType(name, "a string", value);
    if (allowed.includes(value)) return;
    throw new EngineError(
      "unsupported_value",
      (named) => `${named(name)} must be ${allowed.join(" or ")}. Given: ${described(value)}`,
      name,
    );
  };
}

function count(maximum: number): Check {
  return (value, name) => {
    if (typeof value !== "number" || (Number.isFinite(value) && !Number.isInteger(value)))
      throw wrongType(name, "an integer", value);
    if (!(value >= 1 && value <= maximum)) throw outOfRange(name, `must be in 1..${maximum}`, value);
  };
}

function callback(value: unknown, name: string): void {
  if (typeof value !== "function") throw wrongType(name, "a function", value);
}

/** What a model is loaded with: options, their defaults and their checks. */

import { availableParallelism } from "node:os";

import type { KVFormat, LogprobsMode, MatrixFormat } from "../../kernels/index.js";
import { described, EngineError, outOfRange, wrongType } from "../errors.js";
import type { ModelConfig } from "../architecture/index.js";
import { ONNX_DTYPES, type OnnxDtype, type RunnableModel } from "../folder/index.js";
import { isObject } from "../json.js";
import { LIMITS } from "../limits.js";
import { onnxRuntimeProblem, type Profile } from "../runner/index.js";
import { prepareModel } from "../store/index.js";
import { checkMemory } from "./memory.js";

export interface LoadModelOptions {
  /**
   * A Hugging Face folder, a pack, a folder of ONNX files in the layout of transformers.js, a model of the hub (`org/name` or
   * `org/name@revision`), or null for the embedded model.
   */
  readonly model?: string | null;
  /** How a Hugging Face folder is converted: `q8` unless given. A pack has its own format. */
  readonly quant?: MatrixFormat;
  /**
   * Which of a model's ONNX files is run, by transformers.js's name. Unless given, safetensors where it has them, else the
   * first of fp32, fp16, q8 and so on.
   */
  readonly dtype?: OnnxDtype;
  /**
   * How prompts are computed (contract, section 10). `fast`: by ONNX Runtime; the same bytes on the same machine. `exact`:
   * by the kernels, like everything else; the same bytes everywhere, and ONNX Runtime is not needed. `auto`, the default:
   * `fast` where ONNX Runtime can be loaded, else `exact`; the embedded model runs `exact`, which starts sooner.
   */
  readonly profile?: Profile | "auto";
  /** Threads of the kernels and of ONNX Runtime, which take turns; as many as the machine runs at a time unless given. */
  readonly numThreads?: number;
  /** Choices that draw tokens at the same time, 1..128: 16 unless given. More wait for their turn; answers stay the same. */
  readonly maxConcurrency?: number;
  /**
   * Whose log-probabilities answers report: the model's own (`raw`, unless given), or those of the tokens that
   * grammar, bias, penalties, temperature and filters leave (`processed`). At temperature 0 nothing is scaled or
   * filtered, so `processed` means after the penalties there. What is drawn stays the same.
   */
  readonly logprobsMode?: LogprobsMode;
  /** How keys and values are kept: `f32` unless given. `q8` takes little more than a quarter of the memory; `exact` only. */
  readonly kvCache?: KVFormat;
  /** Memory for keys and values; LIMITS.maxKVCacheBytes unless given, and never more than the weights leave of 4 GiB. */
  readonly kvCacheBytes?: number;
  /** Whether the hub is left alone, so that its models must have been downloaded before; `HF_HUB_OFFLINE` says so too. */
  readonly offline?: boolean;
  /** Ends a download, which goes on from there the next time, or a conversion, of which nothing is left then. */
  readonly signal?: AbortSignal;
  /** Called while a folder is converted, with bytes done and bytes in all. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Called while a file of the model is downloaded, with bytes done and bytes in all. */
  readonly onDownload?: (done: number, total: number, file: string) => void;
  /** Called with a sentence for people about something that is no error, such as a hub that does not answer. */
  readonly onNotice?: (message: string) => void;
}

/** How a model is run: every option, checked and with its default. */
export interface CheckedOptions {
  readonly profile: Profile | "auto";
  readonly numThreads: number;
  readonly maxConcurrency: number;
  readonly logprobsMode: LogprobsMode;
  readonly kvCache: KVFormat;
  readonly kvCacheBytes: number;
}

/** The same with the profile that `auto` stands for. */
export interface EngineOptions extends CheckedOptions {
  readonly profile: Profile;
}

/** @throws EngineError naming the option that cannot be */
export function engineOptions(options: LoadModelOptions): CheckedOptions {
  if (!isObject(options as unknown)) {
    throw new EngineError("invalid_type", `The options of a model must be an object. Given: ${described(options)}`);
  }
  // TypeScript checks this for its own callers alone, and a misspelled option would go unnoticed.
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(CHECKS, name)) {
      const known = Object.keys(CHECKS).join(", ");
      throw new EngineError("unknown_parameter", `${name} is not an option of a model. Known: ${known}`, name);
    }
    if (value !== undefined) CHECKS[name as keyof LoadModelOptions](value, name);
  }
  const { profile = "auto", kvCache = "f32" } = options;
  if (profile === "fast" && kvCache !== "f32") {
    const reason = "ONNX Runtime, which computes prompts in fast, reads them as f32";
    throw new EngineError("unsupported_value", `8-bit keys and values need the profile exact: ${reason}.`, "kvCache");
  }
  return {
    profile,
    numThreads: options.numThreads ?? Math.min(availableParallelism(), LIMITS.maxThreads),
    maxConcurrency: options.maxConcurrency ?? LIMITS.runningSequencesDefault,
    logprobsMode: options.logprobsMode ?? "raw",
    kvCache,
    kvCacheBytes: options.kvCacheBytes ?? LIMITS.maxKVCacheBytes,
  };
}

/** The profile that a model runs in, before its folder is known. */
async function profileFor(
  { profile, kvCache }: CheckedOptions,
  model: { readonly isEmbedded: boolean; readonly onNotice?: ((message: string) => void) | undefined },
): Promise<Profile> {
  if (profile !== "auto") return profile;
  if (model.isEmbedded || kvCache !== "f32") return "exact";
  const problem = await onnxRuntimeProblem();
  if (problem === null) return "fast";
  if (problem.isInstalled) model.onNotice?.(`${problem.message}. Prompts are computed by the kernels (profile exact).`);
  return "exact";
}

/** A model's folder, ready to be run, and the options to run it with. */
export interface PreparedModel {
  readonly folder: RunnableModel;
  readonly options: EngineOptions;
}

/**
 * Downloads and converts what is needed, after everything that could be refused has been checked.
 * @throws EngineError for an option or a model that cannot be used
 */
export async function prepare(options: LoadModelOptions): Promise<PreparedModel> {
  const checked = engineOptions(options);
  const { model = null, quant, dtype, offline, signal, onProgress, onDownload, onNotice } = options;
  const profile = await profileFor(checked, { isEmbedded: model === null, onNotice });
  const onConfig = (config: ModelConfig, format: MatrixFormat): void =>
    checkMemory(config, { ...checked, profile, format }, true);
  const hub = { dtype, offline, signal, onDownload, onNotice };
  const folder = await prepareModel({ model, format: quant, onConfig, onProgress, ...hub });
  signal?.throwIfAborted();
  // A graph has one way to run: a folder of ONNX files needs ONNX Runtime, even where a pack would do without.
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
  kvCache: oneOf(["f32", "q8"] satisfies KVFormat[]),
  kvCacheBytes: count(Number.MAX_SAFE_INTEGER),
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
      `${name} must be ${allowed.join(" or ")}. Given: ${described(value)}`,
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

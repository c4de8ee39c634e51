/** What a model is loaded with: options, their defaults and their checks. */

import { availableParallelism } from "node:os";

import type { KVFormat, LogprobsMode, MatrixFormat } from "../../kernels/index.js";
import { described, EngineError, wrongType } from "../errors.js";
import { ONNX_DTYPES, type OnnxDtype } from "../folder/index.js";
import { LIMITS } from "../limits.js";

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
   * How prompts are computed (contract, section 10). `fast`, the default: by ONNX Runtime; the same bytes on the same
   * machine. `exact`: by the kernels, like everything else; the same bytes everywhere, and ONNX Runtime is not loaded.
   */
  readonly profile?: Profile;
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
  /** Memory for keys and values; LIMITS.kvCacheBytesMax unless given, and never more than the weights leave of 4 GiB. */
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

export type Profile = (typeof PROFILES)[number];

/** How a pack is run. */
export type EngineOptions = Required<
  Pick<LoadModelOptions, "profile" | "numThreads" | "maxConcurrency" | "logprobsMode" | "kvCache" | "kvCacheBytes">
>;

/** @throws EngineError naming the option that cannot be */
export function engineOptions(options: LoadModelOptions): EngineOptions {
  checkTypes(options);
  const checked: EngineOptions = {
    profile: options.profile ?? "fast",
    numThreads: options.numThreads ?? Math.min(availableParallelism(), LIMITS.threadsMax),
    maxConcurrency: options.maxConcurrency ?? LIMITS.runningSequencesDefault,
    logprobsMode: options.logprobsMode ?? "raw",
    kvCache: options.kvCache ?? "f32",
    kvCacheBytes: options.kvCacheBytes ?? LIMITS.kvCacheBytesMax,
  };
  checkOneOf("profile", checked.profile, PROFILES);
  checkInteger("numThreads", checked.numThreads, LIMITS.threadsMax);
  checkInteger("maxConcurrency", checked.maxConcurrency, LIMITS.runningSequencesMax);
  checkOneOf("logprobsMode", checked.logprobsMode, LOGPROBS_MODES);
  checkOneOf("kvCache", checked.kvCache, KV_FORMATS);
  checkKvCacheBytes(checked.kvCacheBytes);
  if (options.dtype !== undefined) checkOneOf("dtype", options.dtype, ONNX_DTYPES);
  if (checked.profile === "fast" && checked.kvCache !== "f32") {
    const message =
      "8-bit keys and values need the profile exact: ONNX Runtime, which computes prompts in fast, reads them as f32.";
    throw new EngineError("unsupported_value", message, "kvCache");
  }
  return checked;
}

const PROFILES = ["fast", "exact"] as const;
const LOGPROBS_MODES: readonly LogprobsMode[] = ["raw", "processed"];
const KV_FORMATS: readonly KVFormat[] = ["f32", "q8"];

/** What `typeof` says of each option. */
const OPTION_TYPES: Readonly<Record<keyof LoadModelOptions, "string" | "number" | "boolean" | "object" | "function">> =
  {
    model: "string",
    quant: "string",
    dtype: "string",
    profile: "string",
    numThreads: "number",
    maxConcurrency: "number",
    logprobsMode: "string",
    kvCache: "string",
    kvCacheBytes: "number",
    offline: "boolean",
    signal: "object",
    onProgress: "function",
    onDownload: "function",
    onNotice: "function",
  };

/** TypeScript checks this for its own callers alone, and an option that is misspelled would go unnoticed. */
function checkTypes(options: LoadModelOptions): void {
  if (!isOptions(options))
    throw new EngineError("invalid_type", `The options of a model must be an object. Given: ${described(options)}`);
  checkSignal(options.signal);
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(OPTION_TYPES, name)) {
      throw new EngineError(
        "unknown_parameter",
        `${name} is not an option of a model. Known: ${Object.keys(OPTION_TYPES).join(", ")}`,
        name,
      );
    }
    const type = OPTION_TYPES[name as keyof LoadModelOptions];
    if (value === undefined || (name === "model" && value === null) || typeof value === type) continue;
    throw wrongType(name, `a ${type}`, value);
  }
}

export function isOptions(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function checkSignal(signal: unknown): void {
  if (signal === undefined || signal instanceof AbortSignal) return;
  throw wrongType("signal", "an AbortSignal", signal);
}

export function checkOneOf(name: string, value: string, allowed: readonly string[]): void {
  if (allowed.includes(value)) return;
  throw new EngineError(
    "unsupported_value",
    `${name} must be ${allowed.join(" or ")}. Given: ${described(value)}`,
    name,
  );
}

function checkInteger(name: string, value: number, highest: number): void {
  if (Number.isFinite(value) && !Number.isInteger(value)) {
    throw new EngineError("invalid_type", `${name} must be an integer. Given: ${value}`, name);
  }
  if (!(value >= 1 && value <= highest)) {
    throw new EngineError("out_of_range", `${name} must be in 1..${highest}. Given: ${value}`, name);
  }
}

function checkKvCacheBytes(value: number): void {
  if (Number.isSafeInteger(value) && value >= 1) return;
  throw new EngineError("out_of_range", `kvCacheBytes must be an integer >= 1. Given: ${value}`, "kvCacheBytes");
}

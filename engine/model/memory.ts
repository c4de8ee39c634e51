/**
 * Estimates from the configuration alone how much of the machine's memory a model will take. The estimate is made
 * before weights are converted or read, because the system kills a process that takes too much, without a message. Free
 * memory is not used as a limit, because it changes all the time.
 */

import { totalmem } from "node:os";

import { kvPageByteLength, packedByteLength, type KVFormat, type MatrixFormat } from "../../kernels/index.js";
import { EngineError, type Naming } from "../errors.js";
import { LIMITS } from "../limits.js";
import { paddedHeadDim, modelWeights, packedWeights, type ModelConfig } from "../architecture/index.js";

export interface MemoryOptions {
  readonly format: MatrixFormat;
  readonly profile: "fast" | "exact";
  readonly kvCache: KVFormat;
  readonly kvCacheBytes: number;
  readonly maxConcurrency: number;
}

/** Memory that a model takes, in bytes. */
export interface MemoryEstimate {
  /** Weights in the kernels' memory. */
  readonly weights: number;
  /** KV cache in the kernels' memory: one full context, or the limit of the cache if that is less. Allocated on use. */
  readonly keysAndValues: number;
  /** Scratch buffers in the kernels' memory. */
  readonly scratch: number;
  /** Weights that ONNX Runtime holds in the profile `fast`. */
  readonly body: number;
  /** Keys, values and scores of ONNX Runtime for one full context while it runs a prompt; small for short prompts. */
  readonly copies: number;
  /** The program, the tokenizer's tables, and ONNX Runtime itself. */
  readonly program: number;
  readonly total: number;
}

export function estimateMemory(config: ModelConfig, options: MemoryOptions): MemoryEstimate {
  const { format, profile, kvCache, maxConcurrency } = options;
  const { vocabSize, hiddenSize, intermediateSize, numHeads, numKvHeads, headDim, contextLength } = config;
  const parts = [...packedWeights(modelWeights(config))];
  const weights = sum(
    parts.map(({ kind, rows, cols }) => aligned(kind === "vector" ? rows * 4 : packedByteLength(format, rows, cols))),
  );
  const rowLength = 4 * hiddenSize + (numHeads + 2 * numKvHeads) * headDim + 3 * intermediateSize;
  // At most: without drafts there are fewer.
  const numLogitRows = Math.max(maxConcurrency, 1 + LIMITS.maxDraftTokens);
  const scratch = 4 * (LIMITS.promptBlockTokens * rowLength + (numLogitRows + 4) * vocabSize);
  const page = pageByteLength(config, kvCache);
  const keysAndValues = Math.min(
    Math.ceil(contextLength / LIMITS.promptBlockTokens) * page,
    Math.max(options.kvCacheBytes, page),
    roomForPages(weights),
  );
  const inLayers = sum(
    parts.map(({ kind, name, rows, cols }) => (kind === "matrix" && name.startsWith("layers.") ? rows * cols : 0)),
  );
  const body = profile === "exact" ? 0 : Math.ceil(inLayers * (format === "f32" ? 4 : INTEGER_BODY_BYTES));
  // Keys and values that the body appends to, in f32 and with padded heads, as many of a prompt before, and the scores.
  const numPages = keysAndValues / page;
  const staged = 2 * numPages * pageByteLength({ ...config, headDim: paddedHeadDim(config) }, "f32");
  const numPositions = LIMITS.promptBlockTokens * Math.ceil(numPages);
  const scores = Math.max(LIMITS.maxScoresBytes, 4 * numHeads * LIMITS.promptBlockTokens * numPositions);
  const copies = profile === "exact" ? 0 : staged + scores;
  const program = PROGRAM_BYTES + vocabSize * TOKEN_BYTES + (profile === "exact" ? 0 : ONNX_RUNTIME_BYTES);
  return {
    weights,
    keysAndValues,
    scratch,
    body,
    copies,
    program,
    total: weights + keysAndValues + scratch + body + copies + program,
  };
}

/**
 * Checks that a model fits into the machine's memory.
 * @param canConvert true if the weights can still be converted to another format
 * @throws EngineError out_of_memory with the sizes and the options that would fit
 */
export function checkMemory(
  config: ModelConfig,
  options: MemoryOptions,
  canConvert: boolean,
  machine: MachineMemory = machineMemory(),
): void {
  const excess = excessOf(config, options, machine);
  if (excess === null) return;
  const fitting = alternatives(options, canConvert).find(
    (other) => excessOf(config, { ...options, ...other }, machine) === null,
  );
  const hint = (name: Naming): string =>
    fitting === undefined
      ? "A smaller model is needed."
      : `Options that fit: ${optionsOf(fitting, name)} (${mebibytes(estimateMemory(config, { ...options, ...fitting }).total)}).`;
  throw new EngineError("out_of_memory", (name) => `${excess} ${hint(name)}`);
}

export interface MachineMemory {
  readonly byteLength: number;
  /** True if a limit of this process, such as a container's, is below the machine's memory. */
  readonly isLimited: boolean;
}

export function machineMemory(
  constrained: number = process.constrainedMemory(),
  total: number = totalmem(),
): MachineMemory {
  const isLimited = constrained > 0 && constrained < total;
  return { byteLength: isLimited ? constrained : total, isLimited };
}

export function describeEstimate({
  weights,
  keysAndValues,
  scratch,
  body,
  copies,
  program,
  total,
}: MemoryEstimate): string {
  const parts = [
    `weights ${mebibytes(weights)}`,
    `keys and values up to ${mebibytes(keysAndValues)}`,
    ...(body > 0 ? [`ONNX Runtime ${mebibytes(body)}, with long prompts ${mebibytes(body + copies)}`] : []),
    `buffers ${mebibytes(scratch)}`,
    `program and tokenizer ${mebibytes(program)}`,
  ];
  return `about ${mebibytes(total)}: ${parts.join(", ")}`;
}

/** Measured bytes per weight of an int8 body, including the copies that ONNX Runtime makes. */
const INTEGER_BODY_BYTES = 1.5;
/** Measured bytes of the program. */
const PROGRAM_BYTES = 64 << 20;
const ONNX_RUNTIME_BYTES = 48 << 20;
/** Measured bytes of the tokenizer's tables per token. */
const TOKEN_BYTES = 1200;
const MAX_WASM_BYTES = 2 ** 32;

function excessOf(config: ModelConfig, options: MemoryOptions, machine: MachineMemory): string | null {
  const estimate = estimateMemory(config, options);
  if (roomForPages(estimate.weights) < pageByteLength(config, options.kvCache)) {
    return `The model's weights take ${mebibytes(estimate.weights)}; one WebAssembly memory of 4 GiB has room for ${mebibytes(MAX_WASM_BYTES - LIMITS.maxKernelScratchBytes)}.`;
  }
  // Long prompts may still take more memory, but a model that works with short prompts is not refused.
  if (estimate.total - estimate.copies <= machine.byteLength) return null;
  const bound = machine.isLimited ? "this process is limited to" : "this machine has";
  return `The model would take ${describeEstimate(estimate)}; ${bound} ${mebibytes(machine.byteLength)}.`;
}

/** Returns alternative options, least loss first: those that cost speed precede those that lose accuracy. */
function alternatives(options: MemoryOptions, canConvert: boolean): Partial<MemoryOptions>[] {
  const formats: Partial<MemoryOptions>[] = [{}];
  if (canConvert && options.format === "f32") formats.push({ format: "q8" });
  if (canConvert && options.format !== "q4") formats.push({ format: "q4" });
  const caches: Partial<MemoryOptions>[] = [{}];
  if (options.kvCache === "f32") caches.push({ kvCache: "bf16" });
  if (options.kvCache !== "q8") caches.push({ kvCache: "q8" });
  const profiles: Partial<MemoryOptions>[] = [{}];
  if (options.profile === "fast") profiles.push({ profile: "exact" });
  return formats.flatMap((format) =>
    caches.flatMap((cache) => profiles.map((profile) => ({ ...format, ...profile, ...cache }))),
  );
}

function optionsOf({ format, profile, kvCache }: Partial<MemoryOptions>, name: Naming): string {
  const given = [
    format === undefined ? null : `${name("quant")} ${format}`,
    profile === undefined ? null : `${name("profile")} ${profile}`,
    kvCache === undefined ? null : `${name("kvCache")} ${kvCache}`,
  ];
  return given.filter((option) => option !== null).join(" ");
}

function pageByteLength(
  { numLayers, numKvHeads, headDim }: Pick<ModelConfig, "numLayers" | "numKvHeads" | "headDim">,
  kvFormat: KVFormat,
): number {
  return kvPageByteLength({ numLayers, numKvHeads, headDim, pageSize: LIMITS.promptBlockTokens, kvFormat });
}

const roomForPages = (weights: number): number => Math.max(0, MAX_WASM_BYTES - LIMITS.maxKernelScratchBytes - weights);

const aligned = (byteLength: number): number => Math.ceil(byteLength / 64) * 64;

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

function mebibytes(byteLength: number): string {
  return byteLength < 2 ** 20 ? `${Math.ceil(byteLength / 2 ** 10)} KiB` : `${Math.round(byteLength / 2 ** 20)} MiB`;
}

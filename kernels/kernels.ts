/**
 * The kernels and the memory they own. Addresses are byte addresses in that memory. It holds everything that
 * a kernel reads or writes, so logits and weights are never copied into JavaScript.
 */

import {
  CACHE_LINE,
  Format,
  Job,
  type KernelExports,
  Logprobs,
  MATMUL_BYTES,
  MATRIX_BYTES,
  MEMORY,
  REQUEST_BYTES,
  Status,
  MAX_THREADS,
  readAnswer,
  writeMatmul,
  writeMatrix,
  writeRequest,
} from "./layout.js";
import { KernelFailure, type KernelVariant, type LoadedKernels, loadKernels } from "./load.js";
import { type MatrixFormat, packedByteLength } from "./quantize.js";
import { ThreadPool } from "./threads.js";

/** A byte address in the kernels' memory. */
export type Address = number;

/** Weights in the layout the kernels read (layout.md). */
export interface PackedMatrix {
  readonly format: MatrixFormat;
  readonly rows: number;
  readonly cols: number;
  readonly address: Address;
  readonly byteLength: number;
}

/** Parameters of one draw. Steps and arithmetic follow section 3 of the contract. */
export interface SampleRequest {
  /** 0 is greedy. */
  readonly temperature: number;
  /** Integer >= 1; null keeps every token. */
  readonly topK: number | null;
  /** 0..1; null and 1 keep every token. */
  readonly topP: number | null;
  /** 0..1; null and 0 keep every token. */
  readonly minP: number | null;
  /** [0, 1) */
  readonly uniform: number;
  /** > 0; 1 is off. */
  readonly repetitionPenalty: number;
  /** 0 is off. */
  readonly frequencyPenalty: number;
  /** 0 is off. */
  readonly presencePenalty: number;
  readonly adjustments: LogitAdjustments | null;
  /** u32 [ceil(vocabSize / 32)]: bit i of word j set if token 32 j + i is allowed; null allows all. */
  readonly allowed: Uint32Array | null;
  /** Number of alternatives, 0..20; null for no log-probabilities at all. */
  readonly topLogprobs: number | null;
  readonly logprobsMode: LogprobsMode;
}

/**
 * Log-probabilities to report (contract, section 4): `raw`, those of the row as the model produced it, or
 * `processed`, those of the tokens left after step 7, with the temperature applied. Greedy decoding removes only the
 * tokens that the grammar forbids and applies no temperature: its processed log-probabilities are those of the row
 * after step 3, as in vLLM. The mode does not affect the draw.
 */
export type LogprobsMode = "raw" | "processed";

/** Tokens that bias and penalties change; only the first `length` entries of the arrays are used. */
export interface LogitAdjustments {
  readonly length: number;
  /** [length], distinct */
  readonly tokenIds: Int32Array;
  /** [length], added to the logit */
  readonly biases: Float64Array;
  /** [length], occurrences in the output */
  readonly counts: Int32Array;
  /** [length], 1 if the token is in the prompt or the output */
  readonly seen: Uint8Array;
}

export interface SampledToken {
  tokenId: number;
  /** Log-softmax of the token, an f32; null if not requested. */
  logprob: number | null;
  /** The requested number or, if fewer tokens are kept, fewer. By descending log-probability, then ascending id. */
  topLogprobs: { tokenId: number; logprob: number }[];
}

/** Thrown for a row of logits from which no token can be drawn. */
export class InvalidLogitsError extends Error {
  override readonly name = "InvalidLogitsError";
}

const PAGE_BYTES = 65536;
/** The arena grows by at least this many pages (1 MiB). */
const GROWTH_PAGES = 16;
const MAX_MEMORY_BYTES = MEMORY.maximum * PAGE_BYTES;
const MAX_TOP_LOGPROBS = 20;

const INVALID_LOGITS = {
  [Status.NotANumber]: "The row of logits holds NaN",
  [Status.NotFinite]: "The row of logits holds +Infinity or no finite value",
  [Status.NothingAllowed]: "The grammar leaves no token",
} as const;

/** The kernels' number for each format. */
const FORMATS: Readonly<Record<MatrixFormat, Format>> = { f32: Format.F32, q8: Format.Q8, q4: Format.Q4 };
const LOGPROBS: Readonly<Record<LogprobsMode, Logprobs>> = { raw: Logprobs.Raw, processed: Logprobs.Processed };

/** Jobs with at most this many multiplications run on the caller's thread only: waking others would take longer. */
const MAX_MULTIPLICATIONS_ALONE = 1_000_000;

/** Memory for data whose size varies from call to call. */
interface Scratch {
  address: Address;
  byteLength: number;
}

export class Kernels {
  readonly variant: KernelVariant;
  /** Threads that compute: the caller's and the workers. */
  readonly numThreads: number;
  readonly #exports: KernelExports;
  readonly #memory: WebAssembly.Memory;
  readonly #pool: ThreadPool;
  #state: "open" | "closed" | "failed" = "open";
  #end: Address;
  #view: DataView;
  readonly #request: Address;
  readonly #matmul: Address;
  readonly #matrix: Address;
  /** i32 [MAX_TOP_LOGPROBS], then f32 [MAX_TOP_LOGPROBS] */
  readonly #top: Address;
  #gemmScratch: Scratch = { address: 0, byteLength: 0 };
  #sampleScratch: Scratch = { address: 0, byteLength: 0 };
  #inputScratch: Scratch = { address: 0, byteLength: 0 };

  private constructor({ variant, exports, memory }: LoadedKernels, pool: ThreadPool, numThreads: number) {
    this.variant = variant;
    this.numThreads = numThreads;
    this.#exports = exports;
    this.#memory = memory;
    this.#pool = pool;
    this.#end = exports.heap_base() >>> 0;
    this.#view = new DataView(memory.buffer);
    this.#request = this.allocate(REQUEST_BYTES);
    this.#matmul = this.allocate(MATMUL_BYTES);
    this.#matrix = this.allocate(MATRIX_BYTES);
    this.#top = this.allocate(MAX_TOP_LOGPROBS * 8);
  }

  /**
   * Loads the kernels and starts their threads.
   * @param options.variant the build to use; by default the fastest one this machine runs
   * @param options.numThreads threads that compute, the caller's among them; 1 unless given
   */
  static async load(options: { variant?: KernelVariant; numThreads?: number } = {}): Promise<Kernels> {
    const { numThreads = 1 } = options;
    if (!Number.isInteger(numThreads)) throw new RangeError(`numThreads must be an integer. Given: ${numThreads}`);
    checkRange("numThreads", numThreads, 1, MAX_THREADS);
    const loaded = await loadKernels(options.variant ?? null);
    return new Kernels(loaded, ThreadPool.start(loaded, numThreads - 1), numThreads);
  }

  /** Ends the worker threads; the memory can still be read, but nothing runs afterwards. */
  async close(): Promise<void> {
    if (this.#state === "open") this.#state = "closed";
    await this.#pool.close();
  }

  /**
   * @internal Runs a job, on all threads if it is large enough.
   * @throws KernelFailure if a kernel traps or a thread has died; the kernels are unusable then
   */
  run(job: Job, argument: Address, numMultiplications: number): void {
    if (this.#state === "closed") throw new Error("The kernels are closed");
    const numThreads = numMultiplications <= MAX_MULTIPLICATIONS_ALONE ? 1 : this.numThreads;
    this.#call(() => this.#exports.run(job, argument, numThreads));
  }

  /** Calls a kernel. After one call has failed, all others are refused. */
  #call<T>(kernel: () => T): T {
    if (this.#state === "failed") throw new KernelFailure("A kernel has failed before; load the kernels again");
    try {
      return kernel();
    } catch (error) {
      this.#state = "failed";
      this.#exports.fail();
      throw new KernelFailure(`A kernel failed: ${this.#pool.failure() ?? (error as Error).message}`, { cause: error });
    }
  }

  /** @internal Functions that return the memory sizes of a decoder. */
  get sizes(): Pick<KernelExports, `decode_${string}` & keyof KernelExports> {
    return this.#exports;
  }

  /** @internal Writes f32 rows to a part of a page (pages.ts). */
  writePart(...given: Parameters<KernelExports["write_part"]>): void {
    this.#call(() => this.#exports.write_part(...given));
  }

  /** @internal Reads a part of a page as f32 rows (pages.ts). */
  readPart(...given: Parameters<KernelExports["read_part"]>): void {
    this.#call(() => this.#exports.read_part(...given));
  }

  /** @internal A view of the whole memory. */
  get view(): DataView {
    return this.#view;
  }

  /** @internal Writes the kernels' description of a matrix. */
  describe({ format, rows, cols, address: weights }: PackedMatrix, address: Address): void {
    writeMatrix(this.#view, address, { format: FORMATS[format], rows, cols, weights });
  }

  /**
   * Allocates `byteLength` zero bytes that start on a cache line. They cannot be freed individually; all memory is
   * freed with the Kernels. Views created earlier do not cover the new bytes.
   * @throws RangeError past 4 GiB, or if the machine has no memory left
   */
  allocate(byteLength: number): Address {
    if (!Number.isInteger(byteLength) || byteLength < 0) {
      throw new RangeError(`byteLength must be an integer >= 0. Given: ${byteLength}`);
    }
    const address = aligned(this.#end);
    const end = address + byteLength;
    if (end > MAX_MEMORY_BYTES) {
      throw new RangeError(
        `The kernels' memory is limited to 4 GiB; ${address} bytes are allocated, ${byteLength} more were requested`,
      );
    }
    const missing = Math.ceil((end - this.#memory.buffer.byteLength) / PAGE_BYTES);
    if (missing > 0) {
      const room = (MAX_MEMORY_BYTES - this.#memory.buffer.byteLength) / PAGE_BYTES;
      this.#memory.grow(Math.min(Math.max(missing, GROWTH_PAGES), room));
      this.#view = new DataView(this.#memory.buffer);
    }
    this.#end = end;
    return address;
  }

  /** Bytes that can still be allocated, if the machine has them. */
  get numBytesLeft(): number {
    return MAX_MEMORY_BYTES - aligned(this.#end);
  }

  /** A view of `length` bytes. */
  bytes(address: Address, length: number): Uint8Array {
    return new Uint8Array(this.#memory.buffer, address, length);
  }

  /** A view of f32 [length]. `address` is a multiple of 4. */
  f32(address: Address, length: number): Float32Array {
    return new Float32Array(this.#memory.buffer, address, length);
  }

  /** Allocates a packed matrix; the caller fills bytes(matrix.address, matrix.byteLength). */
  allocateMatrix(format: MatrixFormat, rows: number, cols: number): PackedMatrix {
    const byteLength = packedByteLength(format, rows, cols);
    return { format, rows, cols, address: this.allocate(byteLength), byteLength };
  }

  /**
   * Computes output = input x transposed matrix. A row of the result does not depend on `numRows`, and
   * the weights are read from memory once. May allocate scratch.
   * @param input f32 [numRows, cols], 4-byte aligned
   * @param output f32 [numRows, rows], 4-byte aligned, overlapping neither input nor weights
   */
  matmul(matrix: PackedMatrix, input: Address, output: Address, numRows: number): void {
    const { rows, cols, address } = matrix;
    const { numThreads } = this;
    if (!Number.isInteger(numRows) || numRows < 1)
      throw new RangeError(`numRows must be an integer >= 1. Given: ${numRows}`);
    this.#checkSpan("weights", address, matrix.byteLength);
    this.#checkSpan("input", input, numRows * cols * 4);
    this.#checkSpan("output", output, numRows * rows * 4);
    this.describe(matrix, this.#matrix);
    const scratchBytes = this.#exports.matmul_scratch(this.#matrix, numRows, numThreads);
    this.#gemmScratch = this.#reserve(this.#gemmScratch, scratchBytes);
    const scratch = this.#gemmScratch.address;
    writeMatmul(this.#view, this.#matmul, { matrix: this.#matrix, input, output, numRows, numThreads, scratch });
    this.run(Job.Matmul, this.#matmul, rows * cols * numRows);
  }

  /** Writes one row of the matrix as floats: f32 [cols] at `output`, 4-byte aligned. */
  readRow(matrix: PackedMatrix, row: number, output: Address): void {
    const { rows, cols, address } = matrix;
    if (!Number.isInteger(row) || row < 0 || row >= rows) {
      throw new RangeError(`row must be an integer in 0..${rows - 1}. Given: ${row}`);
    }
    this.#checkSpan("weights", address, matrix.byteLength);
    this.#checkSpan("output", output, cols * 4);
    this.describe(matrix, this.#matrix);
    this.#call(() => this.#exports.read_row(this.#matrix, row, output));
  }

  /**
   * Draws one token from a row of logits, which is unchanged afterwards. May allocate scratch.
   * @param logits f32 [vocabSize], 4-byte aligned
   * @throws KernelFailure if the kernel traps; InvalidLogitsError if the row holds NaN, +Infinity or no finite value, or if the grammar
   *   leaves no token
   */
  sample(logits: Address, vocabSize: number, request: SampleRequest): SampledToken {
    if (!Number.isInteger(vocabSize) || vocabSize < 1) {
      throw new RangeError(`vocabSize must be an integer >= 1. Given: ${vocabSize}`);
    }
    this.#checkSpan("logits", logits, vocabSize * 4);
    checkRequest(request, vocabSize);
    this.#writeRequest(logits, vocabSize, request);
    const { status, tokenId, logprob, numTop } = readAnswer(
      this.#view,
      this.#call(() => this.#exports.sample(this.#request)),
    );
    if (status === Status.TokenOutOfRange) {
      throw new RangeError(`adjustments.tokenIds must be in 0..${vocabSize - 1}`);
    }
    if (status !== Status.Ok) throw new InvalidLogitsError(INVALID_LOGITS[status]);
    if (request.topLogprobs === null) return { tokenId, logprob: null, topLogprobs: [] };
    const { buffer } = this.#memory;
    const tokenIds = new Int32Array(buffer, this.#top, numTop);
    const logprobs = new Float32Array(buffer, this.#top + MAX_TOP_LOGPROBS * 4, numTop);
    const topLogprobs = Array.from(tokenIds, (id, i) => ({ tokenId: id, logprob: logprobs[i]! }));
    return { tokenId, logprob, topLogprobs };
  }

  #writeRequest(logits: Address, vocabSize: number, request: SampleRequest): void {
    const numAdjusted = request.adjustments?.length ?? 0;
    const numWords = request.allowed === null ? 0 : Math.ceil(vocabSize / 32);
    this.#sampleScratch = this.#reserve(this.#sampleScratch, this.#exports.sample_scratch(vocabSize) >>> 0);
    this.#inputScratch = this.#reserve(this.#inputScratch, numAdjusted * 17 + numWords * 4);

    const { buffer } = this.#memory;
    const biases = this.#inputScratch.address;
    const tokenIds = biases + numAdjusted * 8;
    const counts = tokenIds + numAdjusted * 4;
    const allowed = counts + numAdjusted * 4;
    const seen = allowed + numWords * 4;
    if (request.adjustments !== null) {
      const { adjustments } = request;
      new Float64Array(buffer, biases, numAdjusted).set(adjustments.biases.subarray(0, numAdjusted));
      new Int32Array(buffer, tokenIds, numAdjusted).set(adjustments.tokenIds.subarray(0, numAdjusted));
      new Int32Array(buffer, counts, numAdjusted).set(adjustments.counts.subarray(0, numAdjusted));
      new Uint8Array(buffer, seen, numAdjusted).set(adjustments.seen.subarray(0, numAdjusted));
    }
    if (request.allowed !== null) new Uint32Array(buffer, allowed, numWords).set(request.allowed.subarray(0, numWords));

    writeRequest(this.#view, this.#request, {
      temperature: request.temperature,
      topP: request.topP ?? 1,
      minP: request.minP ?? 0,
      uniform: request.uniform,
      repetition: request.repetitionPenalty,
      frequency: request.frequencyPenalty,
      presence: request.presencePenalty,
      vocabSize,
      topK: Math.min(request.topK ?? vocabSize, vocabSize),
      logprobs: request.topLogprobs === null ? Logprobs.None : LOGPROBS[request.logprobsMode],
      numTop: request.topLogprobs ?? 0,
      numAdjusted,
      logits,
      allowed: request.allowed === null ? 0 : allowed,
      tokenIds,
      biases,
      counts,
      seen,
      scratch: this.#sampleScratch.address,
      topTokens: this.#top,
      topLogprobs: this.#top + MAX_TOP_LOGPROBS * 4,
    });
  }

  /** Returns `scratch` if it is large enough, otherwise a new one that is at least twice as large. */
  #reserve(scratch: Scratch, byteLength: number): Scratch {
    if (byteLength <= scratch.byteLength) return scratch;
    const larger = Math.max(byteLength, 2 * scratch.byteLength, 1024);
    return { address: this.allocate(larger), byteLength: larger };
  }

  #checkSpan(name: string, address: Address, byteLength: number): void {
    if (!Number.isInteger(address) || address < 0 || address % 4 !== 0 || address + byteLength > this.#end) {
      throw new RangeError(`${name} (${byteLength} bytes at ${address}) must be 4-byte aligned allocated memory`);
    }
  }
}

/** Rounds up to a multiple of the cache line. */
function aligned(byteLength: number): number {
  return Math.ceil(byteLength / CACHE_LINE) * CACHE_LINE;
}

function checkRequest(request: SampleRequest, vocabSize: number): void {
  const { adjustments, allowed, topK, topLogprobs } = request;
  checkRange("temperature", request.temperature, 0, Number.MAX_VALUE);
  checkRange("topP", request.topP ?? 1, 0, 1);
  checkRange("minP", request.minP ?? 0, 0, 1);
  checkRange("uniform", request.uniform, 0, 1 - 2 ** -53);
  checkRange("repetitionPenalty", request.repetitionPenalty, Number.MIN_VALUE, Number.MAX_VALUE);
  checkRange("frequencyPenalty", request.frequencyPenalty, -Number.MAX_VALUE, Number.MAX_VALUE);
  checkRange("presencePenalty", request.presencePenalty, -Number.MAX_VALUE, Number.MAX_VALUE);
  checkRange("topK", topK ?? 1, 1, Number.MAX_VALUE);
  checkRange("topLogprobs", topLogprobs ?? 0, 0, MAX_TOP_LOGPROBS);
  if (allowed !== null && allowed.length < Math.ceil(vocabSize / 32)) {
    throw new RangeError(`allowed must have ${Math.ceil(vocabSize / 32)} words. Given: ${allowed.length}`);
  }
  if (adjustments !== null) {
    const { length, tokenIds, biases, counts, seen } = adjustments;
    const room = Math.min(tokenIds.length, biases.length, counts.length, seen.length);
    // The kernel saves the logits that it changes, in a buffer of one entry per token.
    checkRange("adjustments.length", length, 0, Math.min(room, vocabSize));
  }
}

function checkRange(name: string, value: number, lowest: number, highest: number): void {
  if (!(value >= lowest && value <= highest)) {
    throw new RangeError(`${name} must be in ${lowest}..${highest}. Given: ${value}`);
  }
}

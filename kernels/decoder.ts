/**
 * The Llama family's decoder: token ids in, hidden states after the final norm out. Everything runs in
 * the kernels, on all their threads, over keys and values in the caller's pages (layout.md). This side
 * checks shapes and writes descriptions; assembly/decoder.ts computes.
 */

import {
  type Address,
  Job,
  type Kernels,
  MATRIX_BYTES,
  MULTIPLICATIONS_ALONE_MAX,
  type PackedMatrix,
} from "./kernels.js";

/** `f32`: as computed; `q8`: int8 with one f32 scale for each position and head. */
export type KVFormat = "f32" | "q8";

export interface DecoderLayer {
  /** f32 [hiddenSize] */
  readonly inputNorm: Address;
  /** Query, key and value rows: [(numHeads + 2 * numKvHeads) * headDim, hiddenSize]. */
  readonly qkv: PackedMatrix;
  /** f32 [qkv.rows] */
  readonly qkvBias: Address | null;
  /** f32 [headDim] */
  readonly qNorm: Address | null;
  /** f32 [headDim] */
  readonly kNorm: Address | null;
  /** [hiddenSize, numHeads * headDim] */
  readonly output: PackedMatrix;
  /** f32 [hiddenSize] */
  readonly outputBias: Address | null;
  /** f32 [hiddenSize] */
  readonly attentionNorm: Address;
  /** Gate rows, then up rows: [2 * intermediateSize, hiddenSize]. */
  readonly gateUp: PackedMatrix;
  /** [hiddenSize, intermediateSize] */
  readonly down: PackedMatrix;
}

export interface DecoderSpec {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  /** Even. */
  readonly headDim: number;
  readonly normEpsilon: number;
  readonly layers: readonly DecoderLayer[];
  /** f32 [hiddenSize] */
  readonly finalNorm: Address;
  /** [vocabSize, hiddenSize] */
  readonly embedding: PackedMatrix;
  /** Positions of a KV page, a multiple of 4. */
  readonly pageSize: number;
  readonly kvFormat: KVFormat;
  /** Rows of one pass, at most. */
  readonly numRowsMax: number;
  readonly contextLength: number;
}

export interface DecoderRow {
  readonly tokenId: number;
  readonly position: number;
  /** The pages of the row's sequence, position 0 first; rows of one sequence may share the array. */
  readonly pages: readonly Address[];
}

export interface KVPageShape {
  readonly numLayers: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly pageSize: number;
  readonly kvFormat: KVFormat;
}

/** Bytes of one KV page. */
export function kvPageByteLength({ numLayers, numKvHeads, headDim, pageSize, kvFormat }: KVPageShape): number {
  return numLayers * 2 * numKvHeads * pageSize * (kvFormat === "f32" ? headDim * 4 : headDim + 4);
}

/** Rows that each thread prepares for itself (LOCAL_ROWS_MAX in assembly/matmul.ts). */
const LOCAL_ROWS_MAX = 2;
const HEAD_DIM_MAX = 1024;
/** Bytes of the descriptions in assembly/decoder.ts. */
const JOB_BYTES = 108;
const LAYER_BYTES = 40;
const ROW_BYTES = 12;
/** Phases of a layer, and those before and after all layers. */
const LAYER_PHASES = 8;
const OTHER_PHASES = 2;
/** PHASES_MAX in assembly/threads.ts. */
const PHASES_MAX = 2048;

export class Decoder {
  readonly spec: DecoderSpec;
  readonly #kernels: Kernels;
  readonly #job: Address;
  readonly #hidden: Address;
  readonly #rows: Address;
  readonly #cos: Address;
  readonly #sin: Address;
  readonly #pages: Address;
  /** Pages of a sequence, at most. */
  readonly #pagesMax: number;
  readonly #multiplicationsPerRow: number;

  /** Describes the model to the kernels and takes its scratch; the arrays of `spec` are not read again. */
  constructor(kernels: Kernels, spec: DecoderSpec) {
    checkSpec(spec);
    this.#kernels = kernels;
    this.spec = spec;
    const { numRowsMax, headDim } = spec;
    this.#pagesMax = Math.ceil(spec.contextLength / spec.pageSize);
    this.#multiplicationsPerRow = spec.layers
      .flatMap(({ qkv, output, gateUp, down }) => [qkv, output, gateUp, down])
      .reduce((total, { rows, cols }) => total + rows * cols, 0);
    this.#rows = kernels.allocate(numRowsMax * ROW_BYTES);
    this.#pages = kernels.allocate(numRowsMax * this.#pagesMax * 4);
    this.#cos = kernels.allocate(numRowsMax * (headDim / 2) * 4);
    this.#sin = kernels.allocate(numRowsMax * (headDim / 2) * 4);
    this.#hidden = kernels.allocate(numRowsMax * spec.hiddenSize * 4);
    this.#job = kernels.allocate(JOB_BYTES);
    this.#describe();
  }

  /**
   * Runs the rows, writes each row's keys and values at its position, and returns hidden states after
   * the final norm. Positions before a row's are in its pages or in earlier rows of the same pass; rows
   * of one sequence are in ascending position. A row's result is the same bits whatever the other rows,
   * the number of threads and the build are.
   * @param cos f32 [rows, headDim / 2], the cosines of each row's rotary angles
   * @param sin f32 [rows, headDim / 2]
   * @returns f32 [rows, hiddenSize], valid until the next pass
   */
  forward(rows: readonly DecoderRow[], cos: Float32Array, sin: Float32Array): Address {
    const { numRowsMax, headDim, layers } = this.spec;
    if (rows.length < 1 || rows.length > numRowsMax)
      throw new RangeError(`A pass has 1 to ${numRowsMax} rows. Given: ${rows.length}`);
    const numAngles = rows.length * (headDim / 2);
    if (cos.length !== numAngles || sin.length !== numAngles)
      throw new RangeError(`cos and sin must have ${numAngles} elements each`);
    this.#writeRows(rows);
    this.#kernels.f32(this.#cos, numAngles).set(cos);
    this.#kernels.f32(this.#sin, numAngles).set(sin);
    this.#words(this.#job + NUM_ROWS_OFFSET, 1)[0] = rows.length;
    const numPhases = layers.length * LAYER_PHASES + OTHER_PHASES;
    const alone = rows.length * this.#multiplicationsPerRow <= MULTIPLICATIONS_ALONE_MAX;
    this.#kernels.run(Job.decode, this.#job, numPhases, alone);
    return this.#hidden;
  }

  /** Rows that share their array of pages share its copy. */
  #writeRows(rows: readonly DecoderRow[]): void {
    const copies = new Map<readonly Address[], Address>();
    const words = this.#words(this.#rows, rows.length * 3);
    rows.forEach((row, n) => {
      this.#checkRow(row);
      let copy = copies.get(row.pages);
      if (copy === undefined) {
        copy = this.#pages + copies.size * this.#pagesMax * 4;
        copies.set(row.pages, copy);
        this.#words(copy, row.pages.length).set(row.pages);
      }
      words.set([row.tokenId, row.position, copy], n * 3);
    });
  }

  #checkRow({ tokenId, position, pages }: DecoderRow): void {
    const { embedding, contextLength, pageSize } = this.spec;
    checkInteger("tokenId", tokenId, 0, embedding.rows - 1);
    checkInteger("position", position, 0, contextLength - 1);
    checkInteger("pages.length", pages.length, Math.floor(position / pageSize) + 1, this.#pagesMax);
  }

  /** Writes the job, all but its rows, and takes the scratch whose size the build knows. */
  #describe(): void {
    const kernels = this.#kernels;
    const { spec } = this;
    const { numRowsMax } = spec;
    const fixed = [
      spec.hiddenSize,
      spec.intermediateSize,
      spec.numHeads,
      spec.numKvHeads,
      spec.headDim,
      floatBits(spec.normEpsilon),
      spec.layers.length,
      this.#describeLayers(),
      spec.finalNorm,
      this.#describeMatrix(spec.embedding),
      spec.pageSize,
      spec.kvFormat === "q8" ? 1 : 0,
      this.#pagesMax,
      kernels.numThreads,
    ];
    this.#words(this.#job, fixed.length).set(fixed);

    const { sizes } = kernels;
    const localBytes = Math.ceil((sizes.decode_local_bytes(this.#job, numRowsMax) >>> 0) / 64) * 64;
    const queriesBytes = numRowsMax * spec.numHeads * (sizes.decode_query_bytes(this.#job) >>> 0);
    const partialsBytes =
      LOCAL_ROWS_MAX * spec.numHeads * this.#pagesMax * (sizes.decode_partial_bytes(this.#job) >>> 0);
    const perPass = [
      numRowsMax,
      this.#rows,
      this.#cos,
      this.#sin,
      kernels.allocate(numRowsMax * spec.hiddenSize * 4),
      this.#hidden,
      kernels.allocate(sizes.decode_prepared_bytes(this.#job, numRowsMax) >>> 0),
      kernels.allocate(sizes.decode_activated_bytes(this.#job, numRowsMax) >>> 0),
      kernels.allocate(queriesBytes),
      kernels.allocate(numRowsMax * spec.numHeads * spec.headDim * 4),
      kernels.allocate(partialsBytes),
      kernels.allocate(kernels.numThreads * localBytes),
      localBytes,
    ];
    this.#words(this.#job + NUM_ROWS_OFFSET, perPass.length).set(perPass);
  }

  #describeLayers(): Address {
    const { layers } = this.spec;
    const address = this.#kernels.allocate(layers.length * LAYER_BYTES);
    layers.forEach((layer, index) => {
      this.#words(address + index * LAYER_BYTES, LAYER_BYTES / 4).set([
        layer.inputNorm,
        this.#describeMatrix(layer.qkv),
        layer.qkvBias ?? 0,
        layer.qNorm ?? 0,
        layer.kNorm ?? 0,
        this.#describeMatrix(layer.output),
        layer.outputBias ?? 0,
        layer.attentionNorm,
        this.#describeMatrix(layer.gateUp),
        this.#describeMatrix(layer.down),
      ]);
    });
    return address;
  }

  #describeMatrix(matrix: PackedMatrix): Address {
    const address = this.#kernels.allocate(MATRIX_BYTES);
    this.#kernels.describe(matrix, address);
    return address;
  }

  /** u32 [length] */
  #words(address: Address, length: number): Uint32Array {
    const { buffer, byteOffset } = this.#kernels.bytes(address, length * 4);
    return new Uint32Array(buffer, byteOffset, length);
  }
}

/** Where `numRows` is in the job, behind what never changes. */
const NUM_ROWS_OFFSET = 56;

function floatBits(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0]!;
}

function checkSpec(spec: DecoderSpec): void {
  const { hiddenSize, intermediateSize, numHeads, numKvHeads, headDim, layers, pageSize } = spec;
  checkInteger("hiddenSize", hiddenSize, 1, 2 ** 20);
  checkInteger("intermediateSize", intermediateSize, 1, 2 ** 20);
  checkInteger("numKvHeads", numKvHeads, 1, 2 ** 16);
  checkInteger("numHeads / numKvHeads", numHeads / numKvHeads, 1, 2 ** 16);
  checkInteger("headDim / 2", headDim / 2, 1, HEAD_DIM_MAX / 2);
  checkInteger("layers.length", layers.length, 1, Math.floor((PHASES_MAX - OTHER_PHASES) / LAYER_PHASES));
  checkInteger("pageSize / 4", pageSize / 4, 1, 256);
  checkInteger("numRowsMax", spec.numRowsMax, 1, 2 ** 16);
  checkInteger("contextLength", spec.contextLength, 1, 2 ** 24);
  checkMatrix("embedding", spec.embedding, spec.embedding.rows, hiddenSize);
  layers.forEach(({ qkv, output, gateUp, down }, index) => {
    checkMatrix(`layers.${index}.qkv`, qkv, (numHeads + 2 * numKvHeads) * headDim, hiddenSize);
    checkMatrix(`layers.${index}.output`, output, hiddenSize, numHeads * headDim);
    checkMatrix(`layers.${index}.gateUp`, gateUp, 2 * intermediateSize, hiddenSize);
    checkMatrix(`layers.${index}.down`, down, hiddenSize, intermediateSize);
    const { qkv: first, output: second, gateUp: third, down: fourth } = layers[0]!;
    const same = qkv.format === first.format && output.format === second.format && gateUp.format === third.format;
    if (!same || down.format !== fourth.format) throw new RangeError(`layers.${index} has other formats than layers.0`);
  });
}

function checkMatrix(name: string, { rows, cols }: PackedMatrix, expectedRows: number, expectedCols: number): void {
  if (rows !== expectedRows || cols !== expectedCols) {
    throw new RangeError(`${name} must be [${expectedRows}, ${expectedCols}]. Given: [${rows}, ${cols}]`);
  }
}

function checkInteger(name: string, value: number, lowest: number, highest: number): void {
  if (!Number.isInteger(value) || value < lowest || value > highest) {
    throw new RangeError(`${name} must be an integer in ${lowest}..${highest}. Given: ${value}`);
  }
}

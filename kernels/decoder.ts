/**
 * Decoder of the Llama family: takes token ids and returns hidden states after the final norm. The kernels compute
 * everything (assembly/decoder.ts), on all their threads, with keys and values in the caller's pages (layout.md).
 * This file checks shapes and writes the job descriptions.
 */

import type { Address, Kernels, PackedMatrix } from "./kernels.js";
import {
  DECODE_BYTES,
  type Decode,
  Job,
  MAX_LAYERS,
  LAYER_BYTES,
  MATRIX_BYTES,
  MAX_PRODUCTS,
  ROW_BYTES,
  writeDecode,
  writeLayer,
  writeRow,
} from "./layout.js";
import { type KVFormat, PAGE_FORMATS, kvPageByteLength } from "./pages.js";

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
  /** An even number. */
  readonly headDim: number;
  readonly normEpsilon: number;
  readonly layers: readonly DecoderLayer[];
  /** f32 [hiddenSize] */
  readonly finalNorm: Address;
  /** [vocabSize, hiddenSize] */
  readonly embedding: PackedMatrix;
  /** Positions of a KV cache page, a multiple of 4. */
  readonly pageSize: number;
  readonly kvFormat: KVFormat;
  /** Maximum rows of one pass. */
  readonly maxRows: number;
  readonly contextLength: number;
}

export interface DecoderRow {
  readonly tokenId: number;
  readonly position: number;
  /** The pages of the row's sequence, position 0 first; rows of one sequence may share the array. */
  readonly pages: readonly Address[];
}

export class Decoder {
  readonly #spec: DecoderSpec;
  readonly #kernels: Kernels;
  readonly #job: Address;
  readonly #decode: Decode;
  readonly #pages: Address;
  readonly #multiplicationsPerRow: number;

  /** Describes the model to the kernels and allocates its scratch; the arrays of `spec` are not read again. */
  constructor(kernels: Kernels, spec: DecoderSpec) {
    checkSpec(spec);
    this.#kernels = kernels;
    this.#spec = spec;
    this.#multiplicationsPerRow = spec.layers
      .flatMap(({ qkv, output, gateUp, down }) => [qkv, output, gateUp, down])
      .reduce((total, { rows, cols }) => total + rows * cols, 0);
    this.#job = kernels.allocate(DECODE_BYTES);
    this.#decode = this.#describe();
    this.#pages = kernels.allocate(spec.maxRows * this.#decode.maxPages * 4);
  }

  /**
   * Runs the rows, writes each row's keys and values at its position, and returns hidden states after
   * the final norm. The keys and values of earlier positions must be in the row's pages or come from earlier rows of
   * the same pass; rows of one sequence must be in ascending order of position. A row's result has the same bits
   * regardless of the other rows, the number of threads and the build.
   * @param cos f32 [rows, headDim / 2], the cosines of each row's rotary angles
   * @param sin f32 [rows, headDim / 2]
   * @returns f32 [rows, hiddenSize], valid until the next pass
   */
  forward(rows: readonly DecoderRow[], cos: Float32Array, sin: Float32Array): Address {
    const { maxRows, headDim } = this.#spec;
    if (rows.length < 1 || rows.length > maxRows)
      throw new RangeError(`A pass has 1 to ${maxRows} rows. Given: ${rows.length}`);
    const numAngles = rows.length * (headDim / 2);
    if (cos.length !== numAngles || sin.length !== numAngles)
      throw new RangeError(`cos and sin must have ${numAngles} elements each`);
    this.#writeRows(rows);
    this.#kernels.f32(this.#decode.cos, numAngles).set(cos);
    this.#kernels.f32(this.#decode.sin, numAngles).set(sin);
    this.#decode.numRows = rows.length;
    writeDecode(this.#kernels.view, this.#job, this.#decode);
    this.#kernels.run(Job.Decode, this.#job, rows.length * this.#multiplicationsPerRow);
    return this.#decode.hidden;
  }

  /** Writes the row descriptions. Rows that share an array of pages also share its copy. */
  #writeRows(rows: readonly DecoderRow[]): void {
    const { view } = this.#kernels;
    const copies = new Map<readonly Address[], Address>();
    rows.forEach((row, n) => {
      this.#checkRow(row);
      const { tokenId, position } = row;
      let pages = copies.get(row.pages);
      if (pages === undefined) {
        pages = this.#pages + copies.size * this.#decode.maxPages * 4;
        copies.set(row.pages, pages);
        new Uint32Array(view.buffer, pages, row.pages.length).set(row.pages);
      }
      writeRow(view, this.#decode.rows + n * ROW_BYTES, { tokenId, position, pages });
    });
  }

  #checkRow({ tokenId, position, pages }: DecoderRow): void {
    const { embedding, contextLength, pageSize } = this.#spec;
    checkInteger("tokenId", tokenId, 0, embedding.rows - 1);
    checkInteger("position", position, 0, contextLength - 1);
    checkInteger("pages.length", pages.length, Math.floor(position / pageSize) + 1, this.#decode.maxPages);
  }

  /** Allocates the memory of a pass. The kernels compute the scratch size from a description without scratch. */
  #describe(): Decode {
    const kernels = this.#kernels;
    const { sizes, numThreads } = kernels;
    const spec = this.#spec;
    const { hiddenSize, headDim, pageSize, maxRows } = spec;
    const decode: Decode = {
      hiddenSize,
      intermediateSize: spec.intermediateSize,
      numHeads: spec.numHeads,
      numKvHeads: spec.numKvHeads,
      headDim,
      normEpsilon: spec.normEpsilon,
      numLayers: spec.layers.length,
      layers: this.#describeLayers(),
      finalNorm: spec.finalNorm,
      embedding: this.#describeMatrix(spec.embedding),
      pageSize,
      kvFormat: PAGE_FORMATS[spec.kvFormat],
      maxPages: Math.ceil(spec.contextLength / pageSize),
      numThreads,
      maxRows,
      numRows: 0,
      rows: kernels.allocate(maxRows * ROW_BYTES),
      cos: kernels.allocate(maxRows * (headDim / 2) * 4),
      sin: kernels.allocate(maxRows * (headDim / 2) * 4),
      hidden: kernels.allocate(maxRows * hiddenSize * 4),
      scratch: 0,
    };
    writeDecode(kernels.view, this.#job, decode);
    // Callers without kernels use kvPageByteLength. If it were too small, the kernels would write past a page's end.
    const given = kvPageByteLength({ ...spec, numLayers: spec.layers.length });
    const needed = sizes.decode_page_bytes(this.#job);
    if (given !== needed) throw new Error(`kvPageByteLength gives ${given} bytes; the kernels use ${needed}`);
    decode.scratch = kernels.allocate(sizes.decode_scratch(this.#job));
    return decode;
  }

  #describeLayers(): Address {
    const { layers } = this.#spec;
    const address = this.#kernels.allocate(layers.length * LAYER_BYTES);
    layers.forEach((layer, index) => {
      const fields = {
        inputNorm: layer.inputNorm,
        qkv: this.#describeMatrix(layer.qkv),
        qkvBias: layer.qkvBias ?? 0,
        qNorm: layer.qNorm ?? 0,
        kNorm: layer.kNorm ?? 0,
        output: this.#describeMatrix(layer.output),
        outputBias: layer.outputBias ?? 0,
        attentionNorm: layer.attentionNorm,
        gateUp: this.#describeMatrix(layer.gateUp),
        down: this.#describeMatrix(layer.down),
      };
      writeLayer(this.#kernels.view, address + index * LAYER_BYTES, fields);
    });
    return address;
  }

  #describeMatrix(matrix: PackedMatrix): Address {
    const address = this.#kernels.allocate(MATRIX_BYTES);
    this.#kernels.describe(matrix, address);
    return address;
  }
}

function checkSpec(spec: DecoderSpec): void {
  const { hiddenSize, intermediateSize, numHeads, numKvHeads, headDim, layers, pageSize } = spec;
  checkInteger("hiddenSize", hiddenSize, 1, 2 ** 20);
  checkInteger("intermediateSize", intermediateSize, 1, 2 ** 20);
  checkInteger("numKvHeads", numKvHeads, 1, 2 ** 16);
  checkInteger("numHeads / numKvHeads", numHeads / numKvHeads, 1, 2 ** 16);
  checkInteger("headDim / 2", headDim / 2, 1, MAX_PRODUCTS / 2);
  checkInteger("layers.length", layers.length, 1, MAX_LAYERS);
  checkInteger("pageSize / 4", pageSize / 4, 1, MAX_PRODUCTS / 4);
  checkInteger("maxRows", spec.maxRows, 1, 2 ** 16);
  checkInteger("contextLength", spec.contextLength, 1, 2 ** 24);
  checkMatrix("embedding", spec.embedding, spec.embedding.rows, hiddenSize);
  layers.forEach(({ qkv, output, gateUp, down }, index) => {
    checkMatrix(`layers.${index}.qkv`, qkv, (numHeads + 2 * numKvHeads) * headDim, hiddenSize);
    checkMatrix(`layers.${index}.output`, output, hiddenSize, numHeads * headDim);
    checkMatrix(`layers.${index}.gateUp`, gateUp, 2 * intermediateSize, hiddenSize);
    checkMatrix(`layers.${index}.down`, down, hiddenSize, intermediateSize);
    const { qkv: first, output: second, gateUp: third, down: fourth } = layers[0]!;
    const same = qkv.format === first.format && output.format === second.format && gateUp.format === third.format;
    if (!same || down.format !== fourth.format)
      throw new RangeError(`layers.${index} must have the formats of layers.0`);
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

/**
 * Converts a Hugging Face model folder into a pack: the ONNX body, the packed weights of the kernels, a manifest.
 * Weights are streamed in chunks of rows, and at most one matrix is held in int8 for the body, so memory does not grow
 * with the number of layers. The same files give the same bytes on every machine.
 */

import { join } from "node:path";

import { dequantize, pack, quantize, type MatrixFormat, type QuantizedFormat } from "../../kernels/index.js";
import { packedWeights, type StackedWeight } from "../architecture/index.js";
import { assert } from "../errors.js";
import {
  BODY_DATA_FILE,
  BODY_FILE,
  checkTokenizer,
  TENSOR_ALIGNMENT,
  WEIGHTS_FILE,
  writeManifest,
  type PackedTensor,
  type SourceModel,
} from "../folder/index.js";
import { FileSink, onnxFileBytes, writeOnnx, type FileRecord, type InitializerPiece } from "../formats/index.js";
import { LIMITS } from "../limits.js";
import { bodyGraph, type BodyGraph, type WeightPart } from "./body-graph.js";
import { countEqualized, countWeights, WeightReader, type ReadOptions, type WeightChunk } from "./weight-reader.js";

export interface WriteOptions extends ReadOptions {
  readonly format: MatrixFormat;
  /** Size in bytes from which the body keeps its weights in a separate file. */
  readonly externalFromBytes?: number;
}

/** Writes the pack into the empty folder `dir`. */
export async function writePack(source: SourceModel, dir: string, options: WriteOptions): Promise<void> {
  const { format } = options;
  checkTokenizer(source);
  const graph = bodyGraph(source.config, source.weights, format);
  const kernelWeights = [...packedWeights(source.weights)];
  const reader = new WeightReader(source, format, countRead(source, format), options);
  const records = new Map<string, FileRecord>();
  const sinks: FileSink[] = [];
  const create = async (name: string): Promise<FileSink> => {
    const sink = await FileSink.create(join(dir, name));
    sinks.push(sink);
    return sink;
  };
  try {
    for (const [name, bytes] of source.files) {
      const sink = await create(name);
      await sink.write(bytes);
      records.set(name, await sink.finish());
    }
    const weights = new WeightsWriter(await create(WEIGHTS_FILE), format, reader);
    const isExternal = onnxFileBytes(graph) >= (options.externalFromBytes ?? LIMITS.maxInlineWeightsBytes);
    const body = await create(BODY_FILE);
    const data = isExternal ? { sink: await create(BODY_DATA_FILE), location: BODY_DATA_FILE } : null;
    await writeOnnx(graph, bodyContents(graph, format, reader, weights), body, data);
    records.set(BODY_FILE, await body.finish());
    if (data !== null) records.set(BODY_DATA_FILE, await data.sink.finish());

    const tensors = await weights.finish(kernelWeights);
    records.set(WEIGHTS_FILE, await weights.sink.finish());
    await writeManifest(dir, { format, records, tensors });
  } finally {
    await Promise.all(sinks.map((sink) => sink.abandon()));
  }
}

/** Returns the number of weights that are read for a pack, each counted as often as it is read. */
function countRead(source: SourceModel, format: MatrixFormat): number {
  const { weights } = source;
  const kernels = [...packedWeights(weights)];
  const body = kernels.filter((weight) => weight !== weights.embedding && weight.name !== "lm_head");
  const again = format === "f32" ? body : body.filter(({ kind }) => kind === "vector");
  return countWeights([...kernels, ...again]) + countEqualized(source, format);
}

/** Yields the initializers' bytes in the graph's order. Matrices needed in int8 are also written to weights.bin. */
async function* bodyContents(
  graph: BodyGraph,
  format: MatrixFormat,
  reader: WeightReader,
  weights: WeightsWriter,
): AsyncGenerator<InitializerPiece> {
  let current = null as { weight: StackedWeight; matrix: Int8Matrix } | null;
  for (const { name, contents } of graph.initializers) {
    switch (contents.kind) {
      case "constant":
        yield { name, bytes: asBytes(contents.values) };
        break;
      case "rows":
        for await (const { values } of reader.chunks(contents.of.weight, contents.of))
          yield { name, bytes: asBytes(values) };
        break;
      case "int8": {
        const { weight, cols } = contents.of;
        assert(format !== "f32", "a float body has no int8 matrices");
        if (current?.weight !== weight)
          current = { weight, matrix: await weights.writeQuantized(weight, format, cols) };
        yield { name, bytes: asBytes(current.matrix.columnsFirst(contents.of)) };
        break;
      }
      case "scales": {
        assert(current?.weight === contents.of.weight, "scales follow their values");
        yield { name, bytes: asBytes(current.matrix.scalesOf(contents.of)) };
        break;
      }
    }
  }
}

/** Appends weights to weights.bin in the kernels' layout. */
class WeightsWriter {
  readonly #tensors = new Map<string, PackedTensor>();

  constructor(
    readonly sink: FileSink,
    readonly format: MatrixFormat,
    readonly reader: WeightReader,
  ) {}

  /** Writes a matrix and returns its quantized values in the body's form: int8, in slices of `sliceCols` columns. */
  async writeQuantized(weight: StackedWeight, format: QuantizedFormat, sliceCols: number): Promise<Int8Matrix> {
    assert(!this.#tensors.has(weight.name), `${weight.name} is written twice`);
    const { cols } = weight;
    const matrix = new Int8Matrix(weight.rows, cols, sliceCols);
    await this.#write(weight, ({ values, first, rows }) => {
      const quantized = quantize(format, values, rows, cols);
      matrix.setRows(first, dequantize(quantized));
      return pack(quantized);
    });
    return matrix;
  }

  /** Writes the weights that have not been written yet; returns all of them in the given order. */
  async finish(all: readonly StackedWeight[]): Promise<Map<string, PackedTensor>> {
    for (const weight of all) {
      if (this.#tensors.has(weight.name)) continue;
      await this.#write(weight, ({ values, rows }) => {
        if (weight.kind === "vector") return asBytes(values);
        const { format } = this;
        return pack(
          format === "f32" ? { format, rows, cols: weight.cols, values } : quantize(format, values, rows, weight.cols),
        );
      });
    }
    return new Map(all.map(({ name }) => [name, this.#tensors.get(name)!]));
  }

  async #write(weight: StackedWeight, packed: (chunk: WeightChunk) => Uint8Array): Promise<void> {
    await this.sink.write(new Uint8Array(-this.sink.byteLength & (TENSOR_ALIGNMENT - 1)));
    const offset = this.sink.byteLength;
    const { name, rows, cols } = weight;
    for await (const chunk of this.reader.chunks(weight)) await this.sink.write(packed(chunk));
    const format = weight.kind === "vector" ? "vector" : this.format;
    this.#tensors.set(name, { format, rows, cols, offset, byteLength: this.sink.byteLength - offset });
  }
}

/** A matrix in int8 with one scale for each row of a slice of columns. */
class Int8Matrix {
  /** [rows, cols] */
  readonly #values: Int8Array;
  /** [slices, rows] */
  readonly #scales: Float32Array;

  constructor(
    readonly rows: number,
    readonly cols: number,
    readonly sliceCols: number,
  ) {
    this.#values = new Int8Array(rows * cols);
    this.#scales = new Float32Array(Math.ceil(cols / sliceCols) * rows);
  }

  /** Sets the rows from `first` on. source: f32 [any number of rows, cols] */
  setRows(first: number, source: Float32Array): void {
    const { cols, sliceCols } = this;
    for (let start = 0; start < source.length; start += cols) {
      for (let col = 0; col < cols; col += sliceCols) {
        const slice = source.subarray(start + col, start + Math.min(col + sliceCols, cols));
        this.#setSlice(first + start / cols, col, slice);
      }
    }
  }

  #setSlice(row: number, col: number, source: Float32Array): void {
    let largest = 0;
    for (let i = 0; i < source.length; i++) largest = Math.max(largest, Math.abs(source[i]!));
    const index = (col / this.sliceCols) * this.rows + row;
    this.#scales[index] = largest / INT8_MAX;
    const scale = this.#scales[index]!;
    if (scale === 0) return;
    for (let i = 0; i < source.length; i++) this.#values[row * this.cols + col + i] = Math.round(source[i]! / scale);
  }

  /** Returns the scales, f32 [rows], of a part that is one slice wide. */
  scalesOf({ firstRow, rows, firstCol }: WeightPart): Float32Array {
    const first = (firstCol / this.sliceCols) * this.rows + firstRow;
    return this.#scales.subarray(first, first + rows);
  }

  /** Returns a part as i8 [cols, rows], the layout of the second factor of ONNX's products. */
  columnsFirst({ firstRow, rows, firstCol, cols }: WeightPart): Int8Array {
    const result = new Int8Array(rows * cols);
    for (let row = 0; row < rows; row++) {
      const start = (firstRow + row) * this.cols + firstCol;
      for (let col = 0; col < cols; col++) result[col * rows + row] = this.#values[start + col]!;
    }
    return result;
  }
}

const INT8_MAX = 127;

function asBytes(values: Float32Array | BigInt64Array | Int8Array | Uint8Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

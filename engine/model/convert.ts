/**
 * Turns a Hugging Face model folder into a pack (or into a folder of the layout of transformers.js, which onnx-layout.ts
 * writes): the ONNX body, the packed weights of the kernels, a manifest.
 * Weights stream through in chunks of rows, so memory stays at a few chunks whatever the model's size, and the
 * same files give the same bytes on every machine.
 */

import { readdir, stat } from "node:fs/promises";
import { join, resolve } from "node:path";

import { dequantize, pack, quantize, type MatrixFormat, type QuantizedFormat } from "../../kernels/index.js";
import { assert, EngineError, fileSystemCode } from "../errors.js";
import type { HubOptions } from "../hub/index.js";
import { LIMITS } from "../limits.js";
import { bodyGraph, type BodyGraph, type WeightPart } from "./body-graph.js";
import { FileSink, type FileRecord } from "./file-sink.js";
import { modelFolder } from "./locate.js";
import { fileExists } from "./model-files.js";
import { ONNX_FOLDER, onnxDtypesOf } from "./onnx-folder.js";
import { writeOnnxLayout } from "./onnx-layout.js";
import { onnxFileBytes, writeOnnx, type InitialiserPiece } from "./onnx.js";
import { BODY_DATA_FILE, BODY_FILE, MANIFEST_FILE, writeManifest, WEIGHTS_FILE, type PackedTensor } from "./pack.js";
import { INDEX_FILE, SINGLE_FILE } from "./safetensors.js";
import { checkConfig, checkTextFiles, checkTokenizer, openSourceModel, TEXT_FILES, type SourceModel } from "./source-model.js";
import { removeFolder, writeFolder } from "./staging.js";
import { countEqualised, countWeights, WeightReader, type WeightChunk } from "./weight-reader.js";
import { packedWeights, type StackedWeight } from "./weights.js";

export interface ConvertOptions extends Omit<HubOptions, "onProgress" | "onTextFiles"> {
  readonly format: MatrixFormat;
  /** A pack unless given; `onnx` is what transformers.js runs. */
  readonly layout?: "pack" | "onnx" | undefined;
  /** Called after each chunk with the number of weights done and of all weights. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  /** Ends a download, which goes on from there the next time, or the conversion, of which nothing is left then. */
  readonly signal?: AbortSignal | undefined;
  /** Called while a file of the model is being downloaded, with its bytes so far and in all. */
  readonly onDownload?: HubOptions["onProgress"];
  /** Puts what is new in the place of a folder of its kind that is there already. */
  readonly replace?: boolean;
  /** Bytes of the body from which its weights go into a file of their own. */
  readonly externalFromBytes?: number;
}

/**
 * Converts the model in the folder `model`, or of that name on the hub, into a new folder `outDir`. On failure or interruption
 * nothing new is left there.
 *
 * @throws EngineError naming the file and the tensor that cannot be converted, or the folder that cannot be written
 */
export async function convert(model: string, outDir: string, options: ConvertOptions): Promise<void> {
  const target = resolve(outDir);
  const { layout = "pack" } = options;
  await checkTarget(target, layout, options.replace ?? false);
  const onTextFiles = layout === "onnx" ? checkConfig : checkTextFiles;
  const folder = await modelFolder(model, { ...options, onProgress: options.onDownload, onTextFiles });
  await refusePack(folder);
  const source = await openSourceModel(folder);
  try {
    await writeFolder(target, async (dir) => {
      if (layout === "onnx") await writeOnnxLayout(source, dir, options);
      else await writePack(source, dir, options);
      if (options.replace === true) await removeFolder(target);
    });
  } catch (cause) {
    const code = fileSystemCode(cause);
    if (code === null) throw cause;
    throw new EngineError("output_unavailable", `cannot write ${target} (${code})`, null, { cause });
  } finally {
    await source.reader.close();
  }
}

/** Fills the empty folder `dir`. */
export async function writePack(source: SourceModel, dir: string, options: ConvertOptions): Promise<void> {
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
    const isExternal = onnxFileBytes(graph) >= (options.externalFromBytes ?? LIMITS.inlineWeightsBytesMax);
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

/** Weights that are read for a pack, each as often as it is. */
function countRead(source: SourceModel, format: MatrixFormat): number {
  const { weights } = source;
  const kernels = [...packedWeights(weights)];
  const body = kernels.filter((weight) => weight !== weights.embedding && weight.name !== "lm_head");
  const again = format === "f32" ? body : body.filter(({ kind }) => kind === "vector");
  return countWeights([...kernels, ...again]) + countEqualised(source, format);
}

/** A pack has lost what another format would need. */
async function refusePack(dir: string): Promise<void> {
  const has = (name: string): Promise<boolean> => fileExists(join(dir, name));
  if (!(await has(MANIFEST_FILE)) || (await has(SINGLE_FILE)) || (await has(INDEX_FILE))) return;
  throw new EngineError("unsupported_value", `${dir} is a pack already; another one is made from the folder that it was converted from`, "model");
}

/** A folder of the same kind may be replaced on request; anything else that is there stays. */
async function checkTarget(target: string, layout: "pack" | "onnx", replace: boolean): Promise<void> {
  const entry = await stat(target).catch(() => null);
  if (entry === null) return;
  if (entry.isDirectory() && (await readdir(target)).length === 0) return;
  const isOfKind = layout === "pack" ? await fileExists(join(target, MANIFEST_FILE)) : await holdsOnnxAlone(target);
  if (!isOfKind) {
    const kind = layout === "pack" ? "no pack" : "no folder of ONNX files alone";
    throw new EngineError("output_unavailable", `${target} exists and is ${kind}; a conversion writes a new folder`);
  }
  if (!replace) throw new EngineError("output_unavailable", `${target} exists already`);
}

async function holdsOnnxAlone(dir: string): Promise<boolean> {
  const own = new Set<string>([...TEXT_FILES, ONNX_FOLDER]);
  return (await onnxDtypesOf(dir)).length > 0 && (await readdir(dir)).every((name) => own.has(name));
}

/** Packed matrices start where vector loads and mapped pages like it. */
const TENSOR_ALIGNMENT = 64;

/** The initialisers' bytes, in the graph's order. Matrices that are quantised for the body go to the kernels on the way. */
async function* bodyContents(
  graph: BodyGraph,
  format: MatrixFormat,
  reader: WeightReader,
  weights: WeightsWriter,
): AsyncGenerator<InitialiserPiece> {
  let current = null as { weight: StackedWeight; matrix: Int8Matrix } | null;
  for (const { name, contents } of graph.initialisers) {
    switch (contents.kind) {
      case "constant":
        yield { name, bytes: asBytes(contents.values) };
        break;
      case "rows":
        for await (const { values } of reader.chunks(contents.of.weight, contents.of)) yield { name, bytes: asBytes(values) };
        break;
      case "int8": {
        const { weight, cols } = contents.of;
        assert(format !== "f32", "a float body has no int8 matrices");
        if (current?.weight !== weight) current = { weight, matrix: await weights.writeQuantised(weight, format, cols) };
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

/** Appends weights as the kernels read them to weights.bin. */
class WeightsWriter {
  readonly #tensors = new Map<string, PackedTensor>();

  constructor(
    readonly sink: FileSink,
    readonly format: MatrixFormat,
    readonly reader: WeightReader,
  ) {}

  /** Writes a matrix, and returns the values it now stands for as the body wants them: in slices of `sliceCols` columns. */
  async writeQuantised(weight: StackedWeight, format: QuantizedFormat, sliceCols: number): Promise<Int8Matrix> {
    assert(!this.#tensors.has(weight.name), `${weight.name} is wanted twice`);
    const { cols } = weight;
    const matrix = new Int8Matrix(weight.rows, cols, sliceCols);
    await this.#write(weight, ({ values, first, rows }) => {
      const quantised = quantize(format, values, rows, cols);
      matrix.setRows(first, dequantize(quantised));
      return pack(quantised);
    });
    return matrix;
  }

  /** Writes those of the weights that are not there yet; returns all of them in the order given. */
  async finish(all: readonly StackedWeight[]): Promise<Map<string, PackedTensor>> {
    for (const weight of all) {
      if (this.#tensors.has(weight.name)) continue;
      await this.#write(weight, ({ values, rows }) => {
        if (weight.kind === "vector") return asBytes(values);
        const { format } = this;
        return pack(format === "f32" ? { format, rows, cols: weight.cols, values } : quantize(format, values, rows, weight.cols));
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

  /** source: f32 [any number of rows, cols] */
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

  /** f32 [rows] of a part that is one slice wide */
  scalesOf({ firstRow, rows, firstCol }: WeightPart): Float32Array {
    const first = (firstCol / this.sliceCols) * this.rows + firstRow;
    return this.#scales.subarray(first, first + rows);
  }

  /** i8 [cols, rows] of a part, as ONNX's products take their second factor. */
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

/**
 * Turns a Hugging Face model folder into a pack: the ONNX body, the packed weights of the kernels, a manifest.
 * Weights stream through in chunks of rows, so memory stays at a few chunks whatever the model's size, and the
 * same files give the same bytes on every machine.
 */

import { readdir, stat } from "node:fs/promises";
import { join, resolve } from "node:path";

import { pack, PACK_ROWS, QUANTIZATION_BLOCK, quantize, type MatrixFormat, type QuantizedFormat } from "../../kernels/index.js";
import { assert, EngineError } from "../errors.js";
import { bodyGraph, type BodyGraph } from "./body-graph.js";
import { FileSink, type FileRecord } from "./file-sink.js";
import { fileExists } from "./model-files.js";
import { onnxFileBytes, writeOnnx, type InitialiserPiece } from "./onnx.js";
import { BODY_DATA_FILE, BODY_FILE, MANIFEST_FILE, writeManifest, WEIGHTS_FILE, type PackedTensor } from "./pack.js";
import type { SafetensorsReader } from "./safetensors.js";
import { openSourceModel, type SourceModel } from "./source-model.js";
import { fileSystemCode, removeFolder, writeFolder } from "./staging.js";
import { packedWeights, type StackedWeight } from "./weights.js";

export interface ConvertOptions {
  readonly format: MatrixFormat;
  /** Called after each chunk with the number of weights done and of all weights. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  /** Puts the new pack in the place of one that is there already. */
  readonly replace?: boolean;
  /** Bytes of the body from which its weights go into a file of their own. */
  readonly externalFromBytes?: number;
}

/**
 * Converts the model in `sourceDir` into a pack `outDir`. On failure or interruption nothing new is left there.
 *
 * @throws EngineError naming the file and the tensor that cannot be converted, or the folder that cannot be written
 */
export async function convert(sourceDir: string, outDir: string, options: ConvertOptions): Promise<void> {
  const target = resolve(outDir);
  await checkTarget(target, options.replace ?? false);
  const source = await openSourceModel(sourceDir);
  try {
    await writeFolder(target, async (dir) => {
      await writePack(source, dir, options);
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
  const graph = bodyGraph(source.config, source.weights, options.format);
  const kernelWeights = [...packedWeights(source.weights)];
  const reader = new ChunkReader(source.reader, countWeights(graph, kernelWeights), options.onProgress);
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
    const isExternal = onnxFileBytes(graph) >= (options.externalFromBytes ?? EXTERNAL_FROM_BYTES);
    const body = await create(BODY_FILE);
    const data = isExternal ? { sink: await create(BODY_DATA_FILE), location: BODY_DATA_FILE } : null;
    await writeOnnx(graph, bodyContents(graph, reader), body, data);
    records.set(BODY_FILE, await body.finish());
    if (data !== null) records.set(BODY_DATA_FILE, await data.sink.finish());

    const weights = await create(WEIGHTS_FILE);
    const tensors = new Map<string, PackedTensor>();
    for (const weight of kernelWeights) {
      const format = weight.kind === "vector" ? "vector" : options.format;
      tensors.set(weight.name, await writeTensor(weights, weight, format, reader));
    }
    records.set(WEIGHTS_FILE, await weights.finish());
    await writeManifest(dir, { format: options.format, records, tensors });
  } finally {
    await Promise.all(sinks.map((sink) => sink.abandon()));
  }
}

/** A pack may be replaced on request; anything else that is there stays. */
async function checkTarget(target: string, replace: boolean): Promise<void> {
  const entry = await stat(target).catch(() => null);
  if (entry === null) return;
  if (entry.isDirectory() && (await readdir(target)).length === 0) return;
  if (!(await fileExists(join(target, MANIFEST_FILE)))) {
    throw new EngineError("output_unavailable", `${target} exists and is no pack; a conversion writes a new folder`);
  }
  if (!replace) throw new EngineError("output_unavailable", `${target} exists already`);
}

/**
 * Far below the 2 GiB that protobuf allows: weights beside the model are mapped instead of parsed and copied,
 * which takes a third off the time and the memory of loading a session.
 */
const EXTERNAL_FROM_BYTES = 64 << 20;
/** float32 values held at a time for one chunk of rows. */
const CHUNK_VALUES = 2 << 20;
/** Packed matrices start where vector loads and mapped pages like it. */
const TENSOR_ALIGNMENT = 64;

/** The initialisers' bytes, in the graph's order. */
async function* bodyContents(graph: BodyGraph, reader: ChunkReader): AsyncGenerator<InitialiserPiece> {
  let scales: Float32Array | null = null;
  for (const { name, contents } of graph.initialisers) {
    switch (contents.kind) {
      case "constant":
        yield { name, bytes: asBytes(BigInt64Array.from(contents.values, BigInt)) };
        break;
      case "weight":
        for await (const { values } of reader.chunks(contents.weight)) yield { name, bytes: asBytes(values) };
        break;
      case "quantised": {
        const { rows, cols } = contents.weight;
        scales = new Float32Array(rows * Math.ceil(cols / QUANTIZATION_BLOCK));
        let numScales = 0;
        for await (const chunk of reader.chunks(contents.weight)) {
          const quantised = quantize(contents.format, chunk.values, chunk.rows, cols);
          scales.set(quantised.scales, numScales);
          numScales += quantised.scales.length;
          yield { name, bytes: unsignedValues(contents.format, quantised.values) };
        }
        break;
      }
      case "scales":
        assert(scales !== null, "scales follow their values");
        yield { name, bytes: asBytes(scales) };
        scales = null;
        break;
    }
  }
}

/**
 * MatMulNBits takes unsigned values around a zero point of half their range; of two 4-bit values the first is
 * the low half of the byte.
 */
function unsignedValues(format: QuantizedFormat, values: Int8Array): Uint8Array {
  switch (format) {
    case "q8": {
      const bytes = new Uint8Array(values.length);
      for (let i = 0; i < bytes.length; i++) bytes[i] = values[i]! + 128;
      return bytes;
    }
    case "q4": {
      const bytes = new Uint8Array(values.length / 2);
      for (let i = 0; i < bytes.length; i++) bytes[i] = (values[2 * i]! + 8) | ((values[2 * i + 1]! + 8) << 4);
      return bytes;
    }
  }
}

/** Appends a weight as the kernels read it. */
async function writeTensor(
  sink: FileSink,
  weight: StackedWeight,
  format: PackedTensor["format"],
  reader: ChunkReader,
): Promise<PackedTensor> {
  const padding = -sink.byteLength & (TENSOR_ALIGNMENT - 1);
  await sink.write(new Uint8Array(padding));
  const offset = sink.byteLength;
  const { rows, cols } = weight;
  for await (const chunk of reader.chunks(weight)) {
    await sink.write(packedChunk(format, chunk.values, chunk.rows, cols));
  }
  return { format, rows, cols, offset, byteLength: sink.byteLength - offset };
}

function packedChunk(format: PackedTensor["format"], values: Float32Array, rows: number, cols: number): Uint8Array {
  if (format === "vector") return asBytes(values);
  return pack(format === "f32" ? { format, rows, cols, values } : quantize(format, values, rows, cols));
}

/** Reads stacked weights in chunks of rows and reports progress. */
class ChunkReader {
  #done = 0;

  constructor(
    readonly reader: SafetensorsReader,
    readonly totalWeights: number,
    readonly onProgress: ConvertOptions["onProgress"],
  ) {}

  /** values: f32 [rows, cols], valid until the next chunk; all but the last chunk have a multiple of PACK_ROWS rows. */
  async *chunks(weight: StackedWeight): AsyncGenerator<{ values: Float32Array; rows: number }> {
    const { cols } = weight;
    const rowsPerChunk = Math.max(1, Math.floor(CHUNK_VALUES / cols / PACK_ROWS)) * PACK_ROWS;
    const buffer = new Float32Array(Math.min(rowsPerChunk, weight.rows) * cols);
    for (let row = 0; row < weight.rows; row += rowsPerChunk) {
      const rows = Math.min(rowsPerChunk, weight.rows - row);
      const values = buffer.subarray(0, rows * cols);
      await this.#readStacked(weight, row, rows, values);
      yield { values, rows };
      this.#done += values.length;
      this.onProgress?.(this.#done, this.totalWeights);
    }
  }

  /** Rows of the stack from `first` on, wherever its parts end. */
  async #readStacked(weight: StackedWeight, first: number, rows: number, values: Float32Array): Promise<void> {
    const { cols } = weight;
    let partStart = 0;
    for (const part of weight.parts) {
      const from = Math.max(first, partStart);
      const to = Math.min(first + rows, partStart + part.rows);
      if (from < to) {
        const target = values.subarray((from - first) * cols, (to - first) * cols);
        await this.reader.readRows(part.name, from - partStart, to - from, target);
      }
      partStart += part.rows;
    }
  }
}

function countWeights(graph: BodyGraph, kernelWeights: readonly StackedWeight[]): number {
  const inBody = graph.initialisers.flatMap(({ contents }) =>
    contents.kind === "weight" || contents.kind === "quantised" ? [contents.weight] : [],
  );
  return [...inBody, ...kernelWeights].reduce((sum, weight) => sum + weight.rows * weight.cols, 0);
}

function asBytes(values: Float32Array | BigInt64Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

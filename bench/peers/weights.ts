/**
 * Reads the weights of a Hugging Face folder for the bench's writers, in chunks, and quantizes them as a conversion
 * does.
 */

import { equalize, type Rewrite } from "../../engine/convert/equalize.js";
import type { SourceModel } from "../../engine/folder/source-model.js";
import type { StackedWeight } from "../../engine/architecture/weights.js";
import { quantize, type QuantizedMatrix } from "../../kernels/index.js";

/** Formats that every engine supports: 4 and 8 bits in blocks of 32, and f32 for comparison of outputs. */
export type Quant = "q4" | "q8" | "f32";

export interface Chunk {
  /** f32 [rows, cols], valid until the next chunk. */
  readonly values: Float32Array;
  readonly rows: number;
  readonly cols: number;
}

/**
 * Yields the rows of a tensor in order, equalized as in a conversion if the weights are to be quantized. Every chunk
 * except the last contains complete heads. A vector has one column.
 */
export async function* chunksOf(source: SourceModel, name: string, quant: Quant): AsyncGenerator<Chunk> {
  const { reader, config } = source;
  const rewrite = quant === "f32" ? undefined : (await rewritesOf(source)).get(name);
  const [rows = 1, cols = 1] = reader.tensors.get(name)!.shape;
  const rowsPerChunk = Math.ceil(CHUNK_ROWS / config.headDim) * config.headDim;
  const buffer = new Float32Array(Math.min(rowsPerChunk, rows) * cols);
  for (let row = 0; row < rows; row += rowsPerChunk) {
    const numRows = Math.min(rowsPerChunk, rows - row);
    const values = buffer.subarray(0, numRows * cols);
    await reader.readRows(name, row, numRows, values);
    rewrite?.(values, row, numRows);
    yield { values, rows: numRows, cols };
  }
}

const known = new WeakMap<SourceModel, Promise<Map<string, Rewrite>>>();

/**
 * Returns the equalization of each tensor in the files. The rewrite of a stacked weight counts rows from its first
 * part.
 */
function rewritesOf(source: SourceModel): Promise<Map<string, Rewrite>> {
  let rewrites = known.get(source);
  if (rewrites === undefined) known.set(source, (rewrites = findRewrites(source)));
  return rewrites;
}

async function findRewrites({ reader, config, weights }: SourceModel): Promise<Map<string, Rewrite>> {
  const read = async function* ({
    parts,
    rows,
    cols,
  }: StackedWeight): AsyncGenerator<{ values: Float32Array; first: number; rows: number }> {
    const values = new Float32Array(rows * cols);
    let first = 0;
    for (const part of parts) {
      await reader.readRows(part.name, 0, part.rows, values.subarray(first * cols, (first + part.rows) * cols));
      first += part.rows;
    }
    yield { values, first: 0, rows };
  };
  const found = new Map<string, Rewrite>();
  for (const layer of weights.layers) {
    const rewrites = await equalize(config, layer, read);
    for (const weight of Object.values(layer) as (StackedWeight | null)[]) {
      const rewrite = weight === null ? undefined : rewrites.get(weight.name);
      if (weight === null || rewrite === undefined) continue;
      let partStart = 0;
      for (const part of weight.parts) {
        const start = partStart;
        found.set(part.name, (values, first, rows) => rewrite(values, start + first, rows));
        partStart += part.rows;
      }
    }
  }
  return found;
}

/** Quantizes a chunk to the same values as in a pack, which all engines use. */
export function quantizeChunk(quant: "q4" | "q8", { values, rows, cols }: Chunk): QuantizedMatrix {
  return quantize(quant, values, rows, cols);
}

export function bytesOf(values: Float32Array | BigInt64Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

const CHUNK_ROWS = 1024;

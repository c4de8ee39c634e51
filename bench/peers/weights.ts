/** The weights of a Hugging Face folder as the bench's writers take them: chunk by chunk, quantised as ours are. */

import { quantize, type QuantizedMatrix } from "../../kernels/index.js";
import type { SourceModel } from "../../engine/model/source-model.js";

/** The formats that every engine has: 4 and 8 bits in blocks of 32, and what comparisons of outputs use. */
export type Quant = "q4" | "q8" | "f32";

export interface Chunk {
  /** f32 [rows, cols], valid until the next chunk. */
  readonly values: Float32Array;
  readonly rows: number;
  readonly cols: number;
}

/** A tensor's rows in order; every chunk but the last holds whole heads. A vector is one column wide. */
export async function* chunksOf({ reader, config }: SourceModel, name: string): AsyncGenerator<Chunk> {
  const [rows = 1, cols = 1] = reader.tensor(name).shape;
  const rowsPerChunk = Math.ceil(CHUNK_ROWS / config.headDim) * config.headDim;
  const buffer = new Float32Array(Math.min(rowsPerChunk, rows) * cols);
  for (let row = 0; row < rows; row += rowsPerChunk) {
    const numRows = Math.min(rowsPerChunk, rows - row);
    const values = buffer.subarray(0, numRows * cols);
    await reader.readRows(name, row, numRows, values);
    yield { values, rows: numRows, cols };
  }
}

/** The numbers that our pack holds for the same weights: all engines compute with them. */
export function quantizeChunk(quant: "q4" | "q8", { values, rows, cols }: Chunk): QuantizedMatrix {
  return quantize(quant, values, rows, cols);
}

export function bytesOf(values: Float32Array | BigInt64Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

const CHUNK_ROWS = 1024;

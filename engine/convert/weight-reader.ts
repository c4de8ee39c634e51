/** Reads the weights of a model folder for conversions: stacked, equalized if they are quantized, in chunks. */

import { PACK_ROWS, type MatrixFormat } from "../../kernels/index.js";
import { equalize, readToEqualize, type Rewrite } from "./equalize.js";
import type { SourceModel } from "../folder/index.js";
import type { LayerWeights, StackedWeight } from "../architecture/index.js";

/** Reads stacked weights in chunks of rows, equalized if they are to be quantized, and reports progress. */
export class WeightReader {
  readonly #layerOf = new Map<string, LayerWeights>();
  readonly #rewrites = new Map<string, Rewrite>();
  #done = 0;

  /**
   * @param totalWeights number of weights that will be read, each counted as often as it is read; `countEqualized`
   *   returns the number of those read to equalize
   */
  constructor(
    readonly source: SourceModel,
    format: MatrixFormat,
    readonly totalWeights: number,
    readonly options: ReadOptions,
  ) {
    if (format === "f32") return;
    for (const layer of source.weights.layers) {
      for (const weight of Object.values(layer) as (StackedWeight | null)[])
        if (weight !== null) this.#layerOf.set(weight.name, layer);
    }
  }

  /** Yields rows of a weight, by default all. Every chunk but the last has a multiple of PACK_ROWS rows. */
  async *chunks(
    weight: StackedWeight,
    part: RowRange = { firstRow: 0, rows: weight.rows },
  ): AsyncGenerator<WeightChunk> {
    const rewrite = await this.#rewriteOf(weight);
    for await (const chunk of this.#chunks(weight, part)) {
      rewrite?.(chunk.values, chunk.first, chunk.rows);
      yield chunk;
    }
  }

  /** Returns the rewrite of a weight. The scales of a layer are computed when its first weight is requested. */
  async #rewriteOf({ name }: StackedWeight): Promise<Rewrite | undefined> {
    const layer = this.#layerOf.get(name);
    if (layer !== undefined && !this.#rewrites.has(layer.inputNorm.name)) {
      const read = (weight: StackedWeight): AsyncGenerator<WeightChunk> =>
        this.#chunks(weight, { firstRow: 0, rows: weight.rows });
      for (const [each, rewrite] of await equalize(this.source.config, layer, read)) this.#rewrites.set(each, rewrite);
    }
    return this.#rewrites.get(name);
  }

  async *#chunks(weight: StackedWeight, { firstRow, rows: numRows }: RowRange): AsyncGenerator<WeightChunk> {
    const { cols } = weight;
    const rowsPerChunk = Math.max(1, Math.floor(CHUNK_VALUES / cols / PACK_ROWS)) * PACK_ROWS;
    const buffer = new Float32Array(Math.min(rowsPerChunk, numRows) * cols);
    for (let row = 0; row < numRows; row += rowsPerChunk) {
      this.options.signal?.throwIfAborted();
      const rows = Math.min(rowsPerChunk, numRows - row);
      const values = buffer.subarray(0, rows * cols);
      await this.#readStacked(weight, firstRow + row, rows, values);
      yield { values, first: firstRow + row, rows };
      this.#done += values.length;
      this.options.onProgress?.(this.#done, this.totalWeights);
    }
  }

  /** Reads rows of the stack from `first` on, across the boundaries of its parts. */
  async #readStacked(weight: StackedWeight, first: number, rows: number, values: Float32Array): Promise<void> {
    const { cols } = weight;
    let partStart = 0;
    for (const part of weight.parts) {
      const from = Math.max(first, partStart);
      const to = Math.min(first + rows, partStart + part.rows);
      if (from < to) {
        const target = values.subarray((from - first) * cols, (to - first) * cols);
        await this.source.reader.readRows(part.name, from - partStart, to - from, target);
      }
      partStart += part.rows;
    }
  }
}

export interface ReadOptions {
  /** Called after each chunk with the number of weights done and the number of all weights. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  /** Aborts the reading before the next chunk. */
  readonly signal?: AbortSignal | undefined;
}

interface RowRange {
  readonly firstRow: number;
  readonly rows: number;
}

export interface WeightChunk {
  /** f32 [rows, cols], valid until the next chunk. */
  readonly values: Float32Array;
  readonly first: number;
  readonly rows: number;
}

/** Number of float32 values held for one chunk of rows. */
const CHUNK_VALUES = 2 << 20;

/** Returns the number of weights that are read once more to equalize them. */
export function countEqualized({ weights }: SourceModel, format: MatrixFormat): number {
  return format === "f32" ? 0 : countWeights(weights.layers.flatMap(readToEqualize));
}

export function countWeights(weights: readonly StackedWeight[]): number {
  return weights.reduce((sum, { rows, cols }) => sum + rows * cols, 0);
}

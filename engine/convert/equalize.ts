/**
 * Scales channels between the matrices of a layer, so that the channels have similar sizes when they are quantized. A
 * channel may be scaled up where it is written if it is scaled down where it is read: the network computes the same
 * function, but an outlier no longer uses up the range of its neighbors. A layer allows this in three places: between
 * the gains of a norm and the columns of the matrix after it, between the rows of v and the columns of the attention's
 * output projection, and between the rows of up and the columns of down. The result depends only on the function, not
 * on how a checkpoint happens to split it between two factors.
 *
 * Part of the bit-exact contract: uses only maxima, + * / sqrt and rounding.
 */

import type { LayerWeights, ModelConfig, StackedWeight } from "../architecture/index.js";

/** Rewrites rows of a weight in place: f32 [rows, cols], starting with the weight's row `first`. */
export type Rewrite = (values: Float32Array, first: number, rows: number) => void;

/** Reads a weight in chunks of rows, each valid until the next. */
export type ReadChunks = (
  weight: StackedWeight,
) => AsyncIterable<{ values: Float32Array; first: number; rows: number }>;

/** Returns the weights that `equalize` reads, once each. */
export function readToEqualize(layer: LayerWeights): StackedWeight[] {
  return [layer.inputNorm, layer.qkv, layer.output, layer.attentionNorm, layer.gateUp, layer.down];
}

/** Computes the rewrites of the weights of a layer, by weight name. */
export async function equalize(
  config: ModelConfig,
  layer: LayerWeights,
  read: ReadChunks,
): Promise<Map<string, Rewrite>> {
  const { headDim, numHeads, numKvHeads, intermediateSize } = config;
  const group = numHeads / numKvHeads;
  const firstValueRow = (numHeads + numKvHeads) * headDim;
  const valueChannel = (column: number): number => Math.floor(column / headDim / group) * headDim + (column % headDim);

  const attention = await foldGains(layer.inputNorm, layer.qkv, read);
  const readOfValue = new Float32Array(numKvHeads * headDim);
  for (const [column, largest] of (await columnMaxima(layer.output, read)).entries()) {
    const channel = valueChannel(column);
    readOfValue[channel] = Math.max(readOfValue[channel]!, largest);
  }
  const value = balance(attention.rowNorms.subarray(firstValueRow), readOfValue);
  const valueByColumn = Float32Array.from({ length: numHeads * headDim }, (_, column) => value[valueChannel(column)]!);

  const feedForward = await foldGains(layer.attentionNorm, layer.gateUp, read);
  const gateNorms = feedForward.rowNorms.subarray(0, intermediateSize);
  const written = feedForward.rowNorms.subarray(intermediateSize).map((norm, channel) => norm * gateNorms[channel]!);
  const up = balance(written, await columnMaxima(layer.down, read));

  const rewrites = new Map<string, Rewrite>([
    [layer.inputNorm.name, (values) => values.set(attention.gains)],
    [layer.qkv.name, rescaled({ columns: attention.columns, rows: value, firstRow: firstValueRow })],
    [layer.output.name, rescaled({ columns: valueByColumn.map((scale) => 1 / scale) })],
    [layer.attentionNorm.name, (values) => values.set(feedForward.gains)],
    [layer.gateUp.name, rescaled({ columns: feedForward.columns, rows: up, firstRow: intermediateSize })],
    [layer.down.name, rescaled({ columns: up.map((scale) => 1 / scale) })],
  ]);
  if (layer.qkvBias !== null) rewrites.set(layer.qkvBias.name, rescaled({ rows: value, firstRow: firstValueRow }));
  return rewrites;
}

interface FoldedGains {
  /** [hidden]: the new gains of the norm. */
  readonly gains: Float32Array;
  /** [hidden]: the factors by which the matrix's columns are multiplied in return. */
  readonly columns: Float32Array;
  /** Norm of each matrix row with the old gains folded in: the size of the channel it writes, up to a common factor. */
  readonly rowNorms: Float32Array;
}

/** Splits the product of gain and column evenly: each gets the square root of the largest magnitude in the product. */
async function foldGains(norm: StackedWeight, matrix: StackedWeight, read: ReadChunks): Promise<FoldedGains> {
  const before = new Float32Array(norm.rows);
  for await (const { values } of read(norm)) before.set(values);
  const rowNorms = new Float32Array(matrix.rows);
  const columnMaxima = new Float32Array(matrix.cols);
  for await (const { values, first, rows } of read(matrix)) {
    for (let row = 0; row < rows; row++) {
      let squares = 0;
      for (let col = 0; col < matrix.cols; col++) {
        const magnitude = Math.abs(values[row * matrix.cols + col]! * before[col]!);
        if (magnitude > columnMaxima[col]!) columnMaxima[col] = magnitude;
        squares += magnitude * magnitude;
      }
      rowNorms[first + row] = Math.sqrt(squares);
    }
  }
  const gains = columnMaxima.map((largest) => (largest === 0 ? 1 : Math.sqrt(largest)));
  return { gains, columns: gains.map((gain, col) => before[col]! / gain), rowNorms };
}

/** Largest magnitude of each column. */
async function columnMaxima(matrix: StackedWeight, read: ReadChunks): Promise<Float32Array> {
  const maxima = new Float32Array(matrix.cols);
  for await (const { values, rows } of read(matrix)) {
    for (let row = 0; row < rows; row++) {
      for (let col = 0; col < matrix.cols; col++) {
        const magnitude = Math.abs(values[row * matrix.cols + col]!);
        if (magnitude > maxima[col]!) maxima[col] = magnitude;
      }
    }
  }
  return maxima;
}

/**
 * Returns a factor for each channel. Multiplying the written side by it and dividing the read side by it makes both
 * equally large.
 */
function balance(written: Float32Array, read: Float32Array): Float32Array {
  return written.map((largest, channel) => {
    const factor = Math.sqrt(read[channel]! / largest);
    return factor > 0 && factor < Infinity ? factor : 1;
  });
}

/** Multiplies the columns by `columns`, and the rows from `firstRow` on by `rows`. */
function rescaled(by: { columns?: Float32Array; rows?: Float32Array; firstRow?: number }): Rewrite {
  const { columns = null, rows: rowScales = null, firstRow = 0 } = by;
  return (values, first, rows) => {
    const cols = values.length / rows;
    for (let row = 0; row < rows; row++) {
      const channel = first + row - firstRow;
      const rowScale = rowScales === null || channel < 0 ? 1 : rowScales[channel]!;
      if (columns === null && rowScale === 1) continue;
      for (let col = 0; col < cols; col++) {
        const index = row * cols + col;
        values[index] = values[index]! * rowScale * (columns === null ? 1 : columns[col]!);
      }
    }
  };
}

/**
 * Runs models of the Llama family in the kernels. The rows of all passes go through the layers together, so weights are
 * read once for all rows. The result of a row depends only on its own sequence, so splitting or joining passes changes
 * no bit of it.
 */

import { Decoder, type DecoderRow, type Kernels, type KVFormat } from "../../kernels/index.js";
import { assert } from "../errors.js";
import { RotaryEmbedding, type ModelConfig } from "../architecture/index.js";
import type { KernelWeights } from "./kernel-weights.js";
import type { EachTokenRunner, ForwardPass, ModelRunner } from "./model-runner.js";

export interface WasmRunnerOptions {
  readonly kernels: Kernels;
  readonly weights: KernelWeights;
  readonly config: ModelConfig;
  /** Positions per KV cache page. */
  readonly pageSize: number;
  readonly kvFormat: KVFormat;
  /** Maximum number of rows per kernel call. */
  readonly maxRows: number;
}

export class WasmRunner implements ModelRunner, EachTokenRunner {
  readonly #kernels: Kernels;
  readonly #decoder: Decoder;
  readonly #rope: RotaryEmbedding;
  readonly #maxRows: number;
  readonly #hiddenSize: number;
  readonly #halfDim: number;
  /** f32 [maxRows, head_dim / 2] */
  readonly #cos: Float32Array;
  readonly #sin: Float32Array;

  constructor({ kernels, weights, config, pageSize, kvFormat, maxRows }: WasmRunnerOptions) {
    this.#kernels = kernels;
    this.#decoder = new Decoder(kernels, { ...config, ...weights, pageSize, kvFormat, maxRows });
    this.#rope = new RotaryEmbedding(config);
    this.#maxRows = maxRows;
    this.#hiddenSize = config.hiddenSize;
    this.#halfDim = config.headDim / 2;
    this.#cos = new Float32Array(maxRows * this.#halfDim);
    this.#sin = new Float32Array(maxRows * this.#halfDim);
  }

  async forward(passes: readonly ForwardPass[]): Promise<Float32Array[]> {
    return this.#forward(passes, () => 1);
  }

  async forwardEach(passes: readonly ForwardPass[]): Promise<Float32Array[]> {
    return this.#forward(passes, ({ tokenIds }) => tokenIds.length);
  }

  async release(): Promise<void> {}

  /** @param numWanted returns the number of last tokens of a pass whose hidden states are returned */
  #forward(passes: readonly ForwardPass[], numWanted: (pass: ForwardPass) => number): Float32Array[] {
    const rows: DecoderRow[] = [];
    const places = passes.map((pass) => {
      rows.push(...rowsOf(pass));
      return { hidden: new Float32Array(numWanted(pass) * this.#hiddenSize), end: rows.length };
    });
    for (let start = 0; start < rows.length; start += this.#maxRows) {
      const chunk = rows.slice(start, start + this.#maxRows);
      const address = this.#run(chunk);
      for (const { hidden, end } of places) {
        const first = end - hidden.length / this.#hiddenSize;
        for (let row = Math.max(first, start); row < Math.min(end, start + chunk.length); row++) {
          const state = this.#kernels.f32(address + (row - start) * this.#hiddenSize * 4, this.#hiddenSize);
          hidden.set(state, (row - first) * this.#hiddenSize);
        }
      }
    }
    return places.map(({ hidden }) => hidden);
  }

  /** @returns the address of the rows' hidden states, f32 [rows, hidden_size], valid until the next run */
  #run(rows: readonly DecoderRow[]): number {
    const half = this.#halfDim;
    for (const [index, { position }] of rows.entries()) {
      this.#rope.fill(
        position,
        this.#cos.subarray(index * half, (index + 1) * half),
        this.#sin.subarray(index * half, (index + 1) * half),
      );
    }
    return this.#decoder.forward(
      rows,
      this.#cos.subarray(0, rows.length * half),
      this.#sin.subarray(0, rows.length * half),
    );
  }
}

/** Extends the pass's table by its tokens and returns one row per token. */
function rowsOf({ tokenIds, table }: ForwardPass): DecoderRow[] {
  assert(tokenIds.length >= 1, "a pass must hold at least one token");
  const start = table.numPositions;
  table.extend(tokenIds.length);
  const { pages } = table;
  return tokenIds.map((tokenId, index) => ({ tokenId, position: start + index, pages }));
}

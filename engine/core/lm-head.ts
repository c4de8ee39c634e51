/**
 * From what a runner gives to logits in the kernels' memory, where the sampler reads them: the product of hidden
 * states with the vocabulary, for the rows that need it and no others; or, where a graph makes its logits itself,
 * those as they are.
 */

import type { Address, Kernels, PackedMatrix } from "../../kernels/index.js";
import { assert } from "../errors.js";

/** What stands between a runner and the sampler. */
export interface Head {
  readonly maxRows: number;
  /** Logits of a row that count. */
  readonly vocabSize: number;
  /**
   * @param rows what the runner gave, f32, for each row
   * @returns for each row the address of its logits, f32 [vocabSize], valid until the next call
   */
  project(rows: readonly Float32Array[]): Address[];
}

export interface HeadOptions {
  /** Rows projected by one call, at most. */
  readonly maxRows: number;
  /** Logits of a row that may be tokens; those behind them are padding. */
  readonly vocabSize: number;
  /** Ids below vocabSize that are no tokens can never be drawn: their logits are -Infinity. */
  readonly hasToken: (tokenId: number) => boolean;
}

export class LMHead implements Head {
  readonly maxRows: number;
  readonly vocabSize: number;
  readonly #kernels: Kernels;
  readonly #matrix: PackedMatrix;
  readonly #missingIds: readonly number[];
  readonly #hidden: Address;
  readonly #logits: Address;

  /** @param matrix [rows >= vocabSize, hidden_size] */
  constructor(kernels: Kernels, matrix: PackedMatrix, { maxRows, vocabSize, hasToken }: HeadOptions) {
    assert(vocabSize <= matrix.rows, "the LM head has fewer rows than there are tokens");
    this.maxRows = maxRows;
    this.vocabSize = vocabSize;
    this.#kernels = kernels;
    this.#matrix = matrix;
    this.#missingIds = missingIds(vocabSize, hasToken);
    this.#hidden = kernels.allocate(maxRows * matrix.cols * 4);
    this.#logits = kernels.allocate(maxRows * matrix.rows * 4);
  }

  /** @param hidden f32 [hidden_size] for each row */
  project(hidden: readonly Float32Array[]): Address[] {
    const { rows, cols } = this.#matrix;
    assert(hidden.length > 0 && hidden.length <= this.maxRows, "LM head called with too few or too many rows");
    hidden.forEach((row, index) => {
      assert(row.length === cols, "hidden state has another size than the LM head");
      this.#kernels.f32(this.#hidden + index * cols * 4, cols).set(row);
    });
    this.#kernels.matmul(this.#matrix, this.#hidden, this.#logits, hidden.length);
    return hidden.map((_, index) => {
      const address = this.#logits + index * rows * 4;
      const logits = this.#kernels.f32(address, this.vocabSize);
      for (const id of this.#missingIds) logits[id] = -Infinity;
      return address;
    });
  }
}

/** Logits that a graph has made. */
export class GraphLogits implements Head {
  readonly maxRows: number;
  readonly vocabSize: number;
  readonly #kernels: Kernels;
  readonly #missingIds: readonly number[];
  readonly #logits: Address;

  constructor(kernels: Kernels, { maxRows, vocabSize, hasToken }: HeadOptions) {
    this.maxRows = maxRows;
    this.vocabSize = vocabSize;
    this.#kernels = kernels;
    this.#missingIds = missingIds(vocabSize, hasToken);
    this.#logits = kernels.allocate(maxRows * vocabSize * 4);
  }

  /** @param rows f32 [at least vocabSize] for each row */
  project(rows: readonly Float32Array[]): Address[] {
    assert(rows.length > 0 && rows.length <= this.maxRows, "too few or too many rows of logits");
    return rows.map((row, index) => {
      assert(row.length >= this.vocabSize, "a row has fewer logits than there are tokens");
      const address = this.#logits + index * this.vocabSize * 4;
      const logits = this.#kernels.f32(address, this.vocabSize);
      logits.set(row.subarray(0, this.vocabSize));
      for (const id of this.#missingIds) logits[id] = -Infinity;
      return address;
    });
  }
}

function missingIds(vocabSize: number, hasToken: (tokenId: number) => boolean): number[] {
  return Array.from({ length: vocabSize }, (_, id) => id).filter((id) => !hasToken(id));
}

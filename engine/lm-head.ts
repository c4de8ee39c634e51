/**
 * The product of hidden states with the vocabulary, for the rows that need it and no others. Logits
 * stay in the kernels' memory, where the sampler reads them.
 */

import type { Address, Kernels, PackedMatrix } from "../kernels/index.js";
import { assert } from "./errors.js";

export interface LMHeadOptions {
  /** Rows projected by one call, at most. */
  readonly numRowsMax: number;
  /** Rows of the matrix that may be tokens; those behind them are padding. */
  readonly vocabSize: number;
  /** Ids below vocabSize that are no tokens can never be drawn: their logits are -Infinity. */
  readonly hasToken: (tokenId: number) => boolean;
}

export class LMHead {
  readonly numRowsMax: number;
  /** Logits of a row that count. */
  readonly vocabSize: number;
  readonly #kernels: Kernels;
  readonly #matrix: PackedMatrix;
  readonly #missingIds: readonly number[];
  readonly #hidden: Address;
  readonly #logits: Address;

  /** @param matrix [rows >= vocabSize, hidden_size] */
  constructor(kernels: Kernels, matrix: PackedMatrix, { numRowsMax, vocabSize, hasToken }: LMHeadOptions) {
    assert(vocabSize <= matrix.rows, "the LM head has fewer rows than there are tokens");
    this.numRowsMax = numRowsMax;
    this.vocabSize = vocabSize;
    this.#kernels = kernels;
    this.#matrix = matrix;
    this.#missingIds = Array.from({ length: vocabSize }, (_, id) => id).filter((id) => !hasToken(id));
    this.#hidden = kernels.allocate(numRowsMax * matrix.cols * 4);
    this.#logits = kernels.allocate(numRowsMax * matrix.rows * 4);
  }

  /**
   * @param hidden f32 [hidden_size] for each row
   * @returns for each row the address of its logits, f32 [vocabSize], valid until the next call
   */
  project(hidden: readonly Float32Array[]): Address[] {
    const { rows, cols } = this.#matrix;
    assert(hidden.length > 0 && hidden.length <= this.numRowsMax, "LM head called with too few or too many rows");
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

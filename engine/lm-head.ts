/**
 * The product of hidden states with the vocabulary, for the rows that need it and no others. Logits
 * stay in the kernels' memory, where the sampler reads them.
 */

import type { Address, Kernels, PackedMatrix } from "../kernels/index.js";
import { assert } from "./errors.js";

export class LMHead {
  readonly #kernels: Kernels;
  readonly #matrix: PackedMatrix;
  readonly #hidden: Address;
  readonly #logits: Address;
  readonly numRowsMax: number;

  /**
   * @param matrix [vocab_size, hidden_size]
   * @param numRowsMax rows projected by one call, at most
   */
  constructor(kernels: Kernels, matrix: PackedMatrix, numRowsMax: number) {
    this.#kernels = kernels;
    this.#matrix = matrix;
    this.numRowsMax = numRowsMax;
    this.#hidden = kernels.allocate(numRowsMax * matrix.cols * 4);
    this.#logits = kernels.allocate(numRowsMax * matrix.rows * 4);
  }

  /**
   * @param hidden f32 [hidden_size] for each row
   * @returns for each row the address of its logits, f32 [vocab_size], valid until the next call
   */
  project(hidden: readonly Float32Array[]): Address[] {
    const { rows, cols } = this.#matrix;
    assert(hidden.length > 0 && hidden.length <= this.numRowsMax, "LM head called with too few or too many rows");
    hidden.forEach((row, index) => {
      assert(row.length === cols, "hidden state has another size than the LM head");
      this.#kernels.f32(this.#hidden + index * cols * 4, cols).set(row);
    });
    this.#kernels.matmul(this.#matrix, this.#hidden, this.#logits, hidden.length);
    return hidden.map((_, index) => this.#logits + index * rows * 4);
  }
}

/**
 * Turns a runner's output into logits in the kernels' memory, where the sampler reads them. `LMHead` multiplies hidden
 * states with the LM head's matrix, only for rows that need logits. `GraphLogits` copies logits that an ONNX graph has
 * computed itself.
 */

import type { Address, Kernels, PackedMatrix } from "../../kernels/index.js";
import { assert } from "../errors.js";

/** Step between a runner and the sampler. */
export interface Head {
  readonly maxRows: number;
  /** Logits per row that may be tokens. */
  readonly vocabSize: number;
  /**
   * Computes the logits of each row.
   * @param rows output of the runner, f32
   * @returns for each row the address of its logits, f32 [vocabSize], valid until the next call
   */
  project(rows: readonly Float32Array[]): Address[];
}

export interface HeadOptions {
  /** Maximum number of rows per call. */
  readonly maxRows: number;
  /** Logits per row that may be tokens; logits after them are padding. */
  readonly vocabSize: number;
  /** Returns false for an id below vocabSize that is not a token: its logit becomes -Infinity, so it is never drawn. */
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
      assert(row.length === cols, "the size of a hidden state does not match the LM head");
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

/** Head for an ONNX graph that computes logits itself. */
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

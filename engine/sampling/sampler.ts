/**
 * Draws the tokens of one choice. A small table records which tokens occurred and how often, for the penalties; it
 * grows by at most one entry per token. The kernels do the arithmetic. The sampler does not handle text, stop sequences
 * or end tokens.
 */

import type { Address, Kernels, LogitAdjustments, LogprobsMode, SampledToken } from "../../kernels/index.js";
import { assert } from "../errors.js";
import type { GenerationConfig } from "./generation-config.js";
import { uniform } from "./philox.js";

export class Sampler {
  readonly #kernels: Kernels;
  readonly #vocabSize: number;
  readonly #config: GenerationConfig;
  readonly #choiceIndex: number;
  readonly #logprobsMode: LogprobsMode;
  readonly #adjustments: AdjustmentTable;
  /** Number of tokens accepted so far, which is the position of the next token. */
  #position = 0;

  /**
   * @param vocabSize number of token ids, 0..vocabSize-1; rows of logits may be longer
   * @param promptTokenIds tokens in the prompt, for `repetitionPenalty`
   * @param choiceIndex 0..n-1
   * @param logprobsMode a setting of the engine, not of the request
   */
  constructor(
    kernels: Kernels,
    vocabSize: number,
    config: GenerationConfig,
    promptTokenIds: readonly number[],
    choiceIndex: number,
    logprobsMode: LogprobsMode = "raw",
  ) {
    this.#kernels = kernels;
    this.#vocabSize = vocabSize;
    this.#config = config;
    this.#choiceIndex = choiceIndex;
    this.#logprobsMode = logprobsMode;
    this.#adjustments = new AdjustmentTable(vocabSize);
    for (const [tokenId, bias] of config.logitBias) {
      if (bias !== 0) this.#adjustments.addBias(tokenId, bias);
    }
    if (config.repetitionPenalty !== 1) {
      for (const tokenId of promptTokenIds) this.#adjustments.markSeen(tokenId);
    }
  }

  /**
   * Draws the token at the current position. Another call before accept() draws the same token.
   * @param logits f32 [vocabSize or more], not modified
   * @param allowed token mask of a grammar, u32 [ceil(vocabSize / 32)], one bit per token; null allows all tokens
   * @throws InvalidLogitsError if the row does not define a distribution
   */
  sample(logits: Address, allowed: Uint32Array | null = null): SampledToken {
    const config = this.#config;
    return this.#kernels.sample(logits, this.#vocabSize, {
      temperature: config.temperature,
      topK: config.topK,
      topP: config.topP,
      minP: config.minP,
      uniform: uniform(config.seed, this.#choiceIndex, this.#position),
      repetitionPenalty: config.repetitionPenalty,
      frequencyPenalty: config.frequencyPenalty,
      presencePenalty: config.presencePenalty,
      adjustments: this.#adjustments,
      allowed,
      topLogprobs: config.logprobs ? config.topLogprobs : null,
      logprobsMode: this.#logprobsMode,
    });
  }

  /** Appends `tokenId` to the output and advances to the next position. */
  accept(tokenId: number): void {
    const { repetitionPenalty, frequencyPenalty, presencePenalty } = this.#config;
    if (repetitionPenalty !== 1 || frequencyPenalty !== 0 || presencePenalty !== 0) {
      this.#adjustments.count(tokenId);
    }
    this.#position++;
  }
}

/** Tokens affected by a bias or a penalty, in the layout that the kernels read. */
class AdjustmentTable implements LogitAdjustments {
  length = 0;
  tokenIds = new Int32Array(64);
  biases = new Float64Array(64);
  counts = new Int32Array(64);
  seen = new Uint8Array(64);
  readonly #vocabSize: number;
  readonly #slots = new Map<number, number>();

  constructor(vocabSize: number) {
    this.#vocabSize = vocabSize;
  }

  addBias(tokenId: number, bias: number): void {
    const slot = this.#slotOf(tokenId); // may replace the arrays
    this.biases[slot] = bias;
  }

  /** Records a token of the prompt. */
  markSeen(tokenId: number): void {
    const slot = this.#slotOf(tokenId); // may replace the arrays
    this.seen[slot] = 1;
  }

  /** Records one more occurrence in the output. */
  count(tokenId: number): void {
    const slot = this.#slotOf(tokenId); // may replace the arrays
    this.seen[slot] = 1;
    this.counts[slot]! += 1;
  }

  #slotOf(tokenId: number): number {
    const known = this.#slots.get(tokenId);
    if (known !== undefined) return known;
    assert(
      Number.isInteger(tokenId) && tokenId >= 0 && tokenId < this.#vocabSize,
      `token ${tokenId} is in the vocabulary`,
    );
    const slot = this.length;
    if (slot === this.tokenIds.length) this.#grow();
    this.tokenIds[slot] = tokenId;
    this.#slots.set(tokenId, slot);
    this.length++;
    return slot;
  }

  #grow(): void {
    const { tokenIds, biases, counts, seen } = this;
    this.tokenIds = new Int32Array(2 * this.length);
    this.biases = new Float64Array(2 * this.length);
    this.counts = new Int32Array(2 * this.length);
    this.seen = new Uint8Array(2 * this.length);
    this.tokenIds.set(tokenIds);
    this.biases.set(biases);
    this.counts.set(counts);
    this.seen.set(seen);
  }
}

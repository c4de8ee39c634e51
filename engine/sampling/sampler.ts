/**
 * Draws the tokens of one choice. Keeps what the penalties need (which tokens were seen, how often)
 * as a small table that grows by at most one entry per token; the arithmetic is the kernels'.
 * Does not know about text, stop sequences or end tokens.
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
  /** Tokens accepted so far: the position of the next one. */
  #position = 0;

  /**
   * @param vocabSize tokens of the tokenizer: ids 0..vocabSize-1; the rows of logits may be longer
   * @param promptTokenIds the prompt, for repetitionPenalty
   * @param choiceIndex 0..n-1
   * @param logprobsMode the engine's, not the request's
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
   * Draws the token at the current position; drawing again without accept() gives the same.
   * @param logits f32 [vocabSize or more], left as it is
   * @param allowed u32 [ceil(vocabSize / 32)]: the tokens a grammar allows, bit by bit; null allows all
   * @throws InvalidLogitsError for a row without a distribution
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

  /** Makes `tokenId` part of the output and moves on to the next position. */
  accept(tokenId: number): void {
    const { repetitionPenalty, frequencyPenalty, presencePenalty } = this.#config;
    if (repetitionPenalty !== 1 || frequencyPenalty !== 0 || presencePenalty !== 0) {
      this.#adjustments.count(tokenId);
    }
    this.#position++;
  }
}

/** The tokens that bias and penalties touch, in the form the kernels read. */
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

  /** Part of the prompt. */
  markSeen(tokenId: number): void {
    const slot = this.#slotOf(tokenId); // may replace the arrays
    this.seen[slot] = 1;
  }

  /** One more occurrence in the output. */
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

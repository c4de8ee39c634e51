/**
 * Draws the tokens of one choice. A small table records which tokens occurred and how often, for the penalties; it
 * grows by at most one entry per token. The kernels do the arithmetic. The sampler does not handle text, stop sequences
 * or end tokens.
 */

import type { Address, Kernels, LogitAdjustments, LogprobsMode, SampledToken } from "../../kernels/index.js";
import { assert } from "../errors.js";
import type { GenerationConfig } from "./generation-config.js";
import { uniform } from "./philox.js";

/** What the samplers of a request's choices share. */
interface SharedParts {
  readonly kernels: Kernels;
  readonly vocabSize: number;
  readonly config: GenerationConfig;
  readonly logprobsMode: LogprobsMode;
}

export class Sampler {
  readonly #shared: SharedParts;
  readonly #choiceIndex: number;
  readonly #adjustments: AdjustmentTable;
  /** Number of tokens accepted so far, which is the position of the next token. */
  #position = 0;

  private constructor(shared: SharedParts, adjustments: AdjustmentTable, choiceIndex: number) {
    this.#shared = shared;
    this.#adjustments = adjustments;
    this.#choiceIndex = choiceIndex;
  }

  /**
   * Creates the samplers of a request. The prompt is read once, however many choices there are.
   * @param vocabSize number of token ids, 0..vocabSize-1; rows of logits may be longer
   * @param promptTokenIds tokens in the prompt, for `repetitionPenalty`
   * @param logprobsMode a setting of the engine, not of the request
   * @returns the sampler of a choice, by its index 0..n-1
   */
  static ofRequest(
    kernels: Kernels,
    vocabSize: number,
    config: GenerationConfig,
    promptTokenIds: readonly number[],
    logprobsMode: LogprobsMode = "raw",
  ): (choiceIndex: number) => Sampler {
    const adjustments = new AdjustmentTable(vocabSize);
    for (const [tokenId, bias] of config.logitBias) {
      if (bias !== 0) adjustments.addBias(tokenId, bias);
    }
    if (config.repetitionPenalty !== 1) {
      for (const tokenId of promptTokenIds) adjustments.markSeen(tokenId);
    }
    const shared = { kernels, vocabSize, config, logprobsMode };
    return (choiceIndex) => new Sampler(shared, adjustments.extended(), choiceIndex);
  }

  /**
   * Draws the token at the current position. Another call before accept() draws the same token.
   * @param logits f32 [vocabSize or more], not modified
   * @param allowed token mask of a grammar, u32 [ceil(vocabSize / 32)], one bit per token; null allows all tokens
   * @throws InvalidLogitsError if the row does not define a distribution
   */
  sample(logits: Address, allowed: Uint32Array | null = null): SampledToken {
    const { kernels, vocabSize, config, logprobsMode } = this.#shared;
    return kernels.sample(logits, vocabSize, {
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
      logprobsMode,
    });
  }

  /** Appends `tokenId` to the output and advances to the next position. */
  accept(tokenId: number): void {
    const { repetitionPenalty, frequencyPenalty, presencePenalty } = this.#shared.config;
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
  /** Slots of the table that this one extends, which must not change any more. */
  readonly #base: ReadonlyMap<number, number> | null;

  constructor(vocabSize: number, base: ReadonlyMap<number, number> | null = null) {
    this.#vocabSize = vocabSize;
    this.#base = base;
  }

  /** Returns a copy that can grow; this table must not change any more. */
  extended(): AdjustmentTable {
    const copy = new AdjustmentTable(this.#vocabSize, this.#slots);
    copy.length = this.length;
    copy.tokenIds = this.tokenIds.slice();
    copy.biases = this.biases.slice();
    copy.counts = this.counts.slice();
    copy.seen = this.seen.slice();
    return copy;
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
    const known = this.#base?.get(tokenId) ?? this.#slots.get(tokenId);
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

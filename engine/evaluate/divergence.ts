/**
 * Compares the predictions of two ways of computing a model: both read the same text, and their logits are compared at
 * every position. The results are statistics that never affect an answer, so this code may use functions whose last bit
 * differs between machines.
 */

import { assert } from "../errors.js";

/** Mean values over all positions of all texts. */
export interface Divergence {
  readonly numPositions: number;
  /** KL(reference || other) of the predictions, in nats per token. */
  readonly klDivergence: number;
  /** Fraction of positions at which the most probable token is the same, 0 to 1. */
  readonly top1Agreement: number;
  /** Perplexity of the text under each of the two. */
  readonly perplexity: { readonly reference: number; readonly other: number };
}

/** Accumulates positions one by one, so that the logits of a whole text are never in memory at once. */
export class DivergenceMeter {
  #numPositions = 0;
  #klDivergence = 0;
  #numAgreements = 0;
  #numPredicted = 0;
  #negativeLogLikelihood = { reference: 0, other: 0 };

  /**
   * Compares one position.
   *
   * @param reference f32 [vocab]
   * @param other f32 [vocab]
   * @param nextTokenId the next token of the text; null at its end
   */
  add(reference: ArrayLike<number>, other: ArrayLike<number>, nextTokenId: number | null): void {
    const [p, q] = [logProbabilities(reference), logProbabilities(other)];
    assert(p.values.length === q.values.length, "the logits have different sizes");
    let divergence = 0;
    for (let id = 0; id < p.values.length; id++) {
      const logP = p.values[id]!;
      if (logP > -Infinity) divergence += Math.exp(logP) * (logP - q.values[id]!);
    }
    this.#numPositions++;
    this.#klDivergence += divergence;
    if (p.likeliest === q.likeliest) this.#numAgreements++;
    if (nextTokenId === null) return;
    this.#numPredicted++;
    this.#negativeLogLikelihood.reference -= p.values[nextTokenId]!;
    this.#negativeLogLikelihood.other -= q.values[nextTokenId]!;
  }

  result(): Divergence {
    assert(this.#numPositions > 0, "a divergence needs positions");
    const perplexity = (sum: number): number => (this.#numPredicted === 0 ? NaN : Math.exp(sum / this.#numPredicted));
    return {
      numPositions: this.#numPositions,
      klDivergence: this.#klDivergence / this.#numPositions,
      top1Agreement: this.#numAgreements / this.#numPositions,
      perplexity: {
        reference: perplexity(this.#negativeLogLikelihood.reference),
        other: perplexity(this.#negativeLogLikelihood.other),
      },
    };
  }
}

function logProbabilities(logits: ArrayLike<number>): { values: Float64Array; likeliest: number } {
  let likeliest = 0;
  for (let id = 1; id < logits.length; id++) if (logits[id]! > logits[likeliest]!) likeliest = id;
  const largest = logits[likeliest]!;
  let total = 0;
  for (let id = 0; id < logits.length; id++) total += Math.exp(logits[id]! - largest);
  const logTotal = largest + Math.log(total);
  return { values: Float64Array.from(logits, (logit) => logit - logTotal), likeliest };
}

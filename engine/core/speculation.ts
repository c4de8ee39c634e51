/**
 * Decides how many drafted tokens run with the last tokens of the sequences of a pass. Several rows take less time than
 * as many passes, and a token is drawn from a drafted row only if the tokens before it were drawn as drafted. So drafts
 * change the time of an answer, and nothing else.
 */

import type { Draft } from "./ngram-drafter.js";

/** Time of a pass with so many rows, in units of one row, before it was measured: what eight rows took on one machine. */
const expectedTime = (numRows: number): number => 0.45 + 0.55 * numRows;
/** Weight of a new measurement. */
const NEW_SHARE = 0.25;
/** A measurement counts as at most this many times what was known: other work of the machine may have delayed it. */
const MAX_GROWTH = 2;
/** Passes after which a time is forgotten: contexts grow and shrink, and code is optimized late. */
const MAX_AGE = 256;
/** Passes after which the time without drafts is measured again. */
const MAX_AGE_WITHOUT_DRAFTS = 64;

interface Measurement {
  readonly ms: number;
  /** Number of passes before it. */
  readonly pass: number;
}

export class Speculation {
  /** Times of passes by their number of rows. */
  readonly #times = new Map<number, Measurement>();
  #numPasses = 0;

  /** @param ms time from the start of a pass to the logits of all its rows */
  record(numRows: number, ms: number): void {
    const limited = Math.min(ms, MAX_GROWTH * (this.#time(numRows) ?? ms));
    const known = this.#measured(numRows, MAX_AGE);
    this.#times.set(numRows, {
      ms: known === null ? limited : known + NEW_SHARE * (limited - known),
      pass: this.#numPasses++,
    });
  }

  /**
   * Returns the number of tokens of each draft that are worth running: those with which the most tokens are expected in
   * the time that the pass takes.
   * @param maxRows rows of the pass, at least one for each draft
   */
  choose(drafts: readonly Draft[], maxRows: number): number[] {
    const lengths = drafts.map(() => 0);
    const numSequences = drafts.length;
    if (this.#measured(numSequences, MAX_AGE_WITHOUT_DRAFTS) === null) return lengths;
    let best = [...lengths];
    let numTokens = numSequences;
    let bestRate = numTokens / this.#time(numSequences)!;
    for (let numRows = numSequences + 1; numRows <= maxRows; numRows++) {
      const chosen = likeliest(drafts, lengths);
      if (chosen === null) break;
      numTokens += drafts[chosen]!.probabilities[lengths[chosen]!++]!;
      const rate = numTokens / this.#time(numRows)!;
      if (rate <= bestRate) continue;
      bestRate = rate;
      best = [...lengths];
    }
    return best;
  }

  /** Returns the time of a pass: measured, or derived from the next smaller number of rows that was; null without one. */
  #time(numRows: number): number | null {
    for (let nearest = numRows; nearest > 0; nearest--) {
      const ms = this.#measured(nearest, MAX_AGE);
      if (ms !== null) return (ms * expectedTime(numRows)) / expectedTime(nearest);
    }
    return null;
  }

  #measured(numRows: number, maxAge: number): number | null {
    const known = this.#times.get(numRows);
    return known === undefined || this.#numPasses - known.pass > maxAge ? null : known.ms;
  }
}

/** Returns the index of the draft with the most probable next token; null if all drafts are used up. */
function likeliest(drafts: readonly Draft[], lengths: readonly number[]): number | null {
  let chosen: number | null = null;
  let highest = 0;
  for (const [index, { probabilities }] of drafts.entries()) {
    const probability = probabilities[lengths[index]!] ?? 0;
    if (probability <= highest) continue;
    highest = probability;
    chosen = index;
  }
  return chosen;
}

/**
 * Drafts the next tokens of a sequence: what followed its last tokens where they occurred before, in the prompt or in
 * the answer. Answers that repeat parts of their prompt or of themselves, such as edits, quotations and JSON, are drafted
 * well.
 *
 * The drafter follows the earlier occurrence as long as the drawn tokens agree with it, whether or not its drafts were
 * run. If another token is drawn, the drafter remembers that place in the earlier text. As soon as a drawn token stands
 * shortly after that place, it follows the earlier text from there: an edit changes a name, and then both are alike.
 * The probability of a draft is the share of tokens that agreed so far, after as many agreeing tokens.
 */

import { LIMITS } from "../limits.js";

/** Tokens drafted to follow a sequence. */
export interface Draft {
  readonly tokenIds: readonly number[];
  /** For each token the estimated probability that it and all tokens before it are drawn. */
  readonly probabilities: readonly number[];
}

/** Number of last tokens that are looked up. */
const NGRAM = 3;
/** Earlier occurrences of the last token that are looked at. */
const MAX_CANDIDATES = 64;
/** Tokens after a place of parting among which the last token is looked for, and for how many tokens. */
const MEETING_RANGE = 16;

export class NgramDrafter {
  /** The last tokens of the sequence. */
  #tokens: Int32Array;
  #length: number;
  /** Index of the token that followed at the earlier occurrence; -1 if none is followed. */
  #next = -1;
  /** Index of the followed token instead of which another one was drawn last; -1 if there is none. */
  #parting = -1;
  /** Tokens since then. */
  #numSinceParting = 0;
  /** Number of tokens that have agreed with the occurrence since it was found, or met again. */
  #numAgreed = 0;
  readonly #found = new AgreementRates([0.35, 0.5, 0.65, 0.8, 0.9, 0.95]);
  readonly #met = new AgreementRates([0.5, 0.6, 0.7, 0.8, 0.9, 0.95]);
  #rates = this.#found;

  /** @param promptTokenIds of which the last ones are searched */
  constructor(promptTokenIds: readonly number[]) {
    const known = promptTokenIds.slice(-LIMITS.maxDraftHistory);
    this.#tokens = new Int32Array(2 * Math.max(known.length, 64));
    this.#tokens.set(known);
    this.#length = known.length;
  }

  /** Appends a token that was drawn. */
  accept(tokenId: number): void {
    const agrees = this.#next >= 0 && this.#tokens[this.#next] === tokenId;
    if (this.#next >= 0) this.#rates.count(this.#numAgreed, agrees);
    if (this.#next >= 0 && !agrees) {
      this.#parting = this.#next;
      this.#numSinceParting = 0;
    }
    this.#append(tokenId);
    // The place may have been dropped.
    if (agrees && this.#next >= 0) {
      this.#next++;
      this.#numAgreed++;
      return;
    }
    this.#numAgreed = 0;
    const meeting = this.#meet();
    this.#rates = meeting >= 0 ? this.#met : this.#found;
    this.#next = meeting >= 0 ? meeting : this.#lookUp();
  }

  /** Drafts at most `maxTokens` tokens. */
  draft(maxTokens: number): Draft {
    const tokenIds: number[] = [];
    const probabilities: number[] = [];
    let probability = 1;
    for (let index = 0; this.#next >= 0 && index < maxTokens; index++) {
      // At the end of the sequence the draft continues with its own first tokens: the sequence repeats itself.
      const place = this.#next + index;
      tokenIds.push(place < this.#length ? this.#tokens[place]! : tokenIds[place - this.#length]!);
      probability *= this.#rates.of(this.#numAgreed + index);
      probabilities.push(probability);
    }
    return { tokenIds, probabilities };
  }

  #append(tokenId: number): void {
    if (this.#length === this.#tokens.length) this.#makeRoom();
    this.#tokens[this.#length++] = tokenId;
  }

  /** Doubles the memory, or drops the first half of the tokens once it has twice the size that is searched. */
  #makeRoom(): void {
    if (this.#length < 2 * LIMITS.maxDraftHistory) {
      const tokens = new Int32Array(Math.min(2 * this.#length, 2 * LIMITS.maxDraftHistory));
      tokens.set(this.#tokens);
      this.#tokens = tokens;
      return;
    }
    const numDropped = this.#length - LIMITS.maxDraftHistory;
    this.#tokens.copyWithin(0, numDropped);
    this.#length -= numDropped;
    this.#next = Math.max(-1, this.#next - numDropped);
    this.#parting = Math.max(-1, this.#parting - numDropped);
  }

  /** Returns the index after the last token where it follows soon after the place of parting, or -1. */
  #meet(): number {
    if (this.#parting < 0 || this.#numSinceParting++ >= MEETING_RANGE) return -1;
    const end = this.#length - 1;
    const range = this.#tokens.subarray(this.#parting, Math.min(end, this.#parting + MEETING_RANGE));
    const place = range.indexOf(this.#tokens[end]!);
    return place < 0 ? -1 : this.#parting + place + 1;
  }

  /** Returns the index after the latest earlier occurrence of the last tokens, or -1. */
  #lookUp(): number {
    const tokens = this.#tokens;
    const end = this.#length - 1;
    const first = Math.max(NGRAM - 1, this.#length - LIMITS.maxDraftHistory);
    let place = end;
    for (let numTried = 0; numTried < MAX_CANDIDATES && place > first; numTried++) {
      place = tokens.lastIndexOf(tokens[end]!, place - 1);
      let numEqual = 1;
      while (numEqual < NGRAM && tokens[place - numEqual] === tokens[end - numEqual]) numEqual++;
      if (place >= first && numEqual === NGRAM) return place + 1;
    }
    return -1;
  }
}

/** Weight of the rates that are assumed before anything is known, in tokens. */
const PRIOR_WEIGHT = 4;
/** Weight of the counts at which they are halved, so that the rates follow the answer. */
const MAX_WEIGHT = 64;

/** Shares of tokens that agree. There is one for 0, 1, 2 to 3, 4 to 7, 8 to 15 and more tokens that agreed before. */
class AgreementRates {
  readonly #hits: number[];
  readonly #weights: number[];

  /** @param priors rates before anything is known */
  constructor(priors: readonly number[]) {
    this.#hits = priors.map((rate) => rate * PRIOR_WEIGHT);
    this.#weights = priors.map(() => PRIOR_WEIGHT);
  }

  of(numAgreed: number): number {
    const bucket = this.#bucketOf(numAgreed);
    return this.#hits[bucket]! / this.#weights[bucket]!;
  }

  count(numAgreed: number, agrees: boolean): void {
    const bucket = this.#bucketOf(numAgreed);
    this.#hits[bucket]! += agrees ? 1 : 0;
    this.#weights[bucket]! += 1;
    if (this.#weights[bucket]! < MAX_WEIGHT) return;
    this.#hits[bucket]! /= 2;
    this.#weights[bucket]! /= 2;
  }

  #bucketOf(numAgreed: number): number {
    return Math.min(32 - Math.clz32(numAgreed), this.#hits.length - 1);
  }
}

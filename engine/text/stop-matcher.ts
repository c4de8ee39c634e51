/**
 * Finds stop sequences in the text of an answer as it arrives (contract, section 5).
 *
 * 1. Every code unit advances one Knuth-Morris-Pratt automaton per stop string. This takes linear time, and four bytes
 *    of memory per code unit of a stop string.
 * 2. The first code unit that completes a stop string ends the text. If it completes several, the longest is reported,
 *    because it starts earliest.
 * 3. The matcher holds back exactly the longest suffix of the text that is a prefix of a stop string.
 */

import { assert } from "../errors.js";

export interface StopMatch {
  /** Text that can be released now. */
  readonly text: string;
  /** The stop string that ended the text, or null. */
  readonly stopped: string | null;
}

export class StopMatcher {
  readonly #patterns: Pattern[];
  readonly #includeStop: boolean;
  #held = "";
  #stopped: string | null = null;

  /**
   * @param stop any number of non-empty strings
   * @param includeStop true to keep the stop string in the text
   */
  constructor(stop: readonly string[], includeStop: boolean) {
    this.#patterns = stop.map((string) => new Pattern(string));
    this.#includeStop = includeStop;
  }

  /** The stop string that ended the text, or null. */
  get stopped(): string | null {
    return this.#stopped;
  }

  /** Adds text. After a stop, all further text is dropped. */
  push(text: string): StopMatch {
    if (this.#stopped !== null) return { text: "", stopped: this.#stopped };
    const held = this.#held;
    const numSeen = held.length + text.length;
    const seen = (end: number): string =>
      end <= held.length ? held.slice(0, end) : held + text.slice(0, end - held.length);
    for (let index = 0; index < text.length; index++) {
      const match = this.#step(text.charCodeAt(index));
      if (match === null) continue;
      this.#stopped = match;
      this.#held = "";
      const end = held.length + index + 1;
      return { text: seen(this.#includeStop ? end : end - match.length), stopped: match };
    }
    // The held text is a prefix of a stop string, so it is a slice of that string; long texts are not copied.
    this.#held = this.#patterns.map(({ begun }) => begun).reduce((a, b) => (b.length > a.length ? b : a), "");
    return { text: seen(numSeen - this.#held.length), stopped: null };
  }

  /** Ends the text. @returns the text that was held back, as no stop string can follow */
  finish(): string {
    const held = this.#held;
    this.#held = "";
    return held;
  }

  /** @returns the longest stop string that this code unit completes, or null */
  #step(unit: number): string | null {
    let longest: string | null = null;
    for (const pattern of this.#patterns) {
      if (pattern.step(unit) && pattern.string.length > (longest?.length ?? 0)) longest = pattern.string;
    }
    return longest;
  }
}

class Pattern {
  /** Length of the longest suffix of the text that is a prefix of the string; the string's length if complete. */
  #numMatched = 0;
  /** i32 [length]: for each prefix, the length of its longest proper suffix that is also a prefix. */
  readonly #fallback: Int32Array;

  constructor(readonly string: string) {
    assert(string.length > 0, "a stop string is empty");
    this.#fallback = new Int32Array(string.length);
    for (let index = 1, length = 0; index < string.length; index++) {
      while (length > 0 && string.charCodeAt(index) !== string.charCodeAt(length)) length = this.#fallback[length - 1]!;
      if (string.charCodeAt(index) === string.charCodeAt(length)) length++;
      this.#fallback[index] = length;
    }
  }

  /** The longest suffix of the text that is a prefix of the string. */
  get begun(): string {
    return this.string.slice(0, this.#numMatched);
  }

  /** @returns true if the code unit completes the string; matching ends then */
  step(unit: number): boolean {
    while (this.#numMatched > 0 && unit !== this.string.charCodeAt(this.#numMatched)) {
      this.#numMatched = this.#fallback[this.#numMatched - 1]!;
    }
    if (unit === this.string.charCodeAt(this.#numMatched)) this.#numMatched++;
    return this.#numMatched === this.string.length;
  }
}

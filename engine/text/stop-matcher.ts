/**
 * Finds stop sequences in the answer's text as it arrives (contract, section 5).
 *
 * 1. Every code unit moves one Knuth-Morris-Pratt automaton per stop string: linear time, four bytes per code unit.
 * 2. The first code unit that completes any stop string ends the text; if it completes several, the longest counts,
 *    because it starts earliest.
 * 3. Held back is exactly the longest end of the text that begins a stop string.
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
   * @param stop non-empty strings, in any number
   * @param includeStop whether the stop string itself belongs to the text
   */
  constructor(stop: readonly string[], includeStop: boolean) {
    this.#patterns = stop.map((string) => new Pattern(string));
    this.#includeStop = includeStop;
  }

  /** The stop string that ended the text, or null. */
  get stopped(): string | null {
    return this.#stopped;
  }

  /** Takes more text. After a stop, everything is dropped. */
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
    // What is held back begins a stop string: it is taken from there, so that a long one is never copied.
    this.#held = this.#patterns.map(({ begun }) => begun).reduce((a, b) => (b.length > a.length ? b : a), "");
    return { text: seen(numSeen - this.#held.length), stopped: null };
  }

  /** The end of the text. @returns what was held back: it can no longer become a stop string */
  finish(): string {
    return this.#held;
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
  /** Code units at the end of the text that begin the string; less than its length, except where it completes. */
  #numMatched = 0;
  /** i32 [length]: for each prefix, the length of its longest proper end that is a prefix too. */
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

  /** The end of the text that begins the string. */
  get begun(): string {
    return this.string.slice(0, this.#numMatched);
  }

  /** @returns whether the code unit completes the string; matching ends there */
  step(unit: number): boolean {
    while (this.#numMatched > 0 && unit !== this.string.charCodeAt(this.#numMatched)) {
      this.#numMatched = this.#fallback[this.#numMatched - 1]!;
    }
    if (unit === this.string.charCodeAt(this.#numMatched)) this.#numMatched++;
    return this.#numMatched === this.string.length;
  }
}

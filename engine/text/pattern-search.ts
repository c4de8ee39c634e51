/**
 * Finds the matches of a tokenizer's pattern in a text. The pattern is untrusted: a repetition that reads a run of
 * characters and then fails, such as `\S+$`, reads the run again at each place in it. JavaScript cannot interrupt a
 * match, so the search goes from place to place and counts what may have been read in vain, by samples.
 */

import type { Budget } from "../budget.js";
import type { Run } from "./backtracking.js";

/** Receives the bounds of a match. @returns false to end the search */
export type EachMatch = (start: number, end: number) => boolean;

export class PatternSearch {
  readonly #pattern: RegExp;
  /** The same pattern, which matches only at `lastIndex`: unlike a search, this creates no object for a match. */
  readonly #sticky: RegExp;
  readonly #runs: readonly RunPatterns[];

  /**
   * @param pattern with the flags `gu`
   * @param runs the runs that the pattern may read in vain
   */
  constructor(pattern: RegExp, runs: readonly Run[]) {
    this.#pattern = pattern;
    this.#sticky = new RegExp(pattern.source, "yu");
    this.#runs = runs
      .filter(({ others }) => others !== "")
      .map(({ first, others }) => ({
        first: first === null ? null : new RegExp(first, "yu"),
        others: new RegExp(`(?:${others}){1,${MAX_RUN}}`, "yu"),
      }));
  }

  /**
   * Passes on all matches in order, which may be empty.
   * @returns false if `each` ended the search
   */
  each(text: string, budget: Budget, each: EachMatch): boolean {
    const runs = new Runs(this.#runs, text, budget);
    let from = 0;
    while (from < text.length) {
      let [start, end] = [from, from];
      this.#sticky.lastIndex = from;
      if (bounded(budget, () => this.#sticky.test(text))) end = this.#sticky.lastIndex;
      else if (this.#runs.length > 0) {
        // A search would try all places of a run at once.
        runs.spend(from, from);
        from = after(text, from);
        continue;
      } else {
        this.#pattern.lastIndex = from;
        const match = bounded(budget, () => this.#pattern.exec(text));
        if (match === null || match.index === text.length) break;
        start = match.index;
        end = this.#pattern.lastIndex;
      }
      if (end < text.length) runs.spend(from, end);
      if (!each(start, end)) return false;
      from = end > start || end === text.length ? end : after(text, end);
    }
    return true;
  }

  /** Replaces all matches by a text, in which `$` means nothing, or by what a function returns for each. */
  replaceAll(text: string, replacement: string | ((match: string) => string), budget: Budget): string {
    const isText = typeof replacement === "string";
    if (this.#runs.length === 0) {
      const replacer = isText ? replacement.replaceAll("$", "$$$$") : replacement;
      return bounded(budget, () => text.replaceAll(this.#pattern, replacer as string));
    }
    const parts: string[] = [];
    let done = 0;
    const add = (start: number, end: number): true => {
      parts.push(text.slice(done, start), isText ? replacement : replacement(text.slice(start, end)));
      done = end;
      return true;
    };
    this.each(text, budget, add);
    this.#sticky.lastIndex = text.length;
    if (this.#sticky.test(text)) add(text.length, text.length);
    parts.push(text.slice(done));
    return parts.join("");
  }
}

/**
 * Matches a pattern. JavaScript fails with a RangeError where a match has more places to go back to than it can keep, some
 * millions: then the budget is exhausted.
 */
function bounded<T>(budget: Budget, match: () => T): T {
  try {
    return match();
  } catch (error) {
    if (error instanceof RangeError) budget.spend(Infinity);
    throw error;
  }
}

/** The same as `Run`, both with the flags `yu`. */
interface RunPatterns {
  readonly first: RegExp | null;
  readonly others: RegExp;
}

/** Counts what repetitions read beyond a match, by samples: only runs of many places matter. */
class Runs {
  readonly #ends: number[];
  #numUncounted = 0;

  constructor(
    readonly patterns: readonly RunPatterns[],
    readonly text: string,
    readonly budget: Budget,
  ) {
    this.#ends = patterns.map(() => 0);
  }

  /** Counts the characters from `end` that repetitions may have read from `start` on. */
  spend(start: number, end: number): void {
    if (++this.#numUncounted < SAMPLING) return;
    this.#numUncounted = 0;
    for (const [index, { first, others }] of this.patterns.entries()) {
      if (first !== null && endOf(first, this.text, start) === start) continue;
      if (this.#ends[index]! <= start) this.#ends[index] = endOfRun(others, this.text, start);
      const numRead = this.#ends[index]! - end;
      if (numRead > 0) this.budget.spend((SAMPLING * numRead) / CHARACTERS_PER_STEP);
    }
  }
}

function endOfRun(others: RegExp, text: string, start: number): number {
  for (let end = start; ;) {
    const next = endOf(others, text, end);
    if (next === end) return end;
    end = next;
  }
}

/** Returns the end of a sticky pattern's match at `start`; without a match, `start`. */
function endOf(pattern: RegExp, text: string, start: number): number {
  pattern.lastIndex = start;
  return pattern.test(text) ? pattern.lastIndex : start;
}

/** Characters of a run that are matched at once: JavaScript can go back to each. */
const MAX_RUN = 50_000;
/** A pattern reads a character in one to twenty nanoseconds. */
const CHARACTERS_PER_STEP = 8;
/** One of so many places is looked at, and counts for all of them. */
const SAMPLING = 16;

const after = (text: string, at: number): number => at + (text.codePointAt(at)! > 0xffff ? 2 : 1);

/**
 * Divisions of the code points into classes that a state does not distinguish further. Thousands of states divide the
 * code points alike, so divisions are interned, and their combinations are computed once.
 */

import type { Budget } from "../budget.js";
import type { CodePointSet } from "./code-points.js";

/**
 * Ranges of code points, first to end (exclusive), each with its class: parallel arrays, ascending, without overlaps.
 * Ranges of one class do not touch. Classes are numbered in the order of their first ranges.
 */
export interface Partition {
  readonly id: number;
  readonly firsts: ArrayLike<number>;
  readonly ends: ArrayLike<number>;
  readonly classes: ArrayLike<number>;
  readonly numClasses: number;
}

/** Result of overlaying partitions. */
export interface Overlay {
  readonly partition: Partition;
  /** By class of the result: the class in each of the partitions, or `OUTSIDE`. */
  readonly parts: readonly (readonly number[])[];
}

/** The class of a code point that a partition does not contain. */
export const OUTSIDE = -1;

export class Partitions {
  readonly #budget: Budget | null;
  #known = new Map<string, Partition>();
  #overlays = new Map<string, Overlay>();
  #coarser = new Map<string, Partition>();
  #numIds = 0;
  /** Numbers kept in the tables above, as a measure of their size. */
  #size = 0;

  constructor(budget: Budget | null) {
    this.#budget = budget;
  }

  get size(): number {
    return this.#size;
  }

  /** Drops the tables. Partitions in use stay valid; ids are not reused. */
  forget(): void {
    this.#known = new Map();
    this.#overlays = new Map();
    this.#coarser = new Map();
    this.#size = 0;
  }

  /** @returns a partition whose ranges and classes come from a compiled grammar */
  adopt(ranges: Omit<Partition, "id">): Partition {
    return { id: this.#numIds++, ...ranges };
  }

  /** @returns one class that contains the set */
  ofSet(set: CodePointSet): Partition {
    const count = set.length / 2;
    const firsts = Array.from({ length: count }, (_, i) => set[2 * i]!);
    const ends = Array.from({ length: count }, (_, i) => set[2 * i + 1]!);
    return this.#intern(firsts, ends, new Array<number>(count).fill(0), count === 0 ? 0 : 1);
  }

  /** @returns a class for each code point. @param codePoints ascending */
  ofSingles(codePoints: readonly number[]): Partition {
    const ends = codePoints.map((codePoint) => codePoint + 1);
    const classes = codePoints.map((_, index) => index);
    return this.#intern(codePoints, ends, classes, codePoints.length);
  }

  /** @returns the partition in which two code points are in one class if they are in each of the given ones */
  overlay(all: readonly Partition[]): Overlay {
    const key = all.map(({ id }) => id).join();
    let result = this.#overlays.get(key);
    if (result === undefined) {
      this.#overlays.set(key, (result = this.#overlaid(all)));
      this.#size += 16 + result.parts.length * all.length;
    }
    return result;
  }

  /**
   * Joins and drops classes.
   * @param joined the new class of each class, or OUTSIDE; numbered in the order of their first classes
   */
  coarser(partition: Partition, joined: readonly number[]): Partition {
    const key = `${partition.id}:${joined.join()}`;
    let result = this.#coarser.get(key);
    if (result !== undefined) return result;
    const ranges = new Ranges();
    let numClasses = 0;
    this.#budget?.spend(partition.firsts.length);
    for (let i = 0; i < partition.firsts.length; i++) {
      const newClass = joined[partition.classes[i]!]!;
      if (newClass === OUTSIDE) continue;
      numClasses = Math.max(numClasses, newClass + 1);
      ranges.add(partition.firsts[i]!, partition.ends[i]!, newClass);
    }
    result = this.#intern(ranges.firsts, ranges.ends, ranges.classes, numClasses);
    this.#coarser.set(key, result);
    this.#size += 16 + joined.length;
    return result;
  }

  #overlaid(all: readonly Partition[]): Overlay {
    const borders: { at: number; index: number; newClass: number }[] = [];
    all.forEach(({ firsts, ends, classes }, index) => {
      for (let i = 0; i < firsts.length; i++) {
        borders.push({ at: firsts[i]!, index, newClass: classes[i]! });
        if (firsts[i + 1] !== ends[i]) borders.push({ at: ends[i]!, index, newClass: OUTSIDE });
      }
    });
    this.#budget?.spend(borders.length);
    borders.sort((a, b) => a.at - b.at);
    const covering = new Array<number>(all.length).fill(OUTSIDE);
    let numCovering = 0;
    const known = new Map<string, number>();
    const parts: number[][] = [];
    const ranges = new Ranges();
    for (let i = 0; i < borders.length;) {
      const { at } = borders[i]!;
      for (; i < borders.length && borders[i]!.at === at; i++) {
        const { index, newClass } = borders[i]!;
        numCovering += Number(newClass !== OUTSIDE) - Number(covering[index] !== OUTSIDE);
        covering[index] = newClass;
      }
      if (numCovering === 0) continue;
      this.#budget?.spend(all.length >> 2);
      const key = covering.join();
      let found = known.get(key);
      if (found === undefined) {
        known.set(key, (found = parts.length));
        parts.push([...covering]);
      }
      ranges.add(at, borders[i]!.at, found);
    }
    return { partition: this.#intern(ranges.firsts, ranges.ends, ranges.classes, parts.length), parts };
  }

  #intern(
    firsts: readonly number[],
    ends: readonly number[],
    classes: readonly number[],
    numClasses: number,
  ): Partition {
    const key = `${firsts.join()};${ends.join()};${classes.join()}`;
    let partition = this.#known.get(key);
    if (partition === undefined) {
      partition = { id: this.#numIds++, firsts, ends, classes, numClasses };
      this.#known.set(key, partition);
      this.#size += 16 + 8 * firsts.length;
    }
    return partition;
  }
}

/** Collects ranges in ascending order, and joins those that touch. */
class Ranges {
  readonly firsts: number[] = [];
  readonly ends: number[] = [];
  readonly classes: number[] = [];

  add(first: number, end: number, newClass: number): void {
    const last = this.ends.length - 1;
    if (last >= 0 && this.ends[last] === first && this.classes[last] === newClass) this.ends[last] = end;
    else {
      this.firsts.push(first);
      this.ends.push(end);
      this.classes.push(newClass);
    }
  }
}

/** @returns the index of the last element that is at most `value`, or -1 */
export function lastAtMost(ascending: ArrayLike<number>, value: number): number {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ascending[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** @returns the class of a code point, or OUTSIDE */
export function classOf({ firsts, ends, classes }: Partition, codePoint: number): number {
  const index = lastAtMost(firsts, codePoint);
  return index >= 0 && codePoint < ends[index]! ? classes[index]! : OUTSIDE;
}

/**
 * Merges symbols pairwise, as byte-pair encoding does: the pair with the lowest rank first, and the leftmost of equal
 * pairs. Pairs are queued by rank, and the places of one rank are merged in one pass from left to right, so that a run
 * of eight million characters takes seconds. A merge that creates a pair of a lower rank, which no trained tokenizer
 * has, interrupts the pass.
 */

import { randomInt } from "node:crypto";

import type { Budget } from "../budget.js";
import { assert, described, EngineError, quoted } from "../errors.js";

export type Merge = string | readonly [string, string];

/**
 * @returns the two parts of a merge; tokenizer.json has two notations for merges
 * @throws EngineError invalid_model for anything else
 */
export function mergeParts(merge: unknown): readonly [string, string] {
  if (Array.isArray(merge) && merge.length === 2 && merge.every((part) => typeof part === "string"))
    return merge as [string, string];
  const space = typeof merge === "string" ? merge.indexOf(" ") : -1;
  if (space >= 0) return [(merge as string).slice(0, space), (merge as string).slice(space + 1)];
  const message = `tokenizer.json: a merge must be two tokens. Given: ${described(merge)}`;
  throw new EngineError("invalid_model", message);
}

export class MergeTable {
  /** Token ids of each merge, i32 [merges] each. */
  readonly #left: Int32Array;
  readonly #right: Int32Array;
  readonly #merged: Int32Array;
  /** Ranks by hash of the pair, i32 [slots], at most half full; NONE for a free slot. */
  readonly #slots: Int32Array;
  /** Makes the places of pairs unpredictable: a vocabulary could be made so that many share one. */
  readonly #seed = randomInt(2 ** 31);
  /** Last code unit of a left part << 16 | first code unit of the right part, for all merges. */
  readonly #joints = new Set<number>();
  readonly #queue: RankQueue;
  #next: Int32Array = new Int32Array(SMALL);
  #previous: Int32Array = new Int32Array(SMALL);

  /**
   * @param prefix what the second token of a merge begins with, and the merged token lacks
   * @throws EngineError invalid_model for a merge that is not two tokens, or lacks the prefix
   */
  constructor(merges: readonly Merge[], vocab: ReadonlyMap<string, number>, prefix = "") {
    this.#left = new Int32Array(merges.length);
    this.#right = new Int32Array(merges.length);
    this.#merged = new Int32Array(merges.length);
    this.#slots = new Int32Array(2 ** (32 - Math.clz32(2 * merges.length + 1))).fill(NONE);
    this.#queue = new RankQueue(merges.length);
    merges.forEach((merge, rank) => {
      const [leftName, rightName] = mergeParts(merge);
      const left = vocab.get(leftName);
      const right = vocab.get(rightName);
      if (!rightName.startsWith(prefix)) throw withoutPrefix(rightName, prefix);
      const merged = vocab.get(leftName + rightName.slice(prefix.length));
      if (left === undefined || right === undefined || merged === undefined) return;
      if (leftName === "" || rightName === "") return;
      this.#left[rank] = left;
      this.#right[rank] = right;
      this.#merged[rank] = merged;
      this.#slots[this.#slotOf(left, right)] = rank; // the last of equal merges counts
      this.#joints.add((leftName.charCodeAt(leftName.length - 1) << 16) | rightName.charCodeAt(0));
    });
  }

  /** Returns true if a merge may join two texts that end and begin with these UTF-16 code units. */
  canJoin(last: number, first: number): boolean {
    return this.#joints.has((last << 16) | first);
  }

  /**
   * Merges the symbols in place.
   *
   * @param symbols i32 [>= length] token ids; negative numbers take part in no merge
   * @param withheld tokens, by id, that no merge may produce
   * @returns the number of symbols that remain, at the beginning of `symbols`
   */
  merge(symbols: Int32Array, length: number, withheld: ReadonlyMap<number, string>, budget: Budget): number {
    assert(length < MAX_LENGTH, "a word is too long to be merged");
    budget.spend(length);
    this.#reserve(length);
    const [next, previous, queue] = [this.#next, this.#previous, this.#queue];
    const enqueue = (index: number, left: number, right: number): void => {
      const rank = this.#slots[this.#slotOf(left, right)]!;
      if (rank !== NONE && !withheld.has(this.#merged[rank]!)) queue.push(rank, index);
    };
    for (let index = 0; index < length; index++) {
      next[index] = index + 1;
      previous[index] = index - 1;
      if (index + 1 < length) enqueue(index, symbols[index]!, symbols[index + 1]!);
    }
    while (!queue.isEmpty) {
      const { rank, size, places } = queue.take();
      budget.spend(size);
      const [left, right, merged] = [this.#left[rank]!, this.#right[rank]!, this.#merged[rank]!];
      for (let i = 0; i < size; i++) {
        const index = places[i]!;
        const following = next[index]!;
        // Places stay in the queue when a neighbor merges; outdated places are skipped here.
        if (symbols[index] !== left || following >= length || symbols[following] !== right) continue;
        symbols[index] = merged;
        symbols[following] = NONE;
        const after = next[following]!;
        next[index] = after;
        if (after < length) {
          previous[after] = index;
          enqueue(index, merged, symbols[after]!);
        }
        const before = previous[index]!;
        if (before >= 0) enqueue(before, symbols[before]!, merged);
        if (queue.isEmpty || queue.lowestRank >= rank) continue;
        for (let rest = i + 1; rest < size; rest++) queue.push(rank, places[rest]!);
        break;
      }
    }
    let numLeft = 0;
    for (let index = 0; index < length; index = next[index]!) symbols[numLeft++] = symbols[index]!;
    this.#release();
    return numLeft;
  }

  /** Returns the slot of a pair, or the free slot where it would be. */
  #slotOf(left: number, right: number): number {
    const mask = this.#slots.length - 1;
    let hash = Math.imul(left ^ this.#seed, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
    let slot = (hash ^ (hash >>> 13)) & mask;
    for (;;) {
      const rank = this.#slots[slot]!;
      if (rank === NONE || (this.#left[rank] === left && this.#right[rank] === right)) return slot;
      slot = (slot + 1) & mask;
    }
  }

  #reserve(length: number): void {
    if (this.#next.length >= length) return;
    this.#next = new Int32Array(2 * length);
    this.#previous = new Int32Array(2 * length);
  }

  /** Drops the buffers of a long word, which would otherwise stay for as long as the model. */
  #release(): void {
    if (this.#next.length <= LARGE) return;
    this.#next = new Int32Array(SMALL);
    this.#previous = new Int32Array(SMALL);
    this.#queue.release();
  }
}

function withoutPrefix(name: string, prefix: string): EngineError {
  const message = `tokenizer.json: the second token of a merge must begin with ${quoted(prefix)}. Given: ${quoted(name)}`;
  return new EngineError("invalid_model", message);
}

/** Places by rank: a heap of the ranks that have places, and a linked list of places for each rank. */
class RankQueue {
  readonly #ranks = new MinHeap();
  /** First entry of each rank's list, i32 [ranks]; NONE for a rank without places. */
  readonly #first: Int32Array;
  /** Place of each entry, and the entry after it in its list, i32 [entries] each. */
  #place: Int32Array = new Int32Array(SMALL);
  #link: Int32Array = new Int32Array(SMALL);
  #numEntries = 0;
  /** First of the entries that were used and are free. */
  #free = NONE;
  #taken: Int32Array = new Int32Array(SMALL);

  constructor(numRanks: number) {
    this.#first = new Int32Array(numRanks).fill(NONE);
  }

  get isEmpty(): boolean {
    return this.#ranks.size === 0;
  }

  get lowestRank(): number {
    return this.#ranks.top;
  }

  push(rank: number, place: number): void {
    let entry = this.#free;
    if (entry !== NONE) this.#free = this.#link[entry]!;
    else if ((entry = this.#numEntries++) === this.#place.length) {
      this.#place = enlarged(this.#place);
      this.#link = enlarged(this.#link);
    }
    if (this.#first[rank] === NONE) this.#ranks.push(rank);
    this.#place[entry] = place;
    this.#link[entry] = this.#first[rank]!;
    this.#first[rank] = entry;
  }

  /** Removes the lowest rank. @returns its places in ascending order, in a buffer that the next call overwrites */
  take(): { rank: number; size: number; places: Int32Array } {
    const rank = this.#ranks.pop();
    let size = 0;
    let isDescending = true;
    let last = NONE;
    for (let entry = this.#first[rank]!; entry !== NONE; entry = this.#link[entry]!) {
      const place = this.#place[entry]!;
      if (size === this.#taken.length) this.#taken = enlarged(this.#taken);
      if (size > 0 && place > this.#taken[size - 1]!) isDescending = false;
      this.#taken[size++] = place;
      last = entry;
    }
    this.#link[last] = this.#free;
    this.#free = this.#first[rank]!;
    this.#first[rank] = NONE;
    const places = this.#taken.subarray(0, size);
    if (isDescending) places.reverse();
    else places.sort();
    return { rank, size, places };
  }

  release(): void {
    assert(this.isEmpty, "places remain in the queue of merges");
    this.#place = new Int32Array(SMALL);
    this.#link = new Int32Array(SMALL);
    this.#taken = new Int32Array(SMALL);
    this.#numEntries = 0;
    this.#free = NONE;
  }
}

/** A binary heap of integers with the smallest at the top. */
class MinHeap {
  #items: Int32Array = new Int32Array(SMALL);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get top(): number {
    return this.#items[0]!;
  }

  push(item: number): void {
    if (this.#size === this.#items.length) this.#items = enlarged(this.#items);
    const items = this.#items;
    let index = this.#size++;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (items[parent]! <= item) break;
      items[index] = items[parent]!;
      index = parent;
    }
    items[index] = item;
  }

  pop(): number {
    const items = this.#items;
    const top = items[0]!;
    const last = items[--this.#size]!;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= this.#size) break;
      if (child + 1 < this.#size && items[child + 1]! < items[child]!) child++;
      if (items[child]! >= last) break;
      items[index] = items[child]!;
      index = child;
    }
    items[index] = last;
    return top;
  }
}

/** Marks the absence of a rank, an entry or a symbol. */
const NONE = -1;
const MAX_LENGTH = 2 ** 28;
/** Initial size of the buffers, and the size above which they are dropped after use. */
const SMALL = 256;
const LARGE = 1 << 16;

function enlarged(items: Int32Array): Int32Array {
  const larger = new Int32Array(items.length * 2);
  larger.set(items);
  return larger;
}

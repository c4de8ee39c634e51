/**
 * Items that an array may contain. Counting decides here if a partly written array can still be completed, so that no
 * allowed choice leads to a dead end.
 */

/** Values by index: those of the first items, then that of all others. Null where no value is meant. */
export interface Items<Value> {
  readonly prefix: readonly Value[];
  readonly rest: Value;
}

/** Items of which an array must have some. All other items have the values of the shape. */
export interface CountedItems<Value> {
  /** As long as the prefix of the shape. */
  readonly items: Items<Value | null>;
  readonly min: number;
  readonly max: number;
}

export class ArrayShape<Value> {
  /** Settled: lowered to the number of items that can have a value. */
  max: number;
  /** By index, for the prefix and the rest: true if the item can have a value. Set by `settle` if items are counted. */
  #canBe: readonly boolean[] = [];
  #canCount: readonly boolean[] = [];
  /** By index up to the end of the prefix: the number of earlier items that can count, must count, and cannot be. */
  #before = { counting: [0], forced: [0], blocked: [0] };

  constructor(
    readonly id: number,
    readonly items: Items<Value>,
    readonly min: number,
    /** As the schema gives it. */
    readonly givenMax: number,
    readonly counted: CountedItems<Value> | null,
    /** True if no two items are equal. */
    readonly isUnique: boolean,
  ) {
    this.max = givenMax;
  }

  /** The nodes of all items. */
  *values(): Iterable<Value> {
    yield* this.items.prefix;
    yield this.items.rest;
    if (this.counted === null) return;
    for (const value of [...this.counted.items.prefix, this.counted.items.rest]) if (value !== null) yield value;
  }

  at(index: number): Value {
    return index < this.items.prefix.length ? this.items.prefix[index]! : this.items.rest;
  }

  countedAt(index: number): Value | null {
    if (this.counted === null) return null;
    const { prefix, rest } = this.counted.items;
    return index < prefix.length ? prefix[index]! : rest;
  }

  /**
   * Finds which items can have a value.
   * @param numDistinct returns the number of values of a node, if the items are unique
   * @returns true if any such array exists
   */
  settle(exists: (value: Value) => boolean, numDistinct: (value: Value) => number): boolean {
    const { prefix, rest } = this.items;
    const canBe = [...prefix, rest].map((value) => exists(value));
    if (this.counted !== null) {
      const { items } = this.counted;
      this.setFlags(
        canBe,
        [...items.prefix, items.rest].map((value) => value !== null && exists(value)),
      );
      return this.canFinish(0, 0);
    }
    const blocked = canBe.indexOf(false);
    this.max = blocked >= 0 ? Math.min(this.givenMax, blocked) : this.givenMax;
    if (this.isUnique && this.max > 0) this.max = Math.min(this.max, numDistinct(rest));
    return this.min <= this.max;
  }

  /** What `settle` found, as bits by index. */
  get flags(): { readonly canBe: readonly boolean[]; readonly canCount: readonly boolean[] } {
    return { canBe: this.#canBe, canCount: this.#canCount };
  }

  /** Sets what `settle` found. */
  setFlags(canBe: readonly boolean[], canCount: readonly boolean[]): void {
    this.#canBe = canBe;
    this.#canCount = canCount;
    this.#before = {
      counting: sums(canCount),
      forced: sums(canCount.map((counts, index) => counts && !canBe[index]!)),
      blocked: sums(canCount.map((counts, index) => !counts && !canBe[index]!)),
    };
  }

  /**
   * True if an array of so many items, with so many counted ones, can still be completed. The number of counted ones
   * among further items is anything between those that must count and those that can. Both grow with the items, so the
   * fewest items that can count enough decide.
   */
  canFinish(numItems: number, numCounted: number): boolean {
    const { counted } = this;
    if (numItems > this.max) return false;
    if (counted === null) return true;
    if (counted.min > counted.max || numCounted > counted.max) return false;
    const { counting, forced, blocked } = this.#before;
    const length = this.#lengthFor(numItems, counted.min - numCounted, counting);
    if (length === Infinity || length > this.max || this.#sum(blocked, numItems, length) > 0) return false;
    return numCounted + this.#sum(forced, numItems, length) <= counted.max;
  }

  /** Returns the fewest items of an array of which `numNeeded` after the first `numItems` can count; maybe Infinity. */
  #lengthFor(numItems: number, numNeeded: number, counting: readonly number[]): number {
    const least = Math.max(numItems, this.min);
    if (this.#sum(counting, numItems, least) >= numNeeded) return least;
    const { length } = this.items.prefix;
    if (least < length && this.#sum(counting, numItems, length) >= numNeeded)
      return firstAtLeast(counting, counting[numItems]! + numNeeded);
    if (!this.#canCount.at(-1)!) return Infinity;
    return Math.max(numItems, length) + numNeeded - this.#sum(counting, numItems, Math.max(numItems, length));
  }

  /** Returns a number of `#before` for the items from `first` to `end` (exclusive). Those after the prefix are alike. */
  #sum(before: readonly number[], first: number, end: number): number {
    const { length } = this.items.prefix;
    const inPrefix = before[Math.min(end, length)]! - before[Math.min(first, length)]!;
    const ofRest = before[length + 1]! - before[length]!;
    const numRest = Math.max(0, end - length) - Math.max(0, first - length);
    return inPrefix + (ofRest === 0 ? 0 : numRest);
  }

  /** True if the array can be closed now. */
  isWhole(numItems: number, numCounted: number): boolean {
    return numItems >= this.min && numCounted >= (this.counted?.min ?? 0);
  }

  /** Returns the numbers as far as the shape distinguishes them, so that arrays of any length have few states. */
  reduced(numItems: number, numCounted: number): { numItems: number; numCounted: number } {
    return {
      numItems: this.max === Infinity ? Math.min(numItems, Math.max(this.min, this.items.prefix.length)) : numItems,
      numCounted: this.counted?.max === Infinity ? Math.min(numCounted, this.counted.min) : numCounted,
    };
  }
}

/** @returns for each index, and for the end, the number of true values before it */
function sums(flags: readonly boolean[]): number[] {
  const found = [0];
  for (const [index, flag] of flags.entries()) found.push(found[index]! + Number(flag));
  return found;
}

/** @returns the first index of an ascending list whose value is at least `value`, which the last one is */
function firstAtLeast(ascending: readonly number[], value: number): number {
  let low = 0;
  for (let high = ascending.length - 1; low < high;) {
    const middle = (low + high) >> 1;
    if (ascending[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

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
  readonly #known = new Map<string, boolean>();

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
    this.#canBe = [...prefix, rest].map((value) => exists(value));
    if (this.counted !== null) {
      const { items } = this.counted;
      this.#canCount = [...items.prefix, items.rest].map((value) => value !== null && exists(value));
      this.#known.clear();
      return this.canFinish(0, 0);
    }
    const blocked = this.#canBe.indexOf(false);
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
  }

  /** True if an array of so many items, with so many counted ones, can still be completed. */
  canFinish(numItems: number, numCounted: number): boolean {
    const { counted } = this;
    if (numItems > this.max) return false;
    if (counted === null) return true;
    if (numCounted > counted.max) return false;
    if (numItems >= this.min && numCounted >= counted.min) return true;
    if (numItems >= this.items.prefix.length) return this.#canFinishRest(numItems, numCounted, counted);
    const key = `${numItems},${numCounted}`;
    let known = this.#known.get(key);
    if (known === undefined) {
      known =
        (this.#canBe[numItems]! && this.canFinish(numItems + 1, numCounted)) ||
        (this.#canCount[numItems]! && this.canFinish(numItems + 1, numCounted + 1));
      this.#known.set(key, known);
    }
    return known;
  }

  #canFinishRest(numItems: number, numCounted: number, { min, max }: CountedItems<Value>): boolean {
    const canBe = this.#canBe.at(-1)!;
    const canCount = this.#canCount.at(-1)!;
    const numNeeded = Math.max(0, min - numCounted);
    const numMore = Math.max(numNeeded, this.min - numItems);
    if (numMore > this.max - numItems) return false;
    if (canBe) return numNeeded === 0 || canCount;
    return canCount && numMore <= max - numCounted;
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

/**
 * Properties that an object may contain: required ones in the schema's order, optional ones anywhere, and additional
 * ones by classes of names while no property is missing that is required or that a present one needs. Properties that
 * are required by another schema than the one that declares them have no order. Counting decides here if a partly
 * written object can still be completed, so that no allowed choice leads to a dead end.
 */

import type { Language, Languages } from "./language.js";

/** A property that the schema declares by name. */
export interface Slot<Value> {
  readonly name: string;
  readonly value: Value;
  readonly isRequired: boolean;
  /** True if it is required and follows the ordered slots before it. */
  readonly isOrdered: boolean;
  readonly isNameValid: boolean;
  /** Indexes of the slots that must be present if this one is. */
  readonly needs: readonly number[];
}

/** Names that the schema does not list, all with the same value. The classes of an object do not overlap. */
export interface NameClass<Value> {
  /** Settled: without dead ends. */
  readonly names: Language;
  readonly value: Value;
}

/** A class with at least this many names is treated as infinite. */
export const MAX_NAMES = 1_000_000;

export class ObjectShape<Value> {
  /** By slot: true if it can have a value. Set by `settle`, like the fields below. */
  #isPossible: readonly boolean[] = [];
  /** Classes that can have a value. */
  classes: readonly NameClass<Value>[] = [];
  /** Number of possible additional names. */
  numSpare = 0;
  readonly hasNeeds: boolean;
  /** The slots' names as JSON writes them, without quotes: one character for each byte. */
  readonly nameBytes: readonly string[];
  /** By slot: a bit set of the slot and all slots that it needs, also through others. Computed on first use. */
  #closures: readonly bigint[] | null = null;
  /** Bit sets of slots. `#joint`: possible ones whose needs are possible too, which can all be present together. */
  readonly #required: bigint;
  readonly #ordered: bigint;
  #possible = 0n;
  #joint = 0n;
  /** Indexes of the slots by name. Computed on first use. */
  #indexes: ReadonlyMap<string, number> | null = null;

  constructor(
    readonly id: number,
    readonly slots: readonly Slot<Value>[],
    readonly allClasses: readonly NameClass<Value>[],
    readonly min: number,
    readonly max: number,
    /** True if each text is a name of some class. */
    readonly hasEveryName: boolean,
  ) {
    this.nameBytes = slots.map(({ name }) => jsonBytes(name));
    this.hasNeeds = slots.some(({ needs }) => needs.length > 0);
    this.#required = bitsOf(slots.map(({ isRequired }) => isRequired));
    this.#ordered = bitsOf(slots.map(({ isOrdered }) => isOrdered));
  }

  /** @returns a shape with what `settle` found for it. @param isPossible by slot: true if it can have a value */
  static settled<Value>(
    {
      id,
      slots,
      classes,
      min,
      max,
      isOpen,
    }: Pick<ObjectShape<Value>, "id" | "slots" | "classes" | "min" | "max" | "isOpen">,
    isPossible: readonly boolean[],
    numSpare: number,
  ): ObjectShape<Value> {
    const shape = new ObjectShape(id, slots, classes, min, max, isOpen);
    shape.#set(isPossible, classes, numSpare);
    return shape;
  }

  /** Sets which slots and classes can have a value. @returns true if any such object exists */
  settle(languages: Languages, exists: (value: Value) => boolean): boolean {
    const classes = this.allClasses.filter(({ value }) => exists(value));
    const numSpare = classes.reduce((sum, { names }) => sum + this.#countNames(languages, names), 0);
    const isPossible = this.slots.map((slot) => slot.isNameValid && exists(slot.value));
    this.#set(isPossible, classes, numSpare);
    if (this.min > this.max) return false;
    return this.canFinish(0n, 0);
  }

  #set(isPossible: readonly boolean[], classes: readonly NameClass<Value>[], numSpare: number): void {
    this.#isPossible = isPossible;
    this.classes = classes;
    this.numSpare = numSpare;
    this.#possible = bitsOf(isPossible);
    this.#joint = this.hasNeeds
      ? bitsOf(this.#closed.map((needed) => (needed & ~this.#possible) === 0n))
      : this.#possible;
  }

  /** True if each text is a name of some class, so that it is the beginning of a name that the object does not have. */
  get isOpen(): boolean {
    return this.hasEveryName && this.classes.length === this.allClasses.length;
  }

  /** Returns the index of the slot with this name. */
  slotOf(name: string): number {
    this.#indexes ??= new Map(this.slots.map((slot, index) => [slot.name, index]));
    return this.#indexes.get(name)!;
  }

  /** The names of all slots: a language in whose lists of words a word has the index `rankOfSlots` of its slot. */
  names(languages: Languages): Language {
    return (this.#names ??= languages.wordsApart(this.slots.map(({ name }) => name)));
  }

  #names: Language | null = null;

  /** By slot: its index in the sorted names. */
  get rankOfSlots(): readonly number[] {
    if (this.#ranks === null) {
      const sorted = this.slots.map(({ name }) => name).sort();
      const ranks = new Map(sorted.map((name, rank) => [name, rank]));
      this.#ranks = this.slots.map(({ name }) => ranks.get(name)!);
    }
    return this.#ranks;
  }

  #ranks: readonly number[] | null = null;

  /** True if the names consist of ASCII characters that need no escape, so that each has one byte. */
  get hasPlainNames(): boolean {
    return (this.#hasPlainNames ??= this.slots.every(({ name }) => /^[ !#-[\]-~]*$/.test(name)));
  }

  #hasPlainNames: boolean | null = null;

  /** True if the name of a slot begins with these bytes: one character for each, as in `nameBytes`. */
  hasNameBeginning(bytes: string): boolean {
    const sorted = (this.#sortedBytes ??= this.nameBytes.toSorted());
    let low = 0;
    for (let high = sorted.length; low < high;) {
      const middle = (low + high) >> 1;
      if (sorted[middle]! < bytes) low = middle + 1;
      else high = middle;
    }
    return sorted[low]?.startsWith(bytes) ?? false;
  }

  #sortedBytes: readonly string[] | null = null;

  isSlotPossible(index: number): boolean {
    return this.#isPossible[index]!;
  }

  /**
   * Returns the slots that can come next: the first ordered one that is missing, and those without an order.
   * @param present bit set of the slots that are present
   */
  nextSlots(present: bigint, numAdded: number): number[] {
    const ordered = this.#ordered & ~present;
    const candidates = (this.#joint & ~present & ~this.#ordered) | (ordered & -ordered);
    // Without needs, all optional slots are alike.
    let canTakeOptional: boolean | null = null;
    return bitsIn(candidates).filter((slot) => {
      const bit = 1n << BigInt(slot);
      if (this.hasNeeds || (bit & this.#required) !== 0n) return this.canFinish(present | bit, numAdded);
      return (canTakeOptional ??= this.canFinish(present | bit, numAdded));
    });
  }

  /** True if an additional property can follow. */
  canAdd(present: bigint, numAdded: number): boolean {
    return this.#missing(present) === 0n && numAdded < this.numSpare && this.canFinish(present, numAdded + 1);
  }

  /** True if the object can be closed now. */
  isWhole(present: bigint, numAdded: number): boolean {
    if (this.#missing(present) !== 0n) return false;
    if (this.min === 0 && this.max === Infinity) return true;
    const count = numBits(present) + numAdded;
    return count >= this.min && count <= this.max;
  }

  /** True if the object can still be completed. */
  canFinish(present: bigint, numAdded: number): boolean {
    const missing = this.#missing(present);
    if ((missing & ~this.#possible) !== 0n) return false;
    if (this.min === 0 && this.max === Infinity) return true;
    const count = numBits(present) + numAdded;
    if (count + numBits(missing) > this.max) return false;
    const numMore = this.numSpare - numAdded;
    return count + numMore >= this.min || count + numMore + numBits(this.#joint & ~present) >= this.min;
  }

  /** Returns a bit set of the slots that must still follow: required ones, and those that others need. */
  #missing(present: bigint): bigint {
    if (!this.hasNeeds) return this.#required & ~present;
    let needed = 0n;
    for (const slot of bitsIn(present | this.#required)) needed |= this.#closed[slot]!;
    return needed & ~present;
  }

  get #closed(): readonly bigint[] {
    return (this.#closures ??= closures(this.slots));
  }

  #countNames(languages: Languages, names: Language): number {
    let count = this.#counts.get(names);
    if (count === undefined) {
      count = languages.count(names, MAX_NAMES);
      if (count >= MAX_NAMES) count = Infinity;
      else count -= this.slots.filter(({ name }) => languages.has(names, name)).length;
      this.#counts.set(names, count);
    }
    return count;
  }

  readonly #counts = new Map<Language, number>();
}

/** Bits of a word that is read from a bit set at once. */
const WORD = 30;
const WORD_MASK = (1n << BigInt(WORD)) - 1n;

function bitsOf(flags: readonly boolean[]): bigint {
  let bits = "";
  for (const flag of flags) bits = (flag ? "1" : "0") + bits;
  return bits === "" ? 0n : BigInt(`0b${bits}`);
}

function numBits(bits: bigint): number {
  let count = 0;
  for (; bits !== 0n; bits >>= BigInt(WORD))
    for (let word = Number(bits & WORD_MASK); word !== 0; word &= word - 1) count++;
  return count;
}

/** Returns the indexes of the bits that are set, ascending. */
function bitsIn(bits: bigint): number[] {
  const found: number[] = [];
  for (let from = 0; bits !== 0n; bits >>= BigInt(WORD), from += WORD)
    for (let word = Number(bits & WORD_MASK); word !== 0; word &= word - 1)
      found.push(from + 31 - Math.clz32(word & -word));
  return found;
}

/** Returns for each slot a bit set of itself and the slots that it needs, also through others. */
function closures(slots: readonly { readonly needs: readonly number[] }[]): bigint[] {
  const closed: bigint[] = [];
  // Slots come after those that they need, except in cycles, so most sets are made from finished ones.
  for (const slot of inOrderOfNeeds(slots)) {
    let bits = 0n;
    for (const open = [slot]; open.length > 0;) {
      const next = open.pop()!;
      if (has(bits, next)) continue;
      bits |= closed[next] ?? 1n << BigInt(next);
      if (closed[next] === undefined) open.push(...slots[next]!.needs);
    }
    closed[slot] = bits;
  }
  return closed;
}

/** Returns the slots in the order in which a depth-first search leaves them. */
function inOrderOfNeeds(slots: readonly { readonly needs: readonly number[] }[]): number[] {
  const order: number[] = [];
  const isVisited = new Uint8Array(slots.length);
  for (const start of slots.keys()) {
    const path = [{ slot: start, numDone: 0 }];
    if (isVisited[start] === 1) continue;
    isVisited[start] = 1;
    for (let last = path.at(-1); last !== undefined; last = path.at(-1)) {
      const next = slots[last.slot]!.needs[last.numDone++];
      if (next === undefined) order.push(path.pop()!.slot);
      else if (isVisited[next] !== 1) {
        isVisited[next] = 1;
        path.push({ slot: next, numDone: 0 });
      }
    }
  }
  return order;
}

const has = (bits: bigint, index: number): boolean => ((bits >> BigInt(index)) & 1n) === 1n;

/** Returns what JSON writes between the quotes of a string, as UTF-8 with one character for each byte. */
export function jsonBytes(text: string): string {
  let bytes = "";
  for (const byte of new TextEncoder().encode(JSON.stringify(text).slice(1, -1))) bytes += String.fromCharCode(byte);
  return bytes;
}

/**
 * Properties that an object may contain: declared ones in order, then additional ones by classes of names. Counting
 * decides here if a partly written object can still be completed, so that no allowed choice leads to a dead end.
 */

import type { Language, Languages } from "./language.js";

/** A property that the schema declares by name. */
export interface Slot<Value> {
  readonly name: string;
  readonly value: Value;
  readonly isRequired: boolean;
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
  /** Number of required slots, and of possible slots, from each slot index on. */
  #requiredFrom: number[] = [];
  #possibleFrom: number[] = [];
  readonly hasNeeds: boolean;
  /** The slots' names as JSON writes them, without quotes: one character for each byte. */
  readonly nameBytes: readonly string[];
  /** By slot: a bit set of the slot and all slots that it needs, also through others. Computed on first use. */
  #closures: readonly bigint[] | null = null;
  #required = 0n;
  #possible = 0n;
  /** Indexes of the slots by name. Computed on first use. */
  #indexes: ReadonlyMap<string, number> | null = null;

  constructor(
    readonly id: number,
    readonly slots: readonly Slot<Value>[],
    readonly allClasses: readonly NameClass<Value>[],
    readonly min: number,
    readonly max: number,
  ) {
    this.nameBytes = slots.map(({ name }) => utf8Bytes(JSON.stringify(name).slice(1, -1)));
    this.hasNeeds = slots.some(({ needs }) => needs.length > 0);
  }

  /** @returns a shape with what `settle` found for it. @param isPossible by slot: true if it can have a value */
  static settled<Value>(
    { id, slots, classes, min, max }: Pick<ObjectShape<Value>, "id" | "slots" | "classes" | "min" | "max">,
    isPossible: readonly boolean[],
    numSpare: number,
  ): ObjectShape<Value> {
    const shape = new ObjectShape(id, slots, classes, min, max);
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
    return this.slots.every((slot, index) => !slot.isRequired || isPossible[index]!) && this.canFinish(0, 0, 0n, 0);
  }

  #set(isPossible: readonly boolean[], classes: readonly NameClass<Value>[], numSpare: number): void {
    this.#isPossible = isPossible;
    this.classes = classes;
    this.numSpare = numSpare;
    this.#requiredFrom = new Array<number>(this.slots.length + 1).fill(0);
    this.#possibleFrom = new Array<number>(this.slots.length + 1).fill(0);
    for (let index = this.slots.length - 1; index >= 0; index--) {
      this.#requiredFrom[index] = this.#requiredFrom[index + 1]! + Number(this.slots[index]!.isRequired);
      this.#possibleFrom[index] = this.#possibleFrom[index + 1]! + Number(isPossible[index]!);
    }
    this.#required = bitsOf(this.slots.map(({ isRequired }) => isRequired));
    this.#possible = bitsOf(isPossible);
  }

  /** Returns the index of the slot with this name. */
  slotOf(name: string): number {
    this.#indexes ??= new Map(this.slots.map((slot, index) => [slot.name, index]));
    return this.#indexes.get(name)!;
  }

  isSlotPossible(index: number): boolean {
    return this.#isPossible[index]!;
  }

  /** True if an additional property can follow. */
  canAdd(count: number, present: bigint, numAdded: number): boolean {
    return numAdded < this.numSpare && this.canFinish(this.slots.length, count + 1, present, numAdded + 1);
  }

  /** True if the object can be closed now. */
  isWhole(next: number, count: number, present: bigint): boolean {
    return count >= this.min && count <= this.max && this.#forced(next, present) === 0n;
  }

  /**
   * True if the object can still be completed.
   * @param next first slot that can still follow; all required slots before it are present
   * @param count number of properties so far, counted only as far as the bounds need it
   * @param present bit set of the slots that are present; 0 if no slot needs another
   */
  canFinish(next: number, count: number, present: bigint, numAdded: number): boolean {
    const numMore = this.numSpare - numAdded;
    if (!this.hasNeeds) {
      return count + this.#requiredFrom[next]! <= this.max && count + this.#possibleFrom[next]! + numMore >= this.min;
    }
    const forced = this.#forced(next, present);
    if (forced === null || (forced & ~this.#possible) !== 0n) return false;
    if (this.max !== Infinity && count + numBits(forced) > this.max) return false;
    return count + numMore >= this.min || count + this.#numLargest(next, present) + numMore >= this.min;
  }

  /**
   * Returns a bit set of the slots that must still follow, or null if one of them cannot follow any more. If no slot
   * needs another, only the emptiness of the set has a meaning.
   */
  #forced(next: number, present: bigint): bigint | null {
    if (!this.hasNeeds) return this.#requiredFrom[next] === 0 ? 0n : 1n << BigInt(next);
    const forced = this.#needed(next, present) & ~present;
    return (forced & ((1n << BigInt(next)) - 1n)) === 0n ? forced : null;
  }

  /** Needs of the state that was asked for last: all slots that can follow it share them. */
  #last = { present: -1n, needed: 0n };

  /** Returns a bit set of the slots of complete objects that contain these slots: they, the required ones, and needs. */
  #needed(next: number, present: bigint): bigint {
    const closed = (this.#closures ??= closures(this.slots));
    const last = next > 0 ? 1n << BigInt(next - 1) : 0n;
    const before = present & ~last;
    if (this.#last.present !== before) {
      let needed = 0n;
      for (let slot = 0, more = before | this.#required; more !== 0n; slot += WORD, more >>= BigInt(WORD)) {
        for (let word = Number(more & WORD_MASK); word !== 0; word &= word - 1)
          needed |= closed[slot + 31 - Math.clz32(word & -word)]!;
      }
      this.#last = { present: before, needed };
    }
    return present === before ? this.#last.needed : this.#last.needed | closed[next - 1]!;
  }

  /** Returns the number of slots that can still follow together: those whose needed slots are present or can follow. */
  #numLargest(next: number, present: bigint): number {
    const closed = (this.#closures ??= closures(this.slots));
    const missing = ~(present | ((this.#possible >> BigInt(next)) << BigInt(next)));
    let count = 0;
    for (let slot = next; slot < this.slots.length; slot++) if ((closed[slot]! & missing) === 0n) count++;
    return count;
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

export const has = (bits: bigint, index: number): boolean => ((bits >> BigInt(index)) & 1n) === 1n;

/** Encodes a text as UTF-8, one character for each byte. */
export function utf8Bytes(text: string): string {
  let bytes = "";
  for (const byte of new TextEncoder().encode(text)) bytes += String.fromCharCode(byte);
  return bytes;
}

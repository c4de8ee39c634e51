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
  /** The slots' names as UTF-8. */
  readonly nameBytes: readonly string[];
  readonly #feasible = new Map<string, boolean>();

  constructor(
    readonly id: number,
    readonly slots: readonly Slot<Value>[],
    readonly allClasses: readonly NameClass<Value>[],
    readonly min: number,
    readonly max: number,
  ) {
    this.nameBytes = slots.map(({ name }) => utf8Bytes(name));
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
    this.#feasible.clear();
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
    return count >= this.min && count <= this.max && this.#forced(next, present)?.size === 0;
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
    const key = `${next},${count},${present},${numAdded}`;
    let result = this.#feasible.get(key);
    if (result === undefined) {
      const forced = this.#forced(next, present);
      const largest = this.#largest(next, present);
      result =
        forced !== null &&
        [...forced].every((slot) => largest.has(slot)) &&
        count + forced.size <= this.max &&
        count + largest.size + numMore >= this.min;
      this.#feasible.set(key, result);
    }
    return result;
  }

  /**
   * Returns the slots that must still follow, or null if one of them cannot follow any more. If no slot needs another,
   * only the emptiness of the set has a meaning.
   */
  #forced(next: number, present: bigint): Set<number> | null {
    if (!this.hasNeeds) return this.#requiredFrom[next] === 0 ? new Set() : new Set([next]);
    const forced = new Set<number>();
    const open: number[] = [];
    this.slots.forEach(({ isRequired, needs }, index) => {
      if (has(present, index)) open.push(...needs);
      else if (isRequired) open.push(index);
    });
    for (const slot of open) {
      if (has(present, slot) || forced.has(slot)) continue;
      if (slot < next) return null;
      forced.add(slot);
      open.push(...this.slots[slot]!.needs);
    }
    return forced;
  }

  /** Returns all slots that can still follow together: those whose needed slots are present or can follow too. */
  #largest(next: number, present: bigint): Set<number> {
    const slots = new Set<number>();
    for (let index = next; index < this.slots.length; index++) if (this.#isPossible[index]!) slots.add(index);
    for (let isStable = false; !isStable;) {
      isStable = true;
      for (const slot of slots) {
        if (this.slots[slot]!.needs.every((needed) => slots.has(needed) || has(present, needed))) continue;
        slots.delete(slot);
        isStable = false;
      }
    }
    return slots;
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

export const has = (bits: bigint, index: number): boolean => ((bits >> BigInt(index)) & 1n) === 1n;

/** Encodes a text as UTF-8, one character for each byte. */
export function utf8Bytes(text: string): string {
  let bytes = "";
  for (const byte of new TextEncoder().encode(text)) bytes += String.fromCharCode(byte);
  return bytes;
}

/**
 * What an object may hold: declared properties in order, then additional ones by classes of names. Whether an object that
 * was begun can still be finished is decided here, by counting: no choice is offered that leads into a dead end.
 */

import type { Language, Languages } from "./language.js";

/** A property that the schema names. */
export interface Slot<Value> {
  readonly name: string;
  readonly value: Value;
  readonly isRequired: boolean;
  readonly isNameValid: boolean;
  /** Indexes of the slots that it needs. */
  readonly needs: readonly number[];
}

/** Names that the schema does not spell out, all with the same value. The classes of an object do not overlap. */
export interface NameClass<Value> {
  /** Settled. */
  readonly names: Language;
  readonly value: Value;
}

/** From here on, names are as good as endless. */
export const MAX_NAMES = 1_000_000;

export class ObjectShape<Value> {
  /** Slots and classes that can have a value; known once `settle` was called. */
  #isPossible: readonly boolean[] = [];
  classes: readonly NameClass<Value>[] = [];
  /** How many additional names there are. */
  #numSpare = 0;
  /** From each slot on: how many are required, and how many are possible. */
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

  /** Says which values exist. @returns whether any such object exists */
  settle(languages: Languages, exists: (value: Value) => boolean): boolean {
    const isPossible = this.slots.map((slot) => slot.isNameValid && exists(slot.value));
    this.#isPossible = isPossible;
    this.classes = this.allClasses.filter(({ value }) => exists(value));
    this.#numSpare = this.classes.reduce((sum, { names }) => sum + this.#countNames(languages, names), 0);
    this.#requiredFrom = [0];
    this.#possibleFrom = [0];
    for (let index = this.slots.length - 1; index >= 0; index--) {
      this.#requiredFrom.unshift(this.#requiredFrom[0]! + Number(this.slots[index]!.isRequired));
      this.#possibleFrom.unshift(this.#possibleFrom[0]! + Number(isPossible[index]!));
    }
    this.#feasible.clear();
    if (this.min > this.max) return false;
    return this.slots.every((slot, index) => !slot.isRequired || isPossible[index]!) && this.canFinish(0, 0, 0n, 0);
  }

  isSlotPossible(index: number): boolean {
    return this.#isPossible[index]!;
  }

  /** Whether an additional property can follow. */
  canAdd(count: number, present: bigint, numAdded: number): boolean {
    return numAdded < this.#numSpare && this.canFinish(this.slots.length, count + 1, present, numAdded + 1);
  }

  /** Whether the object can be closed now. */
  isWhole(next: number, count: number, present: bigint): boolean {
    return count >= this.min && count <= this.max && this.#forced(next, present)?.size === 0;
  }

  /**
   * Whether some rest makes the object whole.
   * @param next slots before it are over; those of them that are required are there
   * @param count properties there are, up to the bounds
   * @param present bits of the slots that are there, where some need others
   */
  canFinish(next: number, count: number, present: bigint, numAdded: number): boolean {
    const numMore = this.#numSpare - numAdded;
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

  /** The slots that must still come, or null if one of them is over. */
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

  /** All slots that can still come together: those whose needs are there or can come too. */
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
    const count = languages.count(names, MAX_NAMES);
    if (count >= MAX_NAMES) return Infinity;
    return count - this.slots.filter(({ name }) => languages.has(names, name)).length;
  }
}

export const has = (bits: bigint, index: number): boolean => ((bits >> BigInt(index)) & 1n) === 1n;

/** UTF-8, one character for each byte. */
export function utf8Bytes(text: string): string {
  let bytes = "";
  for (const byte of new TextEncoder().encode(text)) bytes += String.fromCharCode(byte);
  return bytes;
}

/** Seeded random choices, so that a case is determined by its seed. */

import { randomSource } from "../fixtures/random-model.js";

export class Random {
  readonly #next: () => number;

  constructor(seed: number) {
    this.#next = randomSource(seed);
  }

  /** Returns an integer from 0 to `count - 1`. */
  below(count: number): number {
    return Math.floor(this.#next() * count);
  }

  chance(probability: number): boolean {
    return this.#next() < probability;
  }

  pick<T>(values: readonly [T, ...T[]] | readonly T[]): T {
    return values[this.below(values.length)]!;
  }

  /** Returns `count` values in a row. */
  times<T>(count: number, value: () => T): T[] {
    return Array.from({ length: count }, value);
  }
}

/** Mixes a text into a seed, so that kinds and indexes have seeds of their own. */
export function seedOf(...parts: readonly (string | number)[]): number {
  let hash = 0x811c9dc5;
  for (const character of parts.join("/")) {
    hash = Math.imul(hash ^ character.codePointAt(0)!, 0x01000193) >>> 0;
  }
  return hash;
}

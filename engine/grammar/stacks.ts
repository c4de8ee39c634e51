/** The stacks of rules that are open at a place of the text, as a graph whose parts are shared. */

import type { RuleState } from "./rules.js";

/** The places to which a rule returns: all that can follow it. */
export interface Stack {
  readonly id: number;
  /** Number of rules that are open, at most. */
  readonly depth: number;
  /** A hash of the content: equal in every process, whatever other answers have been read. */
  readonly hash: number;
  /** In the order of their states and of the hashes of their stacks. */
  readonly returns: readonly Return[];
}

/** A state, and the stack to which its rule returns; null if the whole text ends there. */
export interface Return {
  readonly state: RuleState;
  readonly stack: Stack | null;
}

/** Interned stacks: equal ones are one object. */
export class Stacks {
  readonly #known = new Map<string, Stack>();
  readonly #nextId: () => number;
  #numReturns = 0;

  constructor(nextId: () => number) {
    this.#nextId = nextId;
  }

  get numReturns(): number {
    return this.#numReturns;
  }

  of(returns: readonly Return[]): Stack {
    const sorted = [...returns].sort(inOrder);
    const key = sorted.map(placeOf).join(";");
    let stack = this.#known.get(key);
    if (stack === undefined) {
      let hash = 1;
      for (const { state, stack: below } of sorted) hash = mixed(mixed(hash, state.id), below?.hash ?? 0);
      const depth = 1 + Math.max(...sorted.map(({ stack: below }) => below?.depth ?? 0));
      stack = { id: this.#nextId(), depth, hash, returns: sorted };
      this.#known.set(key, stack);
      this.#numReturns += sorted.length;
    }
    return stack;
  }
}

/** Orders places in the same way in every process. */
export const inOrder = (a: Return, b: Return): number =>
  a.state.id - b.state.id || (a.stack?.hash ?? 0) - (b.stack?.hash ?? 0);

/** Returns a number that differs for different states and stacks. */
export const placeOf = ({ state, stack }: Return): number => state.id * 2 ** 32 + (stack === null ? 0 : stack.id + 1);

/** A step of FNV-1a with the bits of each product folded. */
function mixed(hash: number, value: number): number {
  const product = Math.imul(hash ^ value, 0x01000193);
  return (product ^ (product >>> 15)) >>> 0;
}

/**
 * A trie of the pieces of a Unigram vocabulary. Nodes are numbers; the edges are in one hash table, so that a vocabulary
 * of 250,000 pieces takes some 30 MB.
 */

import { randomInt } from "node:crypto";

import { EngineError } from "../errors.js";
import { LIMITS } from "../limits.js";

/** The node of the empty text. */
export const ROOT = 0;
/** Stands for the absence of a node or of a token. */
export const NONE = -1;

export class PieceTrie {
  /** Node before each node and the code unit between them, i32 and u16 [nodes]. */
  readonly #parent: Int32Array;
  readonly #unit: Uint16Array;
  /** Token of the piece that ends at each node, i32 [nodes]; NONE if there is none. */
  readonly #token: Int32Array;
  /** Nodes by hash of their parent and code unit, i32 [slots], at most half full; ROOT, which has no parent, if free. */
  readonly #slots: Int32Array;
  /** Makes the places of nodes unpredictable: a vocabulary could be made so that many share one. */
  readonly #seed = randomInt(2 ** 31);

  /**
   * @param pieces token ids by piece; an empty piece is left out
   * @throws EngineError unsupported_model if the pieces are too long in total
   */
  constructor(pieces: ReadonlyMap<string, number>) {
    let numUnits = 0;
    for (const piece of pieces.keys()) numUnits += piece.length;
    if (numUnits > LIMITS.maxPiecesCharacters) {
      const message = `tokenizer.json has pieces of ${numUnits} characters in total; supported: up to ${LIMITS.maxPiecesCharacters}`;
      throw new EngineError("unsupported_model", message);
    }
    const [parents, units] = [new Int32Array(numUnits + 1), new Uint16Array(numUnits + 1)];
    const tokens = new Int32Array(numUnits + 1).fill(NONE);
    this.#slots = new Int32Array(2 ** (32 - Math.clz32(2 * numUnits + 1)));
    this.#parent = parents;
    this.#unit = units;
    let numNodes = 1;
    for (const [piece, tokenId] of pieces) {
      if (piece === "") continue;
      let node = ROOT;
      for (let index = 0; index < piece.length; index++) {
        const unit = piece.charCodeAt(index);
        const slot = this.#slotOf(node, unit);
        if (this.#slots[slot] === ROOT) {
          parents[numNodes] = node;
          units[numNodes] = unit;
          this.#slots[slot] = numNodes++;
        }
        node = this.#slots[slot]!;
      }
      tokens[node] = tokenId;
    }
    this.#parent = parents.slice(0, numNodes);
    this.#unit = units.slice(0, numNodes);
    this.#token = tokens.slice(0, numNodes);
  }

  /** @returns the node of the text of `node` and a UTF-16 code unit; NONE if no piece begins with it */
  child(node: number, unit: number): number {
    const child = this.#slots[this.#slotOf(node, unit)]!;
    return child === ROOT ? NONE : child;
  }

  /** @returns the token whose piece is the text of a node, or NONE */
  tokenAt(node: number): number {
    return this.#token[node]!;
  }

  /** Returns the slot of a node, or the free slot where it would be. */
  #slotOf(parent: number, unit: number): number {
    const mask = this.#slots.length - 1;
    let hash = Math.imul(parent ^ this.#seed, 0x9e3779b1) ^ Math.imul(unit, 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
    for (let slot = (hash ^ (hash >>> 13)) & mask; ; slot = (slot + 1) & mask) {
      const node = this.#slots[slot]!;
      if (node === ROOT || (this.#parent[node] === parent && this.#unit[node] === unit)) return slot;
    }
  }
}

/** A compiled answer format, and the state of one answer in it. */

import { LIMITS } from "../limits.js";
import { Automaton, type Configuration, type Position } from "./automaton.js";
import { type GrammarData, StoredGrammar, grammarBytes } from "./grammar-data.js";
import type { VocabularyTrie } from "./vocabulary-trie.js";

/**
 * A compiled answer format. The answers that it allows never change; computed states and masks are cached and shared.
 */
export class Grammar {
  /** @internal */
  readonly automaton: Automaton;
  readonly #data: GrammarData;
  readonly #masks = new WeakMap<VocabularyTrie, Map<Configuration, Uint32Array>>();
  #maskBytes = 0;

  private constructor(data: GrammarData) {
    this.#data = data;
    this.automaton = new Automaton(new StoredGrammar(data));
  }

  /**
   * Reading is lazy: this takes the same time for grammars of any size.
   * @param data from `toData`, maybe in another thread
   */
  static fromData(data: GrammarData): Grammar {
    return new Grammar(data);
  }

  /** Returns the compiled grammar as a few flat arrays, which can be sent to another thread. */
  toData(): GrammarData {
    return this.#data;
  }

  /**
   * Bytes of the grammar with the states and masks that are kept, about. It grows while the grammar is used.
   * @internal
   */
  get numBytes(): number {
    return grammarBytes(this.#data) + this.automaton.numBytes + this.#maskBytes;
  }

  /** True if an answer can begin with a byte other than white space, or can be empty. */
  get mayBeginAfterBlank(): boolean {
    const { configuration } = this.automaton.start;
    for (let byte = 0; byte < 256; byte++) {
      const isBlank = byte === 0x20 || byte === 0x09 || byte === 0x0d || byte === 0x0a;
      if (!isBlank && this.automaton.step(configuration, byte) !== null) return true;
    }
    return configuration.isComplete;
  }

  /**
   * @returns the tokens whose bytes can follow. The array may be cached, so callers must not change it
   * @internal
   */
  mask(trie: VocabularyTrie, position: Position): Uint32Array {
    const { configuration } = position;
    let masks = this.#masks.get(trie);
    if (masks === undefined) this.#masks.set(trie, (masks = new Map()));
    let mask = masks.get(configuration);
    if (mask === undefined) {
      const { bits, dependsOnName } = trie.mask(this.automaton, position);
      if (dependsOnName) return bits;
      mask = bits;
      this.#maskBytes += bits.byteLength;
    }
    // A Map keeps the order of insertion: the mask used last is inserted last, and the first one is evicted.
    masks.delete(configuration);
    masks.set(configuration, mask);
    if (masks.size > LIMITS.maxGrammarMasks) {
      this.#maskBytes -= mask.byteLength;
      masks.delete(masks.keys().next().value!);
    }
    return mask;
  }
}

/**
 * Follows one answer through a grammar, token by token: mask the logits with `allowed`, sample a token, pass it to
 * `acceptToken`, and repeat until an end token is accepted.
 */
export class GrammarMatcher {
  readonly #grammar: Grammar;
  readonly #trie: VocabularyTrie;
  readonly #endTokenIds: readonly number[];
  /** u32 [ceil(vocabulary / 32)]: returned by `allowed`. */
  readonly #allowed: Uint32Array;
  /** Null once an end token was accepted. */
  #position: Position | null;

  /** @param endTokenIds tokens that end an answer; they are allowed where the answer is complete */
  constructor(grammar: Grammar, trie: VocabularyTrie, endTokenIds: readonly number[]) {
    this.#grammar = grammar;
    this.#trie = trie;
    this.#endTokenIds = endTokenIds;
    this.#allowed = new Uint32Array(Math.ceil(trie.tokens.length / 32));
    this.#position = grammar.automaton.start;
  }

  /** True if the answer so far is complete. */
  get isComplete(): boolean {
    return this.#position?.configuration.isComplete ?? true;
  }

  /** True if the answer is complete and nothing may follow. */
  get isFinished(): boolean {
    if (this.#position === null) return true;
    const { configuration } = this.#position;
    if (!configuration.isComplete) return false;
    for (let byte = 0; byte < 256; byte++) if (this.#grammar.automaton.step(configuration, byte) !== null) return false;
    return true;
  }

  /**
   * @returns u32 [ceil(vocabulary / 32)], one bit per token id: the tokens that can still lead to a complete answer,
   * and the end tokens if the answer is complete or was ended. Callers must not change the array; it is valid until the
   * next token is accepted
   */
  allowed(): Uint32Array {
    const allowed = this.#allowed;
    if (this.#position === null) allowed.fill(0);
    else allowed.set(this.#grammar.mask(this.#trie, this.#position));
    for (const tokenId of this.#endTokenIds) {
      if (this.isComplete) allowed[tokenId >> 5]! |= 1 << (tokenId & 31);
      else allowed[tokenId >> 5]! &= ~(1 << (tokenId & 31));
    }
    return allowed;
  }

  /** @returns true if this token can follow, exactly as in `allowed`; if not, nothing changes */
  acceptToken(tokenId: number): boolean {
    if (this.#endTokenIds.includes(tokenId)) {
      if (!this.isComplete) return false;
      this.#position = null;
      return true;
    }
    const bytes = this.#trie.tokens[tokenId] ?? null;
    return bytes !== null && bytes.length > 0 && this.acceptBytes(bytes);
  }

  /** @returns true if these bytes can follow; nothing changes */
  allowsBytes(bytes: Uint8Array): boolean {
    return this.#position !== null && this.#grammar.automaton.readAll(this.#position, bytes) !== null;
  }

  /** @returns true if these bytes can follow; if not, nothing changes */
  acceptBytes(bytes: Uint8Array): boolean {
    const position = this.#position === null ? null : this.#grammar.automaton.readAll(this.#position, bytes);
    if (position === null) return false;
    this.#position = position;
    return true;
  }
}

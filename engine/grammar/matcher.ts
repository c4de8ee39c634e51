/** A compiled answer format, and one answer's way through it. */

import { LIMITS } from "../limits.js";
import { type AnswerShape, Automaton, type Configuration, type Position } from "./automaton.js";
import type { Languages } from "./language.js";
import type { VocabularyTrie } from "./vocabulary-trie.js";

/** A compiled answer format. What it says never changes; what was worked out about it is kept and shared. */
export class Grammar {
  /** @internal */
  readonly automaton: Automaton;
  readonly #languages: Languages;
  readonly #masks = new WeakMap<VocabularyTrie, Map<Configuration, Uint32Array>>();

  /** @internal */
  constructor(languages: Languages, shape: AnswerShape) {
    this.#languages = languages;
    this.automaton = new Automaton(languages, shape);
  }

  /** Whether an answer can begin with something else than white space, or be empty. */
  get mayBeginAfterBlank(): boolean {
    const { configuration } = this.automaton.start;
    for (let byte = 0; byte < 256; byte++) {
      const isBlank = byte === 0x20 || byte === 0x09 || byte === 0x0d || byte === 0x0a;
      if (!isBlank && this.automaton.step(configuration, byte) !== null) return true;
    }
    return configuration.isComplete;
  }

  /**
   * Whether so much was worked out that it is better compiled again for the next request.
   * @internal
   */
  get isBloated(): boolean {
    return this.#languages.numStates > LIMITS.maxGrammarLanguages;
  }

  /**
   * @returns the tokens whose bytes can follow; read only, as it is kept
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
    }
    // A Map keeps the order of insertion: what was used last comes last, and the first is let go.
    masks.delete(configuration);
    masks.set(configuration, mask);
    if (masks.size > LIMITS.maxGrammarMasks) masks.delete(masks.keys().next().value!);
    return mask;
  }
}

/**
 * One answer's way through a grammar, token by token: mask the logits with `allowed`, draw, tell `acceptToken`, until
 * an end token is accepted.
 */
export class GrammarMatcher {
  readonly #grammar: Grammar;
  readonly #trie: VocabularyTrie;
  readonly #endTokenIds: readonly number[];
  /** u32 [ceil(vocabulary / 32)] */
  readonly #allowed: Uint32Array;
  /** Null once an end token was accepted. */
  #position: Position | null;

  /** @param endTokenIds tokens that end an answer; they are allowed where the answer is whole */
  constructor(grammar: Grammar, trie: VocabularyTrie, endTokenIds: readonly number[]) {
    this.#grammar = grammar;
    this.#trie = trie;
    this.#endTokenIds = endTokenIds;
    this.#allowed = new Uint32Array(Math.ceil(trie.tokens.length / 32));
    this.#position = grammar.automaton.start;
  }

  /** The answer so far is a whole answer. */
  get isComplete(): boolean {
    return this.#position?.configuration.isComplete ?? true;
  }

  /** The answer is whole and nothing may follow. */
  get isFinished(): boolean {
    if (this.#position === null) return true;
    const { configuration } = this.#position;
    if (!configuration.isComplete) return false;
    for (let byte = 0; byte < 256; byte++) if (this.#grammar.automaton.step(configuration, byte) !== null) return false;
    return true;
  }

  /**
   * @returns u32 [ceil(vocabulary / 32)]: the tokens that can still lead to a whole answer, bit by bit; end tokens where
   * the answer is whole, and after the end. Valid until the next token is accepted, and only to be read
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

  /** @returns whether this token can follow, as `allowed` says too; if not, nothing changes */
  acceptToken(tokenId: number): boolean {
    if (this.#endTokenIds.includes(tokenId)) {
      if (!this.isComplete) return false;
      this.#position = null;
      return true;
    }
    const bytes = this.#trie.tokens[tokenId] ?? null;
    return bytes !== null && bytes.length > 0 && this.acceptBytes(bytes);
  }

  /** @returns whether these bytes can follow; nothing changes */
  allowsBytes(bytes: Uint8Array): boolean {
    return this.#position !== null && this.#grammar.automaton.readAll(this.#position, bytes) !== null;
  }

  /** @returns whether these bytes can follow; if not, nothing changes */
  acceptBytes(bytes: Uint8Array): boolean {
    const position = this.#position === null ? null : this.#grammar.automaton.readAll(this.#position, bytes);
    if (position === null) return false;
    this.#position = position;
    return true;
  }
}

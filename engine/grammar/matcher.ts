/** A compiled answer format, and the state of one answer in it. */

import { LIMITS } from "../limits.js";
import { Automaton, type Configuration, type Position } from "./automaton.js";
import type { Frame } from "./frame.js";
import { type GrammarData, StoredGrammar, grammarBytes } from "./grammar-data.js";
import type { FrameMask, MaskWalk, VocabularyTrie } from "./vocabulary-trie.js";

/**
 * A compiled answer format. The answers that it allows never change; computed states and masks are cached and shared.
 */
export class Grammar {
  /** @internal */
  readonly automaton: Automaton;
  readonly #data: GrammarData;
  readonly #masks = new WeakMap<VocabularyTrie, Masks>();
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

  /** Remarks for the author of the format: keywords that are not read, and what is enforced in part. */
  get notes(): readonly string[] {
    return this.#data.notes;
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
   * Returns the mask of a configuration, which may be unfinished. Answers in the same state share its computation.
   * @internal
   */
  maskWalk(trie: VocabularyTrie, configuration: Configuration): MaskWalk {
    let masks = this.#masks.get(trie);
    if (masks === undefined)
      this.#masks.set(trie, (masks = { finished: new Map(), begun: new WeakMap(), ofFrames: new Map() }));
    const { finished, begun, ofFrames } = masks;
    const { entries } = configuration;
    let walk = usedLast(finished, configuration) ?? begun.get(configuration)?.deref();
    if (walk === undefined) {
      const ofFrame = entries.length === 1 ? usedLast(ofFrames, entries[0]!.frame) : undefined;
      walk = trie.walk(this.automaton, configuration, ofFrame ?? null);
      begun.set(configuration, new WeakRef(walk));
    }
    return walk;
  }

  /**
   * Keeps a finished mask for later answers.
   * @internal
   */
  keepMask(trie: VocabularyTrie, walk: MaskWalk): void {
    const { finished, begun, ofFrames } = this.#masks.get(trie)!;
    begun.delete(walk.configuration);
    this.#maskBytes += addMask(finished, walk.configuration, walk);
    const ofFrame = walk.frameMask();
    if (ofFrame !== null) this.#maskBytes += addMask(ofFrames, walk.configuration.entries[0]!.frame, ofFrame);
  }
}

/** A Map keeps the order of insertion: the mask used last is inserted last, and the first one is evicted. */
function usedLast<Key, Mask>(masks: Map<Key, Mask>, key: Key): Mask | undefined {
  const mask = masks.get(key);
  if (mask === undefined) return undefined;
  masks.delete(key);
  masks.set(key, mask);
  return mask;
}

/** @returns the number of bytes that all masks have more */
function addMask<Key, Mask extends { readonly byteLength: number }>(
  masks: Map<Key, Mask>,
  key: Key,
  mask: Mask,
): number {
  if (masks.has(key)) return 0;
  masks.set(key, mask);
  if (masks.size <= LIMITS.maxGrammarMasks) return mask.byteLength;
  const [oldest, dropped] = masks.entries().next().value!;
  masks.delete(oldest);
  return mask.byteLength - dropped.byteLength;
}

/** Masks of one vocabulary by configuration. Unfinished masks are kept by the answers that need them. */
interface Masks {
  readonly finished: Map<Configuration, MaskWalk>;
  readonly begun: WeakMap<Configuration, WeakRef<MaskWalk>>;
  /** Parts of masks by frame: configurations of one frame share them, whatever is below it. */
  readonly ofFrames: Map<Frame, FrameMask>;
}

/**
 * Follows one answer through a grammar, token by token: mask the logits with `allowed`, sample a token, pass it to
 * `acceptToken`, and repeat until an end token is accepted. A mask may take long; `prepare` computes it in slices.
 */
export class GrammarMatcher {
  readonly #grammar: Grammar;
  readonly #trie: VocabularyTrie;
  readonly #endTokenIds: readonly number[];
  /** u32 [ceil(vocabulary / 32)]: returned by `allowed`. */
  readonly #allowed: Uint32Array;
  /** Null once an end token was accepted. */
  #position: Position | null;
  /** The mask of the position's configuration; null until it is needed. */
  #walk: MaskWalk | null = null;
  /** Tokens checked so far of those for which the mask depends on the name that is being read. */
  #numNamed = 0;
  #isReady = false;

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
    return this.#position === null || this.#grammar.automaton.isFinished(this.#position.configuration);
  }

  /**
   * The state of the answer, which `restore` returns to; null after an end token.
   * @internal
   */
  get position(): Position | null {
    return this.#position;
  }

  /** @internal */
  restore(position: Position | null): void {
    this.#moveTo(position);
  }

  /**
   * Returns the bytes that must follow: as many as every complete answer continues with.
   * @param maxBytes limit of their number
   */
  forcedBytes(maxBytes: number): Uint8Array {
    const bytes: number[] = [];
    let position = this.#position;
    while (position !== null && bytes.length < maxBytes && !position.configuration.isComplete) {
      let only: { readonly byte: number; readonly position: Position } | null = null;
      let numAllowed = 0;
      for (let byte = 0; byte < 256 && numAllowed < 2; byte++) {
        const next = this.#grammar.automaton.readAll(position, Uint8Array.of(byte));
        if (next === null) continue;
        numAllowed++;
        only = { byte, position: next };
      }
      if (numAllowed !== 1) break;
      bytes.push(only!.byte);
      position = only!.position;
    }
    return Uint8Array.from(bytes);
  }

  /**
   * Computes the mask of the next token until `isOver` returns true. It can be called again, and `allowed` computes
   * what is missing. The mask does not depend on it.
   * @returns true once the mask is ready
   */
  prepare(isOver: () => boolean): boolean {
    if (this.#isReady) return true;
    if (this.#position === null) this.#allowed.fill(0);
    else if (!this.#computeBits(this.#position, isOver)) return false;
    for (const tokenId of this.#endTokenIds) {
      if (this.isComplete) this.#allowed[tokenId >> 5]! |= 1 << (tokenId & 31);
      else this.#allowed[tokenId >> 5]! &= ~(1 << (tokenId & 31));
    }
    this.#isReady = true;
    return true;
  }

  /**
   * @returns u32 [ceil(vocabulary / 32)], one bit per token id: the tokens that can still lead to a complete answer,
   * and the end tokens if the answer is complete or was ended. Callers must not change the array; it is valid until the
   * next token is accepted
   */
  allowed(): Uint32Array {
    this.prepare(NEVER);
    return this.#allowed;
  }

  /** @returns true if this token can follow, exactly as in `allowed`; if not, nothing changes */
  acceptToken(tokenId: number): boolean {
    if (this.#endTokenIds.includes(tokenId)) {
      if (!this.isComplete) return false;
      this.#moveTo(null);
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
    this.#moveTo(position);
    return true;
  }

  #computeBits(position: Position, isOver: () => boolean): boolean {
    const { automaton } = this.#grammar;
    const trie = this.#trie;
    const walk = (this.#walk ??= this.#grammar.maskWalk(trie, position.configuration));
    while (!walk.isFinished) {
      if (isOver()) return false;
      if (walk.advance()) this.#grammar.keepMask(trie, walk);
    }
    const allowed = this.#allowed;
    if (this.#numNamed === 0) allowed.set(walk.bits);
    for (; this.#numNamed < walk.unknown.length; this.#numNamed++) {
      if (isOver()) return false;
      const tokenId = walk.unknown[this.#numNamed]!;
      if (automaton.readAll(position, trie.tokens[tokenId]!) !== null) allowed[tokenId >> 5]! |= 1 << (tokenId & 31);
    }
    return true;
  }

  #moveTo(position: Position | null): void {
    this.#position = position;
    this.#walk = null;
    this.#numNamed = 0;
    this.#isReady = false;
  }
}

const NEVER = (): boolean => false;

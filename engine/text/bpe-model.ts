/**
 * Converts words to token ids by byte-pair merges. The tokenizer library merges ordinary words, which it caches. A word
 * that is too long for its cache (a long run of one character, or a whole SentencePiece text) is merged here on typed
 * arrays: for a megabyte of text, this takes about a second and some tens of megabytes of memory, several times less
 * than the library.
 *
 * Both merge the pair with the lowest rank first, and the leftmost of equal pairs.
 */

import type { JsonObject } from "../json.js";
import { EngineError, assert } from "../errors.js";
import { LIMITS } from "../limits.js";
import { fallbackByte } from "./token-bytes.js";

/** The parts of the library's model that are used here. */
export interface LibraryModel {
  readonly unk_token: string | null | undefined;
  /** @returns the tokens of the words, as strings of the vocabulary */
  encode(words: readonly string[]): string[];
}

export class BpeModel {
  readonly #library: LibraryModel;
  readonly #definition: JsonObject;
  readonly #vocab: ReadonlyMap<string, number>;
  readonly #isByteLevel: boolean;
  #merges: MergeTable | null = null;

  /**
   * @param definition `model` of tokenizer.json, of type BPE
   * @param vocab the model's vocabulary, from token string to id
   * @param library the library's model for the same definition
   * @param isByteLevel true if words have one character per byte
   */
  constructor(definition: JsonObject, vocab: ReadonlyMap<string, number>, library: LibraryModel, isByteLevel: boolean) {
    this.#library = library;
    this.#definition = definition;
    this.#vocab = vocab;
    this.#isByteLevel = isByteLevel;
  }

  /**
   * Appends the token ids of the words to `ids`.
   *
   * @throws EngineError out_of_range for a character that the tokenizer has no token for
   */
  encode(words: readonly string[], ids: number[], param: string | null): void {
    let first = 0;
    for (let index = 0; index <= words.length; index++) {
      const word = words[index];
      if (word !== undefined && word.length <= LIBRARY_CACHE_LENGTH) continue;
      if (index > first) this.#encodeShort(words.slice(first, index), ids, param);
      if (word !== undefined) this.#encodeLong(word, ids, param);
      first = index + 1;
    }
  }

  #encodeShort(words: readonly string[], ids: number[], param: string | null): void {
    let numBytes = 0;
    for (const token of this.#library.encode(words)) {
      const id = this.#vocab.get(token);
      if (id === undefined || (token === this.#library.unk_token && !this.#isByteLevel)) throw noToken(param);
      numBytes += fallbackByte(token) === null ? this.#numBytes(token) : 1;
      ids.push(id);
    }
    // The library drops characters that it has no token for; such text is refused instead of changed.
    if (numBytes !== words.reduce((sum, word) => sum + this.#numBytes(word), 0)) throw noToken(param);
  }

  #encodeLong(word: string, ids: number[], param: string | null): void {
    const whole = this.#definition["ignore_merges"] === true ? this.#vocab.get(word) : undefined;
    if (whole !== undefined) {
      ids.push(whole);
      return;
    }
    this.#merges ??= new MergeTable(this.#definition["merges"] as Merge[], this.#vocab);
    const characters = Array.from(word);
    const symbols = Int32Array.from(characters, (character) => this.#vocab.get(character) ?? UNKNOWN);
    const next = this.#merges.merge(symbols);
    for (let index = 0; index < symbols.length; index = next[index]!) {
      if (symbols[index] !== UNKNOWN) ids.push(symbols[index]!);
      else this.#encodeUnknown(characters[index]!, ids, param);
    }
  }

  #encodeUnknown(character: string, ids: number[], param: string | null): void {
    for (const byte of new TextEncoder().encode(character)) {
      const name = `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
      const id = this.#definition["byte_fallback"] === true ? this.#vocab.get(name) : undefined;
      if (id === undefined) throw noToken(param);
      ids.push(id);
    }
  }

  #numBytes(spelling: string): number {
    return this.#isByteLevel ? spelling.length : Buffer.byteLength(spelling);
  }
}

export type Merge = string | readonly [string, string];

/** @returns the two parts of a merge; tokenizer.json has two notations for merges */
export function mergeParts(merge: Merge): readonly [string, string] {
  if (typeof merge !== "string") return merge;
  const space = merge.indexOf(" ");
  return [merge.slice(0, space), merge.slice(space + 1)];
}

/** Maximum length of a word that the library caches, in UTF-16 code units. */
const LIBRARY_CACHE_LENGTH = 255;
/** Marks a character that is not in the vocabulary; it takes part in no merge. */
const UNKNOWN = -1;
const MAX_LENGTH = 2 ** 28;

class MergeTable {
  /** Ranks of merges, keyed by left id * maxVocabSize + right id. */
  readonly #ranks = new Map<number, number>();
  /** Token ids of each merge, i32 [merges] each. */
  readonly #left: Int32Array;
  readonly #right: Int32Array;
  readonly #merged: Int32Array;

  constructor(merges: readonly Merge[], vocab: ReadonlyMap<string, number>) {
    this.#left = new Int32Array(merges.length);
    this.#right = new Int32Array(merges.length);
    this.#merged = new Int32Array(merges.length);
    merges.forEach((merge, rank) => {
      const [leftName, rightName] = mergeParts(merge);
      const left = vocab.get(leftName);
      const right = vocab.get(rightName);
      const merged = vocab.get(leftName + rightName);
      if (left === undefined || right === undefined || merged === undefined) return;
      this.#left[rank] = left;
      this.#right[rank] = right;
      this.#merged[rank] = merged;
      this.#ranks.set(left * LIMITS.maxVocabSize + right, rank);
    });
  }

  /**
   * Merges the symbols in place.
   *
   * @param symbols i32 [length] token ids; a merged token is stored at the index of its first character
   * @returns i32 [length]: for each remaining token, the index of the next one; the length for the last token
   */
  merge(symbols: Int32Array): Int32Array {
    const length = symbols.length;
    assert(length < MAX_LENGTH, "a word is too long to be merged");
    const next = Int32Array.from(symbols, (_, index) => index + 1);
    const previous = Int32Array.from(symbols, (_, index) => index - 1);
    const queue = new MinHeap(length);
    const enqueue = (index: number): void => {
      const following = next[index]!;
      if (following >= length) return;
      const rank = this.#ranks.get(symbols[index]! * LIMITS.maxVocabSize + symbols[following]!);
      // A single number that sorts by rank, then by position.
      if (rank !== undefined) queue.push(rank * MAX_LENGTH + index);
    };
    for (let index = 0; index < length; index++) enqueue(index);
    for (let entry = queue.pop(); entry !== undefined; entry = queue.pop()) {
      const rank = Math.floor(entry / MAX_LENGTH);
      const index = entry - rank * MAX_LENGTH;
      const following = next[index]!;
      // Entries stay in the queue when a neighbor merges; outdated entries are skipped here.
      if (symbols[index] !== this.#left[rank] || following >= length || symbols[following] !== this.#right[rank])
        continue;
      symbols[index] = this.#merged[rank]!;
      symbols[following] = UNKNOWN;
      next[index] = next[following]!;
      if (next[index]! < length) previous[next[index]!] = index;
      if (previous[index]! >= 0) enqueue(previous[index]!);
      enqueue(index);
    }
    return next;
  }
}

/** A binary heap of numbers with the smallest at the top. */
class MinHeap {
  #items: Float64Array;
  #size = 0;

  constructor(capacity: number) {
    this.#items = new Float64Array(Math.max(16, capacity));
  }

  push(item: number): void {
    if (this.#size === this.#items.length) {
      const larger = new Float64Array(this.#size * 2);
      larger.set(this.#items);
      this.#items = larger;
    }
    const items = this.#items;
    let index = this.#size++;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (items[parent]! <= item) break;
      items[index] = items[parent]!;
      index = parent;
    }
    items[index] = item;
  }

  pop(): number | undefined {
    if (this.#size === 0) return undefined;
    const items = this.#items;
    const top = items[0]!;
    const last = items[--this.#size]!;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= this.#size) break;
      if (child + 1 < this.#size && items[child + 1]! < items[child]!) child++;
      if (items[child]! >= last) break;
      items[index] = items[child]!;
      index = child;
    }
    items[index] = last;
    return top;
  }
}

const noToken = (param: string | null): EngineError =>
  new EngineError("out_of_range", "The text has a character that the model's tokenizer has no token for.", param);

/**
 * Words to token ids by byte-pair merges. The tokenizer library does it for ordinary words, which it caches; a word
 * beyond its cache (a long run of one character, or a whole SentencePiece text) is merged here on typed arrays, where
 * a megabyte costs about a second and some tens of megabytes instead of several of both.
 *
 * Both merge the pair of the lowest rank first, the leftmost of equals.
 */

import type { JsonObject } from "../json.js";
import { EngineError, assert } from "../errors.js";
import { LIMITS } from "../limits.js";
import { fallbackByte } from "./token-bytes.js";

/** The part of the library's model that is used. */
export interface LibraryModel {
  readonly unk_token: string | null | undefined;
  /** @returns the tokens of the words, as the vocabulary spells them */
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
   * @param vocab its vocabulary, from the spelling to the id
   * @param library the library's model of the same definition
   * @param isByteLevel whether words are spelled with one character for each byte
   */
  constructor(definition: JsonObject, vocab: ReadonlyMap<string, number>, library: LibraryModel, isByteLevel: boolean) {
    this.#library = library;
    this.#definition = definition;
    this.#vocab = vocab;
    this.#isByteLevel = isByteLevel;
  }

  /**
   * Appends the words' tokens to `ids`.
   *
   * @throws EngineError out_of_range for a character the tokenizer has no token for
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
    // The library leaves out what it has no token for. Text that would change is refused instead.
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

/** @returns the two parts of a merge, which tokenizer.json has in two notations */
export function mergeParts(merge: Merge): readonly [string, string] {
  if (typeof merge !== "string") return merge;
  const space = merge.indexOf(" ");
  return [merge.slice(0, space), merge.slice(space + 1)];
}

/** Length in UTF-16 code units up to which the library remembers a word's tokens. */
const LIBRARY_CACHE_LENGTH = 255;
/** Stands for a character that is not in the vocabulary, which no merge touches. */
const UNKNOWN = -1;
const MAX_LENGTH = 2 ** 28;

class MergeTable {
  /** left id * maxVocabSize + right id -> rank. */
  readonly #ranks = new Map<number, number>();
  /** i32 [ranks] each. */
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
   * Merges in place.
   *
   * @param symbols i32 [length] token ids; a merged token's is where its first character was
   * @returns i32 [length]: from each token that is left, where the next one is; the length at the end
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
      // One number orders by rank, then by place.
      if (rank !== undefined) queue.push(rank * MAX_LENGTH + index);
    };
    for (let index = 0; index < length; index++) enqueue(index);
    for (let entry = queue.pop(); entry !== undefined; entry = queue.pop()) {
      const rank = Math.floor(entry / MAX_LENGTH);
      const index = entry - rank * MAX_LENGTH;
      const following = next[index]!;
      // Entries are not withdrawn when a neighbor merges: those that no longer hold are passed over.
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

/** A binary heap of numbers, the smallest on top. */
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

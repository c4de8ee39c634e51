/**
 * Keeps the token ids of recent words. Words are added to the young generation; when it is full, it becomes the old one,
 * and the old one is dropped. A word that is found in the old generation is added again.
 */

export class WordCache {
  #young = new Map<string, readonly number[]>();
  #old: ReadonlyMap<string, readonly number[]> = new Map();

  /** @returns the token ids of a word; undefined for one that is not kept */
  get(word: string): readonly number[] | undefined {
    const young = this.#young.get(word);
    if (young !== undefined) return young;
    const old = this.#old.get(word);
    if (old !== undefined) this.set(word, old);
    return old;
  }

  /** @param word of up to MAX_CACHED_LENGTH UTF-16 code units */
  set(word: string, ids: readonly number[]): void {
    if (this.#young.size >= GENERATION_WORDS) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    // A slice would keep the whole text in memory.
    this.#young.set(Buffer.from(word).toString(), ids);
  }
}

/** Words that are kept twice, and their length in UTF-16 code units: at most some 20 MB for a model. */
const GENERATION_WORDS = 1 << 14;
export const MAX_CACHED_LENGTH = 64;

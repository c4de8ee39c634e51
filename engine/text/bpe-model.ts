/**
 * Converts words to token ids by byte-pair merges, and keeps the ids of recent words. The result is that of the Rust
 * tokenizers; a word with a character that has no token is refused.
 */

import type { Budget } from "../budget.js";
import { EngineError } from "../errors.js";
import type { JsonObject } from "../json.js";
import { type Merge, MergeTable } from "./merge-table.js";
import { BYTE_OF_CHARACTER, spelled } from "./token-bytes.js";

export class BpeModel {
  readonly #definition: JsonObject;
  readonly #vocab: ReadonlyMap<string, number>;
  readonly #isByteLevel: boolean;
  readonly #ignoresMerges: boolean;
  readonly #table: MergeTable;
  /** Token strings, by id, that are not produced. */
  readonly #withheld: ReadonlyMap<number, string>;
  /** Length of the longest token, in UTF-16 code units. */
  readonly #maxTokenLength: number;
  /** Symbol of each byte, i32 [256]: a token id, or -2 - byte if there is no such token. */
  readonly #symbolOfByte = new Int32Array(256);
  /** Id of the token such as `<0x0A>` that spells a byte; undefined if there is none. */
  readonly #fallbackIds: readonly (number | undefined)[];
  readonly #cache = new WordCache();
  #bytes = new Uint8Array(SMALL);
  #symbols = new Int32Array(SMALL);

  /**
   * @param definition `model` of tokenizer.json, of type BPE
   * @param vocab the model's vocabulary, from token string to id
   * @param isByteLevel true if a token's string has one character per byte, as in GPT-2; words are ordinary text
   */
  constructor(
    definition: JsonObject,
    vocab: ReadonlyMap<string, number>,
    isByteLevel: boolean,
    table = new MergeTable(definition["merges"] as Merge[], vocab),
    withheld: ReadonlyMap<number, string> = new Map(),
  ) {
    this.#definition = definition;
    this.#vocab = vocab;
    this.#isByteLevel = isByteLevel;
    this.#ignoresMerges = definition["ignore_merges"] === true;
    this.#table = table;
    this.#withheld = withheld;
    let longest = 0;
    for (const name of vocab.keys()) longest = Math.max(longest, name.length);
    this.#maxTokenLength = longest;
    for (const [character, byte] of BYTE_OF_CHARACTER)
      this.#symbolOfByte[byte] = vocab.get(character) ?? FIRST_UNKNOWN - byte;
    const hasFallback = definition["byte_fallback"] === true;
    this.#fallbackIds = Array.from({ length: 256 }, (_, byte) =>
      hasFallback ? this.#idOf(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`) : undefined,
    );
  }

  /**
   * Returns a model that never produces the given tokens; their text is encoded with others.
   *
   * @param tokens token strings by id
   */
  without(tokens: ReadonlyMap<number, string>): BpeModel {
    return new BpeModel(this.#definition, this.#vocab, this.#isByteLevel, this.#table, tokens);
  }

  /**
   * Appends the token ids of a word to `ids`.
   *
   * @throws EngineError out_of_range for a character that the tokenizer has no token for
   */
  encode(word: string, ids: number[], budget: Budget, param: string | null): void {
    if (word.length <= MAX_CACHED_LENGTH) {
      this.#encodeCached(word, ids, budget, param);
      return;
    }
    if (this.#isByteLevel || this.#ignoresMerges) {
      this.#encodeWord(word, ids, budget, param);
      return;
    }
    // A SentencePiece text is one long word: it is cut where no merge joins the characters.
    let start = 0;
    for (let end = 1; end <= word.length; end++) {
      if (end < word.length) {
        const first = word.charCodeAt(end);
        if (isLowSurrogate(first) || this.#table.canJoin(word.charCodeAt(end - 1), first)) continue;
      }
      const piece = word.slice(start, end);
      if (piece.length <= MAX_CACHED_LENGTH) this.#encodeCached(piece, ids, budget, param);
      else this.#encodeWord(piece, ids, budget, param);
      start = end;
    }
  }

  #encodeCached(word: string, ids: number[], budget: Budget, param: string | null): void {
    budget.spend();
    const known = this.#cache.get(word);
    if (known !== undefined) {
      for (const id of known) ids.push(id);
      return;
    }
    const before = ids.length;
    this.#encodeWord(word, ids, budget, param);
    this.#cache.set(word, ids.slice(before));
  }

  #encodeWord(word: string, ids: number[], budget: Budget, param: string | null): void {
    const whole = this.#ignoresMerges ? this.#wholeId(word) : undefined;
    if (whole !== undefined) {
      ids.push(whole);
      return;
    }
    const unknown: string[] = [];
    const length = this.#isByteLevel ? this.#spellBytes(word) : this.#spellCharacters(word, unknown);
    const symbols = this.#symbols;
    const numTokens = this.#table.merge(symbols, length, this.#withheld, budget);
    for (let index = 0; index < numTokens; index++) {
      const symbol = symbols[index]!;
      const withheld = this.#withheld.get(symbol); // of one character, because no merge produces it
      if (symbol >= 0 && withheld === undefined) ids.push(symbol);
      else if (!this.#isByteLevel) this.#encodeUnknown(withheld ?? unknown[FIRST_UNKNOWN - symbol]!, ids, param);
      else {
        const byte = withheld === undefined ? FIRST_UNKNOWN - symbol : BYTE_OF_CHARACTER.get(withheld)!;
        this.#encodeUnknownByte(byte, ids, param);
      }
    }
    if (symbols.length > LARGE) {
      this.#symbols = new Int32Array(SMALL);
      this.#bytes = new Uint8Array(SMALL);
    }
  }

  /** Returns the id of the token for the whole word, which `ignore_merges` prefers to merges. */
  #wholeId(word: string): number | undefined {
    if (word.length > this.#maxTokenLength) return undefined;
    return this.#idOf(this.#isByteLevel ? spelled(word) : word);
  }

  #idOf(name: string): number | undefined {
    const id = this.#vocab.get(name);
    return id === undefined || this.#withheld.has(id) ? undefined : id;
  }

  /** @returns the number of bytes written to `#bytes` */
  #writeBytes(word: string): number {
    if (this.#bytes.length < 3 * word.length) this.#bytes = new Uint8Array(6 * word.length);
    return utf8.encodeInto(word, this.#bytes).written;
  }

  /** @returns the number of symbols written to `#symbols` */
  #spellBytes(word: string): number {
    const length = this.#writeBytes(word);
    const symbols = this.#reserveSymbols(length);
    for (let index = 0; index < length; index++) symbols[index] = this.#symbolOfByte[this.#bytes[index]!]!;
    return length;
  }

  /**
   * @param unknown receives the characters that have no token
   * @returns the number of symbols written to `#symbols`
   */
  #spellCharacters(word: string, unknown: string[]): number {
    const symbols = this.#reserveSymbols(word.length);
    let length = 0;
    for (const character of word) {
      const id = this.#vocab.get(character);
      symbols[length++] = id ?? FIRST_UNKNOWN - (unknown.push(character) - 1);
    }
    return length;
  }

  #reserveSymbols(length: number): Int32Array {
    if (this.#symbols.length < length) this.#symbols = new Int32Array(2 * length);
    return this.#symbols;
  }

  /** The vocabulary of a byte-level tokenizer spells bytes below 0x80 with their own character. */
  #encodeUnknownByte(byte: number, ids: number[], param: string | null): void {
    const id = byte < 0x80 && BYTE_OF_CHARACTER.has(String.fromCharCode(byte)) ? this.#fallbackIds[byte] : undefined;
    if (id === undefined) throw noToken(param);
    ids.push(id);
  }

  #encodeUnknown(character: string, ids: number[], param: string | null): void {
    for (const byte of utf8.encode(character)) {
      const id = this.#fallbackIds[byte];
      if (id === undefined) throw noToken(param);
      ids.push(id);
    }
  }
}

/**
 * Token ids of recent words. Words are added to the young generation; when it is full, it becomes the old one, and the
 * old one is dropped. A word that is found in the old generation is added again.
 */
class WordCache {
  #young = new Map<string, readonly number[]>();
  #old: ReadonlyMap<string, readonly number[]> = new Map();

  get(word: string): readonly number[] | undefined {
    const young = this.#young.get(word);
    if (young !== undefined) return young;
    const old = this.#old.get(word);
    if (old !== undefined) this.set(word, old);
    return old;
  }

  set(word: string, ids: readonly number[]): void {
    if (this.#young.size >= GENERATION_WORDS) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    // A slice would keep the whole text in memory.
    this.#young.set(Buffer.from(word).toString(), ids);
  }
}

const utf8 = new TextEncoder();
/** Words that are kept twice, and their length in UTF-16 code units: at most some 20 MB for a model. */
const GENERATION_WORDS = 1 << 14;
const MAX_CACHED_LENGTH = 64;
/** Symbol of the first character that has no token; further ones are counted down. */
const FIRST_UNKNOWN = -2;
/** Initial size of the buffers, and the size above which they are dropped after use. */
const SMALL = 256;
const LARGE = 1 << 16;

const isLowSurrogate = (unit: number): boolean => unit >= 0xdc00 && unit <= 0xdfff;

const noToken = (param: string | null): EngineError =>
  new EngineError("out_of_range", "The text has a character that the model's tokenizer has no token for.", param);

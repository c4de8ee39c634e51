/**
 * Converts words to token ids by byte-pair merges, and keeps the ids of recent words. The result is that of the Rust
 * tokenizers; a word with a character that has no token is refused.
 */

import type { Budget } from "../budget.js";
import type { JsonObject } from "../json.js";
import { type Merge, MergeTable } from "./merge-table.js";
import { BYTE_OF_CHARACTER, fallbackToken, spelled } from "./token-bytes.js";
import { MAX_CACHED_LENGTH, WordCache } from "./word-cache.js";
import { noToken, type WordModel } from "./word-model.js";

export class BpeModel implements WordModel {
  readonly #definition: JsonObject;
  readonly #vocab: ReadonlyMap<string, number>;
  /** What is added to the characters of a word except the first, and to the last one. */
  readonly #prefix: string;
  readonly #suffix: string;
  readonly #hasAffixes: boolean;
  /** True if words are byte-level and their symbols are bytes; with affixes, symbols are texts. */
  readonly #isByteLevel: boolean;
  readonly #spellsWords: boolean;
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
    table = new MergeTable(definition["merges"] as Merge[], vocab, affix(definition, "continuing_subword_prefix")),
    withheld: ReadonlyMap<number, string> = new Map(),
  ) {
    this.#definition = definition;
    this.#vocab = vocab;
    this.#prefix = affix(definition, "continuing_subword_prefix");
    this.#suffix = affix(definition, "end_of_word_suffix");
    this.#hasAffixes = this.#prefix !== "" || this.#suffix !== "";
    this.#isByteLevel = isByteLevel && !this.#hasAffixes;
    this.#spellsWords = isByteLevel && this.#hasAffixes;
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
      hasFallback ? this.#idOf(fallbackToken(byte)) : undefined,
    );
  }

  without(tokens: ReadonlyMap<number, string>): BpeModel {
    const isByteLevel = this.#isByteLevel || this.#spellsWords;
    return new BpeModel(this.#definition, this.#vocab, isByteLevel, this.#table, tokens);
  }

  encode(text: string, ids: number[], budget: Budget, param: string | null): void {
    const word = this.#spellsWords ? spelled(text) : text;
    if (word.length <= MAX_CACHED_LENGTH) {
      this.#encodeCached(word, ids, budget, param);
      return;
    }
    if (this.#isByteLevel || this.#ignoresMerges || this.#hasAffixes) {
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
   * @param unknown receives the characters, with affixes, that have no token
   * @returns the number of symbols written to `#symbols`
   */
  #spellCharacters(word: string, unknown: string[]): number {
    const symbols = this.#reserveSymbols(word.length);
    let length = 0;
    const add = (name: string): void => {
      symbols[length++] = this.#vocab.get(name) ?? FIRST_UNKNOWN - (unknown.push(name) - 1);
    };
    if (!this.#hasAffixes) for (const character of word) add(character);
    else {
      let index = 0;
      for (const character of word) {
        const start = index === 0 ? "" : this.#prefix;
        index += character.length;
        add(start + character + (index === word.length ? this.#suffix : ""));
      }
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

/** Returns what `option` of a BPE model adds to characters; often nothing. */
function affix(definition: JsonObject, option: "continuing_subword_prefix" | "end_of_word_suffix"): string {
  return (definition[option] as string | null | undefined) ?? "";
}

const utf8 = new TextEncoder();
/** Symbol of the first character that has no token; further ones are counted down. */
const FIRST_UNKNOWN = -2;
/** Initial size of the buffers, and the size above which they are dropped after use. */
const SMALL = 256;
const LARGE = 1 << 16;

const isLowSurrogate = (unit: number): boolean => unit >= 0xdc00 && unit <= 0xdfff;

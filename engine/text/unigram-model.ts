/**
 * Converts words to token ids with a Unigram model: of all ways to divide a word into pieces of the vocabulary, the one
 * with the highest sum of scores. The result is that of the Rust tokenizers: a character without a piece has the lowest
 * score less 10, of equal sums the one found first counts, and neighbors without a piece are one unknown text. Such a
 * text becomes the tokens of its bytes; if the vocabulary has none, it is refused.
 */

import type { Budget } from "../budget.js";
import type { JsonObject } from "../json.js";
import { NONE, PieceTrie, ROOT } from "./piece-trie.js";
import { fallbackToken, spelled } from "./token-bytes.js";
import { MAX_CACHED_LENGTH, WordCache } from "./word-cache.js";
import { noToken, type WordModel } from "./word-model.js";

export class UnigramModel implements WordModel {
  readonly #vocabulary: UnigramVocabulary;
  readonly #pieces: PieceTrie;
  readonly #unknownId: number;
  /** Tokens that are not produced. */
  readonly #withheld: ReadonlyMap<number, string>;
  /** Id of the token such as `<0x0A>` that spells a byte; undefined if there is none. */
  readonly #fallbackIds: readonly (number | undefined)[];
  readonly #cache = new WordCache();
  readonly #paths = new Paths();

  constructor(vocabulary: UnigramVocabulary, withheld: ReadonlyMap<number, string> = new Map()) {
    this.#vocabulary = vocabulary;
    this.#pieces = vocabulary.pieces;
    this.#unknownId = vocabulary.unknownId;
    this.#withheld = withheld;
    this.#fallbackIds = Array.from({ length: 256 }, (_, byte) =>
      vocabulary.hasByteFallback ? this.#idOf(fallbackToken(byte)) : undefined,
    );
  }

  without(tokens: ReadonlyMap<number, string>): UnigramModel {
    return new UnigramModel(this.#vocabulary, tokens);
  }

  encode(word: string, ids: number[], budget: Budget, param: string | null): void {
    const text = this.#vocabulary.isByteLevel ? spelled(word) : word;
    budget.spend();
    if (text.length > MAX_CACHED_LENGTH) {
      this.#encodeText(text, ids, budget, param);
      return;
    }
    let known = this.#cache.get(text);
    if (known === undefined) {
      const found: number[] = [];
      this.#encodeText(text, found, budget, param);
      this.#cache.set(text, (known = found));
    }
    for (const id of known) ids.push(id);
  }

  #encodeText(text: string, ids: number[], budget: Budget, param: string | null): void {
    const paths = this.#paths;
    /** Index in the text where the paths begin, and where the unknown text at the end of `ids` begins. */
    let base = 0;
    paths.start(0);
    for (let index = 0; index < text.length;) {
      const at = index - base;
      // No piece crosses this place: all paths meet here.
      if (at >= MIN_PATH && paths.furthest === at && paths.tokenAt(at) !== this.#unknownId) {
        const score = paths.scoreAt(at);
        this.#emit(text, base, at, ids, param);
        base = index;
        paths.start(score);
        continue;
      }
      index += this.#extend(text, index, at, budget);
    }
    this.#emit(text, base, text.length - base, ids, param);
    paths.release();
  }

  /**
   * Extends the best path up to a character by all pieces that begin there.
   *
   * @param at place of the character in the paths
   * @returns the length of the character in UTF-16 code units
   */
  #extend(text: string, index: number, at: number, budget: Budget): number {
    const paths = this.#paths;
    const { scores, unknownScore } = this.#vocabulary;
    const score = paths.scoreAt(at);
    const characterLength = text.codePointAt(index)! > 0xffff ? 2 : 1;
    let isCovered = false;
    let length = 0;
    for (let node = ROOT; index + length < text.length;) {
      node = this.#pieces.child(node, text.charCodeAt(index + length));
      if (node === NONE) break;
      length++;
      const token = this.#pieces.tokenAt(node);
      if (token === NONE || this.#withheld.has(token)) continue;
      paths.offer(at, length, score + scores[token]!, token);
      if (length === characterLength) isCovered = true;
    }
    budget.spend(1 + length / UNITS_PER_STEP);
    if (!isCovered) paths.offer(at, characterLength, score + unknownScore, this.#unknownId);
    return characterLength;
  }

  /** Appends the tokens of the best path of `length` code units that begins at `base`. */
  #emit(text: string, base: number, length: number, ids: number[], param: string | null): void {
    let unknown = NONE;
    for (const end of this.#paths.endsUpTo(length)) {
      const token = this.#paths.tokenAt(end);
      const start = this.#paths.startOf(end);
      if (token === this.#unknownId) {
        if (unknown === NONE) unknown = start;
        continue;
      }
      if (unknown !== NONE) this.#encodeUnknown(text.slice(base + unknown, base + start), ids, param);
      unknown = NONE;
      ids.push(token);
    }
    if (unknown !== NONE) this.#encodeUnknown(text.slice(base + unknown, base + length), ids, param);
  }

  #encodeUnknown(text: string, ids: number[], param: string | null): void {
    const whole = text.length <= this.#vocabulary.maxPieceLength ? this.#idOf(text) : undefined;
    if (whole !== undefined) {
      ids.push(whole);
      return;
    }
    for (const byte of utf8.encode(text)) {
      const id = this.#fallbackIds[byte];
      if (id === undefined) throw noToken(param);
      ids.push(id);
    }
  }

  #idOf(piece: string): number | undefined {
    const id = this.#vocabulary.ids.get(piece);
    return id === undefined || this.#withheld.has(id) ? undefined : id;
  }
}

/** What a Unigram model knows of its pieces. */
export interface UnigramVocabulary {
  readonly ids: ReadonlyMap<string, number>;
  readonly pieces: PieceTrie;
  /** Score of each token, f64 [vocabSize], and of a character without a piece. */
  readonly scores: Float64Array;
  readonly unknownScore: number;
  /** Token of a character without a piece; NONE if the model has none. */
  readonly unknownId: number;
  /** Length of the longest piece, in UTF-16 code units. */
  readonly maxPieceLength: number;
  readonly hasByteFallback: boolean;
  /** True if a piece has one character per byte, as in GPT-2; words are ordinary text. */
  readonly isByteLevel: boolean;
}

/**
 * @param definition `model` of tokenizer.json, of type Unigram, checked
 * @param ids the model's vocabulary, from piece to id
 * @throws EngineError unsupported_model if the pieces are too long in total
 */
export function unigramVocabulary(
  definition: JsonObject,
  ids: ReadonlyMap<string, number>,
  isByteLevel: boolean,
): UnigramVocabulary {
  const scores = Float64Array.from(definition["vocab"] as [string, number][], ([, score]) => score);
  let maxPieceLength = 0;
  for (const piece of ids.keys()) maxPieceLength = Math.max(maxPieceLength, piece.length);
  return {
    ids,
    pieces: new PieceTrie(ids),
    scores,
    unknownScore: scores.reduce((lowest, score) => Math.min(lowest, score), Infinity) - UNKNOWN_PENALTY,
    unknownId: (definition["unk_id"] as number | null | undefined) ?? NONE,
    maxPieceLength,
    hasByteFallback: definition["byte_fallback"] === true,
    isByteLevel,
  };
}

/** The best path to each place of a text, counted from the first one in UTF-16 code units. */
class Paths {
  /** Sum of the scores, token of the last piece and its start, for the path to each place: [places] each. */
  #scores = new Float64Array(SMALL);
  #tokens = new Int32Array(SMALL);
  #starts = new Int32Array(SMALL);
  #furthest = SMALL - 1;

  /** The furthest place that a path leads to. */
  get furthest(): number {
    return this.#furthest;
  }

  /** Begins anew with the place 0 and its score. */
  start(score: number): void {
    this.#starts.fill(NONE, 0, this.#furthest + 1);
    this.#scores[0] = score;
    this.#furthest = 0;
  }

  /** Offers a path through the place `from`, which is taken if it is the first or better than the one before. */
  offer(from: number, length: number, score: number, token: number): void {
    const to = from + length;
    if (to >= this.#starts.length) this.#enlarge(to);
    if (to > this.#furthest) this.#furthest = to;
    if (this.#starts[to] !== NONE && !(score > this.#scores[to]!)) return;
    this.#scores[to] = score;
    this.#tokens[to] = token;
    this.#starts[to] = from;
  }

  scoreAt(place: number): number {
    return this.#scores[place]!;
  }

  tokenAt(place: number): number {
    return this.#tokens[place]!;
  }

  startOf(place: number): number {
    return this.#starts[place]!;
  }

  /** Returns where the pieces of the best path to `place` end, in ascending order. */
  endsUpTo(place: number): number[] {
    const ends: number[] = [];
    for (let end = place; end > 0; end = this.#starts[end]!) ends.push(end);
    return ends.reverse();
  }

  /** Drops the buffers of a long text, which would otherwise stay for as long as the model. */
  release(): void {
    if (this.#starts.length <= LARGE) return;
    this.#scores = new Float64Array(SMALL);
    this.#tokens = new Int32Array(SMALL);
    this.#starts = new Int32Array(SMALL);
    this.#furthest = SMALL - 1;
  }

  #enlarge(place: number): void {
    const size = 2 * place;
    const [scores, tokens, starts] = [this.#scores, this.#tokens, this.#starts];
    this.#scores = new Float64Array(size);
    this.#tokens = new Int32Array(size);
    this.#starts = new Int32Array(size).fill(NONE, starts.length);
    this.#scores.set(scores);
    this.#tokens.set(tokens);
    this.#starts.set(starts);
  }
}

const utf8 = new TextEncoder();
/** Difference between the lowest score and that of a character without a piece. */
const UNKNOWN_PENALTY = 10;
/** Code units of a piece that are looked up in the time of one step. */
const UNITS_PER_STEP = 8;
/** Length from which a path is ended where all paths meet, in UTF-16 code units. */
const MIN_PATH = 1024;
/** Initial size of the buffers, and the size above which they are dropped after use. */
const SMALL = 256;
const LARGE = 1 << 16;

/**
 * A vocabulary's bytes as a trie in preorder: a walk is one loop over flat arrays, and a byte that leads nowhere skips
 * everything below it. Tokens of plain text stand apart, because inside a free string all of them are allowed at once.
 */

import { type Automaton, type Configuration, type Position, UNKNOWN } from "./automaton.js";
import { type ALabel, freeRoom, readerOf } from "./idna.js";
import { BETWEEN } from "./string-bytes.js";

export interface TokenMask {
  /** u32 [ceil(vocabulary / 32)], bit by bit */
  readonly bits: Uint32Array;
  /** Whether the same configuration has another mask where another name is being read. */
  readonly dependsOnName: boolean;
}

export class VocabularyTrie {
  /**
   * By number of code points, the plain tokens that have no more: whole text that needs no escape in a JSON string, without
   * control characters, quotes, backslashes and fragments of code points.
   */
  readonly #plain: readonly Uint32Array[];
  readonly #all: FlatTrie;
  readonly #notPlain: FlatTrie;
  /** Made when an A-label first needs it. */
  #aLabelTokens: ALabelTokens | null = null;

  private constructor(readonly tokens: readonly (Uint8Array | null)[]) {
    const spelled = new Map<number, string>();
    tokens.forEach((bytes, tokenId) => {
      if (bytes !== null && bytes.length > 0) spelled.set(tokenId, latin1(bytes));
    });
    const plain: number[][] = [];
    const rest = new Map<number, string>();
    for (const [tokenId, text] of spelled) {
      const numCodePoints = plainCodePoints(tokens[tokenId]!, text);
      if (numCodePoints === null) rest.set(tokenId, text);
      else (plain[numCodePoints] ??= []).push(tokenId);
    }
    const mask = new Uint32Array(Math.ceil(tokens.length / 32));
    this.#plain = Array.from({ length: Math.max(1, plain.length) }, (_, numCodePoints) => {
      for (const tokenId of plain[numCodePoints] ?? []) mask[tokenId >> 5]! |= 1 << (tokenId & 31);
      return mask.slice();
    });
    this.#all = new FlatTrie(spelled);
    this.#notPlain = new FlatTrie(rest);
  }

  /** @param tokens the bytes of each token id; null or empty: a token without text, never allowed */
  static build(tokens: readonly (Uint8Array | null)[]): VocabularyTrie {
    return new VocabularyTrie(tokens);
  }

  /** @returns the tokens whose bytes can follow */
  mask(automaton: Automaton, position: Position): TokenMask {
    const { bits, unknown } = this.#maskBut(automaton, position);
    for (const tokenId of unknown) {
      if (automaton.readAll(position, this.tokens[tokenId]!) !== null) bits[tokenId >> 5]! |= 1 << (tokenId & 31);
    }
    return { bits, dependsOnName: unknown.length > 0 };
  }

  /** The mask but for some tokens that are to be read one by one. */
  #maskBut(automaton: Automaton, position: Position): { bits: Uint32Array; unknown: readonly number[] } {
    const { plainRoom, inALabel } = position.configuration;
    if (inALabel?.part === BETWEEN) {
      this.#aLabelTokens ??= new ALabelTokens(this.tokens);
      const { aLabel, longest } = inALabel.language;
      return this.#aLabelTokens.maskBut(automaton, position, aLabel!, longest);
    }
    const bits =
      plainRoom < 0 ? new Uint32Array(Math.ceil(this.tokens.length / 32)) : this.#plainWithin(plainRoom).slice();
    const trie = plainRoom < 0 ? this.#all : this.#notPlain;
    return { bits, unknown: trie.walk(automaton, position.configuration, bits) };
  }

  /** Plain tokens of at most so many code points. */
  #plainWithin(numCodePoints: number): Uint32Array {
    return this.#plain[Math.min(numCodePoints, this.#plain.length - 1)]!;
  }
}

/** Tokens that may come inside an A-label, where almost all letters are free and no state is remembered. */
class ALabelTokens {
  /** By length, masks of the tokens of letters, digits and hyphens alone that are not longer. */
  readonly #lettersWithin: Uint32Array[] = [];
  /** The same tokens by their text in lower case, and those texts that have hyphens. */
  readonly #letters = new Map<string, number[]>();
  readonly #hyphenated: readonly string[];
  /** Tokens in which a label may end, by the letters before that: the rest of them. */
  readonly #ends = new Map<string, FlatTrie>();
  /** Tokens with letters that are spelled as escapes. */
  readonly #escapes: number[] = [];

  constructor(tokens: readonly (Uint8Array | null)[]) {
    const ends = new Map<string, Map<number, string>>();
    const byLength: number[][] = [[]];
    tokens.forEach((bytes, tokenId) => {
      const numLetters = bytes?.findIndex((byte) => !isLetter(byte)) ?? 0;
      if (bytes === null || bytes.length === 0) return;
      if (numLetters < 0) {
        pushTo(this.#letters, latin1(bytes).toLowerCase(), tokenId);
        (byLength[bytes.length] ??= []).push(tokenId);
      } else if (bytes[numLetters] === QUOTE || bytes[numLetters] === DOT) {
        const text = latin1(bytes);
        const letters = text.slice(0, numLetters).toLowerCase();
        if (!ends.has(letters)) ends.set(letters, new Map());
        ends.get(letters)!.set(tokenId, text.slice(numLetters));
      } else if (
        bytes[numLetters] === BACKSLASH &&
        (numLetters + 1 === bytes.length || bytes[numLetters + 1] === LETTER_U)
      ) {
        this.#escapes.push(tokenId);
      }
    });
    const mask = new Uint32Array(Math.ceil(tokens.length / 32));
    for (let length = 0; length < byLength.length; length++) {
      allow(mask, byLength[length] ?? []);
      this.#lettersWithin.push(mask.slice());
    }
    this.#hyphenated = [...this.#letters.keys()].filter((text) => text.includes("-"));
    for (const [letters, rests] of ends) this.#ends.set(letters, new FlatTrie(rests));
  }

  /** @returns the tokens that can follow, and some that are to be read one by one */
  maskBut(
    automaton: Automaton,
    position: Position,
    label: ALabel,
    room: number,
  ): { bits: Uint32Array; unknown: readonly number[] } {
    const numFree = Math.max(0, freeRoom(label, room));
    const bits = this.#lettersWithin[Math.min(numFree, this.#lettersWithin.length - 1)]!.slice();
    const read = readerOf(label, room);
    const known = label.ending ?? "";
    for (let length = numFree + 1; length <= known.length; length++)
      allow(bits, this.#letters.get(known.slice(0, length)) ?? []);
    const firstHyphenMax = Math.max(numFree, known.length);
    for (const text of this.#hyphenated) {
      if (text.length <= numFree || text.indexOf("-") > firstHyphenMax) continue;
      if (read(text) !== null) allow(bits, this.#letters.get(text)!);
    }
    const unknown = [...this.#escapes];
    for (const [letters, rests] of this.#ends) {
      if (!read(letters)?.isWhole) continue;
      const { configuration } = automaton.readAll(
        position,
        Uint8Array.from(letters, (letter) => letter.charCodeAt(0)),
      )!;
      unknown.push(...rests.walk(automaton, configuration, bits));
    }
    return { bits, unknown };
  }
}

const QUOTE = 0x22;
const DOT = 0x2e;
const BACKSLASH = 0x5c;
const LETTER_U = 0x75;

const isLetter = (byte: number): boolean =>
  byte === 0x2d || (byte >= 0x30 && byte <= 0x39) || ((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a);

function allow(mask: Uint32Array, tokenIds: readonly number[]): void {
  for (const tokenId of tokenIds) mask[tokenId >> 5]! |= 1 << (tokenId & 31);
}

function pushTo<K, V>(lists: Map<K, V[]>, key: K, value: V): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}

/** Nodes in preorder, the root left out. */
class FlatTrie {
  /** u8 [numNodes]: the byte that leads to the node. */
  readonly #bytes: Uint8Array;
  /** u16 [numNodes]: bytes from the root, 1 for its children. */
  readonly #depths: Uint32Array;
  /** u32 [numNodes]: the next node that is not below it. */
  readonly #skips: Uint32Array;
  /** u32 [numNodes + 1]: where the tokens that end at a node begin. */
  readonly #firstTokens: Uint32Array;
  readonly #tokenIds: Uint32Array;
  readonly #depthMax: number;

  constructor(tokens: ReadonlyMap<number, string>) {
    const sorted = [...tokens].sort(([, a], [, b]) => (a < b ? -1 : a > b ? 1 : 0));
    let numNodes = 0;
    let depthMax = 0;
    let last = "";
    for (const [, text] of sorted) {
      numNodes += text.length - shared(last, text);
      depthMax = Math.max(depthMax, text.length);
      last = text;
    }
    this.#bytes = new Uint8Array(numNodes);
    this.#depths = new Uint32Array(numNodes);
    this.#skips = new Uint32Array(numNodes);
    this.#firstTokens = new Uint32Array(numNodes + 1);
    this.#tokenIds = Uint32Array.from(sorted, ([tokenId]) => tokenId);
    this.#depthMax = depthMax;
    this.#fill(sorted, numNodes);
  }

  /** Sets the bits of tokens that can follow. @returns the tokens for which that depends on a name */
  walk(automaton: Automaton, start: Configuration, mask: Uint32Array): number[] {
    const unknown: number[] = [];
    const bytes = this.#bytes;
    const depths = this.#depths;
    const skips = this.#skips;
    const firstTokens = this.#firstTokens;
    const tokenIds = this.#tokenIds;
    const path = new Array<Configuration>(this.#depthMax + 1);
    path[0] = start;
    for (let node = 0; node < bytes.length;) {
      const depth = depths[node]!;
      const from = path[depth - 1]!;
      const byte = bytes[node]!;
      const known = from.next[byte];
      const to = known === undefined ? automaton.step(from, byte) : known;
      if (to === null) {
        node = skips[node]!;
        continue;
      }
      if (to === UNKNOWN) {
        const next = skips[node]!;
        unknown.push(...tokenIds.subarray(firstTokens[node], firstTokens[next]));
        node = next;
        continue;
      }
      path[depth] = to;
      for (let index = firstTokens[node]!; index < firstTokens[node + 1]!; index++) {
        const tokenId = tokenIds[index]!;
        mask[tokenId >> 5]! |= 1 << (tokenId & 31);
      }
      node++;
    }
    return unknown;
  }

  #fill(sorted: readonly (readonly [number, string])[], numNodes: number): void {
    const open: number[] = [];
    let node = 0;
    let last = "";
    let numTokens = 0;
    for (const [, text] of sorted) {
      const begin = shared(last, text);
      while (open.length > begin) this.#skips[open.pop()!] = node;
      for (let depth = begin; depth < text.length; depth++) {
        this.#bytes[node] = text.charCodeAt(depth);
        this.#depths[node] = depth + 1;
        this.#firstTokens[node] = numTokens;
        open.push(node++);
      }
      numTokens++;
      last = text;
    }
    while (open.length > 0) this.#skips[open.pop()!] = node;
    this.#firstTokens[numNodes] = numTokens;
  }
}

function shared(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a.charCodeAt(length) === b.charCodeAt(length)) length++;
  return length;
}

/** One character for each byte. */
function latin1(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** @returns the number of code points of plain text, or null */
function plainCodePoints(bytes: Uint8Array, text: string): number | null {
  if (/["\\\x00-\x1f]/.test(text)) return null;
  if (!/[\x80-\xff]/.test(text)) return text.length;
  try {
    return [...utf8.decode(bytes)].length;
  } catch {
    return null;
  }
}

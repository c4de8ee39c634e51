/**
 * The bytes of a vocabulary as a trie in preorder: a walk is one loop over flat arrays, and a byte that is not allowed
 * skips its whole subtree. Tokens of plain text are kept separately, because inside an unrestricted string all of them
 * are allowed.
 */

import { type Automaton, type Configuration, type Position, UNKNOWN } from "./automaton.js";

export interface TokenMask {
  /** u32 [ceil(vocabulary / 32)]: one bit per token id. */
  readonly bits: Uint32Array;
  /** True if the same configuration has another mask while another name is being read. */
  readonly dependsOnName: boolean;
}

/** The bytes of a model's tokens, prepared for computing token masks. Build it once for each model. */
export class VocabularyTrie {
  /**
   * Masks by number of code points: the plain tokens that have at most so many. A plain token is complete UTF-8 that
   * needs no escape in a JSON string: it contains no control character, quote, backslash or partial code point.
   */
  readonly #plain: readonly Uint32Array[];
  readonly #all: FlatTrie;
  readonly #notPlain: FlatTrie;

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

  /** @param tokens the bytes of each token id; null or empty for a token without text, which is never allowed */
  static build(tokens: readonly (Uint8Array | null)[]): VocabularyTrie {
    return new VocabularyTrie(tokens);
  }

  /**
   * @returns the tokens whose bytes can follow
   * @internal
   */
  mask(automaton: Automaton, position: Position): TokenMask {
    const { plainRoom } = position.configuration;
    const bits =
      plainRoom < 0 ? new Uint32Array(Math.ceil(this.tokens.length / 32)) : this.#plainWithin(plainRoom).slice();
    const trie = plainRoom < 0 ? this.#all : this.#notPlain;
    const unknown = trie.walk(automaton, position.configuration, bits);
    for (const tokenId of unknown) {
      if (automaton.readAll(position, this.tokens[tokenId]!) !== null) bits[tokenId >> 5]! |= 1 << (tokenId & 31);
    }
    return { bits, dependsOnName: unknown.length > 0 };
  }

  /** Returns the mask of the plain tokens that have at most `numCodePoints` code points. */
  #plainWithin(numCodePoints: number): Uint32Array {
    return this.#plain[Math.min(numCodePoints, this.#plain.length - 1)]!;
  }
}

/** Trie nodes in preorder, without the root. */
class FlatTrie {
  /** u8 [numNodes]: the byte that leads to the node. */
  readonly #bytes: Uint8Array;
  /** u32 [numNodes]: depth of the node, 1 for children of the root. */
  readonly #depths: Uint32Array;
  /** u32 [numNodes]: the next node outside the node's subtree. */
  readonly #skips: Uint32Array;
  /** u32 [numNodes + 1]: index into `#tokenIds` of the first token that ends at the node. */
  readonly #firstTokens: Uint32Array;
  readonly #tokenIds: Uint32Array;
  readonly #maxDepth: number;

  constructor(tokens: ReadonlyMap<number, string>) {
    const sorted = [...tokens].sort(([, a], [, b]) => (a < b ? -1 : a > b ? 1 : 0));
    let numNodes = 0;
    let maxDepth = 0;
    let last = "";
    for (const [, text] of sorted) {
      numNodes += text.length - shared(last, text);
      maxDepth = Math.max(maxDepth, text.length);
      last = text;
    }
    this.#bytes = new Uint8Array(numNodes);
    this.#depths = new Uint32Array(numNodes);
    this.#skips = new Uint32Array(numNodes);
    this.#firstTokens = new Uint32Array(numNodes + 1);
    this.#tokenIds = Uint32Array.from(sorted, ([tokenId]) => tokenId);
    this.#maxDepth = maxDepth;
    this.#fill(sorted, numNodes);
  }

  /** Sets the bits of the tokens that can follow. @returns the tokens for which this depends on a name */
  walk(automaton: Automaton, start: Configuration, mask: Uint32Array): number[] {
    const unknown: number[] = [];
    const bytes = this.#bytes;
    const depths = this.#depths;
    const skips = this.#skips;
    const firstTokens = this.#firstTokens;
    const tokenIds = this.#tokenIds;
    const path = new Array<Configuration>(this.#maxDepth + 1);
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

/** Converts bytes to a string with one character for each byte. */
function latin1(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** @returns the number of code points, or null if the token is not plain text */
function plainCodePoints(bytes: Uint8Array, text: string): number | null {
  if (/["\\\x00-\x1f]/.test(text)) return null;
  if (!/[\x80-\xff]/.test(text)) return text.length;
  try {
    return [...utf8.decode(bytes)].length;
  } catch {
    return null;
  }
}

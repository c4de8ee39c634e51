/**
 * A vocabulary's bytes as a trie in preorder: a walk is one loop over flat arrays, and a byte that leads nowhere skips
 * everything below it. Tokens of plain text stand apart, because inside a free string all of them are allowed at once.
 */

import { type Automaton, type Configuration, type Position, UNKNOWN } from "./automaton.js";

export interface TokenMask {
  /** u32 [ceil(vocabulary / 32)], bit by bit */
  readonly bits: Uint32Array;
  /** Whether the same configuration has another mask where another name is being read. */
  readonly dependsOnName: boolean;
}

/** The bytes of a model's tokens, as masks need them. Build it once for each model. */
export class VocabularyTrie {
  /**
   * By number of code points, the plain tokens that have no more: whole text that needs no escape in a JSON string, without
   * control characters, quotes, backslashes and fragments of code points.
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

  /** @param tokens the bytes of each token id; null or empty: a token without text, never allowed */
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

  /** Plain tokens of at most so many code points. */
  #plainWithin(numCodePoints: number): Uint32Array {
    return this.#plain[Math.min(numCodePoints, this.#plain.length - 1)]!;
  }
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

  /** Sets the bits of tokens that can follow. @returns the tokens for which that depends on a name */
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

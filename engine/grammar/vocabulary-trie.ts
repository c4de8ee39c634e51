/**
 * The bytes of a vocabulary as a trie in preorder: a walk is one loop over flat arrays, and a byte that is not allowed
 * skips its whole subtree. Tokens of plain text are kept separately, because inside an unrestricted string all of them
 * are allowed.
 */

import { type Automaton, type Configuration, UNKNOWN } from "./automaton.js";
import type { FrameSteps } from "./frame.js";

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
    const spelled = new SpelledTokens(tokens);
    const sorted = spelled.sorted();
    const plain: number[][] = [[]];
    let numRest = 0;
    const rest = new Uint32Array(sorted.length);
    for (const tokenId of sorted) {
      const numCodePoints = spelled.numPlainCodePoints(tokenId);
      if (numCodePoints === null || numCodePoints > MAX_PLAIN_CODE_POINTS) rest[numRest++] = tokenId;
      else (plain[numCodePoints] ??= []).push(tokenId);
    }
    const mask = new Uint32Array(Math.ceil(tokens.length / 32));
    this.#plain = Array.from(plain, (tokenIds = []) => {
      for (const tokenId of tokenIds) mask[tokenId >> 5]! |= 1 << (tokenId & 31);
      return mask.slice();
    });
    this.#all = new FlatTrie(spelled, sorted);
    this.#notPlain = new FlatTrie(spelled, rest.slice(0, numRest));
  }

  /** @param tokens the bytes of each token id; null or empty for a token without text, which is never allowed */
  static build(tokens: readonly (Uint8Array | null)[]): VocabularyTrie {
    return new VocabularyTrie(tokens);
  }

  /**
   * Begins to compute the tokens whose bytes can follow a configuration.
   * @param known what is known of its frame, if it has one only
   * @internal
   */
  walk(automaton: Automaton, configuration: Configuration, known: FrameMask | null): MaskWalk {
    const { plainRoom } = configuration;
    const trie = plainRoom < 0 ? this.#all : this.#notPlain;
    if (known !== null) return new MaskWalk(automaton, configuration, trie, known.bits.slice(), known.crossings);
    const bits =
      plainRoom < 0 ? new Uint32Array(Math.ceil(this.tokens.length / 32)) : this.#plainWithin(plainRoom).slice();
    return new MaskWalk(automaton, configuration, trie, bits, null);
  }

  /** Returns the mask of the plain tokens that have at most `numCodePoints` code points. */
  #plainWithin(numCodePoints: number): Uint32Array {
    return this.#plain[Math.min(numCodePoints, this.#plain.length - 1)]!;
  }
}

/** Longer tokens are not treated as plain, because each number of code points has a mask. */
const MAX_PLAIN_CODE_POINTS = 256;

/** The part of a mask that depends on one frame only, whatever is below it. */
export interface FrameMask {
  readonly byteLength: number;
  /** u32 [ceil(vocabulary / 32)]: tokens that are allowed, without those that go on in what is below the frame. */
  readonly bits: Uint32Array;
  /** Where tokens go on in what is below the frame. */
  readonly crossings: readonly Crossing[];
}

/** A node of the trie whose byte is read by what is below a frame, and the frame before it. */
interface Crossing {
  readonly node: number;
  readonly frame: FrameSteps;
}

/**
 * Computes the mask of one configuration in pieces, so that other work can be done between them. The result does not
 * depend on what happens between two pieces.
 */
export class MaskWalk {
  /** u32 [ceil(vocabulary / 32)]: one bit per token id. */
  readonly bits: Uint32Array;
  /** Tokens for which the answer depends on the name that is being read. Their bits are 0. */
  readonly unknown: number[] = [];
  readonly configuration: Configuration;
  readonly #automaton: Automaton;
  readonly #trie: FlatTrie;
  /** Parts of the trie that are left of a walk that knows the mask of its frame; null for a walk of all nodes. */
  readonly #known: readonly Crossing[] | null;
  #numKnown = 0;
  /** The crossings that a walk of all nodes has found. */
  readonly #crossings: Crossing[] = [];
  /** The first node that is not below the last crossing. Infinity if they are not collected. */
  #crossingEnd: number;
  /**
   * The states on the path from the root to the node, by depth: a frame and what is below it, and the configuration of
   * both. The frame is null if the configuration has several; the configuration is null until it is needed.
   */
  #frames: (FrameSteps | null)[] = [];
  #belows: (Configuration | null)[] = [];
  #path: (Configuration | null)[] = [];
  #node = 0;
  #end: number;
  /** Number of nodes that were looked at. */
  #numNodes = 0;
  #isFinished = false;

  constructor(
    automaton: Automaton,
    configuration: Configuration,
    trie: FlatTrie,
    bits: Uint32Array,
    known: readonly Crossing[] | null,
  ) {
    this.#automaton = automaton;
    this.#trie = trie;
    this.configuration = configuration;
    this.bits = bits;
    this.#known = known;
    this.#end = known === null ? trie.bytes.length : 0;
    this.#crossingEnd = known === null && configuration.entries.length === 1 ? 0 : Infinity;
    this.#reach(0, configuration);
  }

  get isFinished(): boolean {
    return this.#isFinished;
  }

  get byteLength(): number {
    return this.bits.byteLength + 8 * this.unknown.length;
  }

  /**
   * Returns the part of a finished mask that depends on its frame only. Null if there are several frames, if this part
   * was given to the walk, or if it was found so fast that it is not worth keeping.
   */
  frameMask(): FrameMask | null {
    if (this.#crossingEnd === Infinity || this.#numNodes < MIN_FRAME_NODES) return null;
    const { skips, firstTokens, tokenIds } = this.#trie;
    const bits = this.bits.slice();
    for (const { node } of this.#crossings)
      for (let index = firstTokens[node]!; index < firstTokens[skips[node]!]!; index++)
        bits[tokenIds[index]! >> 5]! &= ~(1 << (tokenIds[index]! & 31));
    return {
      byteLength: bits.byteLength + BYTES_PER_CROSSING * this.#crossings.length,
      bits,
      crossings: this.#crossings,
    };
  }

  /** Works on the mask, for at most one step of the automaton that is not cached. @returns true if it is finished */
  advance(): boolean {
    if (this.#node === this.#end && this.#known !== null) this.#nextKnown(this.#known);
    this.#advance();
    if (this.#node < this.#end || this.#numKnown < (this.#known?.length ?? 0)) return false;
    this.#frames = [];
    this.#belows = [];
    this.#path = [];
    this.#isFinished = true;
    return true;
  }

  #nextKnown(known: readonly Crossing[]): void {
    const crossing = known[this.#numKnown++];
    if (crossing === undefined) return;
    const { node, frame } = crossing;
    const depth = this.#trie.depths[node]! - 1;
    this.#frames[depth] = frame;
    this.#belows[depth] = this.configuration.entries[0]!.below;
    this.#path[depth] = null;
    this.#node = node;
    this.#end = this.#trie.skips[node]!;
  }

  #advance(): void {
    const { bytes, depths, skips, firstTokens, tokenIds } = this.#trie;
    const mask = this.bits;
    const frames = this.#frames;
    const belows = this.#belows;
    const path = this.#path;
    let numNodes = 0;
    const lastNode = Math.min(this.#end, this.#node + NODES_PER_PIECE);
    let node = this.#node;
    for (let isCached = true; node < lastNode && isCached;) {
      numNodes++;
      const depth = depths[node]!;
      const byte = bytes[node]!;
      const frame = frames[depth - 1]!;
      // Most frames go on without regard to what is below them, and then need no configuration.
      let successor = frame === null ? undefined : frame.after(byte);
      let to: Configuration | null = null;
      if (successor === undefined) {
        const from = this.#configuration(depth - 1);
        const known = from.next?.get(byte);
        isCached = known !== undefined;
        to = known === undefined ? this.#automaton.step(from, byte) : known;
        if (frame !== null) successor = frame.after(byte);
        if (successor === undefined && node >= this.#crossingEnd) {
          this.#crossings.push({ node, frame: frame! });
          this.#crossingEnd = skips[node]!;
        }
        if (to === UNKNOWN)
          for (let index = firstTokens[node]!; index < firstTokens[skips[node]!]!; index++)
            this.unknown.push(tokenIds[index]!);
      }
      if (successor === undefined ? to === null || to === UNKNOWN : successor === null) {
        node = skips[node]!;
        continue;
      }
      if (successor === undefined) {
        this.#reach(depth, to!);
      } else {
        frames[depth] = successor;
        belows[depth] = belows[depth - 1]!;
        path[depth] = to;
      }
      for (let index = firstTokens[node]!; index < firstTokens[node + 1]!; index++) {
        const tokenId = tokenIds[index]!;
        mask[tokenId >> 5]! |= 1 << (tokenId & 31);
      }
      node++;
    }
    this.#node = node;
    this.#numNodes += numNodes;
  }

  #reach(depth: number, configuration: Configuration): void {
    const { entries } = configuration;
    this.#path[depth] = configuration;
    this.#frames[depth] = entries.length === 1 ? entries[0]!.frame.steps : null;
    this.#belows[depth] = entries.length === 1 ? entries[0]!.below : null;
  }

  #configuration(depth: number): Configuration {
    return (this.#path[depth] ??= this.#automaton.configuration(this.#frames[depth]!.frame, this.#belows[depth]!));
  }
}

const BYTES_PER_CROSSING = 32;

/** The mask of a frame is kept if it took this many nodes. */
const MIN_FRAME_NODES = 1000;

/** A piece of a walk is at most so many nodes, which take some ten microseconds. */
const NODES_PER_PIECE = 1024;

/** Trie nodes in preorder, without the root. */
class FlatTrie {
  /** u8 [numNodes]: the byte that leads to the node. */
  readonly bytes: Uint8Array;
  /** u32 [numNodes]: depth of the node, 1 for children of the root. */
  readonly depths: Uint32Array;
  /** u32 [numNodes]: the next node outside the node's subtree. */
  readonly skips: Uint32Array;
  /** u32 [numNodes + 1]: index into `tokenIds` of the first token that ends at the node. */
  readonly firstTokens: Uint32Array;
  readonly tokenIds: Uint32Array;

  /** @param tokenIds sorted by bytes */
  constructor({ bytes, begins, maxLength }: SpelledTokens, tokenIds: Uint32Array) {
    this.tokenIds = tokenIds;
    // By token: the number of bytes that it shares with the token before it.
    const shared = new Uint32Array(tokenIds.length);
    let numNodes = 0;
    for (let index = 0; index < tokenIds.length; index++) {
      const begin = begins[tokenIds[index]!]!;
      const length = begins[tokenIds[index]! + 1]! - begin;
      if (index > 0) {
        const last = begins[tokenIds[index - 1]!]!;
        const maxShared = Math.min(length, begins[tokenIds[index - 1]! + 1]! - last);
        let numShared = 0;
        while (numShared < maxShared && bytes[begin + numShared] === bytes[last + numShared]) numShared++;
        shared[index] = numShared;
      }
      numNodes += length - shared[index]!;
    }
    this.bytes = new Uint8Array(numNodes);
    this.depths = new Uint32Array(numNodes);
    this.skips = new Uint32Array(numNodes);
    this.firstTokens = new Uint32Array(numNodes + 1);
    const open = new Uint32Array(maxLength);
    let numOpen = 0;
    let node = 0;
    for (let index = 0; index < tokenIds.length; index++) {
      const begin = begins[tokenIds[index]!]!;
      const length = begins[tokenIds[index]! + 1]! - begin;
      while (numOpen > shared[index]!) this.skips[open[--numOpen]!] = node;
      for (; numOpen < length; numOpen++) {
        this.bytes[node] = bytes[begin + numOpen]!;
        this.depths[node] = numOpen + 1;
        this.firstTokens[node] = index;
        open[numOpen] = node++;
      }
    }
    while (numOpen > 0) this.skips[open[--numOpen]!] = node;
    this.firstTokens[numNodes] = tokenIds.length;
  }
}

/** The bytes of all tokens in one array. */
class SpelledTokens {
  readonly bytes: Uint8Array;
  /** u32 [vocabulary + 1]: where the bytes of each token begin; they end where those of the next token begin. */
  readonly begins: Uint32Array;
  readonly maxLength: number;

  constructor(tokens: readonly (Uint8Array | null)[]) {
    this.begins = new Uint32Array(tokens.length + 1);
    let numBytes = 0;
    let maxLength = 0;
    for (const [tokenId, bytes] of tokens.entries()) {
      const length = bytes?.length ?? 0;
      numBytes += length;
      maxLength = Math.max(maxLength, length);
      this.begins[tokenId + 1] = numBytes;
    }
    this.maxLength = maxLength;
    this.bytes = new Uint8Array(numBytes);
    for (const [tokenId, bytes] of tokens.entries()) if (bytes !== null) this.bytes.set(bytes, this.begins[tokenId]);
  }

  /** @returns the ids of all tokens that have bytes, sorted by their bytes and then by id */
  sorted(): Uint32Array {
    const { bytes, begins } = this;
    const numTokens = begins.length - 1;
    let order = new Uint32Array(numTokens);
    let numSorted = 0;
    for (let tokenId = 0; tokenId < numTokens; tokenId++)
      if (begins[tokenId]! < begins[tokenId + 1]!) order[numSorted++] = tokenId;
    order = order.slice(0, numSorted);

    // Distributes ranges of tokens that share their first `depth` bytes by the next byte, with tokens that have none
    // first. A stack replaces recursion, which could be as deep as the longest token.
    const scratch = new Uint32Array(numSorted);
    const starts = new Uint32Array(258);
    const stack: number[] = [0, numSorted, 0];
    while (stack.length > 0) {
      const depth = stack.pop()!;
      const end = stack.pop()!;
      const start = stack.pop()!;
      if (end - start <= FEW_TOKENS) {
        this.#insertionSort(order, start, end, depth);
        continue;
      }
      starts.fill(0);
      const bucketOf = (tokenId: number): number => {
        const at = begins[tokenId]! + depth;
        return at < begins[tokenId + 1]! ? bytes[at]! + 1 : 0;
      };
      for (let index = start; index < end; index++) starts[bucketOf(order[index]!) + 1]!++;
      for (let bucket = 1; bucket < 258; bucket++) starts[bucket]! += starts[bucket - 1]!;
      // Equal tokens are in the first bucket, which is not sorted further.
      for (let bucket = 1; bucket < 257; bucket++) {
        const numInBucket = starts[bucket + 1]! - starts[bucket]!;
        if (numInBucket > 1) stack.push(start + starts[bucket]!, start + starts[bucket + 1]!, depth + 1);
      }
      for (let index = start; index < end; index++) scratch[starts[bucketOf(order[index]!)]!++] = order[index]!;
      order.set(scratch.subarray(0, end - start), start);
    }
    return order;
  }

  #insertionSort(order: Uint32Array, start: number, end: number, depth: number): void {
    for (let index = start + 1; index < end; index++) {
      const tokenId = order[index]!;
      let to = index;
      for (; to > start && this.#isAfter(order[to - 1]!, tokenId, depth); to--) order[to] = order[to - 1]!;
      order[to] = tokenId;
    }
  }

  /** True if token `a` is sorted after `b`; they share their first `depth` bytes. */
  #isAfter(a: number, b: number, depth: number): boolean {
    const { bytes, begins } = this;
    let atA = begins[a]! + depth;
    let atB = begins[b]! + depth;
    const endA = begins[a + 1]!;
    const endB = begins[b + 1]!;
    while (atA < endA && atB < endB && bytes[atA] === bytes[atB]) {
      atA++;
      atB++;
    }
    return atA < endA && (atB === endB || bytes[atA]! > bytes[atB]!);
  }

  /** @returns the number of code points, or null if the token is not plain text */
  numPlainCodePoints(tokenId: number): number | null {
    const { bytes } = this;
    const end = this.begins[tokenId + 1]!;
    let count = 0;
    for (let at = this.begins[tokenId]!; at < end; count++) {
      const byte = bytes[at]!;
      if (byte < 0x80) {
        if (byte < 0x20 || byte === 0x22 || byte === 0x5c || byte === 0x7f) return null;
        at++;
        continue;
      }
      const numMore = byte >= 0xc2 && byte < 0xe0 ? 1 : byte >= 0xe0 && byte < 0xf0 ? 2 : byte >= 0xf0 ? 3 : 0;
      if (numMore === 0 || byte > 0xf4 || at + numMore >= end) return null;
      // The second byte rules out overlong forms, surrogates, and code points above U+10FFFF.
      const second = bytes[at + 1]!;
      const lowest = byte === 0xe0 ? 0xa0 : byte === 0xf0 ? 0x90 : 0x80;
      const highest = byte === 0xed ? 0x9f : byte === 0xf4 ? 0x8f : 0xbf;
      if (second < lowest || second > highest) return null;
      for (let more = 2; more <= numMore; more++) if ((bytes[at + more]! & 0xc0) !== 0x80) return null;
      at += numMore + 1;
    }
    return count;
  }
}

/** Ranges of so few tokens are sorted by insertion. */
const FEW_TOKENS = 12;

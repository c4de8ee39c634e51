/**
 * The bytes of a vocabulary as a trie in preorder: a walk is one loop over flat arrays, and a byte that is not allowed
 * skips its whole subtree. Subtrees of tokens that are free text (free-text.ts) are skipped too: these tokens are
 * allowed, and their masks are in tables.
 */

import { type Automaton, type Configuration, UNKNOWN } from "./automaton.js";
import type { FrameSteps } from "./frame.js";
import { EVERY_CLASS, NOT_FREE, classBit } from "./free-text.js";

/** The bytes of a model's tokens, prepared for computing token masks. Build it once for each model. */
export class VocabularyTrie {
  readonly #all: FlatTrie;
  /** The tokens that are never free. Inside an unrestricted string, which is the usual case, only these are left. */
  readonly #neverFree: FlatTrie;
  /** u32 [vocabulary]: the text of each token as `Needs`. */
  readonly #needs: Uint32Array;
  /** Code points of the longest token that can be free. */
  readonly #maxCodePoints: number;
  /** Masks of the tokens that are free text, by `needsKey`; the one used last is the last. */
  readonly #free = new Map<number, Uint32Array>();

  private constructor(readonly tokens: readonly (Uint8Array | null)[]) {
    const spelled = new SpelledTokens(tokens);
    this.#needs = Uint32Array.from(tokens, (_, tokenId) => spelled.needs(tokenId));
    const sorted = spelled.sorted();
    this.#all = new FlatTrie(spelled, sorted, this.#needs);
    const neverFree = sorted.filter((tokenId) => !isWithin(this.#needs[tokenId]!, ALL_FREE));
    this.#maxCodePoints = this.#needs.reduce((most, needed) => Math.max(most, numCodePointsOf(needed)), 0);
    this.#neverFree = new FlatTrie(spelled, neverFree, this.#needs);
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
    const { classes, maxCodePoints, isLimit } = automaton.freeText(configuration);
    const free = needs(classes, Math.min(maxCodePoints, this.#maxCodePoints));
    const trie = classes === EVERY_CLASS && isLimit ? this.#neverFree : this.#all;
    return new MaskWalk(automaton, configuration, trie, this.#freeTokens(free), free, known);
  }

  /** Returns the mask of the tokens whose text is free. */
  #freeTokens(free: Needs): Uint32Array {
    let mask = this.#free.get(free);
    this.#free.delete(free);
    mask ??= this.#findFreeTokens(free);
    this.#free.set(free, mask);
    if (this.#free.size > MAX_FREE_MASKS) this.#free.delete(this.#free.keys().next().value!);
    return mask;
  }

  #findFreeTokens(free: Needs): Uint32Array {
    const mask = new Uint32Array(Math.ceil(this.tokens.length / 32));
    if (free === 0) return mask;
    for (let tokenId = 0; tokenId < this.#needs.length; tokenId++)
      if (isWithin(this.#needs[tokenId]!, free)) mask[tokenId >> 5]! |= 1 << (tokenId & 31);
    return mask;
  }
}

/** A number: the character classes of a text, in the upper bits, and its number of code points. */
type Needs = number;

/** Longer tokens are never free. */
const MAX_CODE_POINTS = 255;
const MAX_FREE_MASKS = 64;

const needs = (classes: number, numCodePoints: number): Needs => classes * 256 + numCodePoints;

const numCodePointsOf = (needed: Needs): number => needed & 255;

const ALL_FREE: Needs = needs(EVERY_CLASS, MAX_CODE_POINTS);

/** True if text with these needs, or all of several texts, is free. */
const isWithin = (needed: Needs, free: Needs): boolean =>
  (needed & ~free) >>> 8 === 0 && numCodePointsOf(needed) <= numCodePointsOf(free);

/** Returns what is needed by both of two texts. */
const neededByBoth = (a: Needs, b: Needs): Needs =>
  (((a | b) >>> 8) << 8) | Math.max(numCodePointsOf(a), numCodePointsOf(b));

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
  /** Text that is free, so that its bits are set already. */
  readonly #free: Needs;
  /** Parts of the trie that are left of a walk that knows the mask of its frame; null for a walk of all nodes. */
  readonly #known: readonly Crossing[] | null;
  #numKnown = 0;
  /** The crossings that a walk of all nodes has found. */
  readonly #crossings: Crossing[] = [];
  /** The first node that is not below the last crossing. -1 if they are not collected. */
  #crossingEnd: number;
  /** Tokens that were found to be allowed below the crossings. */
  readonly #crossed: number[] = [];
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
    freeTokens: Uint32Array,
    free: Needs,
    known: FrameMask | null,
  ) {
    this.#automaton = automaton;
    this.#trie = trie;
    this.configuration = configuration;
    this.bits = (known?.bits ?? freeTokens).slice();
    this.#free = free;
    this.#known = known?.crossings ?? null;
    this.#end = known === null ? trie.bytes.length : 0;
    this.#crossingEnd = known === null && configuration.entries.length === 1 ? 0 : -1;
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
    if (this.#crossingEnd < 0 || this.#numNodes < MIN_FRAME_NODES) return null;
    const bits = this.bits.slice();
    for (const tokenId of this.#crossed) bits[tokenId >> 5]! &= ~(1 << (tokenId & 31));
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
    const { bytes, depths, skips, firstTokens, tokenIds, needs: needsBelow } = this.#trie;
    const mask = this.bits;
    const free = this.#free;
    const frames = this.#frames;
    const belows = this.#belows;
    const path = this.#path;
    let numNodes = 0;
    const lastNode = Math.min(this.#end, this.#node + NODES_PER_PIECE);
    let node = this.#node;
    for (let isCached = true; node < lastNode && isCached;) {
      numNodes++;
      if (isWithin(needsBelow[node]!, free)) {
        node = skips[node]!;
        continue;
      }
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
        if (successor === undefined && this.#crossingEnd >= 0 && node >= this.#crossingEnd) {
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
        if (node < this.#crossingEnd) this.#crossed.push(tokenId);
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
  /** u32 [numNodes]: the needs of all tokens of the node's subtree together. */
  readonly needs: Uint32Array;

  /** @param tokenIds sorted by bytes @param needs by token id */
  constructor({ bytes, begins, maxLength }: SpelledTokens, tokenIds: Uint32Array, needs: Uint32Array) {
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
    this.needs = new Uint32Array(numNodes);
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
    this.#addNeeds(needs);
  }

  /** Children come after their parents, so a node's needs are complete when its parent is reached backwards. */
  #addNeeds(ofTokens: Uint32Array): void {
    const { needs, depths, firstTokens, tokenIds } = this;
    const parents = new Int32Array(needs.length);
    const open: number[] = [-1];
    for (let node = 0; node < needs.length; node++) {
      parents[node] = open[depths[node]! - 1]!;
      open[depths[node]!] = node;
    }
    for (let node = needs.length - 1; node >= 0; node--) {
      for (let index = firstTokens[node]!; index < firstTokens[node + 1]!; index++)
        needs[node] = neededByBoth(needs[node]!, ofTokens[tokenIds[index]!]!);
      if (parents[node]! >= 0) needs[parents[node]!] = neededByBoth(needs[parents[node]!]!, needs[node]!);
    }
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

  /** Returns what the text of a token needs. Bytes that are no complete code points need `NOT_FREE`. */
  needs(tokenId: number): Needs {
    const { bytes } = this;
    const end = this.begins[tokenId + 1]!;
    let classes = 0;
    let count = 0;
    for (let at = this.begins[tokenId]!; at < end; count++) {
      const byte = bytes[at]!;
      const numMore = byte < 0x80 ? 0 : byte < 0xc2 ? -1 : byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : byte < 0xf5 ? 3 : -1;
      if (numMore < 0 || at + numMore >= end) return needs(NOT_FREE, 0);
      let codePoint = numMore === 0 ? byte : byte & (0x3f >> numMore);
      for (let more = 1; more <= numMore; more++) {
        if ((bytes[at + more]! & 0xc0) !== 0x80) return needs(NOT_FREE, 0);
        codePoint = codePoint * 64 + (bytes[at + more]! & 0x3f);
      }
      // Overlong forms.
      if ((numMore === 2 && codePoint < 0x800) || (numMore === 3 && codePoint < 0x10000)) return needs(NOT_FREE, 0);
      classes |= classBit(codePoint);
      at += numMore + 1;
    }
    return count === 0 || count > MAX_CODE_POINTS ? needs(NOT_FREE, 0) : needs(classes, count);
  }
}

/** Ranges of so few tokens are sorted by insertion. */
const FEW_TOKENS = 12;

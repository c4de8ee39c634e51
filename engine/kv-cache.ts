/**
 * Keys and values of every position computed so far, in pages of WASM memory.
 *
 * Pages are shared by reference between the choices of a request and copied when one of the sharers
 * is about to write into a page the others still read. Knows nothing of tokens, runners or policy.
 *
 *   page: f32 [layer][key plane, value plane][kv_head][...]
 *   one head's keys:   [position in page / 4][head_dim][4], four positions side by side
 *   one head's values: [position in page][head_dim]
 */

import type { Address, Kernels } from "../kernels/index.js";
import { assert } from "./errors.js";

export interface KVCacheShape {
  readonly numLayers: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  /** Positions held by one page. */
  readonly pageSize: number;
  /** Pages that may exist at once. */
  readonly pagesMax: number;
}

interface Page {
  readonly address: Address;
  numOwners: number;
}

export type KVPlane = "key" | "value";

/** Positions whose keys lie side by side. */
export const KEY_GROUP = 4;

/** Positions of the groups that hold `count` positions. */
export function grouped(count: number): number {
  return Math.ceil(count / KEY_GROUP) * KEY_GROUP;
}

export class KVCache {
  readonly #kernels: Kernels;
  readonly shape: KVCacheShape;
  readonly #free: Page[] = [];
  #numPages = 0;
  #numReserved = 0;

  constructor(kernels: Kernels, shape: KVCacheShape) {
    this.#kernels = kernels;
    this.shape = shape;
  }

  static pageByteLength(shape: Omit<KVCacheShape, "pagesMax">): number {
    return shape.numLayers * 2 * shape.numKvHeads * shape.pageSize * shape.headDim * 4;
  }

  /** Pages needed to hold `numPositions` positions. */
  pagesFor(numPositions: number): number {
    return Math.ceil(numPositions / this.shape.pageSize);
  }

  /** Sets pages aside for a sequence that may need them later; false if there is no room now. */
  reserve(numPages: number): boolean {
    if (this.#numReserved + numPages > this.shape.pagesMax) return false;
    this.#numReserved += numPages;
    return true;
  }

  unreserve(numPages: number): void {
    this.#numReserved -= numPages;
    assert(this.#numReserved >= 0, "more KV pages unreserved than were reserved");
  }

  /** Pages that hold something at this moment. */
  get numPagesUsed(): number {
    return this.#numPages - this.#free.length;
  }

  createTable(): PageTable {
    return new PageTable(this);
  }

  /** @internal for PageTable */
  takePage(): Page {
    const reused = this.#free.pop();
    if (reused !== undefined) {
      reused.numOwners = 1;
      return reused;
    }
    assert(this.#numPages < this.shape.pagesMax, "KV pages used without a reservation");
    this.#numPages++;
    return { address: this.#kernels.allocate(KVCache.pageByteLength(this.shape)), numOwners: 1 };
  }

  /** @internal for PageTable */
  releasePage(page: Page): void {
    assert(page.numOwners > 0, "KV page released twice");
    if (--page.numOwners === 0) this.#free.push(page);
  }

  /** @internal for PageTable */
  copyPage(from: Page): Page {
    const to = this.takePage();
    const byteLength = KVCache.pageByteLength(this.shape);
    this.#kernels.bytes(to.address, byteLength).set(this.#kernels.bytes(from.address, byteLength));
    return to;
  }

  /** @internal for PageTable: f32 [pageSize, headDim] of one head. */
  headView(page: Page, layer: number, plane: KVPlane, kvHead: number): Float32Array {
    const { numKvHeads, pageSize, headDim } = this.shape;
    const head = (layer * 2 + (plane === "key" ? 0 : 1)) * numKvHeads + kvHead;
    const headLength = pageSize * headDim;
    return this.#kernels.f32(page.address + head * headLength * 4, headLength);
  }
}

/** The pages of one sequence, position 0 first. */
export class PageTable {
  readonly #cache: KVCache;
  #pages: Page[] = [];
  #numPositions = 0;

  constructor(cache: KVCache) {
    this.#cache = cache;
  }

  get numPositions(): number {
    return this.#numPositions;
  }

  /** A table that shares every page; each side copies a page before it writes into a shared one. */
  fork(): PageTable {
    const table = new PageTable(this.#cache);
    table.#pages = [...this.#pages];
    table.#numPositions = this.#numPositions;
    for (const page of table.#pages) page.numOwners++;
    return table;
  }

  /** Makes room for `count` more positions, whose keys and values are then written with `write`. */
  extend(count: number): void {
    const { pageSize } = this.#cache.shape;
    const lastIndex = this.#pages.length - 1;
    const last = this.#pages[lastIndex];
    if (last !== undefined && this.#numPositions % pageSize !== 0 && last.numOwners > 1) {
      this.#pages[lastIndex] = this.#cache.copyPage(last);
      this.#cache.releasePage(last);
    }
    this.#numPositions += count;
    while (this.#pages.length < this.#cache.pagesFor(this.#numPositions)) this.#pages.push(this.#cache.takePage());
  }

  /**
   * Writes consecutive positions of one layer, from a start that is a multiple of 4 where there is more than one.
   * @param keys f32 [kv_heads, sourcePositions / 4, head_dim, 4], of which the first `count` positions are written
   * @param values f32 [kv_heads, sourcePositions, head_dim], alike
   */
  write(layer: number, start: number, count: number, keys: Float32Array, values: Float32Array, sourcePositions: number): void {
    const { numKvHeads, headDim } = this.#cache.shape;
    assert(start + count <= this.#numPositions, "KV written past the table's end");
    assert(count === 1 || start % KEY_GROUP === 0, "keys written from inside a group of positions");
    assert(keys.length === numKvHeads * sourcePositions * headDim && values.length === keys.length, "KV source has another shape");
    this.#forEachRun(start, count, (page, offset, done, length) => {
      for (let head = 0; head < numKvHeads; head++) {
        const from = (head * sourcePositions + done) * headDim;
        const headKeys = this.#cache.headView(page, layer, "key", head);
        const lane = offset % KEY_GROUP;
        if (lane === 0) headKeys.set(keys.subarray(from, from + grouped(length) * headDim), offset * headDim);
        else for (let i = 0; i < headDim; i++) headKeys[(offset - lane) * headDim + i * KEY_GROUP + lane] = keys[from + i * KEY_GROUP]!;
        this.#cache.headView(page, layer, "value", head).set(values.subarray(from, from + length * headDim), offset * headDim);
      }
    });
  }

  /**
   * Reads positions 0 to `count` of one layer, a multiple of 4; behind the table's last position lies anything finite.
   * @param keys f32 [kv_heads, count / 4, head_dim, 4]
   * @param values f32 [kv_heads, count, head_dim]
   */
  read(layer: number, count: number, keys: Float32Array, values: Float32Array): void {
    const { numKvHeads, headDim } = this.#cache.shape;
    assert(count <= grouped(this.#numPositions) && count % KEY_GROUP === 0, "KV read past the table's end");
    assert(keys.length === numKvHeads * count * headDim && values.length === keys.length, "KV target has another shape");
    this.#forEachRun(0, count, (page, _offset, done, length) => {
      for (let head = 0; head < numKvHeads; head++) {
        const target = (head * count + done) * headDim;
        keys.set(this.#cache.headView(page, layer, "key", head).subarray(0, length * headDim), target);
        values.set(this.#cache.headView(page, layer, "value", head).subarray(0, length * headDim), target);
      }
    });
  }

  /** Gives all pages back; the table is empty afterwards. */
  release(): void {
    for (const page of this.#pages) this.#cache.releasePage(page);
    this.#pages = [];
    this.#numPositions = 0;
  }

  /** Cuts [start, start + count) at page borders: (page, offset in page, positions done before, positions in this run). */
  #forEachRun(start: number, count: number, visit: (page: Page, offset: number, done: number, length: number) => void): void {
    const { pageSize } = this.#cache.shape;
    for (let done = 0; done < count; ) {
      const position = start + done;
      const page = this.#pages[Math.floor(position / pageSize)];
      assert(page !== undefined, "KV position without a page");
      const offset = position % pageSize;
      const length = Math.min(pageSize - offset, count - done);
      visit(page, offset, done, length);
      done += length;
    }
  }
}

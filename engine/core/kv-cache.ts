/**
 * Keys and values of every position computed so far, in pages of WASM memory. What a page looks like inside
 * is the runners' business; who may use it is decided here.
 *
 * Pages are shared by reference: by the choices of a request, and by requests whose prompts begin alike. A page
 * only ever grows at its end; who wants to go on from its middle goes on in a copy. Pages that nobody uses any
 * more stay findable until one is needed; the one unused for longest goes first.
 */

import type { Address, Kernels } from "../../kernels/index.js";
import { assert } from "../errors.js";
import type { KVTable, PrefixReuse } from "../runner/index.js";
import { PrefixIndex, type PrefixMatch } from "./prefix-index.js";

export interface KVCacheShape {
  /** Positions held by one page. */
  readonly pageSize: number;
  readonly pageByteLength: number;
  /** Pages that may exist at once. */
  readonly maxPages: number;
  readonly reuse: PrefixReuse;
}

interface Page {
  readonly address: Address;
  /** Tables that hold it. */
  numOwners: number;
  /** Positions written by any of them. */
  numFilled: number;
}

export class KVCache {
  readonly #kernels: Kernels;
  readonly shape: KVCacheShape;
  readonly #index: PrefixIndex<Page>;
  readonly #free: Page[] = [];
  /**
   * In the index and in no table, longest unused first. Whoever holds a page holds all before it, and lets go
   * of the last one first; so the first of these has none after it.
   */
  readonly #unused = new Set<Page>();
  #numPages = 0;
  #numReserved = 0;

  constructor(kernels: Kernels, shape: KVCacheShape) {
    this.#kernels = kernels;
    this.shape = shape;
    this.#index = new PrefixIndex(shape.pageSize);
  }

  /** Pages needed to hold `numPositions` positions. */
  pagesFor(numPositions: number): number {
    return Math.ceil(numPositions / this.shape.pageSize);
  }

  /** Sets pages aside for a sequence that may need them later; false if there is no room now. */
  reserve(numPages: number): boolean {
    if (this.#numReserved + numPages > this.shape.maxPages) return false;
    this.#numReserved += numPages;
    return true;
  }

  unreserve(numPages: number): void {
    this.#numReserved -= numPages;
    assert(this.#numReserved >= 0, "more KV pages unreserved than were reserved");
  }

  /** Pages that some table holds. */
  get numPagesUsed(): number {
    return this.#numPages - this.#free.length - this.#unused.size;
  }

  /** Pages that no table holds and a prompt may find. */
  get numPagesCached(): number {
    return this.#unused.size;
  }

  createTable(): PageTable {
    return new PageTable(this);
  }

  /** @internal for PageTable: a page that holds nothing. */
  takePage(): Page {
    const page = this.#free.pop() ?? this.#createPage() ?? this.#evictPage();
    page.numOwners = 1;
    page.numFilled = 0;
    return page;
  }

  /** @internal for PageTable */
  holdPage(page: Page): void {
    if (page.numOwners++ === 0) this.#unused.delete(page);
  }

  /** @internal for PageTable */
  releasePage(page: Page): void {
    assert(page.numOwners > 0, "KV page released twice");
    if (--page.numOwners > 0) return;
    if (this.#index.has(page)) this.#unused.add(page);
    else this.#free.push(page);
  }

  /** @internal for PageTable: trades a page for one that holds the same first positions and can grow from there. */
  tradePage(from: Page, numPositions: number): Page {
    // Given back first, so that nobody ever holds more pages than were set aside.
    this.releasePage(from);
    const to = this.takePage();
    const { pageByteLength } = this.shape;
    if (to !== from)
      this.#kernels.bytes(to.address, pageByteLength).set(this.#kernels.bytes(from.address, pageByteLength));
    to.numFilled = numPositions;
    return to;
  }

  /** @internal for PageTable */
  match(tokenIds: readonly number[]): PrefixMatch<Page> {
    const { pages, numTokens } = this.#index.match(tokenIds);
    const numReusable = this.#numReusable(numTokens);
    return { pages: pages.slice(0, this.pagesFor(numReusable)), numTokens: numReusable };
  }

  /** @internal for PageTable: returns the pages to hold from now on. */
  insert(tokenIds: readonly number[], pages: readonly Page[]): Page[] {
    return this.#index.insert(tokenIds.slice(0, this.#numReusable(tokenIds.length)), pages);
  }

  /** Of that many first positions, those that others may reuse. */
  #numReusable(numPositions: number): number {
    const { reuse, pageSize } = this.shape;
    return reuse === "token" ? numPositions : numPositions - (numPositions % pageSize);
  }

  #createPage(): Page | null {
    if (this.#numPages === this.shape.maxPages) return null;
    const address = this.#kernels.allocate(this.shape.pageByteLength);
    this.#numPages++;
    return { address, numOwners: 0, numFilled: 0 };
  }

  #evictPage(): Page {
    const [page] = this.#unused;
    assert(page !== undefined, "KV pages used without a reservation");
    this.#unused.delete(page);
    this.#index.remove(page);
    return page;
  }
}

/** The pages of one sequence, position 0 first. */
export class PageTable implements KVTable {
  readonly #cache: KVCache;
  #pages: Page[] = [];
  #numPositions = 0;

  constructor(cache: KVCache) {
    this.#cache = cache;
  }

  get numPositions(): number {
    return this.#numPositions;
  }

  get pages(): readonly Address[] {
    return this.#pages.map(({ address }) => address);
  }

  /** A table that shares every page. */
  fork(): PageTable {
    const table = new PageTable(this.#cache);
    table.#pages = [...this.#pages];
    table.#numPositions = this.#numPositions;
    for (const page of table.#pages) this.#cache.holdPage(page);
    return table;
  }

  /** Makes room for `count` more positions, which the caller then writes and nobody else sees. */
  extend(count: number): void {
    const { pageSize } = this.#cache.shape;
    const lastIndex = this.#pages.length - 1;
    const last = this.#pages[lastIndex];
    const numInLast = this.#numPositions % pageSize;
    if (last !== undefined && numInLast !== 0 && last.numFilled !== numInLast) {
      this.#pages[lastIndex] = this.#cache.tradePage(last, numInLast);
    }
    const firstTouched = Math.floor(this.#numPositions / pageSize);
    this.#numPositions += count;
    while (this.#pages.length < this.#cache.pagesFor(this.#numPositions)) this.#pages.push(this.#cache.takePage());
    for (const [index, page] of this.#pages.slice(firstTouched).entries()) {
      page.numFilled = Math.min(pageSize, this.#numPositions - (firstTouched + index) * pageSize);
    }
  }

  /** Forgets the positions from `numPositions` on. */
  rewind(numPositions: number): void {
    assert(numPositions <= this.#numPositions, "a table can only be rewound to a position it holds");
    const numPages = this.#cache.pagesFor(numPositions);
    while (this.#pages.length > numPages) this.#cache.releasePage(this.#pages.pop()!);
    this.#numPositions = numPositions;
  }

  /** Lets later requests find the first positions, which hold `tokenIds` and are all computed. */
  insertPrefix(tokenIds: readonly number[]): void {
    assert(tokenIds.length <= this.#numPositions, "more tokens are inserted than the table holds");
    this.#replacePages(this.#cache.insert(tokenIds, this.#pages));
  }

  /**
   * Shares the cached pages of a prompt that begins with `tokenIds`, where it is more than the table
   * holds of it already.
   * @returns the number of positions gained
   */
  lookUpPrefix(tokenIds: readonly number[]): number {
    const { pages, numTokens } = this.#cache.match(tokenIds);
    const numGained = numTokens - this.#numPositions;
    if (numGained <= 0) return 0;
    this.#replacePages(pages);
    this.#numPositions = numTokens;
    return numGained;
  }

  /** Gives all pages back; the table is empty afterwards. */
  release(): void {
    this.rewind(0);
  }

  #replacePages(pages: Page[]): void {
    const before = this.#pages;
    for (const page of pages) this.#cache.holdPage(page);
    for (const page of before) this.#cache.releasePage(page);
    this.#pages = pages;
  }
}

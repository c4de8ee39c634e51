/**
 * KV cache: keys and values of every computed position, in pages of WASM memory. The runners define the layout
 * inside a page; this file decides which sequence uses which page.
 *
 * Pages are shared by reference, between the choices of a request and between requests whose prompts share a prefix.
 * A page only grows at its end. Copy-on-write: a sequence that diverges inside a page gets a copy. A page that no
 * sequence uses stays in the prefix cache until its memory is needed; the least recently used page is evicted first.
 */

import type { Address, Kernels } from "../../kernels/index.js";
import { assert } from "../errors.js";
import type { KVTable, PrefixReuse } from "../runner/index.js";
import { PrefixIndex, type PrefixMatch } from "./prefix-index.js";

export interface KVCacheShape {
  /** Positions per page. */
  readonly pageSize: number;
  readonly pageByteLength: number;
  /** Maximum number of pages. */
  readonly maxPages: number;
  readonly reuse: PrefixReuse;
}

interface Page {
  readonly address: Address;
  /** Number of page tables that hold the page. */
  numOwners: number;
  /** Positions written so far, by any owner. */
  numFilled: number;
}

export class KVCache {
  readonly #kernels: Kernels;
  readonly shape: KVCacheShape;
  readonly #index: PrefixIndex<Page>;
  readonly #free: Page[] = [];
  /**
   * Pages in the index that no table holds, the longest unused first. A table that holds a page also holds all pages
   * before it, and it releases the last page first; so the first page in this set has no successor in the index.
   */
  readonly #unused = new Set<Page>();
  #numPages = 0;
  #numReserved = 0;

  constructor(kernels: Kernels, shape: KVCacheShape) {
    this.#kernels = kernels;
    this.shape = shape;
    this.#index = new PrefixIndex(shape.pageSize);
  }

  /** Returns the number of pages that `numPositions` positions need. */
  pagesFor(numPositions: number): number {
    return Math.ceil(numPositions / this.shape.pageSize);
  }

  /** Reserves pages that a sequence may need later; returns false if not enough pages are left. */
  reserve(numPages: number): boolean {
    if (this.#numReserved + numPages > this.shape.maxPages) return false;
    this.#numReserved += numPages;
    return true;
  }

  unreserve(numPages: number): void {
    this.#numReserved -= numPages;
    assert(this.#numReserved >= 0, "more KV pages unreserved than were reserved");
  }

  /** Number of pages that at least one table holds. */
  get numPagesUsed(): number {
    return this.#numPages - this.#free.length - this.#unused.size;
  }

  /** Number of pages that no table holds but a prompt may still reuse. */
  get numPagesCached(): number {
    return this.#unused.size;
  }

  createTable(): PageTable {
    return new PageTable(this);
  }

  /** @internal for PageTable: returns an empty page. */
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

  /** @internal for PageTable: exchanges a page for one with the same first positions that the table may extend. */
  tradePage(from: Page, numPositions: number): Page {
    // Release before taking, so that a table never holds more pages than it has reserved.
    this.releasePage(from);
    let to: Page;
    try {
      to = this.takePage();
    } catch (error) {
      // Other tables hold `from`: otherwise `takePage` would have returned it.
      this.holdPage(from);
      throw error;
    }
    const { pageByteLength } = this.shape;
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

  /** @internal for PageTable: returns the pages that the table must hold from now on. */
  insert(tokenIds: readonly number[], pages: readonly Page[]): Page[] {
    return this.#index.insert(tokenIds.slice(0, this.#numReusable(tokenIds.length)), pages);
  }

  /** Returns how many of the first `numPositions` positions other requests may reuse. */
  #numReusable(numPositions: number): number {
    const { reuse, pageSize } = this.shape;
    return reuse === "token" ? numPositions : numPositions - (numPositions % pageSize);
  }

  /**
   * Returns null if the maximum is reached, or if the machine has no memory left and a page can be evicted instead.
   * @throws RangeError if the machine has no memory left and every page is in use
   */
  #createPage(): Page | null {
    if (this.#numPages === this.shape.maxPages) return null;
    let address: Address;
    try {
      address = this.#kernels.allocate(this.shape.pageByteLength);
    } catch (error) {
      if (this.#unused.size > 0) return null;
      throw error;
    }
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
  /** Number of positions that other tables or the prefix cache may know. */
  #numShared = 0;

  constructor(cache: KVCache) {
    this.#cache = cache;
  }

  get numPositions(): number {
    return this.#numPositions;
  }

  get pages(): readonly Address[] {
    return this.#pages.map(({ address }) => address);
  }

  /** Returns a table that shares every page of this table. */
  fork(): PageTable {
    const table = new PageTable(this.#cache);
    table.#pages = [...this.#pages];
    table.#numPositions = this.#numPositions;
    table.#numShared = this.#numPositions;
    this.#numShared = this.#numPositions;
    for (const page of table.#pages) this.#cache.holdPage(page);
    return table;
  }

  /**
   * Makes room for `count` more positions. The caller then writes them; no other table sees them.
   * @throws RangeError if the machine has no memory left; the table then holds what it held before
   */
  extend(count: number): void {
    const { pageSize } = this.#cache.shape;
    const numBefore = this.#numPositions;
    const firstTouched = Math.floor(numBefore / pageSize);
    const numInFirst = numBefore % pageSize;
    const first = this.#pages[firstTouched];
    if (first !== undefined && first.numFilled !== numInFirst) {
      this.#pages[firstTouched] = this.#cache.tradePage(first, numInFirst);
    }
    const numPages = this.#cache.pagesFor(numBefore + count);
    try {
      while (this.#pages.length < numPages) this.#pages.push(this.#cache.takePage());
    } catch (error) {
      this.rewind(numBefore);
      throw error;
    }
    this.#numPositions += count;
    for (const [index, page] of this.#pages.slice(firstTouched).entries()) {
      page.numFilled = Math.min(pageSize, this.#numPositions - (firstTouched + index) * pageSize);
    }
  }

  /** Drops the positions from `numPositions` on. */
  rewind(numPositions: number): void {
    assert(numPositions <= this.#numPositions, "a table can only be rewound to a position it holds");
    const { pageSize } = this.#cache.shape;
    const numPages = this.#cache.pagesFor(numPositions);
    while (this.#pages.length > numPages) this.#cache.releasePage(this.#pages.pop()!);
    this.#numPositions = numPositions;
    const last = this.#pages.at(-1);
    // Nobody else knows what is dropped, so the page can be filled again without a copy.
    if (last !== undefined && numPositions > this.#numShared) last.numFilled = numPositions - (numPages - 1) * pageSize;
    this.#numShared = Math.min(this.#numShared, numPositions);
  }

  /** Inserts the first positions into the prefix cache. They hold `tokenIds` and must all be computed. */
  insertPrefix(tokenIds: readonly number[]): void {
    assert(tokenIds.length <= this.#numPositions, "more tokens are inserted than the table holds");
    this.#numShared = Math.max(this.#numShared, tokenIds.length);
    this.#replacePages(this.#cache.insert(tokenIds, this.#pages));
  }

  /**
   * Looks up `tokenIds` in the prefix cache and shares the cached pages if they hold a longer prefix than this table.
   * @returns the number of positions gained
   */
  lookUpPrefix(tokenIds: readonly number[]): number {
    const { pages, numTokens } = this.#cache.match(tokenIds);
    const numGained = numTokens - this.#numPositions;
    if (numGained <= 0) return 0;
    this.#replacePages(pages);
    this.#numPositions = numTokens;
    this.#numShared = numTokens;
    return numGained;
  }

  /** Releases all pages; the table is empty afterwards. */
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

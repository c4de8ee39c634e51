import { beforeAll, describe, expect, test } from "vitest";

import { randomSource } from "../../spec-tests/fixtures/random-model.js";
import { Kernels } from "../../kernels/index.js";
import { KVCache, type PageTable } from "./kv-cache.js";
import type { PrefixReuse } from "../runner/model-runner.js";

const PAGE_SIZE = 4;

let kernels: Kernels;
beforeAll(async () => {
  kernels = await Kernels.load();
});

describe("pages", () => {
  test("a table goes on in its own last page, and in a copy of one that another has gone on in", () => {
    const cache = create("token", 10);
    const table = computed(cache, [1, 2, 3, 4, 5]);
    const [first, second, third] = [table.fork(), table.fork(), table.fork()];
    compute(first, [6]);
    expect(first.pages).toEqual(table.pages);
    compute(second, [7, 8]);
    compute(third, [9]);
    expect(second.pages[0]).toBe(table.pages[0]);
    expect(new Set([first, second, third].map(({ pages }) => pages[1])).size).toBe(3);
    expect(tokensOf(table)).toEqual([1, 2, 3, 4, 5]);
    expect(tokensOf(first)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(tokensOf(second)).toEqual([1, 2, 3, 4, 5, 7, 8]);
    expect(tokensOf(third)).toEqual([1, 2, 3, 4, 5, 9]);
  });

  test("are all given back, the unpublished ones to be written again at once", () => {
    const cache = create("token", 3);
    for (let round = 0; round < 5; round++) {
      const table = computed(cache, [1, 2, 3, 4, 5, 6, 7, 8, round]);
      expect(cache.numPagesUsed).toBe(3);
      table.release();
      expect(cache.numPagesUsed).toBe(0);
      expect(cache.numPagesCached).toBe(0);
    }
  });

  test("what is rewound is written anew, without harm to who shares it", () => {
    const cache = create("token", 4);
    const table = computed(cache, [1, 2, 3]);
    const fork = table.fork();
    compute(table, [4, 5]);
    table.rewind(3);
    compute(fork, [6, 7]);
    compute(table, [8]);
    expect(tokensOf(table)).toEqual([1, 2, 3, 8]);
    expect(tokensOf(fork)).toEqual([1, 2, 3, 6, 7]);
  });

  test("no more than were set aside", () => {
    const cache = create("token", 5);
    expect(cache.reserve(3)).toBe(true);
    expect(cache.reserve(3)).toBe(false);
    expect(cache.reserve(2)).toBe(true);
    cache.unreserve(2);
    expect(cache.reserve(2)).toBe(true);
    expect(() => cache.unreserve(6)).toThrow(/more KV pages unreserved/);
  });
});

describe("published pages", () => {
  test("are found up to where a prompt differs, and copied where it goes on", () => {
    const cache = create("token", 10);
    const table = published(cache, [1, 2, 3, 4, 5, 6, 7]);
    const other = cache.createTable();
    expect(other.lookUpPrefix([1, 2, 3, 4, 5, 6, 9, 9])).toBe(6);
    expect(other.pages).toEqual(table.pages);
    compute(other, [9]);
    compute(table, [8]);
    expect(tokensOf(other)).toEqual([1, 2, 3, 4, 5, 6, 9]);
    expect(tokensOf(table)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(other.pages[0]).toBe(table.pages[0]);
    expect(other.lookUpPrefix([1, 2, 3, 4, 5, 6, 9, 9])).toBe(0);
  });

  test("a conversation goes on in the very page where it stopped", () => {
    const cache = create("token", 10);
    const table = published(cache, [1, 2, 3, 4, 5, 6]);
    const { pages } = table;
    table.release();
    expect([cache.numPagesUsed, cache.numPagesCached]).toEqual([0, 2]);
    const next = cache.createTable();
    expect(next.lookUpPrefix([1, 2, 3, 4, 5, 6, 7])).toBe(6);
    compute(next, [7]);
    expect(next.pages).toEqual(pages);
    expect([cache.numPagesUsed, cache.numPagesCached]).toEqual([2, 0]);
  });

  test("a table takes over what is published while it runs, its own beginning included", () => {
    const cache = create("token", 10);
    const slow = published(cache, [1, 2]);
    const fast = published(cache, [1, 2, 3, 4, 5, 6]);
    expect(cache.numPagesUsed).toBe(3);
    expect(slow.lookUpPrefix([1, 2, 3, 4, 5, 9])).toBe(3);
    expect(slow.pages).toEqual(fast.pages);
    expect(cache.numPagesUsed).toBe(2);
  });

  test("whole pages that were computed twice are kept once", () => {
    const cache = create("token", 10);
    const [table, twin] = [computed(cache, [1, 2, 3, 4, 5]), computed(cache, [1, 2, 3, 4, 6])];
    table.insertPrefix([1, 2, 3, 4, 5]);
    expect(cache.numPagesUsed).toBe(4);
    twin.insertPrefix([1, 2, 3, 4, 6]);
    expect(cache.numPagesUsed).toBe(3);
    expect(tokensOf(twin)).toEqual([1, 2, 3, 4, 6]);
    table.release();
    twin.release();
    expect([cache.numPagesUsed, cache.numPagesCached]).toEqual([0, 3]);
  });

  test("block by block: only whole pages are found", () => {
    const cache = create("block", 10);
    const table = published(cache, [1, 2, 3, 4, 5, 6]);
    const other = cache.createTable();
    expect(other.lookUpPrefix([1, 2, 3])).toBe(0);
    expect(other.lookUpPrefix([1, 2, 3, 4, 5, 6, 7, 8])).toBe(4);
    expect(other.pages).toEqual(table.pages.slice(0, 1));
    table.release();
    other.release();
    expect(cache.numPagesCached).toBe(1);
  });
});

describe("eviction", () => {
  const found = (cache: KVCache, tokenIds: number[]): number => {
    const table = cache.createTable();
    const numFound = table.lookUpPrefix(tokenIds);
    table.release();
    return numFound;
  };

  test("takes what was unused for longest, the end of a prefix before its beginning", () => {
    const cache = create("token", 6);
    const [a, b, c] = [
      [1, 1, 1, 1, 2],
      [3, 3, 3, 3, 4],
      [5, 5, 5, 5, 6],
    ];
    const tables = [a, b, c].map((tokenIds) => published(cache, tokenIds));
    for (const index of [1, 0, 2]) tables[index]!.release();
    // Looking at b's beginning makes its whole page, not its last one, the latest used.
    expect(found(cache, b.slice(0, 4))).toBe(4);
    const numLeft = [];
    const taking = cache.createTable();
    for (let i = 0; i < 6; i++) {
      compute(taking, [9, 9, 9, 9]);
      numLeft.push([a, b, c].map((tokenIds) => cachedLength(cache, tokenIds)));
    }
    expect(numLeft).toEqual([
      [5, 4, 5],
      [4, 4, 5],
      [0, 4, 5],
      [0, 4, 4],
      [0, 4, 0],
      [0, 0, 0],
    ]);
    expect(() => compute(taking, [9])).toThrow(/without a reservation/);
  });

  test("never takes what a table holds", () => {
    const cache = create("token", 4);
    const held = published(cache, [1, 2, 3, 4, 5]);
    published(cache, [1, 2, 3, 4, 6]).release();
    const table = computed(cache, [7, 7, 7, 7, 7]);
    expect(tokensOf(held)).toEqual([1, 2, 3, 4, 5]);
    expect(tokensOf(table)).toEqual([7, 7, 7, 7, 7]);
    expect(cache.numPagesCached).toBe(0);
  });

  test("a page can be taken from under a copy of itself", () => {
    const cache = create("token", 2);
    published(cache, [1, 2, 3, 4, 5, 6, 7]).release();
    const table = cache.createTable();
    expect(table.lookUpPrefix([1, 2, 3, 4, 5, 6])).toBe(6);
    // No page is left for a copy, and nobody else holds the original.
    compute(table, [9, 9]);
    expect(tokensOf(table)).toEqual([1, 2, 3, 4, 5, 6, 9, 9]);
  });

  /** Tokens found without touching what is found. */
  function cachedLength(cache: KVCache, tokenIds: number[]): number {
    return cache.match(tokenIds).numTokens;
  }
});

test.each<PrefixReuse>(["token", "block"])(
  "%s: thousands of requests, forks and aborts never mix or lose a page",
  (reuse) => {
    const random = randomSource(7);
    const pick = (below: number): number => Math.floor(random() * below);
    const numTables = 5;
    const pagesPerTable = 4;
    const cache = create(reuse, numTables * pagesPerTable);
    let running: { table: PageTable; tokenIds: number[] }[] = [];
    let numAdopted = 0;
    for (let step = 0; step < 20_000; step++) {
      const entry = running[pick(numTables)];
      if (entry === undefined) {
        if (running.length === numTables) continue;
        const prompt = Array.from({ length: 1 + pick(14) }, () => pick(2));
        const table = cache.createTable();
        const numFound = table.lookUpPrefix(prompt.slice(0, -1));
        numAdopted += numFound;
        running.push({ table, tokenIds: prompt.slice(0, numFound) });
      } else if (random() < 0.1 && running.length < numTables) {
        running.push({ table: entry.table.fork(), tokenIds: [...entry.tokenIds] });
      } else if (random() < 0.2) {
        running = running.filter((other) => other !== entry);
        entry.table.release();
      } else if (random() < 0.1) {
        entry.tokenIds = entry.tokenIds.slice(0, pick(entry.tokenIds.length + 1));
        entry.table.rewind(entry.tokenIds.length);
      } else if (random() < 0.4) {
        entry.table.insertPrefix(entry.tokenIds);
      } else {
        const fresh = Array.from({ length: 1 + pick(5) }, () => pick(2)).slice(
          0,
          pagesPerTable * PAGE_SIZE - entry.tokenIds.length,
        );
        compute(entry.table, fresh);
        entry.tokenIds.push(...fresh);
      }
      if (step % 10 === 0) for (const { table, tokenIds } of running) expect(tokensOf(table)).toEqual(tokenIds);
      expect(cache.numPagesUsed + cache.numPagesCached).toBeLessThanOrEqual(numTables * pagesPerTable);
    }
    for (const { table } of running) table.release();
    expect(cache.numPagesUsed).toBe(0);
    expect(numAdopted).toBeGreaterThan(2000);
  },
);

/** Pages of f32 [PAGE_SIZE]: the token of each position. */
function create(reuse: PrefixReuse, maxPages: number): KVCache {
  return new KVCache(kernels, { pageSize: PAGE_SIZE, pageByteLength: PAGE_SIZE * 4, maxPages, reuse });
}

function compute(table: PageTable, tokenIds: readonly number[]): void {
  const start = table.numPositions;
  table.extend(tokenIds.length);
  tokenIds.forEach((id, i) => (pageOf(table, start + i)[(start + i) % PAGE_SIZE] = id));
}

function computed(cache: KVCache, tokenIds: readonly number[]): PageTable {
  const table = cache.createTable();
  compute(table, tokenIds);
  return table;
}

function published(cache: KVCache, tokenIds: readonly number[]): PageTable {
  const table = computed(cache, tokenIds);
  table.insertPrefix(tokenIds);
  return table;
}

function tokensOf(table: PageTable): number[] {
  return Array.from({ length: table.numPositions }, (_, position) => pageOf(table, position)[position % PAGE_SIZE]!);
}

function pageOf(table: PageTable, position: number): Float32Array {
  return kernels.f32(table.pages[Math.floor(position / PAGE_SIZE)]!, PAGE_SIZE);
}

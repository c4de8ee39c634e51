import { beforeAll, describe, expect, test, vi } from "vitest";

import { numCases } from "../../spec-tests/fixtures/property-size.js";
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
  test("a table extends its last page in place, or in a copy if another table has extended that page", () => {
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

  test("are all released; pages that were never inserted can be written again immediately", () => {
    const cache = create("token", 3);
    for (let round = 0; round < 5; round++) {
      const table = computed(cache, [1, 2, 3, 4, 5, 6, 7, 8, round]);
      expect(cache.numPagesUsed).toBe(3);
      table.release();
      expect(cache.numPagesUsed).toBe(0);
      expect(cache.numPagesCached).toBe(0);
    }
  });

  test("a rewound table writes its positions again without changing a table that shares its pages", () => {
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

  test("that the machine has no memory for change nothing, and can be taken later", () => {
    const cache = create("token", 10);
    const table = computed(cache, [1, 2, 3, 4, 5]);
    const fork = table.fork();
    compute(table, [6]);
    // The first needs new pages only, of which it gets one; the second needs a copy of a shared page.
    withMemoryFor(1, () => expect(() => table.extend(20)).toThrow("no memory"));
    expect(cache.numPagesUsed).toBe(2);
    const taking = computed(cache, [9, 9, 9, 9]);
    withMemoryFor(0, () => expect(() => fork.extend(1)).toThrow("no memory"));
    expect([table, fork].map(({ numPositions }) => numPositions)).toEqual([6, 5]);
    expect(cache.numPagesUsed).toBe(3);
    compute(fork, [7, 8]);
    compute(table, [10, 11, 12]);
    expect(tokensOf(table)).toEqual([1, 2, 3, 4, 5, 6, 10, 11, 12]);
    expect(tokensOf(fork)).toEqual([1, 2, 3, 4, 5, 7, 8]);
    for (const one of [table, fork, taking]) one.release();
    expect(cache.numPagesUsed).toBe(0);
  });

  test("of the prefix cache are evicted when the machine has no memory for others", () => {
    const cache = create("token", 10);
    inserted(cache, [1, 2, 3, 4, 5, 6]).release();
    const held = inserted(cache, [7, 8]);
    withMemoryFor(0, () => {
      const table = computed(cache, [9, 9, 9, 9, 9]);
      expect(tokensOf(table)).toEqual([9, 9, 9, 9, 9]);
      expect(() => table.extend(4)).toThrow("no memory");
      table.release();
    });
    expect(tokensOf(held)).toEqual([7, 8]);
    expect([cache.numPagesUsed, cache.numPagesCached]).toEqual([1, 0]);
  });

  test("of the prefix cache that cannot be copied are extended by their only owner, and kept for several", () => {
    const cache = create("token", 10);
    inserted(cache, [1, 2, 3, 4, 5, 6]).release();
    const table = cache.createTable();
    expect(table.lookUpPrefix([1, 2, 3, 4, 5])).toBe(5);
    const fork = table.fork();
    withMemoryFor(0, () => expect(() => table.extend(1)).toThrow("no memory"));
    expect([cache.numPagesUsed, cache.numPagesCached]).toEqual([2, 0]);
    fork.release();
    withMemoryFor(0, () => compute(table, [9]));
    expect(tokensOf(table)).toEqual([1, 2, 3, 4, 5, 9]);
    table.release();
    expect([cache.numPagesUsed, cache.numPagesCached]).toEqual([0, 1]);
  });

  test("cannot be reserved beyond the maximum", () => {
    const cache = create("token", 5);
    expect(cache.reserve(3)).toBe(true);
    expect(cache.reserve(3)).toBe(false);
    expect(cache.reserve(2)).toBe(true);
    cache.unreserve(2);
    expect(cache.reserve(2)).toBe(true);
    cache.unreserve(5);
    expect(() => cache.unreserve(1)).toThrow(/more KV pages unreserved/);
  });

  test("cannot be released twice", () => {
    const cache = create("token", 5);
    const page = cache.takePage();
    cache.releasePage(page);
    expect(() => cache.releasePage(page)).toThrow(/released twice/);
  });

  test("cannot be rewound to, or inserted with, positions that the table does not hold", () => {
    const table = computed(create("token", 5), [1, 2, 3]);
    expect(() => table.rewind(4)).toThrow(/only be rewound to a position it holds/);
    expect(() => table.insertPrefix([1, 2, 3, 4])).toThrow(/more tokens are inserted than the table holds/);
    expect(tokensOf(table)).toEqual([1, 2, 3]);
  });
});

describe("inserted pages", () => {
  test("match up to the first different token, and are copied when a sequence diverges", () => {
    const cache = create("token", 10);
    const table = inserted(cache, [1, 2, 3, 4, 5, 6, 7]);
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

  test("a conversation continues in the page where it stopped", () => {
    const cache = create("token", 10);
    const table = inserted(cache, [1, 2, 3, 4, 5, 6]);
    const { pages } = table;
    table.release();
    expect([cache.numPagesUsed, cache.numPagesCached]).toEqual([0, 2]);
    const next = cache.createTable();
    expect(next.lookUpPrefix([1, 2, 3, 4, 5, 6, 7])).toBe(6);
    compute(next, [7]);
    expect(next.pages).toEqual(pages);
    expect([cache.numPagesUsed, cache.numPagesCached]).toEqual([2, 0]);
  });

  test("a running table shares a longer inserted prefix and drops its own copy of the beginning", () => {
    const cache = create("token", 10);
    const slow = inserted(cache, [1, 2]);
    const fast = inserted(cache, [1, 2, 3, 4, 5, 6]);
    expect(cache.numPagesUsed).toBe(3);
    expect(slow.lookUpPrefix([1, 2, 3, 4, 5, 9])).toBe(3);
    expect(slow.pages).toEqual(fast.pages);
    expect(cache.numPagesUsed).toBe(2);
  });

  test("do not replace those of a table that holds as many positions", () => {
    const cache = create("token", 10);
    const own = computed(cache, [1, 2]);
    const other = inserted(cache, [1, 2, 3]);
    expect(own.lookUpPrefix([1, 2])).toBe(0);
    expect(own.pages).not.toEqual(other.pages);
  });

  test("full pages that were computed twice are kept once", () => {
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

  test("with reuse by block, only full pages match", () => {
    const cache = create("block", 10);
    const table = inserted(cache, [1, 2, 3, 4, 5, 6]);
    const other = cache.createTable();
    expect(other.lookUpPrefix([1, 2, 3])).toBe(0);
    expect(other.lookUpPrefix([1, 2, 3, 4, 5, 6, 7, 8])).toBe(4);
    expect(other.pages).toEqual(table.pages.slice(0, 1));
    table.release();
    other.release();
    expect(cache.numPagesCached).toBe(1);

    const longer = inserted(cache, [1, 2, 3, 4, 5, 6, 7, 8]);
    const third = cache.createTable();
    expect(third.lookUpPrefix([1, 2, 3, 4, 5, 6, 7])).toBe(4);
    expect(third.pages).toEqual(longer.pages.slice(0, 1));
  });
});

describe("eviction", () => {
  const found = (cache: KVCache, tokenIds: number[]): number => {
    const table = cache.createTable();
    const numFound = table.lookUpPrefix(tokenIds);
    table.release();
    return numFound;
  };

  test("evicts the longest unused page first, and the end of a prefix before its beginning", () => {
    const cache = create("token", 6);
    const [a, b, c] = [
      [1, 1, 1, 1, 2],
      [3, 3, 3, 3, 4],
      [5, 5, 5, 5, 6],
    ];
    const tables = [a, b, c].map((tokenIds) => inserted(cache, tokenIds));
    for (const index of [1, 0, 2]) tables[index]!.release();
    // A lookup of b's beginning makes its full page, but not its last page, the most recently used one.
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

  test("never evicts a page that a table holds", () => {
    const cache = create("token", 4);
    const held = inserted(cache, [1, 2, 3, 4, 5]);
    inserted(cache, [1, 2, 3, 4, 6]).release();
    const table = computed(cache, [7, 7, 7, 7, 7]);
    expect(tokensOf(held)).toEqual([1, 2, 3, 4, 5]);
    expect(tokensOf(table)).toEqual([7, 7, 7, 7, 7]);
    expect(cache.numPagesCached).toBe(0);
  });

  test("without room for a copy, the only owner of a page keeps the page itself", () => {
    const cache = create("token", 2);
    inserted(cache, [1, 2, 3, 4, 5, 6, 7]).release();
    const table = cache.createTable();
    expect(table.lookUpPrefix([1, 2, 3, 4, 5, 6])).toBe(6);
    // No page is left for a copy, and no other table holds the original.
    compute(table, [9, 9]);
    expect(tokensOf(table)).toEqual([1, 2, 3, 4, 5, 6, 9, 9]);
  });

  /** Returns the number of cached tokens without changing the order of eviction. */
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
    for (let step = 0; step < numCases(20_000); step++) {
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
    expect(numAdopted).toBeGreaterThan(numCases(20_000) / 12);
  },
);

/** Creates a cache whose pages are f32 [PAGE_SIZE] and hold the token of each position. */
function create(reuse: PrefixReuse, maxPages: number): KVCache {
  return new KVCache(kernels, { pageSize: PAGE_SIZE, pageByteLength: PAGE_SIZE * 4, maxPages, reuse });
}

/** Runs a test on a machine that has memory for `numPages` more pages. */
function withMemoryFor(numPages: number, run: () => void): void {
  const original = kernels.allocate.bind(kernels);
  let numLeft = numPages;
  const allocate = vi.spyOn(kernels, "allocate").mockImplementation((byteLength) => {
    if (numLeft === 0) throw new RangeError("no memory");
    numLeft--;
    return original(byteLength);
  });
  try {
    run();
  } finally {
    allocate.mockRestore();
  }
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

function inserted(cache: KVCache, tokenIds: readonly number[]): PageTable {
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

import fc from "fast-check";
import { expect, test } from "vitest";

import { PrefixIndex } from "./prefix-index.js";

const PAGE_SIZE = 3;

/** Page whose `content` is the tokens that the test has inserted. */
interface Page {
  content: number[];
}

/** Sequences of few different ids, so that many share a prefix. */
const sequences = fc.array(fc.nat(2), { maxLength: 14 });

test("finds the longest inserted prefix and the pages that hold it", () => {
  fc.assert(
    fc.property(
      fc.array(sequences, { maxLength: 30 }),
      fc.array(sequences, { minLength: 1, maxLength: 10 }),
      (filed, asked) => {
        const index = new PrefixIndex<Page>(PAGE_SIZE);
        for (const tokenIds of filed) file(index, tokenIds);
        for (const tokenIds of asked) {
          const { pages, numTokens } = index.match(tokenIds);
          expect(numTokens).toBe(Math.max(0, ...filed.map((other) => numCommonOf(other, tokenIds))));
          expect(pages).toHaveLength(Math.ceil(numTokens / PAGE_SIZE));
          const held = pages.flatMap(({ content }, i) =>
            content.slice(0, i === pages.length - 1 ? numTokens - i * PAGE_SIZE : PAGE_SIZE),
          );
          expect(held).toEqual(tokenIds.slice(0, numTokens));
        }
      },
    ),
    { numRuns: 500 },
  );
});

test("a full page that is inserted again is replaced by the first one", () => {
  fc.assert(
    fc.property(fc.array(sequences, { minLength: 1, maxLength: 20 }), (filed) => {
      const index = new PrefixIndex<Page>(PAGE_SIZE);
      const byPrefix = new Map<string, Page>();
      for (const tokenIds of filed) {
        for (const [i, page] of file(index, tokenIds).entries()) {
          const end = (i + 1) * PAGE_SIZE;
          if (end > tokenIds.length) continue;
          const prefix = tokenIds.slice(0, end).join();
          expect(byPrefix.get(prefix) ?? page).toBe(page);
          byPrefix.set(prefix, page);
        }
      }
    }),
    { numRuns: 300 },
  );
});

test("a page can be inserted again with more tokens", () => {
  const index = new PrefixIndex<Page>(PAGE_SIZE);
  const [page] = file(index, [5]);
  const [sibling] = file(index, [5, 8]);
  expect(index.match([5, 9])).toMatchObject({ numTokens: 1 });
  // The page now sorts after its sibling instead of before it.
  page!.content = [5, 9, 1];
  index.insert([5, 9, 1], [page!]);
  expect(index.match([5, 9, 1, 4])).toEqual({ pages: [page], numTokens: 3 });
  expect(index.match([5, 8, 1])).toMatchObject({ numTokens: 2 });
  index.remove(page!);
  expect(index.match([5, 9, 1])).toEqual({ pages: [sibling], numTokens: 1 });
  index.remove(sibling!);
  expect(index.match([5, 9, 1])).toEqual({ pages: [], numTokens: 0 });
});

test("a page that is not full stays with its owner, who may extend it, also if the index has the same tokens", () => {
  const index = new PrefixIndex<Page>(PAGE_SIZE);
  const [first, second] = file(index, [1, 2, 3, 4, 5]);
  const own = { content: [4] };
  expect(index.insert([1, 2, 3, 4], [first!, own])).toEqual([first, own]);
  expect(index.has(own)).toBe(false);
  expect(index.match([1, 2, 3, 4])).toEqual({ pages: [first, second], numTokens: 4 });
});

test("pages after the last token are not inserted", () => {
  const index = new PrefixIndex<Page>(PAGE_SIZE);
  const pages = [{ content: [1, 2, 3] }, { content: [] }];
  expect(index.insert([1, 2, 3], pages)).toEqual(pages);
  expect(pages.map((page) => index.has(page))).toEqual([true, false]);
});

test("a page cannot be inserted after other tokens than before", () => {
  const index = new PrefixIndex<Page>(PAGE_SIZE);
  const [, page] = file(index, [1, 2, 3, 4]);
  expect(() => index.insert([7, 8, 9, 4], [{ content: [7, 8, 9] }, page!])).toThrow(/under another parent/);
});

test("ids are compared one by one: equal digits or an equal sum do not match", () => {
  const index = new PrefixIndex<Page>(PAGE_SIZE);
  file(index, [1, 23, 4]);
  for (const tokenIds of [[12, 3, 4], [123, 4], [23, 1, 4], [4, 23, 1], [28]]) {
    expect(index.match(tokenIds)).toEqual({ pages: [], numTokens: 0 });
  }
});

test("removed pages are not found; children must be removed before their parent", () => {
  const index = new PrefixIndex<Page>(PAGE_SIZE);
  const [first, second] = file(index, [1, 2, 3, 4, 5]);
  file(index, [1, 2, 3, 4, 6]);
  expect(() => index.remove(first!)).toThrow(/before its children/);
  index.remove(second!);
  expect(index.has(second!)).toBe(false);
  expect(index.match([1, 2, 3, 4, 5])).toMatchObject({ numTokens: 4 });
  expect(() => index.remove(second!)).toThrow(/not in the index/);
});

/** Inserts new pages for a sequence. */
function file(index: PrefixIndex<Page>, tokenIds: readonly number[]): Page[] {
  const fresh = Array.from({ length: Math.ceil(tokenIds.length / PAGE_SIZE) }, (_, i) => ({
    content: tokenIds.slice(i * PAGE_SIZE, (i + 1) * PAGE_SIZE),
  }));
  return index.insert(tokenIds, fresh);
}

function numCommonOf(a: readonly number[], b: readonly number[]): number {
  const different = a.findIndex((id, i) => id !== b[i]);
  return different < 0 ? a.length : different;
}

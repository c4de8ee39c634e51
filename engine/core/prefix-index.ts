/**
 * Index of the prefix cache: a radix tree that finds pages by the tokens they hold. A page is reached only through
 * the pages of all tokens before it. Lookups compare tokens, never hashes, so a page is never mistaken for another.
 * The index does not manage memory and does not know the owners of a page.
 */

import { assert } from "../errors.js";

interface Node<Page> {
  /** Node of the preceding page; null if this page begins at position 0. */
  readonly parent: Node<Page> | null;
  /** Tokens of the page, 1 to pageSize; only a full page has children. */
  tokenIds: readonly number[];
  readonly page: Page;
  /** Child nodes in lexicographic order of their tokens; no two have the same tokens. */
  readonly children: Node<Page>[];
}

export interface PrefixMatch<Page> {
  /** Pages of the match, position 0 first; the last page may hold more tokens than matched. */
  readonly pages: Page[];
  readonly numTokens: number;
}

export class PrefixIndex<Page> {
  readonly #pageSize: number;
  readonly #children: Node<Page>[] = [];
  readonly #nodes = new Map<Page, Node<Page>>();

  constructor(pageSize: number) {
    this.#pageSize = pageSize;
  }

  has(page: Page): boolean {
    return this.#nodes.has(page);
  }

  /** Returns the longest prefix of `tokenIds` that the index holds. */
  match(tokenIds: readonly number[]): PrefixMatch<Page> {
    const pages: Page[] = [];
    let numTokens = 0;
    for (let children = this.#children; ;) {
      const nearest = nearestOf(children, tokenIds.slice(numTokens, numTokens + this.#pageSize));
      if (nearest === null) return { pages, numTokens };
      pages.push(nearest.node.page);
      numTokens += nearest.numCommon;
      if (nearest.numCommon < this.#pageSize) return { pages, numTokens };
      children = nearest.node.children;
    }
  }

  /**
   * Inserts pages under the tokens they hold. A page that is already in the index may hold more tokens than before.
   * @param pages the pages of `tokenIds`, position 0 first
   * @returns the pages to use from now on: `pages`, in which each full page with tokens that the index already has is
   *   replaced by the indexed page
   */
  insert(tokenIds: readonly number[], pages: readonly Page[]): Page[] {
    const used = [...pages];
    let parent: Node<Page> | null = null;
    for (const [index, page] of pages.entries()) {
      const content = tokenIds.slice(index * this.#pageSize, (index + 1) * this.#pageSize);
      if (content.length === 0) break;
      const siblings: Node<Page>[] = parent?.children ?? this.#children;
      const nearest = nearestOf(siblings, content);
      if (nearest?.numCommon === content.length) {
        if (content.length === this.#pageSize) used[index] = nearest.node.page;
        parent = nearest.node;
      } else {
        parent = this.#file(page, content, parent);
      }
    }
    return used;
  }

  /** Removes a page, which must not have children. */
  remove(page: Page): void {
    const node = this.#nodes.get(page);
    assert(node !== undefined, "a page to be removed is not in the index");
    assert(node.children.length === 0, "a page was removed before its children");
    this.#detach(node);
    this.#nodes.delete(page);
  }

  #file(page: Page, content: readonly number[], parent: Node<Page> | null): Node<Page> {
    let node = this.#nodes.get(page);
    if (node === undefined) {
      node = { parent, tokenIds: content, page, children: [] };
      this.#nodes.set(page, node);
    } else {
      assert(node.parent === parent, "a page was inserted again under another parent");
      this.#detach(node);
      node.tokenIds = content;
    }
    const siblings = parent?.children ?? this.#children;
    siblings.splice(lowerBound(siblings, content), 0, node);
    return node;
  }

  #detach(node: Node<Page>): void {
    const siblings = node.parent?.children ?? this.#children;
    const index = lowerBound(siblings, node.tokenIds);
    assert(siblings[index] === node, "the index is out of order");
    siblings.splice(index, 1);
  }
}

/**
 * Returns the child that shares the longest prefix with `content`, or null if no child shares a token with it.
 * Children are sorted, so it is next to the position at which `content` would be inserted.
 */
function nearestOf<Page>(
  children: readonly Node<Page>[],
  content: readonly number[],
): { node: Node<Page>; numCommon: number } | null {
  const index = lowerBound(children, content);
  let nearest: { node: Node<Page>; numCommon: number } | null = null;
  for (const node of [children[index], children[index - 1]]) {
    if (node === undefined) continue;
    const numCommon = numCommonOf(node.tokenIds, content);
    if (numCommon > (nearest?.numCommon ?? 0)) nearest = { node, numCommon };
  }
  return nearest;
}

/** Returns the index of the first child that does not sort before `content`. */
function lowerBound<Page>(children: readonly Node<Page>[], content: readonly number[]): number {
  let low = 0;
  for (let high = children.length; low < high;) {
    const middle = (low + high) >>> 1;
    if (isBefore(children[middle]!.tokenIds, content)) low = middle + 1;
    else high = middle;
  }
  return low;
}

function isBefore(a: readonly number[], b: readonly number[]): boolean {
  const numCommon = numCommonOf(a, b);
  const [first, second] = [a[numCommon], b[numCommon]];
  return second !== undefined && (first === undefined || first < second);
}

function numCommonOf(a: readonly number[], b: readonly number[]): number {
  let numCommon = 0;
  while (numCommon < a.length && a[numCommon] === b[numCommon]) numCommon++;
  return numCommon;
}

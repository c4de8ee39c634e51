import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { NONE, PieceTrie, ROOT } from "./piece-trie.js";

describe("PieceTrie", () => {
  it("finds exactly its pieces", () => {
    const text = fc.string({ unit: fc.constantFrom("a", "b", "é", "😀", "\0", "\uffff"), maxLength: 6 });
    fc.assert(
      fc.property(fc.uniqueArray(text), fc.array(text), (pieces, others) => {
        const trie = new PieceTrie(new Map(pieces.map((piece, id) => [piece, id])));
        for (const each of [...pieces, ...others]) {
          let node = ROOT;
          for (let index = 0; index < each.length && node !== NONE; index++)
            node = trie.child(node, each.charCodeAt(index));
          const token = node === NONE ? NONE : trie.tokenAt(node);
          expect(token).toBe(each === "" ? NONE : pieces.indexOf(each));
        }
      }),
    );
  });
});

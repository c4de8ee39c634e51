/** Compares the merging of long words with a naive implementation; tests short words with a stub of the library. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { BpeModel, mergeParts, type LibraryModel, type Merge } from "./bpe-model.js";

/** Length of a word that is too long for the library. */
const LONG = 256;

const noLibrary: LibraryModel = {
  unk_token: null,
  encode: () => {
    throw new Error("The library was asked");
  },
};

function vocabulary(tokens: readonly string[]): ReadonlyMap<string, number> {
  return new Map(tokens.map((token, id) => [token, id]));
}

function encode(model: BpeModel, ...words: readonly string[]): number[] {
  const ids: number[] = [];
  model.encode(words, ids, "prompt");
  return ids;
}

/** Naive byte-pair merging: repeatedly merges the pair with the lowest rank, the leftmost of equal pairs. */
function merged(word: string, merges: readonly (readonly [string, string])[]): string[] {
  const parts = Array.from(word);
  for (;;) {
    let best = { rank: merges.length, at: -1 };
    for (let at = 0; at + 1 < parts.length; at++) {
      const rank = merges.findIndex(([left, right]) => left === parts[at] && right === parts[at + 1]);
      if (rank >= 0 && rank < best.rank) best = { rank, at };
    }
    if (best.at < 0) return parts;
    parts.splice(best.at, 2, parts[best.at]! + parts[best.at + 1]!);
  }
}

/** Lists of merges in which each merge joins two earlier tokens. */
const mergeLists = fc.array(fc.tuple(fc.nat(30), fc.nat(30)), { minLength: 1, maxLength: 12 }).map((pairs) => {
  const tokens = ["a", "b", "c"];
  const merges = pairs.flatMap(([left, right]) => {
    const pair = [tokens[left % tokens.length]!, tokens[right % tokens.length]!] as const;
    if (tokens.includes(pair[0] + pair[1])) return [];
    tokens.push(pair[0] + pair[1]);
    return [pair];
  });
  return { tokens, merges };
});
const long = fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: LONG, maxLength: 400 });

describe("long words", () => {
  it("merges like the naive implementation", () => {
    fc.assert(
      fc.property(mergeLists, long, ({ tokens, merges }, word) => {
        const model = new BpeModel(
          { merges: merges.map(([left, right]) => `${left} ${right}`) },
          vocabulary(tokens),
          noLibrary,
          true,
        );
        expect(encode(model, word).map((id) => tokens[id])).toEqual(merged(word, merges));
      }),
      { numRuns: 60 },
    );
  });

  it("merges a long run of one character", () => {
    const tokens = ["a", "aa", "aaaa"];
    const model = new BpeModel({ merges: ["a a", "aa aa"] }, vocabulary(tokens), noLibrary, true);
    expect(encode(model, "a".repeat(4 * LONG + 3))).toEqual([...Array.from({ length: LONG }, () => 2), 1, 0]);
  });

  it("skips merges of tokens that are not in the vocabulary", () => {
    const tokens = ["a", "b", "ba"];
    const merges = ["a b", "x a", "a x", "b a"];
    const model = new BpeModel({ merges }, vocabulary(tokens), noLibrary, true);
    expect(encode(model, "ab".repeat(LONG))).toEqual([0, ...Array.from({ length: LONG - 1 }, () => 2), 1]);
  });

  it("uses a token for the whole word if and only if ignore_merges is set", () => {
    const word = "a".repeat(LONG);
    const ids = (ignoreMerges: unknown): number[] =>
      encode(new BpeModel({ merges: [], ignore_merges: ignoreMerges }, vocabulary(["a", word]), noLibrary, true), word);
    expect(ids(true)).toEqual([1]);
    for (const other of [false, undefined]) expect(ids(other)).toEqual(Array.from({ length: LONG }, () => 0));
    const other = new BpeModel({ merges: [], ignore_merges: true }, vocabulary(["a"]), noLibrary, true);
    expect(encode(other, word)).toHaveLength(LONG);
  });

  it("encodes an unknown character as byte tokens with byte_fallback, and refuses it otherwise", () => {
    const vocab = vocabulary(["a", "<0x0A>", "<0xC3>", "<0xA9>"]);
    const word = `${"a".repeat(LONG)}\n\u00e9`;
    expect(
      encode(new BpeModel({ merges: [], byte_fallback: true }, vocab, noLibrary, false), word).slice(LONG),
    ).toEqual([1, 2, 3]);
    const refused = expect.objectContaining({
      code: "out_of_range",
      param: "prompt",
      message: "The text has a character that the model's tokenizer has no token for.",
    });
    for (const fallback of [false, undefined]) {
      expect(() =>
        encode(new BpeModel({ merges: [], byte_fallback: fallback }, vocab, noLibrary, false), word),
      ).toThrow(refused);
    }
    expect(() =>
      encode(new BpeModel({ merges: [], byte_fallback: true }, vocabulary(["a"]), noLibrary, false), word),
    ).toThrow(refused);
  });
});

describe("short words", () => {
  const tokens = ["a", "b", "<unk>", "<0x0A>", "\u00e9"];
  const model = (answers: readonly string[], isByteLevel: boolean, asked: (readonly string[])[] = []): BpeModel => {
    const encodeWords = (words: readonly string[]): string[] => {
      asked.push(words);
      return [...answers];
    };
    return new BpeModel({ merges: [] }, vocabulary(tokens), { unk_token: "<unk>", encode: encodeWords }, isByteLevel);
  };

  it("passes consecutive short words to the library together and in order", () => {
    const asked: (readonly string[])[] = [];
    const short = "b".repeat(LONG - 1);
    const library: LibraryModel = {
      unk_token: null,
      encode: (words) => (asked.push(words), words.flatMap((word) => Array.from(word))),
    };
    const both = new BpeModel({ merges: [] }, vocabulary(tokens), library, true);
    const ids = encode(both, "a", short, "a".repeat(LONG), "a".repeat(LONG), "b");
    expect(asked).toEqual([["a", short], ["b"]]);
    expect(ids.map((id) => tokens[id]).join("")).toBe(`a${short}${"a".repeat(2 * LONG)}b`);
    expect(encode(both)).toEqual([]);
    expect(asked).toHaveLength(2);
  });

  it("counts the bytes of the returned tokens", () => {
    expect(encode(model(["a", "<0x0A>", "\u00e9"], false), "a\n", "\u00e9")).toEqual([0, 3, 4]);
    expect(encode(model(["a", "\u00e9"], true), "a\u00e9")).toEqual([0, 4]);
  });

  it.each<[string, readonly string[], string, boolean]>([
    ["a token outside the vocabulary", ["x"], "x", true],
    ["the unknown token", ["<unk>"], "\u00e9\u00e9b", false],
    ["fewer tokens than the words need", ["a"], "ab", true],
    ["fewer bytes than the words have", ["a"], "\u00e9", false],
    ["nothing", [], "a", true],
  ])("refuses a word if the library returns %s", (_, answers, word, isByteLevel) => {
    expect(() => encode(model(answers, isByteLevel), word)).toThrow(expect.objectContaining({ code: "out_of_range" }));
  });

  it("treats the unknown token of a byte-level tokenizer as ordinary text", () => {
    expect(encode(model(["<unk>"], true), "<unk>")).toEqual([2]);
  });
});

describe("mergeParts", () => {
  it.each<[Merge, readonly [string, string]]>([
    ["a b", ["a", "b"]],
    ["ab cd", ["ab", "cd"]],
    [
      ["a b", "c"],
      ["a b", "c"],
    ],
  ])("splits %j", (merge, parts) => expect(mergeParts(merge)).toEqual(parts));
});

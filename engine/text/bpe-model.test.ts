/** Long words, merged here, against merging by definition; short ones, which the library does, by a library of a few lines. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { BpeModel, mergeParts, type LibraryModel, type Merge } from "./bpe-model.js";

/** Longer than what the library is asked for. */
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

/** By definition: again and again the pair of the lowest rank, the leftmost of equals. */
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

/** Each merge joins two of what is there before it. */
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
  it("merges like the definition", () => {
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

  it("merges a run of one character, however many pairs wait at a time", () => {
    const tokens = ["a", "aa", "aaaa"];
    const model = new BpeModel({ merges: ["a a", "aa aa"] }, vocabulary(tokens), noLibrary, true);
    expect(encode(model, "a".repeat(4 * LONG + 3))).toEqual([...Array.from({ length: LONG }, () => 2), 1, 0]);
  });

  it("passes over merges of what the vocabulary does not have", () => {
    const tokens = ["a", "b", "ba"];
    const merges = ["a b", "x a", "a x", "b a"];
    const model = new BpeModel({ merges }, vocabulary(tokens), noLibrary, true);
    expect(encode(model, "ab".repeat(LONG))).toEqual([0, ...Array.from({ length: LONG - 1 }, () => 2), 1]);
  });

  it("takes a token of the whole word as it is where merges are to be ignored, and only there", () => {
    const word = "a".repeat(LONG);
    const ids = (ignoreMerges: unknown): number[] =>
      encode(new BpeModel({ merges: [], ignore_merges: ignoreMerges }, vocabulary(["a", word]), noLibrary, true), word);
    expect(ids(true)).toEqual([1]);
    for (const other of [false, undefined]) expect(ids(other)).toEqual(Array.from({ length: LONG }, () => 0));
    const other = new BpeModel({ merges: [], ignore_merges: true }, vocabulary(["a"]), noLibrary, true);
    expect(encode(other, word)).toHaveLength(LONG);
  });

  it("spells a character that is no token in bytes where there are tokens for them, and refuses it elsewhere", () => {
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

  it("asks the library for those between long ones, together and in order", () => {
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

  it("counts what came back in bytes", () => {
    expect(encode(model(["a", "<0x0A>", "\u00e9"], false), "a\n", "\u00e9")).toEqual([0, 3, 4]);
    expect(encode(model(["a", "\u00e9"], true), "a\u00e9")).toEqual([0, 4]);
  });

  it.each<[string, readonly string[], string, boolean]>([
    ["no token of the vocabulary", ["x"], "x", true],
    ["the token for what is unknown", ["<unk>"], "\u00e9\u00e9b", false],
    ["less than the words", ["a"], "ab", true],
    ["less than the words' bytes", ["a"], "\u00e9", false],
    ["nothing", [], "a", true],
  ])("refuses where the library gives %s", (_, answers, word, isByteLevel) => {
    expect(() => encode(model(answers, isByteLevel), word)).toThrow(expect.objectContaining({ code: "out_of_range" }));
  });

  it("of a byte-level tokenizer no token stands for what is unknown: its text is its own", () => {
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
  ])("%j", (merge, parts) => expect(mergeParts(merge)).toEqual(parts));
});

/** Compares encoding with the tokenizer library's model, with and without the cache of words. */

import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { Budget, Canceled } from "../budget.js";
import { BpeModel } from "./bpe-model.js";
import { type Merge, mergeParts } from "./merge-table.js";
import { spelled } from "./token-bytes.js";

/** Length of a word that is not cached. */
const LONG = 300;

const unbounded = (): Budget => new Budget(Infinity, () => new Error("no steps left"));

function libraryTokens(model: object, words: readonly string[]): string[] {
  const rest = { normalizer: null, pre_tokenizer: null, added_tokens: [], decoder: null, post_processor: null };
  const library = new LibraryTokenizer({ model, ...rest }, {}) as {
    model: { encode(words: readonly string[]): string[] };
  };
  return library.model.encode(words);
}

const vocabulary = (tokens: readonly string[]): ReadonlyMap<string, number> =>
  new Map(tokens.map((token, id) => [token, id]));

function encode(model: BpeModel, ...words: readonly string[]): number[] {
  const ids: number[] = [];
  for (const word of words) model.encode(word, ids, unbounded(), "prompt");
  return ids;
}

const refused = expect.objectContaining({
  code: "out_of_range",
  param: "prompt",
  message: "The text has a character that the model's tokenizer has no token for.",
});

/** Models whose merges join earlier tokens, in any order of ranks. */
const models = fc
  .record({
    letters: fc.constantFrom<string[]>(["a", "b", "c"], ["a", "é", "▁", "😀"], ["▁", "a", "\n"]),
    pairs: fc.array(fc.tuple(fc.nat(30), fc.nat(30), fc.nat()), { maxLength: 14 }),
    withBytes: fc.boolean(),
    byteFallback: fc.boolean(),
    ignoreMerges: fc.boolean(),
    unknown: fc.constantFrom(null, "<unk>"),
  })
  .map(({ letters, pairs, withBytes, byteFallback, ignoreMerges, unknown }) => {
    const tokens = [...letters];
    const merges = pairs.flatMap(([left, right, rank]) => {
      const parts = [tokens[left % tokens.length]!, tokens[right % tokens.length]!] as const;
      if (!tokens.includes(parts.join(""))) tokens.push(parts.join(""));
      return [{ parts, rank }];
    });
    const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
    const names = ["<unk>", ...(withBytes ? bytes : []), ...tokens];
    return {
      letters,
      definition: {
        type: "BPE",
        vocab: Object.fromEntries(names.map((name, id) => [name, id])),
        merges: merges.sort((a, b) => a.rank - b.rank).map(({ parts }) => [...parts]),
        byte_fallback: byteFallback,
        ignore_merges: ignoreMerges,
        unk_token: unknown,
      },
    };
  });
const withWords = models.chain(({ letters, definition }) => {
  const word = (maxLength: number) =>
    fc.string({ unit: fc.constantFrom(...letters, ...letters, ...letters, "x", "ü"), minLength: 1, maxLength });
  const clean = (maxLength: number) => fc.string({ unit: fc.constantFrom(...letters), minLength: 1, maxLength });
  const words = fc.array(fc.oneof(clean(6), clean(40), clean(LONG), word(20)), { minLength: 1, maxLength: 6 });
  return words.map((each) => ({ definition, words: each }));
});

describe("encode", () => {
  it("gives the library's ids, the first time and from the cache", () => {
    let numEncoded = 0;
    fc.assert(
      fc.property(withWords, ({ definition, words }) => {
        const vocab = new Map(Object.entries(definition.vocab));
        const model = new BpeModel(definition, vocab, false);
        for (const word of [...words, ...words]) {
          const expected = libraryTokens(definition, [word]);
          const hasUnknown = [...word].some((character) => !vocab.has(character));
          if (hasUnknown && !(definition.byte_fallback && vocab.has("<0x00>"))) {
            expect(() => encode(model, word)).toThrow(refused);
            continue;
          }
          expect(encode(model, word)).toEqual(expected.map((token) => vocab.get(token)));
          numEncoded++;
        }
      }),
      { numRuns: 400 },
    );
    expect(numEncoded).toBeGreaterThan(500);
  });

  it("gives the library's ids for bytes", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(280), fc.nat(280)), { maxLength: 30 }),
        fc.boolean(),
        fc.array(fc.string({ unit: fc.constantFrom("a", "b", " ", "é", "😀"), minLength: 1, maxLength: LONG })),
        (pairs, ignoreMerges, words) => {
          const tokens = Array.from({ length: 256 }, (_, byte) => spelledByte(byte));
          const merges = pairs.map(([left, right]) => {
            const parts = [tokens[left % tokens.length]!, tokens[right % tokens.length]!];
            if (!tokens.includes(parts.join(""))) tokens.push(parts.join(""));
            return parts;
          });
          const vocab = vocabulary(tokens);
          const definition = { type: "BPE", vocab: Object.fromEntries(vocab), merges, ignore_merges: ignoreMerges };
          const expected = libraryTokens(definition, words.map(spelled)).map((token) => vocab.get(token));
          expect(encode(new BpeModel(definition, vocab, true), ...words)).toEqual(expected);
        },
      ),
      { numRuns: 100 },
    );
  });

  it("merges a long run of one character", () => {
    const model = new BpeModel({ merges: ["a a", "aa aa"] }, vocabulary(["a", "aa", "aaaa"]), true);
    expect(encode(model, "a".repeat(4 * LONG + 3))).toEqual([...Array.from({ length: LONG }, () => 2), 1, 0]);
  });

  it("drops the buffers of a very long word and keeps working", () => {
    const model = new BpeModel({ merges: ["a a"] }, vocabulary(["a", "aa"]), true);
    for (let i = 0; i < 2; i++) expect(encode(model, "a".repeat(300_001))).toHaveLength(150_001);
    expect(encode(model, "aaa")).toEqual([1, 0]);
  });

  it("skips merges of tokens that are not in the vocabulary", () => {
    const merges = ["a b", "x a", "a x", "b a"];
    const model = new BpeModel({ merges }, vocabulary(["a", "b", "ba"]), true);
    expect(encode(model, "ab".repeat(LONG))).toEqual([0, ...Array.from({ length: LONG - 1 }, () => 2), 1]);
  });

  it("keeps the ids of more words than fit", () => {
    const model = new BpeModel({ merges: ["a b"] }, vocabulary(["a", "b", "ab"]), false);
    const word = (index: number): string => index.toString(2).replaceAll("0", "a").replaceAll("1", "b");
    for (const index of Array.from({ length: 40_000 }, (_, i) => i)) {
      for (const each of [word(index), word(index >> 1), "ab"]) {
        const expected = Array.from(each.replaceAll("ab", "c"), (letter) => "abc".indexOf(letter));
        if (encode(model, each).join() !== expected.join()) expect.fail(`${each} at ${index}`);
      }
    }
  });

  it("encodes an unknown character as byte tokens with byte_fallback, and refuses it otherwise", () => {
    const vocab = vocabulary(["a", "<0x0A>", "<0xC3>", "<0xA9>"]);
    const long = `${"a".repeat(LONG)}\n\u00e9`;
    for (const word of [long, "a\n\u00e9"]) {
      const known = encode(new BpeModel({ merges: [], byte_fallback: true }, vocab, false), word);
      expect(known.slice(-4)).toEqual([0, 1, 2, 3]);
      for (const fallback of [false, undefined])
        expect(() => encode(new BpeModel({ merges: [], byte_fallback: fallback }, vocab, false), word)).toThrow(
          refused,
        );
      expect(() => encode(new BpeModel({ merges: [], byte_fallback: true }, vocabulary(["a"]), false), word)).toThrow(
        refused,
      );
    }
    const bytes = new BpeModel(
      { merges: [], byte_fallback: true },
      vocabulary(["a", "<0x62>", "<0xC3>", "<0xA9>"]),
      true,
    );
    expect(encode(bytes, "ab")).toEqual([0, 1]);
    expect(() => encode(bytes, "\u00e9")).toThrow(refused);
  });

  it("stops when it is canceled", () => {
    const model = new BpeModel({ merges: ["a a"] }, vocabulary(["a", "aa"]), true);
    const canceled = new Budget(
      Infinity,
      () => new Error("no steps left"),
      () => true,
    );
    expect(() => model.encode("a".repeat(10_000), [], canceled, null)).toThrow(Canceled);
  });

  it("bounds the work for ranks in an unusual order", () => {
    // Each merge of "a a" creates a pair of a lower rank, which interrupts the pass over the other places.
    const vocab = vocabulary(["a", "b", "aa", "aab"]);
    const model = new BpeModel({ merges: ["aa b", "a a"] }, vocab, true);
    const word = "aab".repeat(100_000);
    const budget = new Budget(32 * word.length, () => new RangeError("no steps left"));
    expect(() => model.encode(word, [], budget, null)).toThrow("no steps left");
    expect(encode(model, "aab".repeat(LONG))).toEqual(Array.from({ length: LONG }, () => 3));
  });
});

describe("without", () => {
  it("encodes the text of a withheld token with others", () => {
    const tokens = ["a", "b", "ab", "aba", "<0x61>"];
    const definition = { merges: ["a b", "ab a"], ignore_merges: true, byte_fallback: true };
    for (const isByteLevel of [false, true]) {
      const model = new BpeModel(definition, vocabulary(tokens), isByteLevel);
      expect(encode(model, "aba", "ab", "a")).toEqual([3, 2, 0]);
      expect(encode(model.without(new Map([[3, "aba"]])), "aba", "ab", "a")).toEqual([2, 0, 2, 0]);
      expect(encode(model.without(new Map([[0, "a"]])), "aba", "ab", "a")).toEqual([3, 2, 4]);
      expect(encode(model, "aba", "ab", "a")).toEqual([3, 2, 0]);
    }
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

  it.each([["ab"], [""], [["a"]], [["a", "b", "c"]], [[1, 2]], [[]], [null], [5], [{}]])("refuses %j", (merge) => {
    expect(() => mergeParts(merge)).toThrow(
      expect.objectContaining({
        code: "invalid_model",
        message: expect.stringMatching(/^tokenizer.json: a merge must be two tokens. Given: /) as string,
      }),
    );
  });
});

/** Returns the character of a byte in GPT-2's vocabulary. */
function spelledByte(byte: number): string {
  const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  if (printable) return String.fromCharCode(byte);
  const before = Array.from({ length: byte }, (_, each) => each);
  return String.fromCharCode(
    0x100 + before.filter((b) => !((b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae)).length,
  );
}

describe("affixes", () => {
  /** Merges as they are defined: the pair with the lowest rank first, the leftmost of equal pairs. */
  function mergeOneByOne(symbols: readonly string[], merges: readonly (readonly string[])[], prefix: string): string[] {
    const parts = [...symbols];
    for (;;) {
      let [best, place] = [merges.length, -1];
      for (let index = 0; index + 1 < parts.length; index++) {
        const rank = merges.findIndex(([left, right]) => left === parts[index] && right === parts[index + 1]);
        if (rank >= 0 && rank < best) [best, place] = [rank, index];
      }
      if (place < 0) return parts;
      parts.splice(place, 2, parts[place]! + parts[place + 1]!.slice(prefix.length));
    }
  }

  const affixed = fc
    .record({
      prefix: fc.constantFrom("", "##", "a"),
      suffix: fc.constantFrom("", "</w>", "b"),
      pairs: fc.array(fc.tuple(fc.nat(40), fc.nat(40)), { maxLength: 16 }),
      words: fc.array(fc.string({ unit: fc.constantFrom("a", "b", "é", "😀"), minLength: 1, maxLength: 90 })),
    })
    .map(({ prefix, suffix, pairs, words }) => {
      const letters = ["a", "b", "é", "😀"];
      const tokens = [
        ...new Set(
          letters.flatMap((letter) => ["", prefix].flatMap((start) => ["", suffix].map((end) => start + letter + end))),
        ),
      ];
      const merges = pairs.flatMap(([first, second]) => {
        const [left, right] = [tokens[first % tokens.length]!, tokens[second % tokens.length]!];
        if (!right.startsWith(prefix)) return [];
        const merged = left + right.slice(prefix.length);
        if (!tokens.includes(merged)) tokens.push(merged);
        return [[left, right] as const];
      });
      return { prefix, suffix, merges, tokens, words };
    });

  it("are added to the characters of a word before they are merged", () => {
    fc.assert(
      fc.property(affixed, ({ prefix, suffix, merges, tokens, words }) => {
        const definition = { type: "BPE", merges, continuing_subword_prefix: prefix, end_of_word_suffix: suffix };
        const model = new BpeModel(definition, vocabulary(tokens), false);
        for (const word of [...words, ...words]) {
          const characters = [...word];
          const symbols = characters.map(
            (character, index) =>
              (index > 0 ? prefix : "") + character + (index === characters.length - 1 ? suffix : ""),
          );
          const unique = merges.filter(
            ([left, right], rank) => !merges.slice(rank + 1).some(([l, r]) => l === left && r === right),
          );
          expect(encode(model, word).map((id) => tokens[id])).toEqual(mergeOneByOne(symbols, unique, prefix));
        }
      }),
      { numRuns: 300 },
    );
  });

  it("are part of a character without a token", () => {
    const definition = { type: "BPE", merges: [], end_of_word_suffix: "</w>" };
    const model = new BpeModel(definition, vocabulary(["a", "b</w>"]), false);
    expect(encode(model, "ab")).toEqual([0, 1]);
    expect(() => encode(model, "aa")).toThrow(refused);
    const names = [
      "a",
      ...Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`),
    ];
    const bytes = new BpeModel({ ...definition, byte_fallback: true }, vocabulary(names), false);
    expect(encode(bytes, "aa")).toEqual([0, ...[...Buffer.from("a</w>")].map((byte) => byte + 1)]);
  });

  it("are added to the characters that spell the bytes of a word", () => {
    const names = ["h", "i", "i</w>", "Ã", "©</w>", "hi</w>", "Ã©</w>"];
    const definition = {
      type: "BPE",
      merges: ["h i</w>", "Ã ©</w>"],
      continuing_subword_prefix: null,
      end_of_word_suffix: "</w>",
    };
    const model = new BpeModel(definition, vocabulary(names), true);
    expect(encode(model, "hi", "é", "ii")).toEqual([5, 6, 1, 2]);
    expect(encode(model.without(new Map([[5, "hi</w>"]])), "hi", "é")).toEqual([0, 2, 6]);
  });

  it("refuses a merge that lacks the prefix", () => {
    const definition = { type: "BPE", merges: [["a", "b"]], continuing_subword_prefix: "##" };
    expect(() => new BpeModel(definition, vocabulary(["a", "b", "ab"]), false)).toThrow(
      expect.objectContaining({
        code: "invalid_model",
        message: 'tokenizer.json: the second token of a merge must begin with "##". Given: "b"',
      }),
    );
  });
});

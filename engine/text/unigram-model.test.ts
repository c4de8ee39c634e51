/** Compares the division of words with a direct definition; the peers' suite compares it with the Rust tokenizers. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { numCases } from "../../spec-tests/fixtures/property-size.js";
import { unigramJson } from "../../spec-tests/fixtures/tokenizers.js";
import { Budget, Canceled } from "../budget.js";
import { LIMITS } from "../limits.js";
import { Tokenizer } from "./tokenizer.js";
import { UnigramModel, unigramVocabulary } from "./unigram-model.js";

type Piece = readonly [piece: string, score: number];

const unbounded = (): Budget => new Budget(Infinity, () => new Error("no steps left"));

const BYTES = Array.from({ length: 256 }, (_, byte): Piece => [
  `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
  -20,
]);

function modelOf(pieces: readonly Piece[], options: object = {}, isByteLevel = false): UnigramModel {
  const definition = { type: "Unigram", vocab: pieces, unk_id: 0, ...options };
  const ids = new Map(pieces.map(([piece], id) => [piece, id]));
  return new UnigramModel(unigramVocabulary(definition, ids, isByteLevel));
}

function encode(model: { encode: UnigramModel["encode"] }, ...words: readonly string[]): number[] {
  const ids: number[] = [];
  for (const word of words) model.encode(word, ids, unbounded(), "prompt");
  return ids;
}

/** Divides a word: of the pieces that end at a place, the first with the highest sum counts. Unknown text is one part. */
function divide(pieces: readonly Piece[], word: string): { text: string; isUnknown: boolean }[] {
  const scores = new Map(pieces);
  const unknown = Math.min(...scores.values()) - 10;
  const characters = [...word];
  const best: { score: number; start: number; isUnknown: boolean }[] = [{ score: 0, start: 0, isUnknown: false }];
  for (let end = 1; end <= characters.length; end++) {
    for (let start = 0; start < end; start++) {
      if (end - start > MAX_PIECE) continue;
      const piece = characters.slice(start, end).join("");
      const own = scores.get(piece);
      if (own === undefined && end - start > 1) continue;
      const score = best[start]!.score + (own ?? unknown);
      if (best[end] === undefined || score > best[end]!.score)
        best[end] = { score, start, isUnknown: own === undefined };
    }
  }
  const parts: { text: string; isUnknown: boolean }[] = [];
  for (let end = characters.length; end > 0; end = best[end]!.start) {
    const { start, isUnknown } = best[end]!;
    const text = characters.slice(start, end).join("");
    if (isUnknown && parts[0]?.isUnknown === true) parts[0].text = text + parts[0].text;
    else parts.unshift({ text, isUnknown });
  }
  return parts;
}

/** Returns the ids of a word's parts: unknown text is a token as a whole, or its bytes. */
function idsOf(pieces: readonly Piece[], word: string): number[] {
  const ids = new Map(pieces.map(([piece], id) => [piece, id]));
  return divide(pieces, word).flatMap(({ text }) => {
    const id = ids.get(text);
    if (id !== undefined) return [id];
    return [...Buffer.from(text)].map((byte) => ids.get(BYTES[byte]![0])!);
  });
}

/** Length of the longest piece in these tests. */
const MAX_PIECE = 8;

const letters = ["a", "b", "▁", "é", "😀"];
const score = fc.oneof(fc.constantFrom(-1, -2, -2.5, 0, 3), fc.double({ min: -15, max: 0, noNaN: true }));
const vocabularies = fc
  .uniqueArray(fc.tuple(fc.string({ unit: fc.constantFrom(...letters), minLength: 1, maxLength: 6 }), score), {
    selector: ([piece]) => piece,
    maxLength: 30,
  })
  .map((pieces): Piece[] => [["<unk>", 0], ...pieces]);
const word = (maxLength: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom(...letters, "a", "b", "x"), minLength: 1, maxLength });

describe("encode", () => {
  it("finds the division with the highest score, in short words and in long ones", () => {
    let numUnknown = 0;
    fc.assert(
      fc.property(vocabularies, fc.array(fc.oneof(word(12), word(200), word(4000)), { maxLength: 3 }), (own, words) => {
        const pieces = [...own, ...BYTES];
        const model = modelOf(pieces, { byte_fallback: true });
        for (const each of [...words, ...words]) {
          if (divide(pieces, each).some(({ isUnknown }) => isUnknown)) numUnknown++;
          expect(encode(model, each)).toEqual(idsOf(pieces, each));
        }
      }),
      { numRuns: numCases(400) },
    );
    expect(numUnknown).toBeGreaterThan(0);
  });

  it("takes the first of equal divisions", () => {
    const tied = modelOf([
      ["<unk>", 0],
      ["a", -1],
      ["b", -1],
      ["ab", -1],
      ["c", -1],
      ["bc", -1],
    ]);
    // ab|c is reached from a later start than a|bc.
    expect(encode(tied, "abc")).toEqual([1, 5]);
    const sums = modelOf([
      ["<unk>", 0],
      ["a", -1],
      ["aa", -2],
    ]);
    expect(encode(sums, "aa")).toEqual([2]);
    expect(encode(sums, "aaa")).toEqual([1, 2]);
  });

  it("adds scores from the beginning of the text, so that rounding is as in one pass", () => {
    const pieces: Piece[] = [
      ["<unk>", 0],
      ["a", -0.1001],
      ["b", -0.1001],
      ["ab", -0.2004],
      ["▁", -1e9],
    ];
    const text = `${"▁".repeat(3000)}ab`;
    expect(encode(modelOf(pieces), text)).toEqual(idsOf(pieces, text));
    // The sum is so large that both ways to divide "ab" are equal.
    expect(encode(modelOf(pieces), text).at(-1)).toBe(3);
    expect(encode(modelOf(pieces), "ab")).toEqual([1, 2]);
  });

  it("gives a character without a piece the lowest score less 10", () => {
    const x = 3 + 0x78;
    const of = (score: number): number[] => {
      const bytes = BYTES.map(([piece]): Piece => [piece, -3]);
      return encode(modelOf([["<unk>", 0], ["y", score], ["xy", -3], ...bytes], { byte_fallback: true }), "xy");
    };
    expect(of(9.9)).toEqual([2]);
    expect(of(10)).toEqual([2]);
    expect(of(10.1)).toEqual([x, 1]);
  });

  it("encodes unknown text as bytes, as a whole if a piece is that text, and refuses it otherwise", () => {
    // Two unknown characters have a higher score than the piece of both.
    const xy: Piece[] = [
      ["<unk>", 30],
      ["a", 30],
      ["xy", 30],
    ];
    const positive = BYTES.map(([piece]): Piece => [piece, 30]);
    const bytes = modelOf([...xy, ...positive], { byte_fallback: true });
    const first = xy.length;
    expect(encode(bytes, "aéa")).toEqual([1, first + 0xc3, first + 0xa9, 1]);
    expect(encode(bytes, "axya")).toEqual([1, 2, 1]);
    const without = modelOf(xy);
    expect(encode(without, "axy")).toEqual([1, 2]);
    const refused = expect.objectContaining({ code: "out_of_range", param: "prompt" });
    for (const model of [
      without,
      modelOf(xy, { unk_id: null }),
      modelOf([...xy, ...positive.slice(0, 0xc3)], { byte_fallback: true }),
    ])
      for (const text of ["aé", "é".repeat(3000)]) expect(() => encode(model, text)).toThrow(refused);
    expect(encode(modelOf([...xy, ...positive], { unk_id: null, byte_fallback: true }), "é")).toEqual([
      first + 0xc3,
      first + 0xa9,
    ]);
  });

  it("keeps unknown text together wherever it is in a long text", () => {
    const positive = BYTES.map(([piece]): Piece => [piece, 30]);
    const pieces: Piece[] = [["<unk>", 30], ["a", 30], ["yz", 30], ...positive];
    const model = modelOf(pieces, { byte_fallback: true });
    for (const length of [1, 1022, 1023, 1024, 1025]) {
      const text = `${"a".repeat(length)}xyz${"a".repeat(2000)}`;
      expect(encode(model, text).slice(length, length + 4)).toEqual([3 + 0x78, 3 + 0x79, 3 + 0x7a, 1]);
    }
  });

  it("does not produce tokens that are withheld", () => {
    const pieces: Piece[] = [["<unk>", 0], ["stop", 5], ["s", -1], ["t", -1], ["op", -1], ["x", -1], ...BYTES];
    const model = modelOf(pieces, { byte_fallback: true });
    expect(encode(model, "stopx")).toEqual([1, 5]);
    const without = model.without(
      new Map([
        [1, "stop"],
        [5, "x"],
      ]),
    );
    expect(encode(without, "stopx")).toEqual([2, 3, 4, 6 + 0x78]);
    expect(encode(model, "stopx")).toEqual([1, 5]);
  });

  it("spells the bytes of words after a byte-level pre-tokenizer", () => {
    expect(
      encode(
        modelOf(
          [
            ["<unk>", 0],
            ["Ġ", -1],
            ["Ã©", -1],
            ["Ã", -1],
          ],
          {},
          true,
        ),
        " é",
      ),
    ).toEqual([1, 2]);
  });

  it("encodes a long text without places where all divisions meet", () => {
    const model = modelOf([
      ["<unk>", 0],
      ["a", -2],
      ["aa", -3],
    ]);
    const ids = encode(model, "a".repeat(300_001));
    expect([ids.length, ids[0], ids.at(-1)]).toEqual([150_001, 1, 2]);
    expect(encode(model, "aaa")).toEqual([1, 2]);
  });

  it("spends steps for each character and for long pieces, and can be canceled", () => {
    const pieces: Piece[] = [
      ["<unk>", 0],
      ["a".repeat(1000), -1],
      ["a", -1],
    ];
    const model = modelOf(pieces);
    const few = (numSteps: number): Budget => new Budget(numSteps, () => new Error("no steps left"));
    expect(() => model.encode("a".repeat(5000), [], few(100_000), null)).toThrow("no steps left");
    expect(() => model.encode("a".repeat(900), [], few(800), null)).toThrow("no steps left");
    const ids: number[] = [];
    model.encode("a".repeat(5000), ids, few(1_000_000), null);
    expect(ids).toHaveLength(5);
    const canceled = new Budget(
      Infinity,
      () => new Error("spent"),
      () => true,
    );
    expect(() => model.encode("a".repeat(5000), [], canceled, null)).toThrow(Canceled);
  });
});

describe("a Unigram tokenizer", () => {
  const pieces: Piece[] = [
    ["▁", -3],
    ["▁the", -2],
    ["▁cat", -4],
    ["s", -3],
    ["c", -9],
    ["a", -9],
    ["t", -9],
    ["h", -9],
    ["e", -9],
  ];
  const tokenizer = new Tokenizer(unigramJson(pieces), {});

  it("encodes and decodes text", () => {
    const ids = tokenizer.encode("the cats tea");
    expect(ids.map((id) => tokenizer.tokenText(id))).toEqual([" the", " cat", "s", " ", "t", "e", "a"]);
    expect(tokenizer.decode(ids)).toBe("the cats tea");
    expect(tokenizer.vocabSize).toBe(12);
    expect(tokenizer.encode("a</s>")).toEqual([3, 8, 1]);
  });

  it("never makes a reserved token of a message's text", () => {
    const prompt = { text: "the cat", templateTokens: [], reserved: new Set<number>(), opensReasoning: false };
    const named = unigramJson([...pieces, ["cat", -1]], {
      added_tokens: [{ id: 12, content: "cat", special: true, normalized: false }],
    });
    const own = new Tokenizer(named, {});
    expect(own.encode("the cat").at(-1)).toBe(12);
    expect(own.encodePrompt({ ...prompt, reserved: new Set([12]) })).toEqual([4, 5]);
  });

  const load = (model: object): Tokenizer => new Tokenizer(unigramJson(pieces, { model }), {});

  it.each<[object, string, string]>([
    [{ vocab: { a: 1 } }, "invalid_model", "tokenizer.json: the Unigram model has no vocab"],
    [{ vocab: [["a", 0], "b"] }, "invalid_model", 'tokenizer.json: a piece must be a text and its score. Given: "b"'],
    [{ vocab: [["a"]] }, "invalid_model", "a piece must be a text and its score"],
    [{ vocab: [["a", "0"]] }, "invalid_model", "a piece must be a text and its score"],
    [{ vocab: [["a", Infinity]] }, "invalid_model", "a piece must be a text and its score"],
    [{ vocab: [[1, 0]] }, "invalid_model", "a piece must be a text and its score"],
    [{ vocab: [["a", 0, 0]] }, "invalid_model", "a piece must be a text and its score"],
    [
      {
        vocab: [
          ["a", 0],
          ["a", 1],
        ],
        unk_id: 0,
      },
      "invalid_model",
      'tokenizer.json lists the piece "a" twice',
    ],
    [{ unk_id: 12 }, "invalid_model", "tokenizer.json: unk_id must be an integer from 0 to 11. Given: 12"],
    [{ unk_id: -1 }, "invalid_model", "unk_id must be an integer from 0 to 11. Given: -1"],
    [{ unk_id: "2" }, "invalid_model", 'unk_id must be an integer from 0 to 11. Given: "2"'],
    [
      { nbest_size: 64 },
      "unsupported_model",
      "tokenizer.json has a Unigram model with nbest_size 64, which is not supported",
    ],
    [{ "a\nb": 1 }, "unsupported_model", 'tokenizer.json has a Unigram model with "a\\nb" 1, which is not supported'],
    [
      {
        vocab: [
          ["x".repeat(LIMITS.maxPiecesCharacters), 0],
          ["y", 0],
        ],
        unk_id: 0,
      },
      "unsupported_model",
      `tokenizer.json has pieces of ${LIMITS.maxPiecesCharacters + 1} characters in total; supported: up to ${LIMITS.maxPiecesCharacters}`,
    ],
  ])("refuses the model %#", (model, code, message) => {
    expect(() => load(model)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(message) as string }),
    );
  });

  it("accepts options that have no effect", () => {
    const options = { alpha: null, fuse_unk: false, byte_fallback: false };
    expect(load(options).encode("a")).toEqual([3, 8]);
  });
});

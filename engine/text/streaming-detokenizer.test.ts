import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { StreamingDetokenizer } from "./streaming-detokenizer.js";
import { byteLevelJson, sentencePieceJson } from "../../spec-tests/fixtures/tokenizers.js";
import { Tokenizer } from "./tokenizer.js";
import { Utf8Decoder } from "./utf8-decoder.js";

const byteLevel = new Tokenizer(
  byteLevelJson(
    [
      ["Ã", "©"],
      ["â", "Ĥ"],
      ["h", "i"],
      ["¬", "h"],
      ["ï", "»"],
    ],
    [{ content: "<|end|>", special: true }, { content: "<think>", special: true }, { content: "<tool>" }],
  ),
  {},
  ["<think>"],
);
const sentencePiece = new Tokenizer(sentencePieceJson([{ content: "</think>" }]), {
  bos_token: "<s>",
  add_bos_token: true,
});

/** Valid and invalid UTF-8 sequences, in which every kind of lead and continuation byte is frequent. */
const bytes = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        0x00,
        0x41,
        0x80,
        0xbf,
        0xc2,
        0xe0,
        0xa0,
        0xed,
        0x9f,
        0xef,
        0xbb,
        0xbf,
        0xf0,
        0x90,
        0xf4,
        0x8f,
        0xff,
      ),
      fc.nat(255),
    ),
  )
  .map((values) => Uint8Array.from(values));

const decodeWhole = (value: Uint8Array): string => new TextDecoder("utf-8", { ignoreBOM: true }).decode(value);

const ids = (tokenizer: Tokenizer): fc.Arbitrary<number[]> =>
  fc.array(fc.oneof(fc.nat(tokenizer.vocabSize - 1), fc.constantFrom(0xe2, 0x82, 0xac, 0xef, 0xbf, 0xbd, 1)), {
    maxLength: 20,
  });

function stream(tokenizer: Tokenizer, promptIds: readonly number[], outputIds: readonly number[]): string[] {
  const detokenizer = new StreamingDetokenizer(tokenizer, promptIds);
  return [...outputIds.map((tokenId) => detokenizer.push(tokenId)), detokenizer.finish()];
}

describe("Utf8Decoder", () => {
  it("agrees with the WHATWG decoder for any split of the bytes", () => {
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 6 }), (chunks) => {
        const decoder = new Utf8Decoder();
        const text = chunks.map((chunk) => decoder.write(chunk)).join("") + decoder.end();
        expect(text).toBe(decodeWhole(Uint8Array.from(chunks.flatMap((chunk) => [...chunk]))));
      }),
      { numRuns: 5000 },
    );
  });

  it("decodes every code point", () => {
    const decoder = new Utf8Decoder();
    const encoder = new TextEncoder();
    for (let codePoint = 0; codePoint <= 0x10ffff; codePoint += codePoint < 0x3000 ? 1 : 37) {
      if (codePoint >= 0xd800 && codePoint <= 0xdfff) continue;
      const character = String.fromCodePoint(codePoint);
      if (decoder.write(encoder.encode(character)) !== character) expect.fail(`U+${codePoint.toString(16)}`);
    }
  });
});

/** A tokenizer whose first token drops its spaces, with one token of spaces only. */
const metaspace = new Tokenizer(
  {
    ...sentencePieceJson([{ content: "▁▁" }, { content: " " }]),
    decoder: { type: "Metaspace", replacement: "▁", prepend_scheme: "always" },
  },
  {},
);

/** A tokenizer whose words end with a suffix. */
const wordSuffix = new Tokenizer(
  {
    added_tokens: [
      { id: 6, content: "<|end|>", special: true },
      { id: 7, content: "x " },
    ],
    pre_tokenizer: { type: "WhitespaceSplit" },
    decoder: { type: "BPEDecoder", suffix: "</w>" },
    model: {
      type: "BPE",
      vocab: { a: 0, b: 1, "a</w>": 2, "b</w>": 3, "ab</w>": 4, "</w>": 5 },
      merges: ["a b</w>"],
      end_of_word_suffix: "</w>",
    },
  },
  {},
);

describe.each([
  ["byte-level", byteLevel],
  ["SentencePiece", sentencePiece],
  ["Metaspace", metaspace],
])("StreamingDetokenizer, %s", (_, tokenizer) => {
  it("agrees with decoding prompt and output together, without the prompt's text", () => {
    fc.assert(
      fc.property(ids(tokenizer), ids(tokenizer), (promptIds, outputIds) => {
        const prompt = tokenizer.decode(promptIds);
        const together = tokenizer.decode([...promptIds, ...outputIds]);
        // If the output completes a code point that the prompt began, that code point belongs to the output.
        const numPrompt = together.startsWith(prompt) ? prompt.length : prompt.length - 1;
        expect(prompt.slice(numPrompt)).toMatch(/^\uFFFD?$/);
        expect(stream(tokenizer, promptIds, outputIds).join("")).toBe(together.slice(numPrompt));
      }),
      { numRuns: 3000 },
    );
  });

  it("decodes the concatenated bytes of the tokens, those of the first one without its spaces", () => {
    fc.assert(
      fc.property(ids(tokenizer), (all) => {
        const [first, ...others] = all.filter((id) => tokenizer.tokenBytes(id).length > 0);
        const bytes = first === undefined ? [] : [...tokenizer.firstTokenBytes(first)];
        if (tokenizer === sentencePiece && bytes[0] === 0x20) bytes.shift();
        bytes.push(...others.flatMap((id) => [...tokenizer.tokenBytes(id)]));
        expect(tokenizer.decode(all)).toBe(decodeWhole(Uint8Array.from(bytes)));
      }),
    );
  });

  it("never emits half a code point", () => {
    fc.assert(
      fc.property(ids(tokenizer), (all) => {
        for (const text of stream(tokenizer, [], all)) expect(text).not.toMatch(/[\uD800-\uDFFF]/u);
      }),
    );
  });
});

describe("StreamingDetokenizer", () => {
  const [e2, x82, xac] = [0xe2, 0x82, 0xac];

  it("reads only the last tokens of a long prompt", () => {
    const read: number[] = [];
    const counting = {
      ...byteLevel,
      tokenBytes: (tokenId: number) => (read.push(tokenId), byteLevel.tokenBytes(tokenId)),
      endsWord: () => false,
    };
    const prompt = [...new Array<number>(1000).fill(0x41), e2, x82];
    expect(new StreamingDetokenizer(counting as unknown as Tokenizer, prompt).push(xac)).toBe("€");
    expect(read.length).toBeLessThan(10);
  });

  it("emits a code point when its last byte arrives", () => {
    expect(stream(byteLevel, [], [e2, x82, xac])).toEqual(["", "", "€", ""]);
    expect(stream(byteLevel, [], [e2, x82, 0x41])).toEqual(["", "", "\uFFFDA", ""]);
    expect(stream(byteLevel, [], [e2, x82])).toEqual(["", "", "\uFFFD"]);
  });

  it("keeps U+FEFF", () => {
    expect(stream(byteLevel, [], [0xef, 0xbb, 0xbf, 0x41]).join("")).toBe("\uFEFFA");
  });

  it("completes a code point that the prompt began, and does not emit the prompt's U+FFFD", () => {
    expect(stream(byteLevel, [0x41, e2, x82], [xac, 0x41])).toEqual(["€", "A", ""]);
    expect(stream(byteLevel, [0x41, e2], [x82, 0x41])).toEqual(["", "A", ""]);
    expect(stream(byteLevel, [0x41, e2], [0x41])).toEqual(["A", ""]);
    expect(stream(byteLevel, [0x41, e2], [])).toEqual([""]);
  });

  it("drops special tokens and keeps message markup", () => {
    const end = byteLevel.addedTokenId("<|end|>")!;
    const tag = byteLevel.addedTokenId("<think>")!;
    expect(stream(byteLevel, [], [0x41, end, 0x42, tag, byteLevel.addedTokenId("<tool>")!]).join("")).toBe(
      "AB<think><tool>",
    );
    expect(stream(byteLevel, [], [e2, end, x82, xac]).join("")).toBe("€");
  });

  it("drops a leading space only at the beginning of the text, with or without a begin token", () => {
    const [a] = sentencePiece.encode("a").slice(1);
    expect(sentencePiece.tokenText(a!)).toBe(" a");
    expect(sentencePiece.decode([1, a!, a!])).toBe("a a");
    expect(sentencePiece.decode([a!, a!])).toBe("a a");
    expect(sentencePiece.decode([1, 2, a!, 1, a!])).toBe("a a");
    expect(stream(sentencePiece, [1], [a!, a!])).toEqual(["a", " a", ""]);
    expect(stream(sentencePiece, [1, a!], [a!])).toEqual([" a", ""]);
    expect(stream(sentencePiece, [1, 2], [a!])).toEqual(["a", ""]);
    expect(stream(sentencePiece, [1, a!], [1, a!])).toEqual(["", " a", ""]);
    const [, c] = sentencePiece.encode("ac").slice(1);
    expect(sentencePiece.tokenText(c!)).toBe("c");
    expect(sentencePiece.decode([1, c!, a!])).toBe("c a");
  });

  it("drops as many leading spaces as the decoder defines, even across tokens", () => {
    const json = sentencePieceJson() as { decoder: { decoders: object[] } };
    json.decoder.decoders[3] = { type: "Strip", content: " ", start: 2, stop: 0 };
    const strips = new Tokenizer(json, { bos_token: "<s>" });
    const space = strips.encode("  ").at(-1)!;
    expect(strips.tokenText(space)).toBe(" ");
    expect(strips.decode([1, space, space, space])).toBe(" ");
    const [a] = strips.encode("a").slice(1);
    expect(strips.decode([1, space, a!, a!])).toBe("a a");
    expect(strips.decode([1, a!, space])).toBe("a ");
    // The first four bytes before the output are spaces, of which the prompt drops two.
    const [, ...prompt] = new Array<number>(9).fill(space);
    expect(stream(strips, prompt, [space, a!])).toEqual([" ", " a", ""]);
    expect(stream(strips, [1, space], [space, space, a!])).toEqual(["", " ", " a", ""]);
  });

  it("reads as much of the prompt as a decoder can drop", () => {
    const json = sentencePieceJson() as { decoder: { decoders: object[] } };
    json.decoder.decoders[3] = { type: "Strip", content: " ", start: 7, stop: 0 };
    const strips = new Tokenizer(json, {});
    const space = strips.encode("  ").at(-1)!;
    for (let length = 0; length < 20; length++) {
      const prompt = new Array<number>(length).fill(space);
      expect(stream(strips, prompt, [space])).toEqual([length < 7 ? "" : " ", ""]);
    }
  });

  it("drops the spaces of the first token that has text, and of no other", () => {
    const [, space] = metaspace.encode("c") as [number, number, number];
    const [, a] = metaspace.encode("a") as [number, number];
    const [two, literal] = [metaspace.addedTokenId("▁▁")!, metaspace.addedTokenId(" ")!];
    expect(metaspace.decode([a, a])).toBe("a a");
    expect(metaspace.decode([space, space, a])).toBe("  a");
    expect(metaspace.decode([two, a])).toBe(" a");
    expect(metaspace.decode([literal, a])).toBe("  a");
    expect(metaspace.decode([1, 2, a, 1, a])).toBe("a a");
    expect(stream(metaspace, [1], [a, a])).toEqual(["a", " a", ""]);
    expect(stream(metaspace, [1, a], [a])).toEqual([" a", ""]);
  });

  it("writes the space that ends a word in front of the next token, not at the end of a text", () => {
    const [a, aw, w, end, literal] = [0, 2, 5, 6, 7];
    expect(wordSuffix.decode([aw, aw])).toBe("a a");
    expect(wordSuffix.decode([aw, a, aw, end])).toBe("a aa");
    expect(wordSuffix.decode([aw, w, w])).toBe("a  ");
    expect(wordSuffix.decode([a, literal])).toBe("ax ");
    expect(wordSuffix.decode([w])).toBe("");
    expect(stream(wordSuffix, [], [aw, end, aw, a])).toEqual(["a", "", " a", " a", ""]);
    // The space after the prompt's last word is the prompt's.
    expect(stream(wordSuffix, [aw], [aw, aw])).toEqual(["a", " a", ""]);
    expect(stream(wordSuffix, [aw, end], [aw])).toEqual(["a", ""]);
  });

  it("with a word suffix, agrees with decoding at once for any ids", () => {
    fc.assert(
      fc.property(ids(wordSuffix), ids(wordSuffix), (promptIds, outputIds) => {
        const texts = [...promptIds, ...outputIds].filter((id) => wordSuffix.tokenBytes(id).length > 0);
        const last = texts.at(-1);
        const all = decodeWhole(Uint8Array.from(texts.flatMap((id) => [...wordSuffix.tokenBytes(id)])));
        const expected = last !== undefined && wordSuffix.endsWord(last) ? all.slice(0, -1) : all;
        expect(wordSuffix.decode([...promptIds, ...outputIds])).toBe(expected);
        expect(stream(wordSuffix, [], [...promptIds, ...outputIds]).join("")).toBe(expected);
        const prompt = promptIds.flatMap((id) => [...wordSuffix.tokenBytes(id)]);
        expect(stream(wordSuffix, promptIds, outputIds).join("")).toBe(expected.slice(prompt.length));
      }),
    );
  });
});

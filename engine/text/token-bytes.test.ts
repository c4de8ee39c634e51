import { describe, expect, it } from "vitest";
import { TokenBytes, byteDecoder, fallbackByte } from "./token-bytes.js";

const NO_TEXT = "which cannot be decoded byte by byte";
const bytesOf = (text: string): number[] => [...new TextEncoder().encode(text)];
const sequence = (...decoders: object[]): object => ({ type: "Sequence", decoders });
const replace = { type: "Replace", pattern: { String: "▁" }, content: " " };

describe("byteDecoder, byte-level, in several steps", () => {
  it.each([
    [null],
    [undefined],
    [{ type: "ByteLevel" }],
    [sequence({ type: "ByteLevel" }, { type: "Fuse" })],
    [{ type: "Sequence" }],
  ])("accepts %j", (decoder) => {
    const { vocabBytes, addedBytes, numLeadingSpaces } = byteDecoder(decoder, true);
    expect([...vocabBytes("Ġa\u0143Ã")]).toEqual([0x20, 0x61, 0xad, 0xc3]);
    // A plain-text token, which no merge produces, is taken literally.
    expect([...vocabBytes("a中")]).toEqual(bytesOf("a中"));
    expect([...addedBytes("Ġ")]).toEqual(bytesOf("Ġ"));
    expect(numLeadingSpaces).toBe(0);
  });

  it("refuses other decoders", () => {
    const refused = `tokenizer.json has the decoder CTC after a byte-level pre-tokenizer, ${NO_TEXT}`;
    expect(() => byteDecoder(sequence({ type: "ByteLevel" }, { type: "CTC" }), true)).toThrow(refused);
  });
});

describe("byteDecoder, SentencePiece", () => {
  it("decodes spaces, bytes and text", () => {
    const decoder = byteDecoder(
      sequence(replace, { type: "ByteFallback" }, { type: "Fuse" }, { type: "Strip", content: " ", start: 1 }),
      false,
    );
    expect([...decoder.vocabBytes("▁a▁")]).toEqual(bytesOf(" a "));
    expect([...decoder.vocabBytes("<0xE4>")]).toEqual([0xe4]);
    expect([...decoder.addedBytes("<0xE4>▁")]).toEqual(bytesOf("<0xE4> "));
    expect(decoder.numLeadingSpaces).toBe(1);
  });

  it("treats byte tokens as text without ByteFallback, and strips nothing if Strip has no start", () => {
    const decoder = byteDecoder(sequence({ type: "Fuse" }, { type: "Strip", content: " ", stop: 0 }), false);
    expect([...decoder.vocabBytes("<0xE4>")]).toEqual(bytesOf("<0xE4>"));
    expect(decoder.numLeadingSpaces).toBe(0);
  });

  it("treats an added token like any other", () => {
    const { addedBytes } = byteDecoder(sequence(replace, { type: "ByteFallback" }, { type: "Fuse" }), false);
    expect([...addedBytes("<0xE4>")]).toEqual([0xe4]);
    expect([...addedBytes("▁b")]).toEqual(bytesOf(" b"));
  });

  it.each([
    [{ type: "Metaspace" }, " a b ", "ab"],
    [{ type: "Metaspace", prepend_scheme: "first" }, " a b ", "ab"],
    [{ type: "Metaspace", prepend_scheme: "never" }, " a b ", null],
    [{ type: "Metaspace", add_prefix_space: false }, " a b ", null],
    [{ type: "Metaspace", replacement: "_" }, "▁a▁b▁", "▁a▁b▁"],
  ])("reads the single step %j, in which the first token drops its spaces", (decoder, text, first) => {
    const { vocabBytes, addedBytes, firstBytes, numLeadingSpaces } = byteDecoder(decoder, false);
    expect([...vocabBytes("▁a▁b▁")]).toEqual(bytesOf(text));
    expect([...addedBytes("▁a▁b▁")]).toEqual(bytesOf(text));
    expect(firstBytes === undefined ? null : [...firstBytes("▁a▁b▁")]).toEqual(first === null ? null : bytesOf(first));
    expect(numLeadingSpaces).toBe(0);
  });

  it("reads the single step BPEDecoder, in which a suffix is a space in front of another token", () => {
    const { vocabBytes, addedBytes, endsWord } = byteDecoder({ type: "BPEDecoder", suffix: "</w>" }, false);
    expect([...vocabBytes("ab</w>")]).toEqual(bytesOf("ab "));
    expect([...addedBytes("</w>")]).toEqual(bytesOf(" "));
    expect([...vocabBytes("ab")]).toEqual(bytesOf("ab"));
    expect(["ab</w>", "</w>", "ab", "ab ", "</w"].map((token) => endsWord!(token))).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
  });

  it.each(["", null, undefined, 5])("refuses a BPEDecoder with the suffix %j", (suffix) => {
    expect(() => byteDecoder({ type: "BPEDecoder", suffix }, false)).toThrow(
      "tokenizer.json: the suffix of a BPEDecoder must be a text. Given: ",
    );
  });

  it("refuses a token with the suffix of a BPEDecoder before its end", () => {
    const { vocabBytes } = byteDecoder({ type: "BPEDecoder", suffix: "</w>" }, false);
    for (const token of ["a</w>b", "</w></w>"])
      expect(() => vocabBytes(token)).toThrow(
        `tokenizer.json has the token "${token}" with the suffix of the decoder BPEDecoder before its end, ${NO_TEXT}`,
      );
  });

  const crossing = "a decoder that replaces text across tokens";
  const strip = "a decoder Strip other than of spaces at the beginning of the text";
  const expression = "a decoder Replace with a regular expression";
  it.each([
    [null, "no decoder and no byte-level pre-tokenizer"],
    [sequence(), "no decoder and no byte-level pre-tokenizer"],
    [sequence({ type: "Fuse" }, replace), crossing],
    [sequence({ type: "ByteFallback" }, replace), crossing],
    [sequence({ type: "Fuse" }, { type: "ByteFallback" }), "the decoder ByteFallback after Fuse"],
    [sequence({ type: "Strip", content: " ", start: 1, stop: 0 }), strip],
    [sequence({ type: "Fuse" }, { type: "Strip", content: "x", start: 1, stop: 0 }), strip],
    [sequence({ type: "Fuse" }, { type: "Strip", content: " ", start: 1, stop: 1 }), strip],
    [sequence({ type: "Metaspace" }, { type: "Fuse" }), "the decoder Metaspace among others"],
    [sequence({ type: "Fuse" }, { type: "BPEDecoder", suffix: "</w>" }), "the decoder BPEDecoder among others"],
    [{ type: "Replace", pattern: { Regex: "." }, content: "" }, expression],
    [{ type: "Replace", content: "" }, expression],
    [{ type: "Replace", pattern: { String: "a" } }, expression],
    [{ type: "CTC" }, "the decoder CTC"],
    [{}, "the decoder without a type"],
    [{ type: "Replace", pattern: { String: "" }, content: "a" }, "a decoder Replace of an empty text"],
  ])("refuses %j", (decoder, words) => {
    expect(() => byteDecoder(decoder, false)).toThrow(`tokenizer.json has ${words}, ${NO_TEXT}`);
  });

  it("refuses replacements that make a token far longer, one step or many", () => {
    const growth = { type: "Replace", pattern: { String: "a" }, content: "aaaaaaaa" };
    const refused = "a decoder that makes a token longer than 65536 characters";
    const once = { ...growth, content: "x".repeat(70_000) };
    for (const decoder of [sequence(...Array.from({ length: 30 }, () => growth)), sequence(once)]) {
      expect(byteDecoder(decoder, false).vocabBytes("b")).toEqual(new Uint8Array([0x62]));
      for (const bytesOf of [byteDecoder(decoder, false).vocabBytes, byteDecoder(decoder, false).addedBytes])
        expect(() => bytesOf("a")).toThrow(`tokenizer.json has ${refused}, ${NO_TEXT}`);
    }
    const long = "b".repeat(70_000);
    expect(byteDecoder(sequence(growth), false).vocabBytes(long)).toHaveLength(70_000);
    expect(() => byteDecoder(sequence(...Array.from({ length: 65 }, () => growth)), false)).toThrow(
      "tokenizer.json has 65 decoders; supported: up to 64",
    );
  });

  it.each([-1, 0.5, 1e308, "1", null, {}])("refuses a Strip that starts at %j", (start) => {
    const decoder = sequence({ type: "Fuse" }, { type: "Strip", content: " ", start, stop: 0 });
    const message = /^tokenizer.json: the start of a decoder Strip must be an integer from 0. Given: /;
    if (start === null) expect(byteDecoder(decoder, false).numLeadingSpaces).toBe(0);
    else expect(() => byteDecoder(decoder, false)).toThrow(message);
  });

  it("refuses a decoder that is not an object", () => {
    const refused = expect.objectContaining({
      code: "invalid_model",
      message: "tokenizer.json: the decoder is not an object",
    });
    for (const decoder of ["Fuse", sequence("Fuse" as never)])
      expect(() => byteDecoder(decoder, false)).toThrow(refused);
  });
});

describe("fallbackByte", () => {
  it("reads exactly two hexadecimal digits", () => {
    expect(["<0x0A>", "<0xff>", "<0x00>"].map(fallbackByte)).toEqual([10, 255, 0]);
    expect(["<0x0>", "<0x0A", "<0x0AB>", "<0xGG>", "a<0x0A>", "<0x0A>b", "", "abcdef"].map(fallbackByte)).toEqual(
      new Array(8).fill(null),
    );
  });
});

describe("TokenBytes", () => {
  it("stores the bytes of tokens of any length; other ids have none", () => {
    const lengths = [0, 3, 200, 0, 1, 1000, 7];
    const tokens = lengths.map((length, id) => Uint8Array.from({ length }, (_, index) => id * 16 + (index % 16)));
    const asked: number[] = [];
    const bytes = new TokenBytes(tokens.length, (id) => (asked.push(id), tokens[id] ?? new Uint8Array(0)));
    expect(asked).toEqual([...tokens.keys()]);
    tokens.forEach((token, id) => expect([...bytes.of(id)]).toEqual([...token]));
    for (const id of [-1, 7, 1000]) expect(bytes.of(id).length).toBe(0);
  });

  it("refuses more bytes than any tokenizer has", () => {
    const token = new Uint8Array(1 << 20);
    expect(new TokenBytes(16, () => token).of(15)).toHaveLength(1 << 20);
    expect(() => new TokenBytes(17, () => token)).toThrow(
      "the tokens of tokenizer.json have more than 16777216 bytes in total",
    );
  });

  it("stores tokens that exactly fill the initial buffer", () => {
    const bytes = new TokenBytes(2, (id) => new Uint8Array(id === 0 ? 16 : 1).fill(id + 1));
    expect([[...bytes.of(0)], [...bytes.of(1)]]).toEqual([new Array(16).fill(1), [2]]);
  });
});

describe("byteDecoder, byte-level, in several steps", () => {
  const steps = (...types: readonly string[]): object => ({
    type: "Sequence",
    decoders: types.map((type) => ({ type })),
  });

  it("accepts only other steps that change no bytes", () => {
    for (const decoder of [{ type: "ByteLevel" }, steps("ByteLevel", "Fuse"), steps("Fuse", "ByteLevel")]) {
      expect([...byteDecoder(decoder, true).vocabBytes("Ġa")]).toEqual([0x20, 0x61]);
    }
    const refused = `tokenizer.json has the decoder WordPiece after a byte-level pre-tokenizer, ${NO_TEXT}`;
    for (const decoder of [steps("WordPiece"), steps("ByteLevel", "Fuse", "WordPiece")])
      expect(() => byteDecoder(decoder, true)).toThrow(refused);
  });

  it("takes a token literally if one of its characters maps to no byte", () => {
    expect(Buffer.from(byteDecoder({ type: "ByteLevel" }, true).vocabBytes("Ġ中")).toString()).toBe("Ġ中");
  });
});

describe("fallbackByte", () => {
  it.each([
    ["<0x0A>", 10],
    ["<0xff>", 255],
    ["<0x0A>x", null],
    ["x<0x0A>", null],
    ["<0xA>", null],
    ["<0x0G>", null],
    ["", null],
  ])("parses %j", (token, byte) => {
    expect(fallbackByte(token)).toBe(byte);
  });
});

/** A tokenizer for tests that need no model: ids 0 to 255 are the bytes, 256 is the end token. */

import { Tokenizer } from "../engine/text/tokenizer.js";

export function byteTokenizer(): Tokenizer {
  return new Tokenizer(byteTokenizerJson(), { eos_token: "<|end|>" });
}

/** @param pieces bytes of further tokens, 257 and up; they can be generated, and no text is encoded to them */
export function byteTokenizerJson(pieces: readonly Uint8Array[] = []): object {
  const symbols = byteSymbols();
  const words = pieces.map((bytes) => [...bytes].map((byte) => symbols[byte]).join(""));
  const vocab = Object.fromEntries([...symbols.map((symbol, byte) => [symbol, byte]), ...words.map((word, index) => [word, 257 + index])]);
  return {
    version: "1.0",
    added_tokens: [{ id: 256, content: "<|end|>", special: true, single_word: false, lstrip: false, rstrip: false, normalized: false }],
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false },
    model: { type: "BPE", vocab, merges: [], byte_fallback: false, ignore_merges: false },
  };
}

/** The printable stand-ins of byte-level BPE: a byte that prints stands for itself, the others for U+0100 and up. */
export function byteSymbols(): string[] {
  const prints = (byte: number): boolean => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let numOthers = 0;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(prints(byte) ? byte : 256 + numOthers++));
}

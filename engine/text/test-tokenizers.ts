/** Small tokenizers for the tests of this folder. */

import { BYTE_OF_CHARACTER } from "./token-bytes.js";

export interface AddedDefinition {
  readonly content: string;
  readonly special?: boolean;
  readonly normalized?: boolean;
  readonly lstrip?: boolean;
  readonly rstrip?: boolean;
  readonly single_word?: boolean;
}

/** Byte-level: ids 0 to 255 are the bytes, then the merges' results, then the added tokens. */
export function byteLevelJson(merges: readonly (readonly [string, string])[], added: readonly AddedDefinition[]): object {
  const vocab: Record<string, number> = {};
  for (const [character, byte] of BYTE_OF_CHARACTER) vocab[character] = byte;
  for (const [left, right] of merges) vocab[left + right] ??= Object.keys(vocab).length;
  const first = Object.keys(vocab).length;
  return {
    added_tokens: added.map((token, index) => ({ special: false, normalized: false, ...token, id: vocab[token.content] ?? first + index })),
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: true },
    post_processor: null,
    decoder: { type: "ByteLevel" },
    model: { type: "BPE", unk_token: null, byte_fallback: false, vocab, merges },
  };
}

/** SentencePiece with byte fallback, as Llama has it: `<unk>`, `<s>`, `</s>`, 256 bytes, characters, merges. */
export function sentencePieceJson(added: readonly AddedDefinition[] = []): object {
  const merges: [string, string][] = [["▁", "a"], ["▁", "b"], ["a", "b"], ["▁a", "b"]];
  const names = ["<unk>", "<s>", "</s>"];
  for (let byte = 0; byte < 256; byte++) names.push(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
  names.push("▁", "a", "b", "c", "é", "<", ">", "/", "s", ...merges.map(([left, right]) => left + right));
  const special = names.slice(0, 3).map((content, id) => ({ id, content, special: true, normalized: false }));
  return {
    added_tokens: [...special, ...added.map((token, index) => ({ special: false, normalized: false, ...token, id: names.length + index }))],
    normalizer: {
      type: "Sequence",
      normalizers: [{ type: "Prepend", prepend: "▁" }, { type: "Replace", pattern: { String: " " }, content: "▁" }],
    },
    pre_tokenizer: null,
    post_processor: {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } },
    },
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        { type: "Strip", content: " ", start: 1, stop: 0 },
      ],
    },
    model: {
      type: "BPE",
      unk_token: "<unk>",
      fuse_unk: true,
      byte_fallback: true,
      vocab: Object.fromEntries(names.map((name, id) => [name, id])),
      merges,
    },
  };
}

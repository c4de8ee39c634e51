/**
 * Vocabulary of the fake model: all bytes, words, complete characters, fragments of characters, pieces of JSON, the
 * reasoning tags and parts of them, and an end token. Text is encoded byte by byte; the model generates all tokens.
 */

import { markupOf, THINKING } from "../../engine/message/message-format.js";
import { Tokenizer } from "../../engine/text/tokenizer.js";
import { byteTokenizerJson } from "../fixtures/byte-tokenizer.js";

const WORDS = [
  " the",
  " a",
  " fox",
  " and",
  " to",
  " of",
  " in",
  " was",
  " it",
  " you",
  " red",
  " one",
  " day",
  " said",
  " then",
  " little",
  " house",
  " never",
  " her",
  " with",
  " old",
  " tree",
  " went",
  " home",
  " but",
  " very",
  " sun",
  " saw",
  " big",
  " they",
  " who",
  " two",
  " over",
  " hat",
  " cold",
  " sang",
  " all",
  " ran",
  "The",
  "It",
  "Yes",
  "No",
  "So",
  "ing",
  "er",
  "ly",
  ". ",
  ", ",
  ".\n",
  "!\n",
  "\n\n",
  " - ",
  "? ",
  " café",
  "é",
  "ï",
  "ß",
  "日",
  "本",
  "😊",
  "—",
  " 27",
  " 65",
  " = ",
  "ab",
  "aba",
  "bab",
];
const FRAGMENTS = [[0xf0, 0x9f], [0x98, 0x8a], [0x8c, 0x99, 0x20], [0xe6, 0x97], [0xa5, 0xe6], [0xd0]];
const JSON_PIECES = ['{"', '"}', '":', '": ', '", "', '["', '"]', "true", "false", "null", "},", "12", "-3"];
const TAG_PARTS = ["<th", "ink>", "</", "think", "</th", "ink>\n\n", ">\n"];

const PIECES = [
  ...[...WORDS, ...JSON_PIECES, ...TAG_PARTS].map((text) => new Uint8Array(Buffer.from(text))),
  ...FRAGMENTS.map((bytes) => Uint8Array.from(bytes)),
].filter(({ length }) => length > 1);

const FIRST_PIECE = 257;
export const END = 256;
export const OPEN = FIRST_PIECE + PIECES.length;
export const CLOSE = OPEN + 1;
/** Number of tokens. */
export const VOCABULARY_SIZE = CLOSE + 1;

/** Chat template: each message has its role, optional name, content and the end token. */
const TEMPLATE =
  "{% for message in messages %}{{ message.role }}{% if message.name %} {{ message.name }}{% endif %}: {{ message.content }}<|end|>{% endfor %}assistant: ";
export const TOKENIZER_CONFIG = { eos_token: "<|end|>", chat_template: TEMPLATE };

export function mockTokenizer(): Tokenizer {
  const json = byteTokenizerJson(PIECES) as { readonly added_tokens: readonly object[] };
  const tags = ["<think>", "</think>"].map((content, index) => ({
    id: OPEN + index,
    content,
    special: false,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
  }));
  return new Tokenizer(
    { ...json, added_tokens: [...json.added_tokens, ...tags] },
    TOKENIZER_CONFIG,
    markupOf(THINKING),
  );
}

/** Kind of a token, which determines its base logit. */
export type TokenKind = "word" | "json" | "tag" | "letter" | "mark" | "digit" | "continuation" | "other";

/** Kind of each token, by token id. */
export const TOKEN_KINDS: readonly TokenKind[] = Array.from({ length: VOCABULARY_SIZE }, (_, tokenId) =>
  kindOf(tokenId),
);

/** Bytes of each token, one character per byte. The end token, which has no bytes, is U+FFFF. */
export const TOKEN_TEXTS: readonly string[] = Array.from({ length: VOCABULARY_SIZE }, (_, tokenId) => {
  if (tokenId === END) return "\uFFFF";
  if (tokenId >= OPEN) return tokenId === OPEN ? "<think>" : "</think>";
  return tokenId < 256 ? String.fromCharCode(tokenId) : String.fromCharCode(...PIECES[tokenId - FIRST_PIECE]!);
});

function kindOf(tokenId: number): TokenKind {
  if (tokenId === END || tokenId >= OPEN) return "tag";
  const bytes = tokenId < 256 ? [tokenId] : [...PIECES[tokenId - FIRST_PIECE]!];
  const first = bytes[0]!;
  if (first >= 0x80 && first < 0xc0) return "continuation";
  const text = Buffer.from(bytes).toString();
  if (TAG_PARTS.includes(text)) return "tag";
  if (JSON_PIECES.includes(text) || ['"', "{", "}", "[", "]", ",", ":"].includes(text)) return "json";
  if (bytes.length > 1) return "word";
  if (/[a-z ]/.test(text)) return "letter";
  if (/[0-9]/.test(text)) return "digit";
  return first >= 0x21 && first < 0x7f ? "mark" : "other";
}

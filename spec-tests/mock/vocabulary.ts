/**
 * Vocabulary of the fake model: all bytes, words, complete characters, fragments of characters, pieces of JSON, the
 * reasoning tags and parts of them, an end token, and pieces of tool calls. Text is encoded byte by byte, except for
 * the pieces of tool calls; the model generates all tokens.
 */

import type { CallForm } from "../../engine/message/call-form.js";
import { markupOf, THINK, type MessageFormat } from "../../engine/message/message-format.js";
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

/** How the model writes calls of tools. */
const CALL_FORM: CallForm = {
  open: "",
  separator: "\n",
  close: "",
  before: '<call>{"name": "',
  between: '", "arguments": ',
  after: "}</call>",
  isNameFirst: true,
  tag: null,
  parameters: null,
  trigger: "<call>",
  mayFollowText: true,
  argumentsAs: "object",
  hasShortIds: false,
  tokens: ["<call>", "</call>"],
};
/** Tokens of calls: tags and their parts, then pieces that begin or end in the middle of the texts around JSON. */
export const CALL_PIECES = [
  ...CALL_FORM.tokens,
  "\n<call>",
  "<ca",
  "ll>",
  'll>{"',
  'name": "',
  '", "argu',
  "ments",
  '": {"',
  '": {}}',
  "}}</",
  '"}}</call>',
];
const FIRST_CALL_PIECE = CLOSE + 1;
/** Id of the token `<call>`. */
export const CALL = FIRST_CALL_PIECE;
/** Number of tokens. */
export const VOCABULARY_SIZE = FIRST_CALL_PIECE + CALL_PIECES.length;

export const FORMAT: MessageFormat & { readonly calls: CallForm } = { reasoning: THINK, calls: CALL_FORM };

/**
 * Chat template: the names of the tools, then each message with its role, optional name, content, calls and the end
 * token.
 */
const TEMPLATE = `{% if tools %}tools:{% for tool in tools %} {{ tool.function.name }}{% endfor %}<|end|>{% endif %}
{%- for message in messages %}{{ message.role }}{% if message.name %} {{ message.name }}{% endif %}: {{ message.content }}
{%- for call in message.tool_calls or [] %}{% if not loop.first or message.content %}{{ "\\n" }}{% endif %}
{{- '<call>{"name": "' + call.function.name + '", "arguments": ' + (call.function.arguments | tojson) + "}</call>" }}
{%- endfor %}<|end|>{% endfor %}assistant: `;
export const TOKENIZER_CONFIG = { eos_token: "<|end|>", chat_template: TEMPLATE };

export function mockTokenizer(): Tokenizer {
  const json = byteTokenizerJson(PIECES) as { readonly added_tokens: readonly object[] };
  const added = ["<think>", "</think>", ...CALL_PIECES].map((content, index) => ({
    id: OPEN + index,
    content,
    special: false,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
  }));
  return new Tokenizer({ ...json, added_tokens: [...json.added_tokens, ...added] }, TOKENIZER_CONFIG, markupOf(FORMAT));
}

/** Kind of a token, which determines its base logit. */
export type TokenKind = "word" | "json" | "tag" | "letter" | "mark" | "digit" | "continuation" | "call" | "other";

/** Kind of each token, by token id. */
export const TOKEN_KINDS: readonly TokenKind[] = Array.from({ length: VOCABULARY_SIZE }, (_, tokenId) =>
  kindOf(tokenId),
);

/** Bytes of each token, one character per byte. The end token, which has no bytes, is U+FFFF. */
export const TOKEN_TEXTS: readonly string[] = Array.from({ length: VOCABULARY_SIZE }, (_, tokenId) => {
  if (tokenId === END) return "\uFFFF";
  if (tokenId >= FIRST_CALL_PIECE) return CALL_PIECES[tokenId - FIRST_CALL_PIECE]!;
  if (tokenId >= OPEN) return tokenId === OPEN ? "<think>" : "</think>";
  return tokenId < 256 ? String.fromCharCode(tokenId) : String.fromCharCode(...PIECES[tokenId - FIRST_PIECE]!);
});

function kindOf(tokenId: number): TokenKind {
  if (tokenId >= FIRST_CALL_PIECE) return "call";
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

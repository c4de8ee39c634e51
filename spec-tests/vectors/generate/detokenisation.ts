/** TS-5.1, TS-5.2 and TS-5.7: the text of tokens, which are spelled as in tokenizer.json, token by token. */

import { CaseList, type Json, type VectorFile } from "./case-list.js";
import { Numbers } from "./philox.js";
import { decode } from "./text.js";

/** The spelling of a token in the vocabulary, or an added token: special ones have no text, others their content. */
type Token = string | { readonly special: string } | { readonly added: string };

interface Decoder {
  readonly type: "byte_level" | "byte_fallback" | "metaspace";
  /** Number of spaces that are dropped at the beginning of a text; the first token of `metaspace` drops all or none. */
  readonly leading_spaces: 0 | 1;
}

interface DetokenisationCase {
  readonly decoder: Decoder;
  /** Begin token, if the tokenizer has one. */
  readonly begin?: string;
  readonly prompt?: readonly Token[];
  readonly output: readonly Token[];
}

const utf8 = new TextEncoder();

/** The byte alphabet of byte-level vocabularies, by byte. Printable characters map to themselves. */
const SPELLING: readonly string[] = (() => {
  const isPrinted = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
  const others = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => !isPrinted(byte));
  return Array.from({ length: 256 }, (_, byte) =>
    String.fromCharCode(isPrinted(byte) ? byte : 256 + others.indexOf(byte)),
  );
})();

/** Spells bytes in the byte-level alphabet. */
const spelt = (...bytes: number[]): string => bytes.map((byte) => SPELLING[byte]).join("");
const speltText = (text: string): string => spelt(...utf8.encode(text));

function bytesOf(token: Token, { type }: Decoder): number[] {
  if (typeof token === "object" && "special" in token) return [];
  const text = typeof token === "string" ? token : token.added;
  if (type === "byte_level")
    return typeof token === "string"
      ? Array.from(text, (character) => SPELLING.indexOf(character))
      : [...utf8.encode(text)];
  const byte = type === "byte_fallback" ? /^<0x([0-9A-F]{2})>$/.exec(text)?.[1] : undefined;
  return byte === undefined ? [...utf8.encode(text.replaceAll("\u2581", " "))] : [Number.parseInt(byte, 16)];
}

/** Returns the bytes of all tokens of a text. Special tokens are left out before spaces are dropped at its beginning. */
function bytesOfAll(tokens: readonly Token[], { decoder }: DetokenisationCase): number[] {
  const [first, ...others] = tokens.filter((token) => typeof token === "string" || "added" in token);
  if (first === undefined) return [];
  const name = typeof first === "string" ? first : first.added;
  const drops = decoder.leading_spaces === 1;
  const own =
    drops && decoder.type === "metaspace" ? [...utf8.encode(name.replaceAll("\u2581", ""))] : bytesOf(first, decoder);
  const bytes = [...own, ...others.flatMap((token) => bytesOf(token, decoder))];
  return drops && decoder.type === "byte_fallback" && bytes[0] === 0x20 ? bytes.slice(1) : bytes;
}

function fieldsOf(one: DetokenisationCase): { expected: Json } {
  const { decoder, begin = null, prompt = [], output } = one;
  const upTo = (count: number, isOver: boolean): string => {
    const { text, numIncomplete } = decode(bytesOfAll([...prompt, ...output.slice(0, count)], one));
    return isOver && numIncomplete > 0 ? `${text}\uFFFD` : text;
  };
  // If the output does not complete the prompt's last code point, its U+FFFD belongs to the prompt.
  const isCut = decode(bytesOfAll(prompt, one)).numIncomplete > 0;
  const promptText = upTo(0, false);
  const own = (text: string): string => {
    const rest = text.slice(promptText.length);
    return isCut && rest.startsWith("\uFFFD") ? rest.slice(1) : rest;
  };
  const texts = output.map((_, index) => own(upTo(index + 1, false)));
  const deltas = texts.map((text, index) => text.slice((texts[index - 1] ?? "").length));
  const text = own(upTo(output.length, true));
  const expected = { deltas, final: text.slice((texts.at(-1) ?? "").length), text };
  return { decoder, begin, prompt, output, expected } as unknown as { expected: Json };
}

const BYTE_LEVEL: Decoder = { type: "byte_level", leading_spaces: 0 };
const FALLBACK: Decoder = { type: "byte_fallback", leading_spaces: 1 };
const METASPACE: Decoder = { type: "metaspace", leading_spaces: 1 };
const BEGIN = "<s>";
const begun: Token = { special: BEGIN };

export function detokenisationVectors(): VectorFile {
  const list = new CaseList<{ expected: Json }>("detokenisation");
  const add = (group: string, clause: string, what: string, one: DetokenisationCase): void =>
    list.add(group, clause, what, fieldsOf(one));
  const byteLevel = (clause: string, what: string, output: readonly Token[], prompt: readonly Token[] = []): void =>
    add("byte-level", clause, what, { decoder: BYTE_LEVEL, prompt, output });
  const fallback = (clause: string, what: string, output: readonly Token[], prompt: readonly Token[] = [begun]): void =>
    add("byte-fallback", clause, what, { decoder: FALLBACK, begin: BEGIN, prompt, output });
  const metaspace = (
    clause: string,
    what: string,
    output: readonly Token[],
    prompt: readonly Token[] = [begun],
    decoder = METASPACE,
  ): void => add("metaspace", clause, what, { decoder, begin: BEGIN, prompt, output });

  byteLevel("TS-5.1", "words with their spaces", ["Hello", "\u0120world", "!"]);
  byteLevel("TS-5.1", "a leading space stays", ["\u0120Hello"]);
  byteLevel("TS-5.1", "newlines and tabs are spelt too", ["a\u010a\u010a", "\u0109b"]);
  byteLevel("TS-5.1", "NUL is ordinary text", [spelt(0x61, 0x00), "b"]);
  byteLevel("TS-5.1", "a character of two bytes in one token", [speltText("caf\u00e9")]);
  byteLevel("TS-5.6", "a character of two bytes in two tokens", ["a", spelt(0xc3), spelt(0xa9), "b"]);
  byteLevel("TS-5.6", "a character of three bytes in three tokens", [spelt(0xe2), spelt(0x82), spelt(0xac)]);
  byteLevel("TS-5.6", "a character of four bytes in four tokens", [spelt(0xf0), spelt(0x9f), spelt(0x98), spelt(0x80)]);
  byteLevel("TS-5.6", "the end of one character and the beginning of the next in a token", [
    spelt(0xe2, 0x82),
    spelt(0xac, 0xf0, 0x9f),
    spelt(0x98, 0x80),
  ]);
  byteLevel("TS-5.6", "text before an incomplete character goes out", ["ab" + spelt(0xe2), spelt(0x82, 0xac) + "c"]);
  byteLevel("TS-5.7", "an incomplete character at the end", ["a", spelt(0xe2, 0x82)]);
  byteLevel("TS-5.7", "one byte of four at the end", [spelt(0xf0)]);
  byteLevel("TS-5.1", "a special token is nothing", ["a", { special: "<|end|>" }, "b"]);
  byteLevel("TS-5.1", "a special token within a character does not break it", [
    spelt(0xe2),
    { special: "<|end|>" },
    spelt(0x82, 0xac),
  ]);
  byteLevel("TS-5.1", "an added token that is not special is its text", ["a", { added: "<tool>" }, "b"]);
  byteLevel("TS-5.1", "an added token beyond ASCII is its text, not a spelling", [{ added: "\u0120\u00e9" }]);
  byteLevel("TS-5.1", "the prompt's part is left out", ["\u0120there"], ["Hello"]);
  byteLevel(
    "TS-5.1",
    "a character that the prompt begins belongs to the output",
    [spelt(0xac), "!"],
    ["a" + spelt(0xe2, 0x82)],
  );
  byteLevel(
    "TS-5.1",
    "a character that the prompt begins and the output does not complete is the prompt's",
    ["!"],
    [spelt(0xe2, 0x82)],
  );
  byteLevel("TS-5.1", "the same, in two steps", [spelt(0x82), "!"], [spelt(0xe2)]);
  byteLevel("TS-5.1", "the same, at the end of the output", [spelt(0x82)], [spelt(0xe2)]);
  byteLevel("TS-5.1", "a whole character of the prompt is not repeated", ["b"], [speltText("\u20ac")]);
  byteLevel("TS-5.1", "no output", [], ["a"]);
  byteLevel("TS-5.2", "U+FEFF at the beginning is kept", [spelt(0xef, 0xbb, 0xbf), "a"]);
  byteLevel("TS-5.2", "U+FEFF at the beginning, in three tokens", [spelt(0xef), spelt(0xbb), spelt(0xbf), "a"]);
  byteLevel("TS-5.2", "U+FEFF later is kept", ["a" + spelt(0xef, 0xbb, 0xbf) + "b"]);
  byteLevel("TS-5.2", "U+FFFD itself is a character", [spelt(0xef, 0xbf, 0xbd)]);

  const invalid: readonly (readonly [what: string, bytes: readonly number[]])[] = [
    ["a continuation byte alone", [0x80]],
    ["two continuation bytes are two", [0x80, 0xbf]],
    ["0xFF and 0xFE are never part of anything", [0xff, 0xfe]],
    ["overlong, two bytes: each byte by itself", [0xc0, 0xaf]],
    ["overlong, three bytes", [0xe0, 0x80, 0xaf]],
    ["overlong, four bytes", [0xf0, 0x80, 0x80, 0xaf]],
    ["a surrogate: three maximal subparts", [0xed, 0xa0, 0x80]],
    ["beyond U+10FFFF", [0xf4, 0x90, 0x80, 0x80]],
    ["a lead byte that leads nothing", [0xf5, 0x80, 0x80, 0x80]],
    ["two of three bytes, then ASCII: one", [0xe2, 0x82, 0x41]],
    ["three of four bytes, then ASCII: one", [0xf0, 0x9f, 0x98, 0x41]],
    ["two of four bytes, then another lead", [0xf0, 0x9f, 0xc3, 0xa9]],
    ["a lead byte before a whole character", [0xe2, 0xe2, 0x82, 0xac]],
    [
      "Unicode's example of maximal subparts",
      [0x61, 0xf1, 0x80, 0x80, 0xe1, 0x80, 0xc2, 0x62, 0x80, 0x63, 0x80, 0xbf, 0x64],
    ],
    ["Unicode's example of ill-formed sequences", [0xe1, 0x80, 0xe2, 0xf0, 0x91, 0x92, 0xf1, 0xbf, 0x41]],
  ];
  for (const [what, bytes] of invalid) {
    byteLevel("TS-5.2", `${what}; in one token`, [spelt(...bytes)]);
    byteLevel(
      "TS-5.2",
      `${what}; a token for each byte`,
      bytes.map((byte) => spelt(byte)),
    );
  }

  fallback("TS-5.1", "the space at the beginning is dropped", ["\u2581Hello", "\u2581world"]);
  fallback("TS-5.1", "one space, no more", ["\u2581\u2581Hello"]);
  fallback("TS-5.1", "a token that is the space alone", ["\u2581", "\u2581a"]);
  fallback("TS-5.1", "a first token without a space", ["Hello", "\u2581world"]);
  fallback("TS-5.1", "not at the beginning of the output, but of the text", ["\u2581world"], [begun, "\u2581Hello"]);
  fallback("TS-5.1", "without a begin token too", ["\u2581Hello", "\u2581world"], []);
  fallback(
    "TS-5.1",
    "behind any special tokens, which have no text",
    ["\u2581Hello"],
    [begun, { special: "<|user|>" }],
  );
  fallback("TS-5.1", "a begin token within the output", ["\u2581a", begun, "\u2581b"]);
  fallback("TS-5.1", "a begin token at the beginning of the output", [begun, "\u2581b"], [begun, "\u2581a"]);
  fallback("TS-5.1", "a special token is nothing, and the space behind it stays", [
    "a",
    { special: "</s>" },
    "\u2581b",
  ]);
  fallback("TS-5.1", "bytes that make up a character", ["<0xE2>", "<0x82>", "<0xAC>"]);
  fallback("TS-5.1", "bytes among words", ["\u2581a", "<0xF0>", "<0x9F>", "<0x98>", "<0x80>", "\u2581b"]);
  fallback("TS-5.1", "the byte of a newline", ["a", "<0x0A>", "b"]);
  fallback("TS-5.1", "the byte of a space at the beginning is dropped", ["<0x20>", "a"]);
  fallback("TS-5.2", "bytes that are no character", ["a", "<0xFF>", "b"]);
  fallback("TS-5.2", "a byte sequence that a word breaks", ["<0xE2>", "<0x82>", "a"]);
  fallback("TS-5.7", "bytes that are incomplete at the end", ["a", "<0xE2>", "<0x82>"]);
  fallback("TS-5.1", "a spelling of seven characters is no byte", ["<0x0AA>", "<0xZZ>"]);
  fallback("TS-5.1", "an added token", ["a", { added: "<tool>" }, "\u2581b"]);
  fallback("TS-5.1", "an added token that is the name of a byte", ["a", { added: "<0x41>" }]);
  fallback("TS-5.1", "bytes that the prompt begins", ["<0xAC>", "a"], [begun, "<0xE2>", "<0x82>"]);

  metaspace("TS-5.1", "the space at the beginning is dropped", ["\u2581Hello", "\u2581world"]);
  metaspace("TS-5.1", "the first token drops all its spaces", ["\u2581\u2581a\u2581", "\u2581b"]);
  metaspace("TS-5.1", "only the first token does, if it is nothing else too", ["\u2581", "\u2581a"]);
  metaspace("TS-5.1", "a space that is no U+2581 stays", [{ added: " \u2581" }, "\u2581a"]);
  metaspace("TS-5.1", "the first token of the text, not of the output", ["\u2581world"], [begun, "\u2581Hello"]);
  metaspace("TS-5.1", "a begin token within the output", ["\u2581a", begun, "\u2581b"]);
  metaspace("TS-5.1", "a decoder that drops none", ["\u2581Hello", "\u2581world"], [begun], {
    type: "metaspace",
    leading_spaces: 0,
  });
  metaspace("TS-5.1", "no byte fallback: the spelling is the text", ["<0x0A>"]);
  metaspace("TS-5.1", "several spaces within", ["a", "\u2581\u2581\u2581", "b"]);
  metaspace("TS-5.1", "beyond ASCII", ["\u2581caf\u00e9", "\u2581\u{1f600}"]);

  const numbers = new Numbers(40);
  for (let count = 0; count < 10; count++) {
    const output = Array.from({ length: 12 }, () =>
      spelt(
        ...Array.from({ length: 1 + numbers.below(2) }, () =>
          numbers.pick([0x41, 0x80, 0xbf, 0xc3, 0xa9, 0xe0, 0xa0, 0xed, 0xef, 0xbb, 0xf0, 0x90, 0xf4, 0x8f]),
        ),
      ),
    );
    byteLevel("TS-5.2", "arbitrary bytes", output);
  }
  return { name: "detokenisation", kind: "detokenisation", cases: list.cases };
}

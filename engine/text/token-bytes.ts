/**
 * Computes the bytes of every token from the `decoder` of tokenizer.json, so that text can be decoded byte by byte and
 * token by token. A decoder whose text is not the concatenation of its tokens' bytes is refused by name.
 */

import { type JsonObject, isObject } from "../json.js";
import { described, EngineError, quoted } from "../errors.js";
import { LIMITS } from "../limits.js";
import { metaspaceReplacement, metaspaceScheme, typeOf } from "./pre-tokenization.js";

/** A decoder that works on single tokens. */
export interface ByteDecoder {
  /** Returns the bytes of a token string of the vocabulary. */
  vocabBytes(token: string): Uint8Array;
  /** Returns the bytes of an added token. */
  addedBytes(content: string): Uint8Array;
  /** Returns the bytes of a token, added or not, that begins a text; absent if they are those of any other. */
  firstBytes?(token: string): Uint8Array;
  /** Returns true if the bytes end with a space that is only written in front of another token; absent if none do. */
  endsWord?(token: string): boolean;
  /** Number of spaces that are dropped at the beginning of a text. */
  readonly numLeadingSpaces: number;
}

/**
 * Reads the decoder of a tokenizer.
 *
 * @param decoder `decoder` of tokenizer.json; null if it has none
 * @param isByteLevel true if the pre-tokenizer maps bytes to characters as GPT-2 does
 * @throws EngineError unsupported_model
 */
export function byteDecoder(decoder: unknown, isByteLevel: boolean): ByteDecoder {
  const steps = flatten(decoder ?? null);
  if (steps.length > LIMITS.maxTokenizerSteps) {
    const message = `tokenizer.json has ${steps.length} decoders; supported: up to ${LIMITS.maxTokenizerSteps}`;
    throw new EngineError("unsupported_model", message);
  }
  if (isByteLevel) {
    const other = steps.find(({ type }) => type !== "ByteLevel" && type !== "Fuse");
    if (other !== undefined) throw unsupported(`the decoder ${typeOf(other)} after a byte-level pre-tokenizer`);
    return { vocabBytes: spelledBytes, addedBytes: (content) => utf8.encode(content), numLeadingSpaces: 0 };
  }
  if (steps.length === 0) throw unsupported("no decoder and no byte-level pre-tokenizer");
  const single = ["Metaspace", "BPEDecoder"].find((type) => steps.some((step) => step["type"] === type));
  if (single === undefined) return sentencePieceDecoder(steps);
  if (steps.length > 1) throw unsupported(`the decoder ${single} among others`);
  return single === "Metaspace" ? metaspaceDecoder(steps[0]!) : wordSuffixDecoder(steps[0]!);
}

/** The bytes of all tokens in one buffer, u8 [total], and the offset of each token, u32 [vocabSize + 1]. */
export class TokenBytes {
  readonly #bytes: Uint8Array;
  readonly #offsets: Uint32Array;

  /**
   * @param bytesOf maps a token id below `vocabSize` to its bytes; empty for an unused id or a token without text
   * @throws EngineError unsupported_model if the tokens have too many bytes in total
   */
  constructor(vocabSize: number, bytesOf: (tokenId: number) => Uint8Array) {
    this.#offsets = new Uint32Array(vocabSize + 1);
    let bytes = new Uint8Array(vocabSize * 8);
    let length = 0;
    for (let tokenId = 0; tokenId < vocabSize; tokenId++) {
      const token = bytesOf(tokenId);
      if (length + token.length > LIMITS.maxTokensBytes) {
        const message = `the tokens of tokenizer.json have more than ${LIMITS.maxTokensBytes} bytes in total`;
        throw new EngineError("unsupported_model", message);
      }
      if (length + token.length > bytes.length) {
        const larger = new Uint8Array((length + token.length) * 2);
        larger.set(bytes);
        bytes = larger;
      }
      bytes.set(token, length);
      length += token.length;
      this.#offsets[tokenId + 1] = length;
    }
    this.#bytes = bytes.slice(0, length);
  }

  /** @returns a view; empty for ids that are not tokens */
  of(tokenId: number): Uint8Array {
    const end = this.#offsets[tokenId + 1];
    return end === undefined ? this.#bytes.subarray(0, 0) : this.#bytes.subarray(this.#offsets[tokenId]!, end);
  }
}

/** GPT-2's mapping of characters to bytes: printable characters to their own byte, U+0100 and up to the other bytes. */
export const BYTE_OF_CHARACTER: ReadonlyMap<string, number> = gpt2Bytes();

/** @returns one character for each byte of the text in UTF-8 */
export function spelled(text: string): string {
  const characters: string[] = [];
  for (const byte of utf8.encode(text)) characters.push(CHARACTER_OF_BYTE[byte]!);
  return characters.join("");
}

const utf8 = new TextEncoder();

/** Bytes by code unit, i16; NO_BYTE for others. */
const NO_BYTE = -1;
const BYTE_OF_CODE_UNIT = new Int16Array(0x200).fill(NO_BYTE);
for (const [character, byte] of BYTE_OF_CHARACTER) BYTE_OF_CODE_UNIT[character.charCodeAt(0)] = byte;

const CHARACTER_OF_BYTE: readonly string[] = [...BYTE_OF_CHARACTER]
  .sort(([, a], [, b]) => a - b)
  .map(([character]) => character);

function spelledBytes(token: string): Uint8Array {
  const bytes = new Uint8Array(token.length);
  for (let index = 0; index < token.length; index++) {
    const byte = BYTE_OF_CODE_UNIT[token.charCodeAt(index)] ?? NO_BYTE;
    // Some vocabularies contain plain-text tokens, which no merge produces; the Rust decoder takes them literally.
    if (byte === NO_BYTE) return utf8.encode(token);
    bytes[index] = byte;
  }
  return bytes;
}

function gpt2Bytes(): Map<string, number> {
  const map = new Map<string, number>();
  let numMoved = 0;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    map.set(String.fromCharCode(printable ? byte : 0x100 + numMoved++), byte);
  }
  return map;
}

/** Reads Replace, ByteFallback, Fuse, then Strip on the whole text. */
function sentencePieceDecoder(steps: readonly JsonObject[]): ByteDecoder {
  const replacements: { from: string; to: string }[] = [];
  let hasByteFallback = false;
  let isFused = false;
  let numLeadingSpaces = 0;
  for (const step of steps) {
    switch (step["type"]) {
      case "Replace":
        if (isFused || hasByteFallback) throw unsupported("a decoder that replaces text across tokens");
        replacements.push(replacement(step));
        break;
      case "ByteFallback":
        if (isFused) throw unsupported("the decoder ByteFallback after Fuse");
        hasByteFallback = true;
        break;
      case "Fuse":
        isFused = true;
        break;
      case "Strip":
        if (!isFused || step["content"] !== " " || (step["stop"] ?? 0) !== 0) {
          throw unsupported("a decoder Strip other than of spaces at the beginning of the text");
        }
        numLeadingSpaces = numStripped(step["start"] ?? 0);
        break;
      default:
        throw unsupported(`the decoder ${typeOf(step)}`);
    }
  }
  const bytesOf = (token: string): Uint8Array => {
    const byte = hasByteFallback ? fallbackByte(token) : null;
    if (byte !== null) return Uint8Array.of(byte);
    return utf8.encode(replacements.reduce((text, { from, to }) => replaced(text, from, to), token));
  };
  return { vocabBytes: bytesOf, addedBytes: bytesOf, numLeadingSpaces };
}

/** Writes a space for each replacement character; unless none is prepended, the first token drops all of its own. */
function metaspaceDecoder(definition: JsonObject): ByteDecoder {
  const replacement = metaspaceReplacement(definition);
  const bytesOf = (token: string): Uint8Array => utf8.encode(token.replaceAll(replacement, " "));
  const decoder = { vocabBytes: bytesOf, addedBytes: bytesOf, numLeadingSpaces: 0 };
  if (metaspaceScheme(definition) === "never") return decoder;
  return { ...decoder, firstBytes: (token) => utf8.encode(token.replaceAll(replacement, "")) };
}

/** Writes a space for the suffix that ends a word, except in the last token of a text. */
function wordSuffixDecoder({ suffix }: JsonObject): ByteDecoder {
  if (typeof suffix !== "string" || suffix === "") {
    const message = `tokenizer.json: the suffix of a BPEDecoder must be a text. Given: ${described(suffix ?? null)}`;
    throw new EngineError("invalid_model", message);
  }
  const bytesOf = (token: string): Uint8Array => {
    const at = token.indexOf(suffix);
    if (at < 0) return utf8.encode(token);
    if (at + suffix.length < token.length)
      throw unsupported(`the token ${quoted(token)} with the suffix of the decoder BPEDecoder before its end`);
    return utf8.encode(`${token.slice(0, at)} `);
  };
  const endsWord = (token: string): boolean => token.endsWith(suffix);
  return { vocabBytes: bytesOf, addedBytes: bytesOf, endsWord, numLeadingSpaces: 0 };
}

/** @returns the byte that a token such as `<0x0A>` represents, or null */
export function fallbackByte(token: string): number | null {
  const digits = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1];
  return digits === undefined ? null : Number.parseInt(digits, 16);
}

/** @returns the token that represents a byte, such as `<0x0A>` */
export const fallbackToken = (byte: number): string => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;

function replacement(step: JsonObject): { from: string; to: string } {
  const pattern = step["pattern"];
  const from = isObject(pattern) ? pattern["String"] : undefined;
  const to = step["content"];
  if (typeof from !== "string" || typeof to !== "string")
    throw unsupported("a decoder Replace with a regular expression");
  if (from === "") throw unsupported("a decoder Replace of an empty text");
  return { from, to };
}

/** Replaces all occurrences, unless the text becomes far longer than a token's: each step can multiply its length. */
function replaced(text: string, from: string, to: string): string {
  const parts = text.split(from);
  const length = text.length + (parts.length - 1) * (to.length - from.length);
  if (length > Math.max(text.length, LIMITS.maxTokenCharacters))
    throw unsupported(`a decoder that makes a token longer than ${LIMITS.maxTokenCharacters} characters`);
  return parts.join(to);
}

function numStripped(start: unknown): number {
  if (Number.isSafeInteger(start) && (start as number) >= 0) return start as number;
  const message = `tokenizer.json: the start of a decoder Strip must be an integer from 0. Given: ${described(start)}`;
  throw new EngineError("invalid_model", message);
}

function flatten(decoder: unknown): JsonObject[] {
  if (decoder === null) return [];
  if (!isObject(decoder)) throw new EngineError("invalid_model", "tokenizer.json: the decoder is not an object");
  if (decoder["type"] !== "Sequence") return [decoder];
  const decoders = decoder["decoders"];
  return Array.isArray(decoders) ? decoders.flatMap(flatten) : [];
}

function unsupported(what: string): EngineError {
  return new EngineError("unsupported_model", `tokenizer.json has ${what}, which cannot be decoded byte by byte`);
}

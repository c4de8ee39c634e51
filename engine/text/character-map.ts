/**
 * The normalizer Precompiled: SentencePiece's table of replacements for characters, such as those of NFKC. It is read as
 * the Rust tokenizers read it. Format: the length of a trie in bytes, u32; the trie, a double array of u32 units; then
 * the replacements, UTF-8, each ended by NUL. A unit's low byte is the byte that leads to it, bit 8 says that a key ends
 * there, and the rest is the distance to its children; the first child of such a unit is the place of the replacement.
 */

import type { Budget } from "../budget.js";
import { described, EngineError } from "../errors.js";
import { LIMITS } from "../limits.js";
import { endOfMatches } from "./long-runs.js";

export class CharacterMap {
  /** Units of the double array, u32 [units]. */
  readonly #units: Uint32Array;
  /** Replacements, u8 [bytes]. */
  readonly #replacements: Uint8Array;
  /** Replacement by text that was looked up; null for a text without one. */
  readonly #cache = new Map<string, string | null>();
  readonly #graphemes = new Intl.Segmenter("en", { granularity: "grapheme" });

  /**
   * @param base64 `precompiled_charsmap` of tokenizer.json
   * @throws EngineError invalid_model, or unsupported_model for a map that is far larger than any known one
   */
  constructor(base64: unknown) {
    const bytes = decodedBase64(base64);
    const numTrieBytes = bytes.length < 4 ? 0 : bytes.readUInt32LE(0);
    const numUnits = Math.floor(numTrieBytes / 4);
    if (numUnits === 0 || 4 + 4 * numUnits > bytes.length) {
      const size = `${numTrieBytes} bytes in ${bytes.length}`;
      throw new EngineError("invalid_model", `tokenizer.json: a precompiled_charsmap has no complete trie: ${size}`);
    }
    this.#units = Uint32Array.from({ length: numUnits }, (_, index) => bytes.readUInt32LE(4 + 4 * index));
    this.#replacements = bytes.subarray(4 + 4 * numUnits);
    checkReplacements(this.#replacements);
  }

  /**
   * Replaces characters. As in the Rust tokenizers, a grapheme of less than six bytes is replaced as a whole by what its
   * first characters, as few as the map has, are replaced by.
   *
   * @param add receives the parts of the result in order
   */
  replace(text: string, budget: Budget, add: (part: string) => void): void {
    let done = 0;
    for (const { start, run } of runsWithGraphemes(text)) {
      this.#replaceEach(text.slice(done, start), budget, add);
      for (const segment of this.#graphemesOf(run)) {
        budget.spend(STEPS_PER_GRAPHEME);
        const whole = Buffer.byteLength(segment) < 6 ? this.#replacementOf(segment) : null;
        if (whole !== null) add(whole);
        else this.#replaceEach(segment, budget, add);
      }
      done = start + run.length;
    }
    this.#replaceEach(text.slice(done), budget, add);
  }

  /** Segments a text in short parts: V8's segmenter takes a time that is quadratic in the length of its text. */
  *#graphemesOf(text: string): Generator<string> {
    let length = SEGMENTED_LENGTH;
    for (let start = 0; start < text.length;) {
      const end = start + length;
      // A part does not end within a character.
      const part = text.slice(start, isHighSurrogate(text.charCodeAt(end - 1)) ? end - 1 : end);
      const segments = Array.from(this.#graphemes.segment(part), ({ segment }) => segment);
      if (start + part.length < text.length) {
        // The last grapheme may go on after the part. One that fills the part needs a longer one.
        const last = segments.pop()!;
        length = segments.length === 0 ? 2 * length : SEGMENTED_LENGTH;
        start -= last.length;
      }
      start += part.length;
      yield* segments;
    }
  }

  /** Replaces single characters. */
  #replaceEach(text: string, budget: Budget, add: (part: string) => void): void {
    let done = 0;
    for (let index = 0; index < text.length;) {
      const character = String.fromCodePoint(text.codePointAt(index)!);
      const replacement = this.#replacementOf(character);
      if (replacement !== null) {
        if (index > done) add(text.slice(done, index));
        add(replacement);
        done = index + character.length;
      }
      index += character.length;
      budget.spend();
    }
    if (done < text.length) add(text.slice(done));
  }

  /** Returns the replacement of the shortest beginning of a text that has one, or null. */
  #replacementOf(text: string): string | null {
    let replacement = this.#cache.get(text);
    if (replacement === undefined) {
      const place = this.#shortestKey(Buffer.from(text));
      replacement = place === null ? null : this.#replacementAt(place);
      if (this.#cache.size === MAX_CACHED) this.#cache.clear();
      this.#cache.set(text, replacement);
    }
    return replacement;
  }

  /** Returns the place of the replacement for the shortest beginning of `key` in the map, or null. */
  #shortestKey(key: Uint8Array): number | null {
    let node = offsetOf(this.#units[0]!);
    for (const byte of key) {
      if (byte === 0) return null;
      node ^= byte;
      const unit = this.#units[node];
      if (unit === undefined || labelOf(unit) !== byte) return null;
      node ^= offsetOf(unit);
      if ((unit & HAS_LEAF) !== 0) return (this.#units[node] ?? 0) & PLACE;
    }
    return null;
  }

  #replacementAt(place: number): string {
    const end = this.#replacements.indexOf(0, place);
    return utf8.decode(this.#replacements.subarray(place, end < 0 ? undefined : end));
  }
}

/**
 * Yields the runs that have to be segmented. Between two ASCII characters a grapheme ends, except in CR LF, so these are
 * CR LF and the runs around other characters.
 */
function* runsWithGraphemes(text: string): Generator<{ readonly start: number; readonly run: string }> {
  for (let from = 0; ;) {
    RUN_START.lastIndex = from;
    const match = RUN_START.exec(text);
    if (match === null) return;
    from = match.index + match[0].length;
    if (match[0] !== "\r\n") {
      from = endOfMatches(text, from, RUN_PART);
      if (RUN_ASCII.test(text[from] ?? "")) from++;
    }
    yield { start: match.index, run: text.slice(match.index, from) };
  }
}

const RUN_START = /\r\n|[\0-\t\v\f\x0e-\x7f]?[^\0-\x7f]/g;
const RUN_PART = /[^\0-\x7f]{1,1024}|[\0-\t\v\f\x0e-\x7f][^\0-\x7f]/y;
const RUN_ASCII = /^[\0-\t\v\f\x0e-\x7f]$/;

const isHighSurrogate = (unit: number): boolean => unit >= 0xd800 && unit < 0xdc00;

/** Returns the unit's distance to its children, by exclusive or. */
const offsetOf = (unit: number): number => (unit >>> 10) << ((unit & 0x200) >>> 6);

/** Returns the byte that leads to a unit; a leaf has none. */
const labelOf = (unit: number): number => (unit & 0x800000ff) >>> 0;

const HAS_LEAF = 0x100;
const PLACE = 0x7fffffff;

function decodedBase64(text: unknown): Buffer {
  if (typeof text !== "string" || !/^[A-Za-z0-9+/]*={0,2}$/.test(text) || text.length % 4 !== 0) {
    const message = `tokenizer.json: a precompiled_charsmap must be base64. Given: ${described(text ?? null)}`;
    throw new EngineError("invalid_model", message);
  }
  const bytes = Buffer.from(text, "base64");
  if (bytes.length <= LIMITS.maxCharacterMapBytes) return bytes;
  const message = `tokenizer.json has a precompiled_charsmap of ${bytes.length} bytes; supported: up to ${LIMITS.maxCharacterMapBytes}`;
  throw new EngineError("unsupported_model", message);
}

function checkReplacements(bytes: Uint8Array): void {
  for (let start = 0; start < bytes.length;) {
    const end = bytes.indexOf(0, start);
    const length = (end < 0 ? bytes.length : end) - start;
    if (length > LIMITS.maxCharacterReplacementBytes) {
      const limit = `up to ${LIMITS.maxCharacterReplacementBytes}`;
      const message = `tokenizer.json has a precompiled_charsmap with a replacement of ${length} bytes; supported: ${limit}`;
      throw new EngineError("unsupported_model", message);
    }
    start += length + 1;
  }
}

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
/** UTF-16 code units that are segmented at once. */
const SEGMENTED_LENGTH = 64;
const STEPS_PER_GRAPHEME = 8;
const MAX_CACHED = 10_000;

/**
 * Incremental UTF-8 decoding exactly as WHATWG's Encoding standard has it: U+FFFD per maximal subpart, U+FEFF kept.
 *
 * The platform's TextDecoder would do, but it does not say whether a code point is still incomplete, which the
 * streaming detokenizer must know at the end of a prompt.
 */

export class Utf8Decoder {
  #codePoint = 0;
  #numMissing = 0;
  #lowest = 0x80;
  #highest = 0xbf;

  /** Whether the bytes so far end within a code point. */
  get incomplete(): boolean {
    return this.#numMissing > 0;
  }

  /** @returns the text that `bytes` complete; an incomplete code point at their end waits for the next call */
  write(bytes: Uint8Array): string {
    let text = "";
    for (let index = 0; index < bytes.length; index++) {
      const byte = bytes[index]!;
      if (this.#numMissing === 0) {
        text += this.#lead(byte);
      } else if (byte < this.#lowest || byte > this.#highest) {
        this.#numMissing = 0;
        text += "\uFFFD";
        index--; // the byte that broke the sequence starts the next one
      } else {
        this.#lowest = 0x80;
        this.#highest = 0xbf;
        this.#codePoint = (this.#codePoint << 6) | (byte & 0x3f);
        if (--this.#numMissing === 0) text += String.fromCodePoint(this.#codePoint);
      }
    }
    return text;
  }

  /** @returns what is left: U+FFFD if the bytes ended within a code point. The decoder can then be used anew. */
  end(): string {
    if (this.#numMissing === 0) return "";
    this.#numMissing = 0;
    return "\uFFFD";
  }

  #lead(byte: number): string {
    if (byte < 0x80) return String.fromCharCode(byte);
    if (byte < 0xc2 || byte > 0xf4) return "\uFFFD";
    // The second byte's range excludes overlong forms, surrogates and what lies past U+10FFFF.
    this.#lowest = byte === 0xe0 ? 0xa0 : byte === 0xf0 ? 0x90 : 0x80;
    this.#highest = byte === 0xed ? 0x9f : byte === 0xf4 ? 0x8f : 0xbf;
    this.#numMissing = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    this.#codePoint = byte & (0x3f >> this.#numMissing);
    return "";
  }
}

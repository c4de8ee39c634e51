/**
 * Decodes UTF-8 incrementally, exactly as the WHATWG Encoding standard defines: one U+FFFD per maximal subpart, and
 * U+FEFF is kept.
 *
 * The platform's TextDecoder does not report whether a code point is still incomplete, which the streaming detokenizer
 * needs at the end of a prompt.
 */

export class Utf8Decoder {
  #codePoint = 0;
  #numMissing = 0;
  #lowest = 0x80;
  #highest = 0xbf;

  /** True if the bytes so far end within a code point. */
  get incomplete(): boolean {
    return this.#numMissing > 0;
  }

  /** @returns the text that `bytes` complete; an incomplete code point at the end is kept for the next call */
  write(bytes: Uint8Array): string {
    let text = "";
    for (let index = 0; index < bytes.length; index++) {
      const byte = bytes[index]!;
      if (this.#numMissing === 0) {
        text += this.#lead(byte);
      } else if (byte < this.#lowest || byte > this.#highest) {
        this.#numMissing = 0;
        text += "\uFFFD";
        index--; // the byte that ended the invalid sequence starts the next one
      } else {
        this.#lowest = 0x80;
        this.#highest = 0xbf;
        this.#codePoint = (this.#codePoint << 6) | (byte & 0x3f);
        if (--this.#numMissing === 0) text += String.fromCodePoint(this.#codePoint);
      }
    }
    return text;
  }

  /** @returns the rest: U+FFFD if the bytes ended within a code point. The decoder can then be reused. */
  end(): string {
    if (this.#numMissing === 0) return "";
    this.#numMissing = 0;
    return "\uFFFD";
  }

  #lead(byte: number): string {
    if (byte < 0x80) return String.fromCharCode(byte);
    if (byte < 0xc2 || byte > 0xf4) return "\uFFFD";
    // The range of the second byte excludes overlong forms, surrogates and code points above U+10FFFF.
    this.#lowest = byte === 0xe0 ? 0xa0 : byte === 0xf0 ? 0x90 : 0x80;
    this.#highest = byte === 0xed ? 0x9f : byte === 0xf4 ? 0x8f : 0xbf;
    this.#numMissing = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    this.#codePoint = byte & (0x3f >> this.#numMissing);
    return "";
  }
}

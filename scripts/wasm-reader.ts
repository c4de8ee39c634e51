/** Reads a WebAssembly binary: bytes, and numbers in LEB128. */
export class WasmReader {
  readonly #bytes: Uint8Array;
  #at: number;

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  byte(): number {
    const value = this.#bytes[this.#at++];
    if (value === undefined) throw new Error("The WebAssembly binary ends too early");
    return value;
  }

  /** Reads an unsigned number. It can also skip a signed number, for which the returned value is wrong. */
  uint(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte();
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  }

  skipInts(count: number): void {
    for (let left = count; left > 0; left--) this.uint();
  }

  /** Returns a reader of the next `length` bytes. */
  sub(length: number): WasmReader {
    const part = new WasmReader(this.#bytes.subarray(this.#at, this.#at + length));
    this.#at += length;
    return part;
  }

  name(): string {
    const length = this.uint();
    const text = new TextDecoder().decode(this.#bytes.subarray(this.#at, this.#at + length));
    this.#at += length;
    return text;
  }

  limits(): void {
    const hasMaximum = (this.byte() & 1) === 1;
    this.skipInts(hasMaximum ? 2 : 1);
  }
}

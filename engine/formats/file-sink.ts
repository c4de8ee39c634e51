/** Writes a file sequentially and hashes it at the same time, so that no file is read again for its hash. */

import { createHash } from "node:crypto";
import { open, type FileHandle } from "node:fs/promises";

export interface ByteSink {
  /** Bytes written so far. */
  readonly byteLength: number;
  write(bytes: Uint8Array): Promise<void>;
}

/** Size and hash of a file, as the manifest records them. */
export interface FileRecord {
  readonly byteLength: number;
  readonly sha256: string;
}

export class FileSink implements ByteSink {
  #byteLength = 0;
  readonly #hash = createHash("sha256");
  readonly #pending: Uint8Array[] = [];
  #pendingBytes = 0;

  private constructor(readonly file: FileHandle) {}

  /** Creates `path`, which must not exist. */
  static async create(path: string): Promise<FileSink> {
    return new FileSink(await open(path, "wx"));
  }

  get byteLength(): number {
    return this.#byteLength;
  }

  /** Copies or writes the bytes before it resolves, so the caller may reuse its buffer. */
  async write(bytes: Uint8Array): Promise<void> {
    this.#byteLength += bytes.length;
    this.#hash.update(bytes);
    if (bytes.length >= BUFFER_BYTES) {
      await this.#flush();
      await this.#writeAll(bytes);
      return;
    }
    // Copies the bytes; `slice` of a Buffer would not.
    this.#pending.push(new Uint8Array(bytes));
    this.#pendingBytes += bytes.length;
    if (this.#pendingBytes >= BUFFER_BYTES) await this.#flush();
  }

  /** Flushes the bytes to disk and closes the file, so that a later rename never precedes the contents. */
  async finish(): Promise<FileRecord> {
    await this.#flush();
    await this.file.datasync();
    await this.file.close();
    return { byteLength: this.#byteLength, sha256: this.#hash.digest("hex") };
  }

  /** Closes the file without finishing it; safe after `finish`. */
  async abandon(): Promise<void> {
    await this.file.close();
  }

  async #flush(): Promise<void> {
    if (this.#pendingBytes === 0) return;
    const joined = Buffer.concat(this.#pending);
    this.#pending.length = 0;
    this.#pendingBytes = 0;
    await this.#writeAll(joined);
  }

  /** Writes all bytes; a single `FileHandle.write` may write fewer than given. */
  async #writeAll(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await this.file.write(bytes, done, bytes.length - done);
      done += bytesWritten;
    }
  }
}

const BUFFER_BYTES = 1 << 20;

/**
 * Writes log lines to stderr without ever waiting for its reader: lines that cannot be written soon wait in memory up
 * to a bound, further ones are dropped and counted. A stuck reader or a full disk must not stop the server.
 */

import { constants, fstatSync, openSync, write } from "node:fs";

export class LogOutput {
  readonly #fd = nonBlockingStderr();
  readonly #onRecovered: (numDropped: number) => void;
  #waiting: string[] = [];
  /** Characters of the lines that wait or are being written. */
  #numChars = 0;
  /** The part of the current write that is not written yet; null if nothing is being written. */
  #rest: Buffer | null = null;
  /** Set if the last line that reached stderr lacks its end. */
  #isLineOpen = false;
  #numDropped = 0;
  #numReported = 0;
  #onIdle: () => void = () => {};

  /** @param onRecovered called with the number of lines dropped since the last call, when lines can be written again */
  constructor(onRecovered: (numDropped: number) => void) {
    this.#onRecovered = onRecovered;
  }

  get numDropped(): number {
    return this.#numDropped;
  }

  /** @param line a complete line, with its line feed */
  write(line: string): void {
    if (this.#numChars > 0 && this.#numChars + line.length > MAX_WAITING_CHARS) {
      this.#numDropped++;
      return;
    }
    this.#numChars += line.length;
    this.#waiting.push(line);
    this.#writeNext();
  }

  /** Resolves when all lines are written or dropped, or after `timeoutMs`. */
  async flush(timeoutMs: number): Promise<void> {
    if (this.#numChars === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#onIdle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #writeNext(): void {
    if (this.#rest !== null) return;
    if (this.#waiting.length === 0) return this.#onIdle();
    const text = this.#waiting.join("");
    this.#waiting = [];
    this.#rest = Buffer.from(this.#isLineOpen ? `\n${text}` : text);
    this.#writeRest(text.length);
  }

  /** @param numChars characters of the current write */
  #writeRest(numChars: number): void {
    const rest = this.#rest!;
    // At most this many bytes at once, so that a file system that stalls holds one thread of Node's pool for one write.
    write(this.#fd, rest, 0, Math.min(rest.length, MAX_WRITE_BYTES), null, (error, numBytes) => {
      if (error?.code === "EAGAIN") {
        // The process may end meanwhile: this timer does not keep it alive.
        setTimeout(() => this.#writeRest(numChars), RETRY_MS).unref();
        return;
      }
      if (error === null) {
        this.#isLineOpen = rest[numBytes - 1] !== LINE_FEED;
        this.#rest = rest.subarray(numBytes);
        if (this.#rest.length > 0) return this.#writeRest(numChars);
      } else this.#numDropped += numLines(rest);
      this.#rest = null;
      this.#numChars -= numChars;
      if (error === null) this.#reportDropped();
      this.#writeNext();
    });
  }

  #reportDropped(): void {
    if (this.#numDropped === this.#numReported || this.#numChars > MAX_WAITING_CHARS / 2) return;
    const numNew = this.#numDropped - this.#numReported;
    this.#numReported = this.#numDropped;
    this.#onRecovered(numNew);
  }
}

/** About a thousand lines, in addition to those that a pipe holds. */
const MAX_WAITING_CHARS = 256 << 10;
const MAX_WRITE_BYTES = 64 << 10;
const RETRY_MS = 100;
const LINE_FEED = 10;

/**
 * Returns a file descriptor for stderr whose writes fail with EAGAIN instead of waiting for a reader. A pipe or terminal
 * is opened again, because the mode of the given descriptor is shared with other processes. On a blocking descriptor,
 * a write would hold a thread of Node's pool, and the end of the process, until someone reads.
 */
function nonBlockingStderr(): number {
  // Node makes a pipe or socket non-blocking when it creates this stream.
  void process.stderr;
  const stderr = fstatSync(STDERR);
  if (!stderr.isFIFO() && !stderr.isCharacterDevice()) return STDERR;
  try {
    return openSync("/dev/stderr", constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    return STDERR; // no such file on this platform, or a terminal of another user
  }
}

const STDERR = 2;

/** Counts the lines that end in a text. A line feed at its start ends a line that was written before. */
function numLines(text: Buffer): number {
  let count = 0;
  for (const byte of text.subarray(1)) if (byte === LINE_FEED) count++;
  return count;
}

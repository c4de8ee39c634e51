/**
 * Downloads one file of the hub into the blobs. `<hash>.incomplete` is always the beginning of the file, so that any
 * process can continue from its end, however the last one ended. It is written in order, while the next parts are
 * prefetched into memory. A file is accepted only if its bytes, read back from the disk, have the hash that names it.
 */

import { createHash } from "node:crypto";
import { open, rename, rm, stat, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";

import { EngineError } from "../../errors.js";
import { makeFolder } from "../../formats/index.js";
import { LIMITS } from "../../limits.js";
import { HubClient, Transient, type Answer, type Subject } from "./client.js";
import { hashOf, type RemoteFile } from "./listing.js";

export interface Download {
  readonly client: HubClient;
  readonly file: RemoteFile;
  readonly url: string;
  readonly subject: Subject;
  readonly partFile: string;
  readonly blobFile: string;
  /** Returns true if this process may still write; another process may have taken over. */
  readonly isHeld: () => Promise<boolean>;
  /** Called with the number of bytes fetched by this run and earlier ones. */
  readonly onBytes: (done: number) => void;
}

/** @throws EngineError if the hub refuses, cannot be reached, or twice sends other bytes than it lists */
export async function downloadFile(download: Download): Promise<void> {
  const { file, partFile, blobFile, subject, isHeld } = download;
  await makeFolder(dirname(partFile));
  for (let attempt = 1; attempt <= 2; attempt++) {
    const part = await open(partFile, "a+").then(async (created) => {
      await created.close();
      return open(partFile, "r+");
    });
    try {
      await fetchRest(download, part);
      if (await matches(part, file, download.client.signal)) {
        await part.sync();
        // Another program that shares the cache, or one that took over, may have finished the file from the same part.
        if ((await stat(blobFile).catch(() => null))?.size === file.size) return;
        if (!(await isHeld()))
          throw new EngineError(
            "download_failed",
            `another process has taken over the download of ${subject.repository}`,
          );
        await rename(partFile, blobFile);
        return;
      }
    } finally {
      await part.close();
    }
    await rm(partFile, { force: true });
  }
  const name = `${file.path} of ${subject.repository}`;
  throw new EngineError(
    "download_failed",
    `${name} does not have the hash that the hub lists for it (${file.hash}), downloaded twice`,
  );
}

/** Returns the number of bytes that an earlier run has left in a part. */
export async function partLength(partFile: string): Promise<number> {
  const part = await open(partFile, "r").catch(() => null);
  if (part === null) return 0;
  return part
    .stat()
    .then(({ size }) => size)
    .finally(() => part.close());
}

/** Fetches the bytes that the part still lacks. */
async function fetchRest(download: Download, part: FileHandle): Promise<void> {
  const { file, onBytes } = download;
  let length = (await part.stat()).size;
  if (length > file.size) await part.truncate((length = 0));
  let numAhead = 0;
  const report = (numBytes: number): void => onBytes(length + (numAhead += numBytes));
  report(0);
  const done = new AbortController();
  const source = new FileSource(download, done.signal);
  try {
    for (let numRestarts = 0; length < file.size;) {
      try {
        for await (const chunk of inParts(source, length, report)) {
          await writeAll(part, chunk, length);
          length += chunk.length;
          numAhead -= chunk.length;
        }
      } catch (error) {
        if (!(error instanceof RangeRefused)) throw error;
        // The host sends only the whole file, so the bytes fetched so far are of no use.
        if (++numRestarts >= LIMITS.maxHubAttempts) {
          throw new EngineError("hub_unreachable", `the hub cannot be reached: ${error.message}`, null, {
            cause: error,
          });
        }
        await part.truncate((length = 0));
        source.givesRanges = false;
        numAhead = 0;
        report(0);
      }
    }
  } finally {
    done.abort();
  }
}

/** Writes all bytes; a single write may end early. */
async function writeAll(part: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    written += (await part.write(bytes, written, bytes.length - written, position + written)).bytesWritten;
  }
}

/** Yields the bytes from `start` on, in order, while the next parts are already being fetched. */
async function* inParts(
  source: FileSource,
  start: number,
  onBytes: (numBytes: number) => void,
): AsyncGenerator<Uint8Array> {
  const { size } = source;
  const partBytes = source.givesRanges ? LIMITS.hubPartBytes : size;
  const ahead: FetchAhead[] = [];
  for (let next = start; next < size || ahead.length > 0;) {
    while (next < size && ahead.length < LIMITS.hubPartsAtOnce) {
      const end = Math.min(next + partBytes, size);
      ahead.push(new FetchAhead(source, next, end, onBytes));
      next = end;
    }
    yield* ahead[0]!.chunks();
    ahead.shift();
  }
}

/** A range that is fetched in the background. Chunks that have not been read yet are kept, up to the size of a part. */
class FetchAhead {
  readonly #chunks: Uint8Array[] = [];
  #numKept = 0;
  #end: { readonly error: unknown } | null = null;
  #wakeReader: () => void = () => {};
  #wakeSource: () => void = () => {};

  constructor(source: FileSource, start: number, end: number, onBytes: (numBytes: number) => void) {
    source
      .read(start, end, async (chunk) => {
        this.#chunks.push(chunk);
        this.#numKept += chunk.length;
        onBytes(chunk.length);
        this.#wakeReader();
        if (this.#numKept > LIMITS.hubPartBytes) await new Promise<void>((wake) => (this.#wakeSource = wake));
      })
      .then(
        () => (this.#end = { error: null }),
        (error: unknown) => (this.#end = { error }),
      )
      .finally(() => this.#wakeReader());
  }

  async *chunks(): AsyncGenerator<Uint8Array> {
    while (true) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        this.#numKept -= chunk.length;
        yield chunk;
        this.#wakeSource();
      } else if (this.#end === null) await new Promise<void>((wake) => (this.#wakeReader = wake));
      else if (this.#end.error === null) return;
      else throw this.#end.error;
    }
  }
}

/** Reads ranges of one file; a range is requested again from where its connection broke. */
class FileSource {
  givesRanges = true;
  readonly #client: HubClient;
  /** Address of the bytes at another host; such an address expires after a while. */
  #location: string | null = null;
  /** ETag that distinguishes that host's versions of the file. */
  #validator: string | null = null;

  constructor(
    private readonly download: Download,
    signal: AbortSignal,
  ) {
    const { settings, pace, signal: caller } = download.client;
    this.#client = new HubClient(settings, AbortSignal.any([caller, signal]), pace);
  }

  get size(): number {
    return this.download.file.size;
  }

  /** @throws RangeRefused if the host sends only the whole file */
  async read(start: number, end: number, take: (chunk: Uint8Array) => Promise<void>): Promise<void> {
    let position = start;
    const attempt = async (): Promise<void> => {
      const answer = await this.#open(position, end);
      for await (const chunk of answer.chunks()) {
        const wanted = chunk.subarray(0, end - position);
        position += wanted.length;
        await take(wanted);
        if (position === end) return;
      }
      throw new Transient(`${answer.url.host} closed the connection before the end of ${this.download.file.path}`);
    };
    await this.#client.retrying(attempt, () => position);
  }

  async #open(start: number, end: number): Promise<Answer> {
    const { file, url, subject } = this.download;
    const isWhole = start === 0 && end === file.size;
    if (!isWhole && !this.givesRanges)
      throw new RangeRefused(`the connection broke, and ${file.path} cannot be resumed from where it broke`);
    const range = isWhole
      ? {}
      : { range: `bytes=${start}-${end - 1}`, ...(this.#validator === null ? {} : { "if-range": this.#validator }) };
    const target = this.#location ?? url;
    this.#location = null;
    const answer = await this.#client.request(target, subject, { headers: range });
    try {
      this.#check(answer, start, isWhole);
    } catch (error) {
      answer.discard();
      throw error;
    }
    return answer;
  }

  #check({ status, headers, hubHeaders, url }: Answer, start: number, isWhole: boolean): void {
    const { file, subject, client } = this.download;
    const name = `${file.path} of ${subject.repository}`;
    const hubHash = hubHeaders === null ? null : hashOf(hubHeaders);
    if (hubHash !== null && hubHash !== file.hash) {
      throw new EngineError(
        "download_failed",
        `${name} has changed: the hub lists the hash ${file.hash} and offers ${hubHash}`,
      );
    }
    const range = status === 206 ? /^bytes (\d+)-\d+\/(\d+)$/.exec(headers.get("content-range") ?? "") : null;
    if (isWhole ? status !== 200 : range?.[1] !== `${start}`)
      throw new RangeRefused(`${url.host} does not send the requested part of ${file.path}`);
    const total = range?.[2] ?? (headers.has("content-encoding") ? null : headers.get("content-length"));
    if (total !== null && Number(total) !== file.size) {
      throw new EngineError("download_failed", `${name} has ${total} bytes where the hub lists ${file.size}`);
    }
    if (url.origin !== new URL(client.settings.endpoint).origin) this.#location = url.href;
    const etag = headers.get("etag");
    if (etag === null || etag.startsWith("W/")) return;
    if (!isWhole && this.#validator !== null && this.#validator !== etag)
      throw new RangeRefused(`${url.host} has another version of ${file.path} by now`);
    this.#validator = etag;
  }
}

/** The host does not send ranges of this file, or no longer has this version of it. */
class RangeRefused extends Error {
  override readonly name = "RangeRefused";
}

/** Checks the hash: sha256 of the bytes, or git's object id, the sha1 of a header and the bytes. */
async function matches(part: FileHandle, { size, hash }: RemoteFile, signal: AbortSignal): Promise<boolean> {
  if ((await part.stat()).size !== size) return false;
  const digest = hash.length === SHA256_DIGITS ? createHash("sha256") : createHash("sha1").update(`blob ${size}\0`);
  const buffer = Buffer.alloc(READ_BYTES);
  for (let position = 0; position < size;) {
    signal.throwIfAborted();
    const { bytesRead } = await part.read(buffer, 0, buffer.length, position);
    if (bytesRead === 0) return false;
    digest.update(buffer.subarray(0, bytesRead));
    position += bytesRead;
  }
  return digest.digest("hex") === hash;
}

const SHA256_DIGITS = 64;
const READ_BYTES = 1 << 20;

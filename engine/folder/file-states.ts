/**
 * Remembers what was computed from the contents of files, and trusts it while size, inode and both time stamps of each
 * file stay the same to the nanosecond, as git's index does.
 */

import { createHash, randomBytes } from "node:crypto";
import { readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

import { fileSystemCode } from "../errors.js";
import { isMissing, makeFolder, openModelFile, unreadable } from "../formats/index.js";

/** Metadata that distinguishes two states of a file without reading it. */
export interface FileState {
  readonly name: string;
  readonly size: string;
  readonly inode: string;
  readonly modifiedNs: string;
  readonly changedNs: string;
}

/**
 * Returns the states of the files in `dir` that exist.
 * @throws EngineError invalid_model if the disk does not tell
 */
export async function fileStates(dir: string, names: readonly string[]): Promise<FileState[]> {
  const states: FileState[] = [];
  for (const name of names) {
    const path = join(dir, name);
    const entry = await stat(path, { bigint: true }).catch((cause: unknown) => {
      if (isMissing(cause)) return null;
      throw unreadable(path, cause);
    });
    if (entry === null) continue;
    const { size, ino, mtimeNs, ctimeNs } = entry;
    states.push({ name, size: `${size}`, inode: `${ino}`, modifiedNs: `${mtimeNs}`, changedNs: `${ctimeNs}` });
  }
  return states;
}

export function sameStates(a: readonly FileState[], b: readonly FileState[]): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/**
 * True if any change after the states were taken is certain to show in the time stamps.
 *
 * @param takenMs time at which the states were taken, in milliseconds since the epoch
 */
export function isSettled(states: readonly FileState[], takenMs: number): boolean {
  const settledNs = BigInt(takenMs - SETTLED_MS) * 1_000_000n;
  return states.every(({ changedNs }) => BigInt(changedNs) < settledNs);
}

/**
 * Returns the sha256 of a file, in hexadecimal.
 *
 * @throws EngineError if it cannot be read, or the signal's reason
 */
export async function hashFile(path: string, signal: AbortSignal | undefined): Promise<string> {
  const hash = createHash("sha256");
  try {
    const file = await openModelFile(path);
    try {
      const chunk = Buffer.alloc(HASH_CHUNK_BYTES);
      for (;;) {
        signal?.throwIfAborted();
        const { bytesRead } = await file.read(chunk, 0, chunk.length);
        if (bytesRead === 0) return hash.digest("hex");
        hash.update(chunk.subarray(0, bytesRead));
      }
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw fileSystemCode(cause) === null ? cause : unreadable(path, cause);
  }
}

/** Returns the file in the cache that remembers a result about `path`. */
export function memoryFile(cache: string, folder: string, path: string): string {
  return join(cache, folder, `${createHash("sha256").update(path).digest("hex").slice(0, FILE_NAME_DIGITS)}.json`);
}

/** Returns null if the file is missing or unreadable: computing again gives the same result, only slower. */
export async function readMemory(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, "utf8")) as unknown;
  } catch {
    return null;
  }
}

/** Does nothing if the cache cannot be written. The only consequence is that the next start computes again. */
export async function writeMemory(file: string, memory: object): Promise<void> {
  const temporary = `${file}.${randomBytes(6).toString("hex")}`;
  try {
    await makeFolder(dirname(file));
    await writeFile(temporary, JSON.stringify(memory));
    await rename(temporary, file);
  } catch {
    await rm(temporary, { force: true }).catch(() => undefined);
  }
}

const FILE_NAME_DIGITS = 32;
const HASH_CHUNK_BYTES = 1 << 20;
/** Longer than the granularity of any file system's time stamps. */
const SETTLED_MS = 2000;

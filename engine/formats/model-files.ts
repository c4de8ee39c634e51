/**
 * Opens and reads the files of a model folder, which may have been made to do harm, checks whether files exist, and
 * makes folders.
 */

import { closeSync, constants, openSync, readSync, statSync, type Stats } from "node:fs";
import { mkdir, open, stat, type FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";

import type { JsonObject } from "../json.js";
import { EngineError, fileSystemCode } from "../errors.js";
import { LIMITS } from "../limits.js";
import { parseJsonObject } from "./json.js";
import { LFS_POINTER_BYTES, refuseLfsPointer } from "./lfs-pointer.js";

/**
 * Opens a file for reading. Symbolic links are followed, because the files of a shared cache are links.
 * @throws EngineError `invalid_model` for a path that is not a plain file; file system errors for all else
 */
export async function openModelFile(path: string): Promise<FileHandle> {
  if (!(await stat(path)).isFile()) throw notAFile(path);
  return open(path, READ_WITHOUT_WAITING);
}

/** Like `openModelFile`; returns the file descriptor. */
export function openModelFileSync(path: string): number {
  if (!statSync(path).isFile()) throw notAFile(path);
  return openSync(path, READ_WITHOUT_WAITING);
}

/**
 * Looks at the first bytes of a file of weights.
 * @throws EngineError `invalid_model` for a pointer of Git LFS; as `openModelFile`
 */
export function checkIsNoPointer(path: string): void {
  const file = openModelFileSync(path);
  try {
    const beginning = Buffer.alloc(LFS_POINTER_BYTES);
    readSync(file, beginning, 0, beginning.length, 0);
    refuseLfsPointer(beginning, path);
  } finally {
    closeSync(file);
  }
}

/** Fills `into`; returns false if the file ends first. A single read may return less than requested, at most 2 GiB. */
export async function readFully(handle: FileHandle, position: number, into: Uint8Array): Promise<boolean> {
  for (let done = 0; done < into.length;) {
    const { bytesRead } = await handle.read(into, done, Math.min(into.length - done, 1 << 30), position + done);
    if (bytesRead === 0) return false;
    done += bytesRead;
  }
  return true;
}

/** Returns the bytes of `dir/name`, or null if the file does not exist. */
export async function readModelFile(dir: string, name: string): Promise<Uint8Array | null> {
  const path = join(dir, name);
  try {
    const handle = await openModelFile(path);
    try {
      return await readWhole(handle, path);
    } finally {
      await handle.close();
    }
  } catch (cause) {
    if (cause instanceof EngineError) throw cause;
    if (isMissing(cause)) return null;
    throw unreadable(path, cause);
  }
}

export async function readModelJson(dir: string, name: string): Promise<JsonObject | null> {
  const bytes = await readModelFile(dir, name);
  return bytes === null ? null : parseJsonObject(bytes, join(dir, name));
}

/** @throws EngineError invalid_model if the disk does not tell */
export async function fileExists(path: string): Promise<boolean> {
  return (await entryAt(path))?.isFile() ?? false;
}

/**
 * Returns what is at a path, or null if nothing is.
 * @throws EngineError invalid_model if the disk does not tell
 */
export async function entryAt(path: string): Promise<Stats | null> {
  try {
    return await stat(path);
  } catch (cause) {
    if (isMissing(cause)) return null;
    throw unreadable(path, cause);
  }
}

/** Returns true for an error that means that a path leads to nothing. */
export function isMissing(error: unknown): boolean {
  return NOTHING_THERE.has((error as NodeJS.ErrnoException).code ?? "");
}

/** The last one is Node's own, for a path with U+0000. */
const NOTHING_THERE: ReadonlySet<string> = new Set(["ENOENT", "ENOTDIR", "ENAMETOOLONG", "ERR_INVALID_ARG_VALUE"]);

/** Returns the error for a file that may be there and whole, but cannot be read; its cause is the system's error. */
export function unreadable(path: string, cause: unknown): EngineError {
  const code = fileSystemCode(cause) ?? (cause as Error).message;
  return new EngineError("invalid_model", `${path} cannot be read (${code})`, null, { cause });
}

/**
 * Creates a folder and its missing parents. Where a disk is read-only, Node's `mkdir` with `recursive` reports that the
 * folder does not exist (ENOENT); this function reports the reason.
 *
 * @returns the first folder that was created; undefined if all existed
 */
export async function makeFolder(path: string): Promise<string | undefined> {
  try {
    return await mkdir(path, { recursive: true });
  } catch (error) {
    if (fileSystemCode(error) !== "ENOENT") throw error;
    const first = await firstMissing(path);
    await mkdir(first).catch((reason: unknown) => {
      throw fileSystemCode(reason) === "EEXIST" ? error : reason;
    });
    await mkdir(path, { recursive: true });
    return first;
  }
}

/** Returns the topmost folder of a path that does not exist. */
async function firstMissing(path: string): Promise<string> {
  const parent = dirname(path);
  const hasParent = await stat(parent).then(
    () => true,
    () => false,
  );
  return hasParent || parent === path ? path : firstMissing(parent);
}

/** A pipe that replaces the file between check and opening does not block the thread either. Windows has no such flag. */
const READ_WITHOUT_WAITING = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

/** Reads as many bytes as the file had when it was opened. */
async function readWhole(handle: FileHandle, path: string): Promise<Uint8Array> {
  const { size } = await handle.stat();
  if (size > LIMITS.maxModelJsonBytes) {
    throw new EngineError(
      "invalid_model",
      `${path} has ${size} bytes; at most ${LIMITS.maxModelJsonBytes} are allowed`,
    );
  }
  const bytes = Buffer.alloc(size);
  if (await readFully(handle, 0, bytes)) return bytes;
  throw new EngineError("invalid_model", `${path} became shorter while it was read`);
}

function notAFile(path: string): EngineError {
  return new EngineError("invalid_model", `${path} is not a file: it is a folder, a pipe or a device`);
}

/**
 * Identity of the model in a folder: the sha256 over all its files. Hashing gigabytes at every start would be slow, so
 * the cache remembers the hash of a set of files and trusts it while size, inode and both time stamps of each file stay
 * the same to the nanosecond, as git's index does.
 */

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readdir, readFile, realpath, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

import { EngineError } from "../errors.js";
import { fileExists, INDEX_FILE, readModelFile, SINGLE_FILE } from "../formats/index.js";
import { TEXT_FILES } from "./text-files.js";

/** Identifies the model in `dir`: from `cache` if its entry is still valid, otherwise by reading every file. */
export async function identifySource(
  cache: string,
  dir: string,
  { weights = null, signal }: IdentifyOptions = {},
): Promise<SourceIdentity> {
  const path = await realpath(dir);
  const takenMs = Date.now();
  const names = [...TEXT_FILES, ...(weights ?? (await weightFiles(dir)))];
  const states = await fileStates(dir, names);
  const file = memoryFile(cache, weights === null ? path : join(path, ...weights));
  const memory = await readMemory(file);
  const isRemembered = memory !== null && isSettled(memory) && sameStates(memory.states, states);
  const hash = isRemembered ? memory.hash : await hashFiles(dir, states, signal);
  return {
    hash,
    isUnchanged: async () => sameStates(states, await fileStates(dir, names)),
    remember: async () => {
      if (!isRemembered) await writeMemory(file, { path, states, takenMs, hash });
    },
  };
}

/** Returns the cache's entries: a folder has one for its safetensors and one for each of its ONNX files. */
export async function rememberedSources(cache: string): Promise<RememberedSource[]> {
  const names = await readdir(join(cache, FOLDER)).catch(() => []);
  const sources = names.map(async (name) => {
    const file = join(cache, FOLDER, name);
    const memory = await readMemory(file);
    return memory === null
      ? []
      : [{ file, path: memory.path, hash: memory.hash, names: memory.states.map(({ name }) => name) }];
  });
  return (await Promise.all(sources)).flat();
}

export interface RememberedSource {
  /** File of the cache entry. */
  readonly file: string;
  readonly path: string;
  readonly hash: string;
  /** Names of the files that were hashed. */
  readonly names: readonly string[];
}

/** Removes an entry from the cache, as if the files had never been used. */
export async function forgetSource({ file }: RememberedSource): Promise<void> {
  await rm(file, { force: true });
}

export interface IdentifyOptions {
  /** Names of the files that hold the weights; by default the safetensors. */
  readonly weights?: readonly string[] | null;
  /** Aborts the reading. */
  readonly signal?: AbortSignal | undefined;
}

export interface SourceIdentity {
  /** sha256 of the names and contents of the files, in hexadecimal. */
  readonly hash: string;
  /** Returns true if the files are still those that were hashed. */
  isUnchanged(): Promise<boolean>;
  /** Stores the hash, so that the next start skips the hashing; silently does nothing if the cache is not writable. */
  remember(): Promise<void>;
}

const FOLDER = "sources";
const FILE_NAME_DIGITS = 32;
const HASH_CHUNK_BYTES = 1 << 20;
/** Longer than the granularity of any file system's time stamps. */
const SETTLED_MS = 2000;

/** Metadata that distinguishes two states of a file without reading it. */
interface FileState {
  readonly name: string;
  readonly size: string;
  readonly inode: string;
  readonly modifiedNs: string;
  readonly changedNs: string;
}

interface Memory {
  /** Absolute, without symbolic links. */
  readonly path: string;
  readonly states: readonly FileState[];
  /** Time at which the states were taken, in milliseconds since the epoch. */
  readonly takenMs: number;
  readonly hash: string;
}

async function fileStates(dir: string, names: readonly string[]): Promise<FileState[]> {
  const states: FileState[] = [];
  for (const name of names) {
    const entry = await stat(join(dir, name), { bigint: true }).catch(() => null);
    if (entry === null) continue;
    const { size, ino, mtimeNs, ctimeNs } = entry;
    states.push({ name, size: `${size}`, inode: `${ino}`, modifiedNs: `${mtimeNs}`, changedNs: `${ctimeNs}` });
  }
  return states;
}

/** Returns the single file, or the index and every name in it that looks like a shard; opening weights checks names. */
async function weightFiles(dir: string): Promise<string[]> {
  if (await fileExists(join(dir, SINGLE_FILE))) return [SINGLE_FILE];
  const index = await readModelFile(dir, INDEX_FILE);
  if (index === null) return [];
  const shards = new Set(
    Buffer.from(index)
      .toString()
      .match(/[^"/\\]+\.safetensors(?=")/g) ?? [],
  );
  return [INDEX_FILE, ...[...shards].sort()];
}

function sameStates(a: readonly FileState[], b: readonly FileState[]): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** True if any change after the states were taken is certain to show in the time stamps. */
function isSettled({ states, takenMs }: Memory): boolean {
  const settledNs = BigInt(takenMs - SETTLED_MS) * 1_000_000n;
  return states.every(({ changedNs }) => BigInt(changedNs) < settledNs);
}

async function hashFiles(dir: string, states: readonly FileState[], signal: AbortSignal | undefined): Promise<string> {
  const all = createHash("sha256");
  for (const { name } of states) {
    const path = join(dir, name);
    const hash = createHash("sha256");
    try {
      for await (const chunk of createReadStream(path, { highWaterMark: HASH_CHUNK_BYTES, signal }))
        hash.update(chunk as Buffer);
    } catch (cause) {
      signal?.throwIfAborted();
      const { code } = cause as NodeJS.ErrnoException;
      throw new EngineError("invalid_model", `${path} cannot be read (${code})`, null, { cause });
    }
    all.update(`${name} ${hash.digest("hex")}\n`);
  }
  return all.digest("hex");
}

function memoryFile(cache: string, path: string): string {
  return join(cache, FOLDER, `${createHash("sha256").update(path).digest("hex").slice(0, FILE_NAME_DIGITS)}.json`);
}

async function readMemory(file: string): Promise<Memory | null> {
  try {
    const memory = JSON.parse(await readFile(file, "utf8")) as Memory;
    const isWhole =
      /^[0-9a-f]{64}$/.test(memory.hash) && typeof memory.path === "string" && Array.isArray(memory.states);
    return isWhole ? memory : null;
  } catch {
    // The entry is missing or unreadable: hashing gives the same result, only slower.
    return null;
  }
}

async function writeMemory(file: string, memory: Memory): Promise<void> {
  const temporary = `${file}.${process.pid}`;
  try {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(temporary, JSON.stringify(memory));
    await rename(temporary, file);
  } catch {
    // The only consequence is that the next start hashes again.
  }
}

/**
 * Identity of the model in a folder: the sha256 over all its files. Hashing gigabytes at every start would be slow, so
 * the cache remembers the hash of a set of files.
 */

import { createHash } from "node:crypto";
import { readdir, realpath, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

import { weightFiles } from "../formats/index.js";
import { isObject } from "../json.js";
import {
  fileStates,
  hashFile,
  isSettled,
  memoryFile,
  readMemory,
  sameStates,
  writeMemory,
  type FileState,
} from "./file-states.js";
import { ggufShards, isGguf } from "./gguf-file.js";
import { TEXT_FILES } from "./text-files.js";

/**
 * Identifies the model in `dir`, which may be a GGUF file: from `cache` if its entry is still valid, otherwise by reading
 * every file.
 */
export async function identifySource(
  cache: string,
  dir: string,
  { weights = null, signal, check }: IdentifyOptions = {},
): Promise<SourceIdentity> {
  if (isGguf(dir)) return identifySource(cache, dirname(dir), { weights: await ggufShards(dir), signal, check });
  const path = await realpath(dir);
  const takenMs = Date.now();
  const names = isGguf(weights?.[0] ?? "") ? weights! : [...TEXT_FILES, ...(weights ?? (await weightFiles(dir)))];
  const states = await fileStates(dir, names);
  const file = memoryFile(cache, FOLDER, weights === null ? path : join(path, ...weights));
  const memory = await rememberedHash(file);
  const isRemembered = memory !== null && isSettled(memory.states, memory.takenMs) && sameStates(memory.states, states);
  if (!isRemembered) await check?.();
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
  // A process that was killed may have left a temporary file with another ending.
  const entries = names.filter((name) => name.endsWith(".json"));
  const sources = entries.map(async (name) => {
    const file = join(cache, FOLDER, name);
    const memory = await rememberedHash(file);
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
  /** Called before the files are read, if they have to be: throws for a model that need not be read to be refused. */
  readonly check?: (() => Promise<void>) | undefined;
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

interface Memory {
  /** Absolute, without symbolic links. */
  readonly path: string;
  readonly states: readonly FileState[];
  /** Time at which the states were taken, in milliseconds since the epoch. */
  readonly takenMs: number;
  readonly hash: string;
}

async function hashFiles(dir: string, states: readonly FileState[], signal: AbortSignal | undefined): Promise<string> {
  const all = createHash("sha256");
  for (const { name } of states) all.update(`${name} ${await hashFile(join(dir, name), signal)}\n`);
  return all.digest("hex");
}

async function rememberedHash(file: string): Promise<Memory | null> {
  const memory = await readMemory(file);
  const isWhole =
    isObject(memory) &&
    /^[0-9a-f]{64}$/.test(String(memory["hash"])) &&
    typeof memory["path"] === "string" &&
    Array.isArray(memory["states"]);
  return isWhole ? (memory as unknown as Memory) : null;
}

/**
 * Writes a folder that appears complete or not at all: it is written under a temporary name next to its target, then
 * renamed. It is removed if its writer fails, is interrupted or exits; a folder that a killed process left is removed
 * by the next process that writes next to it.
 */

import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { mkdir, readdir, rename, rm, rmdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

import { fileSystemCode } from "../errors.js";
import { makeFolder } from "../formats/index.js";
import { LIMITS } from "../limits.js";
import { isRunning, machineName, processNamespace } from "./hub/index.js";

/**
 * Runs `write` on a new folder and renames that folder to `target`. A target that exists by then (another process was
 * faster) is kept, and the new folder is removed.
 */
export async function writeFolder(target: string, write: (dir: string) => Promise<void>): Promise<void> {
  const parent = dirname(target);
  const firstCreated = await makeFolder(parent);
  await removeStale(parent);
  const dir = temporaryName(parent);
  await mkdir(dir);
  removeOnExit(dir);
  try {
    await write(dir);
    if (!(await renamed(dir, target))) await rm(dir, { recursive: true, force: true });
  } catch (error) {
    await rm(dir, { recursive: true, force: true });
    if (firstCreated !== undefined) await removeEmptyFolders(parent, firstCreated);
    throw error;
  } finally {
    keepOnExit(dir);
  }
}

/** Removes a folder, if it exists: first renames it, so that it disappears from its path at once, then deletes it. */
export async function removeFolder(path: string): Promise<void> {
  const aside = temporaryName(dirname(path));
  try {
    await rename(path, aside);
  } catch (error) {
    if (fileSystemCode(error) === "ENOENT") return;
    throw error;
  }
  await rm(aside, { recursive: true, force: true });
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

function temporaryName(parent: string): string {
  const namespace = processNamespace();
  const owner = `${machineName()}${namespace === null ? "" : `-${namespace}`}-${process.pid}`;
  return join(parent, `.staging-${owner}-${randomBytes(6).toString("hex")}`);
}

/** Renames the folder. Returns false if the target already exists; an empty folder counts as not existing. */
async function renamed(dir: string, target: string): Promise<boolean> {
  await rmdir(target).catch(() => undefined);
  try {
    await rename(dir, target);
    return true;
  } catch (error) {
    const exists = await stat(target).then(
      () => true,
      () => false,
    );
    if (exists) return false;
    throw error;
  }
}

/**
 * Folders that this process is writing. They share one handler per signal: `interrupted` counts listeners to decide
 * whether other code handles the signal.
 */
const unfinished = new Set<string>();

/** Installs the handlers with the first folder. In a worker thread only the exit handler ever runs. */
function removeOnExit(dir: string): void {
  if (unfinished.size === 0) {
    process.on("exit", removeUnfinished);
    for (const signal of SIGNALS) process.on(signal, interrupted);
  }
  unfinished.add(dir);
}

function keepOnExit(dir: string): void {
  unfinished.delete(dir);
  if (unfinished.size > 0) return;
  process.removeListener("exit", removeUnfinished);
  for (const signal of SIGNALS) process.removeListener(signal, interrupted);
}

function removeUnfinished(): void {
  for (const dir of unfinished) rmSync(dir, { recursive: true, force: true });
}

function interrupted(signal: NodeJS.Signals): void {
  // If other code listens too, it decides what the signal means. Otherwise we clean up and let it end the process.
  if (process.listenerCount(signal) > 1) return;
  removeUnfinished();
  process.removeListener(signal, interrupted);
  process.kill(process.pid, signal);
}

/** Removes the temporary folders of processes that no longer exist. */
export async function removeStale(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const match = /^\.staging-(\w*?)(?:-([0-9a-f]{12}))?-(\d+)-[0-9a-f]+$/.exec(name);
    if (match === null) continue;
    const [, machine = "", namespace = null, pid] = match;
    const path = join(parent, name);
    const isStale = await isAbandoned(path, { machine, namespace, pid: Number(pid) });
    // Another user's stale folder that we may not remove must not prevent our own write.
    if (isStale) await rm(path, { recursive: true, force: true }).catch(() => undefined);
  }
}

interface Owner {
  readonly machine: string;
  readonly namespace: string | null;
  readonly pid: number;
}

/**
 * Decides whether a temporary folder is abandoned: at once if its owner's process id can be looked up and is not in
 * use. Containers may share a disk and a host name but not their process ids: there a live process may look dead, but
 * it keeps writing to its folder. Another thread of this process has its own list of folders.
 */
async function isAbandoned(path: string, { machine, namespace, pid }: Owner): Promise<boolean> {
  const silenceMs = Date.now() - (await lastWriteMs(path));
  if (silenceMs > LIMITS.maxStagingSilenceMs) return !unfinished.has(path);
  if (machine !== machineName()) return false;
  if (namespace !== null && namespace === processNamespace() && !isRunning(pid)) return true;
  if (silenceMs < LIMITS.stagingSilenceMs) return false;
  // Our own id may have been reused: containers give the same id to every run.
  return pid === process.pid ? !unfinished.has(path) : !isRunning(pid);
}

/** Returns the time of the last write to a folder or to a file in it, in milliseconds since the epoch. */
async function lastWriteMs(path: string): Promise<number> {
  const names = await readdir(path).catch(() => []);
  const times = await Promise.all(
    [path, ...names.map((name) => join(path, name))].map(
      async (each) => (await stat(each).catch(() => null))?.mtimeMs ?? 0,
    ),
  );
  return Math.max(...times);
}

/** Removes `path` and its parents up to `first`, as long as they are empty. */
async function removeEmptyFolders(path: string, first: string): Promise<void> {
  for (let folder = path; ; folder = dirname(folder)) {
    try {
      await rmdir(folder);
    } catch {
      return;
    }
    if (folder === first || basename(folder) === "") return;
  }
}

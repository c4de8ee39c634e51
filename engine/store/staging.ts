/**
 * A folder that appears whole or not at all: written under a temporary name beside its target, then renamed.
 * It is removed when its writer fails, is interrupted or exits; what a killed process left is removed by the
 * next one that writes beside it.
 */

import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { mkdir, readdir, rename, rm, rmdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

import { fileSystemCode } from "../errors.js";
import { LIMITS } from "../limits.js";
import { isRunning, machineName } from "./hub/index.js";

/**
 * Runs `write` on a fresh folder and gives that folder the name `target`. A target that exists by then (another
 * process was faster) is kept, and the fresh folder dropped.
 */
export async function writeFolder(target: string, write: (dir: string) => Promise<void>): Promise<void> {
  const parent = dirname(target);
  const firstCreated = await mkdir(parent, { recursive: true });
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

/** Removes a folder, if it is there, at once for everyone who looks for it under its name; then deletes it. */
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

const PREFIX = ".staging-";
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

function temporaryName(parent: string): string {
  return join(parent, `${PREFIX}${machineName()}-${process.pid}-${randomBytes(6).toString("hex")}`);
}

/** False where the target exists already. An empty folder counts as not existing. */
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

/** Folders that this process is writing. All share their hooks: who listens twice to a signal is taken for two who listen. */
const unfinished = new Set<string>();

/** In a worker thread only the exit hook ever runs. */
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
  // Whoever else listens decides what the signal means; alone, we clean up and let it end the process.
  if (process.listenerCount(signal) > 1) return;
  removeUnfinished();
  process.removeListener(signal, interrupted);
  process.kill(process.pid, signal);
}

/** Removes the temporary folders of processes that are no more. */
async function removeStale(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const match = /^(.*)-(\d+)-[0-9a-f]+$/.exec(name);
    if (match === null || !name.startsWith(PREFIX)) continue;
    const path = join(parent, name);
    const isStale = await isAbandoned(path, match[1]!.slice(PREFIX.length), Number(match[2]));
    // What somebody else left and we may not remove is no reason to write nothing.
    if (isStale) await rm(path, { recursive: true, force: true }).catch(() => undefined);
  }
}

/** Containers may share a disk and a host name, and each has processes of its own: a live one may look dead, but is not silent. */
async function isAbandoned(path: string, machine: string, pid: number): Promise<boolean> {
  const silenceMs = Date.now() - (await lastWriteMs(path));
  if (silenceMs > LIMITS.maxStagingSilenceMs) return !unfinished.has(path);
  if (machine !== machineName() || silenceMs < LIMITS.stagingSilenceMs) return false;
  // Our own id, reused: containers give the same one to every run.
  return pid === process.pid ? !unfinished.has(path) : !isRunning(pid);
}

/** Of a folder and the files in it. */
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

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
import { isRunning, machineName } from "../processes.js";

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
  const release = removeOnExit(dir);
  try {
    await write(dir);
    if (!(await renamed(dir, target))) await rm(dir, { recursive: true, force: true });
  } catch (error) {
    await rm(dir, { recursive: true, force: true });
    if (firstCreated !== undefined) await removeEmptyFolders(parent, firstCreated);
    throw error;
  } finally {
    release();
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
/** Clocks of files and processes need not agree to the millisecond. */
const CLOCK_SLACK_MS = 2000;

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

/** Returns what takes the hooks away again. In a worker thread only the exit hook ever runs. */
function removeOnExit(dir: string): () => void {
  const remove = (): void => rmSync(dir, { recursive: true, force: true });
  const interrupted = (signal: NodeJS.Signals): void => {
    // Whoever else listens decides what the signal means; alone, we clean up and let it end the process.
    if (process.listenerCount(signal) > 1) return;
    remove();
    process.removeListener(signal, interrupted);
    process.kill(process.pid, signal);
  };
  process.once("exit", remove);
  for (const signal of SIGNALS) process.on(signal, interrupted);
  return () => {
    process.removeListener("exit", remove);
    for (const signal of SIGNALS) process.removeListener(signal, interrupted);
  };
}

/** Removes the temporary folders of processes of this machine that are no more. */
async function removeStale(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const match = /^(.*)-(\d+)-[0-9a-f]+$/.exec(name);
    if (match?.[1] !== `${PREFIX}${machineName()}`) continue;
    const path = join(parent, name);
    if (await isAbandoned(path, Number(match[2]))) await rm(path, { recursive: true, force: true });
  }
}

async function isAbandoned(path: string, pid: number): Promise<boolean> {
  if (pid !== process.pid) return !isRunning(pid);
  // Our own id, reused: containers give the same one to every run. A folder older than this process is not ours.
  const processStartMs = Date.now() - process.uptime() * 1000;
  const entry = await stat(path).catch(() => null);
  return entry !== null && entry.mtimeMs < processStartMs - CLOCK_SLACK_MS;
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

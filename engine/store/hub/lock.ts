/**
 * Lock that lets only one process at a time download a repository. The owner touches its lock file periodically; a lock
 * whose process no longer exists, or that has not been touched for a while, is taken over. An owner that was suspended
 * for that long detects the takeover before it gives a file its final name.
 */

import { randomUUID } from "node:crypto";
import { readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

import { makeFolder } from "../../formats/index.js";
import { LIMITS } from "../../limits.js";
import { isRunning, machineName } from "./processes.js";

export interface Lock {
  /** Returns true if no other process has taken the lock over. */
  isHeld(): Promise<boolean>;
  release(): Promise<void>;
}

/** Acquires the lock; `onWait` is called once if it has to wait. */
export async function acquireLock(path: string, signal: AbortSignal, onWait: () => void): Promise<Lock> {
  const owner = `${machineName()} ${process.pid} ${randomUUID()}`;
  let seen = null as Sighting | null;
  while (!(await created(path, owner))) {
    signal.throwIfAborted();
    const state = await lockState(path);
    if (state === null) continue;
    const nowMs = performance.now();
    // Silence is measured by our own clock, because another machine's clock may be wrong.
    if (isAbandoned(state) || (seen?.state === state && nowMs - seen.sinceMs > LIMITS.hubLockSilenceMs)) {
      await removeAbandoned(path, state, signal);
      continue;
    }
    if (seen === null) onWait();
    if (seen?.state !== state) seen = { state, sinceMs: nowMs };
    await pause(POLL_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
  const isHeld = async (): Promise<boolean> => {
    try {
      return (await readFile(path, "utf8")) === owner;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
      throw error;
    }
  };
  const touching = setInterval(
    () => void utimes(path, new Date(), new Date()).catch(() => undefined),
    LIMITS.hubLockSilenceMs / 5,
  );
  touching.unref();
  return {
    isHeld,
    release: async () => {
      clearInterval(touching);
      // A lock that cannot be read is left; another process takes it over when it has not been touched for a while.
      if (await isHeld().catch(() => false)) await rm(path, { force: true });
    },
  };
}

/** State of a lock file, and the time since which it has not changed, on the clock of `performance.now`. */
interface Sighting {
  readonly state: string;
  readonly sinceMs: number;
}

const POLL_MS = 200;

async function created(path: string, owner: string): Promise<boolean> {
  try {
    // A cleanup of the cache may remove the folder while we wait.
    await makeFolder(dirname(path));
    await writeFile(path, owner, { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/**
 * Removes an abandoned lock. Only one process at a time does so; otherwise one could remove the new lock that a faster
 * process has created in place of the abandoned one.
 */
async function removeAbandoned(path: string, state: string, signal: AbortSignal): Promise<void> {
  const turn = await acquireLock(`${path}.takeover`, signal, () => {});
  try {
    if ((await lockState(path)) === state) await rm(path, { force: true });
  } finally {
    await turn.release();
  }
}

/** Returns the owner and the time of the last touch; null if the lock has just been released. */
async function lockState(path: string): Promise<string | null> {
  try {
    return `${await readFile(path, "utf8")} ${(await stat(path)).mtimeMs}`;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

function isAbandoned(state: string): boolean {
  const [machine, pid] = state.split(" ");
  return machine === machineName() && /^\d+$/.test(pid ?? "") && !isRunning(Number(pid));
}

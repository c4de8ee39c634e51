/**
 * One process at a time downloads a repository. The owner touches its lock file again and again; a lock whose
 * process is gone, or that nobody has touched for a while, is taken over. An owner that was suspended for so long
 * finds out before it gives a file its final name.
 */

import { randomUUID } from "node:crypto";
import { mkdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

import { LIMITS } from "../../limits.js";
import { isRunning, machineName } from "./processes.js";

export interface Lock {
  /** Whether nobody has taken it over. */
  isHeld(): Promise<boolean>;
  release(): Promise<void>;
}

/** Waits for the lock; `onWait` is called once if it has to. */
export async function acquireLock(path: string, signal: AbortSignal, onWait: () => void): Promise<Lock> {
  const owner = `${machineName()} ${process.pid} ${randomUUID()}`;
  let seen = null as Sighting | null;
  while (!(await created(path, owner))) {
    signal.throwIfAborted();
    const state = await lockState(path);
    if (state === null) continue;
    const nowMs = performance.now();
    // Silence is measured by our own clock: that of another machine may be off.
    if (isAbandoned(state) || (seen?.state === state && nowMs - seen.sinceMs > LIMITS.hubLockSilenceMs)) {
      await removeAbandoned(path, state, signal);
      continue;
    }
    if (seen === null) onWait();
    if (seen?.state !== state) seen = { state, sinceMs: nowMs };
    await pause(POLL_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
  const isHeld = async (): Promise<boolean> => (await readFile(path, "utf8").catch(() => null)) === owner;
  const touching = setInterval(
    () => void utimes(path, new Date(), new Date()).catch(() => undefined),
    LIMITS.hubLockSilenceMs / 5,
  );
  touching.unref();
  return {
    isHeld,
    release: async () => {
      clearInterval(touching);
      if (await isHeld()) await rm(path, { force: true });
    },
  };
}

/** What a lock looked like, and since when it has looked like that. */
interface Sighting {
  readonly state: string;
  readonly sinceMs: number;
}

const POLL_MS = 200;

async function created(path: string, owner: string): Promise<boolean> {
  try {
    // Whoever cleans up the cache may remove the folder while we wait.
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, owner, { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/** One at a time, so that nobody removes the lock that a faster one has created in the place of the abandoned one. */
async function removeAbandoned(path: string, state: string, signal: AbortSignal): Promise<void> {
  const turn = await acquireLock(`${path}.takeover`, signal, () => {});
  try {
    if ((await lockState(path)) === state) await rm(path, { force: true });
  } finally {
    await turn.release();
  }
}

/** Owner and last touch; null where the lock has just been released. */
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

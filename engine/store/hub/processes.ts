/** Identifies the process that wrote a file on a shared disk, and checks whether it still runs. */

import { createHash } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";

/** Returns the host name for use in a file name: process ids have no meaning on another machine. */
export function machineName(): string {
  return hostname().replaceAll(/[^A-Za-z0-9]/g, "_");
}

/** Returns true if a process with this id runs on this machine. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

/**
 * Returns a name of the process ids' namespace, for use in a file name: two processes with the same name of it see each
 * other's ids. Containers may share a disk and a host name, but not this. Null where it is not known.
 */
export function processNamespace(): string | null {
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8");
    return createHash("sha256")
      .update(`${boot}${readlinkSync("/proc/self/ns/pid")}`)
      .digest("hex")
      .slice(0, 12);
  } catch {
    return null;
  }
}

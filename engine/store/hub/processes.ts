/** Identifies the process that wrote a file on a shared disk, and checks whether it still runs. */

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

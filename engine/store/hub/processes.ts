/** Which process left a file behind, and whether it still runs: for what several processes share on a disk. */

import { hostname } from "node:os";

/** Host name as part of a file name: process ids mean nothing on another machine. */
export function machineName(): string {
  return hostname().replaceAll(/[^A-Za-z0-9]/g, "_");
}

/** Of this machine. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

/** The worker threads of this process that have not ended. */

import type { Worker } from "node:worker_threads";

let numLive = 0;

/** Counts a worker until it ends. */
export function countWorker(worker: Worker): void {
  numLive++;
  worker.once("exit", () => numLive--);
}

export function numLiveWorkers(): number {
  return numLive;
}

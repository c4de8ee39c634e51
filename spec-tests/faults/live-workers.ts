/** The worker threads of this process that have not ended. */

import type { Worker } from "node:worker_threads";

const live = new Set<Worker>();

/** Counts a worker until it ends. */
export function countWorker(worker: Worker): void {
  live.add(worker);
  worker.once("exit", () => live.delete(worker));
}

export function numLiveWorkers(): number {
  return live.size;
}

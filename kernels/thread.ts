/** One worker thread of the kernels: its own instance over the shared memory, which runs jobs until the thread ends. */

import { workerData } from "node:worker_threads";

import type { KernelExports } from "./layout.js";
import { abort } from "./load.js";
import type { ThreadData } from "./threads.js";

const { module, memory, index, port } = workerData as ThreadData;
const instance = new WebAssembly.Instance(module, { env: { memory, abort } });
const kernels = instance.exports as unknown as KernelExports;

try {
  kernels.work(index);
} catch (error) {
  // The other threads trap at their next check of the failure flag; thread 0 then reports this message.
  port.postMessage(error instanceof Error ? error.message : String(error));
  kernels.fail();
}

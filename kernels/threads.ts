/**
 * The worker threads of the kernels. Each instantiates the same compiled module over the same memory and
 * stays inside WebAssembly (assembly/threads.ts) until the pool closes or a kernel traps.
 */

import { MessageChannel, type MessagePort, Worker, receiveMessageOnPort } from "node:worker_threads";

import type { KernelExports } from "./layout.js";
import type { LoadedKernels } from "./load.js";

/** Startup data of a worker thread (thread.ts). */
export interface ThreadData {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  /** Thread number, 1 or larger. Thread 0 is the caller's. */
  readonly index: number;
  /** The worker posts the message of a fatal error here. */
  readonly port: MessagePort;
}

interface Thread {
  readonly worker: Worker;
  readonly port: MessagePort;
}

export class ThreadPool {
  readonly #threads: readonly Thread[];
  #closed = false;
  #failure: string | null = null;

  private constructor(threads: readonly Thread[], kernels: KernelExports) {
    this.#threads = threads;
    for (const { worker } of threads) {
      worker.on("error", (error) => (this.#failure ??= error.message));
      worker.on("exit", () => {
        if (this.#closed) return;
        this.#failure ??= "a worker thread exited";
        kernels.fail();
      });
    }
  }

  /**
   * Starts `count` workers. A worker takes part in jobs once it is running; jobs do not wait for it. Workers never
   * keep the process alive.
   */
  static start({ folder, module, memory, exports }: LoadedKernels, count: number): ThreadPool {
    // A worker thread of Node 20 cannot run TypeScript, so it runs the compiled JavaScript.
    const file = new URL("thread.js", folder);
    return new ThreadPool(
      Array.from({ length: count }, (_, i) => startThread(file, module, memory, i + 1)),
      exports,
    );
  }

  /** Returns the error that ended a thread, or null if no thread has died. */
  failure(): string | null {
    for (const { port } of this.#threads)
      this.#failure ??= (receiveMessageOnPort(port)?.message as string | undefined) ?? null;
    return this.#failure;
  }

  /** Ends the workers. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
  }
}

function startThread(file: URL, module: WebAssembly.Module, memory: WebAssembly.Memory, index: number): Thread {
  const { port1, port2 } = new MessageChannel();
  const workerData: ThreadData = { module, memory, index, port: port2 };
  // The process may have Node options that a worker does not accept, so the worker inherits none.
  const worker = new Worker(file, { workerData, transferList: [port2], execArgv: [] });
  port1.unref();
  worker.unref();
  return { worker, port: port1 };
}

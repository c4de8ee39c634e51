/**
 * The worker threads of the kernels. Each instantiates the same compiled module over the same memory and
 * then never leaves WebAssembly (assembly/threads.ts) until the pool closes or a kernel traps.
 */

import { MessageChannel, type MessagePort, Worker, receiveMessageOnPort } from "node:worker_threads";

import type { KernelExports } from "./layout.js";
import type { LoadedKernels } from "./load.js";

/** What a worker starts with (thread.ts). */
export interface ThreadData {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  /** 1 and up. */
  readonly index: number;
  /** Takes the message of the error that ends the thread, if one does. */
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
        this.#failure ??= "it ended";
        kernels.fail();
      });
    }
  }

  /**
   * Starts `count` workers. Each joins in when it is up: a job needs none of them to go on. They never keep the
   * process alive.
   */
  static start({ folder, module, memory, exports }: LoadedKernels, count: number): ThreadPool {
    // Compiled JavaScript: a worker of Node 20 cannot run TypeScript.
    const file = new URL("thread.js", folder);
    return new ThreadPool(
      Array.from({ length: count }, (_, i) => startThread(file, module, memory, i + 1)),
      exports,
    );
  }

  /** Why a thread died, where one did. */
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
  // The process's own arguments may be none that a worker accepts.
  const worker = new Worker(file, { workerData, transferList: [port2], execArgv: [] });
  port1.unref();
  worker.unref();
  return { worker, port: port1 };
}

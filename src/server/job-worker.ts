/**
 * Runs jobs in a worker thread, one after the other. The worker is started on demand. If it dies or hangs, only the job
 * that it was running fails, and a new worker takes the next ones.
 *
 * The worker's program answers every job with one message. Its `workerData` is a WorkerInput.
 */

import { Worker } from "node:worker_threads";

export interface WorkerInput {
  readonly data: unknown;
  /** Int32: not 0 while the current job's result is no longer needed. */
  readonly isCanceled: SharedArrayBuffer;
}

export interface JobWorkerOptions {
  /** Program of the worker. */
  readonly url: URL;
  /** Plain data for the program. */
  readonly data?: unknown;
  /** A job that takes longer is considered hung. The time includes the start of the worker. */
  readonly timeoutMs: number;
  /** Time without jobs after which the worker is ended, to release its memory; by default it is kept. */
  readonly idleMs?: number;
  /** Limit of the worker's JavaScript heap, in MiB. */
  readonly maxHeapMiB?: number;
}

/** A job was lost with its worker. */
export class JobLost extends Error {
  override readonly name = "JobLost";

  constructor(
    readonly reason: "died" | "hung" | "out of memory",
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

interface Pending<Job, Reply> {
  readonly job: Job;
  readonly moved: readonly ArrayBuffer[];
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: unknown) => void;
}

export class JobWorker<Job extends object, Reply extends object> {
  readonly #options: JobWorkerOptions;
  readonly #isCanceled = new Int32Array(new SharedArrayBuffer(4));
  readonly #waiting = new Set<Pending<Job, Reply>>();
  #current: Pending<Job, Reply> | null = null;
  #worker: Worker | null = null;
  #isHung = false;
  #isClosed = false;
  /** Time limit of the current job, or, without one, the idle timeout of the worker. */
  #timer: NodeJS.Timeout | undefined;

  constructor(options: JobWorkerOptions) {
    this.#options = options;
  }

  /**
   * Runs a job after those before it.
   *
   * @param moved buffers of the job that are transferred; the caller must not use them afterwards
   * @throws JobLost if the worker dies or hangs; the signal's reason, immediately; the platform's error if no thread can
   *   be started or the job cannot be passed on
   */
  run(job: Job, moved: readonly ArrayBuffer[], signal: AbortSignal): Promise<Reply> {
    if (this.#isClosed) return Promise.reject(new JobLost("died", "The worker has been closed"));
    if (signal.aborted) return Promise.reject(signal.reason as Error);
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.delete(pending);
        if (this.#current === pending) Atomics.store(this.#isCanceled, 0, 1);
        reject(signal.reason as Error);
      };
      const settled = <T>(settle: (value: T) => void) => {
        return (value: T): void => {
          signal.removeEventListener("abort", leave);
          settle(value);
        };
      };
      const pending: Pending<Job, Reply> = { job, moved, resolve: settled(resolve), reject: settled(reject) };
      signal.addEventListener("abort", leave, { once: true });
      this.#waiting.add(pending);
      this.#runNext();
    });
  }

  /** Ends the worker. All its jobs are lost. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const lost = [...(this.#current === null ? [] : [this.#current]), ...this.#waiting];
    this.#current = null;
    this.#waiting.clear();
    for (const { reject } of lost) reject(new JobLost("died", "The worker has been closed"));
    await this.#endWorker();
  }

  async #endWorker(): Promise<void> {
    clearTimeout(this.#timer);
    const worker = this.#worker;
    this.#worker = null;
    await worker?.terminate();
  }

  #runNext(): void {
    if (this.#current !== null) return;
    clearTimeout(this.#timer);
    const [pending] = this.#waiting;
    if (pending === undefined) {
      const { idleMs } = this.#options;
      if (idleMs !== undefined) this.#timer = setTimeout(() => void this.#endWorker(), idleMs);
      return;
    }
    this.#waiting.delete(pending);
    this.#current = pending;
    Atomics.store(this.#isCanceled, 0, 0);
    try {
      this.#worker ??= this.#startWorker();
      this.#worker.postMessage(pending.job, pending.moved);
    } catch (error) {
      // No thread can be started, or the job cannot be passed on. The next jobs must not wait for an answer to this one.
      this.#settle(({ reject }) => reject(error));
      return;
    }
    this.#timer = setTimeout(() => {
      this.#isHung = true;
      void this.#worker?.terminate();
    }, this.#options.timeoutMs);
  }

  #startWorker(): Worker {
    const { url, data, maxHeapMiB } = this.#options;
    const workerData: WorkerInput = { data, isCanceled: this.#isCanceled.buffer as SharedArrayBuffer };
    const resourceLimits = maxHeapMiB === undefined ? {} : { maxOldGenerationSizeMb: maxHeapMiB };
    const worker = new Worker(url, { workerData, resourceLimits });
    let failure: Error | null = null;
    worker.on("message", (reply: Reply) => {
      if (this.#worker === worker) this.#settle((pending) => pending.resolve(reply));
    });
    worker.on("error", (error) => (failure = error instanceof Error ? error : new Error(String(error))));
    worker.once("exit", (code) => {
      if (this.#worker !== worker) return;
      this.#worker = null;
      const lost = this.#lost(failure, code);
      this.#isHung = false;
      this.#settle((pending) => pending.reject(lost));
    });
    return worker;
  }

  #lost(failure: Error | null, code: number): JobLost {
    if (this.#isHung) return new JobLost("hung", `The worker was silent for ${this.#options.timeoutMs / 1000} s`);
    if (failure === null) return new JobLost("died", `The worker ended with code ${code}`);
    const isFull = (failure as NodeJS.ErrnoException).code === "ERR_WORKER_OUT_OF_MEMORY";
    return new JobLost(isFull ? "out of memory" : "died", failure.message, { cause: failure });
  }

  #settle(settle: (pending: Pending<Job, Reply>) => void): void {
    const pending = this.#current;
    this.#current = null;
    if (pending !== null) settle(pending);
    this.#runNext();
  }
}

/**
 * Runs an engine in a separate process, so that its memory can be measured and engines can take turns. This file
 * contains both the code of the process (if it is run) and the handle for the bench.
 */

import { fork, type ChildProcess } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import type { Engine, EngineModule, EngineOptions, Prompt } from "./engine.js";

export interface LoadResult {
  readonly version: string;
  /** Build of the kernels. null for engines of others. */
  readonly kernels: string | null;
  readonly startMs: number;
  readonly loadMs: number;
}

export interface GenerateResult {
  /** Milliseconds from the call to the first token of the first sequence. */
  readonly firstTokenMs: number;
  /** Rate of all sequences together, while all of them generate. null if one ended before another began. */
  readonly tokensPerSecond: number | null;
  /** Share of the threads' time in which they were ready and waited for a processor; null where it is not known. */
  readonly waitingShare: number | null;
  /** Generated token ids of each sequence. */
  readonly tokenIds: readonly (readonly number[])[];
}

export class EngineProcess {
  #exited: Error | null = null;
  #waiting: { resolve: (result: never) => void; reject: (error: Error) => void } | null = null;

  private constructor(
    readonly name: string,
    readonly child: ChildProcess,
  ) {
    child.on("message", (reply: { result: never } | { error: string }) => {
      const waiting = this.#waiting;
      this.#waiting = null;
      if ("error" in reply) waiting?.reject(new Error(`${name}: ${reply.error}`));
      else waiting?.resolve(reply.result);
    });
    child.on("exit", (code, signal) => {
      this.#exited = new Error(`${name}: its process ended with ${signal ?? code}`);
      this.#waiting?.reject(this.#exited);
    });
  }

  /** Starts a process and loads an engine. @param moduleUrl URL of an `EngineModule` */
  static async load(
    name: string,
    moduleUrl: string,
    options: EngineOptions,
  ): Promise<{ engine: EngineProcess; loaded: LoadResult }> {
    const child = fork(fileURLToPath(import.meta.url), [], {
      execArgv: [],
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    const engine = new EngineProcess(name, child);
    return { engine, loaded: await engine.#call<LoadResult>({ method: "load", moduleUrl, options }) };
  }

  generate(prompts: readonly Prompt[], numTokens: number): Promise<GenerateResult> {
    return this.#call({ method: "generate", prompts, numTokens });
  }

  /** Returns the maximum resident memory of the process. */
  peakBytes(): Promise<number> {
    return this.#call({ method: "peakBytes" });
  }

  /** Ends the process. */
  async close(): Promise<void> {
    if (this.#exited !== null) return;
    const exit = new Promise((resolve) => this.child.once("exit", resolve));
    this.child.kill("SIGKILL");
    await exit;
  }

  #call<T>(call: Call): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#exited !== null) throw this.#exited;
      const deadline = setTimeout(
        () => reject(new Error(`${this.name}: no answer to ${call.method} in ${MAX_CALL_MS / 1000} s`)),
        MAX_CALL_MS,
      );
      this.#waiting = {
        resolve: (result) => (clearTimeout(deadline), resolve(result)),
        reject: (error) => (clearTimeout(deadline), reject(error)),
      };
      this.child.send(call);
    });
  }
}

/** Timeout of a call. Long, because thread pools can starve on a busy machine. */
const MAX_CALL_MS = 300_000;

type Call =
  | { readonly method: "load"; readonly moduleUrl: string; readonly options: EngineOptions }
  | { readonly method: "generate"; readonly prompts: readonly Prompt[]; readonly numTokens: number }
  | { readonly method: "peakBytes" };

/** Answers calls in the process, one at a time. */
function answerCalls(): void {
  let engine: Engine | null = null;
  const answer = async (call: Call): Promise<unknown> => {
    switch (call.method) {
      case "load": {
        const module = (await import(call.moduleUrl)) as EngineModule;
        const beginMs = performance.now();
        const library = await module.start(call.options.numThreads);
        const startedMs = performance.now();
        engine = await library.load(call.options);
        return {
          version: library.version,
          kernels: engine.kernels ?? null,
          startMs: startedMs - beginMs,
          loadMs: performance.now() - startedMs,
        } satisfies LoadResult;
      }
      case "generate":
        return timedGenerate(engine!, call.prompts, call.numTokens);
      case "peakBytes":
        return peakResidentBytes();
    }
  };
  process.on("message", (call: Call) => {
    answer(call).then(
      (result) => process.send!({ result }),
      (error: unknown) =>
        process.send!({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    );
  });
  process.on("disconnect", () => process.exit());
}

async function timedGenerate(engine: Engine, prompts: readonly Prompt[], numTokens: number): Promise<GenerateResult> {
  const arrivals: { atMs: number; sequence: number; count: number }[] = [];
  const before = threadTimes();
  const startMs = performance.now();
  const tokenIds = await engine.generate(prompts, numTokens, (sequence, count) =>
    arrivals.push({ atMs: performance.now(), sequence, count }),
  );
  const ofSequence = prompts.map((_, index) => arrivals.filter(({ sequence }) => sequence === index));
  const allBeganMs = Math.max(...ofSequence.map((own) => own[0]!.atMs));
  const firstEndedMs = Math.min(...ofSequence.map((own) => own.at(-1)!.atMs));
  const between = arrivals.filter(({ atMs }) => atMs > allBeganMs && atMs <= firstEndedMs);
  const numBetween = between.reduce((sum, { count }) => sum + count, 0);
  const waitingShare = waitingShareSince(before);
  return {
    firstTokenMs: arrivals[0]!.atMs - startMs,
    waitingShare,
    tokensPerSecond: numBetween === 0 ? null : (1000 * numBetween) / (firstEndedMs - allBeganMs),
    tokenIds,
  };
}

/** Nanoseconds for which each thread has run, and for which it was ready and waited for a processor. */
type ThreadTimes = ReadonlyMap<string, readonly [running: number, waiting: number]>;

/** Returns null where the operating system does not tell. */
function threadTimes(): ThreadTimes | null {
  const times = new Map<string, readonly [number, number]>();
  try {
    for (const thread of readdirSync("/proc/self/task")) {
      const [running, waiting] = readFileSync(`/proc/self/task/${thread}/schedstat`, "latin1").split(" ").map(Number);
      times.set(thread, [running!, waiting!]);
    }
  } catch {
    return null; // Not Linux, or a thread has just ended.
  }
  return times;
}

/** Returns the share of time for which the threads waited for a processor since `before`. */
function waitingShareSince(before: ThreadTimes | null): number | null {
  const after = threadTimes();
  if (before === null || after === null) return null;
  let [running, waiting] = [0, 0];
  for (const [thread, times] of after) {
    const start = before.get(thread) ?? [0, 0];
    running += times[0] - start[0];
    waiting += times[1] - start[1];
  }
  return running > 0 ? waiting / (running + waiting) : null;
}

/**
 * Returns the maximum resident memory. The value of getrusage is too high, because a forked process inherits its
 * parent's.
 */
function peakResidentBytes(): number {
  try {
    const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
    if (kibibytes !== undefined) return Number(kibibytes) * 1024;
  } catch {
    // Not Linux.
  }
  return process.resourceUsage().maxRSS * 1024;
}

if (process.argv[1] === fileURLToPath(import.meta.url) && process.send !== undefined) answerCalls();

/**
 * Runs cases that may hang, crash or take all memory, each within a limit of time. A process runs many cases, until one
 * of them is at fault; a new process then takes over. The limit is of processor time, because a busy machine also delays
 * a harmless case. A case that blocks its thread, or waits for something that does not come, is over the limit too. A
 * busy machine makes every step a little slower, so a case that is over the limit is run again in a process of its own.
 */

import { fork, type ChildProcess } from "node:child_process";
import { cp, lstat, mkdir, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";

import { activityOf } from "./process-activity.js";

/** A module of cases exports `openCases`. */
export interface CaseModule {
  readonly openCases: (setting: string) => Promise<PrepareCase>;
}

/** Writes a case's files into `folder`, and returns what uses them. The same kind and seed give the same case. */
export type PrepareCase = (kind: string, seed: number, folder: string) => Promise<() => Promise<Outcome>>;

export type Outcome =
  /** Requests can be refused though the model is not: by its template or its tokenizer. */
  | { readonly type: "accepted"; readonly refusals: readonly string[] }
  | { readonly type: "refused"; readonly message: string }
  /** An error of another class than those for users, or one that users cannot read. */
  | { readonly type: "fault"; readonly message: string };

export type Verdict =
  | Outcome
  | { readonly type: "over the limit" }
  | { readonly type: "crashed"; readonly message: string }
  | { readonly type: "too much memory"; readonly message: string };

export interface Case {
  readonly kind: string;
  readonly seed: number;
}

export interface CaseResult extends Case {
  readonly verdict: Verdict;
  /** Processor time if the case ended, else the time until it was given up. */
  readonly durationMs: number;
  /** True if the case was over the limit in its first run. */
  readonly isSecondRun: boolean;
}

export interface RunOptions {
  /** Path of the compiled module of cases. */
  readonly modulePath: string;
  /** Given to the module's `openCases`. */
  readonly setting: string;
  /** Folder for the files of the running cases, which exists. */
  readonly scratch: string;
  /** Folder that gets the files of each failed case. */
  readonly failures: string;
  readonly numProcesses: number;
  /** Limits of memory other than those in LIMITS. */
  readonly memory?: Pick<typeof LIMITS, "caseBytes" | "heapMebibytes">;
  readonly onResult: (result: CaseResult) => void;
}

export const LIMITS = {
  /** Processor time of a case. */
  caseMs: 2000,
  /** Time for which a case may wait without doing anything. */
  idleMs: 4000,
  /** Time without an answer, where the operating system does not tell what a process does. */
  silenceMs: 20_000,
  /** Memory that a case may take at its peak, in addition to what the process had before. */
  caseBytes: 900 << 20,
  /** Limit of the JavaScript heap. A process that exceeds it ends. */
  heapMebibytes: 512,
  /** For starting a process and for writing a case's files, which the limit of a case does not include. */
  preparationMs: 60_000,
};

/** Messages to and from a process. */
export interface ToProcess extends Case {
  readonly folder: string;
}
export type FromProcess =
  | { readonly type: "ready" }
  | { readonly type: "started" }
  | { readonly type: "done"; readonly outcome: Outcome; readonly durationMs: number; readonly tookBytes: number };

export async function runCases(cases: Iterable<Case>, options: RunOptions): Promise<void> {
  const queue = cases[Symbol.iterator]();
  const lanes = Array.from({ length: options.numProcesses }, (_, lane) =>
    runLane(queue, join(options.scratch, `lane-${lane}`), options),
  );
  await Promise.all(lanes);
}

export function isFailure({ type }: Verdict): boolean {
  return type !== "accepted" && type !== "refused";
}

async function runLane(queue: Iterator<Case>, folder: string, options: RunOptions): Promise<void> {
  let runner: CaseRunner | null = null;
  for (let next = queue.next(); next.done !== true; next = queue.next()) {
    const each = next.value;
    runner ??= await CaseRunner.start(options);
    let result = await runner.run(each, folder);
    if (result.verdict.type === "over the limit") {
      await runner.end();
      await rm(folder, { recursive: true, force: true });
      runner = await CaseRunner.start(options);
      result = { ...(await runner.run(each, folder)), isSecondRun: true };
    }
    if (isFailure(result.verdict)) {
      await keep(result, folder, options.failures);
      await runner.end();
      runner = null;
    }
    await rm(folder, { recursive: true, force: true });
    options.onResult(result);
  }
  await runner?.end();
}

/** Keeps the case's links and small files, and its verdict. */
async function keep(result: CaseResult, folder: string, failures: string): Promise<void> {
  const to = join(failures, `${result.kind}-${result.seed}`);
  await mkdir(to, { recursive: true });
  const isSmall = async (path: string): Promise<boolean> => {
    const entry = await lstat(path);
    return entry.isDirectory() || entry.isSymbolicLink() || (entry.isFile() && entry.size <= MAX_KEPT_BYTES);
  };
  await cp(folder, to, { recursive: true, verbatimSymlinks: true, filter: isSmall });
  await writeFile(join(to, "verdict.json"), `${JSON.stringify(result, null, 2)}\n`);
}

class CaseRunner {
  readonly #process: ChildProcess;
  readonly #caseBytes: number;
  readonly #ended: Promise<string>;
  /** Messages that nobody has waited for yet. */
  readonly #unread: FromProcess[] = [];
  #receive = (message: FromProcess): void => void this.#unread.push(message);
  #stderr = "";

  private constructor(process: ChildProcess, caseBytes: number) {
    this.#process = process;
    this.#caseBytes = caseBytes;
    this.#ended = new Promise((resolve) => {
      process.once("exit", (code, signal) => resolve(signal ?? `exit code ${code}`));
    });
    process.on("message", (message: FromProcess) => this.#receive(message));
    process.stderr!.on("data", (text: Buffer) => {
      this.#stderr = (this.#stderr + text.toString()).slice(-2000);
    });
  }

  static async start({ modulePath, setting, memory = LIMITS }: RunOptions): Promise<CaseRunner> {
    const child = fork(PROGRAM, [modulePath, setting], {
      execArgv: [`--max-old-space-size=${memory.heapMebibytes}`],
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    const runner = new CaseRunner(child, memory.caseBytes);
    const message = await runner.#next(LIMITS.preparationMs);
    if (message.type === "ready") return runner;
    await runner.end();
    throw new Error(`the process of the cases did not start: ${JSON.stringify(message)} ${runner.#stderr}`);
  }

  /** @param folder folder for the case's files, which does not exist */
  async run(each: Case, folder: string): Promise<CaseResult> {
    const { pid } = this.#process;
    this.#process.send({ ...each, folder } satisfies ToProcess);
    const started = await this.#next(LIMITS.preparationMs);
    const start = performance.now();
    const last = started.type === "started" ? await this.#answer() : started;
    const durationMs = last.type === "done" ? last.durationMs : performance.now() - start;
    return { ...each, verdict: this.#verdictOf(last, `process ${pid}`), durationMs, isSecondRun: false };
  }

  async end(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#ended;
  }

  #verdictOf(message: FromProcess | Silence | End, name: string): Verdict {
    switch (message.type) {
      case "done": {
        const { outcome, durationMs, tookBytes } = message;
        if (isFailure(outcome)) return outcome;
        // Memory first: taking it can be what took the time.
        if (tookBytes > this.#caseBytes)
          return {
            type: "too much memory",
            message: `${name} took ${Math.round(tookBytes / 2 ** 20)} MiB at its peak`,
          };
        return durationMs > LIMITS.caseMs ? { type: "over the limit" } : outcome;
      }
      case "silent":
        return { type: "over the limit" };
      case "ended":
        return { type: "crashed", message: `${name} ended with ${message.how}: ${this.#stderr.trim().slice(0, 500)}` };
      default:
        return { type: "crashed", message: `unexpected message ${message.type}` };
    }
  }

  /** Returns the answer of a case, or that it does not come: the case computes for too long, or waits. */
  async #answer(): Promise<FromProcess | Silence | End> {
    const pid = this.#process.pid!;
    const first = activityOf(pid);
    if (first === null) return this.#next(LIMITS.silenceMs);
    let [cpuMs, idleSince] = [first.cpuMs, performance.now()];
    for (;;) {
      const message = await this.#next(POLL_MS);
      const activity = activityOf(pid);
      if (message.type !== "silent" || activity === null) return message;
      if (!activity.isIdle || activity.cpuMs > cpuMs + IDLE_CPU_MS) idleSince = performance.now();
      cpuMs = activity.cpuMs;
      // The process measures the time of a case more precisely, if it ends.
      if (cpuMs - first.cpuMs > 2 * LIMITS.caseMs || performance.now() - idleSince > LIMITS.idleMs) return message;
    }
  }

  /** Returns the next message, or that none came. */
  async #next(limitMs: number): Promise<FromProcess | Silence | End> {
    let timer: NodeJS.Timeout | undefined;
    const unread = this.#unread.shift();
    if (unread !== undefined) return unread;
    const keep = this.#receive;
    const message = new Promise<FromProcess>((resolve) => {
      this.#receive = (received) => {
        this.#receive = keep;
        resolve(received);
      };
    });
    const silence = new Promise<Silence>((resolve) => {
      timer = setTimeout(() => resolve({ type: "silent" }), limitMs);
    });
    const end = this.#ended.then((how): End => ({ type: "ended", how }));
    const first = await Promise.race([message, silence, end]);
    clearTimeout(timer);
    this.#receive = keep;
    return first;
  }
}

interface Silence {
  readonly type: "silent";
}

interface End {
  readonly type: "ended";
  readonly how: string;
}

const POLL_MS = 500;
/** Processor time that a process without work takes between two looks. */
const IDLE_CPU_MS = 10;
const MAX_KEPT_BYTES = 64 << 20;
const PROGRAM = resolve("dist/spec-tests/fuzz/case-process.js");

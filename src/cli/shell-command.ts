/**
 * Commands of the person, run by the shell. On POSIX systems each has a process group of its own, so Ctrl-C at the
 * terminal, which stops an answer, does not reach it, and all its processes can be ended together.
 */

import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { constants } from "node:os";
import type { Readable, Writable } from "node:stream";

import { unlessAborted } from "../../engine/model/index.js";

export class ShellCommand {
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** Resolves when the command has ended and all its output was read. Null: exit code 0; otherwise why it has failed. */
  readonly ended: Promise<string | null>;
  readonly #child: ChildProcessWithoutNullStreams;
  #hasEnded = false;
  /** End of what the command has written to stderr. */
  #errors = "";

  constructor(command: string) {
    const child = spawn(command, { shell: true, detached: HAS_GROUPS, windowsHide: true, stdio: "pipe" });
    this.#child = child;
    this.stdin = child.stdin;
    this.stdout = child.stdout;
    // A command need not read its input.
    child.stdin.on("error", () => {});
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#errors = (this.#errors + text).slice(-MAX_ERROR_CHARS);
    });
    this.ended = new Promise((resolve) => {
      child.on("error", ({ message }) => resolve(message));
      child.on("close", (code, signal) => {
        this.#hasEnded = true;
        resolve(code === 0 ? null : this.#failure(code, signal));
      });
    });
    process.on("exit", this.#killAtExit);
    for (const signal of ["SIGTERM", "SIGHUP"] as const) process.on(signal, leave);
    void this.ended.then(() => {
      process.off("exit", this.#killAtExit);
      for (const signal of ["SIGTERM", "SIGHUP"] as const) process.off(signal, leave);
    });
  }

  /** Last line on stderr that is not blank; empty if there is none. */
  get lastError(): string {
    return this.#errors.trimEnd().split("\n").at(-1)!.trim();
  }

  /** Signals all processes of the command. */
  kill(signal: "SIGTERM" | "SIGKILL"): void {
    const { pid } = this.#child;
    if (pid === undefined || this.#hasEnded) return;
    try {
      if (HAS_GROUPS) process.kill(-pid, signal);
      else this.#child.kill(signal);
    } catch {
      // The processes have ended just now.
    }
  }

  /** Ends the command without waiting for it: its output is not read any more. */
  abandon(): void {
    this.kill("SIGTERM");
    for (const stream of [this.#child.stdin, this.#child.stdout, this.#child.stderr]) stream.destroy();
    this.#child.unref();
  }

  readonly #killAtExit = (): void => this.kill("SIGTERM");

  #failure(code: number | null, signal: string | null): string {
    const how = code === null ? `signal ${signal}` : `exit code ${code}`;
    return this.lastError === "" ? `The command has ended with ${how}.` : this.lastError;
  }
}

/**
 * Runs a command to its end.
 *
 * @param input its stdin
 * @returns its stdout without a line break at the end
 * @throws Error with the last line on stderr if it fails; the signal's reason if it was aborted
 */
export async function outputOf(command: string, input: string, signal: AbortSignal): Promise<string> {
  const running = new ShellCommand(command);
  try {
    const chunks: Buffer[] = [];
    let numBytes = 0;
    const tooLong = new Promise<string>((resolve) => {
      running.stdout.on("data", (chunk: Buffer) => {
        chunks.push(chunk);
        numBytes += chunk.length;
        if (numBytes > MAX_OUTPUT_BYTES) resolve(`The command has written more than ${MAX_OUTPUT_BYTES} bytes.`);
      });
    });
    running.stdin.end(input);
    const failure = await unlessAborted(signal, () => Promise.race([running.ended, tooLong]));
    if (failure !== null) throw new Error(failure);
    return textOf(Buffer.concat(chunks)).replace(/\r?\n$/, "");
  } finally {
    running.abandon();
  }
}

/** Ends the program because of a signal. Without this, commands would not learn of it. */
function leave(signal: NodeJS.Signals): void {
  process.exit(128 + constants.signals[signal]);
}

function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new Error("The output of the command is not UTF-8.", { cause });
  }
}

const HAS_GROUPS = process.platform !== "win32";
const MAX_ERROR_CHARS = 4096;
const MAX_OUTPUT_BYTES = 1 << 20;

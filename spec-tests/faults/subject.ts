/** The process under faults, seen from outside: sends it commands, and notices if it dies or does not answer. */

import { fork, type ChildProcess } from "node:child_process";
import { request } from "node:http";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

import type { Observation, Point } from "./injection.js";

export type Command =
  | { readonly do: "arm"; readonly point: Point | null }
  | { readonly do: "disarm" }
  | { readonly do: "listen" }
  | { readonly do: "close"; readonly graceMs: number }
  | { readonly do: "library" }
  | { readonly do: "pull"; readonly model: string; readonly environment: Readonly<Record<string, string>> }
  | { readonly do: "convert"; readonly model: string; readonly target: string; readonly layout: "pack" | "onnx" }
  | { readonly do: "held"; readonly folder: string };

export interface Reply {
  readonly value?: unknown;
  readonly error?: {
    readonly name: string;
    readonly message: string;
    readonly stack: string;
    /** Code of an EngineError; null for any other error. */
    readonly code: string | null;
  };
}

/** An error that tells its receiver what happened: a legal end of a scenario with a fault. */
export class ClearError extends Error {
  override readonly name = "ClearError";
}

/** The scenario, or what followed it, must not end this way. */
export class Violation extends Error {
  override readonly name = "Violation";
}

/** The connection broke before the answer was complete. */
export class BrokenConnection extends Error {
  override readonly name = "BrokenConnection";
}

export interface Response {
  readonly status: number;
  readonly text: string;
}

/** Far above what any command or request takes on a busy machine. */
const DEADLINE_MS = 20_000;

export class Subject {
  #child: ChildProcess | null = null;
  #output = "";
  #url: string | null = null;

  /** Runs a command. The process is started on demand. */
  async run(command: Command): Promise<unknown> {
    const { value, error } = await this.#reply(command);
    if (error === undefined) return value;
    // Errors of the platform that stand for a bug or a full memory pass through, but never without a message.
    if (error.code === null && !error.message.includes("injected") && !KNOWN.test(error.message))
      throw new Violation(`unclear error: ${error.stack}`);
    throw new ClearError(`${error.name} ${error.code ?? ""}: ${error.message}`);
  }

  async arm(point: Point | null): Promise<void> {
    await this.run({ do: "arm", point });
  }

  async disarm(): Promise<Observation> {
    return (await this.run({ do: "disarm" })) as Observation;
  }

  /** Starts a server if none listens. */
  async listen(): Promise<void> {
    this.#url ??= (await this.run({ do: "listen" })) as string;
  }

  async close(graceMs: number): Promise<void> {
    this.#url = null;
    await this.run({ do: "close", graceMs });
  }

  get(path: string): Promise<Response> {
    return this.#request("GET", path, null, () => true);
  }

  /** @param onData called with the answer so far; returns false to leave */
  post(path: string, body: object, onData: (text: string) => boolean = () => true): Promise<Response> {
    return this.#request("POST", path, JSON.stringify(body), onData);
  }

  /** Ends the process. */
  kill(): void {
    this.#child?.removeAllListeners().kill("SIGKILL");
    this.#child = null;
    this.#url = null;
  }

  #request(method: string, path: string, body: string | null, onData: (text: string) => boolean): Promise<Response> {
    return new Promise((resolve, reject) => {
      const headers = body === null ? {} : { "content-type": "application/json" };
      // Each request has a connection of its own, so that no fault reaches the next one through a broken connection.
      const sent = request(`${this.#url}${path}`, { method, headers, agent: false }, (response) => {
        let text = "";
        let hasLeft = false;
        response.setEncoding("utf8");
        response.on("data", (part: string) => {
          text += part;
          if (hasLeft || onData(text)) return;
          hasLeft = true;
          response.destroy();
        });
        response.on("close", () => {
          clearTimeout(timer);
          if (response.complete || hasLeft) resolve({ status: response.statusCode!, text });
          else reject(new BrokenConnection(`the answer ended after ${text.length} characters`));
        });
        response.on("error", () => {});
      });
      const timer = setTimeout(() => {
        reject(new Violation(`${method} ${path} hangs`));
        sent.destroy();
      }, DEADLINE_MS);
      sent.on("error", (error) => {
        clearTimeout(timer);
        reject(new BrokenConnection(error.message));
      });
      sent.end(body ?? undefined);
    });
  }

  async #reply(command: Command): Promise<Reply> {
    const child = (this.#child ??= this.#start());
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        clearTimeout(timer);
        child.off("message", answered).off("exit", exited);
      };
      const fail = (message: string): void => {
        settle();
        this.kill();
        reject(new Violation(message));
      };
      const answered = (reply: unknown): void => {
        settle();
        resolve(reply as Reply);
      };
      const exited = (code: number | null): void => fail(`the process ended with code ${code}: ${this.#output}`);
      const timer = setTimeout(() => fail(`${command.do} hangs`), DEADLINE_MS);
      child.on("message", answered).on("exit", exited);
      if (child.exitCode !== null) exited(child.exitCode);
      else child.send(command, () => {}); // a process that cannot be reached has ended, which `exited` reports
    });
  }

  #start(): ChildProcess {
    const child = fork(PROGRAM, { execArgv: ["--import", HOOK], stdio: ["ignore", "pipe", "pipe", "ipc"] });
    this.#output = "";
    for (const stream of [child.stdout!, child.stderr!])
      stream.setEncoding("utf8").on("data", (text: string) => (this.#output += text));
    return child;
  }
}

/** Messages of the platform's errors in hook.ts. */
const KNOWN = /^Array buffer allocation failed$|Unable to grow|unreachable|build of the kernels cannot be read/;
const PROGRAM = resolve("dist/spec-tests/faults/program.js");
const HOOK = pathToFileURL(resolve("dist/spec-tests/faults/hook.js")).href;

/** The lines typed into earlier chats, in a private file. A file that cannot be used costs the history, nothing else. */

import { appendFileSync, chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { homedir, platform } from "node:os";
import { dirname, join } from "node:path";

import { visible } from "../../spec-tests/conform/terminal.js";

/** Lines that are kept, and characters of a line. */
export const MAX_HISTORY_LINES = 1000;
const MAX_LINE_CHARS = 4096;

export class InputHistory {
  /** Lines of earlier chats, the newest first. */
  readonly lines: readonly string[];
  readonly #file: string;
  readonly #onFailure: (message: string) => void;
  #hasFailed = false;
  /** True once the file, which may be an older one, is known to be readable by the user only. */
  #isPrivate = false;

  /** @param onFailure called at most once, with a sentence that says why the file cannot be used */
  constructor(onFailure: (message: string) => void, file = join(stateFolder(), "chat-history")) {
    this.#file = file;
    this.#onFailure = onFailure;
    this.lines = this.#read().reverse();
  }

  /** Adds a line that was typed. Chats that run at the same time add to the same file. */
  add(line: string): void {
    if (this.#hasFailed || line.trim() === "" || !isKept(line)) return;
    this.#try(() => {
      mkdirSync(dirname(this.#file), { recursive: true, mode: 0o700 });
      appendFileSync(this.#file, `${line}\n`, { mode: PRIVATE });
      if (!this.#isPrivate) chmodSync(this.#file, PRIVATE);
      this.#isPrivate = true;
    });
  }

  /** Reads the newest lines, oldest first. A file with more than twice as many is shortened. */
  #read(): string[] {
    let newest: string[] = [];
    this.#try(() => {
      const lines = readFileSync(this.#file, "utf8").split("\n").slice(0, -1);
      newest = lines.filter(isKept).slice(-MAX_HISTORY_LINES);
      if (lines.length <= 2 * MAX_HISTORY_LINES) return;
      const shorter = `${this.#file}.${process.pid}`;
      writeFileSync(shorter, newest.map((line) => `${line}\n`).join(""), { mode: PRIVATE });
      renameSync(shorter, this.#file);
    });
    return newest;
  }

  #try(use: () => void): void {
    try {
      use();
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === "ENOENT") return;
      this.#hasFailed = true;
      this.#onFailure(`The history of this chat is not kept: ${this.#file} cannot be used (${code ?? message}).`);
    }
  }
}

/** Returns the folder for what this program remembers between its runs. */
export function stateFolder(environment: NodeJS.ProcessEnv = process.env): string {
  switch (platform()) {
    case "win32":
      return join(environment["LOCALAPPDATA"] || join(homedir(), "AppData", "Local"), "touchstone", "state");
    case "darwin":
      return join(homedir(), "Library", "Application Support", "touchstone");
    default:
      return join(environment["XDG_STATE_HOME"] || join(homedir(), ".local", "state"), "touchstone");
  }
}

/** The line editor prints a recalled line as it is, so it must not act on the terminal. */
const isKept = (line: string): boolean => line.length <= MAX_LINE_CHARS && visible(line) === line;

/** Only the user may read the file. */
const PRIVATE = 0o600;

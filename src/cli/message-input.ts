/**
 * Reads messages from a person at a terminal. Node's readline edits lines and recalls earlier ones; this adds messages
 * of several lines (`"""`, or a paste), and Ctrl-C: the first one clears what is typed, the second one leaves. While an
 * answer runs, the terminal has its usual mode, so Ctrl-C is a signal and typed text waits. It also asks questions that
 * are answered by one line, which no history keeps.
 */

import { createInterface, type Interface, type Key } from "node:readline";

import { markPastes, printLine, visibleLine } from "../../spec-tests/conform/terminal.js";
import { MAX_HISTORY_LINES, type InputHistory } from "./input-history.js";

export class MessageInput {
  readonly #editor: Interface;
  readonly #history: InputHistory;
  /** Messages that were typed ahead; null at the end of the input. */
  readonly #waiting: (string | null)[] = [];
  #deliver: ((message: string | null) => void) | null = null;
  /** Lines of the message so far. */
  #lines: string[] = [];
  /** True between `"""` and `"""`. */
  #isBlock = false;
  #isPasting = false;
  /** True after a Ctrl-C: the next one leaves. */
  #isLeaving = false;
  /** True while a question is open. */
  #isAsking = false;
  #isClosed = false;

  constructor(history: InputHistory) {
    this.#history = history;
    this.#editor = createInterface({
      input: process.stdin,
      output: process.stderr,
      prompt: PROMPT,
      history: [...history.lines],
      historySize: MAX_HISTORY_LINES,
      removeHistoryDuplicates: true,
    });
    this.#editor.on("line", (line) => this.#take(line));
    this.#editor.on("SIGINT", () => this.#interrupted());
    this.#editor.on("close", () => this.#end());
    process.stdin.on("keypress", this.#onKey);
    this.#handOver();
  }

  /** Returns the next message, or null if the person leaves. */
  async next(): Promise<string | null> {
    if (this.#waiting.length > 0) return this.#waiting.shift()!;
    return this.#read(PROMPT);
  }

  /** Asks for one line. @returns null after Ctrl-C, or if the person leaves */
  async ask(question: string): Promise<string | null> {
    this.#isAsking = true;
    const line = await this.#read(visibleLine(question));
    this.#isAsking = false;
    return line;
  }

  async #read(prompt: string): Promise<string | null> {
    if (this.#isClosed) return null;
    this.#takeOver();
    this.#editor.setPrompt(prompt);
    // What was typed ahead without a line break stays before the cursor.
    this.#editor.prompt(true);
    const text = await new Promise<string | null>((resolve) => (this.#deliver = resolve));
    if (text === null) printLine(process.stderr, "");
    this.#handOver();
    return text;
  }

  close(): void {
    process.stdin.off("keypress", this.#onKey);
    this.#editor.close();
  }

  readonly #onKey = (_text: string | undefined, { name, ctrl }: Key): void => {
    if (name === "paste-start") this.#isPasting = true;
    else if (name === "paste-end") this.#isPasting = false;
    else if (ctrl !== true || name !== "c") this.#isLeaving = false;
  };

  #take(line: string): void {
    if (this.#isAsking) return this.#submit(line);
    this.#history.add(line);
    if (this.#isBlock) return this.#takeInBlock(line);
    if (this.#isPasting) return this.#continue(line);
    if (this.#lines.length === 0 && line.trimStart().startsWith(QUOTES)) {
      this.#isBlock = true;
      const rest = line.trimStart().slice(QUOTES.length);
      return rest.trim() === "" ? this.#showPrompt() : this.#takeInBlock(rest);
    }
    // A paste may end with a line break.
    this.#submit([...this.#lines, ...(line === "" ? [] : [line])].join("\n"));
  }

  #takeInBlock(line: string): void {
    if (!line.trimEnd().endsWith(QUOTES)) return this.#continue(line);
    const last = line.trimEnd().slice(0, -QUOTES.length);
    this.#submit([...this.#lines, ...(last === "" ? [] : [last])].join("\n"));
  }

  #continue(line: string): void {
    this.#lines.push(line);
    this.#showPrompt();
  }

  #showPrompt(): void {
    this.#editor.setPrompt(NEXT_LINE_PROMPT);
    this.#editor.prompt();
  }

  #submit(message: string | null): void {
    this.#lines = [];
    this.#isBlock = false;
    const deliver = this.#deliver;
    this.#deliver = null;
    if (deliver === null) this.#waiting.push(message);
    else deliver(message);
  }

  /** Ctrl-D also ends a message of several lines. */
  #end(): void {
    if (this.#lines.length > 0) this.#submit(this.#lines.join("\n"));
    this.#submit(null);
    this.#isClosed = true;
  }

  #interrupted(): void {
    if (this.#isLeaving) return this.#editor.close();
    this.#lines = [];
    this.#isBlock = false;
    this.#editor.write(null, { ctrl: true, name: "e" });
    this.#editor.write(null, { ctrl: true, name: "u" });
    if (this.#isAsking) return this.#deliver === null ? undefined : this.#submit(null);
    this.#isLeaving = true;
    printLine(process.stderr, "");
    printLine(process.stderr, "Ctrl-C again, Ctrl-D or /bye leaves.", "dim");
    this.#editor.setPrompt(PROMPT);
    this.#editor.prompt();
  }

  /** Lets the line editor read keys. */
  #takeOver(): void {
    process.stdin.setRawMode(true);
    this.#editor.resume();
    markPastes(process.stderr, true);
  }

  #handOver(): void {
    this.#editor.pause();
    process.stdin.setRawMode(false);
    markPastes(process.stderr, false);
  }
}

const PROMPT = "> ";
const NEXT_LINE_PROMPT = "… ";
const QUOTES = '"""';

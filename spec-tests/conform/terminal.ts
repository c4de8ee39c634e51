/**
 * All output of the programs. Models, servers and files choose much of the text that is printed, and control characters
 * in it would act on a terminal: move the cursor, change colors and the title, or send keystrokes. On a terminal they
 * are shown as `\u001b` instead. Pipes and files get the exact text.
 */

import { styleText } from "node:util";

type Style = Parameters<typeof styleText>[0];

/** Prints text that may have several lines. */
export function print(stream: NodeJS.WriteStream, text: string, style: Style | null = null): void {
  stream.write(styled(stream, stream.isTTY ? visible(text) : text, style));
}

/** Prints one line. On a terminal, line breaks and tabs inside it are shown as `\n` and `\t`. */
export function printLine(stream: NodeJS.WriteStream, line: string, style: Style | null = null): void {
  stream.write(`${styled(stream, stream.isTTY ? visibleLine(line) : line, style)}\n`);
}

function styled(stream: NodeJS.WriteStream, text: string, style: Style | null): string {
  return style !== null && hasColors(stream) ? styleText(style, text, { validateStream: false }) : text;
}

/** Returns true if text on this stream may have colors. An empty NO_COLOR counts as unset. */
export function hasColors({ isTTY }: NodeJS.WriteStream): boolean {
  return isTTY && (process.env["NO_COLOR"] ?? "") === "" && process.env["TERM"] !== "dumb";
}

/**
 * Replaces characters that act on a terminal or deceive a reader by JSON's escapes, which leave JSON text valid and its
 * values the same: control characters except line breaks and tabs, line and paragraph separators, and the invisible
 * format characters. Among the latter are those that reverse the order of text, and tags that hide text in text.
 *
 * @param escape writes a character in another notation than JSON's
 */
export function visible(text: string, escape: (character: string) => string = escaped): string {
  return text.replace(HIDDEN, escape);
}

/** The same for a text that must stay on one line. */
export function visibleLine(line: string): string {
  return visible(line).replace(/[\n\t]/g, escaped);
}

/**
 * Some format characters stay. Joiners and direction marks are part of correct text in many scripts and of emoji; they
 * neither hide text nor change its order beyond the punctuation beside them. Number and verse signs (U+0600 and others)
 * are visible.
 */
const HIDDEN =
  /(?![\n\t\u061C\u200C-\u200F\u0600-\u0605\u06DD\u070F\u0890\u0891\u08E2\u{110BD}\u{110CD}])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Returns JSON's escape of a character, such as `\u001b`. */
export function escaped(character: string): string {
  const short = JSON.stringify(character).slice(1, -1);
  if (short !== character) return short;
  const units = Array.from({ length: character.length }, (_, i) => character.charCodeAt(i));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("");
}

/** Asks the terminal to mark where a pasted text begins and ends (bracketed paste), or to mark it no longer. */
export function markPastes(stream: NodeJS.WriteStream, isOn: boolean): void {
  if (stream.isTTY && process.env["TERM"] !== "dumb") stream.write(isOn ? "\u001b[?2004h" : "\u001b[?2004l");
}

/**
 * Ends the program if stdout cannot be written: silently if the reader has closed it (`| head`), else with one line.
 */
export function exitWithOutput(programName: string, exitCode: () => number): void {
  process.stdout.on("error", ({ code, message }: NodeJS.ErrnoException) => {
    if (code === "EPIPE") process.exit(0);
    printLine(process.stderr, `${programName}: the output cannot be written (${code ?? message})`);
    process.exit(exitCode());
  });
}

export interface ProgressBar {
  /** @param current short description of the current step */
  show(done: number, total: number, current?: string): void;
  /** Keeps the bar as drawn and moves to the next line. */
  end(): void;
}

/** Draws a progress bar on stderr, or nothing if stderr is not a terminal. */
export function progressBar(label: string): ProgressBar {
  const line = new StatusLine();
  return {
    show: (done, total, current = "") => {
      const share = total === 0 ? 1 : done / total;
      line.show(`${label} ${bar(share)} ${current}`.trimEnd());
      if (share >= 1) line.end();
    },
    end: () => line.end(),
  };
}

const BAR_WIDTH = 30;
const MIN_BAR_WIDTH = 8;

/** @param room columns that are available */
export function bar(share: number, room: number = BAR_WIDTH): string {
  const width = Math.max(MIN_BAR_WIDTH, Math.min(BAR_WIDTH, room));
  const filled = Math.round(share * width);
  return `[${"#".repeat(filled)}${"·".repeat(width - filled)}] ${Math.floor(share * 100)} %`;
}

/** A line of the terminal that is overwritten with each update. */
export class StatusLine {
  readonly isTerminal = process.stderr.isTTY;
  #drawn = "";

  /** Maximum line length: a line that wraps could not be overwritten. */
  get width(): number {
    return (process.stderr.columns || 80) - 1;
  }

  show(text: string): void {
    const line = visibleLine(text).slice(0, this.width);
    if (!this.isTerminal || line === this.#drawn) return;
    process.stderr.write(`\r${line.padEnd(this.#drawn.length)}`);
    this.#drawn = line;
  }

  end(): void {
    if (this.#drawn !== "") process.stderr.write("\n");
    this.#drawn = "";
  }
}

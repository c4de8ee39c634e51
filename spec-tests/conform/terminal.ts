/** Progress display on a terminal, and handling of an output that cannot be written. */

/**
 * Ends the program if stdout cannot be written: silently if the reader has closed it (`| head`), else with one line.
 */
export function exitWithOutput(programName: string, exitCode: () => number): void {
  process.stdout.on("error", ({ code, message }: NodeJS.ErrnoException) => {
    if (code === "EPIPE") process.exit(0);
    process.stderr.write(`${programName}: the output cannot be written (${code ?? message})\n`);
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
    const line = text.slice(0, this.width);
    if (!this.isTerminal || line === this.#drawn) return;
    process.stderr.write(`\r${line.padEnd(this.#drawn.length)}`);
    this.#drawn = line;
  }

  end(): void {
    if (this.#drawn !== "") process.stderr.write("\n");
    this.#drawn = "";
  }
}

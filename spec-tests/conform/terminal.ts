/** What a command draws on a terminal while somebody waits, and how it ends where its output cannot be written. */

/** Ends the program where stdout cannot be written: quietly where its reader has gone (`| head`), else with one line. */
export function exitWithOutput(programName: string, exitCode: () => number): void {
  process.stdout.on("error", ({ code, message }: NodeJS.ErrnoException) => {
    if (code === "EPIPE") process.exit(0);
    process.stderr.write(`${programName}: the output cannot be written (${code ?? message})\n`);
    process.exit(exitCode());
  });
}

export interface ProgressBar {
  /** @param current a word on what is being done */
  show(done: number, total: number, current?: string): void;
  /** Leaves what has been drawn as it is; whatever is printed next gets a line of its own. */
  end(): void;
}

/** Draws progress on a terminal, and nothing where stderr is not one. */
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

/** @param room columns that are left for it */
export function bar(share: number, room: number = BAR_WIDTH): string {
  const width = Math.max(MIN_BAR_WIDTH, Math.min(BAR_WIDTH, room));
  const filled = Math.round(share * width);
  return `[${"#".repeat(filled)}${"·".repeat(width - filled)}] ${Math.floor(share * 100)} %`;
}

/** A line of the terminal that is written over and over. */
export class StatusLine {
  readonly isTerminal = process.stderr.isTTY;
  #drawn = "";

  /** A line that wraps could not be written over. */
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

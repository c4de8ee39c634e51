/** Terminal output other than the answer: loading progress and the statistics line. */

import { sizeText } from "../../engine/errors.js";
import type { AnswerResult } from "../../engine/index.js";
import {
  bar,
  print,
  printLine,
  progressBar,
  StatusLine,
  visibleLine,
  type ProgressBar,
} from "../../spec-tests/conform/terminal.js";
import { wrapped } from "./word-wrap.js";

/** Exit code that shells report for a program ended by Ctrl-C. */
export const INTERRUPTED = 130;

/** Prints lines for the person on stderr. On a terminal they are dim and wrapped. */
export function printRemark(...lines: readonly string[]): void {
  const { isTTY } = process.stderr;
  for (const line of lines) {
    if (!isTTY) {
      printLine(process.stderr, line);
      continue;
    }
    print(process.stderr, wrapped(visibleLine(line), columnsOfTerminal(process.stderr)), "dim");
    print(process.stderr, "\n");
  }
}

/** Columns of a terminal; Infinity if the stream is none, because its text is not wrapped. */
export function columnsOfTerminal({ isTTY, columns }: NodeJS.WriteStream): number {
  return isTTY ? columns || 80 : Infinity;
}

/**
 * Shows the progress of loading a model. On a terminal: bars for downloads and the conversion. Otherwise: a line for
 * each finished download, and a line every few seconds for one in progress.
 */
export class LoadingDisplay {
  readonly #line = new StatusLine();
  readonly #downloads = new Map<string, DownloadRate>();
  readonly #label: string;
  readonly #say: (line: string) => void;
  readonly #convertingBar: ProgressBar;

  /**
   * @param name name of the model, if several are loaded
   * @param say prints a line if stderr is not a terminal
   */
  constructor(name = "", say: (line: string) => void = (line) => printLine(process.stderr, line)) {
    this.#say = say;
    this.#label = name === "" ? "" : `${name} `;
    this.#convertingBar = progressBar(`Converting ${name}`.trimEnd());
  }

  readonly onProgress = (done: number, total: number): void => this.#convertingBar.show(done, total);

  readonly onDownload = (done: number, total: number, file: string): void => {
    const nowMs = performance.now();
    const download = this.#downloads.get(file) ?? new DownloadRate(done, nowMs);
    this.#downloads.set(file, download);
    download.sample(done, nowMs);
    const isEnd = done >= total;
    if (!isEnd && nowMs - download.saidMs < (this.#line.isTerminal ? DRAW_MS : SAY_MS)) return;
    download.saidMs = nowMs;
    if (isEnd) this.#downloads.delete(file);
    const text = isEnd ? download.finished(total, nowMs) : download.underWay(done, total);
    const name = `${this.#label}${file}`;
    if (this.#line.isTerminal) {
      const room = this.#line.width - visibleLine(name).length - text.length - BAR_FRAME;
      const share = total === 0 ? 1 : done / total;
      this.#line.show(`${name} ${bar(share, room)} ${text}`);
      if (isEnd) this.#line.end();
    } else this.#say(`${name}: ${isEnd ? "" : `${Math.floor((100 * done) / total)} % of `}${text}`);
  };

  readonly onNotice = (message: string): void => {
    this.#line.end();
    printLine(process.stderr, `touchstone: ${message}`);
  };

  /** Ends the bars where they are, so that the next output starts on a new line. */
  end(): void {
    this.#line.end();
    this.#convertingBar.end();
  }
}

/** Runs `load` and shows its progress. */
export async function showLoading<T>(load: (display: LoadingDisplay) => Promise<T>): Promise<T> {
  const display = new LoadingDisplay();
  try {
    return await load(display);
  } finally {
    display.end();
  }
}

/** Columns around a bar: spaces, brackets, percentage. */
const BAR_FRAME = 10;
/** Interval between two drawings of a bar, and between two plain lines, in ms. */
const DRAW_MS = 100;
const SAY_MS = 5000;
/** Time window of the rate, in ms. */
const RATE_MS = 10_000;

/** Download rate of one file. */
class DownloadRate {
  /** Time of the last output for this file. */
  saidMs: number;
  #samples: { readonly ms: number; readonly done: number }[] = [];

  /** @param startDone bytes already downloaded earlier */
  constructor(
    private readonly startDone: number,
    private readonly startMs: number,
  ) {
    this.saidMs = startMs;
  }

  sample(done: number, ms: number): void {
    const last = this.#samples.at(-1);
    if (last !== undefined && last.done <= done && ms - last.ms < DRAW_MS) return;
    // If a download restarts, its earlier samples exceed the current size; drop them.
    this.#samples = [
      ...this.#samples.filter((sample) => ms - sample.ms <= RATE_MS && sample.done <= done),
      { ms, done },
    ];
  }

  underWay(done: number, total: number): string {
    const first = this.#samples[0]!;
    const last = this.#samples.at(-1)!;
    const bytesPerMs = last.ms === first.ms ? 0 : (last.done - first.done) / (last.ms - first.ms);
    const rate =
      bytesPerMs === 0 ? "" : `, ${sizeText(bytesPerMs * 1000)}/s, ${duration((total - done) / bytesPerMs)} left`;
    return `${sizeText(total)}${rate}`;
  }

  finished(total: number, nowMs: number): string {
    const time = nowMs - this.startMs < 1000 ? "" : ` in ${duration(nowMs - this.startMs)}`;
    const earlier =
      this.startDone === 0 || this.startDone >= total ? "" : `, ${sizeText(this.startDone)} downloaded earlier`;
    return `${sizeText(total)}${time}${earlier}`;
  }
}

function duration(ms: number): string {
  const seconds = Math.ceil(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  return seconds < 3600
    ? `${Math.floor(seconds / 60)} min ${seconds % 60} s`
    : `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

export const counted = (count: number, word: string): string => `${count} ${word}${count === 1 ? "" : "s"}`;

/** Formats token counts, times, the seed that replays the answer, and the finish reason as one line. */
export function statistics({ usage, timings, seed, choices }: AnswerResult): string {
  const rate = (usage.completionTokens / timings.completionMs) * 1000;
  return [
    `prompt ${usage.promptTokens} tokens in ${Math.round(timings.promptMs)} ms`,
    `answer ${usage.completionTokens} tokens in ${Math.round(timings.completionMs)} ms (${Math.round(rate)} tokens/s)`,
    `seed ${seed}`,
    `finish ${choices.at(-1)!.finishReason}`,
  ].join(" · ");
}

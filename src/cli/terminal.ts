/** What a person sees beside the answer itself: a progress bar, dimmed text, the statistics line. */

import { styleText } from "node:util";

import type { OutputDelta } from "../../engine/index.js";

/** Whether text on stdout may carry colours. */
export const hasColours = process.stdout.isTTY && process.env["NO_COLOR"] === undefined && process.env["TERM"] !== "dumb";

export function dim(text: string): string {
  return hasColours ? styleText("dim", text) : text;
}

/** Draws progress on a terminal, with a word on what is being done, and nothing where stderr is not one. */
export function progressBar(label: string): (done: number, total: number, current?: string) => void {
  if (!process.stderr.isTTY) return () => {};
  const width = 30;
  let drawn = "";
  return (done, total, current = "") => {
    const share = total === 0 ? 1 : done / total;
    const filled = Math.round(share * width);
    const line = `${label} [${"#".repeat(filled)}${"·".repeat(width - filled)}] ${Math.floor(share * 100)} % ${current}`.trimEnd();
    if (line === drawn) return;
    process.stderr.write(`\r${line.padEnd(drawn.length)}${share >= 1 ? "\n" : ""}`);
    drawn = line;
  };
}

/** One line: how many tokens, how fast, and the seed that replays the answer. */
export function statistics(last: OutputDelta, seed: number): string {
  const { usage, timings, finishReason } = last;
  if (usage === null || timings === null) return "";
  const rate = (usage.completionTokens / timings.completionMs) * 1000;
  return [
    `prompt ${usage.promptTokens} tokens in ${Math.round(timings.promptMs)} ms`,
    `answer ${usage.completionTokens} tokens in ${Math.round(timings.completionMs)} ms (${Math.round(rate)} tokens/s)`,
    `seed ${seed}`,
    `finish ${finishReason}`,
  ].join(" · ");
}

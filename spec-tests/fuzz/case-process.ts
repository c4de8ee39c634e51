/** A process that runs cases one after the other. It may hang, crash or run out of memory; run-cases.ts watches it. */

import { mkdir } from "node:fs/promises";
import { pathToFileURL } from "node:url";

import type { CaseModule, FromProcess, Outcome, ToProcess } from "./run-cases.js";

const [modulePath, setting] = process.argv.slice(2) as [string, string];
const { openCases } = (await import(pathToFileURL(modulePath).href)) as CaseModule;
const prepare = await openCases(setting);

let isReported = true;
/** Memory before a case, and the highest until then. Preparing a case can take more than the case. */
let residentBytes = 0;
let peakBytes = 0;
process.on("uncaughtException", (error) => void report({ type: "fault", message: `uncaught ${error.stack}` }, 0));
process.on("unhandledRejection", (reason) => {
  const text = reason instanceof Error ? reason.stack : String(reason);
  void report({ type: "fault", message: `unhandled rejection of ${text}` }, 0);
});
process.on("message", (message: ToProcess) => void run(message));
await send({ type: "ready" });

async function run({ kind, seed, folder }: ToProcess): Promise<void> {
  isReported = false;
  await mkdir(folder, { recursive: true });
  const use = await prepare(kind, seed, folder);
  // Only the engine's time counts. The message is sent before the engine can block this thread.
  await send({ type: "started" });
  residentBytes = process.memoryUsage.rss();
  peakBytes = peakOfProcess();
  const start = process.cpuUsage();
  const outcome = await use();
  const { user, system } = process.cpuUsage(start);
  // A rejection that nobody handles is known after the promise jobs of this turn.
  await new Promise((resolve) => void setImmediate(resolve));
  await report(outcome, (user + system) / 1000);
}

/** Reports the first outcome of a case; what follows belongs to the same case. */
async function report(outcome: Outcome, durationMs: number): Promise<void> {
  if (isReported) return;
  isReported = true;
  const peak = peakOfProcess();
  await send({ type: "done", outcome, durationMs, tookBytes: peak > peakBytes ? peak - residentBytes : 0 });
}

const peakOfProcess = (): number => process.resourceUsage().maxRSS * 1024;

function send(message: FromProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    process.send!(message, (error: Error | null) => (error === null ? resolve() : reject(error)));
  });
}

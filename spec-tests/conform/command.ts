/**
 * The command line of the suite, under whatever name: options to a run, its text to stdout, its reports to files. Exit code
 * 0 if no law is broken, 1 if one is, 2 if nothing could be checked, or a report not written.
 */

import { open, rm, stat, writeFile } from "node:fs/promises";
import { extname } from "node:path";

import { InvalidArgumentError, Option, type Command } from "commander";

import type { ReportFormat } from "./conform.js";
import { ConformError } from "./errors.js";
import { DEFAULT_BUDGET, normalizedBaseUrl, type ConformOptions } from "./options.js";
import type { Budget, Progress } from "./run.js";
import { progressBar } from "./terminal.js";

export { ConformError } from "./errors.js";

export const COULD_NOT_RUN = 2;

interface ConformFlags extends Omit<ConformOptions, "only"> {
  readonly only?: string;
  readonly report?: readonly string[];
}

/** @param command with its name and settings; gets its options and what it does */
export function conformCommand(command: Command): Command {
  return (
    command
      .description("check any chat-completions server against the laws of the specification")
      .requiredOption(
        "--base-url <url>",
        "the server's API, up to where /chat/completions follows, such as http://127.0.0.1:8000/v1",
        baseUrl,
      )
      .addOption(
        new Option("--api-key <key>", "sent with every request; never printed or written").env("TOUCHSTONE_API_KEY"),
      )
      .option("--model <name>", "the model to ask (default: the first one that the server lists)")
      .addOption(
        new Option(
          "--dialect <name>",
          "whose rules to apply where vendors differ (default: what the server says of itself, else openai)",
        ).choices(["ppio", "openai"]),
      )
      .option("--only <laws>", "check these laws alone: some of P1 to P16 and validation, such as P4,P9 (default: all)")
      .addOption(
        new Option("--budget <limits>", "send at most so many requests, and take at most so many seconds")
          .argParser(budget)
          .default(DEFAULT_BUDGET, "calls=500,seconds=300"),
      )
      .option(
        "--seed <integer>",
        "choose the cases to try; the same seed tries the same cases again (default: a random one)",
        seed,
      )
      .option(
        "--report <file>",
        "write a report too, as a page (.html), JSON (.json) or JUnit XML (.xml); may be given several times",
        reportFile,
      )
      .addHelpText(
        "after",
        "\nExit code: 0 if no law is broken, 1 if one is, 2 if nothing could be checked\nor a report could not be written.",
      )
      // 1 means findings: what commander refuses is something else.
      .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : COULD_NOT_RUN))
      .action(run)
  );
}

async function run({ only, report: files = [], ...options }: ConformFlags): Promise<void> {
  process.exitCode = COULD_NOT_RUN; // until there is a result
  for (const file of files) await checkWritable(file);
  // Not loaded before they are wanted: other commands start sooner without the laws and their library.
  const { conform, report } = await import("./conform.js");
  const progress = showProgress();
  const laws = only === undefined ? {} : { only: only.split(",").map((id) => id.trim()) };
  const result = await conform({ ...options, ...laws, onProgress: progress.show }).finally(progress.end);
  process.stdout.write(report(result, "text"));
  for (const file of files) await writeReport(file, report(result, FORMATS[extname(file)]!));
  process.exitCode = result.findings.length === 0 ? 0 : 1;
}

const FORMATS: Readonly<Record<string, ReportFormat>> = { ".html": "html", ".json": "json", ".xml": "junit" };

/** A bar on a terminal; elsewhere a short line for each law, of which the summary says more. */
function showProgress(): { show(progress: Progress): void; end(): void } {
  const bar = progressBar("Checking");
  bar.show(0, 1, "what the server supports");
  return {
    show: ({ share, lawId, result }) => {
      bar.show(share, 1, lawId);
      if (result !== null && !process.stderr.isTTY)
        process.stderr.write(`${Math.round(share * 100)} % ${result.law.id} ${result.outcome}\n`);
    },
    end: () => bar.end(),
  };
}

/** Before minutes are spent on what is to be written. Tried, because permissions do not tell; nothing stays changed. */
async function checkWritable(file: string): Promise<void> {
  const isNew = (await stat(file).catch(() => null)) === null;
  const handle = await open(file, "a").catch((error: Error) => refuseReport(file, error));
  await handle.close();
  if (isNew) await rm(file);
}

async function writeReport(file: string, text: string): Promise<void> {
  await writeFile(file, text).catch((error: Error) => refuseReport(file, error));
}

function refuseReport(file: string, error: Error): never {
  throw new ConformError("report_not_written", `The report ${file} cannot be written: ${error.message}`, {
    cause: error,
  });
}

function baseUrl(text: string): string {
  const url = normalizedBaseUrl(text);
  if (url === null) throw new InvalidArgumentError("It must look like http://127.0.0.1:8000/v1.");
  return url;
}

function budget(text: string): Budget {
  const parts = text.split(",").map((part) => /^(calls|seconds)=([1-9]\d{0,6})$/.exec(part.trim()));
  const named = parts.map((match) => [match?.[1], Number(match?.[2])] as const);
  if (parts.includes(null) || new Set(named.map(([name]) => name)).size < named.length)
    throw new InvalidArgumentError("It must look like calls=500,seconds=300.");
  return { ...DEFAULT_BUDGET, ...Object.fromEntries(named) };
}

function seed(text: string): number {
  if (!/^-?\d{1,15}$/.test(text)) throw new InvalidArgumentError("It must be an integer of at most 15 digits.");
  return Number(text);
}

function reportFile(text: string, earlier: readonly string[] | undefined): readonly string[] {
  if (FORMATS[extname(text)] === undefined) throw new InvalidArgumentError("It must end in .html, .json or .xml.");
  return [...(earlier ?? []), text];
}

/**
 * The command line of the suite: it parses options, runs the suite, prints the summary to stdout and writes report
 * files. The exit code is 0 if no law is broken, 1 if one is, 2 if nothing could be checked or a report could not be
 * written.
 */

import { open, rm, stat, writeFile } from "node:fs/promises";
import { extname } from "node:path";

import { InvalidArgumentError, Option, type Command } from "commander";

import type { ReportFormat } from "./conform.js";
import { ConformError } from "./errors.js";
import { DEFAULT_BUDGET, hasCredentials, normalizedBaseUrl, type ConformOptions } from "./options.js";
import type { Budget, Progress } from "./run.js";
import { print, printLine, progressBar } from "./terminal.js";

export { ConformError } from "./errors.js";

export const COULD_NOT_RUN = 2;

interface ConformFlags extends Omit<ConformOptions, "only"> {
  readonly only?: string;
  readonly report?: readonly string[];
}

/** Adds options and action to a command. @param command a command whose name and settings are already set */
export function conformCommand(command: Command): Command {
  return (
    command
      .description("check a chat-completions server against the laws of the specification")
      .requiredOption(
        "--base-url <url>",
        "URL of the API, without /chat/completions, such as http://127.0.0.1:8000/v1",
        baseUrl,
      )
      .addOption(
        new Option("--api-key <key>", "key to send with every request; never printed or written to a report").env(
          "TOUCHSTONE_API_KEY",
        ),
      )
      .option("--model <name>", "model to use (default: the first model that the server lists)")
      .addOption(
        new Option(
          "--dialect <name>",
          "rules to apply where vendors differ (default: the dialect that the server reports, else openai)",
        ).choices(["ppio", "openai"]),
      )
      .option("--only <laws>", "check only these laws, from P1 to P22 and validation, such as P4,P9 (default: all)")
      .addOption(
        new Option("--budget <limits>", "maximum number of requests and of seconds")
          .argParser(budget)
          .default(DEFAULT_BUDGET, "calls=650,seconds=400"),
      )
      .option("--seed <integer>", "seed of the test cases; the same seed tries the same cases (default: random)", seed)
      .option(
        "--report <file>",
        "also write a report, as web page (.html), JSON (.json) or JUnit XML (.xml); can be repeated",
        reportFile,
      )
      .addHelpText(
        "after",
        "\nExit code: 0 if no law is broken, 1 if one is, 2 if nothing could be checked\nor a report could not be written.",
      )
      // Exit code 1 is reserved for findings, so usage errors of commander exit with 2.
      .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : COULD_NOT_RUN))
      .action(run)
  );
}

async function run({ only, report: files = [], ...options }: ConformFlags): Promise<void> {
  process.exitCode = COULD_NOT_RUN; // until the result is known
  // Node's own exit code for an exception in an event handler is 1, which is reserved for findings.
  process.once("uncaughtException", (error) => {
    print(process.stderr, `internal error: ${error.stack}\n`);
    process.exit(COULD_NOT_RUN);
  });
  for (const file of files) await checkWritable(file);
  // Loaded on demand, so that other commands start faster without the laws and fast-check.
  const { conform, report } = await import("./conform.js");
  const progress = showProgress();
  const laws = only === undefined ? {} : { only: only.split(",").map((id) => id.trim()) };
  const result = await conform({ ...options, ...laws, onProgress: progress.show }).finally(progress.end);
  print(process.stdout, report(result, "text"));
  for (const file of files) await writeReport(file, report(result, FORMATS[extname(file)]!));
  process.exitCode = result.findings.length === 0 ? 0 : 1;
}

const FORMATS: Readonly<Record<string, ReportFormat>> = { ".html": "html", ".json": "json", ".xml": "junit" };

/** Shows a progress bar on a terminal. Elsewhere it prints a short line for each law. */
function showProgress(): { show(progress: Progress): void; end(): void } {
  const bar = progressBar("Checking");
  bar.show(0, 1, "probing features");
  return {
    show: ({ share, lawId, result }) => {
      bar.show(share, 1, lawId);
      if (result !== null && !process.stderr.isTTY)
        printLine(process.stderr, `${Math.round(share * 100)} % ${result.law.id} ${result.outcome}`);
    },
    end: () => bar.end(),
  };
}

/**
 * Checks before the run that a report file can be written. It opens the file, because permissions alone are not
 * conclusive. The file is left unchanged, and removed if it is new.
 */
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
  // Refused by `conform`; the message of the command line would repeat the password.
  if (hasCredentials(text)) return text;
  const url = normalizedBaseUrl(text);
  if (url === null) throw new InvalidArgumentError("It must look like http://127.0.0.1:8000/v1.");
  return url;
}

function budget(text: string): Budget {
  const parts = text.split(",").map((part) => /^(calls|seconds)=([1-9]\d{0,6})$/.exec(part.trim()));
  const named = parts.map((match) => [match?.[1], Number(match?.[2])] as const);
  if (parts.includes(null) || new Set(named.map(([name]) => name)).size < named.length)
    throw new InvalidArgumentError("It must look like calls=650,seconds=400.");
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

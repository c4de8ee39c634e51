/**
 * `touchstone conform`: checks the laws of chat completions against any server. Exit code 0 if none is broken, 1 if one is,
 * 2 if nothing could be checked, or a report not written.
 */

import { open, readFile, rm, stat, writeFile } from "node:fs/promises";
import { extname } from "node:path";

import { Command, InvalidArgumentError, Option } from "commander";

import { EngineError } from "../../engine/index.js";
import type { Law } from "../../spec-tests/conform/law.js";
import { CannotRun, type Dialect } from "../../spec-tests/conform/profile.js";
import { html } from "../../spec-tests/conform/report-html.js";
import { clausesOf, json, junit, numFindings, summary, type Clauses } from "../../spec-tests/conform/report.js";
import type { Budget, Progress, Run } from "../../spec-tests/conform/run.js";
import { progressBar } from "./terminal.js";

export const COULD_NOT_RUN = 2;

const DEFAULT_BUDGET: Budget = { calls: 500, seconds: 300 };

interface ConformFlags {
  baseUrl: string;
  apiKey?: string;
  model?: string;
  dialect?: Dialect;
  only?: string;
  budget: Budget;
  seed?: number;
  report?: readonly string[];
}

export function conformCommand(): Command {
  return new Command("conform")
    .description("check the laws of chat completions against any server, and report what breaks them")
    .requiredOption("--base-url <url>", "where its API begins, such as http://127.0.0.1:8000/v1", baseUrl)
    .addOption(new Option("--api-key <key>", "sent with every request, and never printed").env("TOUCHSTONE_API_KEY"))
    .option("--model <name>", "the model to ask (default: the first one the server lists)")
    .addOption(
      new Option(
        "--dialect <name>",
        "whose rules hold where vendors differ (default: what the server says, else openai)",
      ).choices(["ppio", "openai"]),
    )
    .option("--only <laws>", "check these laws alone, such as P4,P9 (default: all)")
    .addOption(
      new Option("--budget <limits>", "most requests to send, and seconds to take")
        .argParser(budget)
        .default(DEFAULT_BUDGET, "calls=500,seconds=300"),
    )
    .option(
      "--seed <integer>",
      "of the cases tried; a run with the same seed tries the same (default: a random one)",
      seed,
    )
    .option(
      "--report <file>",
      "write a report too: a page (.html), JSON (.json) or JUnit XML (.xml); repeatable",
      reportFile,
    )
    .addHelpText(
      "after",
      "\nExit code: 0 if no law is broken, 1 if one is, 2 if nothing could be checked, or a report not written.",
    )
    .action(conform);
}

async function conform(flags: ConformFlags): Promise<void> {
  process.exitCode = COULD_NOT_RUN; // until there is a result
  // Not loaded before they are wanted: the other commands start sooner without the laws and their library.
  const { LAWS } = await import("../../spec-tests/conform/all.js");
  const laws = flags.only === undefined ? LAWS : only(flags.only, LAWS);
  const reports = flags.report ?? [];
  for (const file of reports) await checkWritable(file);
  const clauses = await readClauses();
  const run = await check(flags, laws);
  process.stdout.write(`${summary(run, clauses)}\n`);
  for (const file of reports) await writeReport(file, WRITERS[extname(file)]!(run, clauses));
  process.exitCode = numFindings(run) === 0 ? 0 : 1;
}

const WRITERS: Readonly<Record<string, (run: Run, clauses: Clauses) => string>> = {
  ".html": html,
  ".json": json,
  ".xml": junit,
};

async function check(
  { baseUrl, apiKey = "", model, dialect, budget, seed }: ConformFlags,
  laws: readonly Law[],
): Promise<Run> {
  const { runLaws } = await import("../../spec-tests/conform/run.js");
  try {
    return await runLaws({
      endpoint: { baseUrl, apiKey: apiKey === "" ? null : apiKey },
      model: model ?? null,
      dialect: dialect ?? null,
      laws,
      budget,
      seed: seed ?? Math.floor(Math.random() * 2 ** 31),
      onProgress: showProgress(),
    });
  } catch (error) {
    if (error instanceof CannotRun)
      throw new EngineError("unsupported_value", error.message, "base-url", { cause: error });
    throw error;
  }
}

/** A bar on a terminal; elsewhere a short line for each law, of which the summary says more. */
function showProgress(): (progress: Progress) => void {
  const bar = progressBar("Checking");
  return ({ share, lawId, result }) => {
    bar(share, 1, lawId ?? "");
    if (result !== null && !process.stderr.isTTY)
      process.stderr.write(`${Math.round(share * 100)} % ${result.law.id} ${result.outcome}\n`);
  };
}

/** Where the specification is not beside the program, reports name clauses by their numbers. */
async function readClauses(): Promise<Clauses> {
  const text = await readFile(new URL("../../../docs/SPEC.md", import.meta.url), "utf8").catch(() => "");
  return clausesOf(text);
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
  throw new EngineError("unsupported_value", `The report ${file} cannot be written: ${error.message}`, "report", {
    cause: error,
  });
}

function baseUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^https?:$/.test(url.protocol) || url.search !== "" || url.hash !== "" || url.username !== "") {
    throw new InvalidArgumentError("It must look like http://127.0.0.1:8000/v1.");
  }
  return url.href.replace(/\/+$/, "");
}

function only(text: string, laws: readonly Law[]): readonly Law[] {
  const ids = text.split(",").map((id) => id.trim());
  const unknown = ids.find((id) => !laws.some((law) => law.id === id));
  if (unknown !== undefined) {
    throw new EngineError(
      "unsupported_value",
      `There is no law ${unknown}, but ${laws.map(({ id }) => id).join(", ")}.`,
      "only",
    );
  }
  return laws.filter(({ id }) => ids.includes(id));
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
  if (WRITERS[extname(text)] === undefined) throw new InvalidArgumentError("It must end in .html, .json or .xml.");
  return [...(earlier ?? []), text];
}

/** The library: checks laws against a server, and writes what was found as a report. */

import { ConformError } from "./errors.js";
import type { Law } from "./law.js";
import { LAWS } from "./laws/all.js";
import { checkOptions, DEFAULT_BUDGET, normalizedBaseUrl, type ConformOptions } from "./options.js";
import { specification } from "./package-files.js";
import { html } from "./report-html.js";
import { clausesOf, json, junit, summary, verdict, type Clauses } from "./report.js";
import { runLaws, type Finding, type Run } from "./run.js";

/** What a run found. */
export interface ConformResult extends Run {
  /** Of all laws, in their order. Empty: no law is broken. */
  readonly findings: readonly Finding[];
  /** One line: `17 laws: 2 broken, 1 skipped, 14 hold`. */
  readonly summary: string;
}

/**
 * Checks the laws of chat completions against a server, one after the other: by default all of `LAWS`, with at most 500
 * requests within 300 seconds.
 *
 * A law that is broken is no error: it is in the result, with the smallest case found that shows it.
 *
 * @throws ConformError `invalid_option`, before anything is sent; `cannot_run` where no law could be checked
 * @throws the signal's reason where `signal` is aborted
 */
export async function conform(options: ConformOptions): Promise<ConformResult> {
  checkOptions(options);
  const { apiKey = "", model, dialect, only, budget, seed, signal, onProgress } = options;
  const run = await runLaws({
    endpoint: { baseUrl: normalizedBaseUrl(options.baseUrl)!, apiKey: apiKey === "" ? null : apiKey },
    model: model ?? null,
    dialect: dialect ?? null,
    laws: only === undefined ? LAWS : lawsOf(only),
    budget: { ...DEFAULT_BUDGET, ...budget },
    seed: seed ?? Math.floor(Math.random() * 2 ** 31),
    ...(signal === undefined ? {} : { signal }),
    ...(onProgress === undefined ? {} : { onProgress }),
  });
  return { ...run, findings: run.laws.flatMap(({ findings }) => findings), summary: verdict(run) };
}

function lawsOf(only: readonly string[]): readonly Law[] {
  const unknown = only.find((id) => !LAWS.some((law) => law.id === id));
  if (unknown !== undefined) {
    throw new ConformError("invalid_option", `There is no law ${unknown}, but ${LAWS.map(({ id }) => id).join(", ")}.`);
  }
  return LAWS.filter(({ id }) => only.includes(id));
}

/**
 * `text`: what the command prints. `html`: one page that needs nothing else. `json`: every exchange whole.
 * `junit`: JUnit XML, a test case for each law.
 */
export type ReportFormat = "text" | "html" | "json" | "junit";

/**
 * The report as text, to be printed or written to a file. The API key is in none.
 *
 * @throws ConformError `invalid_option` for a format that does not exist
 */
export function report(result: ConformResult, format: ReportFormat): string {
  if (!Object.hasOwn(WRITERS, format)) {
    throw new ConformError(
      "invalid_option",
      `format must be text, html, json or junit. Given: ${JSON.stringify(format)}`,
    );
  }
  return WRITERS[format](result, clausesOf(specification() ?? ""));
}

const WRITERS: Readonly<Record<ReportFormat, (run: Run, clauses: Clauses) => string>> = {
  text: (run, clauses) => `${summary(run, clauses)}\n`,
  html,
  json,
  junit,
};

/** The library's functions: check laws against a server, and format the result as a report. */

import { ConformError } from "./errors.js";
import type { Law } from "./law.js";
import { LAWS } from "./laws/all.js";
import { checkOptions, DEFAULT_BUDGET, normalizedBaseUrl, type ConformOptions } from "./options.js";
import { specification } from "./package-files.js";
import { html } from "./report-html.js";
import { clausesOf, json, junit, summary, verdict, type Clauses } from "./report.js";
import { runLaws, type Finding, type Run } from "./run.js";

/** Result of a run. */
export interface ConformResult extends Run {
  /** Findings of all laws, in the order of the laws. Empty if no law is broken. */
  readonly findings: readonly Finding[];
  /** One line: `23 laws: 2 broken, 1 skipped, 20 hold`. */
  readonly summary: string;
}

/**
 * Checks a chat-completions server against laws, one after the other. By default it checks all of `LAWS`, with at most
 * 650 requests within 400 seconds.
 *
 * A broken law does not throw: it is part of the result, with the smallest failing case that was found.
 *
 * @throws ConformError `invalid_option` before any request is sent, or `cannot_run` if no law could be checked
 * @throws the signal's reason if `signal` is aborted
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
    throw new ConformError("invalid_option", `Unknown law: ${unknown}. Laws: ${LAWS.map(({ id }) => id).join(", ")}.`);
  }
  return LAWS.filter(({ id }) => only.includes(id));
}

/**
 * `text`: the output of the command. `html`: one self-contained page. `json`: all data, including complete exchanges.
 * `junit`: JUnit XML with one test case per law.
 */
export type ReportFormat = "text" | "html" | "json" | "junit";

/**
 * Formats a result as a report. No format contains the API key.
 *
 * @throws ConformError `invalid_option` for an unknown format
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

/**
 * Reports of a run: text for a terminal, JSON for programs, JUnit XML for test dashboards. report-html.ts has the web
 * page.
 */

import { raisedBudget, type Finding, type LawResult, type Outcome, type Run } from "./run.js";
import { escaped, visible } from "./terminal.js";

/** A clause of docs/SPEC.md. */
export interface Clause {
  readonly title: string;
  /** Markdown. */
  readonly text: string;
}

export type Clauses = ReadonlyMap<string, Clause>;

/** Parses the specification and returns its clauses by number. */
export function clausesOf(specification: string): Clauses {
  const sections = specification.split(/^(?=#{1,6} )/m);
  return new Map(
    sections.flatMap((section) => {
      const [, id, title, text] = /^#+ (TS-\d+\.\d+) (.*)\n([^]*)$/.exec(section) ?? [];
      return id === undefined || title === undefined || text === undefined
        ? []
        : [[id, { title, text: text.trim() }] as const];
    }),
  );
}

/** Outcomes in the order of the report, the worst first. */
export const OUTCOMES: readonly Outcome[] = ["broken", "unchecked", "skipped", "holds"];

export function withOutcome({ laws }: Run, outcome: Outcome): LawResult[] {
  return laws.filter((result) => result.outcome === outcome);
}

export function numFindings({ laws }: Run): number {
  return laws.reduce((sum, { findings }) => sum + findings.length, 0);
}

/** Seed and path of a finding, with which it can be reproduced. */
export function origin({ seed, path }: Finding): string {
  return `seed ${seed}${path === null ? "" : `, path ${path}`}`;
}

export function caseName({ isSmallest }: Finding): string {
  return isSmallest ? "smallest case found" : "smallest case found before the budget was spent";
}

/** Text report. Broken laws come first; the last lines suggest next steps. */
export function summary(run: Run, clauses: Clauses): string {
  const { baseUrl, profile, seed, budget, numCalls, seconds, errorRate } = run;
  const broken = withOutcome(run, "broken");
  const width = Math.max(...run.laws.map(({ law }) => law.id.length));
  const lines = [
    `${baseUrl} · ${oneLine(profile.model)} · dialect ${profile.dialect} · seed ${seed}`,
    `${verdict(run)} · ${numCalls} of ${budget.calls} calls, ${Math.round(seconds)} of ${budget.seconds} seconds · chance of a false alarm below ${rate(errorRate)}`,
    "",
    ...OUTCOMES.flatMap((outcome) => withOutcome(run, outcome)).flatMap((result) => lawLines(result, width, clauses)),
  ];
  const more = raisedBudget(budget, run.laws);
  const numShort = run.laws.filter(({ shortOf }) => shortOf !== null).length;
  const next = [
    `Try the same cases again: --only ${broken.map(({ law }) => law.id).join(",")} --seed ${seed}`,
    "Read the clauses next to the findings: --report findings.html",
  ];
  const hints = [
    ...(broken.length === 0 ? [] : next),
    ...(more === null ? [] : [`Check ${counted(numShort, "law")} that ended early with more cases: ${more}`]),
  ];
  return [lines.join("\n").trimEnd(), ...(hints.length === 0 ? [] : ["", ...hints])].join("\n");
}

/** One line with the outcome of a law. @param width columns for the id */
export function lawLine({ law, outcome, reason, numCases, numCalls }: LawResult, width: number): string {
  return `${outcome.padEnd(9)}  ${law.id.padEnd(width)}  ${law.title}${reason === null ? ` (${counted(numCases, "case")}, ${counted(numCalls, "call")})` : `: ${oneLine(reason)}`}`;
}

function lawLines(result: LawResult, width: number, clauses: Clauses): string[] {
  const findings = result.findings.flatMap((finding) => [
    `${finding.clause} ${clauses.get(finding.clause)?.title ?? ""}`.trimEnd(),
    finding.message,
    ...(finding.counterexample === null ? [] : [`${caseName(finding)}: ${finding.counterexample}`]),
    ...finding.curls,
    "",
  ]);
  const notes = result.notes.map((note) => `note: ${note}`);
  return [lawLine(result, width), ...[...notes, ...findings].map((text) => text.replace(/^(?=.)/gm, "    "))];
}

/** `23 laws: 18 hold, 2 broken, 3 skipped` */
export function verdict(run: Run): string {
  const words: Record<Outcome, string> = {
    broken: "broken",
    unchecked: "not checked",
    skipped: "skipped",
    holds: "hold",
  };
  const counts = OUTCOMES.map((outcome) => [withOutcome(run, outcome).length, words[outcome]] as const);
  return `${counted(run.laws.length, "law")}: ${counts
    .filter(([count]) => count > 0)
    .map(([count, word]) => `${count} ${word}`)
    .join(", ")}`;
}

export function counted(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? "" : "s"}`;
}

/** A probability, rounded up. */
export function rate(probability: number): string {
  if (probability === 0) return "1e-9";
  const unit = 10 ** Math.floor(Math.log10(probability));
  return `${(Math.ceil(probability / unit - 1e-9) * unit).toPrecision(1)}`;
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ");
}

export function json(run: Run): string {
  const { profile } = run;
  const report = {
    endpoint: run.baseUrl,
    model: profile.model,
    dialect: profile.dialect,
    context_length: profile.contextLength,
    system_fingerprint: profile.fingerprint,
    supported: [...profile.features],
    not_supported: Object.fromEntries(profile.missing),
    started_at: run.startedAt,
    seed: run.seed,
    budget: run.budget,
    calls: run.numCalls,
    seconds: run.seconds,
    error_rate: run.errorRate,
    findings: numFindings(run),
    laws: run.laws.map(({ law, outcome, reason, findings, notes, numCases, numCalls, seconds }) => ({
      id: law.id,
      title: law.title,
      clauses: law.clauses,
      reports: law.reports,
      error_rate: law.errorRate,
      outcome,
      reason,
      cases: numCases,
      calls: numCalls,
      seconds,
      notes,
      findings: findings.map(({ clause, message, counterexample, isSmallest, seed, path, exchanges, curls }) => ({
        clause,
        message,
        counterexample,
        is_smallest: isSmallest,
        seed,
        path,
        curls,
        exchanges: exchanges.map(({ responseHeaders, text, incomplete, durationMs, ...sent }) => ({
          ...sent,
          response_headers: responseHeaders,
          response: text,
          ...(incomplete === null ? {} : { incomplete }),
          duration_ms: durationMs,
        })),
      })),
    })),
  };
  return `${JSON.stringify(report, null, 2)}\n`;
}

/** JUnit XML as Jenkins, GitLab and others read it, with one test case per law. */
export function junit(run: Run): string {
  const { laws, seconds, startedAt } = run;
  const numSkipped = withOutcome(run, "skipped").length + withOutcome(run, "unchecked").length;
  const totals = `tests="${laws.length}" failures="${withOutcome(run, "broken").length}" errors="0" skipped="${numSkipped}" time="${seconds.toFixed(3)}"`;
  const properties = {
    endpoint: run.baseUrl,
    model: run.profile.model,
    dialect: run.profile.dialect,
    seed: run.seed,
    calls: run.numCalls,
  };
  return [
    `<?xml version="1.0" encoding="UTF-8"?>`,
    `<testsuites ${totals}>`,
    `  <testsuite name="touchstone conform" timestamp="${startedAt.replace(/\..*/, "")}" ${totals}>`,
    `    <properties>`,
    ...Object.entries(properties).map(
      ([name, value]) => `      <property name="${name}" value="${xml(String(value))}"/>`,
    ),
    `    </properties>`,
    ...laws.map(testCase),
    `  </testsuite>`,
    `</testsuites>`,
    "",
  ].join("\n");
}

function testCase({ law, reason, findings, notes, seconds }: LawResult): string {
  const parts = [
    ...(reason === null ? [] : [`<skipped message="${xml(reason)}"/>`]),
    ...findings.map(
      (finding) =>
        `<failure type="${xml(finding.clause)}" message="${xml(finding.message)}">${xml(failureText(finding))}</failure>`,
    ),
    ...(notes.length === 0 ? [] : [`<system-out>${xml(notes.join("\n"))}</system-out>`]),
  ];
  return `    <testcase classname="touchstone.conform" name="${xml(`${law.id} ${law.title}`)}" time="${seconds.toFixed(3)}">${parts.join("")}</testcase>`;
}

function failureText(finding: Finding): string {
  const { clause, message, counterexample, curls } = finding;
  return [
    `${clause}: ${message}`,
    ...(counterexample === null ? [] : [`counterexample: ${counterexample}`]),
    origin(finding),
    ...curls,
  ].join("\n");
}

/** Escapes text for XML content or attributes, and preserves white space. */
function xml(text: string): string {
  return markup(text).replace(/[\t\n\r]/g, (space) => `&#${space.charCodeAt(0)};`);
}

/**
 * Escapes text for HTML and XML. Control characters and those that reorder or hide text are shown as JSON's escapes;
 * other characters that XML cannot contain become U+FFFD.
 */
export function markup(text: string): string {
  return visible(text, (character) => (character === "\r" ? character : escaped(character)))
    .replace(/[\uFFFE\uFFFF\p{Surrogate}]/gu, "\uFFFD")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;");
}

/**
 * The stored results: a JSON file for each shape, with a report for each processor and major version of Node, and what
 * is generated from it: a document, a picture, and the marked parts of README.md and docs/PERFORMANCE.md.
 */

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { chartOf } from "./chart.js";
import { documentOf, performancePart, readmePart } from "./markdown.js";
import { conditionsOf, jsonOf, nodeMajorOf, type Report, type StoredReport } from "./report.js";

/** Folder of the project's results, below its root. */
const RESULTS = "bench/peers/results";
/** Shape that README.md and docs/PERFORMANCE.md show. */
const SHOWN_SHAPE = "smollm2-135m";
const PARTS: Readonly<Record<string, (reports: readonly Report[]) => string>> = {
  "README.md": readmePart,
  "docs/PERFORMANCE.md": performancePart,
};

/** Adds a report to the results in a folder, in place of an earlier one with the same conditions. */
export function addReport(dir: string, report: Report): void {
  mkdirSync(dir, { recursive: true });
  const path = join(dir, `${report.shape}.json`);
  const others = existsSync(path) ? readReports(path) : [];
  const reports = [...others.filter((other) => conditionsOf(other) !== conditionsOf(report)), report];
  writeFileSync(path, jsonText(inOrder(reports)));
}

/** Writes what is generated from the results in a folder. @param dir null for the project's results */
export function render(root: string, dir: string | null): void {
  for (const [path, content] of generatedFiles(root, dir)) writeFileSync(path, content);
}

/**
 * Returns the generated files by path. README.md and docs/PERFORMANCE.md are generated only from the project's results.
 * @param root folder of the project
 * @param dir folder of the results; null for the project's
 */
export function generatedFiles(root: string, dir: string | null): Map<string, string> {
  const results = resolve(root, RESULTS);
  const from = dir === null ? results : resolve(dir);
  const files = new Map<string, string>();
  for (const name of readdirSync(from).filter((name) => name.endsWith(".json"))) {
    const reports = readReports(join(from, name));
    const base = join(from, name.slice(0, -".json".length));
    files.set(`${base}.json`, jsonText(reports));
    files.set(`${base}.md`, documentOf(reports));
    files.set(`${base}.svg`, chartOf(reports));
  }
  if (from !== results) return files;
  const shown = readReports(join(from, `${SHOWN_SHAPE}.json`));
  for (const [name, part] of Object.entries(PARTS)) {
    const path = join(root, name);
    files.set(path, withPart(readFileSync(path, "utf8"), part(shown), name));
  }
  return files;
}

/** Reads the reports of a shape. Their stored ratios are for other readers; here they are computed again. */
export function readReports(path: string): Report[] {
  const { reports } = JSON.parse(readFileSync(path, "utf8")) as { reports: StoredReport[] };
  return inOrder(reports.map(({ ratios: _ratios, spreads: _spreads, ...report }) => report));
}

/** Sorts reports, so that the files do not depend on which was added first. */
function inOrder(reports: readonly Report[]): Report[] {
  return [...reports].sort(
    (a, b) =>
      Number(a.machine.cpu > b.machine.cpu) - Number(a.machine.cpu < b.machine.cpu) ||
      nodeMajorOf(a.node) - nodeMajorOf(b.node),
  );
}

function jsonText(reports: readonly Report[]): string {
  return `${JSON.stringify({ reports: reports.map(jsonOf) }, null, 2)}\n`;
}

const BEGIN = "<!-- bench:peers begin; npm run bench:peers:render writes this part -->";
const END = "<!-- bench:peers end -->";

/** Replaces the part of a document between the marks. */
function withPart(document: string, part: string, name: string): string {
  const [before, old, ...afters] = document.split(new RegExp(`(?<=${BEGIN}\n)|(?=${END}\n)`));
  if (old === undefined || afters.length !== 1)
    throw new Error(`${name} must contain once, each on a line: ${BEGIN} and ${END}`);
  return `${before}\n${part}\n\n${afters[0]}`;
}

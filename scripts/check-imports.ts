/**
 * Checks the imports of all sources, including type imports, against the table in rooms.ts: a file may import only
 * doors of the rooms that its room lists, and there must be no import cycles. Prints each violation and exits with 1.
 * With `--table` it prints the table for docs/ARCHITECTURE.md instead.
 */

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { pathToFileURL } from "node:url";

import { PACKAGES, roomOf, ROOMS, roomsMarkdown } from "./rooms.js";

/** @param sources text of all TypeScript files of the product, by path */
export function importProblems(sources: ReadonlyMap<string, string>): string[] {
  const problems = ROOMS.flatMap(({ path, uses }, index) =>
    uses
      .filter((used) => ROOMS.findIndex((room) => room.path === used) >= index)
      .map((used) => `rooms.ts: ${path} uses ${used}, which does not precede it`),
  );
  const graph = new Map<string, string[]>();
  for (const [file, source] of sources) {
    if (roomOf(file) === null) problems.push(`${file}: is not in a room`);
    const specifiers = specifiersOf(source);
    const targets = specifiers
      .filter((specifier) => specifier.startsWith("."))
      .map((specifier) => normalize(join(dirname(file), specifier)).replace(/\.js$/, ".ts"));
    graph.set(file, targets);
    problems.push(...targets.flatMap((target) => directionProblem(file, target)));
    problems.push(
      ...specifiers
        .filter((specifier) => !specifier.startsWith("."))
        .flatMap((specifier) => packageProblem(file, specifier)),
    );
  }
  return [...problems, ...circles(graph)];
}

function specifiersOf(source: string): string[] {
  return [...source.matchAll(/(?:\bfrom\s+|\bimport\s*\(?\s*)"([^"]+)"/g)].map(([, specifier]) => specifier!);
}

function directionProblem(file: string, target: string): string[] {
  const from = roomOf(file);
  const to = roomOf(target);
  if (from === null || from === to) return [];
  if (to === null) return [`${file}: imports ${target}, which is not in a room`];
  if (!from.uses.includes(to.path))
    return [`${file}: imports ${target}; ${from.path} may import ${from.uses.join(", ") || "nothing"}`];
  const isDoor = to.doors.some(
    (door) => target.endsWith(`/${door}`) && roomOf(target) === to && !target.slice(to.path.length + 1).includes("/"),
  );
  return isDoor || to.path.includes("*")
    ? []
    : [`${file}: imports ${target}; the door of ${to.path} is ${to.doors.join(", ")}`];
}

function packageProblem(file: string, specifier: string): string[] {
  const rule = PACKAGES.find(({ name }) => name.test(specifier));
  return rule === undefined || rule.files.test(file)
    ? []
    : [`${file}: imports ${specifier}, which only ${rule.files.source} may`];
}

/** Returns each import cycle once, by depth-first search. */
function circles(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const found: string[] = [];
  const state = new Map<string, "open" | "done">();
  const walk = (file: string, path: readonly string[]): void => {
    if (state.get(file) === "done") return;
    if (state.get(file) === "open") {
      found.push(`circle: ${[...path.slice(path.indexOf(file)), file].join(" -> ")}`);
      return;
    }
    state.set(file, "open");
    for (const target of graph.get(file) ?? []) walk(target, [...path, file]);
    state.set(file, "done");
  };
  for (const file of graph.keys()) walk(file, []);
  return found;
}

/** Returns the source files of the product, without tests. */
export function productSources(root: string): Map<string, string> {
  const folders = ["kernels", "engine", "src", "spec-tests/conform"];
  const files = folders.flatMap((folder) =>
    readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith(".ts") && !/\.(test|d)\.ts$/.test(entry.name))
      .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll("\\", "/"))
      .filter((file) => !/(^|\/)(assembly|node_modules)\//.test(file)),
  );
  return new Map(files.map((file) => [file, readFileSync(join(root, file), "utf8")]));
}

function main(): void {
  if (process.argv.includes("--table")) return console.log(roomsMarkdown());
  const sources = productSources(process.cwd());
  if (sources.size === 0) throw new Error("No source files found: run this from the repository's root");
  const problems = importProblems(sources);
  for (const problem of problems) console.error(problem);
  console.log(`Imports: ${sources.size} files in ${ROOMS.length} rooms, ${problems.length} problems`);
  process.exitCode = problems.length === 0 ? 0 : 1;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) main();

import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

import { afterAll, expect, test } from "vitest";

import { exampleReport } from "./example-report.js";
import { readmePart } from "./markdown.js";
import { conditionsOf } from "./report.js";
import { addReport, generatedFiles, readReports, render } from "./results.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const dir = mkdtempSync(join(tmpdir(), "touchstone-results-"));
afterAll(() => rmSync(dir, { recursive: true }));

const generated = [...generatedFiles(ROOT, null)].map(([path, content]) => [relative(ROOT, path), content] as const);

test.each(generated)("%s is what the results generate (npm run bench:peers:render writes it)", (path, content) => {
  expect(readFileSync(join(ROOT, path), "utf8")).toBe(content);
});

test("the results have reports, of full runs and of different conditions", () => {
  const reports = readReports(join(ROOT, "bench/peers/results/smollm2-135m.json"));
  expect(reports.length).toBeGreaterThan(0);
  expect(reports.filter(({ isQuick }) => isQuick)).toEqual([]);
  expect(new Set(reports.map(conditionsOf)).size).toBe(reports.length);
});

test("a report replaces one of the same processor and major version of Node", () => {
  const folder = join(dir, "added");
  addReport(folder, exampleReport({ cpu: "B" }));
  addReport(folder, exampleReport({ cpu: "A", node: "v24.1.0" }));
  addReport(folder, exampleReport({ cpu: "A", node: "v9.0.0" }));
  addReport(folder, exampleReport({ cpu: "B", node: "v20.9.0" }));
  const reports = readReports(join(folder, "smollm2-135m.json"));
  expect(reports.map(({ machine, node }) => `${machine.cpu} ${node}`)).toEqual(["A v9.0.0", "A v24.1.0", "B v20.9.0"]);
  expect(reports[2]).toEqual(exampleReport({ cpu: "B", node: "v20.9.0" }));
});

test("another folder gets a document with every report and a picture with the newest of each processor", () => {
  const folder = join(dir, "rendered");
  addReport(folder, exampleReport({ cpu: "Old & new", date: "2026-01-02" }));
  addReport(folder, exampleReport({ cpu: "Old & new", node: "v24.1.0", date: "2026-01-01" }));
  addReport(folder, exampleReport({ cpu: "Other" }));
  render(ROOT, folder);
  expect(readdirSync(folder).sort()).toEqual(["smollm2-135m.json", "smollm2-135m.md", "smollm2-135m.svg"]);
  const document = readFileSync(join(folder, "smollm2-135m.md"), "utf8");
  expect(document.match(/^#+ .*/gm)).toEqual([
    "# smollm2-135m, random weights in q4",
    "## Old & new, Node 20",
    "## Old & new, Node 24",
    "## Other, Node 20",
  ]);
  const picture = readFileSync(join(folder, "smollm2-135m.svg"), "utf8");
  expect(picture.match(/>Node v[\d.]+|>Old &amp; new<|>Other</g)).toEqual([
    ">Old &amp; new<",
    ">Node v20.1.0",
    ">Other<",
    ">Node v20.1.0",
  ]);
  expect(picture).toContain("random weights");
});

test("README.md claims the worst of the processors, and shows the one where a token compares worst", () => {
  const fast = exampleReport({ cpu: "Fast for tokens", fastMs: 6 });
  const slow = exampleReport({ cpu: "Slow for tokens", fastMs: 16 });
  const part = readmePart([fast, slow]);
  expect(part).toContain("a token takes 0.80 · 0.80 · (not measured) of its time");
  expect(part).toContain("A prompt of 512 tokens has 1.25 of its rate in `fast`");
  expect(part).toContain("on Slow for tokens, Node 20");
  expect(part).toContain("| touchstone-fast | 5333 · 5333 |");
});

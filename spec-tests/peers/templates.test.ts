/**
 * Compares renderings with Jinja's as transformers sets it up, and prints a table of differences. Random expressions
 * are always compared; published templates and the tests of @huggingface/jinja if the environment names their folders.
 *
 * `PYTHON` is a Python with the packages jinja2 and transformers, `TOUCHSTONE_TEMPLATES` a list of folders separated by
 * `:`, and `TEMPLATE_CASES` the number of random cases.
 */

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

import { describe, expect, it } from "vitest";

import type { JsonObject } from "../../engine/json.js";
import { JinjaTemplate } from "../../engine/template/jinja-template.js";
import { plain } from "../../engine/template/sourced-text.js";
import { casesIn, randomCase, type TemplateCase } from "./template-cases.js";

const PYTHON = process.env["PYTHON"] ?? "python3";
const ORACLE = fileURLToPath(new URL("./jinja.py", import.meta.url));
const hasJinja = spawnSync(PYTHON, ["-c", "import jinja2, transformers"]).status === 0;
const folders = (process.env["TOUCHSTONE_TEMPLATES"] ?? "").split(":").filter((folder) => folder !== "");
const numRandom = Number(process.env["TEMPLATE_CASES"] ?? 20_000);

type Rendering = { readonly text: string } | { readonly error: string };

/** `stricter`: only Jinja renders the template; the error must name what is not supported. */
type Outcome = "same" | "both refuse" | "stricter" | "different" | "laxer";

/** Differences that are known, with the reason for each. */
const EXPLAINED: readonly { readonly reason: string; readonly holds: (difference: Difference) => boolean }[] = [
  {
    reason: "str.replace(count=…) is Python 3.13's; older versions refuse the name",
    holds: ({ theirs }) => "error" in theirs && theirs.error.includes("str.replace() takes no keyword arguments"),
  },
  {
    reason: "Jinja computes `-2` first where the power's exponent is a constant, and last where it is not",
    holds: ({ template }) => /-\d+(\.\d+)? \*\* /.test(template),
  },
];

/** What is refused although Jinja renders it, by the words of the error. */
const STRICTER: readonly { readonly reason: string; readonly words: RegExp }[] = [
  { reason: "Python prints an address", words: /cannot be printed/ },
  { reason: "Jinja takes a slice of what has none for undefined", words: /cannot be sliced|slice index must be/ },
  { reason: "integers beyond 2^53 would not be exact", words: /beyond 2\^53/ },
  { reason: "powers of floats differ between machines", words: /power of floats/ },
  {
    reason: "Jinja checks an argument only if it uses it",
    words: /must be (an integer|a string)|is missing|no argument/,
  },
  { reason: "sets are not built", words: /view of a mapping/ },
  { reason: "escaping of arguments is not built", words: /marked as safe/ },
];

interface Difference extends TemplateCase {
  readonly outcome: Outcome;
  readonly theirs: Rendering;
  readonly ours: Rendering;
}

function renderedByJinja(cases: readonly TemplateCase[]): Rendering[] {
  const input = cases.map((each) => `${JSON.stringify(each)}\n`).join("");
  const { stdout, status, stderr } = spawnSync(PYTHON, [ORACLE], { input, maxBuffer: 1 << 30 });
  if (status !== 0) throw new Error(`jinja.py: ${stderr.toString()}`);
  return stdout
    .toString()
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Rendering);
}

function rendered({ template, variables, date }: TemplateCase): Rendering {
  try {
    return { text: plain(new JinjaTemplate(template).render(variables as JsonObject, undefined, date)) };
  } catch (error) {
    return { error: (error as Error).message };
  }
}

function outcomeOf(theirs: Rendering, ours: Rendering): Outcome {
  if ("error" in theirs) return "error" in ours ? "both refuse" : "laxer";
  if ("error" in ours) return "stricter";
  return theirs.text === ours.text ? "same" : "different";
}

/** Compares cases, prints a table, and returns the differences without a reason. */
function unexplained(name: string, cases: readonly TemplateCase[]): Difference[] {
  const theirs = renderedByJinja(cases);
  expect(theirs).toHaveLength(cases.length);
  const compared = cases.map((each, index): Difference => {
    const ours = rendered(each);
    return { ...each, outcome: outcomeOf(theirs[index]!, ours), theirs: theirs[index]!, ours };
  });
  const rows = new Map<string, number>();
  const left: Difference[] = [];
  for (const each of compared) {
    const reason = reasonOf(each);
    if (reason === null) left.push(each);
    const row = reason === null || reason === "" ? each.outcome : `${each.outcome}: ${reason}`;
    rows.set(row, (rows.get(row) ?? 0) + 1);
  }
  console.log(`${name}: ${cases.length} renderings`);
  for (const [row, count] of [...rows].sort(([, a], [, b]) => b - a))
    console.log(`${String(count).padStart(8)}  ${row}`);
  return left;
}

/** Returns why a rendering may differ; empty if it does not, null if nothing explains it. */
function reasonOf(each: Difference): string | null {
  if (each.outcome === "same" || each.outcome === "both refuse") return "";
  if (each.outcome !== "stricter") return EXPLAINED.find(({ holds }) => holds(each))?.reason ?? null;
  const { ours } = each;
  return STRICTER.find(({ words }) => "error" in ours && words.test(ours.error))?.reason ?? null;
}

const shown = (differences: readonly Difference[]): object[] =>
  differences.slice(0, 20).map(({ name, template, theirs, ours }) => ({
    name,
    template: template.slice(0, 300),
    theirs,
    ours,
  }));

describe.skipIf(!hasJinja)("renderings are Jinja's", () => {
  it("for random expressions and blocks", { timeout: 600_000 }, () => {
    const cases = Array.from({ length: numRandom }, (_, seed) => randomCase(seed));
    expect(shown(unexplained("random", cases))).toEqual([]);
  });

  it.each(folders)("for the templates in %s", { timeout: 600_000 }, (folder) => {
    const cases = casesIn(folder);
    expect(cases.length).toBeGreaterThan(0);
    expect(shown(unexplained(folder, cases))).toEqual([]);
  });
});

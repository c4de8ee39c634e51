/** Tests of the reports of an artificial run, all of whose texts contain hostile markup. */

import { describe, expect, test } from "vitest";

import type { Law } from "./law.js";
import { html } from "./report-html.js";
import { clausesOf, json, junit, lawLine, rate, summary, verdict } from "./report.js";
import type { LawResult, Outcome, Run } from "./run.js";
import { exchangeWith } from "../fixtures/tiny-server.js";

const HOSTILE = `</code></pre><script>alert(1)</script><img src=x onerror='alert(2)'>"]]>&amp;\u0000\u009b31m\u202e\uD800`;

const clauses = clausesOf(`# Title

## 5. Text

### TS-5.3 Matching <stop> sequences

They are matched in the \`text\`, **across** tokens, *always*.

A <script>alert(3)</script> is text, \`<script>alert(4)</script>\` too.

| a | b |
|---|---|

### TS-5.4 Which one counts

The first.

## 6. Next

Not of any clause.
`);

const law = (id: string, fields: Partial<Law> = {}): Law => ({
  id,
  title: `Title of ${id} <b>`,
  clauses: ["TS-5.3"],
  reports: ["vllm#1"],
  needs: [],
  errorRate: null,
  check: () => Promise.resolve(),
  ...fields,
});
const result = (id: string, fields: Partial<LawResult>): LawResult => ({
  law: law(id),
  outcome: "holds",
  reason: null,
  findings: [],
  notes: [],
  shortOf: null,
  numCases: 3,
  numCalls: 9,
  seconds: 0.25,
  ...fields,
});
const exchange = exchangeWith({
  body: `{"x":"${HOSTILE}"`,
  text: HOSTILE.repeat(400),
  responseHeaders: { "x-header": HOSTILE },
});
const command = `curl '${"x".repeat(30_000)}end'`;
const finding = {
  lawId: "P2",
  clause: "TS-5.3",
  message: HOSTILE,
  counterexample: HOSTILE,
  isSmallest: true,
  seed: 5,
  path: "1:0",
  exchanges: [exchange],
  curls: [command],
};

const run: Run = {
  baseUrl: "http://h/v1?<&",
  profile: {
    model: HOSTILE,
    dialect: "ppio",
    contextLength: 512,
    features: new Set(["stream"]),
    missing: new Map([["top_k", HOSTILE]]),
    fingerprint: HOSTILE,
  },
  startedAt: "2026-01-02T03:04:05.678Z",
  seed: 42,
  budget: { calls: 500, seconds: 300 },
  numCalls: 123,
  seconds: 4.5,
  errorRate: 0.00021,
  laws: [
    result("P1", {}),
    result("P2", {
      outcome: "broken",
      findings: [finding, { ...finding, clause: `TS-${99}.1`, counterexample: null, path: null }],
      notes: [HOSTILE],
    }),
    result("P3", { outcome: "skipped", reason: HOSTILE, numCases: 0 }),
    result("P4", { outcome: "unchecked", reason: "No budget.\nAt all." }),
  ],
};
const allHold: Run = { ...run, laws: [run.laws[0]!] };

test("clauses of the specification are found by number", () => {
  expect([...clauses.keys()]).toEqual(["TS-5.3", "TS-5.4"]);
  expect(clauses.get("TS-5.4")).toEqual({ title: "Which one counts", text: "The first." });
});

describe("on a terminal", () => {
  test("broken laws come first, with all that is needed to reproduce them", () => {
    const text = summary(run, clauses);
    const lines = text.split("\n");
    expect(lines[1]).toBe(
      "4 laws: 1 broken, 1 not checked, 1 skipped, 1 hold · 123 of 500 calls, 5 of 300 seconds · chance of a false alarm below 0.0003",
    );
    expect(lines[3]).toBe("broken     P2  Title of P2 <b> (3 cases, 9 calls)");
    expect(lines).toContain("    TS-5.3 Matching <stop> sequences");
    expect(lines).toContain(`    TS-${99}.1`);
    expect(text).toContain("    smallest case found: ");
    expect(text).toContain(`    ${command}`);
    expect(lines.filter((line) => /^[a-z]+ +P\d /.test(line)).map((line) => line.slice(11, 13))).toEqual([
      "P2",
      "P4",
      "P3",
      "P1",
    ]);
  });

  test("the last lines suggest next steps only if a law is broken", () => {
    const end = [
      "",
      "Try the same cases again: --only P2 --seed 42",
      "Read the clauses next to the findings: --report findings.html",
    ];
    expect(summary(run, clauses).split("\n").slice(-3)).toEqual(end);
    expect(summary(allHold, clauses)).not.toContain("--");
  });

  test("a case that may not be the smallest says so", () => {
    const cut = { ...finding, counterexample: "17", isSmallest: false };
    const [broken] = [result("P2", { outcome: "broken", findings: [cut] })];
    expect(summary({ ...run, laws: [broken] }, clauses)).toContain(
      "\n    smallest case found before the budget was spent: 17\n",
    );
    expect(html({ ...run, laws: [broken] }, clauses)).toContain("Smallest case found before the budget was spent");
  });

  test("what to raise the budget to, if it ended laws early", () => {
    const short = (shortOf: "calls" | "seconds", outcome: Outcome) => result("P1", { shortOf, outcome });
    const end = (laws: readonly LawResult[]) =>
      summary({ ...run, laws }, clauses)
        .split("\n")
        .at(-1);
    expect(end([short("calls", "holds"), short("calls", "unchecked"), result("P2", {})])).toBe(
      "Check 2 laws that ended early with more cases: --budget calls=1000,seconds=300",
    );
    expect(end([short("seconds", "broken")])).toBe(
      "Check 1 law that ended early with more cases: --budget calls=500,seconds=600",
    );
    expect(html({ ...run, laws: [short("calls", "unchecked")] }, clauses)).toContain("--budget calls=1000,seconds=300");
  });

  test("the line of a law never contains line breaks", () => {
    expect(lawLine(run.laws[3]!, 10)).toBe("unchecked  P4          Title of P4 <b>: No budget. At all.");
    expect(verdict(allHold)).toBe("1 law: 1 hold");
  });

  test.each([
    [0.00021, "0.0003"],
    [0.0002, "0.0002"],
    [1e-6, "0.000001"],
    [9.5e-5, "0.0001"],
  ])("the chance %d is printed as %s, rounded up", (probability, expected) => {
    expect(rate(probability)).toBe(expected);
  });
});

test("JSON contains everything, uncut", () => {
  const report = JSON.parse(json(run)) as {
    laws: {
      id: string;
      outcome: string;
      findings: { message: string; exchanges: { response: string; body: string }[]; curls: string[] }[];
    }[];
  };
  expect(report).toMatchObject({
    endpoint: run.baseUrl,
    model: HOSTILE,
    dialect: "ppio",
    seed: 42,
    calls: 123,
    findings: 2,
    error_rate: 0.00021,
    supported: ["stream"],
    not_supported: { top_k: HOSTILE },
  });
  expect(report.laws.map(({ id, outcome }) => [id, outcome])).toEqual([
    ["P1", "holds"],
    ["P2", "broken"],
    ["P3", "skipped"],
    ["P4", "unchecked"],
  ]);
  expect(report.laws[1]!.findings[0]).toMatchObject({
    message: HOSTILE,
    curls: [command],
    exchanges: [{ response: exchange.text, body: exchange.body }],
  });
});

test("JUnit XML has one test case per law and is well-formed, whatever the texts contain", () => {
  const text = junit(run);
  const { names, texts } = parseXml(text.replace(/^<\?xml[^?]*\?>\n/, ""));
  expect(names).toEqual([
    "testsuites",
    "testsuite",
    "properties",
    ...Array<string>(5).fill("property"),
    "testcase",
    "testcase",
    "failure",
    "failure",
    "system-out",
    "testcase",
    "skipped",
    "testcase",
    "skipped",
  ]);
  expect(text).toContain('tests="4" failures="1" errors="0" skipped="2" time="4.500"');
  const shown = HOSTILE.replace("\u0000\u009b31m\u202e", "\\u0000\\u009b31m\\u202e").replace("\uD800", "\uFFFD");
  expect(texts.filter((part) => part.includes(shown)).length).toBeGreaterThanOrEqual(5);
  expect(texts.some((part) => part.includes(command))).toBe(true);
});

test.each([
  ["HTML", html(run, clauses).replace(/<script>[^]*<\/script>/, "")],
  ["JUnit XML", junit(run)],
])("%s shows characters that reorder text, and control characters", (_, page) => {
  expect(page).not.toMatch(/(?![\n\r\t])[\p{Cc}\u202e]/u);
  expect(page).toContain("\\u0000\\u009b31m\\u202e");
});

test("the first line of the summary is one line, whatever the model is called", () => {
  const named = { ...run, profile: { ...run.profile, model: "m\n17 laws: 17 hold" } };
  expect(summary(named, clauses).split("\n")[0]).toBe(`${run.baseUrl} · m 17 laws: 17 hold · dialect ppio · seed 42`);
});

describe("the page", () => {
  const page = html(run, clauses);

  test("escapes every text", () => {
    expect(page).not.toMatch(/<script>alert|<img|onerror='/);
    expect(page.match(/<script/g)).toHaveLength(1);
    const body = page
      .replace(/^<!doctype html>\n/, "")
      .replace(/<style>[^]*?<\/style>/, "")
      .replace(/<script>[^]*?<\/script>/, "")
      .replace(/<(meta|br)([^>]*)>/g, "<$1$2/>");
    const { texts } = parseXml(body.trim());
    const shown = HOSTILE.replace("\uD800", "\uFFFD").replace("\u0000\u009b31m\u202e", "\\u0000\\u009b31m\\u202e");
    expect(texts.filter((part) => part.includes(shown)).length).toBeGreaterThanOrEqual(6);
  });

  test("loads no other resources", () => {
    expect(page).toContain(`content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"`);
    expect(page).not.toMatch(/<link|<iframe|@import|url\(|\ssrc="|\shref="/);
    expect(page).toContain("prefers-color-scheme: dark");
  });

  test("shows the overall result first, then the findings, then the rest", () => {
    const order = [
      "1 of 2 laws checked is broken",
      "<h2>Findings",
      "Smallest case found",
      "<h2>Not checked",
      "<h2>Hold",
      "<h2>Skipped",
      "--seed 42",
    ];
    const places = order.map((text) => page.indexOf(text));
    expect(places).not.toContain(-1);
    expect(places).toEqual([...places].sort((a, b) => a - b));
    expect(html(allHold, clauses)).toContain("The one law that was checked holds");
    expect(html(allHold, clauses)).not.toContain("<h2>Findings");
  });

  test("shows the text of the clause with each finding and complete commands, but cuts long answers", () => {
    expect(page).toContain(
      "Matching &lt;stop&gt; sequences</summary><p>They are matched in the <code>text</code>, <strong>across</strong> tokens, <em>always</em>.</p>",
    );
    expect(page).toContain("xend&#39;</code>");
    expect(page).toMatch(/… \d+ more characters/);
  });
});

/**
 * Parses XML without declarations, comments or CDATA. Returns the names of the elements in the order of their start
 * tags, and the decoded texts and attributes. Throws if the XML is not well-formed.
 */
function parseXml(text: string): { names: string[]; texts: string[] } {
  const names: string[] = [];
  const texts: string[] = [];
  const open: string[] = [];
  const decode = (part: string): string => {
    if (
      /[<]|&(?!(amp|lt|gt|quot|#39|#9|#10|#13);)/.test(part) ||
      /[\u0000-\u0008\u000B\u000C\u000E-\u001F\uFFFE\uFFFF]|\p{Surrogate}/u.test(part)
    )
      throw new Error(`Not XML: ${part.slice(0, 200)}`);
    const named: Record<string, string> = {
      amp: "&",
      lt: "<",
      gt: ">",
      quot: '"',
      "#39": "'",
      "#9": "\t",
      "#10": "\n",
      "#13": "\r",
    };
    return part.replace(/&([^;]+);/g, (_, name: string) => named[name]!);
  };
  let rest = text.trim();
  while (rest !== "") {
    const [whole, closing, name, attributes = "", selfClosing, content] =
      /^(?:<(\/?)([a-z][a-z0-9-]*)((?:\s+[a-z-]+(?:="[^"<]*")?)*)\s*(\/?)>|([^<]+))/.exec(rest) ?? [];
    if (whole === undefined) throw new Error(`Not XML: ${rest.slice(0, 200)}`);
    rest = rest.slice(whole.length);
    if (content !== undefined) texts.push(decode(content));
    else if (closing === "/") {
      if (open.pop() !== name) throw new Error(`</${name}> closes nothing`);
    } else {
      names.push(name!);
      texts.push(...[...attributes.matchAll(/="([^"]*)"/g)].map(([, value]) => decode(value!)));
      if (selfClosing !== "/") open.push(name!);
    }
  }
  if (open.length > 0) throw new Error(`Left open: ${open.join(", ")}`);
  return { names, texts };
}

/**
 * The report as one self-contained HTML page, without network access or other files. Evidence is folded below each
 * finding.
 */

import type { Exchange } from "./law.js";
import { caseName, counted, markup, numFindings, origin, rate, verdict, withOutcome, type Clauses } from "./report.js";
import { raisedBudget, type Finding, type LawResult, type Run } from "./run.js";

/** Longer texts are cut to keep the page readable. The JSON report has the complete exchanges. */
const MAX_SHOWN_LENGTH = 20_000;

export function html(run: Run, clauses: Clauses): string {
  const broken = withOutcome(run, "broken");
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>${numFindings(run) === 0 ? "✓" : "✗"} ${markup(run.profile.model)}: conformance</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<header>
<p class="kicker">Touchstone conformance report</p>
<h1 class="${broken.length === 0 ? "holds" : "broken"}">${headline(run)}</h1>
<p>${markup(verdict(run))}.</p>
${facts(run)}
</header>
${broken.length === 0 ? "" : `<section><h2>Findings</h2>\n${broken.map((result) => brokenLaw(result, clauses)).join("\n")}\n</section>`}
${lawTable("Not checked", uncheckedHint(run), withOutcome(run, "unchecked"), clauses)}
${lawTable("Hold", "No case that was tried breaks them.", withOutcome(run, "holds"), clauses)}
${lawTable("Skipped", "They require features that the endpoint does not support.", withOutcome(run, "skipped"), clauses)}
${support(run)}
<footer><p>“Hold” means that no counterexample was found within the budget. The same seed tries the same cases: <code>--seed ${run.seed}</code>.</p></footer>
</main>
<script>${SCRIPT}</script>
</body>
</html>
`;
}

function uncheckedHint({ budget, laws }: Run): string {
  const more = raisedBudget(budget, laws);
  return `The budget was too small, or the endpoint no longer answered. ${more === null ? "Raise --budget" : `Raise the budget: ${more}`}, or choose laws with --only.`;
}

function headline(run: Run): string {
  const numBroken = withOutcome(run, "broken").length;
  const numChecked = numBroken + withOutcome(run, "holds").length;
  if (numBroken === 0)
    return numChecked === 1 ? "The one law that was checked holds" : `All ${numChecked} laws that were checked hold`;
  return `${numBroken} of ${counted(numChecked, "law")} checked ${numBroken === 1 ? "is" : "are"} broken`;
}

function facts({ baseUrl, profile, startedAt, seed, budget, numCalls, seconds, errorRate }: Run): string {
  const rows: readonly (readonly [string, string])[] = [
    ["Endpoint", `<code>${markup(baseUrl)}</code>`],
    [
      "Model",
      `<code>${markup(profile.model)}</code>${profile.fingerprint === null ? "" : ` <span class="quiet">${markup(profile.fingerprint)}</span>`}`,
    ],
    ["Dialect", markup(profile.dialect)],
    ["Context", profile.contextLength === null ? "not reported" : `${profile.contextLength} tokens`],
    [
      "Started",
      `<time datetime="${markup(startedAt)}">${markup(startedAt.replace("T", " ").replace(/\.\d+Z$/, " UTC"))}</time>`,
    ],
    ["Seed", `<code>${seed}</code>`],
    ["Budget", `${numCalls} of ${budget.calls} calls, ${seconds.toFixed(1)} of ${budget.seconds} seconds`],
    ["False alarms", `chance below ${rate(errorRate)} in the whole run`],
  ];
  return `<dl class="facts">${rows.map(([name, value]) => `<div><dt>${name}</dt><dd>${value}</dd></div>`).join("")}</dl>`;
}

function brokenLaw({ law, findings, notes }: LawResult, clauses: Clauses): string {
  return `<article>
<h3><span class="id">${markup(law.id)}</span> ${markup(law.title)}</h3>
${law.reports.length === 0 ? "" : `<p class="quiet">Seen before in ${law.reports.map(markup).join(", ")}</p>`}
${findings.map((finding) => findingPart(finding, clauses)).join("\n")}
${notes.map(note).join("\n")}
</article>`;
}

function findingPart(finding: Finding, clauses: Clauses): string {
  const { clause, message, counterexample, exchanges, curls } = finding;
  return `<div class="finding">
${clausePart(clause, clauses)}
<p class="message">${markup(message)}</p>
${counterexample === null ? "" : `<h4>${caseName(finding).replace("s", "S")} <span class="quiet">${markup(origin(finding))}</span></h4>\n${block(counterexample)}`}
<h4>Reproduce it</h4>
${curls.map((command) => `<div class="copyable"><button type="button">Copy</button>${block(command, Infinity)}</div>`).join("\n")}
<h4>Requests and responses</h4>
${exchanges.map(exchangePart).join("\n")}
</div>`;
}

function clausePart(id: string, clauses: Clauses): string {
  const clause = clauses.get(id);
  if (clause === undefined) return `<p class="clause"><span class="id">${markup(id)}</span></p>`;
  return `<details class="clause"><summary><span class="id">${markup(id)}</span> ${markup(clause.title)}</summary>${prose(clause.text)}</details>`;
}

/** Renders the Markdown that clauses use: paragraphs, code and emphasis. Tables and lists are shown as source text. */
function prose(text: string): string {
  return text
    .split(/\n{2,}/)
    .map((paragraph) => {
      if (/^(\||- |\d+\. |```)/.test(paragraph)) return block(paragraph);
      const words = paragraph.split(/(`[^`]+`)/).map((part) => {
        if (part.startsWith("`")) return `<code>${markup(part.slice(1, -1))}</code>`;
        return markup(part)
          .replace(/\*\*([^*]+)\*\*/g, "<strong>$1</strong>")
          .replace(/\*([^*\n]+)\*/g, "<em>$1</em>")
          .replaceAll("\n", "<br>");
      });
      return `<p>${words.join("")}</p>`;
    })
    .join("\n");
}

function exchangePart({ method, path, body, status, responseHeaders, text, incomplete, durationMs }: Exchange): string {
  const headers = Object.entries(responseHeaders)
    .map(([name, value]) => `${name}: ${value}`)
    .join("\n");
  return `<details><summary><code>${markup(method)} ${markup(path)}</code> → <strong>${status === 0 ? "no answer" : status}</strong> <span class="quiet">${Math.round(durationMs)} ms</span></summary>
${body === null ? "" : `<h5>Request</h5>${block(indented(body))}`}
<h5>Response</h5>${headers === "" ? "" : block(headers)}${block(indented(text))}${incomplete === null ? "" : `<p class="quiet">Only the beginning of the response: ${markup(incomplete)}.</p>`}
</details>`;
}

/** Indents JSON, and returns other text unchanged. */
function indented(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function block(text: string, maxLength = MAX_SHOWN_LENGTH): string {
  const cut = text.length - maxLength;
  return `<pre tabindex="0"><code>${markup(text.slice(0, maxLength))}</code>${cut > 0 ? `<span class="quiet">… ${cut} more characters</span>` : ""}</pre>`;
}

function lawTable(title: string, meaning: string, results: readonly LawResult[], clauses: Clauses): string {
  if (results.length === 0) return "";
  const rows = results.map(
    ({ law, reason, numCases, numCalls, seconds, notes }) =>
      `<tr><th scope="row"><span class="id">${markup(law.id)}</span></th><td>${markup(law.title)}<div class="quiet">${law.clauses.map((id) => clauseName(id, clauses)).join(", ")}</div>${reason === null ? "" : `<p class="reason">${markup(reason)}</p>`}${notes.map(note).join("")}</td><td class="number">${reason === null ? `${counted(numCases, "case")}<br>${counted(numCalls, "call")}<br>${seconds.toFixed(1)} s` : ""}</td></tr>`,
  );
  return `<section><h2>${title} <span class="quiet">${results.length}</span></h2>\n<p class="quiet">${markup(meaning)}</p>\n<table>${rows.join("\n")}</table></section>`;
}

function clauseName(id: string, clauses: Clauses): string {
  const clause = clauses.get(id);
  return clause === undefined ? markup(id) : `<span title="${markup(clause.title)}">${markup(id)}</span>`;
}

function note(text: string): string {
  return `<p class="note">${markup(text)}</p>`;
}

function support({ profile: { features, missing } }: Run): string {
  const rows = [...missing].map(
    ([feature, reason]) => `<tr><th scope="row"><code>${feature}</code></th><td>${markup(reason)}</td></tr>`,
  );
  return `<section><h2>What the endpoint supports</h2>
<p>${[...features].map((feature) => `<code>${feature}</code>`).join(" ")}</p>
${rows.length === 0 ? "" : `<h3>What it does not support</h3>\n<table>${rows.join("\n")}</table>`}
</section>`;
}

const STYLE = `
:root { --text: #1c2024; --quiet: #60646c; --page: #fbfbfa; --card: #ffffff; --line: #e0e1e6; --code: #f1f2f3; --good: #18794e; --bad: #b42318; --link: #0b68cb; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e6e8; --quiet: #9a9ca5; --page: #131416; --card: #1b1d20; --line: #33363c; --code: #25282d; --good: #5bc796; --bad: #ff8577; --link: #74b3ff; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { margin: 0 0 .25rem; font-size: 2rem; line-height: 1.2; }
h1.holds { color: var(--good); }
h1.broken { color: var(--bad); }
h2 { margin: 2.75rem 0 .5rem; font-size: 1.3rem; }
h3 { margin: 0 0 .5rem; font-size: 1.1rem; }
h4 { margin: 1.25rem 0 .4rem; font-size: .95rem; }
h5 { margin: .75rem 0 .3rem; font-size: .85rem; color: var(--quiet); }
p { margin: .4rem 0; }
.kicker, .quiet, footer { color: var(--quiet); font-size: .875rem; font-weight: normal; }
.kicker { margin-bottom: .75rem; }
code, pre { font: .85em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
:not(pre) > code { background: var(--code); border-radius: 4px; padding: .1em .35em; overflow-wrap: anywhere; }
pre { margin: 0 0 .5rem; padding: .75rem .9rem; background: var(--code); border-radius: 6px; white-space: pre-wrap; overflow-wrap: anywhere; max-height: 30rem; overflow: auto; font-size: .8rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: .9rem 1.5rem; margin: 1.5rem 0 0; padding: 1.1rem 1.25rem; background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
dt { color: var(--quiet); font-size: .8rem; }
dd { margin: 0; overflow-wrap: anywhere; }
article { margin: 1rem 0 1.5rem; padding: 1.25rem; background: var(--card); border: 1px solid var(--line); border-left: 4px solid var(--bad); border-radius: 8px; }
.finding + .finding { margin-top: 1.5rem; padding-top: 1.25rem; border-top: 1px solid var(--line); }
.id { display: inline-block; padding: 0 .4em; border: 1px solid var(--line); border-radius: 4px; font: 600 .8em/1.6 ui-monospace, Menlo, Consolas, monospace; }
.message { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 1.02rem; }
.clause { margin: .5rem 0; }
details { margin: .35rem 0; }
details > :not(summary) { margin-left: 1.1rem; }
summary { cursor: pointer; color: var(--link); overflow-wrap: anywhere; }
.copyable { position: relative; }
.copyable pre { padding-right: 5rem; }
button { position: absolute; top: .5rem; right: .5rem; padding: .15rem .6rem; border: 1px solid var(--line); border-radius: 5px; background: var(--card); color: var(--text); font: inherit; font-size: .8rem; cursor: pointer; }
table { width: 100%; border-collapse: collapse; }
th, td { padding: .55rem .75rem .55rem 0; border-top: 1px solid var(--line); text-align: left; vertical-align: top; font-weight: normal; overflow-wrap: anywhere; }
th { width: 1%; white-space: nowrap; }
.number { width: 6rem; padding-right: 0; text-align: right; color: var(--quiet); font-size: .85rem; }
.reason { font-size: .9rem; }
.note { padding-left: .75rem; border-left: 3px solid var(--line); color: var(--quiet); font-size: .9rem; }
footer { margin-top: 3rem; }
@media print { button { display: none; } pre { max-height: none; } }
`;

const SCRIPT = `
for (const button of document.querySelectorAll("button")) {
  button.addEventListener("click", async () => {
    const code = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}
`;

/** Reports as Markdown: a document for each shape, and the parts of README.md and docs/PERFORMANCE.md. */

import {
  conditionsOf,
  contextsOf,
  medianOf,
  OURS_EXACT,
  promptLengthsOf,
  ratiosOf,
  type Report,
  weightsOf,
} from "./report.js";
import { tableOf } from "./table.js";
import { targetsTable, worstRatio } from "./targets.js";

/** Returns a document about reports of one shape. */
export function documentOf(reports: readonly Report[]): string {
  const { shape, isTrained, quant } = reports[0]!;
  return [
    `# ${weightsOf({ shape, isTrained, quant })}`,
    "",
    RATIOS_AND_TARGETS,
    "",
    ...targetsTable(reports),
    "",
    ...reports.flatMap(sectionOf),
  ].join("\n");
}

/** Returns the part of docs/PERFORMANCE.md: the targets, and how each report was measured. */
export function performancePart(reports: readonly Report[]): string {
  return [
    RATIOS_AND_TARGETS,
    "",
    ...targetsTable(reports),
    "",
    ...reports.map((report) => `- ${conditionsOf(report)}: ${machineOf(report)}; ${runOf(report)}.`),
  ].join("\n");
}

/** Returns the part of README.md: what holds on every measured processor, and the engines on the worst one. */
export function readmePart(reports: readonly Report[]): string {
  const worst = (name: string, isMaximum: boolean): string =>
    worstRatio(name, isMaximum, reports)?.toFixed(2) ?? "(not measured)";
  const most = (ratio: string): string => worst(`${ratio}_vs_node_llama_cpp`, true);
  const least = (ratio: string): string => worst(`${ratio}_vs_node_llama_cpp`, false);
  const shown = worstForTokens(reports);
  const [where, which] =
    reports.length === 1
      ? [`On ${conditionsOf(shown)}`, "The table"]
      : [
          `Each figure is from the worst of ${reports.length} runs (${reports.map(conditionsOf).join("; ")})`,
          `The table is from the run in which a token compares worst, on ${conditionsOf(shown)}. It`,
        ];
  const tokens = TOKEN_CONTEXTS.map((context) => most(`token_ctx${context}`)).join(" · ");
  return [
    [
      `${where}, relative to node-llama-cpp: a token takes ${tokens} of its time (after ${TOKEN_CONTEXTS.join(" · ")} tokens).`,
      `A prompt of 512 tokens has ${least("prompt512_fast")} of its rate in \`fast\` and ${least("prompt512_exact")} in \`exact\`.`,
      `Loading takes ${most("load")} of its time in \`fast\` and ${most("load_exact")} in \`exact\`; peak memory is ${most("memory_fast")} and ${most("memory_exact")} of its.`,
      `${which} shows medians of ${shown.rounds} rounds (${weightsOf(shown)}, ${machineOf(shown)}).`,
    ].join(" "),
    "",
    ...enginesTable(shown),
  ].join("\n");
}

const TOKEN_CONTEXTS = [128, 512, 1500];

const RATIOS_AND_TARGETS =
  "Ratios this engine / node-llama-cpp, each the median of the rounds of a run; for times and memory smaller is better, for rates (prompts, sequences) larger. 8 sequences are compared with 1 of this engine. Bold marks a missed target.";

/** Returns the report with the largest ratio of a token's time at any context. */
function worstForTokens(reports: readonly Report[]): Report {
  const worst = (report: Report): number => {
    const ratios = ratiosOf(report);
    return Math.max(...TOKEN_CONTEXTS.map((context) => ratios[`token_ctx${context}_vs_node_llama_cpp`]?.median ?? 0));
  };
  return reports.reduce((found, report) => (worst(report) > worst(found) ? report : found));
}

function sectionOf(report: Report): string[] {
  const { engines, machine } = report;
  const ratios = Object.entries(ratiosOf(report)).map(([name, { median, min, max }]) => [
    name,
    median.toFixed(2),
    `${min.toFixed(2)} - ${max.toFixed(2)}`,
  ]);
  const agreement = report.agreement.map(
    ({ engine, quant, numPrompts, sameFirst, sameAll }) =>
      `- ${engine}, ${quant}: of ${numPrompts} prompts, ${sameFirst} first tokens and ${sameAll} continuations equal those of ${OURS_EXACT}`,
  );
  return [
    `## ${conditionsOf(report)}`,
    "",
    ...(report.isQuick ? ["This was a quick run, whose few rounds and tokens show large differences only.", ""] : []),
    `${machineOf(report)}; ${machine.platform}, Node ${report.node}.`,
    `Medians of ${runOf(report)}. Mean load of the machine before each round, with the bench's own: ${machine.loads.map((load) => load.toFixed(1)).join(", ")}. ${repeatsOf(machine)}`,
    `${engines.map(({ name, version }) => `${name}: ${version}`).join("; ")}.`,
    "",
    ...enginesTable(report),
    "",
    "Ratios this engine / the other, median of the rounds and their range; for times and memory smaller is better, for rates (prompt, batch8) larger.",
    "",
    ...tableOf(["ratio", "median", "range"], ratios),
    "",
    ...agreement,
    "",
  ];
}

/** Returns a table with the medians of each engine. */
function enginesTable({ engines, quant }: Report): string[] {
  const contexts = contextsOf(engines);
  const lengths = promptLengthsOf(engines);
  const each = (
    keys: readonly (number | string)[],
    values: Readonly<Record<string, readonly number[]>>,
    shown: (value: number) => string,
  ): string => keys.map((key) => (values[key] === undefined ? "-" : shown(medianOf(values[key])))).join(" · ");
  return tableOf(
    [
      "engine",
      `prompt, tokens/s (${lengths.join(" · ")})`,
      `first token, ms (${lengths.join(" · ")})`,
      `next token, ms (at ${contexts.join(" · ")})`,
      "8 sequences, tokens/s",
      "start + load, ms",
      "peak memory, MiB (q4 · q8)",
    ],
    engines.map((engine) => [
      engine.name,
      lengths.map((length) => round((1000 * length) / medianOf(engine.firstTokenMs[length] ?? []))).join(" · "),
      each(lengths, engine.firstTokenMs, round),
      each(contexts, engine.tokenMs, (ms) => ms.toFixed(2)),
      each([8], engine.batchRate, round),
      `${round(medianOf(engine.startMs))} + ${each([quant], engine.loadMs, round)}`,
      each(["q4", "q8"], engine.peakBytes, (bytes) => round(bytes / 2 ** 20)),
    ]),
  );
}

function machineOf({ machine, numThreads }: Report): string {
  const kernels = machine.kernels.map((name) => `\`${name}\``).join(", ") || "not used";
  return `${machine.numCores} cores, ${numThreads} ${numThreads === 1 ? "thread" : "threads"}, kernels ${kernels}`;
}

function runOf({ rounds, commit, date }: Report): string {
  return `${rounds} ${rounds === 1 ? "round" : "rounds"} in turns, commit ${commit}, ${date}`;
}

function repeatsOf({ repeats, starved, unknown }: Report["machine"]): string {
  if (unknown > 0) return "It is not known whether engines waited for processors.";
  if (repeats === 0) return "No engine waited for processors for more than a tenth of its threads' time.";
  return `${repeats} measurements were repeated, because the engine had waited for processors for more than a tenth of its threads' time; ${starved} results are of engines that still did.`;
}

function round(value: number): string {
  return `${Math.round(value)}`;
}

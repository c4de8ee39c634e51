/** The targets of the comparison with node-llama-cpp, and the table that shows which reports meet them. */

import { conditionsOf, ratiosOf, type Report } from "./report.js";
import { tableOf } from "./table.js";

export interface Target {
  readonly name: string;
  /** Name of the ratio, see `ratiosOf`. */
  readonly ratio: string;
  readonly limit: number;
  readonly isMaximum: boolean;
  /** Returns false for reports to which another target applies. */
  readonly appliesTo: (report: Report) => boolean;
}

export const TARGETS: readonly Target[] = [
  atMost(0.7, "next token at 128", "token_ctx128_vs_node_llama_cpp"),
  atMost(0.7, "next token at 512", "token_ctx512_vs_node_llama_cpp"),
  atMost(0.7, "next token at 1500", "token_ctx1500_vs_node_llama_cpp"),
  atLeast(1.5, "prompt of 128, `fast`", "prompt128_fast_vs_node_llama_cpp"),
  atLeast(1.5, "prompt of 512, `fast`", "prompt512_fast_vs_node_llama_cpp"),
  atLeast(0.75, "prompt of 512, `exact`, kernels `dot`", "prompt512_exact_vs_node_llama_cpp", runsDot),
  atLeast(
    0.5,
    "prompt of 512, `exact`, other kernels",
    "prompt512_exact_vs_node_llama_cpp",
    (report) => !runsDot(report),
  ),
  atLeast(3, "8 sequences against 1", "batch8_vs_batch1"),
  atMost(0.85, "load, `fast`", "load_vs_node_llama_cpp"),
  atMost(0.5, "load, `exact`", "load_exact_vs_node_llama_cpp"),
  atMost(1.2, "peak memory, `fast`", "memory_fast_vs_node_llama_cpp"),
  atMost(0.7, "peak memory, `exact`", "memory_exact_vs_node_llama_cpp"),
];

/** Returns a Markdown table with a column for each report and, for several, one for the worst of them. */
export function targetsTable(reports: readonly Report[]): string[] {
  const header = ["", "target", ...reports.map(conditionsOf), ...(reports.length > 1 ? ["worst"] : [])];
  const rows = TARGETS.map((target) => {
    const cell = (among: readonly Report[]): string => shownOn(target, worstOf(target, among));
    return [
      target.name,
      `${target.isMaximum ? "at most" : "at least"} ${target.limit}`,
      ...reports.map((report) => cell([report])),
      ...(reports.length > 1 ? [cell(reports)] : []),
    ];
  });
  return tableOf(header, rows);
}

/** Returns the ratio of the report that is worst at a target. null if it applies to none, or was not measured. */
export function worstOf({ ratio, isMaximum, appliesTo }: Target, reports: readonly Report[]): number | null {
  return worstRatio(ratio, isMaximum, reports.filter(appliesTo));
}

/** Returns the largest of a ratio that should be small, or the smallest of one that should be large. */
export function worstRatio(name: string, isMaximum: boolean, reports: readonly Report[]): number | null {
  const medians = reports.flatMap((report) => ratiosOf(report)[name]?.median ?? []);
  if (medians.length === 0) return null;
  return isMaximum ? Math.max(...medians) : Math.min(...medians);
}

/** Returns a missed ratio in bold. One that rounds to the limit gets a third decimal. */
function shownOn({ limit, isMaximum }: Target, ratio: number | null): string {
  if (ratio === null) return "-";
  const isMissed = isMaximum ? ratio > limit : ratio < limit;
  const rounded = ratio.toFixed(2);
  if (!isMissed) return rounded;
  return `**${Number(rounded) === limit ? ratio.toFixed(3) : rounded}**`;
}

function runsDot({ machine }: Report): boolean {
  return machine.kernels.includes("dot");
}

function atMost(limit: number, name: string, ratio: string): Target {
  return { name, ratio, limit, isMaximum: true, appliesTo: () => true };
}

function atLeast(limit: number, name: string, ratio: string, appliesTo: Target["appliesTo"] = () => true): Target {
  return { name, ratio, limit, isMaximum: false, appliesTo };
}

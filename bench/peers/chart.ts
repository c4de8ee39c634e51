/** Reports as an SVG picture: for each processor its newest report, with a panel of bars for each measurement. */

import {
  contextsOf,
  type EngineSamples,
  medianOf,
  nodeMajorOf,
  promptLengthsOf,
  type Report,
  weightsOf,
} from "./report.js";

/** @param reports of one shape */
export function chartOf(reports: readonly Report[]): string {
  let y = TITLE_HEIGHT;
  const sections: string[] = [];
  for (const report of newestOfProcessors(reports)) {
    const { drawn, height } = drawSection(report, y);
    sections.push(drawn);
    y += height;
  }
  const style = 'font-family="sans-serif" font-size="13" fill="#24292f"';
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${COLUMNS * PANEL_WIDTH} ${y}" ${style}>`,
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    text(MARGIN, 28, 'font-size="16" font-weight="bold"', weightsOf(reports[0]!)),
    ...sections,
    "</svg>",
    "",
  ].join("\n");
}

const COLUMNS = 3;
const MARGIN = 16;
const TITLE_HEIGHT = 36;
const HEADING_HEIGHT = 60;
const SECTION_GAP = 8;
const PANEL_WIDTH = 360;
const PANEL_TITLE_HEIGHT = 20;
const PANEL_GAP = 14;
const LABEL_WIDTH = 125;
const BAR_WIDTH = 150;
const BAR_HEIGHT = 14;
const BAR_PITCH = 20;

/** Returns the newest report of each processor; of one day, the one with the later version of Node. */
function newestOfProcessors(reports: readonly Report[]): Report[] {
  const newest = new Map<string, Report>();
  for (const report of reports) {
    const { cpu } = report.machine;
    const other = newest.get(cpu);
    const isNewer =
      other === undefined ||
      report.date > other.date ||
      (report.date === other.date && nodeMajorOf(report.node) > nodeMajorOf(other.node));
    if (isNewer) newest.set(cpu, report);
  }
  return [...newest.values()];
}

/** Draws a heading with the processor, and the panels below it in columns. */
function drawSection(report: Report, y: number): { drawn: string; height: number } {
  const { machine, node, numThreads, commit, date, isQuick } = report;
  const panels = panelsOf(report);
  const panelHeight = PANEL_TITLE_HEIGHT + report.engines.length * BAR_PITCH + PANEL_GAP;
  const conditions = [
    `Node ${node}`,
    `threads: ${numThreads}`,
    `kernels: ${machine.kernels.join(", ") || "not used"}`,
    `commit ${commit}`,
    date,
    ...(isQuick ? ["quick run"] : []),
  ].join(", ");
  const drawn = [
    text(MARGIN, y + 18, 'font-size="15" font-weight="bold"', machine.cpu),
    text(MARGIN, y + 36, 'fill="#57606a"', conditions),
    ...panels.map((panel, index) =>
      drawPanel(panel, (index % COLUMNS) * PANEL_WIDTH, y + HEADING_HEIGHT + Math.floor(index / COLUMNS) * panelHeight),
    ),
  ].join("\n");
  return { drawn, height: HEADING_HEIGHT + Math.ceil(panels.length / COLUMNS) * panelHeight + SECTION_GAP };
}

interface Panel {
  readonly title: string;
  readonly bars: readonly { readonly name: string; readonly value: number; readonly shown: string }[];
}

function panelsOf({ engines, quant }: Report): Panel[] {
  const panel = (
    title: string,
    pick: (engine: EngineSamples) => readonly number[] | undefined,
    shown: (value: number) => string = (value) => `${Math.round(value)}`,
  ): Panel => ({
    title,
    bars: engines.flatMap((engine) => {
      const values = pick(engine);
      return values === undefined
        ? []
        : [{ name: engine.name, value: medianOf(values), shown: shown(medianOf(values)) }];
    }),
  });
  return [
    ...contextsOf(engines).map((context) =>
      panel(
        `next token at ${context}, ms (less is better)`,
        ({ tokenMs }) => tokenMs[context],
        (ms) => ms.toFixed(1),
      ),
    ),
    ...promptLengthsOf(engines).map((length) =>
      panel(`prompt of ${length}, tokens/s (more is better)`, ({ firstTokenMs }) =>
        firstTokenMs[length]?.map((ms) => (1000 * length) / ms),
      ),
    ),
    panel("8 sequences, tokens/s (more is better)", ({ batchRate }) => batchRate[8]),
    panel("load, ms (less is better)", ({ loadMs }) => loadMs[quant]),
    panel("peak memory, MiB (less is better)", ({ peakBytes }) => peakBytes[quant]?.map((bytes) => bytes / 2 ** 20)),
  ].filter(({ bars }) => bars.length > 0);
}

function drawPanel({ title, bars }: Panel, x: number, y: number): string {
  const most = Math.max(...bars.map(({ value }) => value));
  const drawn = bars.map(({ name, value, shown }, index) => {
    const top = y + 10 + index * BAR_PITCH;
    const left = x + MARGIN + LABEL_WIDTH;
    const width = Math.max(1, (value / most) * BAR_WIDTH);
    const color = name.startsWith("touchstone") ? "#1f6feb" : "#8c959f";
    return [
      text(left - 8, top + 12, 'text-anchor="end"', name),
      `<rect x="${left}" y="${top + 1}" width="${width.toFixed(1)}" height="${BAR_HEIGHT}" fill="${color}"/>`,
      text(Number((left + width + 6).toFixed(1)), top + 12, "", shown),
    ].join("\n");
  });
  return [text(x + MARGIN, y, 'font-weight="bold"', title), ...drawn].join("\n");
}

function text(x: number, y: number, style: string, content: string): string {
  const escaped = content.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text x="${x}" y="${y}"${style === "" ? "" : ` ${style}`}>${escaped}</text>`;
}

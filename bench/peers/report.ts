/** Reports of measurements: ratios with their range, a Markdown table and an SVG chart. */

/** Measurements of one engine. Arrays have one entry per round, so entries of equal index belong to the same round. */
export interface EngineSamples {
  readonly name: string;
  readonly version: string;
  /** Milliseconds by context, which is the prompt's length and the number of positions before the measured tokens. */
  readonly firstTokenMs: Readonly<Record<number, readonly number[]>>;
  readonly tokenMs: Readonly<Record<number, readonly number[]>>;
  /** Total tokens per second, by the number of concurrent sequences. */
  readonly batchRate: Readonly<Record<number, readonly number[]>>;
  /** Milliseconds to load the library, before the model. */
  readonly startMs: readonly number[];
  /** Milliseconds to load the model in a new process, by format. */
  readonly loadMs: Readonly<Record<string, readonly number[]>>;
  readonly peakBytes: Readonly<Record<string, readonly number[]>>;
}

export interface Report {
  readonly shape: string;
  /** False for random weights in this shape. */
  readonly isTrained: boolean;
  /** Format of the weights whose speed was measured. */
  readonly quant: string;
  readonly machine: {
    readonly cpu: string;
    readonly numCores: number;
    readonly memoryBytes: number;
    readonly platform: string;
    /** Processes that ran or waited for a processor before each round, as a mean over a minute. */
    readonly loads: readonly number[];
    /** Measurements that were repeated because the engine's threads waited for processors, and those that still did. */
    readonly repeats: number;
    readonly starved: number;
    /** Measurements of which it is not known. */
    readonly unknown: number;
  };
  readonly node: string;
  readonly commit: string;
  readonly date: string;
  readonly numThreads: number;
  readonly rounds: number;
  readonly engines: readonly EngineSamples[];
  readonly agreement: readonly Agreement[];
}

/** Agreement of an engine's greedy tokens with those of this engine in the profile exact. */
export interface Agreement {
  readonly engine: string;
  readonly quant: string;
  readonly numPrompts: number;
  /** Number of prompts whose first token is the same. */
  readonly sameFirst: number;
  /** Number of prompts whose tokens are all the same. */
  readonly sameAll: number;
}

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

const OURS = "touchstone-fast";
const OURS_EXACT = "touchstone-exact";
const LLAMA = "node-llama-cpp";
const TRANSFORMERS = "transformers-js";

/**
 * Returns the ratios this engine / the other of times, memory and rates, by name. Ratios that were not measured are absent.
 */
export function ratiosOf({ engines, quant }: Pick<Report, "engines" | "quant">): Record<string, Spread> {
  const find = (name: string): EngineSamples | undefined => engines.find((engine) => engine.name === name);
  const ratios: Record<string, Spread> = {};
  const add = (name: string, above: readonly number[] | undefined, below: readonly number[] | undefined): void => {
    if (above === undefined || below === undefined) return;
    ratios[name] = spreadOf(above.map((value, round) => value / below[round]!));
  };
  for (const [peer, suffix] of [
    [LLAMA, "node_llama_cpp"],
    [TRANSFORMERS, "transformers_js"],
  ] as const) {
    for (const context of [128, 512, 1500]) {
      add(`token_ctx${context}_vs_${suffix}`, find(OURS)?.tokenMs[context], find(peer)?.tokenMs[context]);
    }
    for (const [engine, profile] of [
      [OURS, "fast"],
      [OURS_EXACT, "exact"],
    ] as const) {
      // For prompts of equal length the ratio of rates is the inverse of the ratio of times.
      for (const length of [128, 512]) {
        add(
          `prompt${length}_${profile}_vs_${suffix}`,
          find(peer)?.firstTokenMs[length],
          find(engine)?.firstTokenMs[length],
        );
      }
      add(`memory_${profile}_vs_${suffix}`, find(engine)?.peakBytes[quant], find(peer)?.peakBytes[quant]);
      add(`memory_${profile}_q8_vs_${suffix}`, find(engine)?.peakBytes["q8"], find(peer)?.peakBytes["q8"]);
      add(
        `${engine === OURS ? "load" : "load_exact"}_vs_${suffix}`,
        find(engine)?.loadMs[quant],
        find(peer)?.loadMs[quant],
      );
    }
    add(`batch8_vs_${suffix}`, find(OURS)?.batchRate[8], find(peer)?.batchRate[8]);
  }
  add("batch8_vs_batch1", find(OURS)?.batchRate[8], find(OURS)?.batchRate[1]);
  return ratios;
}

/** Returns the content of the JSON file. */
export function jsonOf(report: Report): object {
  const spreads = ratiosOf(report);
  const ratios = Object.fromEntries(Object.entries(spreads).map(([name, { median }]) => [name, median]));
  return { ratios, spreads, ...report };
}

function repeatsOf({ repeats, starved, unknown }: Report["machine"]): string {
  if (unknown > 0) return "It is not known whether engines waited for processors.";
  if (repeats === 0) return "No engine waited for processors for more than a tenth of its threads' time.";
  return `${repeats} measurements were repeated, because the engine had waited for processors for more than a tenth of its threads' time; ${starved} results are of engines that still did.`;
}

export function markdownOf(report: Report): string {
  const { engines, machine } = report;
  const contexts = contextsOf(engines);
  const lengths = contexts.filter((length) => length <= 512);
  const row = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const each = (
    keys: readonly (number | string)[],
    values: Readonly<Record<string, readonly number[]>>,
    shown: (value: number) => string,
  ): string => keys.map((key) => (values[key] === undefined ? "-" : shown(medianOf(values[key])))).join(" · ");
  const table = [
    row([
      "engine",
      `prompt, tokens/s (${lengths.join(" · ")})`,
      `first token, ms (${lengths.join(" · ")})`,
      `next token, ms (at ${contexts.join(" · ")})`,
      "8 sequences, tokens/s",
      "start + load, ms",
      "peak memory, MiB (q4 · q8)",
    ]),
    row(Array.from({ length: 7 }, () => "---")),
    ...engines.map((engine) =>
      row([
        engine.name,
        lengths.map((length) => round((1000 * length) / medianOf(engine.firstTokenMs[length] ?? []))).join(" · "),
        each(lengths, engine.firstTokenMs, round),
        each(contexts, engine.tokenMs, (ms) => ms.toFixed(2)),
        each([8], engine.batchRate, round),
        `${round(medianOf(engine.startMs))} + ${each([report.quant], engine.loadMs, round)}`,
        each(["q4", "q8"], engine.peakBytes, (bytes) => round(bytes / 2 ** 20)),
      ]),
    ),
  ];
  const ratios = Object.entries(ratiosOf(report)).map(([name, { median, min, max }]) =>
    row([name, median.toFixed(2), `${min.toFixed(2)} - ${max.toFixed(2)}`]),
  );
  const agreement = report.agreement.map(
    ({ engine, quant, numPrompts, sameFirst, sameAll }) =>
      `- ${engine}, ${quant}: of ${numPrompts} prompts, ${sameFirst} first tokens and ${sameAll} continuations equal those of ${OURS_EXACT}`,
  );
  return [
    `# ${titleOf(report)}`,
    "",
    `${machine.numCores} cores, ${machine.platform}, Node ${report.node}, threads: ${report.numThreads}.`,
    `Medians of ${report.rounds} rounds in turns; commit ${report.commit}, ${report.date}. Mean load of the machine before each round, with the bench's own: ${report.machine.loads.map((load) => load.toFixed(1)).join(", ")}. ${repeatsOf(report.machine)}`,
    `${engines.map(({ name, version }) => `${name}: ${version}`).join("; ")}.`,
    "",
    ...table,
    "",
    "Ratios this engine / the other, median of the rounds and their range; for times and memory smaller is better, for rates (prompt, batch8) larger.",
    "",
    row(["ratio", "median", "range"]),
    row(["---", "---", "---"]),
    ...ratios,
    "",
    ...agreement,
    "",
  ].join("\n");
}

/** Returns the headline: what ran, on which processor. */
function titleOf({ shape, isTrained, quant, machine }: Report): string {
  const weights = isTrained ? `weights in ${quant}` : `random weights in ${quant}`;
  return `${shape}, ${weights}, on ${machine.cpu}`;
}

/** Draws four panels of bars, with one bar per engine. */
export function svgOf(report: Report): string {
  const { engines, quant } = report;
  const contexts = contextsOf(engines);
  const panel = (
    title: string,
    pick: (engine: EngineSamples) => readonly number[] | undefined,
    shown: (value: number) => string,
  ): Panel => ({
    title,
    bars: engines.flatMap((engine) => {
      const values = pick(engine);
      return values === undefined
        ? []
        : [{ name: engine.name, value: medianOf(values), shown: shown(medianOf(values)) }];
    }),
  });
  const panels = [
    ...contexts.map((context) =>
      panel(
        `next token at ${context}, ms (less is better)`,
        ({ tokenMs }) => tokenMs[context],
        (ms) => ms.toFixed(1),
      ),
    ),
    ...contexts
      .filter((length) => length <= 512)
      .map((length) =>
        panel(
          `prompt of ${length}, tokens/s (more is better)`,
          ({ firstTokenMs }) => firstTokenMs[length]?.map((ms) => (1000 * length) / ms),
          round,
        ),
      ),
    panel("8 sequences, tokens/s (more is better)", ({ batchRate }) => batchRate[8], round),
    panel(
      "peak memory, MiB (less is better)",
      ({ peakBytes }) => peakBytes[quant]?.map((bytes) => bytes / 2 ** 20),
      round,
    ),
  ].filter(({ bars }) => bars.length > 0);
  const panelHeight = 44 + engines.length * BAR_PITCH;
  const rows = Math.ceil(panels.length / 2);
  const height = 60 + rows * panelHeight;
  const conditions = `Node ${report.node}, threads: ${report.numThreads}, commit ${report.commit}`;
  const style = 'font-family="sans-serif" font-size="13" fill="#24292f"';
  const body = panels.map((one, index) =>
    drawPanel(one, (index % 2) * PANEL_WIDTH, 60 + Math.floor(index / 2) * panelHeight),
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${2 * PANEL_WIDTH} ${height}" ${style}>`,
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    `<text x="16" y="26" font-size="16" font-weight="bold">${escaped(titleOf(report))}</text>`,
    `<text x="16" y="46" fill="#57606a">${escaped(conditions)}</text>`,
    ...body,
    "</svg>",
    "",
  ].join("\n");
}

interface Panel {
  readonly title: string;
  readonly bars: readonly { readonly name: string; readonly value: number; readonly shown: string }[];
}

const PANEL_WIDTH = 440;
const LABEL_WIDTH = 130;
const BAR_WIDTH = 230;
const BAR_PITCH = 22;

function drawPanel({ title, bars }: Panel, x: number, y: number): string {
  const most = Math.max(...bars.map(({ value }) => value));
  const drawn = bars.map(({ name, value, shown }, index) => {
    const top = y + 26 + index * BAR_PITCH;
    const width = Math.max(1, (value / most) * BAR_WIDTH);
    const color = name.startsWith("touchstone") ? "#1f6feb" : "#8c959f";
    return [
      `<text x="${x + LABEL_WIDTH + 8}" y="${top + 13}" text-anchor="end">${escaped(name)}</text>`,
      `<rect x="${x + LABEL_WIDTH + 16}" y="${top + 2}" width="${width.toFixed(1)}" height="14" fill="${color}"/>`,
      `<text x="${(x + LABEL_WIDTH + 22 + width).toFixed(1)}" y="${top + 13}">${escaped(shown)}</text>`,
    ].join("\n");
  });
  return [`<text x="${x + 16}" y="${y + 14}" font-weight="bold">${escaped(title)}</text>`, ...drawn].join("\n");
}

function contextsOf(engines: readonly EngineSamples[]): number[] {
  return [...new Set(engines.flatMap(({ tokenMs }) => Object.keys(tokenMs).map(Number)))].sort((a, b) => a - b);
}

function spreadOf(values: readonly number[]): Spread {
  return { median: medianOf(values), min: Math.min(...values), max: Math.max(...values) };
}

export function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function round(value: number): string {
  return `${Math.round(value)}`;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

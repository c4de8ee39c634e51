/**
 * `touchstone doctor`: what this machine has for running models, and what stands in the way. Exit code 0 without problems, 1 with.
 * A check looks, and may run the embedded model; nothing stays changed, and nothing is repaired.
 */

import { readFileSync } from "node:fs";
import { mkdtemp, readFile, rmdir, stat, statfs } from "node:fs/promises";
import { availableParallelism, freemem } from "node:os";
import { dirname, join } from "node:path";
import { styleText } from "node:util";

import { Command } from "commander";

import type { ModelConfig } from "../../engine/architecture/index.js";
import { loadModel, type Profile } from "../../engine/index.js";
import { estimateMemory, machineMemory } from "../../engine/model/index.js";
import { listModels } from "../../engine/models.js";
import { ONNX_RUNTIME, onnxRuntimeProblem } from "../../engine/runner/index.js";
import { cacheFolder, hubCacheFolder, hubSettings } from "../../engine/store/index.js";
import { hasColors, megabytes } from "./terminal.js";

/** What one check found. */
export interface Finding {
  readonly name: string;
  /** A warning is something that works less well; with a problem something does not work. */
  readonly status: "ok" | "warning" | "problem";
  readonly text: string;
  /** What to do about it; null where there is nothing to do. */
  readonly fix: string | null;
}

interface DoctorFlags {
  json?: boolean;
  offline?: boolean;
}

export function doctorCommand(): Command {
  return new Command("doctor")
    .description("check what this machine has for running models, and what stands in the way")
    .option("--json", "print one JSON object instead of lines")
    .option("--offline", "do not ask whether the hub can be reached")
    .addHelpText("after", "\nExit code: 0 without problems, 1 with.")
    .action(doctor);
}

async function doctor(flags: DoctorFlags): Promise<void> {
  const findings: Finding[] = [];
  for (const [name, check] of checks(flags.offline === true)) {
    const finding = await check().catch((error: Error): Omit<Finding, "name"> => ({
      status: "problem",
      text: error.message,
      fix: null,
    }));
    findings.push({ name, ...finding });
    if (flags.json !== true) process.stdout.write(`${line(findings.at(-1)!)}\n`);
  }
  const numProblems = findings.filter(({ status }) => status === "problem").length;
  const numWarnings = findings.filter(({ status }) => status === "warning").length;
  if (flags.json === true)
    process.stdout.write(`${JSON.stringify({ findings, problems: numProblems, warnings: numWarnings }, null, 2)}\n`);
  else process.stdout.write(`\n${counted(numProblems, "problem")}, ${counted(numWarnings, "warning")}\n`);
  if (numProblems > 0) process.exitCode = 1;
}

type Check = () => Promise<Omit<Finding, "name">>;

function checks(isOffline: boolean): [name: string, check: Check][] {
  return [
    ["node", async () => checkNode(process.versions.node, nodeFloor())],
    ["processor", checkProcessor],
    ["embedded model", checkEmbedded],
    ["kernels", () => checkRun("exact")],
    ["onnxruntime", checkOnnxRuntime],
    ["memory", async () => checkMemory(machineMemory().byteLength, freemem())],
    ["cache", () => checkFolder(cacheFolder(), "set TOUCHSTONE_CACHE to a folder that can be written", describePacks)],
    [
      "hub cache",
      () => checkFolder(hubCacheFolder(), "set HF_HUB_CACHE to a folder that can be written", describeSnapshots),
    ],
    ["hub", () => checkHub(isOffline)],
  ];
}

const SIGNS = { ok: ["ok", "green"], warning: ["warning", "yellow"], problem: ["PROBLEM", "red"] } as const;

function line({ name, status, text, fix }: Finding): string {
  const [word, color] = SIGNS[status];
  const sign = word.padEnd(7);
  const indent = " ".repeat(26);
  return `${hasColors(process.stdout) ? styleText(color, sign, { validateStream: false }) : sign}  ${name.padEnd(15)}  ${text}${fix === null ? "" : `\n${indent}${fix}`}`;
}

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`;

const ok = (text: string): Omit<Finding, "name"> => ({ status: "ok", text, fix: null });

function nodeFloor(): string {
  const { engines } = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8")) as {
    engines: { node: string };
  };
  return engines.node.replace(">=", "");
}

/** @param floor as `20.12` */
export function checkNode(version: string, floor: string): Omit<Finding, "name"> {
  const [own, least] = [version, floor].map((text) => text.split(".").map(Number));
  const at = least!.findIndex((part, index) => part !== (own![index] ?? 0));
  if (at < 0 || own![at]! > least![at]!) return ok(`${version} (at least ${floor} is needed)`);
  return { status: "problem", text: `${version}; at least ${floor} is needed`, fix: "install a newer Node.js" };
}

/** Instructions that make a difference to speed, with the flags of /proc/cpuinfo that mean them. */
const INSTRUCTIONS: readonly [name: string, flags: RegExp][] = [
  ["AVX2", /\bavx2\b/],
  ["AVX-512", /\bavx512f\b/],
  ["VNNI", /\bavx512_vnni\b|\bavx_vnni\b/],
  ["AMX", /\bamx_int8\b/],
  ["NEON dot products", /\basimddp\b/],
];

async function checkProcessor(): Promise<Omit<Finding, "name">> {
  const threads = counted(availableParallelism(), "thread");
  const info = await readFile("/proc/cpuinfo", "utf8").catch(() => null);
  if (info === null) return ok(`${process.arch}, ${threads}; its instructions are not listed on this system`);
  const model = /^model name\s*:\s*(.+)$/m.exec(info)?.[1] ?? process.arch;
  const present = INSTRUCTIONS.filter(([, flags]) => flags.test(info)).map(([name]) => name);
  const text = `${model}, ${threads}, ${present.length === 0 ? "none of the instructions that help" : present.join(", ")}`;
  if (process.arch !== "x64" || present.includes("AVX2")) return ok(text);
  return { status: "warning", text, fix: "without AVX2 models run, several times slower" };
}

async function checkEmbedded(): Promise<Omit<Finding, "name">> {
  const embedded = (await listModels()).find(({ source }) => source === null);
  if (embedded !== undefined) return ok(`${embedded.name}, ${megabytes(embedded.byteLength)}`);
  return {
    status: "problem",
    text: "missing from this installation",
    fix: 'install the package again; in a clone, run "npm run build"',
  };
}

/** Loads the embedded model and draws a token, which shows whether the kernels and ONNX Runtime load and compute here. */
async function checkRun(profile: Profile): Promise<Omit<Finding, "name">> {
  try {
    const model = await loadModel({ profile });
    const { kernelVariant, info } = model;
    await model.generate({ prompt: "Hello", maxTokens: 1, temperature: 0 }).result();
    await model.close();
    if (profile === "fast")
      return ok("loads, and computes prompts: the profile is fast unless --profile says otherwise");
    const text = `${VARIANTS[kernelVariant]}, ${counted(info.numThreads, "thread")}`;
    return kernelVariant === "scalar"
      ? { status: "warning", text, fix: "this Node.js has no WebAssembly SIMD: models run many times slower" }
      : ok(text);
  } catch (error) {
    const reason = (error as Error).message.split("\n")[0]!;
    const fix =
      profile === "fast"
        ? "onnxruntime-node must match this system: install again, or use --profile exact, which does without"
        : 'install the package again; in a clone, run "npm run build"';
    return { status: "problem", text: reason, fix };
  }
}

/** It is an optional package: without it every model in safetensors still runs. */
async function checkOnnxRuntime(): Promise<Omit<Finding, "name">> {
  const problem = await onnxRuntimeProblem();
  if (problem === null || problem.isInstalled) return checkRun("fast");
  const text =
    "not installed: prompts are computed by the kernels (profile exact), and folders of ONNX files do not run";
  return { status: "ok", text, fix: `for faster prompts: npm install ${ONNX_RUNTIME} --ignore-scripts` };
}

const VARIANTS = {
  relaxed: "WebAssembly with relaxed SIMD",
  simd: "WebAssembly with SIMD, not relaxed",
  scalar: "WebAssembly without SIMD",
} as const;

const GIB = 2 ** 30;

/** @param available the machine's memory, or less if this process may have less */
export function checkMemory(available: number, free: number): Omit<Finding, "name"> {
  const fitting = SIZES.flatMap(([name, config]) => {
    const format = (["q8", "q4"] as const).find((each) => {
      const { total, copies, weights } = estimateMemory(config, {
        format: each,
        profile: "fast",
        kvCache: "f32",
        kvCacheBytes: 2 * GIB,
        maxConcurrency: 16,
      });
      return total - copies <= available && weights < 4 * GIB - (64 << 20);
    });
    return format === undefined ? [] : [`${name} (${format})`];
  });
  const text = `${gibibytes(available)}, of which ${gibibytes(Math.min(free, available))} free; room for models of ${fitting.length === 0 ? "less than 0.1B parameters" : fitting.join(", ")}`;
  if (free >= GIB / 2) return ok(text);
  return { status: "warning", text, fix: "close other programs, or use a small model with --quant q4 --profile exact" };
}

/** Shapes of published models, with a context of 8,192 tokens. */
const SIZES: readonly [name: string, config: ModelConfig][] = [
  ["0.1B", shape(576, 1536, 30, 9, 3, 49152)],
  ["0.5B", shape(896, 4864, 24, 14, 2, 151936)],
  ["1.5B", shape(1536, 8960, 28, 12, 2, 151936)],
  ["3B", shape(2048, 11008, 36, 16, 2, 151936)],
  ["7B", shape(4096, 14336, 32, 32, 8, 32768)],
];

function shape(
  hiddenSize: number,
  intermediateSize: number,
  numLayers: number,
  numHeads: number,
  numKvHeads: number,
  vocabSize: number,
): ModelConfig {
  return {
    architecture: "llama",
    hiddenSize,
    intermediateSize,
    numLayers,
    numHeads,
    numKvHeads,
    headDim: hiddenSize / numHeads,
    vocabSize,
    contextLength: 8192,
    normEpsilon: 1e-6,
    ropeTheta: 10000,
    ropeScaling: { type: "none" },
    attentionBias: false,
    outputBias: false,
    qkNorm: false,
    tiedEmbeddings: true,
    endTokenIds: [],
  };
}

async function checkFolder(
  folder: string,
  fix: string,
  describe: (folder: string) => Promise<string>,
): Promise<Omit<Finding, "name">> {
  const existing = await nearest(folder);
  // Tried, because permissions do not tell: some file systems take nothing from anybody.
  const refusal = await mkdtemp(join(existing, ".touchstone-")).then(
    async (made) => rmdir(made).then(() => null),
    (error: NodeJS.ErrnoException) => error.code,
  );
  if (refusal !== null)
    return { status: "problem", text: `${folder}: ${existing} cannot be written (${refusal})`, fix };
  const { bavail, bsize } = await statfs(existing);
  const free = bavail * bsize;
  const contents = existing === folder ? await describe(folder) : "not there yet";
  const text = `${folder}: ${contents}, ${gibibytes(free)} free on the disk`;
  return free >= GIB
    ? ok(text)
    : { status: "warning", text, fix: "make room: a model takes about two bytes for each parameter" };
}

/** The folder itself, or the closest one above it that is there. */
async function nearest(folder: string): Promise<string> {
  const isThere = await stat(folder).then(
    () => true,
    () => false,
  );
  return isThere || dirname(folder) === folder ? folder : nearest(dirname(folder));
}

async function describePacks(): Promise<string> {
  const packs = (await listModels()).filter(({ source, format }) => source !== null && format !== null);
  return `${counted(packs.length, "converted model")}, ${megabytes(packs.reduce((sum, { byteLength }) => sum + byteLength, 0))}`;
}

async function describeSnapshots(): Promise<string> {
  const downloads = (await listModels()).filter(({ source, format }) => source !== null && format === null);
  const [whole, begun] = [true, false].map(
    (isFinished) => new Set(downloads.filter((model) => model.isFinished === isFinished).map(({ name }) => name)).size,
  );
  return `${counted(whole!, "model")}${begun === 0 ? "" : `, ${begun} unfinished`}`;
}

const HUB_TIMEOUT_MS = 5000;

/** Everything but downloading works without the hub. */
async function checkHub(isForbidden: boolean): Promise<Omit<Finding, "name">> {
  const { endpoint, isOffline, fetch } = await hubSettings(process.env, isForbidden);
  if (isOffline) return ok("not asked (offline)");
  try {
    const { status } = await fetch(endpoint, {
      method: "HEAD",
      redirect: "manual",
      signal: AbortSignal.timeout(HUB_TIMEOUT_MS),
    });
    if (status < 500) return ok(`${endpoint} answers`);
    return {
      status: "warning",
      text: `${endpoint} answers with ${status}`,
      fix: "try again later; models that are here run without it",
    };
  } catch (error) {
    const { message, cause } = error as Error & { cause?: { code?: string } };
    return {
      status: "warning",
      text: `${endpoint} cannot be reached (${cause?.code ?? message})`,
      fix: "models that are here run without it; HTTPS_PROXY names a proxy, HF_ENDPOINT a mirror",
    };
  }
}

const gibibytes = (byteLength: number): string => `${(byteLength / GIB).toFixed(1)} GiB`;

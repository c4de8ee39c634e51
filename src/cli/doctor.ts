/**
 * `touchstone doctor`: checks this machine for problems with running models. Exit code: 0 if there are none, else 1.
 * Checks may run the embedded model; they change and repair nothing.
 */

import { readFileSync } from "node:fs";
import { mkdtemp, readFile, rmdir, stat, statfs } from "node:fs/promises";
import { availableParallelism, freemem } from "node:os";
import { dirname, join } from "node:path";

import { Command } from "commander";

import type { ModelConfig } from "../../engine/architecture/index.js";
import { EngineError, sizeText } from "../../engine/errors.js";
import { loadModel, type Profile } from "../../engine/index.js";
import { estimateMemory, machineMemory } from "../../engine/model/index.js";
import { listModels } from "../../engine/models.js";
import { ONNX_RUNTIME, onnxRuntimeProblem } from "../../engine/runner/index.js";
import { cacheFolder, hubCacheFolder, hubSettings } from "../../engine/store/index.js";
import { print, printLine } from "../../spec-tests/conform/terminal.js";
import { counted } from "./terminal.js";

/** Result of one check. */
export interface Finding {
  readonly name: string;
  /** Severity: with a warning something works less well; with a problem something does not work. */
  readonly status: "ok" | "warning" | "problem";
  readonly text: string;
  /** Suggested action; null if no action is needed. */
  readonly fix: string | null;
}

interface DoctorFlags {
  json?: boolean;
  offline?: boolean;
}

export function doctorCommand(): Command {
  return new Command("doctor")
    .description("check this machine for problems with running models")
    .option("--json", "print one JSON object instead of lines")
    .option("--offline", "do not check whether the hub can be reached")
    .addHelpText("after", "\nExit code: 0 if there are no problems, else 1.")
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
    if (flags.json !== true) printFinding(findings.at(-1)!);
  }
  const numProblems = findings.filter(({ status }) => status === "problem").length;
  const numWarnings = findings.filter(({ status }) => status === "warning").length;
  if (flags.json === true)
    print(process.stdout, `${JSON.stringify({ findings, problems: numProblems, warnings: numWarnings }, null, 2)}\n`);
  else print(process.stdout, `\n${counted(numProblems, "problem")}, ${counted(numWarnings, "warning")}\n`);
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
    ["cache", () => checkFolder(cacheFolder(), "set TOUCHSTONE_CACHE to a writable folder", describePacks)],
    ["hub cache", () => checkFolder(hubCacheFolder(), "set HF_HUB_CACHE to a writable folder", describeSnapshots)],
    ["hub", () => checkHub(isOffline)],
  ];
}

const SIGNS = { ok: ["ok", "green"], warning: ["warning", "yellow"], problem: ["PROBLEM", "red"] } as const;

function printFinding({ name, status, text, fix }: Finding): void {
  const [word, color] = SIGNS[status];
  print(process.stdout, word.padEnd(7), color);
  printLine(process.stdout, `  ${name.padEnd(15)}  ${text}`);
  if (fix !== null) printLine(process.stdout, `${" ".repeat(26)}${fix}`);
}

const ok = (text: string): Omit<Finding, "name"> => ({ status: "ok", text, fix: null });

function nodeFloor(): string {
  const { engines } = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8")) as {
    engines: { node: string };
  };
  return engines.node.replace(">=", "");
}

/** @param floor lowest supported version, such as `20.12` */
export function checkNode(version: string, floor: string): Omit<Finding, "name"> {
  const [own, least] = [version, floor].map((text) => text.split(".").map(Number));
  const at = least!.findIndex((part, index) => part !== (own![index] ?? 0));
  if (at < 0 || own![at]! > least![at]!) return ok(`${version} (${floor} or newer is required)`);
  return { status: "problem", text: `${version}; ${floor} or newer is required`, fix: "install a newer Node.js" };
}

/** Instruction sets that affect speed, with their flags in /proc/cpuinfo. */
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
  if (info === null) return ok(`${process.arch}, ${threads}; supported instruction sets unknown on this system`);
  const model = /^model name\s*:\s*(.+)$/m.exec(info)?.[1] ?? process.arch;
  const present = INSTRUCTIONS.filter(([, flags]) => flags.test(info)).map(([name]) => name);
  const text = `${model}, ${threads}, ${present.length === 0 ? "no AVX2 or newer" : present.join(", ")}`;
  if (process.arch !== "x64" || present.includes("AVX2")) return ok(text);
  return { status: "warning", text, fix: "models run without AVX2, but several times slower" };
}

async function checkEmbedded(): Promise<Omit<Finding, "name">> {
  const embedded = (await listModels()).find(({ source }) => source === null);
  if (embedded !== undefined) return ok(`${embedded.name}, ${sizeText(embedded.byteLength)}`);
  return {
    status: "problem",
    text: "missing from this installation",
    fix: 'install the package again; in a clone, run "npm run build"',
  };
}

/** Loads the embedded model and generates a token, to check that the kernels or ONNX Runtime work on this machine. */
async function checkRun(profile: Profile): Promise<Omit<Finding, "name">> {
  try {
    const model = await loadModel({ profile });
    const { kernelVariant, info } = model;
    await model.generate({ prompt: "Hello", maxTokens: 1, temperature: 0 }).result();
    await model.close();
    if (profile === "fast") return ok("loads and computes prompts; the default profile is fast");
    const text = `${VARIANTS[kernelVariant]}, ${counted(info.numThreads, "thread")}`;
    return kernelVariant === "scalar"
      ? { status: "warning", text, fix: "this Node.js has no WebAssembly SIMD, so models run many times slower" }
      : ok(text);
  } catch (error) {
    const reason = (error as Error).message.split("\n")[0]!;
    const isChoice = error instanceof EngineError && error.code === "unsupported_value";
    const fix = isChoice
      ? "unset TOUCHSTONE_KERNELS"
      : profile === "fast"
        ? "onnxruntime-node must match this system: reinstall it, or use --profile exact, which does not need it"
        : 'install the package again; in a clone, run "npm run build"';
    return { status: "problem", text: reason, fix };
  }
}

/** Checks ONNX Runtime, an optional package: without it, every model in safetensors still runs. */
async function checkOnnxRuntime(): Promise<Omit<Finding, "name">> {
  const problem = await onnxRuntimeProblem();
  if (problem === null || problem.isInstalled) return checkRun("fast");
  const text =
    "not installed: the WebAssembly kernels compute prompts (profile exact), and folders of ONNX files cannot run";
  return { status: "ok", text, fix: `for faster prompts: npm install ${ONNX_RUNTIME} --ignore-scripts` };
}

const VARIANTS = {
  dot: "WebAssembly with relaxed SIMD and the 32-bit dot product",
  relaxed: "WebAssembly with relaxed SIMD",
  simd: "WebAssembly with SIMD, not relaxed",
  scalar: "WebAssembly without SIMD",
} as const;

const GIB = 2 ** 30;

/** @param available memory of the machine in bytes, or the limit of this process if that is lower */
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
  const text = `${gibibytes(available)}, ${gibibytes(Math.min(free, available))} of it free; fits models of ${fitting.length === 0 ? "less than 0.1B parameters" : fitting.join(", ")}`;
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
  // Create a folder instead of reading the permissions: read-only file systems refuse writes despite them.
  const refusal = await mkdtemp(join(existing, ".touchstone-")).then(
    async (made) => rmdir(made).then(() => null),
    (error: NodeJS.ErrnoException) => error.code,
  );
  if (refusal !== null) return { status: "problem", text: `${folder}: ${existing} is not writable (${refusal})`, fix };
  const { bavail, bsize } = await statfs(existing);
  const free = bavail * bsize;
  const contents = existing === folder ? await describe(folder) : "does not exist yet";
  const text = `${folder}: ${contents}, ${gibibytes(free)} free on the disk`;
  return free >= GIB
    ? ok(text)
    : { status: "warning", text, fix: "free some disk space: a model needs about two bytes per parameter" };
}

/** Returns the folder itself or, if it does not exist, its closest existing parent. */
async function nearest(folder: string): Promise<string> {
  const isThere = await stat(folder).then(
    () => true,
    () => false,
  );
  return isThere || dirname(folder) === folder ? folder : nearest(dirname(folder));
}

async function describePacks(): Promise<string> {
  const packs = (await listModels()).filter(({ source, format }) => source !== null && format !== null);
  return `${counted(packs.length, "converted model")}, ${sizeText(packs.reduce((sum, { byteLength }) => sum + byteLength, 0))}`;
}

async function describeSnapshots(): Promise<string> {
  const downloads = (await listModels()).filter(({ source, format }) => source !== null && format === null);
  const [whole, begun] = [true, false].map(
    (isFinished) => new Set(downloads.filter((model) => model.isFinished === isFinished).map(({ name }) => name)).size,
  );
  return `${counted(whole!, "model")}${begun === 0 ? "" : `, ${begun} unfinished`}`;
}

const HUB_TIMEOUT_MS = 5000;

/** Checks the hub. Failures are warnings: everything except downloads works without it. */
async function checkHub(isForbidden: boolean): Promise<Omit<Finding, "name">> {
  const { endpoint, isOffline, fetch } = await hubSettings(process.env, isForbidden);
  if (isOffline) return ok("not checked (offline)");
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
      fix: "try again later; downloaded models run without it",
    };
  } catch (error) {
    const { message, cause } = error as Error & { cause?: { code?: string } };
    return {
      status: "warning",
      text: `${endpoint} cannot be reached (${cause?.code ?? message})`,
      fix: "downloaded models run without it; set HTTPS_PROXY to use a proxy, or HF_ENDPOINT to use a mirror",
    };
  }
}

function gibibytes(byteLength: number): string {
  return byteLength < GIB ? `${Math.round(byteLength / 2 ** 20)} MiB` : `${(byteLength / GIB).toFixed(1)} GiB`;
}

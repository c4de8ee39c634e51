/**
 * Finds and compiles the build of the kernels for this machine. All builds give the same bits; they differ in speed
 * only.
 */

import { readFile } from "node:fs/promises";
import { setFlagsFromString } from "node:v8";

import { type KernelExports, LAYOUT, MEMORY } from "./layout.js";

/**
 * `scalar`: no vectors; `simd`: 128-bit vectors; `relaxed`: also the relaxed integer dot product; `dot`: the relaxed dot
 * product that adds to 32-bit sums, which is one instruction of some processors (AVX-VNNI, AVX-512 VNNI, Arm's sdot).
 */
export type KernelVariant = (typeof VARIANTS)[number];

/** Fastest first, on a processor that has all instructions. */
const VARIANTS = ["dot", "relaxed", "simd", "scalar"] as const;

/** Possible folders of the builds: next to the compiled JavaScript, or dist if the TypeScript sources run directly. */
const FOLDERS = ["./", "../dist/kernels/"];

/** @internal Not in the package's types: `WebAssembly` needs the DOM library, which few Node programs include. */
export interface LoadedKernels {
  variant: KernelVariant;
  /** Folder of the build, which also holds the worker's compiled JavaScript. */
  folder: URL;
  module: WebAssembly.Module;
  exports: KernelExports;
  memory: WebAssembly.Memory;
}

/**
 * @internal Loads the kernels.
 * @param variant build to load; null for the one that TOUCHSTONE_KERNELS names, or the fastest that this machine runs
 */
export async function loadKernels(variant: KernelVariant | null): Promise<LoadedKernels> {
  const wanted = variant ?? namedVariant();
  const candidates = wanted === null ? VARIANTS : [wanted];
  for (const candidate of candidates) {
    if (wanted === null && candidate === "dot" && !(await (dotIsFaster ??= compareDot().catch(() => false)))) continue;
    const loaded = await instantiate(candidate);
    if (loaded !== null) return loaded;
  }
  const problem = `This JavaScript engine cannot run the ${candidates.join(", ")} build of the kernels`;
  if (variant === null && wanted !== null) throw new KernelChoiceError(`${problem}, which TOUCHSTONE_KERNELS names`);
  throw new Error(problem);
}

function namedVariant(): KernelVariant | null {
  const name = process.env["TOUCHSTONE_KERNELS"];
  if (name === undefined || name === "") return null;
  const variant = VARIANTS.find((each) => each === name);
  if (variant === undefined)
    throw new KernelChoiceError(
      `TOUCHSTONE_KERNELS must be ${VARIANTS.join(", ")} or unset. Given: ${JSON.stringify(name)}`,
    );
  return variant;
}

/**
 * Returns null if the JavaScript engine cannot run the build.
 * @param maxPages limit of the memory; by default 4 GiB, which reserves as many addresses
 */
async function instantiate(variant: KernelVariant, maxPages: number = MEMORY.maximum): Promise<LoadedKernels | null> {
  const { bytes, folder } = await readBuild(variant);
  if (!canRun(variant, bytes)) return null;
  const module = await WebAssembly.compile(bytes);
  const memory = new WebAssembly.Memory({ ...MEMORY, maximum: maxPages });
  const { exports } = await WebAssembly.instantiate(module, { env: { memory, abort } });
  checkLayout(variant, exports);
  return { variant, folder, module, exports: exports as unknown as KernelExports, memory };
}

/** The answer of `compareDot`, which holds for the process. */
let dotIsFaster: Promise<boolean> | null = null;

/**
 * Returns true if the build `dot` gives the right results here and is faster than `relaxed`. Where the processor lacks
 * the instruction, the JavaScript engine replaces it by several others, which is slower. The comparison takes 20 to 150
 * milliseconds, in which the engine also replaces its first, unoptimized code. An error counts as no: loading another
 * build reports it.
 */
async function compareDot(): Promise<boolean> {
  if (!hasCorrectDot()) return false;
  const builds = [await instantiate("dot", MEMORY.initial), await instantiate("relaxed", MEMORY.initial)];
  const best = [Infinity, Infinity];
  const results = new Set<number>();
  const beginMs = performance.now();
  let improvedMs = beginMs;
  const isOver = (): boolean => {
    const now = performance.now();
    return results.size > 1 || now - improvedMs > COMPARISON_MS || now - beginMs > MAX_COMPARISON_MS;
  };
  while (!isOver()) {
    for (const [i, build] of builds.entries()) {
      if (build === null) return false;
      const startMs = performance.now();
      results.add(build.exports.probe(PROBE_ROUNDS));
      const ms = performance.now() - startMs;
      // A busy machine may replace the unoptimized code late.
      if (ms < best[i]! / 1.1) improvedMs = performance.now();
      best[i] = Math.min(best[i]!, ms);
    }
  }
  return results.size === 1 && best[0]! < MAX_RATIO * best[1]!;
}

/** Time without an improvement of a tenth after which the comparison is over, and its longest time. */
const COMPARISON_MS = 20;
const MAX_COMPARISON_MS = 150;
const PROBE_ROUNDS = 60;
/** Ratio of the times from which `dot` counts as faster. */
const MAX_RATIO = 0.95;

/**
 * The unoptimizing compiler of V8 before 12 gives wrong results for the accumulating dot product on processors without
 * AVX-VNNI. Which of the two compilers runs at a given moment is not known, so no comparison of results can exclude it.
 */
function hasCorrectDot(): boolean {
  return Number(process.versions.v8.split(".")[0]) >= FIRST_CORRECT_V8;
}
const FIRST_CORRECT_V8 = 12;

function canRun(variant: KernelVariant, bytes: Uint8Array<ArrayBuffer>): boolean {
  if (variant === "dot" && !hasCorrectDot()) return false;
  if (WebAssembly.validate(bytes)) return true;
  if (variant !== "relaxed") return false;
  // Node 20 has relaxed SIMD behind a flag; versions that do not know the flag ignore it.
  setFlagsFromString("--experimental-wasm-relaxed-simd");
  return WebAssembly.validate(bytes);
}

async function readBuild(variant: KernelVariant): Promise<{ bytes: Uint8Array<ArrayBuffer>; folder: URL }> {
  for (const path of FOLDERS) {
    const folder = new URL(path, import.meta.url);
    try {
      return { bytes: new Uint8Array(await readFile(new URL(`${variant}.wasm`, folder))), folder };
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT") continue;
      throw new Error(`The ${variant} build of the kernels cannot be read (${code})`, { cause: error });
    }
  }
  throw new Error(`The ${variant} build of the kernels is missing: run "npm run build"`);
}

/** Refuses a build from another compilation than layout.ts: the two would corrupt each other's memory. */
function checkLayout(variant: KernelVariant, { layout }: Record<string, unknown>): void {
  if ((layout as { value: unknown } | undefined)?.value === LAYOUT) return;
  throw new Error(`The ${variant} build of the kernels was compiled with another layout.ts: run "npm run build"`);
}

/** Thrown if TOUCHSTONE_KERNELS names a build that does not exist, or that this JavaScript engine cannot run. */
export class KernelChoiceError extends Error {
  override readonly name = "KernelChoiceError";
}

/** Thrown if a kernel trapped or a thread died: their memory cannot be trusted, and nothing runs afterwards. */
export class KernelFailure extends Error {
  override readonly name = "KernelFailure";
}

export function abort(): never {
  throw new KernelFailure("A kernel reached an impossible state");
}

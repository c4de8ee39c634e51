/**
 * Finds and compiles the build of the kernels for this machine. The three builds give the same bits;
 * they differ in speed only.
 */

import { readFile } from "node:fs/promises";
import { setFlagsFromString } from "node:v8";

import { type KernelExports, LAYOUT, MEMORY } from "./layout.js";

/** `scalar`: no vectors; `simd`: 128-bit vectors; `relaxed`: also the relaxed integer dot product. */
export type KernelVariant = "scalar" | "simd" | "relaxed";

/** Fastest first. */
const VARIANTS: readonly KernelVariant[] = ["relaxed", "simd", "scalar"];

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
 * @param variant build to load; null for the fastest one that this machine runs
 */
export async function loadKernels(variant: KernelVariant | null): Promise<LoadedKernels> {
  const candidates = variant === null ? VARIANTS : [variant];
  for (const candidate of candidates) {
    const { bytes, folder } = await readBuild(candidate);
    if (!canRun(candidate, bytes)) continue;
    const module = await WebAssembly.compile(bytes);
    const memory = new WebAssembly.Memory(MEMORY);
    const { exports } = await WebAssembly.instantiate(module, { env: { memory, abort } });
    checkLayout(candidate, exports);
    return { variant: candidate, folder, module, exports: exports as unknown as KernelExports, memory };
  }
  throw new Error(`This JavaScript engine cannot run the ${candidates.join(", ")} build of the kernels`);
}

function canRun(variant: KernelVariant, bytes: Uint8Array<ArrayBuffer>): boolean {
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

/** Thrown if a kernel trapped or a thread died: their memory cannot be trusted, and nothing runs afterwards. */
export class KernelFailure extends Error {
  override readonly name = "KernelFailure";
}

export function abort(): never {
  throw new KernelFailure("A kernel reached an impossible state");
}

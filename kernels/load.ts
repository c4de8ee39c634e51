/**
 * Finds and compiles the build of the kernels for this machine. The three builds give the same bits;
 * they differ in speed only.
 */

import { readFile } from "node:fs/promises";
import { setFlagsFromString } from "node:v8";

/** `scalar`: no vectors; `simd`: 128-bit vectors; `relaxed`: also the relaxed integer dot product. */
export type KernelVariant = "scalar" | "simd" | "relaxed";

/** Fastest first. */
const VARIANTS: readonly KernelVariant[] = ["relaxed", "simd", "scalar"];

/** Beside the compiled JavaScript, or in the build folder when the TypeScript sources run themselves. */
const FOLDERS = ["./", "../dist/kernels/"];

/** What the WebAssembly builds export. Addresses and sizes are bytes, counts are elements. */
export interface KernelExports {
  f32_f32_gemm: Gemm;
  f32_q8_gemm: Gemm;
  f32_q4_gemm: Gemm;
  f32_f32_gemm_scratch: (cols: number, numRows: number) => number;
  f32_q8_gemm_scratch: (cols: number, numRows: number) => number;
  f32_q4_gemm_scratch: (cols: number, numRows: number) => number;
  f32_f32_row: Row;
  f32_q8_row: Row;
  f32_q4_row: Row;
  sample: (request: number) => number;
  sample_scratch: (vocabSize: number) => number;
  heap_base: () => number;
}
type Gemm = (
  weights: number,
  rows: number,
  cols: number,
  input: number,
  output: number,
  numRows: number,
  scratch: number,
) => void;
type Row = (weights: number, cols: number, row: number, output: number) => void;

export interface LoadedKernels {
  variant: KernelVariant;
  exports: KernelExports;
  memory: WebAssembly.Memory;
}

/** @param variant which build to load; null for the best this machine runs */
export async function loadKernels(variant: KernelVariant | null): Promise<LoadedKernels> {
  const candidates = variant === null ? VARIANTS : [variant];
  for (const candidate of candidates) {
    const bytes = await readBuild(candidate);
    if (!canRun(candidate, bytes)) continue;
    const memory = new WebAssembly.Memory({ initial: 16, maximum: 65536 });
    const { instance } = await WebAssembly.instantiate(bytes, { env: { memory, abort } });
    return { variant: candidate, exports: instance.exports as unknown as KernelExports, memory };
  }
  throw new Error(`This JavaScript engine cannot run the ${candidates.join(", ")} build of the kernels`);
}

function canRun(variant: KernelVariant, bytes: Uint8Array<ArrayBuffer>): boolean {
  if (WebAssembly.validate(bytes)) return true;
  if (variant !== "relaxed") return false;
  // Node 20 has relaxed SIMD behind a flag; where the flag is unknown this changes nothing.
  setFlagsFromString("--experimental-wasm-relaxed-simd");
  return WebAssembly.validate(bytes);
}

async function readBuild(variant: KernelVariant): Promise<Uint8Array<ArrayBuffer>> {
  for (const folder of FOLDERS) {
    try {
      return new Uint8Array(await readFile(new URL(`${folder}${variant}.wasm`, import.meta.url)));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
  throw new Error(`The ${variant} build of the kernels is missing: run "npm run build"`);
}

function abort(): never {
  throw new Error("A kernel reached a state that cannot be");
}

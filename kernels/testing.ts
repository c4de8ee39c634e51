/** What the kernels' tests share: every build the machine runs, deterministic numbers, short requests. */

import { type Address, Kernels, type KernelVariant, type MatrixFormat, type PackedMatrix, type SampleRequest } from "./index.js";
import { type FloatMatrix, type QuantizedMatrix, pack, quantize } from "./index.js";

/** The builds of the kernels; `relaxed` is left out where the JavaScript engine lacks relaxed SIMD. */
export async function loadBuilds(): Promise<Kernels[]> {
  const builds = [await load("scalar"), await load("simd")];
  try {
    builds.push(await load("relaxed"));
  } catch (error) {
    console.warn(`The relaxed build is not tested: ${String(error)}`);
  }
  return builds;
}

function load(variant: KernelVariant): Promise<Kernels> {
  return Kernels.load({ variant });
}

/** Numbers in [0, 1), the same for the same seed. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let x = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
    return ((x ^ (x >>> 15)) >>> 0) / 2 ** 32;
  };
}

/** f32 [length] in -1..1. */
export function randomFloats(seed: number, length: number): Float32Array {
  const random = randomNumbers(seed);
  return Float32Array.from({ length }, () => 2 * random() - 1);
}

/** Weights as the format keeps them. */
export function inFormat(format: MatrixFormat, values: Float32Array, rows: number, cols: number): QuantizedMatrix | FloatMatrix {
  return format === "f32" ? { format, rows, cols, values } : quantize(format, values, rows, cols);
}

/** Puts a matrix into the kernels' memory. */
export function placeMatrix(kernels: Kernels, source: QuantizedMatrix | FloatMatrix): PackedMatrix {
  const matrix = kernels.allocateMatrix(source.format, source.rows, source.cols);
  kernels.bytes(matrix.address, matrix.byteLength).set(pack(source));
  return matrix;
}

/** Puts floats into the kernels' memory. */
export function placeFloats(kernels: Kernels, values: ArrayLike<number>): Address {
  const address = kernels.allocate(values.length * 4);
  kernels.f32(address, values.length).set(values);
  return address;
}

/** A request with everything off, changed by `changes`. */
export function request(changes: Partial<SampleRequest> = {}): SampleRequest {
  return {
    temperature: 1,
    topK: null,
    topP: null,
    minP: null,
    uniform: 0.5,
    repetitionPenalty: 1,
    frequencyPenalty: 0,
    presencePenalty: 0,
    adjustments: null,
    allowed: null,
    topLogprobs: null,
    logprobsMode: "raw",
    ...changes,
  };
}

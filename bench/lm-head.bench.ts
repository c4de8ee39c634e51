/**
 * Measures the LM head: one or more rows of activations times packed weights, on one thread. GB/s are packed bytes of
 * weights read per second, GOPS are multiplications and additions.
 * Run: node dist/bench/lm-head.bench.js [--quick]
 */

import { Kernels, type KernelVariant, type MatrixFormat, pack, quantize } from "../kernels/index.js";
import { referenceMatmul } from "../spec-tests/oracles/kernels.js";
import { check, describeMachine, inMs, isQuick, runnableBuilds, time } from "./measuring.js";

const SHAPES = isQuick ? [[512, 96] as const] : [[49_152, 576] as const, [151_936, 896] as const];
const FORMATS: MatrixFormat[] = ["q4", "q8", "f32"];
const NUM_ROWS = isQuick ? [1, 3] : [1, 2, 8];
/** Number of rows that are quantized and checked. The matrix repeats them. */
const DISTINCT_ROWS = 256;

console.log(describeMachine());
const variants = await runnableBuilds(["dot", "relaxed", "simd"]);
for (const [rows, cols] of SHAPES) {
  for (const format of FORMATS) {
    for (const variant of variants) await run(variant, format, rows, cols);
  }
}

async function run(variant: KernelVariant, format: MatrixFormat, rows: number, cols: number): Promise<void> {
  const kernels = await Kernels.load({ variant });
  const weights = floats(DISTINCT_ROWS * cols, 1);
  const source =
    format === "f32"
      ? { format, rows: DISTINCT_ROWS, cols, values: weights }
      : quantize(format, weights, DISTINCT_ROWS, cols);
  const packed = pack(source);
  const matrix = kernels.allocateMatrix(format, rows, cols);
  const bytes = kernels.bytes(matrix.address, matrix.byteLength);
  for (let at = 0; at < bytes.length; at += packed.length) bytes.set(packed.subarray(0, bytes.length - at), at);

  for (const numRows of NUM_ROWS) {
    const input = floats(numRows * cols, 2);
    const inputAt = kernels.allocate(input.byteLength);
    kernels.f32(inputAt, input.length).set(input);
    const outputAt = kernels.allocate(numRows * rows * 4);
    const { minMs, medianMs } = await time(() => kernels.matmul(matrix, inputAt, outputAt, numRows));

    const output = kernels.f32(outputAt, numRows * rows);
    const expected = referenceMatmul(source, input, numRows);
    expected.values.forEach((value, i) => {
      const given = output[Math.floor(i / DISTINCT_ROWS) * rows + (i % DISTINCT_ROWS)]!;
      check(Math.abs(given - value) <= 1e-5 * expected.magnitudes[i]!, `element ${i} is ${given}, not ${value}`);
    });
    const bandwidth = (matrix.byteLength / minMs / 1e6).toFixed(1).padStart(5);
    const operations = ((2 * rows * cols * numRows) / minMs / 1e6).toFixed(1).padStart(5);
    console.log(
      `${rows} x ${cols} ${format.padEnd(3)} ${variant.padEnd(7)} ${numRows} rows: min ${inMs(minMs)}, median ${inMs(medianMs)}, ${bandwidth} GB/s, ${operations} GOPS`,
    );
  }
}

/** Returns deterministic f32 [length] with values in -1..1. */
function floats(length: number, seed: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

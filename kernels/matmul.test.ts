import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { numCases } from "../spec-tests/fixtures/property-size.js";
import { type Kernels, type MatrixFormat, dequantize } from "./index.js";
import { type QuantizedMatrix } from "./index.js";
import { LARGEST_ACTIVATION, referenceMatmul } from "../spec-tests/oracles/kernels.js";
import {
  inFormat,
  loadBuilds,
  placeFloats,
  placeMatrix,
  randomFloats,
  randomNumbers,
} from "../spec-tests/fixtures/kernels.js";

const builds = await loadBuilds();
const formats: MatrixFormat[] = ["f32", "q8", "q4"];
const FLOAT_EPSILON = 2 ** -24;

/** Returns input x matrix, computed by one build; checks a canary after the output. */
function multiply(
  kernels: Kernels,
  source: ReturnType<typeof inFormat>,
  input: Float32Array,
  numRows: number,
): Float32Array {
  const matrix = placeMatrix(kernels, source);
  const inputAt = placeFloats(kernels, input);
  const outputAt = placeFloats(kernels, new Float32Array(numRows * source.rows + 1).fill(12345));
  kernels.matmul(matrix, inputAt, outputAt, numRows);
  const output = kernels.f32(outputAt, numRows * source.rows + 1).slice();
  expect(output.at(-1), "the float after the output").toBe(12345);
  return output.subarray(0, -1);
}

/**
 * Checks that all builds give equal bits and are as close to the float64 reference as f32 sums allow: one
 * rounding per term of the reduction and a few for the scales.
 */
function check(source: ReturnType<typeof inFormat>, input: Float32Array, numRows: number): void {
  const expected = referenceMatmul(source, input, numRows);
  const outputs = builds.map((kernels) => multiply(kernels, source, input, numRows));
  const terms = source.format === "f32" ? Math.ceil(source.cols / 4) + 3 : Math.ceil(source.cols / 32) + 4;
  outputs[0]!.forEach((value, i) => {
    const tolerance = terms * FLOAT_EPSILON * expected.magnitudes[i]! * (1 + 1e-6);
    expect(Math.abs(value - expected.values[i]!), `element ${i}`).toBeLessThanOrEqual(tolerance);
  });
  for (const output of outputs)
    expect(new Uint8Array(output.slice().buffer)).toEqual(new Uint8Array(outputs[0]!.slice().buffer));
}

describe.each(formats)("matmul %s", (format) => {
  // Column counts around the block size, row counts around the group size, 1 to 9 activation rows. The larger matrices
  // have several units in each of the four streams of a single row, the last ones shorter than others, and more blocks
  // than are widened at a time.
  const shapes = [
    [1, 1],
    [1, 31],
    [2, 32],
    [3, 33],
    [4, 4],
    [5, 63],
    [7, 64],
    [8, 65],
    [9, 96],
    [15, 100],
    [16, 576],
    [17, 577],
    [33, 40],
    [296, 33],
    [521, 32],
    [9, 1025],
    [24, 2080],
  ] as const;
  it.each(shapes)("[%i, %i] matches the reference for 1 to 9 rows, with the same bits in every build", (rows, cols) => {
    const source = inFormat(format, randomFloats(rows * 1000 + cols, rows * cols), rows, cols);
    for (let numRows = 1; numRows <= 9; numRows++) check(source, randomFloats(numRows, numRows * cols), numRows);
  });

  it("handles any shape and any magnitude", () => {
    const magnitude = fc.constantFrom(1e-10, 1e-3, 1, 1e3, 1e10);
    const shape = {
      rows: fc.integer({ min: 1, max: 20 }),
      cols: fc.integer({ min: 1, max: 200 }),
      numRows: fc.integer({ min: 1, max: 4 }),
    };
    fc.assert(
      fc.property(fc.record({ ...shape, weights: magnitude, activations: magnitude, seed: fc.nat() }), (given) => {
        const { rows, cols, numRows, seed } = given;
        const weights = randomFloats(seed, rows * cols).map((value) => value * given.weights);
        const input = randomFloats(seed + 1, numRows * cols).map((value) => value * given.activations);
        check(inFormat(format, weights, rows, cols), input, numRows);
      }),
      { seed: 7, numRuns: numCases(60) },
    );
  });

  it("gives a row the same bits alone and in a batch", () => {
    const [rows, cols, numRows] = [19, 70, 5];
    const source = inFormat(format, randomFloats(1, rows * cols), rows, cols);
    const input = randomFloats(2, numRows * cols);
    for (const kernels of builds) {
      const together = multiply(kernels, source, input, numRows);
      for (let n = 0; n < numRows; n++) {
        const alone = multiply(kernels, source, input.subarray(n * cols, (n + 1) * cols), 1);
        expect(alone).toEqual(together.slice(n * rows, (n + 1) * rows));
      }
    }
  });

  it("gives zero for zero weights, zero activations and activations too small to matter", () => {
    const [rows, cols] = [9, 64];
    const weights = inFormat(format, randomFloats(3, rows * cols), rows, cols);
    const zeros = inFormat(format, new Float32Array(rows * cols), rows, cols);
    for (const kernels of builds) {
      expect(multiply(kernels, zeros, randomFloats(4, cols), 1)).toEqual(new Float32Array(rows));
      expect(multiply(kernels, weights, new Float32Array(cols), 1).every((value) => value === 0)).toBe(true);
      const tiny = multiply(kernels, weights, new Float32Array(cols).fill(1e-39), 1);
      expect(tiny.every((value) => Math.abs(value) < 1e-37)).toBe(true);
    }
  });

  it.each([NaN, Infinity, -Infinity])("propagates %f from the activations to every result", (poison) => {
    const [rows, cols] = [9, 70];
    const source = inFormat(format, randomFloats(5, rows * cols), rows, cols);
    for (const position of [0, 31, 32, 69]) {
      const input = randomFloats(6, cols);
      input[position] = poison;
      for (const kernels of builds) {
        expect(multiply(kernels, source, input, 1).some(Number.isFinite), `at ${position}`).toBe(false);
      }
    }
  });

  it("reads rows back with their stored values", () => {
    for (const [rows, cols] of [
      [1, 1],
      [9, 33],
      [16, 64],
      [13, 70],
    ] as const) {
      const source = inFormat(format, randomFloats(cols, rows * cols), rows, cols);
      const expected = source.format === "f32" ? source.values : dequantize(source);
      for (const kernels of builds) {
        const matrix = placeMatrix(kernels, source);
        const output = placeFloats(kernels, new Float32Array(cols + 1).fill(77));
        for (let row = 0; row < rows; row++) {
          kernels.readRow(matrix, row, output);
          expect(kernels.f32(output, cols)).toEqual(expected.slice(row * cols, (row + 1) * cols));
        }
        expect(kernels.f32(output, cols + 1).at(-1)).toBe(77);
      }
    }
  });
});

describe("integer extremes", () => {
  // Every pair of extreme values occurs side by side, where 16-bit intermediate sums are largest.
  const extremes = { q8: [-127, 127, 0, 1], q4: [-8, 7, 0, 1] } as const;
  it.each(["q8", "q4"] as const)("%s products are exact at the ends of the range", (format) => {
    const [rows, cols] = [16, 64];
    const random = randomNumbers(11);
    for (let run = 0; run < 40; run++) {
      const codes = extremes[format];
      const values = Int8Array.from({ length: rows * cols }, (_, i) =>
        run === 0
          ? codes[0]
          : run === 1
            ? codes[1]
            : run === 2
              ? codes[i & 1]!
              : codes[Math.floor(random() * codes.length)]!,
      );
      const scales = new Float32Array((rows * cols) / 32).fill(1);
      const source: QuantizedMatrix = { format, rows, cols, blocks: cols / 32, values, scales };
      // Activations at the ends of their range have the scale 1, so every sum of a block is an integer below 2^24.
      const end = LARGEST_ACTIVATION[format];
      const input = Float32Array.from({ length: cols }, (_, i) =>
        run % 3 === 0 ? end : run % 3 === 1 ? (i & 1 ? -end : end) : random() < 0.5 ? end : -end,
      );
      const expected = Float32Array.from({ length: rows }, (_, r) =>
        input.reduce((sum, x, c) => sum + x * values[r * cols + c]!, 0),
      );
      for (const kernels of builds) expect(multiply(kernels, source, input, 1)).toEqual(expected);
    }
  });
});

describe("misuse", () => {
  const kernels = builds[0]!;
  it("refuses addresses outside the allocated memory, unaligned addresses and bad counts", () => {
    const matrix = placeMatrix(kernels, inFormat("q8", randomFloats(1, 64), 2, 32));
    const input = placeFloats(kernels, new Float32Array(32));
    const output = kernels.allocate(8);
    expect(() => kernels.matmul(matrix, input, output, 0)).toThrow("numRows must be an integer >= 1. Given: 0");
    expect(() => kernels.matmul(matrix, input, 2 ** 31, 1)).toThrow(RangeError);
    expect(() => kernels.matmul(matrix, input + 2, output, 1)).toThrow(RangeError);
    expect(() => kernels.readRow(matrix, 2, output)).toThrow("row must be an integer in 0..1. Given: 2");
    expect(() => kernels.allocate(2 ** 33)).toThrow("limited to 4 GiB");
    expect(() => kernels.allocate(1.5)).toThrow(RangeError);
  });

  it("allocates zeroed, aligned, disjoint memory that survives growth", () => {
    const first = kernels.allocate(100);
    kernels.bytes(first, 100).fill(7);
    const second = kernels.allocate(5_000_000);
    expect(first % 64).toBe(0);
    expect(second).toBeGreaterThanOrEqual(first + 100);
    expect(kernels.bytes(first, 100).every((byte) => byte === 7)).toBe(true);
    expect(kernels.bytes(second, 5_000_000).every((byte) => byte === 0)).toBe(true);
  });
});

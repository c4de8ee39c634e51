import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { numCases } from "../spec-tests/fixtures/property-size.js";
import { PACK_ROWS, dequantize, pack, packedByteLength, quantize } from "./index.js";
import { inFormat, randomFloats } from "../spec-tests/fixtures/kernels.js";

const quantized = ["q8", "q4"] as const;
const finite = fc.float({ noDefaultInfinity: true, noNaN: true, min: -1000, max: 1000 });

describe.each(quantized)("quantize %s", (format) => {
  const [lowest, highest] = format === "q8" ? [-127, 127] : [-8, 7];

  it("keeps codes in range, scales in bfloat16 and errors below the step", () => {
    fc.assert(
      fc.property(fc.array(finite, { minLength: 1, maxLength: 100 }), (weights) => {
        const source = Float32Array.from(weights);
        const matrix = quantize(format, source, 1, source.length);
        expect(matrix.blocks).toBe(Math.ceil(source.length / 32));
        expect(matrix.values.every((code) => code >= lowest && code <= highest)).toBe(true);
        expect(matrix.values.subarray(source.length).every((code) => code === 0)).toBe(true);
        expect(new Uint32Array(matrix.scales.buffer).every((bits) => (bits & 0xffff) === 0)).toBe(true);
        dequantize(matrix).forEach((value, i) => {
          const block = source.subarray(i - (i % 32), i - (i % 32) + 32);
          const amax = Math.max(...block.map(Math.abs));
          // Half a step, but a whole step where 4 bits have no +8; 1 % for the bfloat16 scale; 1e-37 for scales
          // that underflow.
          const step = format === "q8" ? amax / 127 / 2 : amax / 8;
          expect(Math.abs(value - source[i]!)).toBeLessThanOrEqual(1.3 * step + amax * 0.01 + 1e-37);
        });
      }),
      { seed: 1, numRuns: numCases(300) },
    );
  });

  it("keeps weights that the format represents exactly", () => {
    const source = Float32Array.from({ length: 64 }, (_, i) => (i % (highest - lowest + 1)) + lowest);
    if (format === "q4") expect(dequantize(quantize(format, source, 2, 32))).toEqual(source);
    const zeros = new Float32Array(70);
    expect(dequantize(quantize(format, zeros, 2, 35))).toEqual(zeros);
  });

  it("has a squared error close to the minimum over all bfloat16 scales", () => {
    const numBlocks = 200;
    const source = normalFloats(3, numBlocks * 32);
    const squaredErrors = (values: Float32Array) =>
      values.reduce((sum, value, i) => sum + (value - source[i]!) ** 2, 0);
    let least = 0;
    for (let block = 0; block < numBlocks; block++) {
      const weights = source.subarray(block * 32, block * 32 + 32);
      const errorAt = (scale: number) =>
        weights.reduce(
          (sum, weight) =>
            sum + (weight - scale * Math.min(highest, Math.max(lowest, Math.round(weight / scale)))) ** 2,
          0,
        );
      const largest = Math.max(...weights.map(Math.abs));
      const scales = bfloat16Between((0.75 * largest) / highest, (1.4 * largest) / highest);
      least += Math.min(...scales.flatMap((scale) => [errorAt(scale), errorAt(-scale)]));
    }
    const error = squaredErrors(dequantize(quantize(format, source, numBlocks, 32)));
    expect(error / least).toBeLessThan(format === "q4" ? 1.003 : 1.27);
  });

  it.each([NaN, Infinity, -Infinity])("refuses the weight %f", (weight) => {
    expect(() => quantize(format, Float32Array.of(1, weight), 1, 2)).toThrow("Weight 1 is");
  });
});

describe.each(["f32", ...quantized] as const)("pack %s", (format) => {
  it("has the length of packedByteLength, and chunks concatenate to the whole", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 70 }),
        fc.integer({ min: 1, max: 4 }),
        (rows, cols, step) => {
          const values = randomFloats(rows + cols, rows * cols);
          const whole = pack(inFormat(format, values, rows, cols));
          expect(whole.length).toBe(packedByteLength(format, rows, cols));
          const chunks: Uint8Array[] = [];
          for (let row = 0; row < rows; row += step * PACK_ROWS) {
            const count = Math.min(step * PACK_ROWS, rows - row);
            chunks.push(pack(inFormat(format, values.slice(row * cols, (row + count) * cols), count, cols)));
          }
          expect(Buffer.concat(chunks).equals(whole)).toBe(true);
        },
      ),
      { seed: 2, numRuns: numCases(60) },
    );
  });

  it("refuses invalid shapes", () => {
    expect(() => packedByteLength(format, 0, 1)).toThrow("rows must be an integer >= 1. Given: 0");
    expect(() => packedByteLength(format, 1, 1.5)).toThrow("cols must be an integer >= 1. Given: 1.5");
  });
});

/** Returns sums of twelve uniform numbers, which are close to a normal distribution. */
function normalFloats(seed: number, length: number): Float32Array {
  const uniform = randomFloats(seed, 12 * length);
  return Float32Array.from({ length }, (_, i) =>
    uniform.subarray(12 * i, 12 * i + 12).reduce((sum, value) => sum + value, 0),
  );
}

function bfloat16Between(from: number, to: number): number[] {
  const float = new Float32Array(1);
  const bits = new Uint32Array(float.buffer);
  const numbers: number[] = [];
  for (float[0] = from, bits[0]! &= 0xffff0000; float[0]! <= to; bits[0]! += 0x10000) numbers.push(float[0]!);
  return numbers;
}

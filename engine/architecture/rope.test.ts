import { describe, expect, test } from "vitest";

import type { RopeScaling } from "./config.js";
import { rotaryFrequency } from "../../spec-tests/oracles/named-model.js";
import { RotaryEmbedding } from "./rope.js";

const LLAMA3: RopeScaling = {
  type: "llama3",
  factor: 8,
  lowFreqFactor: 1,
  highFreqFactor: 4,
  originalContextLength: 8192,
};

describe("RotaryEmbedding", () => {
  test.each<[number, number, RopeScaling]>([
    [64, 10000, { type: "none" }],
    [128, 1000000, { type: "none" }],
    [80, 100000, { type: "linear", factor: 4 }],
    [128, 500000, LLAMA3],
    [8, 10000, LLAMA3],
    [128, 500000, { ...LLAMA3, lowFreqFactor: 2 }],
    [2, 10000, { type: "none" }],
  ])("agrees with Math for head_dim %d, base %d, %j", (headDim, ropeTheta, ropeScaling) => {
    const config = { headDim, ropeTheta, ropeScaling };
    const rope = new RotaryEmbedding(config);
    const cos = new Float32Array(headDim / 2);
    const sin = new Float32Array(headDim / 2);
    for (const position of [0, 1, 2, 3, 17, 100, 8191, 131071, 2 ** 21 - 1]) {
      rope.fill(position, cos, sin);
      for (let pair = 0; pair < headDim / 2; pair++) {
        const angle = position * rotaryFrequency(pair, config);
        // Half a unit in the last place of float32, plus the effect of a relative error of 2^-50 on the angle.
        const tolerance = 2 ** -25 + angle * 2 ** -50;
        expect(Math.abs(cos[pair]! - Math.cos(angle))).toBeLessThanOrEqual(tolerance);
        expect(Math.abs(sin[pair]! - Math.sin(angle))).toBeLessThanOrEqual(tolerance);
      }
    }
  });

  test("llama3 keeps high frequencies, lowers low ones, and blends in between", () => {
    const config = { headDim: 128, ropeTheta: 500000 };
    const ratios = Array.from(
      { length: 64 },
      (_, pair) =>
        rotaryFrequency(pair, { ...config, ropeScaling: LLAMA3 }) /
        rotaryFrequency(pair, { ...config, ropeScaling: { type: "none" } }),
    );
    expect(ratios[0]).toBe(1);
    expect(ratios[63]).toBeCloseTo(1 / 8, 12);
    expect(ratios.some((ratio) => ratio > 0.2 && ratio < 0.9)).toBe(true);
  });

  test("gives the recorded bits", () => {
    const cos = new Float32Array(4);
    const sin = new Float32Array(4);
    new RotaryEmbedding({ headDim: 8, ropeTheta: 10000, ropeScaling: { type: "none" } }).fill(1000, cos, sin);
    expect([...new Uint32Array(cos.buffer), ...new Uint32Array(sin.buffer)]).toMatchInlineSnapshot(`
      [
        1058011155,
        1063043310,
        3210136932,
        1057640768,
        1062448737,
        3204555054,
        3205186808,
        1062693540,
      ]
    `);
  });
});

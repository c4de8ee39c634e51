import { describe, expect, it } from "vitest";
import { numCases } from "../spec-tests/fixtures/property-size.js";
import { loadBuilds } from "../spec-tests/fixtures/kernels.js";
import {
  angles,
  expectSameBits,
  PlacedDecoder,
  randomModel,
  randomTokens,
  type Shape,
  VOCABULARY,
} from "../spec-tests/fixtures/random-decoder.js";
import { MAX_DEVIATIONS } from "../spec-tests/oracles/estimate.js";
import { hiddenStates } from "../spec-tests/oracles/forward.js";
import { kernelModel } from "../spec-tests/oracles/kernel-model.js";

const builds = await loadBuilds();

// Sizes that are and are not multiples of 4, 8 and 32; 1, 2, 3, 7 and 8 query heads per kv head.
const SHAPES: readonly Shape[] = [
  {
    name: "even sizes",
    hiddenSize: 64,
    intermediateSize: 96,
    numHeads: 4,
    numKvHeads: 2,
    headDim: 16,
    pageSize: 8,
    hasBiases: false,
    hasHeadNorms: false,
  },
  {
    name: "odd sizes",
    hiddenSize: 50,
    intermediateSize: 75,
    numHeads: 6,
    numKvHeads: 2,
    headDim: 10,
    pageSize: 8,
    hasBiases: true,
    hasHeadNorms: true,
  },
  {
    name: "one kv head",
    hiddenSize: 33,
    intermediateSize: 40,
    numHeads: 8,
    numKvHeads: 1,
    headDim: 6,
    pageSize: 4,
    hasBiases: true,
    hasHeadNorms: false,
  },
  {
    name: "seven query heads per kv head",
    hiddenSize: 28,
    intermediateSize: 31,
    numHeads: 14,
    numKvHeads: 2,
    headDim: 2,
    pageSize: 12,
    hasBiases: false,
    hasHeadNorms: true,
  },
  {
    name: "wide heads",
    hiddenSize: 40,
    intermediateSize: 64,
    numHeads: 2,
    numKvHeads: 2,
    headDim: 68,
    pageSize: 64,
    hasBiases: false,
    hasHeadNorms: false,
  },
];
const FORMATS = (["f32", "q8", "q4"] as const).flatMap((format) =>
  (["f32", "bf16", "q8"] as const).map((kvFormat) => [format, kvFormat] as const),
);

describe.each(SHAPES.slice(0, numCases(SHAPES.length)))("a decoder with $name", (shape) => {
  it.each(FORMATS)(
    "with %s weights and %s pages matches the reference, with the same bits in every build and row by row",
    (format, kvFormat) => {
      const model = randomModel(shape, format, kvFormat);
      const tokenIds = randomTokens(1, shape.pageSize + 13);
      const outputs = builds.map((kernels) => new PlacedDecoder(kernels, model, 64, 128).sequence(tokenIds, [64]));
      builds.forEach((kernels, i) => {
        expectSameBits(outputs[i]!, outputs[0]!, kernels.variant);
        const singly = new PlacedDecoder(kernels, model, 64, 128).sequence(tokenIds, [1]);
        expectSameBits(singly, outputs[0]!, `${kernels.variant}, row by row`);
      });

      const positions = [...tokenIds.keys()];
      const reference = kernelModel(model, ...angles(positions, shape.headDim));
      const expected = hiddenStates(reference, tokenIds).flat();
      outputs[0]!
        .flatMap((row) => Array.from(row))
        .forEach((value, i) => {
          const difference = Math.abs(value - expected[i]!.value);
          expect(difference, `element ${i}`).toBeLessThanOrEqual(MAX_DEVIATIONS * expected[i]!.deviation);
        });
    },
  );
});

describe("edge cases of a decoder", () => {
  const model = randomModel(SHAPES[0]!, "q8", "f32");
  const decoder = new PlacedDecoder(builds[0]!, model, 4, 16);

  it("propagates NaN from the weights to the hidden state", () => {
    const layers = model.layers.map((layer, i) =>
      i === 1 ? { ...layer, attentionNorm: layer.attentionNorm.map(() => NaN) } : layer,
    );
    for (const kernels of builds) {
      const [hidden] = new PlacedDecoder(kernels, { ...model, layers }, 4, 16).sequence([1], [1]);
      expect(hidden!.some(Number.isFinite)).toBe(false);
    }
  });

  it("refuses invalid passes", () => {
    const pages = decoder.pages(16);
    const row = { tokenId: 0, position: 0, pages };
    expect(() => decoder.pass([])).toThrow("A pass has 1 to 4 rows. Given: 0");
    expect(() => decoder.pass([row, row, row, row, row])).toThrow("A pass has 1 to 4 rows. Given: 5");
    expect(() => decoder.pass([{ ...row, tokenId: VOCABULARY }])).toThrow(
      "tokenId must be an integer in 0..20. Given: 21",
    );
    expect(() => decoder.pass([{ ...row, position: 16 }])).toThrow("position must be an integer in 0..15. Given: 16");
    expect(() => decoder.pass([{ ...row, position: 8, pages: pages.slice(0, 1) }])).toThrow(
      "pages.length must be an integer in 2..2. Given: 1",
    );
  });

  it("refuses scratch that the memory cannot hold", () => {
    const wide = randomModel({ ...SHAPES[4]!, pageSize: 4 }, "q8", "f32");
    expect(() => new PlacedDecoder(builds[0]!, wide, 1, 2 ** 24)).toThrow("limited to 4 GiB");
  });

  it("refuses inconsistent shapes", () => {
    const [layer] = model.layers;
    const broken = { ...model, layers: [{ ...layer!, down: layer!.qkv }] };
    expect(() => new PlacedDecoder(builds[0]!, broken, 4, 16)).toThrow(
      "layers.0.down must be [64, 96]. Given: [128, 64]",
    );
    expect(() => new PlacedDecoder(builds[0]!, { ...model, headDim: 15 }, 4, 16)).toThrow(
      "headDim / 2 must be an integer",
    );
    expect(() => new PlacedDecoder(builds[0]!, { ...model, numHeads: 3 }, 4, 16)).toThrow(
      "numHeads / numKvHeads must be an integer",
    );
  });
});

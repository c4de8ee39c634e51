import { afterAll, describe, expect, it } from "vitest";
import {
  type Address,
  Decoder,
  type DecoderRow,
  type KVFormat,
  Kernels,
  type MatrixFormat,
  kvPageByteLength,
} from "./index.js";
import { MAX_DEVIATIONS } from "../spec-tests/oracles/estimate.js";
import { hiddenStates } from "../spec-tests/oracles/forward.js";
import { type KernelModel, kernelModel } from "../spec-tests/oracles/kernel-model.js";
import {
  inFormat,
  loadBuilds,
  placeFloats,
  placeMatrix,
  randomFloats,
  randomNumbers,
} from "../spec-tests/fixtures/kernels.js";

const builds = await loadBuilds();
const threaded = [
  await Kernels.load({ numThreads: 2 }),
  await Kernels.load({ numThreads: 3 }),
  await Kernels.load({ variant: "scalar", numThreads: 2 }),
];
const nameOf = (kernels: Kernels) => `${kernels.variant} on ${kernels.numThreads}`;

afterAll(() => Promise.all(threaded.map((kernels) => kernels.close())));

interface Shape {
  readonly name: string;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly pageSize: number;
  readonly hasBiases: boolean;
  readonly hasHeadNorms: boolean;
}

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
const NUM_LAYERS = 2;
const VOCABULARY = 21;

/** Returns a random model in which every part affects the result. */
function randomModel(shape: Shape, format: MatrixFormat, kvFormat: KVFormat): KernelModel {
  let seed = 100;
  const { hiddenSize, intermediateSize, numHeads, numKvHeads, headDim } = shape;
  const matrix = (rows: number, cols: number) =>
    inFormat(
      format,
      randomFloats(seed++, rows * cols).map((value) => (value * 2) / Math.sqrt(cols)),
      rows,
      cols,
    );
  const norm = (length: number) => randomFloats(seed++, length).map((value) => 1 + value / 2);
  const numQkv = (numHeads + 2 * numKvHeads) * headDim;
  const bias = (length: number) => (shape.hasBiases ? randomFloats(seed++, length) : null);
  const headNorm = () => (shape.hasHeadNorms ? norm(headDim) : null);
  return {
    ...shape,
    normEpsilon: 1e-5,
    kvFormat,
    finalNorm: norm(hiddenSize),
    embedding: matrix(VOCABULARY, hiddenSize),
    layers: Array.from({ length: NUM_LAYERS }, () => ({
      inputNorm: norm(hiddenSize),
      qkv: matrix(numQkv, hiddenSize),
      qkvBias: bias(numQkv),
      qNorm: headNorm(),
      kNorm: headNorm(),
      output: matrix(hiddenSize, numHeads * headDim),
      outputBias: bias(hiddenSize),
      attentionNorm: norm(hiddenSize),
      gateUp: matrix(2 * intermediateSize, hiddenSize),
      down: matrix(hiddenSize, intermediateSize),
    })),
  };
}

/** The model in the memory of one build, with pages whose unwritten bytes would spoil a result that reads them. */
class Placed {
  readonly #kernels: Kernels;
  readonly #model: KernelModel;
  readonly #decoder: Decoder;

  constructor(kernels: Kernels, model: KernelModel, maxRows: number, contextLength: number) {
    const vector = (values: Float32Array | null) => (values === null ? null : placeFloats(kernels, values));
    this.#kernels = kernels;
    this.#model = model;
    this.#decoder = new Decoder(kernels, {
      ...model,
      maxRows,
      contextLength,
      finalNorm: placeFloats(kernels, model.finalNorm),
      embedding: placeMatrix(kernels, model.embedding),
      layers: model.layers.map((layer) => ({
        inputNorm: placeFloats(kernels, layer.inputNorm),
        qkv: placeMatrix(kernels, layer.qkv),
        qkvBias: vector(layer.qkvBias),
        qNorm: vector(layer.qNorm),
        kNorm: vector(layer.kNorm),
        output: placeMatrix(kernels, layer.output),
        outputBias: vector(layer.outputBias),
        attentionNorm: placeFloats(kernels, layer.attentionNorm),
        gateUp: placeMatrix(kernels, layer.gateUp),
        down: placeMatrix(kernels, layer.down),
      })),
    });
  }

  pages(numPositions: number): Address[] {
    const { pageSize, numKvHeads, headDim, kvFormat } = this.#model;
    const byteLength = kvPageByteLength({ numLayers: NUM_LAYERS, numKvHeads, headDim, pageSize, kvFormat });
    return Array.from({ length: Math.ceil(numPositions / pageSize) }, () => {
      const page = this.#kernels.allocate(byteLength);
      this.#kernels.bytes(page, byteLength).fill(255);
      return page;
    });
  }

  /** Runs one pass; returns f32 [hiddenSize] for each row. */
  pass(rows: readonly DecoderRow[]): Float32Array[] {
    const { headDim, hiddenSize } = this.#model;
    const [cos, sin] = angles(
      rows.map(({ position }) => position),
      headDim,
    );
    const hidden = this.#decoder.forward(rows, cos, sin);
    return rows.map((_, n) => this.#kernels.f32(hidden + n * hiddenSize * 4, hiddenSize).slice());
  }

  /** Runs a sequence from position 0 in passes of the given sizes; the last size repeats. */
  sequence(tokenIds: readonly number[], passSizes: readonly number[]): Float32Array[] {
    const pages = this.pages(tokenIds.length);
    const hidden: Float32Array[] = [];
    for (let pass = 0; hidden.length < tokenIds.length; pass++) {
      const first = hidden.length;
      const size = passSizes[Math.min(pass, passSizes.length - 1)]!;
      const rows = tokenIds.slice(first, first + size).map((tokenId, i) => ({ tokenId, position: first + i, pages }));
      hidden.push(...this.pass(rows));
    }
    return hidden;
  }
}

function angles(positions: readonly number[], headDim: number): [Float32Array, Float32Array] {
  const half = headDim / 2;
  const all = positions.flatMap((position) => Array.from({ length: half }, (_, i) => position / 100 ** (i / half)));
  return [Float32Array.from(all, Math.cos), Float32Array.from(all, Math.sin)];
}

function randomTokens(seed: number, count: number): number[] {
  const random = randomNumbers(seed);
  return Array.from({ length: count }, () => Math.floor(random() * VOCABULARY));
}

function expectSameBits(given: readonly Float32Array[], expected: readonly Float32Array[], what: string): void {
  const bits = (rows: readonly Float32Array[]) => rows.map((row) => Array.from(new Uint32Array(row.slice().buffer)));
  expect(bits(given), what).toEqual(bits(expected));
}

const FORMATS = (["f32", "q8", "q4"] as const).flatMap((format) =>
  (["f32", "q8"] as const).map((kvFormat) => [format, kvFormat] as const),
);

describe.each(SHAPES)("a decoder with $name", (shape) => {
  it.each(FORMATS)(
    "with %s weights and %s pages matches the reference, with the same bits in every build",
    (format, kvFormat) => {
      const model = randomModel(shape, format, kvFormat);
      const tokenIds = randomTokens(1, shape.pageSize + 13);
      const outputs = builds.map((kernels) => new Placed(kernels, model, 64, 128).sequence(tokenIds, [64]));
      builds.forEach((kernels, i) => expectSameBits(outputs[i]!, outputs[0]!, nameOf(kernels)));

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

/** A shape so large that even a pass of one row runs on all threads. */
const LARGE: Shape = {
  name: "several threads",
  hiddenSize: 200,
  intermediateSize: 600,
  numHeads: 6,
  numKvHeads: 3,
  headDim: 36,
  pageSize: 8,
  hasBiases: true,
  hasHeadNorms: true,
};

describe.each([
  ["q8", "f32"],
  ["q4", "q8"],
  ["f32", "f32"],
] as const)("a row's bits, %s weights and %s pages", (format, kvFormat) => {
  const model = randomModel(LARGE, format, kvFormat);
  const everyone = [...builds, ...threaded];
  const placed = everyone.map((kernels) => new Placed(kernels, model, 40, 96));
  const sequences = Array.from({ length: 8 }, (_, i) => randomTokens(10 + i, 3 + 5 * i));
  const alone = sequences.map((tokenIds) => placed[0]!.sequence(tokenIds, [1]));

  it("do not depend on the build, the number of threads or the division of the prompt into passes", () => {
    placed.forEach((decoder, i) => {
      for (const passSizes of [[1], [40], [2], [3, 1, 8, 5], [7]]) {
        expectSameBits(
          decoder.sequence(sequences[7]!, passSizes),
          alone[7]!,
          `${nameOf(everyone[i]!)}, passes of ${passSizes.join(", ")}`,
        );
      }
    });
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8])("do not depend on the other rows of a batch of %i", (size) => {
    for (const decoder of placed) {
      const batch = sequences.slice(8 - size);
      const pages = batch.map((tokenIds) => decoder.pages(tokenIds.length));
      const last = Math.max(...batch.map(({ length }) => length));
      for (let position = 0; position < last; position++) {
        const running = [...batch.keys()].filter((i) => position < batch[i]!.length);
        const hidden = decoder.pass(
          running.map((i) => ({ tokenId: batch[i]![position]!, position, pages: pages[i]! })),
        );
        expectSameBits(
          hidden,
          running.map((i) => alone[8 - size + i]![position]!),
          `position ${position}`,
        );
      }
    }
  });

  it("do not depend on prompts that run in the same pass, or on shared pages", () => {
    for (const decoder of placed) {
      const [a, b] = [sequences[7]!, sequences[3]!];
      const pages = decoder.pages(a.length);
      const others = decoder.pages(b.length);
      decoder.pass(a.slice(0, 16).map((tokenId, position) => ({ tokenId, position, pages })));
      // The rest of one prompt between the tokens of another, and a second sequence that shares the first two pages.
      const second = [...pages.slice(0, 2), ...decoder.pages(8)];
      const rows = [
        ...b.slice(0, 9).map((tokenId, position) => ({ tokenId, position, pages: others })),
        ...a.slice(16, 24).map((tokenId, i) => ({ tokenId, position: 16 + i, pages })),
        ...b.slice(9).map((tokenId, i) => ({ tokenId, position: 9 + i, pages: others })),
        { tokenId: a[16]!, position: 16, pages: second },
      ];
      const hidden = decoder.pass(rows);
      expectSameBits(
        hidden,
        [...alone[3]!.slice(0, 9), ...alone[7]!.slice(16, 24), ...alone[3]!.slice(9), alone[7]![16]!],
        "rows of two prompts",
      );
    }
  });
});

describe("edge cases of a decoder", () => {
  const model = randomModel(SHAPES[0]!, "q8", "f32");
  const decoder = new Placed(builds[0]!, model, 4, 16);

  it("propagates NaN from the weights to the hidden state", () => {
    const layers = model.layers.map((layer, i) =>
      i === 1 ? { ...layer, attentionNorm: layer.attentionNorm.map(() => NaN) } : layer,
    );
    for (const kernels of builds) {
      const [hidden] = new Placed(kernels, { ...model, layers }, 4, 16).sequence([1], [1]);
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
    expect(() => new Placed(builds[0]!, wide, 1, 2 ** 24)).toThrow("limited to 4 GiB");
  });

  it("refuses inconsistent shapes", () => {
    const [layer] = model.layers;
    const broken = { ...model, layers: [{ ...layer!, down: layer!.qkv }] };
    expect(() => new Placed(builds[0]!, broken, 4, 16)).toThrow("layers.0.down must be [64, 96]. Given: [128, 64]");
    expect(() => new Placed(builds[0]!, { ...model, headDim: 15 }, 4, 16)).toThrow("headDim / 2 must be an integer");
    expect(() => new Placed(builds[0]!, { ...model, numHeads: 3 }, 4, 16)).toThrow(
      "numHeads / numKvHeads must be an integer",
    );
  });
});

/** Compares the ONNX body in ONNX Runtime with the float64 forward pass, on random models of every architecture. */

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, afterAll, beforeAll, expect, test } from "vitest";

import { dequantize, quantize, type MatrixFormat } from "../../kernels/index.js";
import { asset, describeWithAssets } from "../../spec-tests/fixtures/assets.js";
import { equalizedTensors } from "../../spec-tests/oracles/equalized-weights.js";
import { writeRandomModel, type RandomTensor } from "../../spec-tests/fixtures/random-model.js";
import { largestDifference } from "../../spec-tests/fixtures/runners.js";
import { convert } from "../store/convert.js";
import { openPack, type ModelPack } from "../folder/pack.js";
import { openSession, Tensor, type Session } from "../runner/onnx-session.js";
import { valuesOf } from "../../spec-tests/oracles/estimate.js";
import { type FolderTensor, readTensors } from "../../spec-tests/oracles/folder-model.js";
import { ReferenceForward, hiddenStates } from "../../spec-tests/oracles/forward.js";
import { namedLogits, namedModel } from "../../spec-tests/oracles/named-model.js";
import { paddedHeadDim } from "../architecture/config.js";
import { RotaryEmbedding } from "../architecture/rope.js";

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "body-graph-"));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

const LLAMA3 = {
  rope_type: "llama3",
  factor: 4,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 32,
};

const MODELS: [string, Record<string, unknown>][] = [
  ["llama", {}],
  [
    "llama with biases, tied, linear scaling",
    { attention_bias: true, tie_word_embeddings: true, rope_scaling: { type: "linear", factor: 2 } },
  ],
  ["llama without grouping, llama3 scaling", { num_key_value_heads: 4, rope_scaling: LLAMA3 }],
  ["llama with one key head and an explicit head dimension", { num_key_value_heads: 1, head_dim: 10 }],
  ["mistral", { model_type: "mistral", sliding_window: null, head_dim: 32 }],
  ["qwen2", { model_type: "qwen2", num_attention_heads: 6 }],
  ["qwen3", { model_type: "qwen3", head_dim: 16, tie_word_embeddings: true }],
  ["qwen3 with biases", { model_type: "qwen3", head_dim: 6, attention_bias: true }],
];

const TOKENS = [5, 17, 200, 0, 256, 90, 90, 3, 41, 128, 77];

describe.each(MODELS)("%s", (name, config) => {
  test("hidden states, keys and values match the float64 forward pass, in chunks and in one run", async () => {
    const { pack, tensors } = await packed(name, config, "f32");
    const reference = new ReferenceForward(namedModel(pack.config, (tensor) => tensors.get(tensor)!.values));
    const expected = TOKENS.map((token) => valuesOf(reference.hidden(token)));
    const kept = (heads: ReferenceForward["keys"], layer: number) => heads[layer]!.map((all) => valuesOf(all.flat()));
    const embed = embedding(tensors);
    for (const chunks of [[11], [1, 1, 1, 8], [4, 7], [10, 1]]) {
      const body = await BodyRun.load(pack);
      const hidden: Float32Array[] = [];
      for (const size of chunks)
        hidden.push(...(await body.run(TOKENS.slice(hidden.length, hidden.length + size).map(embed))));
      expect(largestDifference(hidden, expected)).toBeLessThan(2e-5);
      for (let layer = 0; layer < pack.config.numLayers; layer++) {
        expect(largestDifference(body.rows("key", layer), kept(reference.keys, layer))).toBeLessThan(2e-5);
        expect(largestDifference(body.rows("value", layer), kept(reference.values, layer))).toBeLessThan(2e-5);
      }
      await body.release();
    }
  });
});

describe.each<MatrixFormat>(["q8", "q4"])("%s", (format) => {
  const config = { model_type: "qwen2", hidden_size: 72, num_attention_heads: 6, intermediate_size: 300 };

  test("the body computes with the kernels' weights, up to its int8 rounding", async () => {
    // Widths that are not a multiple of a block, biases on quantized products, inner slices of two widths.
    const { pack, tensors } = await packed(`${format} body`, config, format);
    const effective = await effectiveWeights(pack, tensors);
    const reference = namedModel(pack.config, (tensor) => effective.get(tensor)!.values);
    const expected = hiddenStates(reference, TOKENS).map(valuesOf);
    const body = await BodyRun.load(pack);
    const hidden = await body.run(TOKENS.map(embedding(tensors)));
    await body.release();
    // Rounding to steps of max / 127 leaves an error of 1 / (127 sqrt(12)) of the maximum, which is about three times a
    // row's root mean square. It happens twice (activations, weights) in each of eight products: 4 * 0.0068 for values
    // of order 1.
    expect(rootMeanSquare(hidden, expected)).toBeLessThan(0.027);
    expect(largestDifference(hidden, expected)).toBeLessThan(4 * 0.027);
  });

  describe("a row's result has the same bits", () => {
    const NUM_ROWS = 256;
    let body: { pack: ModelPack; rows: Float32Array[] };
    let expected: Uint8Array;
    beforeAll(async () => {
      const { pack, tensors } = await packed(`${format} rows`, config, format);
      const embed = embedding(tensors);
      body = { pack, rows: Array.from({ length: NUM_ROWS }, (_, i) => embed((i * i * 37 + i) % 257)) };
      expected = await bitsOf([64, 64, 64, 64], body.rows);
    });

    /** Returns the bits of all hidden states, and of the keys and values of a layer. */
    async function bitsOf(chunks: number[], rows: Float32Array[], options = {}, count = NUM_ROWS): Promise<Uint8Array> {
      const run = await BodyRun.load(body.pack, options);
      const hidden: Float32Array[] = [];
      for (const size of chunks) hidden.push(...(await run.run(rows.slice(hidden.length, hidden.length + size))));
      const kept = [hidden, run.rows("key", 1), run.rows("value", 1)].flatMap((all) => all.slice(0, count));
      await run.release();
      return Buffer.concat(kept.map((row) => new Uint8Array(row.slice().buffer)));
    }

    test.each([[[128, 128]], [[192, 64]], [[64, 192]], [[64, 128, 64]], [[256]]])(
      "in runs of %j rows",
      async (chunks) => {
        expect(Buffer.compare(await bitsOf(chunks, body.rows), expected)).toBe(0);
      },
    );

    test.each([{ numThreads: 2 }, { numThreads: 3 }, { capacity: 256 }, { capacity: 1024 }])(
      "with %j",
      async (options) => {
        expect(Buffer.compare(await bitsOf([64, 64, 64, 64], body.rows, options), expected)).toBe(0);
        expect(Buffer.compare(await bitsOf([256], body.rows, options), expected)).toBe(0);
      },
    );

    test.each([1, 20, 63, 64, 100, 191, 255])("whatever rows follow after %d", async (count) => {
      const first = await bitsOf([64, 64, 64, 64], body.rows, {}, count);
      for (const change of [() => 0, (value: number) => value * 1000, (value: number) => -value]) {
        const changed = body.rows.map((row, index) => (index < count ? row : row.map(change)));
        for (const chunks of [[64, 64, 64, 64], [256]])
          expect(Buffer.compare(await bitsOf(chunks, changed, {}, count), first)).toBe(0);
      }
    });
  });
});

describeWithAssets("stories260K", () => {
  test.each<[MatrixFormat, number]>([
    ["f32", 200],
    ["q8", 40],
  ])("%s: generates the first %d greedy tokens of the golden text", async (format, numTokens) => {
    const source = asset("stories260K");
    const golden = JSON.parse(await readFile(join(source, "golden_greedy_200.json"), "utf8")) as {
      token_ids: number[];
    };
    const tensors = readTensors(source);
    const out = join(scratch, `stories-${format}`);
    await convert(source, out, { quant: format });
    const pack = await openPack(out);
    const embed = embedding(tensors);
    const body = await BodyRun.load(pack);
    const generated: number[] = [];
    for (let token = 1; generated.length < numTokens; generated.push(token)) {
      const [hidden] = await body.run([embed(token)]);
      const logits = namedLogits(pack.config, (tensor) => tensors.get(tensor)!.values, hidden!);
      token = logits.indexOf(Math.max(...logits));
    }
    await body.release();
    expect(generated).toEqual(golden.token_ids.slice(0, numTokens));
  });
});

/** Runs a body chunk by chunk, and keeps its keys and values. */
class BodyRun {
  readonly #capacity: number;
  #numPositions = 0;
  /** [layer] -> f32 [1, kv_heads, capacity, bodyHeadDim] */
  readonly #kept: { key: Float32Array; value: Float32Array }[];
  readonly #rope: RotaryEmbedding;
  readonly #bodyHeadDim: number;

  private constructor(
    readonly pack: ModelPack,
    readonly session: Session,
    capacity: number,
  ) {
    const { numKvHeads, numLayers } = pack.config;
    this.#capacity = capacity;
    this.#rope = new RotaryEmbedding(pack.config);
    this.#bodyHeadDim = paddedHeadDim(pack.config);
    const room = (): Float32Array => new Float32Array(numKvHeads * capacity * this.#bodyHeadDim).fill(NaN);
    this.#kept = Array.from({ length: numLayers }, () => ({ key: room(), value: room() }));
  }

  static async load(pack: ModelPack, { numThreads = 1, capacity = 300 } = {}): Promise<BodyRun> {
    return new BodyRun(pack, await openSession(pack.bodyPath, { numThreads, optimizes: false }), capacity);
  }

  /** Runs one chunk: takes one f32 [hidden] per token, and returns the hidden states in the same form. */
  async run(embedded: Float32Array[]): Promise<Float32Array[]> {
    const { hiddenSize, headDim, numKvHeads, numLayers } = this.pack.config;
    const half = this.#bodyHeadDim / 2;
    const S = embedded.length;
    const end = this.#numPositions + S;
    const cos = new Float32Array(end * half);
    const sin = new Float32Array(end * half);
    for (let row = 0; row < end; row++) {
      const [from, to] = [row * half, row * half + headDim / 2];
      this.#rope.fill(row, cos.subarray(from, to), sin.subarray(from, to));
    }
    const input = new Float32Array(S * hiddenSize);
    for (const [row, values] of embedded.entries()) input.set(values, row * hiddenSize);
    const feeds: Record<string, Tensor> = {
      inputs_embeds: tensor(input, [S, hiddenSize]),
      rope_cos: tensor(cos, [end, half]),
      rope_sin: tensor(sin, [end, half]),
      last_position: new Tensor("int32", Int32Array.of(end - 1), [1]),
      num_positions: new Tensor("int32", Int32Array.of(end), []),
    };
    const fetches: Record<string, Tensor | null> = { hidden: null };
    const dims = [1, numKvHeads, this.#capacity, this.#bodyHeadDim];
    for (const [layer, planes] of this.#kept.entries()) {
      for (const plane of ["key", "value"] as const)
        feeds[`past_${plane}.${layer}`] = fetches[`${plane}.${layer}`] = tensor(planes[plane], dims);
    }
    const outputs = await this.session.run(feeds, fetches);
    assert.equal(Object.keys(outputs).length, 1 + 2 * numLayers);
    this.#numPositions = end;
    assert.deepEqual(outputs["hidden"]!.dims, [S, hiddenSize]);
    return rowsOf(outputs["hidden"]!.data as Float32Array, hiddenSize);
  }

  /** Returns what is kept of a layer in the reference's layout: [position] -> [kv_heads * head_dim] */
  rows(plane: "key" | "value", layer: number): Float32Array[] {
    const { headDim, numKvHeads } = this.pack.config;
    const kept = this.#kept[layer]![plane];
    const padding = (this.#bodyHeadDim - headDim) / 2;
    return Array.from({ length: this.#numPositions }, (_, position) =>
      Float32Array.from({ length: numKvHeads * headDim }, (_, index) => {
        const [head, i] = [Math.floor(index / headDim), index % headDim];
        const row = (head * this.#capacity + position) * this.#bodyHeadDim;
        return kept[row + i + (i < headDim / 2 ? 0 : padding)]!;
      }),
    );
  }

  async release(): Promise<void> {
    await this.session.release();
  }
}

function tensor(data: Float32Array, dims: number[]): Tensor {
  return new Tensor("float32", data, dims);
}

/** Returns the projections of a pack under their Hugging Face names, equalized and quantized as in the kernels. */
function effectiveWeights(
  pack: ModelPack,
  tensors: ReadonlyMap<string, RandomTensor>,
): Promise<Map<string, RandomTensor>> {
  const { format } = pack.manifest;
  return equalizedTensors(pack.config, tensors, (values, { name, kind, rows, cols }) =>
    kind === "vector" || format === "f32" || !name.startsWith("layers.")
      ? values
      : dequantize(quantize(format, values, rows, cols)),
  );
}

async function packed(
  name: string,
  config: Record<string, unknown>,
  format: MatrixFormat,
): Promise<{ pack: ModelPack; tensors: Map<string, RandomTensor> }> {
  const source = join(scratch, name, "source");
  const tensors = await writeRandomModel(source, { config, seed: name.length });
  await convert(source, join(scratch, name, "pack"), { quant: format });
  return { pack: await openPack(join(scratch, name, "pack")), tensors };
}

function embedding(tensors: ReadonlyMap<string, RandomTensor | FolderTensor>): (token: number) => Float32Array {
  const { shape, values } = tensors.get("model.embed_tokens.weight")!;
  return (token) => Float32Array.from(values.subarray(token * shape[1]!, (token + 1) * shape[1]!));
}

function rowsOf(values: Float32Array, width: number): Float32Array[] {
  return Array.from({ length: values.length / width }, (_, row) => values.subarray(row * width, (row + 1) * width));
}

function rootMeanSquare(actual: readonly ArrayLike<number>[], expected: readonly ArrayLike<number>[]): number {
  let squares = 0;
  for (const [row, values] of expected.entries())
    for (let i = 0; i < values.length; i++) squares += (actual[row]![i]! - values[i]!) ** 2;
  return Math.sqrt(squares / expected.length / expected[0]!.length);
}

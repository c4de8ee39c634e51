/**
 * Runs a pack's ONNX body in ONNX Runtime. The only file that imports onnxruntime-node.
 *
 * Passes have one fixed shape, a block of the grid (the last block of a prompt is padded, the padding
 * discarded), so that a position's result does not depend on how long the prompt is. Keys and values
 * belong to the engine: the past goes in, only the new positions come out.
 */

import * as ort from "onnxruntime-node";

import type { Kernels } from "../../kernels/index.js";
import { assert } from "../errors.js";
import type { PageTable } from "../kv-cache.js";
import type { ModelConfig } from "../model/config.js";
import { RotaryEmbedding } from "../model/rope.js";
import type { ForwardPass, ModelRunner } from "./model-runner.js";

/** Looks up token embeddings: writes f32 [hidden_size]. */
export type EmbeddingLookup = (tokenId: number, target: Float32Array) => void;

export interface OnnxRunnerOptions {
  /** Hold the pages of keys and values. */
  readonly kernels: Kernels;
  readonly bodyPath: string;
  readonly config: ModelConfig;
  readonly embed: EmbeddingLookup;
  readonly numThreads: number;
  /** Positions of one pass, at most; passes start at multiples of it. */
  readonly blockSize: number;
  /** Positions of a page of keys and values. */
  readonly pageSize: number;
}

type KVPlane = "key" | "value";

export class OnnxRunner implements ModelRunner {
  readonly #session: ort.InferenceSession;
  readonly #options: OnnxRunnerOptions;
  readonly #rope: RotaryEmbedding;
  readonly #outputNames: string[];
  readonly #past: Record<KVPlane, Float32Array>[];

  private constructor(session: ort.InferenceSession, options: OnnxRunnerOptions) {
    this.#session = session;
    this.#options = options;
    this.#rope = new RotaryEmbedding(options.config);
    this.#outputNames = ["hidden"];
    for (let layer = 0; layer < options.config.numLayers; layer++) {
      this.#outputNames.push(`key.${layer}`, `value.${layer}`);
    }
    this.#past = Array.from({ length: options.config.numLayers }, () => ({
      key: new Float32Array(0),
      value: new Float32Array(0),
    }));
  }

  static async load(options: OnnxRunnerOptions): Promise<OnnxRunner> {
    const session = await ort.InferenceSession.create(options.bodyPath, {
      executionProviders: ["cpu"],
      intraOpNumThreads: options.numThreads,
      interOpNumThreads: 1,
      graphOptimizationLevel: "all",
      logSeverityLevel: 3,
    });
    return new OnnxRunner(session, options);
  }

  /** A runner of the same session whose passes have another size; releasing either releases both. */
  withBlockSize(blockSize: number): OnnxRunner {
    return new OnnxRunner(this.#session, { ...this.#options, blockSize });
  }

  async forward(passes: readonly ForwardPass[]): Promise<Float32Array[]> {
    const hidden: Float32Array[] = [];
    for (const pass of passes) hidden.push(await this.#forward(pass));
    return hidden;
  }

  async release(): Promise<void> {
    await this.#session.release();
  }

  async #forward({ tokenIds, table }: ForwardPass): Promise<Float32Array> {
    const { blockSize, config } = this.#options;
    const count = tokenIds.length;
    const start = table.numPositions;
    assert(count >= 1 && count <= blockSize, "a pass holds one to blockSize tokens");
    assert(start % blockSize === 0, "a pass starts off the grid");

    const outputs = await this.#session.run(this.#feeds(tokenIds, start, table), this.#outputNames);

    table.extend(count);
    for (let layer = 0; layer < config.numLayers; layer++) {
      for (const plane of ["key", "value"] as const) {
        this.#writePages(table, layer, plane, start, count, floats(outputs, `${plane}.${layer}`));
      }
    }
    const { hiddenSize } = config;
    return floats(outputs, "hidden").slice((count - 1) * hiddenSize, count * hiddenSize);
  }

  #feeds(tokenIds: readonly number[], start: number, table: PageTable): Record<string, ort.Tensor> {
    const { blockSize: rows, embed } = this.#options;
    const { hiddenSize, headDim, numKvHeads, numLayers } = this.#options.config;
    const halfDim = headDim / 2;
    const embeddings = new Float32Array(rows * hiddenSize);
    const cos = new Float32Array(rows * halfDim);
    const sin = new Float32Array(rows * halfDim);
    for (let row = 0; row < rows; row++) {
      const tokenId = tokenIds[row];
      if (tokenId !== undefined) embed(tokenId, embeddings.subarray(row * hiddenSize, (row + 1) * hiddenSize));
      this.#rope.fill(
        start + row,
        cos.subarray(row * halfDim, (row + 1) * halfDim),
        sin.subarray(row * halfDim, (row + 1) * halfDim),
      );
    }
    const feeds: Record<string, ort.Tensor> = {
      inputs_embeds: new ort.Tensor("float32", embeddings, [rows, hiddenSize]),
      rope_cos: new ort.Tensor("float32", cos, [rows, halfDim]),
      rope_sin: new ort.Tensor("float32", sin, [rows, halfDim]),
      attention_bias: new ort.Tensor("float32", causalBias(rows, start), [rows, start + rows]),
    };
    for (let layer = 0; layer < numLayers; layer++) {
      for (const plane of ["key", "value"] as const) {
        const past = this.#pastBuffer(layer, plane, numKvHeads * start * headDim);
        this.#readPages(table, layer, plane, start, past);
        feeds[`past_${plane}.${layer}`] = new ort.Tensor("float32", past, [numKvHeads, start, headDim]);
      }
    }
    return feeds;
  }

  /** A staging buffer of `length` floats, kept between calls and grown by doubling. */
  #pastBuffer(layer: number, plane: KVPlane, length: number): Float32Array {
    const buffers = this.#past[layer];
    assert(buffers !== undefined, "layer without staging buffers");
    if (buffers[plane].length < length) buffers[plane] = new Float32Array(2 * length);
    return buffers[plane].subarray(0, length);
  }

  // The body's layout against the pages'. The body takes and gives both planes as [kv_heads, positions, D]; a page has
  // them by layer, plane and head, a head's values as [page_size][D] and its keys as [page_size / 4][D][4].

  /** Writes `count` positions from `start` on. source: f32 [kv_heads, blockSize, D] */
  #writePages(table: PageTable, layer: number, plane: KVPlane, start: number, count: number, source: Float32Array): void {
    const { blockSize, config } = this.#options;
    const { numKvHeads, headDim } = config;
    assert(source.length === numKvHeads * blockSize * headDim, "keys or values have another shape than the pass");
    this.#forEachPart(table, layer, plane, start, count, (part, head, inPage, done, length) => {
      const from = (head * blockSize + done) * headDim;
      for (let i = 0; i < length * headDim; i++) part[elementIndex(plane, headDim, inPage * headDim + i)] = source[from + i]!;
    });
  }

  /** Reads positions 0 to `count`. target: f32 [kv_heads, count, D] */
  #readPages(table: PageTable, layer: number, plane: KVPlane, count: number, target: Float32Array): void {
    const { numKvHeads, headDim } = this.#options.config;
    assert(target.length === numKvHeads * count * headDim, "keys or values have another shape than the past");
    this.#forEachPart(table, layer, plane, 0, count, (part, head, _inPage, done, length) => {
      const to = (head * count + done) * headDim;
      for (let i = 0; i < length * headDim; i++) target[to + i] = part[elementIndex(plane, headDim, i)]!;
    });
  }

  /** Visits one head's part of each page: (part, head, position in page, positions done before, positions in this part). */
  #forEachPart(
    { pages }: PageTable,
    layer: number,
    plane: KVPlane,
    start: number,
    count: number,
    visit: (part: Float32Array, head: number, inPage: number, done: number, length: number) => void,
  ): void {
    const { kernels, pageSize, config } = this.#options;
    const { numKvHeads, headDim } = config;
    const partLength = pageSize * headDim;
    for (let done = 0; done < count; ) {
      const inPage = (start + done) % pageSize;
      const length = Math.min(pageSize - inPage, count - done);
      const page = pages[Math.floor((start + done) / pageSize)];
      assert(page !== undefined, "a position without a page");
      for (let head = 0; head < numKvHeads; head++) {
        const index = (layer * 2 + (plane === "key" ? 0 : 1)) * numKvHeads + head;
        visit(kernels.f32(page + index * partLength * 4, partLength), head, inPage, done, length);
      }
      done += length;
    }
  }
}

/** Where element `i` of [page_size][D] lies in a head's part of a page. */
function elementIndex(plane: KVPlane, headDim: number, i: number): number {
  if (plane === "value") return i;
  const position = Math.floor(i / headDim);
  return (position - (position % 4)) * headDim + (i % headDim) * 4 + (position % 4);
}

/** Additive mask, f32 [rows, past + rows]: row r sees the past and rows 0 to r. */
function causalBias(rows: number, past: number): Float32Array {
  const hidden = -3e38;
  const bias = new Float32Array(rows * (past + rows));
  for (let row = 0; row < rows; row++) {
    bias.fill(hidden, row * (past + rows) + past + row + 1, (row + 1) * (past + rows));
  }
  return bias;
}

function floats(outputs: ort.InferenceSession.OnnxValueMapType, name: string): Float32Array {
  const data = outputs[name]?.data;
  assert(data instanceof Float32Array, `the body has no float output ${name}`);
  return data;
}

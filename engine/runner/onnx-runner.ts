/**
 * Runs a pack's ONNX body in ONNX Runtime. The only file that imports onnxruntime-node.
 *
 * Prompt blocks have one fixed shape (the last block is padded, the padding discarded), so that a
 * position's result does not depend on how long the prompt is. Keys and values belong to the engine:
 * the past goes in, only the new positions come out.
 */

import * as ort from "onnxruntime-node";

import { assert } from "../errors.js";
import { grouped, type KVPlane, type PageTable } from "../kv-cache.js";
import type { ModelConfig } from "../model/config.js";
import { RotaryEmbedding } from "../model/rope.js";
import type { ForwardPass, ModelRunner } from "./model-runner.js";

/** Looks up token embeddings: writes f32 [hidden_size]. */
export type EmbeddingLookup = (tokenId: number, target: Float32Array) => void;

export interface OnnxRunnerOptions {
  readonly bodyPath: string;
  readonly config: ModelConfig;
  readonly embed: EmbeddingLookup;
  readonly numThreads: number;
  readonly blockSize: number;
}

export class OnnxRunner implements ModelRunner {
  readonly blockSize: number;
  readonly #session: ort.InferenceSession;
  readonly #config: ModelConfig;
  readonly #embed: EmbeddingLookup;
  readonly #rope: RotaryEmbedding;
  readonly #outputNames: string[];
  readonly #past: Record<KVPlane, Float32Array>[];

  private constructor(session: ort.InferenceSession, options: OnnxRunnerOptions) {
    this.blockSize = options.blockSize;
    this.#session = session;
    this.#config = options.config;
    this.#embed = options.embed;
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
      extra: { session: SESSION_CONFIG },
    });
    return new OnnxRunner(session, options);
  }

  async forward(pass: ForwardPass): Promise<Float32Array> {
    const { hiddenSize } = this.#config;
    return (await this.forwardEach(pass)).subarray((pass.tokenIds.length - 1) * hiddenSize);
  }

  /**
   * Runs one pass like `forward`, for whoever needs every position.
   * @returns f32 [tokens of the pass, hidden_size]
   */
  async forwardEach({ phase, tokenIds, table }: ForwardPass): Promise<Float32Array> {
    const count = tokenIds.length;
    const start = table.numPositions;
    const rows = phase === "prefill" ? this.blockSize : grouped(1);
    assert(count >= 1 && count <= rows, "a pass holds one to blockSize tokens");
    assert(phase === "decode" || start % this.blockSize === 0, "a prompt block starts off the grid");

    const outputs = await this.#session.run(this.#feeds(tokenIds, rows, start, table), this.#outputNames);

    table.extend(count);
    for (let layer = 0; layer < this.#config.numLayers; layer++) {
      table.write(layer, start, count, floats(outputs, `key.${layer}`), floats(outputs, `value.${layer}`), rows);
    }
    return floats(outputs, "hidden").subarray(0, count * this.#config.hiddenSize);
  }

  async release(): Promise<void> {
    await this.#session.release();
  }

  #feeds(tokenIds: readonly number[], rows: number, start: number, table: PageTable): Record<string, ort.Tensor> {
    const { hiddenSize, headDim, numKvHeads, numLayers } = this.#config;
    const halfDim = headDim / 2;
    const embeddings = new Float32Array(rows * hiddenSize);
    const cos = new Float32Array(rows * halfDim);
    const sin = new Float32Array(rows * halfDim);
    for (let row = 0; row < rows; row++) {
      const tokenId = tokenIds[row];
      if (tokenId !== undefined) this.#embed(tokenId, embeddings.subarray(row * hiddenSize, (row + 1) * hiddenSize));
      this.#rope.fill(
        start + row,
        cos.subarray(row * halfDim, (row + 1) * halfDim),
        sin.subarray(row * halfDim, (row + 1) * halfDim),
      );
    }
    const past = grouped(start);
    const feeds: Record<string, ort.Tensor> = {
      inputs_embeds: new ort.Tensor("float32", embeddings, [rows, hiddenSize]),
      rope_cos: new ort.Tensor("float32", cos, [rows, halfDim]),
      rope_sin: new ort.Tensor("float32", sin, [rows, halfDim]),
      attention_bias: new ort.Tensor("float32", causalBias(rows, start), [rows, past + rows]),
    };
    for (let layer = 0; layer < numLayers; layer++) {
      const keys = this.#pastBuffer(layer, "key", numKvHeads * past * headDim);
      const values = this.#pastBuffer(layer, "value", numKvHeads * past * headDim);
      table.read(layer, past, keys, values);
      feeds[`past_key.${layer}`] = new ort.Tensor("float32", keys, [numKvHeads, past / 4, headDim, 4]);
      feeds[`past_value.${layer}`] = new ort.Tensor("float32", values, [numKvHeads, past, headDim]);
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
}

/**
 * Processors without VNNI add pairs of products of unsigned and signed bytes with saturation: for them ONNX Runtime
 * then takes another product, slower and right.
 */
const SESSION_CONFIG = { x64quantprecision: "1" };

/** Additive mask, f32 [rows, grouped past + rows]: row r sees the past and rows 0 to r. */
function causalBias(rows: number, past: number): Float32Array {
  const hidden = -3e38;
  const width = grouped(past) + rows;
  const bias = new Float32Array(rows * width);
  for (let row = 0; row < rows; row++) {
    bias.fill(hidden, row * width + past, row * width + grouped(past));
    bias.fill(hidden, row * width + grouped(past) + row + 1, (row + 1) * width);
  }
  return bias;
}

function floats(outputs: ort.InferenceSession.OnnxValueMapType, name: string): Float32Array {
  const data = outputs[name]?.data;
  assert(data instanceof Float32Array, `the body has no float output ${name}`);
  return data;
}

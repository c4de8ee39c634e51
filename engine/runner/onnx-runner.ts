/**
 * Runs the blocks of a prompt: a pack's ONNX body in ONNX Runtime.
 *
 * All blocks have the same shape and start at multiples of the block size (the last block of a prompt is padded, and
 * the padding discarded), so the result of a position does not depend on the length of the prompt. Keys and values
 * belong to the engine: the past is an input, and only the new positions are outputs. A block fills a page, and the
 * body takes and returns keys and values in the layout of a page, so they are only copied.
 */

import type { Address, Kernels } from "../../kernels/index.js";
import { assert, EngineError } from "../errors.js";
import { RotaryEmbedding, type ModelConfig } from "../architecture/index.js";
import { readOnnxFile } from "../formats/index.js";
import type { EachTokenRunner, ForwardPass, ModelRunner } from "./model-runner.js";
import { graphError, openSession, Tensor, type Outputs, type Session } from "./onnx-session.js";

/** Looks up the embedding of a token and writes it to `target`, f32 [hidden_size]. */
export type EmbeddingLookup = (tokenId: number, target: Float32Array) => void;

export interface OnnxRunnerOptions {
  /** Kernels whose memory holds the pages of keys and values. */
  readonly kernels: Kernels;
  readonly bodyPath: string;
  readonly config: ModelConfig;
  readonly embed: EmbeddingLookup;
  readonly numThreads: number;
  /** Positions per block and per KV cache page; a multiple of 4. */
  readonly blockSize: number;
}

const PLANES = ["key", "value"] as const;
type Plane = (typeof PLANES)[number];

export class OnnxRunner implements ModelRunner, EachTokenRunner {
  readonly #session: Session;
  readonly #options: OnnxRunnerOptions;
  readonly #rope: RotaryEmbedding;
  readonly #outputNames: string[];
  /** Staging buffers for past keys and values of each layer, kept between calls. */
  readonly #past: Record<Plane, Float32Array>[];

  private constructor(session: Session, options: OnnxRunnerOptions) {
    this.#session = session;
    this.#options = options;
    this.#rope = new RotaryEmbedding(options.config);
    const layers = Array.from({ length: options.config.numLayers }, (_, layer) => layer);
    this.#outputNames = ["hidden", ...layers.flatMap((layer) => PLANES.map((plane) => `${plane}.${layer}`))];
    this.#past = layers.map(() => ({ key: new Float32Array(0), value: new Float32Array(0) }));
  }

  /**
   * Opens the body and runs four positions, the smallest block, so that a body that cannot run is refused here.
   * @throws EngineError `invalid_model` with the error of ONNX Runtime
   */
  static async load(options: OnnxRunnerOptions): Promise<OnnxRunner> {
    const { bodyPath, numThreads } = options;
    let session: Session | null = null;
    try {
      // ONNX Runtime opens the files of external weights, and would wait for a pipe among them.
      readOnnxFile(bodyPath);
      // The graph is already in its final form: optimizing it gains nothing and takes a third of the opening time.
      session = await openSession(bodyPath, { numThreads, optimizes: false });
      const runner = new OnnxRunner(session, options);
      await runner.#probe();
      return runner;
    } catch (cause) {
      await session?.release();
      throw graphError(bodyPath, cause);
    }
  }

  async forward(passes: readonly ForwardPass[]): Promise<Float32Array[]> {
    const { hiddenSize } = this.#options.config;
    const last: Float32Array[] = [];
    for (const pass of passes) last.push((await this.forwardEach(pass)).slice(-hiddenSize));
    return last;
  }

  /** Runs one block: a pass holds 1 to blockSize tokens. */
  async forwardEach({ tokenIds, table }: ForwardPass): Promise<Float32Array> {
    const { blockSize, config } = this.#options;
    const count = tokenIds.length;
    const start = table.numPositions;
    assert(count >= 1 && count <= blockSize, "a block must hold 1 to blockSize tokens");
    assert(start % blockSize === 0, "a prompt block must start at a multiple of the block size");

    const outputs = await this.#session.run(this.#feeds(tokenIds, start, table.pages, blockSize), this.#outputNames);

    table.extend(count);
    const page = table.pages[start / blockSize]!;
    for (let layer = 0; layer < config.numLayers; layer++) {
      for (const plane of PLANES) this.#inPage(page, layer, plane).set(floats(outputs, `${plane}.${layer}`));
    }
    return floats(outputs, "hidden").subarray(0, count * config.hiddenSize);
  }

  async release(): Promise<void> {
    await this.#session.release();
  }

  /** Checks the sizes of all outputs, which shows a body of another model. */
  async #probe(): Promise<void> {
    const { bodyPath, config } = this.#options;
    const outputs = await this.#session.run(this.#feeds([0], 0, [], KEY_GROUP), this.#outputNames);
    for (const name of this.#outputNames) {
      const length = KEY_GROUP * (name === "hidden" ? config.hiddenSize : config.numKvHeads * config.headDim);
      const data = outputs[name]?.data;
      if (data instanceof Float32Array && data.length === length) continue;
      const given = `${outputs[name]?.type ?? "no output"} [${outputs[name]?.dims.join(", ") ?? ""}]`;
      throw new EngineError("invalid_model", `${bodyPath}: ${name} is ${given}, not ${length} numbers of float32`);
    }
  }

  #feeds(tokenIds: readonly number[], start: number, pages: readonly Address[], rows: number): Record<string, Tensor> {
    const { embed } = this.#options;
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
    const feeds: Record<string, Tensor> = {
      inputs_embeds: new Tensor("float32", embeddings, [rows, hiddenSize]),
      rope_cos: new Tensor("float32", cos, [rows, halfDim]),
      rope_sin: new Tensor("float32", sin, [rows, halfDim]),
      attention_bias: new Tensor("float32", causalBias(rows, start), [rows, start + rows]),
    };
    const past = pages.slice(0, start / rows);
    for (let layer = 0; layer < numLayers; layer++) {
      const keys = this.#readPages(past, layer, "key");
      const values = this.#readPages(past, layer, "value");
      feeds[`past_key.${layer}`] = new Tensor("float32", keys, [numKvHeads, start / KEY_GROUP, headDim, KEY_GROUP]);
      feeds[`past_value.${layer}`] = new Tensor("float32", values, [numKvHeads, start, headDim]);
    }
    return feeds;
  }

  /** Copies the keys or values of one layer from all pages, rearranged from [page][head] to [head][page]. */
  #readPages(pages: readonly Address[], layer: number, plane: Plane): Float32Array {
    const { numKvHeads, headDim } = this.#options.config;
    const length = this.#options.blockSize * headDim;
    const needed = pages.length * numKvHeads * length;
    const buffers = this.#past[layer]!;
    if (buffers[plane].length < needed) buffers[plane] = new Float32Array(2 * needed);
    const past = buffers[plane].subarray(0, needed);
    for (const [index, page] of pages.entries()) {
      const heads = this.#inPage(page, layer, plane);
      for (let head = 0; head < numKvHeads; head++) {
        past.set(heads.subarray(head * length, (head + 1) * length), (head * pages.length + index) * length);
      }
    }
    return past;
  }

  /** Returns the keys or values of one layer in a page, f32 [kv_heads, blockSize * head_dim] (kernels/layout.md). */
  #inPage(page: Address, layer: number, plane: Plane): Float32Array {
    const { numKvHeads, headDim } = this.#options.config;
    const length = numKvHeads * this.#options.blockSize * headDim;
    return this.#options.kernels.f32(page + (layer * PLANES.length + PLANES.indexOf(plane)) * length * 4, length);
  }
}

/** Keys are stored in groups of this many positions: f32 [positions / 4][head_dim][4]. */
const KEY_GROUP = 4;

/** Returns the additive causal mask, f32 [rows, past + rows]: row r sees the past and rows 0 to r. */
function causalBias(rows: number, past: number): Float32Array {
  const hidden = -3e38;
  const bias = new Float32Array(rows * (past + rows));
  for (let row = 0; row < rows; row++) {
    bias.fill(hidden, row * (past + rows) + past + row + 1, (row + 1) * (past + rows));
  }
  return bias;
}

function floats(outputs: Outputs, name: string): Float32Array {
  const data = outputs[name]?.data;
  assert(data instanceof Float32Array, `the body has no float output ${name}`);
  return data;
}

/**
 * Runs the blocks of a prompt: a pack's ONNX body in ONNX Runtime.
 *
 * Blocks start at multiples of the block size, and a run holds whole blocks (the last block of a prompt is padded, and
 * the padding discarded), so the result of a position does not depend on the length of the prompt. The body reads and
 * appends keys and values in memory of the runner, which it gets as input and as output, so nothing is copied there; a
 * block's keys and values are then copied to the pages of the cache.
 *
 * Pages of another format than f32 round keys and values. Then a run holds one block, and its keys and values are read
 * back from the page, so that later blocks see the same numbers whether the memory has been kept or filled from pages.
 */

import { KVPartCopier, type Address, type Kernels, type KVFormat, type KVPlane } from "../../kernels/index.js";
import { assert, EngineError } from "../errors.js";
import { LIMITS } from "../limits.js";
import { paddedHeadDim, RotaryEmbedding, type ModelConfig } from "../architecture/index.js";
import { readOnnxFile } from "../formats/index.js";
import type { EachTokenRunner, ForwardPass, KVTable, ModelRunner } from "./model-runner.js";
import { graphError, openSession, runSession, Tensor, type Outputs, type Session } from "./onnx-session.js";

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
  readonly kvFormat: KVFormat;
}

const PLANES: readonly KVPlane[] = ["key", "value"];

export class OnnxRunner implements ModelRunner, EachTokenRunner {
  readonly #session: Session;
  readonly #options: OnnxRunnerOptions;
  readonly #rope: RotaryEmbedding;
  /** Dimension of a head in the body, which pads each half of a head with zeros. */
  readonly #bodyHeadDim: number;
  readonly #copier: KVPartCopier;
  #angles: Angles = { capacity: 0, cos: new Float32Array(0), sin: new Float32Array(0) };
  /** Positions whose angles are computed. */
  #numAngles = 0;
  #staged: StagedSequence | null = null;

  private constructor(session: Session, options: OnnxRunnerOptions) {
    this.#session = session;
    this.#options = options;
    this.#rope = new RotaryEmbedding(options.config);
    this.#bodyHeadDim = paddedHeadDim(options.config);
    const { kernels, config, blockSize: pageSize, kvFormat } = options;
    this.#copier = new KVPartCopier(kernels, { headDim: config.headDim, pageSize, kvFormat }, this.#bodyHeadDim);
  }

  /**
   * Opens the body and runs one position, so that a body that cannot run is refused here.
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
    return (await this.forwardEach(passes)).map((hidden) => hidden.slice(-hiddenSize));
  }

  async forwardEach(passes: readonly ForwardPass[]): Promise<Float32Array[]> {
    const hidden: Float32Array[] = [];
    for (const pass of passes) hidden.push(await this.#forward(pass));
    return hidden;
  }

  endPrompts(): void {
    this.#staged = null;
  }

  async release(): Promise<void> {
    await this.#session.release();
  }

  async #forward({ tokenIds, table, promptLength = 0 }: ForwardPass): Promise<Float32Array> {
    const { blockSize, config } = this.#options;
    assert(tokenIds.length >= 1, "a pass holds at least one token");
    assert(table.numPositions % blockSize === 0, "a prompt block must start at a multiple of the block size");
    const hidden = new Float32Array(tokenIds.length * config.hiddenSize);
    const end = Math.max(promptLength, table.numPositions + tokenIds.length);
    const numRows = blockSize * this.#numBlocks(end);
    for (let done = 0; done < tokenIds.length; done += numRows)
      hidden.set(await this.#runBlocks(tokenIds.slice(done, done + numRows), table, end), done * config.hiddenSize);
    return hidden;
  }

  /** Checks the size of the hidden state, which shows a body of another model; the other outputs have a given size. */
  async #probe(): Promise<void> {
    const { bodyPath, config } = this.#options;
    const outputs = await this.#run([0], 1, 0, this.#room(1));
    const { data, type, dims } = outputs["hidden"] ?? { data: null, type: "no output", dims: [] };
    if (data instanceof Float32Array && data.length === config.hiddenSize) return;
    const given = `${type} [${dims.join(", ")}]`;
    throw new EngineError(
      "invalid_model",
      `${bodyPath}: hidden is ${given}, not ${config.hiddenSize} numbers of float32`,
    );
  }

  /** Returns the number of blocks of a prompt that run together: one, or as many as scores of a bounded size allow. */
  #numBlocks(promptLength: number): number {
    const { blockSize, config, kvFormat } = this.#options;
    if (kvFormat !== "f32") return 1;
    const scoresBytes = 4 * config.numHeads * blockSize * promptLength;
    return Math.max(1, Math.min(LIMITS.maxPromptBlocks, Math.floor(LIMITS.maxScoresBytes / scoresBytes)));
  }

  /** Runs the blocks that hold some tokens. */
  async #runBlocks(tokenIds: readonly number[], table: KVTable, promptLength: number): Promise<Float32Array> {
    const { blockSize, config, kvFormat } = this.#options;
    const start = table.numPositions;
    const end = start + tokenIds.length;
    const rows = Math.ceil(tokenIds.length / blockSize) * blockSize;
    const staging = this.#stage(table, start, Math.max(start + rows, Math.ceil(promptLength / blockSize) * blockSize));
    const outputs = await this.#run(tokenIds, rows, start, staging);

    table.extend(tokenIds.length);
    for (let position = start; position < end; position += blockSize) {
      const page = table.pages[position / blockSize]!;
      this.#copyBlock(staging, position, page, "to page");
      // The next block reads the rounded numbers, as it would if another prompt had run in between.
      if (kvFormat !== "f32" && position + blockSize <= end) this.#copyBlock(staging, position, page, "from page");
    }
    this.#staged = { ...staging, table, numPositions: end };
    return floats(outputs, "hidden").subarray(0, tokenIds.length * config.hiddenSize);
  }

  /**
   * Runs `rows` positions from `start` on; the last ones are padding.
   * @throws EngineError `invalid_model` with the error of ONNX Runtime
   */
  #run(tokenIds: readonly number[], rows: number, start: number, staging: Staging): Promise<Outputs> {
    const { bodyPath, embed, config } = this.#options;
    const { hiddenSize, numKvHeads } = config;
    const embeddings = new Float32Array(rows * hiddenSize);
    for (const [row, tokenId] of tokenIds.entries())
      embed(tokenId, embeddings.subarray(row * hiddenSize, (row + 1) * hiddenSize));
    const { cos, sin, capacity } = this.#anglesFor(start + rows);
    const halfDim = this.#bodyHeadDim / 2;
    const feeds: Record<string, Tensor> = {
      inputs_embeds: new Tensor("float32", embeddings, [rows, hiddenSize]),
      rope_cos: new Tensor("float32", cos, [capacity, halfDim]),
      rope_sin: new Tensor("float32", sin, [capacity, halfDim]),
      last_position: new Tensor("int32", Int32Array.of(start + rows - 1), [1]),
      num_positions: new Tensor("int32", Int32Array.of(start + rows), []),
    };
    const fetches: Record<string, Tensor | null> = { hidden: null };
    for (const [layer, planes] of staging.layers.entries()) {
      for (const plane of PLANES) {
        const tensor = new Tensor("float32", planes[plane], [1, numKvHeads, staging.capacity, this.#bodyHeadDim]);
        feeds[`past_${plane}.${layer}`] = tensor;
        fetches[`${plane}.${layer}`] = tensor;
      }
    }
    return runSession(this.#session, bodyPath, feeds, fetches);
  }

  /** Returns angles of which those of the first `count` positions are computed. */
  #anglesFor(count: number): Angles {
    if (this.#angles.capacity < count) this.#angles = this.#enlarged(this.#angles, count);
    const { cos, sin } = this.#angles;
    const halfDim = this.#bodyHeadDim / 2;
    for (; this.#numAngles < count; this.#numAngles++) {
      const from = this.#numAngles * halfDim;
      const to = from + this.#options.config.headDim / 2;
      this.#rope.fill(this.#numAngles, cos.subarray(from, to), sin.subarray(from, to));
    }
    return this.#angles;
  }

  #enlarged({ capacity: present, cos: oldCos, sin: oldSin }: Angles, needed: number): Angles {
    const capacity = this.#grown(needed, present);
    const cos = new Float32Array((capacity * this.#bodyHeadDim) / 2);
    const sin = new Float32Array(cos.length);
    cos.set(oldCos);
    sin.set(oldSin);
    return { capacity, cos, sin };
  }

  /** Returns memory with the keys and values of the positions before `start`, and room up to `end`. */
  #stage(table: KVTable, start: number, end: number): Staging {
    const { blockSize } = this.#options;
    const last = this.#staged;
    // The memory is in use until the run ends; if the run fails, it is not used again.
    this.#staged = null;
    const isContinued = last !== null && last.table === table && last.numPositions === start;
    if (isContinued && last.capacity >= end) return last;
    const capacity = isContinued ? this.#grown(end, last.capacity) : end;
    const staging = last !== null && last.capacity >= capacity ? last : this.#room(capacity);
    for (let position = 0; position < start; position += blockSize)
      this.#copyBlock(staging, position, table.pages[position / blockSize]!, "from page");
    return staging;
  }

  /** Returns a number of positions that is at least `needed`, and twice the present one if the context may need it. */
  #grown(needed: number, present: number): number {
    const { blockSize, config } = this.#options;
    return Math.max(needed, Math.min(2 * present, Math.ceil(config.contextLength / blockSize) * blockSize));
  }

  #room(capacity: number): Staging {
    const { numLayers, numKvHeads } = this.#options.config;
    const length = numKvHeads * capacity * this.#bodyHeadDim;
    const layers = Array.from({ length: numLayers }, () => ({
      key: new Float32Array(length),
      value: new Float32Array(length),
    }));
    return { capacity, layers };
  }

  /** Copies the keys and values of one block between the memory of the body and a page. */
  #copyBlock(staging: Staging, position: number, page: Address, direction: "to page" | "from page"): void {
    const { blockSize, config } = this.#options;
    const copier = this.#copier;
    const length = blockSize * this.#bodyHeadDim;
    let part = page;
    for (const planes of staging.layers) {
      for (const plane of PLANES) {
        for (let head = 0; head < config.numKvHeads; head++, part += copier.partByteLength) {
          const first = (head * staging.capacity + position) * this.#bodyHeadDim;
          const rows = planes[plane].subarray(first, first + length);
          if (direction === "to page") copier.write(part, plane, rows);
          else copier.read(part, plane, rows);
        }
      }
    }
  }
}

interface Angles {
  /** Positions for which there is room. */
  readonly capacity: number;
  /** f32 [capacity, bodyHeadDim / 2] */
  readonly cos: Float32Array;
  readonly sin: Float32Array;
}

/** Memory in which the body reads and appends keys and values: f32 [kv_heads, capacity, bodyHeadDim] for each plane. */
interface Staging {
  /** Positions for which there is room. */
  readonly capacity: number;
  readonly layers: readonly Readonly<Record<KVPlane, Float32Array>>[];
}

/** The sequence whose keys and values are in memory of the body. */
interface StagedSequence extends Staging {
  readonly table: KVTable;
  readonly numPositions: number;
}

function floats(outputs: Outputs, name: string): Float32Array {
  const data = outputs[name]?.data;
  assert(data instanceof Float32Array, `the body has no float output ${name}`);
  return data;
}

/**
 * Runs a whole decoder from a folder of ONNX files in ONNX Runtime, both prompts and generated tokens.
 *
 * Keys and values belong to the engine and are stored in its pages. This runner defines their layout: for each cache
 * tensor, in the graph's order, [heads][positions][head_dim] in the graph's number type. A session takes the whole past
 * on every call, through staging buffers that are kept, and returns only the new positions.
 *
 * Prompt blocks start at multiples of the block size, and all but the last are full, so a full block is always computed
 * in the same shape. Passes run one after the other.
 */

import type { Address, Kernels } from "../../kernels/index.js";
import { assert, EngineError } from "../errors.js";
import type { CacheTensor, FloatType, IntegerInputName, IntegerType, OnnxFolder } from "../folder/index.js";
import { halfTable, widenHalf } from "../formats/index.js";
import type { ForwardPass, ModelRunner } from "./model-runner.js";
import { graphError, openSession, runSession, Tensor, type Outputs, type Session } from "./onnx-session.js";

export interface OnnxGraphRunnerOptions {
  /** Kernels whose memory holds the pages of keys and values. */
  readonly kernels: Kernels;
  readonly folder: OnnxFolder;
  readonly numThreads: number;
  /** Positions per page. */
  readonly pageSize: number;
}

/** Returns the bytes per page, which holds the keys and values of `pageSize` positions. */
export function graphPageByteLength(caches: readonly CacheTensor[], pageSize: number): number {
  return caches.reduce((sum, cache) => sum + planeByteLength(cache, pageSize), 0);
}

export class OnnxGraphRunner implements ModelRunner {
  readonly #session: Session;
  readonly #options: OnnxGraphRunnerOptions;
  readonly #planes: readonly Plane[];
  readonly #fetches: Readonly<Record<string, null>>;
  readonly #pageByteLength: number;
  #halfTable: Float32Array | null = null;

  private constructor(session: Session, options: OnnxGraphRunnerOptions) {
    const { caches, output } = options.folder.decoder;
    this.#session = session;
    this.#options = options;
    this.#fetches = Object.fromEntries([output, ...caches.map(({ added }) => added)].map((name) => [name, null]));
    this.#pageByteLength = graphPageByteLength(caches, options.pageSize);
    let offset = 0;
    this.#planes = caches.map((cache) => {
      const plane = {
        ...cache,
        offset,
        rowBytes: cache.headDim * BYTES_PER_ELEMENT[cache.type],
        staging: new Uint8Array(0),
      };
      offset += planeByteLength(cache, options.pageSize);
      return plane;
    });
  }

  /**
   * Opens the graph and runs one token, so that a graph that cannot run is refused here.
   * @throws EngineError `invalid_model` with the error of ONNX Runtime
   */
  static async load(options: OnnxGraphRunnerOptions): Promise<OnnxGraphRunner> {
    const { path, decoder } = options.folder;
    let session: Session | null = null;
    try {
      const { bytes, weightsFolder } = decoder.rewritten;
      session = await openSession(bytes, {
        numThreads: options.numThreads,
        optimizes: true,
        alternates: true,
        weightsFolder,
      });
      const runner = new OnnxGraphRunner(session, options);
      await runner.#probe();
      return runner;
    } catch (cause) {
      await session?.release();
      throw graphError(path, cause);
    }
  }

  async forward(passes: readonly ForwardPass[]): Promise<Float32Array[]> {
    const rows: Float32Array[] = [];
    for (const pass of passes) rows.push(await this.#forward(pass));
    return rows;
  }

  async release(): Promise<void> {
    await this.#session.release();
  }

  async #forward({ tokenIds, table }: ForwardPass): Promise<Float32Array> {
    const start = table.numPositions;
    const outputs = await this.#run(tokenIds, start, table.pages);
    table.extend(tokenIds.length);
    this.#writePages(outputs, table.pages, start, tokenIds.length);
    return this.#lastRow(outputs);
  }

  /** Runs one token and checks its outputs, which shows wrong shapes and sizes in the file. */
  async #probe(): Promise<void> {
    const { path, decoder } = this.#options.folder;
    const outputs = await this.#run([0], 0, []);
    for (const { added, past, numHeads, headDim, type } of this.#planes) {
      const tensor = outputs[added]!;
      if (tensor.type === type && `${tensor.dims}` === `1,${numHeads},1,${headDim}`) continue;
      throw new EngineError(
        "invalid_model",
        `${path}: one token adds ${tensor.type} [${tensor.dims.join(", ")}] to ${past}, not ${type} [1, ${numHeads}, 1, ${headDim}]`,
      );
    }
    const width = decoder.head?.cols ?? decoder.vocabSize;
    const row = this.#lastRow(outputs);
    if (row.length !== width)
      throw new EngineError(
        "invalid_model",
        `${path}: the output ${decoder.output} has ${row.length} values per token, not ${width}`,
      );
  }

  /** @throws EngineError `invalid_model` with the error of ONNX Runtime */
  async #run(tokenIds: readonly number[], start: number, pages: readonly Address[]): Promise<Outputs> {
    const { path, decoder } = this.#options.folder;
    const { inputs, numLogitsShape } = decoder;
    const count = tokenIds.length;
    const feeds: Record<string, Tensor> = {};
    const feed = (name: IntegerInputName, dims: readonly number[], values: () => readonly number[]): void => {
      const type = inputs[name];
      if (type !== undefined) feeds[name] = integers(type, values(), dims);
    };
    feed("input_ids", [1, count], () => tokenIds);
    feed("attention_mask", [1, start + count], () => new Array<number>(start + count).fill(1));
    feed("position_ids", [1, count], () => tokenIds.map((_, index) => start + index));
    feed("num_logits_to_keep", numLogitsShape, () => [1]);
    for (const plane of this.#planes) feeds[plane.past] = this.#past(plane, pages, start);
    return runSession(this.#session, path, feeds, this.#fetches);
  }

  /**
   * Returns keys or values of the first `numPositions` positions, rearranged from [page][head][position] to
   * [head][page, position].
   */
  #past(plane: Plane, pages: readonly Address[], numPositions: number): Tensor {
    const { pageSize } = this.#options;
    const { numHeads, rowBytes, headDim, type, offset } = plane;
    const byteLength = numHeads * numPositions * rowBytes;
    if (plane.staging.length < byteLength) plane.staging = new Uint8Array(2 * byteLength);
    for (const [index, page] of pages.entries()) {
      const first = index * pageSize;
      const count = Math.min(pageSize, numPositions - first);
      const held = this.#inPage(page);
      for (let head = 0; head < numHeads; head++) {
        const from = offset + head * pageSize * rowBytes;
        plane.staging.set(held.subarray(from, from + count * rowBytes), (head * numPositions + first) * rowBytes);
      }
    }
    return new Tensor(type, floats(type, plane.staging.subarray(0, byteLength)) as Float32Array, [
      1,
      numHeads,
      numPositions,
      headDim,
    ]);
  }

  /** Copies the graph's keys and values of `count` positions, from `start` on, into their pages. */
  #writePages(outputs: Outputs, pages: readonly Address[], start: number, count: number): void {
    const { pageSize } = this.#options;
    for (const { added, numHeads, rowBytes, offset } of this.#planes) {
      const { data } = outputs[added]!;
      assert(
        ArrayBuffer.isView(data) && data.byteLength === numHeads * count * rowBytes,
        `the size of ${added} does not match the positions that ran`,
      );
      const source = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      for (let done = 0; done < count;) {
        const inPage = (start + done) % pageSize;
        const length = Math.min(pageSize - inPage, count - done);
        const held = this.#inPage(pages[Math.floor((start + done) / pageSize)]!);
        for (let head = 0; head < numHeads; head++) {
          const from = (head * count + done) * rowBytes;
          held.set(source.subarray(from, from + length * rowBytes), offset + (head * pageSize + inPage) * rowBytes);
        }
        done += length;
      }
    }
  }

  #inPage(page: Address): Uint8Array {
    return this.#options.kernels.bytes(page, this.#pageByteLength);
  }

  /** Returns the row of the last position as f32, also if the graph's output is f16. */
  #lastRow(outputs: Outputs): Float32Array {
    const { output, ending } = this.#options.folder.decoder;
    const { data, dims, size, type } = outputs[output]!;
    const width = dims.at(-1)!;
    assert(size === width || ending === "as it is", "the graph returned more than its last position");
    assert(
      ArrayBuffer.isView(data) && (type === "float32" || type === "float16"),
      `the output ${output} is of type ${type}`,
    );
    const rowBytes = width * BYTES_PER_ELEMENT[type];
    const bytes = new Uint8Array(data.buffer, data.byteOffset + data.byteLength - rowBytes, rowBytes);
    const row = new Float32Array(width);
    if (type === "float32") new Uint8Array(row.buffer).set(bytes);
    else widenHalf(bytes, row, (this.#halfTable ??= halfTable()));
    return row;
  }
}

interface Plane extends CacheTensor {
  /** Offset in a page, in bytes. */
  readonly offset: number;
  /** Bytes of one position of one head. */
  readonly rowBytes: number;
  /** Staging buffer for the past, kept between calls. */
  staging: Uint8Array;
}

const BYTES_PER_ELEMENT: Readonly<Record<FloatType, number>> = { float32: 4, float16: 2 };

function planeByteLength({ numHeads, headDim, type }: CacheTensor, pageSize: number): number {
  return numHeads * pageSize * headDim * BYTES_PER_ELEMENT[type];
}

function integers(type: IntegerType, values: readonly number[], dims: readonly number[]): Tensor {
  return type === "int64"
    ? new Tensor("int64", BigInt64Array.from(values, BigInt), dims)
    : new Tensor("int32", Int32Array.from(values), dims);
}

function floats(type: FloatType, bytes: Uint8Array): Float32Array | Uint16Array {
  const Numbers = type === "float32" ? Float32Array : Uint16Array;
  return new Numbers(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength / BYTES_PER_ELEMENT[type]);
}

/**
 * Measures the complete decoder with random weights in the shape of SmolLM2-135M: a token at two contexts, a batch of
 * 8, and a prompt in passes of 64 rows, on one thread and on two. GB/s are packed bytes of weights and bytes of keys
 * and values read per second. On one thread, "limit" is the time divided by the time in which that thread reads as many
 * bytes as four streams and does nothing else. Run: node dist/bench/decoder.bench.js [--quick]
 */

import {
  type Address,
  Decoder,
  Kernels,
  type KVFormat,
  type MatrixFormat,
  type PackedMatrix,
  kvPageByteLength,
  pack,
  quantize,
} from "../kernels/index.js";
import { loadKernels } from "../kernels/load.js";
import { check, describeMachine, inMs, isQuick, time } from "./measuring.js";

const SHAPE = isQuick
  ? { numLayers: 2, hiddenSize: 96, intermediateSize: 160, numHeads: 3, numKvHeads: 1, headDim: 32, vocabSize: 512 }
  : {
      numLayers: 30,
      hiddenSize: 576,
      intermediateSize: 1536,
      numHeads: 9,
      numKvHeads: 3,
      headDim: 64,
      vocabSize: 49_152,
    };
const CONTEXTS = isQuick ? [16, 70] : [128, 511];
const PROMPT_LENGTH = isQuick ? 72 : 512;
const BATCH = 8;
const PASS_ROWS = 64;
const PAGE_SIZE = 64;
const FORMATS: [MatrixFormat, KVFormat][] = [
  ["q4", "f32"],
  ["q4", "bf16"],
  ["q4", "q8"],
  ["q8", "f32"],
];
/** Number of rows that are generated and quantized. The matrix repeats them. */
const DISTINCT_ROWS = 64;

/** Bytes of the memory that is read to measure the bandwidth: more than the caches hold. */
const READ_BYTES = isQuick ? 1 << 20 : 1 << 28;

console.log(describeMachine());
const oneStream = await readRate(1);
const fourStreams = await readRate(4);
console.log(
  `memory, one thread: ${oneStream.toFixed(1)} GB/s as one stream, ${fourStreams.toFixed(1)} GB/s as four streams`,
);
for (const [format, kvFormat] of FORMATS) {
  const results: Float32Array[] = [];
  for (const numThreads of [1, 2]) results.push(await run(format, kvFormat, numThreads));
  check(
    results[0]!.every((value, i) => Object.is(value, results[1]![i])),
    "one thread and two give different bits",
  );
}

/** Returns the GB/s that one thread reads from memory. */
async function readRate(numStreams: 1 | 4): Promise<number> {
  const { exports, memory } = await loadKernels(null);
  const address = exports.heap_base() >>> 0;
  memory.grow(Math.ceil((address + READ_BYTES) / 65536));
  // Memory that was never written is one page of zeros for all addresses.
  new Uint8Array(memory.buffer, address, READ_BYTES).fill(1);
  const { minMs } = await time(() => exports.read_streams(address, READ_BYTES, numStreams));
  return READ_BYTES / minMs / 1e6;
}

/** Prints the times. Returns the result of the last pass of the prompt. */
async function run(format: MatrixFormat, kvFormat: KVFormat, numThreads: number): Promise<Float32Array> {
  const kernels = await Kernels.load({ numThreads });
  const { decoder, embedding, weightBytes } = randomDecoder(kernels, format, kvFormat);
  const { numLayers, numKvHeads, headDim, hiddenSize, vocabSize } = SHAPE;
  const pageBytes = kvPageByteLength({ numLayers, numKvHeads, headDim, pageSize: PAGE_SIZE, kvFormat });
  const sequences = Array.from({ length: BATCH }, () =>
    Array.from({ length: Math.ceil((PROMPT_LENGTH + 1) / PAGE_SIZE) }, () => kernels.allocate(pageBytes)),
  );
  const logits = kernels.allocate(BATCH * vocabSize * 4);
  const pass = (pages: readonly (readonly Address[])[], positions: readonly number[]) => {
    const rows = positions.map((position, i) => ({
      tokenId: (position * 7) % vocabSize,
      position,
      pages: pages[i % pages.length]!,
    }));
    return decoder.forward(rows, ...angles(positions, headDim));
  };
  const prompt = (pages: readonly Address[]) => {
    let hidden = 0;
    for (let first = 0; first < PROMPT_LENGTH; first += PASS_ROWS) {
      const count = Math.min(PASS_ROWS, PROMPT_LENGTH - first);
      hidden =
        pass(
          [pages],
          Array.from({ length: count }, (_, i) => first + i),
        ) +
        (count - 1) * hiddenSize * 4;
    }
    return kernels.f32(hidden, hiddenSize);
  };
  const name = `${format} weights, ${kvFormat} pages, ${numThreads} thread${numThreads === 1 ? "" : "s"}`;

  for (const pages of sequences) prompt(pages);
  const last = prompt(sequences[0]!).slice();
  const { minMs, medianMs } = await time(() => prompt(sequences[0]!));
  const promptRate = (ms: number) => `${((PROMPT_LENGTH * 1000) / ms).toFixed(0)} tokens/s`;
  console.log(
    `${name}: prompt of ${PROMPT_LENGTH}: ${inMs(medianMs)}, ${promptRate(medianMs)}, best ${promptRate(minMs)}`,
  );

  for (const context of CONTEXTS) {
    for (const size of [1, BATCH]) {
      const pages = sequences.slice(0, size);
      const positions = pages.map(() => context);
      const { minMs, medianMs } = await time(() => kernels.matmul(embedding, pass(pages, positions), logits, size));
      const kvBytes = (pageBytes / PAGE_SIZE) * (context + 1) * size;
      const rate = (weightBytes + kvBytes) / minMs / 1e6;
      const limit = numThreads === 1 && size === 1 ? `, limit x ${(fourStreams / rate).toFixed(2)}` : "";
      console.log(
        `${name}: step of ${size} at context ${context}: min ${inMs(minMs)}, median ${inMs(medianMs)}, ${rate.toFixed(1)} GB/s${limit}`,
      );
    }
  }
  await kernels.close();
  return last;
}

function randomDecoder(kernels: Kernels, format: MatrixFormat, kvFormat: KVFormat) {
  const { numLayers, hiddenSize, intermediateSize, numHeads, numKvHeads, headDim, vocabSize } = SHAPE;
  let weightBytes = 0;
  const matrix = (rows: number, cols: number): PackedMatrix => {
    const random = floats(DISTINCT_ROWS * cols, cols).map((value) => value / Math.sqrt(cols));
    const source =
      format === "f32"
        ? { format, rows: DISTINCT_ROWS, cols, values: random }
        : quantize(format, random, DISTINCT_ROWS, cols);
    const packed = pack(source);
    const placed = kernels.allocateMatrix(format, rows, cols);
    const bytes = kernels.bytes(placed.address, placed.byteLength);
    for (let at = 0; at < bytes.length; at += packed.length) bytes.set(packed.subarray(0, bytes.length - at), at);
    weightBytes += placed.byteLength;
    return placed;
  };
  const norm = () => {
    const address = kernels.allocate(hiddenSize * 4);
    kernels.f32(address, hiddenSize).fill(1);
    return address;
  };
  const embedding = matrix(vocabSize, hiddenSize);
  const decoder = new Decoder(kernels, {
    ...SHAPE,
    normEpsilon: 1e-5,
    layers: Array.from({ length: numLayers }, () => ({
      inputNorm: norm(),
      qkv: matrix((numHeads + 2 * numKvHeads) * headDim, hiddenSize),
      qkvBias: null,
      qNorm: null,
      kNorm: null,
      output: matrix(hiddenSize, numHeads * headDim),
      outputBias: null,
      attentionNorm: norm(),
      gateUp: matrix(2 * intermediateSize, hiddenSize),
      down: matrix(hiddenSize, intermediateSize),
    })),
    finalNorm: norm(),
    embedding,
    pageSize: PAGE_SIZE,
    kvFormat,
    maxRows: PASS_ROWS,
    contextLength: PROMPT_LENGTH + PAGE_SIZE,
  });
  return { decoder, embedding, weightBytes };
}

function angles(positions: readonly number[], headDim: number): [Float32Array, Float32Array] {
  const half = headDim / 2;
  const all = positions.flatMap((position) => Array.from({ length: half }, (_, i) => position / 10_000 ** (i / half)));
  return [Float32Array.from(all, Math.cos), Float32Array.from(all, Math.sin)];
}

/** Returns deterministic f32 [length] with values in -1..1. */
function floats(length: number, seed: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

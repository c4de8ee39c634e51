import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

import { describe, expect, it } from "vitest";
import { Decoder, Kernels, type PackedMatrix } from "./index.js";
import { inFormat, placeFloats, placeMatrix, randomFloats } from "../spec-tests/fixtures/kernels.js";

const [ROWS, COLS] = [2051, 576];
const SOURCE = inFormat("q8", randomFloats(1, ROWS * COLS), ROWS, COLS);

interface Product {
  readonly matrix: PackedMatrix;
  readonly input: number;
  readonly output: number;
}

function place(kernels: Kernels): Product {
  return {
    matrix: placeMatrix(kernels, SOURCE),
    input: placeFloats(kernels, randomFloats(2, 8 * COLS)),
    output: kernels.allocate(8 * ROWS * 4),
  };
}

function multiply(kernels: Kernels, { matrix, input, output }: Product, numRows: number): Float32Array {
  kernels.f32(output, numRows * ROWS).fill(NaN);
  kernels.matmul(matrix, input, output, numRows);
  return kernels.f32(output, numRows * ROWS).slice();
}

describe("threads", () => {
  it.each([2, 3, 8])("give the same bits as one thread, a thousand times (%i threads)", async (numThreads) => {
    const single = await Kernels.load();
    const kernels = await Kernels.load({ numThreads });
    expect(kernels.numThreads).toBe(numThreads);
    const product = place(kernels);
    const reference = place(single);
    const expected = [1, 2, 3, 8].map((numRows) => [numRows, multiply(single, reference, numRows)] as const);
    for (let run = 0; run < 250; run++) {
      // This pause lets the workers fall asleep now and then.
      if (run % 50 === 0) await new Promise((done) => setTimeout(done, 5));
      for (const [numRows, output] of expected)
        expect(multiply(kernels, product, numRows).every((value, i) => value === output[i])).toBe(true);
    }
    await kernels.close();
  });

  it("start without delay", async () => {
    const start = performance.now();
    const kernels = await Kernels.load({ numThreads: 3 });
    expect(performance.now() - start).toBeLessThan(5000);
    await kernels.close();
  });

  it("use no processor time while nothing runs", async () => {
    const kernels = await Kernels.load({ numThreads: 4 });
    multiply(kernels, place(kernels), 8);
    // Starting the threads takes processor time too, so a later window may be the first quiet one.
    const quietest = { ms: Infinity };
    for (let window = 0; window < 20 && quietest.ms >= 100; window++) {
      const before = process.cpuUsage();
      await new Promise((done) => setTimeout(done, 400));
      const { user, system } = process.cpuUsage(before);
      quietest.ms = Math.min(quietest.ms, (user + system) / 1000);
    }
    expect(quietest.ms, "milliseconds of 400").toBeLessThan(100);
    await kernels.close();
  });

  it("do not keep a process alive, and end with it", () => {
    const script = `
      import { Kernels } from ${JSON.stringify(pathToFileURL(resolve("dist/kernels/index.js")).href)};
      const kernels = await Kernels.load({ numThreads: 3 });
      const matrix = kernels.allocateMatrix("q4", 4096, 576);
      kernels.matmul(matrix, kernels.allocate(576 * 4), kernels.allocate(4096 * 4), 1);
      console.log("done");`;
    const { stdout, status } = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
      encoding: "utf8",
      timeout: 20_000,
    });
    expect([stdout, status]).toEqual(["done\n", 0]);
  });

  it("refuse work after close, and invalid thread counts", async () => {
    const kernels = await Kernels.load({ numThreads: 2 });
    const product = place(kernels);
    await kernels.close();
    await kernels.close();
    expect(() => multiply(kernels, product, 1)).toThrow("The kernels are closed");
    await expect(Kernels.load({ numThreads: 0 })).rejects.toThrow("numThreads must be in 1..64. Given: 0");
    await expect(Kernels.load({ numThreads: 1.5 })).rejects.toThrow("numThreads must be an integer. Given: 1.5");
  });

  it.each([1, 2, 3])("report a failure as an error, in the same call and in every later one (%i)", async () => {
    const kernels = await Kernels.load({ numThreads: 2 });
    const decoder = largeDecoder(kernels);
    const angles = new Float32Array(32).fill(1);
    // The thread that claims a key head writes its keys to a page outside the memory.
    const row = { tokenId: 0, position: 0, pages: [2 ** 32 - 64] };
    const start = performance.now();
    expect(() => decoder.forward([row], angles, angles)).toThrow("A kernel failed: memory access out of bounds");
    expect(performance.now() - start).toBeLessThan(2000);
    expect(() => multiply(kernels, place(kernels), 1)).toThrow("A kernel has failed before");
    await kernels.close();
  });
});

/** Returns a decoder with one layer of zeros, large enough to run on all threads. */
function largeDecoder(kernels: Kernels): Decoder {
  const hiddenSize = 512;
  const norm = kernels.allocate(hiddenSize * 4);
  const layer = {
    inputNorm: norm,
    qkv: kernels.allocateMatrix("q4", 3 * hiddenSize, hiddenSize),
    qkvBias: null,
    qNorm: null,
    kNorm: null,
    output: kernels.allocateMatrix("q4", hiddenSize, hiddenSize),
    outputBias: null,
    attentionNorm: norm,
    gateUp: kernels.allocateMatrix("q4", 2 * hiddenSize, hiddenSize),
    down: kernels.allocateMatrix("q4", hiddenSize, hiddenSize),
  };
  return new Decoder(kernels, {
    hiddenSize,
    intermediateSize: hiddenSize,
    numHeads: 8,
    numKvHeads: 8,
    headDim: 64,
    normEpsilon: 1e-5,
    layers: [layer],
    finalNorm: norm,
    embedding: kernels.allocateMatrix("q4", 8, hiddenSize),
    pageSize: 64,
    kvFormat: "f32",
    maxRows: 1,
    contextLength: 64,
  });
}

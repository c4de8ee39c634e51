import { beforeAll, describe, expect, test } from "vitest";

import { Kernels, pack, type Address } from "../../kernels/index.js";
import { GraphLogits, LMHead, type Head, type HeadOptions } from "./lm-head.js";

/** Logits per row, of which the last two are padding. */
const ROWS = 8;
const OPTIONS: HeadOptions = { maxRows: 3, vocabSize: 6, hasToken: (id) => id !== 2 && id !== 5 };
const COLS = 64;

let kernels: Kernels;
beforeAll(async () => {
  kernels = await Kernels.load();
});

/** Small integers, so that sums are exact in any order. */
const weight = (row: number, col: number): number => ((row * 7 + col * 3) % 5) - 2;
const hidden = (seed: number): Float32Array => Float32Array.from({ length: COLS }, (_, col) => ((seed + col) % 4) - 1);
const logitsOf = (row: Float32Array, count: number): number[] =>
  Array.from({ length: count }, (_, id) => row.reduce((sum, value, col) => sum + value * weight(id, col), 0));

function createLMHead(options: HeadOptions = OPTIONS): LMHead {
  const matrix = kernels.allocateMatrix("f32", ROWS, COLS);
  const values = Float32Array.from({ length: ROWS * COLS }, (_, i) => weight(Math.floor(i / COLS), i % COLS));
  kernels.bytes(matrix.address, matrix.byteLength).set(pack({ format: "f32", rows: ROWS, cols: COLS, values }));
  return new LMHead(kernels, matrix, options);
}

const read = (address: Address): number[] => [...kernels.f32(address, OPTIONS.vocabSize)];

/** Expects that a head computes the logits of as many rows as it may, and writes to no memory but its own. */
function expectLogits(create: () => Head, rows: readonly Float32Array[], expected: readonly number[][]): void {
  const before = kernels.bytes(kernels.allocate(4096), 4096).fill(0xaa);
  const head = create();
  const after = kernels.bytes(kernels.allocate(4096), 4096).fill(0xaa);
  for (let count = 1; count <= rows.length; count++) {
    const addresses = head.project(rows.slice(0, count));
    expect(addresses.map(read)).toEqual(
      expected.slice(0, count).map((row) => row.map((logit, id) => (OPTIONS.hasToken(id) ? logit : -Infinity))),
    );
  }
  for (const bytes of [before, after])
    expect(kernels.bytes(bytes.byteOffset, 4096).every((byte) => byte === 0xaa)).toBe(true);
}

describe("LMHead", () => {
  const rows = [hidden(0), hidden(1), hidden(2)];

  test("multiplies each row with the matrix; ids without a token get -Infinity", () => {
    const expected = rows.map((row) => logitsOf(row, OPTIONS.vocabSize));
    expectLogits(createLMHead, rows, expected);
  });

  test("refuses no rows, too many rows, rows of another size, and a vocabulary larger than the matrix", () => {
    const head = createLMHead();
    expect(() => head.project([])).toThrow(/too few or too many rows/);
    expect(() => head.project([...rows, hidden(3)])).toThrow(/too few or too many rows/);
    expect(() => head.project([new Float32Array(COLS - 1)])).toThrow(/size of a hidden state/);
    expect(() => createLMHead({ ...OPTIONS, vocabSize: ROWS + 1 })).toThrow(/fewer rows than there are tokens/);
    expect(createLMHead({ ...OPTIONS, vocabSize: ROWS })).toMatchObject({ vocabSize: ROWS, maxRows: 3 });
  });
});

describe("GraphLogits", () => {
  const rows = [0, 1, 2].map((seed) => Float32Array.from({ length: ROWS }, (_, id) => 10 * seed + id));

  test("copies the logits of each row without padding; ids without a token get -Infinity", () => {
    const expected = rows.map((row) => [...row.subarray(0, OPTIONS.vocabSize)]);
    expectLogits(() => new GraphLogits(kernels, OPTIONS), rows, expected);
    expect(rows[0]![2]).toBe(2);
  });

  test("refuses no rows, too many rows and rows that are too short", () => {
    const head = new GraphLogits(kernels, OPTIONS);
    expect(() => head.project([])).toThrow(/too few or too many rows/);
    expect(() => head.project([...rows, rows[0]!])).toThrow(/too few or too many rows/);
    expect(() => head.project([new Float32Array(OPTIONS.vocabSize - 1)])).toThrow(/fewer logits than there are tokens/);
    expect(head.project([new Float32Array(OPTIONS.vocabSize)])).toHaveLength(1);
    expect(head).toMatchObject({ vocabSize: OPTIONS.vocabSize, maxRows: OPTIONS.maxRows });
  });
});

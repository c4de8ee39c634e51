import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Counter, type Key, philox4x32, uniform } from "./philox.js";

describe("philox4x32", () => {
  // The known-answer vectors for philox4x32-10 that Random123 publishes.
  const vectors: [Counter, Key, Counter][] = [
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ];
  it.each(vectors)("maps counter %j and key %j to the published block", (counter, key, expected) => {
    expect(philox4x32(counter, key)).toEqual(expected);
  });

  it("multiplies like 64-bit integers", () => {
    const word = fc.oneof(
      fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      fc.constantFrom(0, 1, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff),
    );
    fc.assert(
      fc.property(fc.tuple(word, word, word, word), fc.tuple(word, word), (counter, key) => {
        expect(philox4x32(counter, key)).toEqual(philoxOfBigInts(counter, key));
      }),
      { seed: 3, numRuns: 300 },
    );
  });
});

describe("uniform", () => {
  it("derives key, counter and bits as the contract defines", () => {
    const [r0, r1] = philox4x32([7, 3, 0, 0], [42, 0]);
    const bits = (BigInt(r0 >>> 5) << 26n) | BigInt(r1 >>> 6);
    expect(uniform(42, 3, 7)).toBe(Number(bits) / 2 ** 53);
  });

  it("reads the seed as a two's-complement 64-bit integer", () => {
    const seeds = fc.oneof(
      fc.maxSafeInteger(),
      fc.constantFrom(0, -1, 2 ** 32, -(2 ** 32), 2 ** 53 - 1, -(2 ** 53 - 1)),
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
      fc.constantFrom(0n, -1n, -(2n ** 63n), 2n ** 64n - 1n, 2n ** 53n + 1n, 0x9e3779b97f4a7c15n),
    );
    fc.assert(
      fc.property(seeds, (seed) => {
        const bits = BigInt.asUintN(64, BigInt(seed));
        const [r0, r1] = philox4x32([5, 1, 0, 0], [Number(bits & 0xffffffffn), Number(bits >> 32n)]);
        expect(uniform(seed, 1, 5)).toBe(((r0 >>> 5) * 2 ** 26 + (r1 >>> 6)) / 2 ** 53);
      }),
      { seed: 4, numRuns: 300 },
    );
  });

  it("stays in [0, 1) and is uniform over positions, choices and seeds", () => {
    const axes: ((i: number) => number)[] = [(i) => uniform(1, 0, i), (i) => uniform(1, i, 0), (i) => uniform(i, 0, 0)];
    for (const axis of axes) {
      const counts = new Array<number>(64).fill(0);
      for (let i = 0; i < 64_000; i++) {
        // A value outside [0, 1) makes an element that the array does not have.
        counts[Math.floor(axis(i) * 64)]! += 1;
      }
      expect(counts).toHaveLength(64);
      expect(Object.keys(counts)).toHaveLength(64);
      const chiSquare = counts.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
      // 63 degrees of freedom: one in a million exceeds 131.
      expect(chiSquare).toBeLessThan(131);
    }
  });
});

/** Philox as defined, with exact products of BigInts. */
function philoxOfBigInts(counter: Counter, key: Key): Counter {
  let [c0, c1, c2, c3] = counter.map(BigInt) as [bigint, bigint, bigint, bigint];
  let [k0, k1] = key.map(BigInt) as [bigint, bigint];
  const word = (value: bigint) => BigInt.asUintN(32, value);
  for (let round = 0; round < 10; round++) {
    const product0 = 0xd2511f53n * c0;
    const product1 = 0xcd9e8d57n * c2;
    [c0, c1, c2, c3] = [(product1 >> 32n) ^ c1 ^ k0, word(product1), (product0 >> 32n) ^ c3 ^ k1, word(product0)];
    k0 = word(k0 + 0x9e3779b9n);
    k1 = word(k1 + 0xbb67ae85n);
  }
  return [c0, c1, c2, c3].map(Number) as unknown as Counter;
}

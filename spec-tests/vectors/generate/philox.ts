/** TS-3.17 to TS-3.20: the random generator as in its paper, with BigInt. */

import { CaseList, type Json, type VectorFile } from "./case-list.js";

const MASK = 0xffffffffn;

/** Computes ten rounds. @param counter 4 words @param key 2 words */
export function philox(counter: readonly bigint[], key: readonly bigint[]): bigint[] {
  let [c0 = 0n, c1 = 0n, c2 = 0n, c3 = 0n] = counter;
  let [k0 = 0n, k1 = 0n] = key;
  for (let round = 0; round < 10; round++) {
    const p0 = 0xd2511f53n * c0;
    const p1 = 0xcd9e8d57n * c2;
    [c0, c1, c2, c3] = [(p1 >> 32n) ^ c1 ^ k0, p1 & MASK, (p0 >> 32n) ^ c3 ^ k1, p0 & MASK];
    k0 = (k0 + 0x9e3779b9n) & MASK;
    k1 = (k1 + 0xbb67ae85n) & MASK;
  }
  return [c0, c1, c2, c3];
}

/** Returns the random number of a draw, and the key, counter and output words from which it is computed. */
export function uniformBlock(seed: number | bigint, choice: number, position: number) {
  const bits = BigInt.asUintN(64, BigInt(seed));
  const key = [bits & MASK, bits >> 32n];
  const counter = [BigInt(position), BigInt(choice), 0n, 0n];
  const words = philox(counter, key);
  const uniform = Number(((words[0]! >> 5n) << 26n) | (words[1]! >> 6n)) / 2 ** 53;
  return { key, counter, words, uniform };
}

export const uniform = (seed: number, choice: number, position: number): number =>
  uniformBlock(seed, choice, position).uniform;

/** Deterministic random numbers for generators. */
export class Numbers {
  #position = 0;
  readonly #stream: number;

  constructor(stream: number) {
    this.#stream = stream;
  }

  /** Returns a number in [0, 1). */
  next(): number {
    return uniform(this.#stream, 0, this.#position++);
  }

  /** Returns an integer in 0..count-1. */
  below(count: number): number {
    return Math.floor(this.next() * count);
  }

  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!;
  }
}

/** Known answers that Random123 publishes for philox4x32-10: counter, key, result. */
const KNOWN_ANSWERS: readonly (readonly [
  what: string,
  counter: readonly number[],
  key: readonly number[],
  words: readonly number[],
])[] = [
  ["zeros", [0, 0, 0, 0], [0, 0], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]],
  [
    "all bits set",
    [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
    [0xffffffff, 0xffffffff],
    [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  ],
  [
    "digits of pi",
    [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    [0xa4093822, 0x299f31d0],
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  ],
];

const SEED_MAX = Number.MAX_SAFE_INTEGER;

const SEEDS: readonly (readonly [seed: number | bigint, what: string])[] = [
  [0, "seed 0"],
  [1, "seed 1"],
  [42, "a small seed"],
  [2 ** 31 - 1, "the largest signed 32-bit seed"],
  [2 ** 31, "one more than the largest signed 32-bit seed"],
  [2 ** 32 - 1, "the largest unsigned 32-bit seed"],
  [2 ** 32, "the first seed with a high word"],
  [2 ** 32 + 1, "high and low word 1"],
  [0x123456789abcd, "a seed of 49 bits"],
  [SEED_MAX, "the largest seed that JavaScript's numbers hold exactly"],
  [-1, "seed -1: both words all ones"],
  [-2, "seed -2"],
  [-(2 ** 31), "the smallest signed 32-bit seed"],
  [-(2 ** 32), "a negative seed whose low word is 0"],
  [-(2 ** 32) - 1, "a negative seed below -2^32"],
  [-SEED_MAX, "the smallest seed that JavaScript's numbers hold exactly"],
  [2n ** 53n + 1n, "a seed that a float64 rounds"],
  [2n ** 63n - 1n, "the largest signed seed of 64 bits"],
  [2n ** 64n - 1n, "the largest seed: the key of seed -1"],
  [-(2n ** 63n), "the smallest seed: the key of 2^63"],
];

export function philoxVectors(): VectorFile {
  const list = new CaseList<{ expected: Json }>("philox");
  const words = (values: readonly bigint[]): Json => values.map(Number);
  for (const [what, counter, key, expected] of KNOWN_ANSWERS) {
    list.add("known-answer", "TS-3.17", `Random123's known answer for ${what}`, {
      counter,
      key,
      expected: { words: expected },
    } as { expected: Json });
  }
  const block = (counter: readonly number[], key: readonly number[], what: string): void => {
    const result = philox(counter.map(BigInt), key.map(BigInt));
    list.add("block", "TS-3.17", what, { counter, key, expected: { words: words(result) } } as { expected: Json });
  };
  for (let index = 0; index < 4; index++) {
    const only = [0, 1, 2, 3].map((one) => (one === index ? 0x80000000 : 0));
    block(only, [0, 0], `only the highest bit of counter word ${index}`);
  }
  block([0, 0, 0, 0], [1, 0], "only the lowest bit of key word 0");
  block([0, 0, 0, 0], [0, 1], "only the lowest bit of key word 1");
  block([0, 0, 0, 0], [0xffffffff, 0xffffffff], "key words that wrap when they grow");
  const numbers = new Numbers(1);
  const word = (): number => numbers.below(2 ** 32);
  for (let index = 0; index < 8; index++)
    block([word(), word(), word(), word()], [word(), word()], "arbitrary counter and key");

  const draw = (
    group: string,
    clause: string,
    what: string,
    seed: number | bigint,
    choice: number,
    position: number,
  ): void => {
    const result = uniformBlock(seed, choice, position);
    const expected = {
      key: words(result.key),
      counter: words(result.counter),
      words: words(result.words),
      uniform: result.uniform,
    };
    const given = typeof seed === "bigint" ? `${seed}` : seed;
    list.add(group, clause, what, { seed: given, choice, position, expected } as { expected: Json });
  };
  for (const [seed, what] of SEEDS) draw("seed", "TS-3.18", what, seed, 0, 0);
  for (const position of [1, 2, 63, 64, 1023, 131_071, 2 ** 31, 2 ** 32 - 1]) {
    draw("position", "TS-3.18", `position ${position} is counter word 0`, 7, 0, position);
  }
  for (const choice of [1, 2, 7, 63, 127])
    draw("choice", "TS-3.18", `choice ${choice} is counter word 1`, 7, choice, 0);
  draw("exchange", "TS-3.18", "position 3 of choice 5", 7, 5, 3);
  draw("exchange", "TS-3.18", "position 5 of choice 3: another number than position 3 of choice 5", 7, 3, 5);
  draw("exchange", "TS-3.18", "choice 1 of seed 7 is not choice 0 of seed 8", 8, 0, 0);
  for (let index = 0; index < 8; index++) {
    const seed = Math.round((numbers.next() - 0.5) * 2 * SEED_MAX);
    draw("any", "TS-3.19", "arbitrary seed, choice and position", seed, numbers.below(128), numbers.below(10_000));
  }
  return { name: "philox", kind: "philox", cases: list.cases };
}

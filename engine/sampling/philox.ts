/**
 * Counter-based random numbers: Philox-4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2,
 * 3", SC 2011). The generator has no state: a number depends only on seed, choice and position, so batching, order and
 * caching cannot change it.
 */

/** Four unsigned 32-bit integers. */
export type Counter = readonly [number, number, number, number];
/** Two unsigned 32-bit integers. */
export type Key = readonly [number, number];

const ROUNDS = 10;
const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;

/**
 * Returns the random number in [0, 1) for one token, a multiple of 2^-53.
 * @param seed integer of 64 bits, negative ones included: a safe integer or a bigint
 * @param choice index of the choice, 0..2^32-1
 * @param position number of tokens generated before this one, 0..2^32-1
 */
export function uniform(seed: number | bigint, choice: number, position: number): number {
  const [r0, r1] = philox4x32([position, choice, 0, 0], keyOf(seed));
  return ((r0 >>> 5) * 67108864 + (r1 >>> 6)) / 9007199254740992;
}

/** Returns the low and high words of the seed as a two's-complement 64-bit integer. */
function keyOf(seed: number | bigint): Key {
  if (typeof seed === "number") return [seed >>> 0, Math.floor(seed / 4294967296) >>> 0];
  return [Number(BigInt.asUintN(32, seed)), Number(BigInt.asUintN(32, seed >> 32n))];
}

/** Returns the block of 128 random bits for a counter and a key. */
export function philox4x32(counter: Counter, key: Key): Counter {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0);
    const low0 = Math.imul(MULTIPLIER_0, c0) >>> 0;
    const high1 = multiplyHigh(MULTIPLIER_1, c2);
    const low1 = Math.imul(MULTIPLIER_1, c2) >>> 0;
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0;
    k0 = (k0 + WEYL_0) >>> 0;
    k1 = (k1 + WEYL_1) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** Returns the upper 32 bits of the product of two unsigned 32-bit integers, computed from 16-bit halves. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const cross = aLow * bHigh + (middle & 0xffff);
  return (aHigh * bHigh + Math.floor(middle / 65536) + Math.floor(cross / 65536)) >>> 0;
}

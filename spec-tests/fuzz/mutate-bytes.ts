/** Mutations of files as bytes: flipped bits, other numbers, and missing, repeated or inserted parts. */

import type { Random } from "./random.js";

/** Returns a changed copy. */
export function mutateBytes(random: Random, bytes: Uint8Array): Uint8Array {
  const at = random.below(bytes.length + 1);
  const length = Math.min(bytes.length - at, random.pick([1, 2, 4, 8, 64, 4096]));
  switch (random.below(7)) {
    case 0:
      return flipped(random, bytes);
    case 1:
      return bytes.slice(0, at);
    case 2:
      return joined(bytes.subarray(0, at), bytes.subarray(at + length));
    case 3:
      return joined(bytes.subarray(0, at + length), bytes.subarray(at));
    case 4:
      return joined(bytes.subarray(0, at), new Uint8Array(random.pick([1, 3, 8, 1000])), bytes.subarray(at));
    case 5:
      return joined(bytes.subarray(0, at), hostileNumber(random), bytes.subarray(at + 8));
    default:
      return random.chance(0.2) ? new Uint8Array(0) : joined(bytes, random.pick([new Uint8Array(1), bytes]));
  }
}

/** Returns a changed copy of the same length. */
export function mutateValues(random: Random, bytes: Uint8Array): Uint8Array {
  if (random.chance(0.5) || bytes.length < 8) return flipped(random, bytes);
  const at = random.below(bytes.length - 7);
  return joined(bytes.subarray(0, at), hostileNumber(random), bytes.subarray(at + 8));
}

function flipped(random: Random, bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  for (let left = random.pick([1, 1, 2, 10, 100]); left > 0 && copy.length > 0; left--) {
    const at = random.below(random.chance(0.5) ? Math.min(copy.length, 256) : copy.length);
    copy[at] = random.chance(0.5) ? copy[at]! ^ (1 << random.below(8)) : random.below(256);
  }
  return copy;
}

/** Eight bytes that mean an extreme number in one of the common notations. */
function hostileNumber(random: Random): Uint8Array {
  const bytes = Buffer.alloc(8);
  const value = random.pick([0n, 1n, 0x7fffffffn, 0x80000000n, 0xffffffffn, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n]);
  if (random.chance(0.7)) bytes.writeBigUInt64LE(value);
  else bytes.writeDoubleLE(random.pick([NaN, Infinity, -Infinity, -0, 1e308, 5e-324]));
  return bytes;
}

export function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

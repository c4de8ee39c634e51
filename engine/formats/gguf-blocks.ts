/**
 * Quantised blocks of GGUF files, as ggml stores them: how many values and bytes a block of each type has, and the
 * float32 values that it stands for. Products are rounded to float32 one after the other, as ggml's plain code does.
 */

/** A type of tensor elements. */
export interface GgufType {
  readonly name: string;
  /** Values in a block; a row consists of whole blocks. */
  readonly blockSize: number;
  readonly blockBytes: number;
  /** Null for a type that is known and not built. */
  readonly dequantize: Dequantize | null;
}

/** Writes the values of `numBlocks` blocks from `at` on. */
type Dequantize = (bytes: DataView, at: number, numBlocks: number, into: Float32Array) => void;

/** By the number in the file. */
export const GGUF_TYPES: ReadonlyMap<number, GgufType> = new Map([
  [
    0,
    type(
      "F32",
      1,
      4,
      each(4, (bytes, at) => bytes.getFloat32(at, true)),
    ),
  ],
  [1, type("F16", 1, 2, each(2, half))],
  [2, type("Q4_0", 32, 18, blocks(32, 18, q4_0))],
  [3, type("Q4_1", 32, 20, blocks(32, 20, q4_1))],
  [6, type("Q5_0", 32, 22, blocks(32, 22, q5_0))],
  [7, type("Q5_1", 32, 24, blocks(32, 24, q5_1))],
  [8, type("Q8_0", 32, 34, blocks(32, 34, q8_0))],
  [9, type("Q8_1", 32, 36, null)],
  [10, type("Q2_K", 256, 84, blocks(256, 84, q2_k))],
  [11, type("Q3_K", 256, 110, blocks(256, 110, q3_k))],
  [12, type("Q4_K", 256, 144, blocks(256, 144, q4_k))],
  [13, type("Q5_K", 256, 176, blocks(256, 176, q5_k))],
  [14, type("Q6_K", 256, 210, blocks(256, 210, q6_k))],
  [15, type("Q8_K", 256, 292, null)],
  [16, type("IQ2_XXS", 256, 66, null)],
  [17, type("IQ2_XS", 256, 74, null)],
  [18, type("IQ3_XXS", 256, 98, null)],
  [19, type("IQ1_S", 256, 50, null)],
  [20, type("IQ4_NL", 32, 18, blocks(32, 18, iq4_nl))],
  [21, type("IQ3_S", 256, 110, null)],
  [22, type("IQ2_S", 256, 82, null)],
  [23, type("IQ4_XS", 256, 136, blocks(256, 136, iq4_xs))],
  [24, type("I8", 1, 1, null)],
  [25, type("I16", 1, 2, null)],
  [26, type("I32", 1, 4, null)],
  [27, type("I64", 1, 8, null)],
  [28, type("F64", 1, 8, null)],
  [29, type("IQ1_M", 256, 56, null)],
  [30, type("BF16", 1, 2, each(2, bfloat16))],
  [34, type("TQ1_0", 256, 54, null)],
  [35, type("TQ2_0", 256, 66, null)],
  [39, type("MXFP4", 32, 17, blocks(32, 17, mxfp4))],
]);

function type(name: string, blockSize: number, blockBytes: number, dequantize: Dequantize | null): GgufType {
  return { name, blockSize, blockBytes, dequantize };
}

function each(size: number, read: (bytes: DataView, at: number) => number): Dequantize {
  return (bytes, at, count, into) => {
    for (let i = 0; i < count; i++) into[i] = read(bytes, at + i * size);
  };
}

/** @param block writes the values of the block at `at` from `out` on */
function blocks(
  size: number,
  numBytes: number,
  block: (bytes: DataView, at: number, into: Float32Array, out: number) => void,
): Dequantize {
  return (bytes, at, count, into) => {
    for (let i = 0; i < count; i++) block(bytes, at + i * numBytes, into, i * size);
  };
}

const { fround } = Math;

/** Sign, 5 bits of exponent (bias 15), 10 bits of fraction. */
function half(bytes: DataView, at: number): number {
  const bits = bytes.getUint16(at, true);
  const sign = bits >> 15 === 0 ? 1 : -1;
  const exponent = (bits >> 10) & 31;
  const fraction = (bits & 1023) / 1024;
  if (exponent === 0) return sign * fraction * 2 ** -14;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction) * 2 ** (exponent - 15);
}

const BITS = new DataView(new ArrayBuffer(4));

/** The upper half of a float32. */
function bfloat16(bytes: DataView, at: number): number {
  BITS.setUint32(0, bytes.getUint16(at, true) << 16);
  return BITS.getFloat32(0);
}

/** The low halves of 16 bytes are the first 16 values, the high halves the others. */
function nibbles(
  bytes: DataView,
  at: number,
  into: Float32Array,
  out: number,
  value: (nibble: number, index: number) => number,
): void {
  for (let i = 0; i < 16; i++) {
    const pair = bytes.getUint8(at + i);
    into[out + i] = value(pair & 15, i);
    into[out + i + 16] = value(pair >> 4, i + 16);
  }
}

function q4_0(bytes: DataView, at: number, into: Float32Array, out: number): void {
  const scale = half(bytes, at);
  nibbles(bytes, at + 2, into, out, (nibble) => scale * (nibble - 8));
}

function q4_1(bytes: DataView, at: number, into: Float32Array, out: number): void {
  const [scale, minimum] = [half(bytes, at), half(bytes, at + 2)];
  nibbles(bytes, at + 4, into, out, (nibble) => fround(scale * nibble) + minimum);
}

function q5_0(bytes: DataView, at: number, into: Float32Array, out: number): void {
  const scale = half(bytes, at);
  const high = bytes.getUint32(at + 2, true);
  nibbles(bytes, at + 6, into, out, (nibble, i) => scale * ((nibble | (((high >>> i) & 1) << 4)) - 16));
}

function q5_1(bytes: DataView, at: number, into: Float32Array, out: number): void {
  const [scale, minimum] = [half(bytes, at), half(bytes, at + 2)];
  const high = bytes.getUint32(at + 4, true);
  nibbles(bytes, at + 8, into, out, (nibble, i) => {
    return fround(scale * (nibble | (((high >>> i) & 1) << 4))) + minimum;
  });
}

function q8_0(bytes: DataView, at: number, into: Float32Array, out: number): void {
  const scale = half(bytes, at);
  for (let i = 0; i < 32; i++) into[out + i] = scale * bytes.getInt8(at + 2 + i);
}

/** 16 groups of 16 values of 2 bits; a byte of `scales` has a scale and a minimum of 4 bits. */
function q2_k(bytes: DataView, at: number, into: Float32Array, out: number): void {
  const [quants, scale, minimum] = [at + 16, half(bytes, at + 80), half(bytes, at + 82)];
  for (let group = 0; group < 16; group++) {
    const both = bytes.getUint8(at + group);
    const [by, less] = [fround(scale * (both & 15)), fround(minimum * (both >> 4))];
    const from = quants + 32 * (group >> 3) + 16 * (group & 1);
    const shift = 2 * ((group >> 1) & 3);
    for (let i = 0; i < 16; i++)
      into[out + 16 * group + i] = fround(by * ((bytes.getUint8(from + i) >> shift) & 3)) - less;
  }
}

/** 16 groups of 16 values of 3 bits, whose third bits stand apart; scales have 6 bits. */
function q3_k(bytes: DataView, at: number, into: Float32Array, out: number): void {
  const [quants, scales, scale] = [at + 32, at + 96, half(bytes, at + 108)];
  for (let group = 0; group < 16; group++) {
    const low = (bytes.getUint8(scales + (group & 7)) >> (group < 8 ? 0 : 4)) & 15;
    const high = (bytes.getUint8(scales + 8 + (group & 3)) >> (2 * (group >> 2))) & 3;
    const by = fround(scale * ((low | (high << 4)) - 32));
    const from = quants + 32 * (group >> 3) + 16 * (group & 1);
    const shift = 2 * ((group >> 1) & 3);
    const bit = group >> 1;
    for (let i = 0; i < 16; i++) {
      const isHigh = (bytes.getUint8(at + 16 * (group & 1) + i) >> bit) & 1;
      into[out + 16 * group + i] = by * (((bytes.getUint8(from + i) >> shift) & 3) - (isHigh === 1 ? 0 : 4));
    }
  }
}

/** Returns one of the eight scales, or minima, of 6 bits that 12 bytes hold. */
function sixBits(bytes: DataView, at: number, group: number, isMinimum: boolean): number {
  const own = isMinimum ? 4 : 0;
  if (group < 4) return bytes.getUint8(at + group + own) & 63;
  const low = isMinimum ? bytes.getUint8(at + group + 4) >> 4 : bytes.getUint8(at + group + 4) & 15;
  return low | ((bytes.getUint8(at + group - 4 + own) >> 6) << 4);
}

/** Eight groups of 32 values of 4 bits, each with a scale and a minimum of 6 bits. */
function q4_k(bytes: DataView, at: number, into: Float32Array, out: number): void {
  const [scale, minimum] = [half(bytes, at), half(bytes, at + 2)];
  for (let group = 0; group < 8; group++) {
    const by = fround(scale * sixBits(bytes, at + 4, group, false));
    const less = fround(minimum * sixBits(bytes, at + 4, group, true));
    const from = at + 16 + 32 * (group >> 1);
    for (let i = 0; i < 32; i++) {
      const nibble = (bytes.getUint8(from + i) >> (4 * (group & 1))) & 15;
      into[out + 32 * group + i] = fround(by * nibble) - less;
    }
  }
}

/** As Q4_K, with the fifth bits apart. */
function q5_k(bytes: DataView, at: number, into: Float32Array, out: number): void {
  const [scale, minimum, high] = [half(bytes, at), half(bytes, at + 2), at + 16];
  for (let group = 0; group < 8; group++) {
    const by = fround(scale * sixBits(bytes, at + 4, group, false));
    const less = fround(minimum * sixBits(bytes, at + 4, group, true));
    const from = at + 48 + 32 * (group >> 1);
    for (let i = 0; i < 32; i++) {
      const nibble = (bytes.getUint8(from + i) >> (4 * (group & 1))) & 15;
      const fifth = (bytes.getUint8(high + i) >> group) & 1;
      into[out + 32 * group + i] = fround(by * (nibble | (fifth << 4))) - less;
    }
  }
}

/** 16 groups of 16 values of 6 bits, each with a signed scale of 8 bits. */
function q6_k(bytes: DataView, at: number, into: Float32Array, out: number): void {
  const scale = half(bytes, at + 208);
  for (let group = 0; group < 16; group++) {
    const by = fround(scale * bytes.getInt8(at + 192 + group));
    const [part, row] = [group >> 3, (group >> 1) & 3];
    for (let i = 0; i < 16; i++) {
      const column = 16 * (group & 1) + i;
      const low = (bytes.getUint8(at + 64 * part + 32 * (row & 1) + column) >> (row < 2 ? 0 : 4)) & 15;
      const high = (bytes.getUint8(at + 128 + 32 * part + column) >> (2 * row)) & 3;
      into[out + 16 * group + i] = by * ((low | (high << 4)) - 32);
    }
  }
}

const IQ4_VALUES = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113] as const;

function iq4_nl(bytes: DataView, at: number, into: Float32Array, out: number): void {
  const scale = half(bytes, at);
  nibbles(bytes, at + 2, into, out, (nibble) => scale * IQ4_VALUES[nibble]!);
}

/** Eight groups of 32 values as in IQ4_NL, each with a scale of 6 bits. */
function iq4_xs(bytes: DataView, at: number, into: Float32Array, out: number): void {
  const [scale, high] = [half(bytes, at), bytes.getUint16(at + 2, true)];
  for (let group = 0; group < 8; group++) {
    const low = (bytes.getUint8(at + 4 + (group >> 1)) >> (4 * (group & 1))) & 15;
    const by = fround(scale * ((low | (((high >> (2 * group)) & 3) << 4)) - 32));
    nibbles(bytes, at + 8 + 16 * group, into, out + 32 * group, (nibble) => by * IQ4_VALUES[nibble]!);
  }
}

/** Twice the values of a float of 4 bits: a sign, 2 bits of exponent, 1 bit of fraction. */
const MXFP4_VALUES = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12] as const;

/** The scale is a power of two. */
function mxfp4(bytes: DataView, at: number, into: Float32Array, out: number): void {
  const scale = 2 ** (bytes.getUint8(at) - 128);
  nibbles(bytes, at + 1, into, out, (nibble) => scale * MXFP4_VALUES[nibble]!);
}

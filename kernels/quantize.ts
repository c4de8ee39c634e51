/**
 * Prepares weights for the kernels: quantizes them in blocks of 32 columns and packs them into the layouts of
 * layout.md. Conversion must be bit-exact, so it uses only + - * / and rounding.
 */

import { F32_GROUP_ROWS, PACK_ROWS, Q4_RECORD, Q8_RECORD, QUANTIZATION_BLOCK, SCALES_BYTES } from "./layout.js";

/** `f32`: unchanged; `q8`: int8 in blocks of 32; `q4`: 4 bits in blocks of 32. */
export type MatrixFormat = "f32" | "q8" | "q4";
export type QuantizedFormat = Exclude<MatrixFormat, "f32">;

/** weights[r][c] ~ values[r][c] * scales[r][floor(c / QUANTIZATION_BLOCK)]. */
export interface QuantizedMatrix {
  readonly format: QuantizedFormat;
  readonly rows: number;
  readonly cols: number;
  /** Blocks of a row: ceil(cols / 32). */
  readonly blocks: number;
  /** [rows, blocks * 32]; q8: -127..127, q4: -8..7; zeros past `cols`. */
  readonly values: Int8Array;
  /** [rows, blocks]; each is a bfloat16 number. */
  readonly scales: Float32Array;
}

export interface FloatMatrix {
  readonly format: "f32";
  readonly rows: number;
  readonly cols: number;
  /** [rows, cols] */
  readonly values: Float32Array;
}

/**
 * Quantizes f32 [rows, cols] in blocks of 32 columns. Each block uses the scale with the smallest squared
 * error among a few candidates: those that map its extreme value to one of LANDINGS, and the least-squares fit to the
 * best of them.
 * @throws RangeError if a weight is not finite
 */
export function quantize(format: QuantizedFormat, source: Float32Array, rows: number, cols: number): QuantizedMatrix {
  checkShape(rows, cols);
  checkLength("source", source.length, rows * cols);
  const blocks = Math.ceil(cols / QUANTIZATION_BLOCK);
  const values = new Int8Array(rows * blocks * QUANTIZATION_BLOCK);
  const scales = new Float32Array(rows * blocks);
  const quantizer = new BlockQuantizer(format);
  for (let row = 0; row < rows; row++) {
    for (let block = 0; block < blocks; block++) {
      const first = row * cols + block * QUANTIZATION_BLOCK;
      const count = Math.min(QUANTIZATION_BLOCK, cols - block * QUANTIZATION_BLOCK);
      const index = row * blocks + block;
      scales[index] = quantizer.run(source, first, count, values, index * QUANTIZATION_BLOCK);
    }
  }
  return { format, rows, cols, blocks, values, scales };
}

/** Returns the weights that a quantized matrix represents: f32 [rows, cols], each product rounded to f32. */
export function dequantize(matrix: QuantizedMatrix): Float32Array {
  const { rows, cols, blocks, values, scales } = matrix;
  const result = new Float32Array(rows * cols);
  for (let row = 0; row < rows; row++) {
    for (let col = 0; col < cols; col++) {
      const scale = scales[row * blocks + Math.floor(col / QUANTIZATION_BLOCK)]!;
      result[row * cols + col] = values[row * blocks * QUANTIZATION_BLOCK + col]! * scale;
    }
  }
  return result;
}

/** Returns the bytes of a packed matrix. */
export function packedByteLength(format: MatrixFormat, rows: number, cols: number): number {
  checkShape(rows, cols);
  if (format === "f32") return Math.ceil(rows / F32_GROUP_ROWS) * F32_GROUP_ROWS * Math.ceil(cols / 4) * 16;
  return Math.ceil(rows / PACK_ROWS) * Math.ceil(cols / QUANTIZATION_BLOCK) * RECORD_BYTES[format];
}

/**
 * Packs rows into the layout that the kernels read: packedByteLength(...) bytes. A matrix may be packed in chunks of
 * rows: if each chunk but the last has a multiple of PACK_ROWS rows, the joined chunks equal the packed matrix.
 */
export function pack(source: QuantizedMatrix | FloatMatrix): Uint8Array {
  switch (source.format) {
    case "f32":
      return packF32(source);
    case "q8":
      return packBlocks(source, writeQ8Row);
    case "q4":
      return packBlocks(source, writeQ4Row);
  }
}

/** Bytes of a record: one block of PACK_ROWS rows. */
const RECORD_BYTES: Readonly<Record<QuantizedFormat, number>> = { q8: Q8_RECORD, q4: Q4_RECORD };

function packF32({ rows, cols, values }: FloatMatrix): Uint8Array {
  checkLength("values", values.length, rows * cols);
  const packed = new DataView(new ArrayBuffer(packedByteLength("f32", rows, cols)));
  const groupBytes = Math.ceil(cols / 4) * F32_GROUP_ROWS * 16;
  for (let row = 0; row < rows; row++) {
    const base = Math.floor(row / F32_GROUP_ROWS) * groupBytes + (row % F32_GROUP_ROWS) * 16;
    for (let col = 0; col < cols; col++) {
      packed.setFloat32(base + (col >> 2) * F32_GROUP_ROWS * 16 + (col & 3) * 4, values[row * cols + col]!, true);
    }
  }
  return new Uint8Array(packed.buffer);
}

/** Writes the 32 values that start at `values[first]` into row `r` of a record. */
type RowWriter = (packed: Uint8Array, record: number, r: number, values: Int8Array, first: number) => void;

function packBlocks(source: QuantizedMatrix, writeRow: RowWriter): Uint8Array {
  const { format, rows, cols, blocks, values, scales } = source;
  checkLength("values", values.length, rows * blocks * QUANTIZATION_BLOCK);
  checkLength("scales", scales.length, rows * blocks);
  const packed = new Uint8Array(packedByteLength(format, rows, cols));
  const scaleBits = new Uint32Array(scales.buffer, scales.byteOffset, scales.length);
  const bytes = RECORD_BYTES[format];
  for (let row = 0; row < Math.ceil(rows / PACK_ROWS) * PACK_ROWS; row++) {
    const r = row % PACK_ROWS;
    for (let block = 0; block < blocks; block++) {
      const record = (Math.floor(row / PACK_ROWS) * blocks + block) * bytes;
      // Rows past the end have the scale 0 and zero bytes as values.
      const index = row * blocks + block;
      const bits = row < rows ? scaleBits[index]! : 0;
      packed[record + r * 2] = (bits >>> 16) & 255;
      packed[record + r * 2 + 1] = bits >>> 24;
      if (row < rows) writeRow(packed, record + SCALES_BYTES, r, values, index * QUANTIZATION_BLOCK);
    }
  }
  return packed;
}

function writeQ8Row(packed: Uint8Array, record: number, r: number, values: Int8Array, first: number): void {
  for (let col = 0; col < QUANTIZATION_BLOCK; col++) {
    packed[record + (col >> 1) * 16 + r * 2 + (col & 1)] = values[first + col]!;
  }
}

function writeQ4Row(packed: Uint8Array, record: number, r: number, values: Int8Array, first: number): void {
  for (let col = 0; col < 16; col++) {
    const low = values[first + col]! + 8;
    const high = values[first + 16 + col]! + 8;
    packed[record + (col >> 2) * 32 + r * 4 + (col & 3)] = low | (high << 4);
  }
}

/**
 * Codes to which a block's extreme value is mapped; a code below the range is clipped. At q4 the squared error is
 * within 0.3 % of the smallest possible one; with the end of the range as the only code it would be within 8 %. At q8
 * more codes would reduce the error by a fifth, but with the extreme at the end of the range the int8 body of the
 * profile `fast` keeps the block unchanged, which is worth more.
 */
const LANDINGS: Readonly<Record<QuantizedFormat, readonly number[]>> = {
  q8: [-127],
  q4: Array.from({ length: 9 }, (_, index) => -9 + index / 4),
};

/** Quantizes one block at a time and owns the scratch for it. */
class BlockQuantizer {
  readonly #landings: readonly number[];
  readonly #lowest: number;
  readonly #highest: number;
  /** The block's weights. */
  readonly #weights = new Float64Array(QUANTIZATION_BLOCK);
  /** The best scale so far, and how much it reduces the squared error compared with all zeros. */
  #scale = 0;
  #explained = 0;
  /** The least-squares fit to the codes of the best scale. */
  #fitted = 0;

  constructor(format: QuantizedFormat) {
    this.#landings = LANDINGS[format];
    this.#lowest = format === "q8" ? -127 : -8;
    this.#highest = format === "q8" ? 127 : 7;
  }

  /** Writes 32 values at values[target], zeros after `count`; returns the scale. */
  run(source: Float32Array, first: number, count: number, values: Int8Array, target: number): number {
    const extreme = this.#read(source, first, count);
    this.#scale = this.#explained = 0;
    for (const landing of this.#landings) this.#try(toBfloat16(extreme / landing), count);
    if (this.#scale === 0) return 0;
    this.#try(toBfloat16(this.#fitted), count);
    for (let i = 0; i < count; i++) {
      values[target + i] = nearestCode(this.#weights[i]! / this.#scale, this.#lowest, this.#highest);
    }
    return this.#scale;
  }

  /** Copies the weights of the block and returns the one with the largest magnitude. */
  #read(source: Float32Array, first: number, count: number): number {
    const weights = this.#weights;
    let extreme = 0;
    for (let i = 0; i < count; i++) {
      const weight = source[first + i]!;
      if (!Number.isFinite(weight)) throw new RangeError(`Weight ${first + i} is ${weight}; weights must be finite`);
      if (Math.abs(weight) > Math.abs(extreme)) extreme = weight;
      weights[i] = weight;
    }
    return extreme;
  }

  /** Keeps the scale if its error is smaller: sum((w - scale c)^2) = sum(w^2) - scale (2 sum(w c) - scale sum(c^2)). */
  #try(scale: number, count: number): void {
    const weights = this.#weights;
    const lowest = this.#lowest;
    const highest = this.#highest;
    const inverse = 1 / scale;
    let products = 0;
    let squares = 0;
    for (let i = 0; i < count; i++) {
      const weight = weights[i]!;
      const code = nearestCode(weight * inverse, lowest, highest);
      products += weight * code;
      squares += code * code;
    }
    const explained = scale * (2 * products - scale * squares);
    if (explained > this.#explained) {
      this.#explained = explained;
      this.#scale = scale;
      this.#fitted = products / squares;
    }
  }
}

/** Rounds to the nearest code. Truncation takes a fifth of the time of Math.round. */
function nearestCode(value: number, lowest: number, highest: number): number {
  const steps = (value - lowest + 0.5) | 0;
  return steps < 0 ? lowest : steps > highest - lowest ? highest : steps + lowest;
}

/** Returns the nearest bfloat16 number, ties to even. */
function toBfloat16(value: number): number {
  FLOAT[0] = value;
  const bits = BITS[0]!;
  BITS[0] = (bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000;
  return FLOAT[0]!;
}
const FLOAT = new Float32Array(1);
const BITS = new Uint32Array(FLOAT.buffer);

function checkShape(rows: number, cols: number): void {
  if (!Number.isInteger(rows) || rows < 1) throw new RangeError(`rows must be an integer >= 1. Given: ${rows}`);
  if (!Number.isInteger(cols) || cols < 1) throw new RangeError(`cols must be an integer >= 1. Given: ${cols}`);
}

function checkLength(name: string, given: number, expected: number): void {
  if (given !== expected) throw new RangeError(`${name} must have ${expected} elements. Given: ${given}`);
}

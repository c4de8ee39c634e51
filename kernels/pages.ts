/** KV cache pages (layout.md): their formats and sizes, and copies of keys and values between pages and f32 rows. */

import type { Address, Kernels } from "./kernels.js";
import { PageFormat, Plane } from "./layout.js";

/**
 * `f32`: as computed; `bf16`: rounded to bfloat16, which has the range of f32 and 8 significant bits; `q8`: int8 with one
 * f32 scale for each position and head.
 */
export type KVFormat = "f32" | "bf16" | "q8";

/** @internal The kernels' number for each format. */
export const PAGE_FORMATS: Readonly<Record<KVFormat, PageFormat>> = {
  f32: PageFormat.F32,
  bf16: PageFormat.BF16,
  q8: PageFormat.Q8,
};

/** Shape of a part: the keys or the values of one kv head in one layer of a page. */
export interface KVPartShape {
  readonly headDim: number;
  /** A multiple of 4. */
  readonly pageSize: number;
  readonly kvFormat: KVFormat;
}

export interface KVPageShape extends KVPartShape {
  readonly numLayers: number;
  readonly numKvHeads: number;
}

/** Returns the bytes of one KV cache page: parts [numLayers][keys, values][numKvHeads]. */
export function kvPageByteLength({ numLayers, numKvHeads, ...part }: KVPageShape): number {
  return numLayers * 2 * numKvHeads * kvPartByteLength(part);
}

/** Bytes of one dimension of a position, and of its scale. */
const BYTES: Readonly<Record<KVFormat, readonly [element: number, scale: number]>> = {
  f32: [4, 0],
  bf16: [2, 0],
  q8: [1, 4],
};

function kvPartByteLength({ headDim, pageSize, kvFormat }: KVPartShape): number {
  const [element, scale] = BYTES[kvFormat];
  return pageSize * (headDim * element + scale);
}

export type KVPlane = "key" | "value";

const PLANES: Readonly<Record<KVPlane, Plane>> = { key: Plane.Keys, value: Plane.Values };

/** Copies whole parts between pages and f32 rows outside of the kernels' memory. */
export class KVPartCopier {
  readonly partByteLength: number;
  readonly #kernels: Kernels;
  readonly #shape: KVPartShape;
  readonly #rowDim: number;
  /** The rows of one part in the kernels' memory. */
  readonly #address: Address;
  readonly #rows: Float32Array;

  /** @param rowDim elements of a row; if there are more than headDim, each half of a row ends with zeros */
  constructor(kernels: Kernels, shape: KVPartShape, rowDim: number) {
    const { headDim, pageSize } = shape;
    for (const dim of [headDim, rowDim])
      if (!Number.isInteger(dim / 2)) throw new RangeError(`A row must have two equal halves. Given: ${dim} elements`);
    if (rowDim < headDim) throw new RangeError(`rowDim must be at least ${headDim}. Given: ${rowDim}`);
    this.partByteLength = kvPartByteLength(shape);
    this.#kernels = kernels;
    this.#shape = shape;
    this.#rowDim = rowDim;
    this.#address = kernels.allocate(pageSize * rowDim * 4);
    this.#rows = kernels.f32(this.#address, pageSize * rowDim);
  }

  /** Writes the part of a page at `part`, rounded to the format. @param rows f32 [pageSize, rowDim] */
  write(part: Address, plane: KVPlane, rows: Float32Array): void {
    this.#checkLength(rows);
    this.#rows.set(rows);
    this.#kernels.writePart(part, ...this.#argumentsFor(plane));
  }

  /** Reads the part of a page at `part` as it was rounded. @param rows output: f32 [pageSize, rowDim] */
  read(part: Address, plane: KVPlane, rows: Float32Array): void {
    this.#checkLength(rows);
    this.#kernels.readPart(part, ...this.#argumentsFor(plane));
    rows.set(this.#rows);
  }

  #checkLength(rows: Float32Array): void {
    const { length } = this.#rows;
    if (rows.length !== length) throw new RangeError(`rows must have ${length} elements. Given: ${rows.length}`);
  }

  #argumentsFor(plane: KVPlane) {
    const { headDim, pageSize, kvFormat } = this.#shape;
    return [PLANES[plane], this.#address, this.#rowDim, headDim, pageSize, PAGE_FORMATS[kvFormat]] as const;
  }
}

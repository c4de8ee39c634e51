import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { loadBuilds, randomFloats } from "../spec-tests/fixtures/kernels.js";
import { numCases } from "../spec-tests/fixtures/property-size.js";
import { PlacedDecoder, randomModel, randomTokens, type Shape } from "../spec-tests/fixtures/random-decoder.js";
import { type KVFormat, type Kernels, KVPartCopier } from "./index.js";

const builds = await loadBuilds();
const FORMATS: readonly KVFormat[] = ["f32", "bf16", "q8"];
const PLANES = ["key", "value"] as const;

/** Dimensions that are and are not multiples of 4, 8 and 16, with and without padding. */
const SHAPES = [
  { headDim: 64, rowDim: 64, pageSize: 8 },
  { headDim: 20, rowDim: 20, pageSize: 12 },
  { headDim: 20, rowDim: 32, pageSize: 4 },
  { headDim: 10, rowDim: 16, pageSize: 8 },
  { headDim: 6, rowDim: 6, pageSize: 4 },
  { headDim: 2, rowDim: 2, pageSize: 4 },
];

/** Bits of zeros, subnormals, the ends of the range, infinities, NaN, and numbers at and beside ties. */
const EXTREMES = [
  0, 0x80000000, 1, 0x80000001, 0x7fff, 0x8000, 0x8001, 0x18000, 0x007fffff, 0x00800000, 0x7f7fffff, 0xff7fffff,
  0x7f7f7fff, 0x7f7f8000, 0xff7f8000, 0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 0xff800001, 0x7fffffff,
  0x3f807fff, 0x3f808000, 0x3f808001, 0x3f817fff, 0x3f818000, 0xbf818000, 0x3fffffff,
];
const anyBits = fc.oneof(fc.constantFrom(...EXTREMES), fc.integer({ min: 0, max: 2 ** 32 - 1 }));
const finite = fc.oneof(
  fc.float({ noDefaultInfinity: true, noNaN: true }),
  fc.float({ noDefaultInfinity: true, noNaN: true, min: -2, max: 2 }),
);

describe.each(SHAPES)("a part with heads of $headDim and rows of $rowDim", ({ headDim, rowDim, pageSize }) => {
  const length = pageSize * rowDim;

  /** Writes the rows in one build. Returns the bytes of the part and what is read from it. */
  function copied(kernels: Kernels, kvFormat: KVFormat, plane: "key" | "value", rows: Float32Array) {
    const copier = copierOf(kernels, kvFormat);
    const part = kernels.allocate(copier.partByteLength + 64);
    kernels.bytes(part, copier.partByteLength + 64).fill(0xaa);
    copier.write(part, plane, rows);
    const guard = kernels.bytes(part + copier.partByteLength, 64);
    expect(guard.every((byte) => byte === 0xaa)).toBe(true);
    const read = new Float32Array(length).fill(7);
    copier.read(part, plane, read);
    return { bytes: kernels.bytes(part, copier.partByteLength).slice(), read };
  }

  const copiers = new Map<string, KVPartCopier>();
  function copierOf(kernels: Kernels, kvFormat: KVFormat): KVPartCopier {
    const key = `${kernels.variant} ${kvFormat}`;
    const copier = copiers.get(key) ?? new KVPartCopier(kernels, { headDim, pageSize, kvFormat }, rowDim);
    copiers.set(key, copier);
    return copier;
  }

  /** Applies a format's rounding to each row without its padding; the padding becomes zeros. */
  function expected(rows: Float32Array, round: (head: Float32Array) => Float32Array): Float32Array {
    const half = headDim / 2;
    const result = new Float32Array(length);
    for (let first = 0; first < length; first += rowDim) {
      const upper = first + rowDim / 2;
      const head = new Float32Array(headDim);
      head.set(rows.subarray(first, first + half));
      head.set(rows.subarray(upper, upper + half), half);
      const rounded = round(head);
      result.set(rounded.subarray(0, half), first);
      result.set(rounded.subarray(half), upper);
    }
    return result;
  }

  function check(kvFormat: KVFormat, rows: Float32Array, isRight: (read: Float32Array) => void): void {
    for (const plane of PLANES) {
      const [first, ...others] = builds.map((kernels) => copied(kernels, kvFormat, plane, rows));
      isRight(first!.read);
      for (const other of others) {
        expect(Buffer.compare(other.bytes, first!.bytes)).toBe(0);
        expect(Buffer.compare(bytesOf(other.read), bytesOf(first!.read))).toBe(0);
      }
    }
  }

  const bitsOfRows = fc.array(anyBits, { minLength: length, maxLength: length });
  const floatsOf = (bits: readonly number[]): Float32Array => new Float32Array(Uint32Array.from(bits).buffer);

  it("f32: is read with the bits that were written, in every build", () => {
    fc.assert(
      fc.property(bitsOfRows, (bits) => {
        const rows = floatsOf(bits);
        const unchanged = expected(rows, (head) => head);
        check("f32", rows, (read) => expect(Buffer.compare(bytesOf(read), bytesOf(unchanged))).toBe(0));
      }),
      { seed: 1, numRuns: numCases(60) },
    );
  });

  it("bf16: is read as the nearest bfloat16 numbers, in every build", () => {
    fc.assert(
      fc.property(bitsOfRows, (bits) => {
        const rows = floatsOf(bits);
        check("bf16", rows, (read) => expect(read).toEqual(expected(rows, (head) => head.map(nearestBfloat16))));
      }),
      { seed: 2, numRuns: numCases(60) },
    );
  });

  it("q8: is read as codes times the scale of a position, in every build", () => {
    fc.assert(
      fc.property(fc.array(finite, { minLength: length, maxLength: length }), (values) => {
        const rows = Float32Array.from(values);
        check("q8", rows, (read) => expect(read).toEqual(expected(rows, quantized)));
      }),
      { seed: 3, numRuns: numCases(60) },
    );
  });
});

describe("the decoder", () => {
  const shape: Shape = {
    name: "pages",
    hiddenSize: 40,
    intermediateSize: 32,
    numHeads: 4,
    numKvHeads: 2,
    headDim: 10,
    pageSize: 8,
    hasBiases: true,
    hasHeadNorms: false,
  };

  it.each(FORMATS)("writes keys and values position by position as whole %s parts are written", (kvFormat) => {
    const { pageSize, headDim, numKvHeads } = shape;
    const tokenIds = randomTokens(3, pageSize);
    for (const kernels of builds) {
      const [given, exact] = ([kvFormat, "f32"] as const).map((format) => {
        const decoder = new PlacedDecoder(kernels, randomModel(shape, "f32", format), 8, 8);
        const pages = decoder.pages(pageSize);
        tokenIds.forEach((tokenId, position) => decoder.pass([{ tokenId, position, pages }]));
        const copier = new KVPartCopier(kernels, { headDim, pageSize, kvFormat: format }, headDim);
        return { page: pages[0]!, copier };
      });
      // The first layer's keys and values do not depend on the format of pages.
      PLANES.forEach((plane, index) => {
        for (let head = 0; head < numKvHeads; head++) {
          const partIndex = index * numKvHeads + head;
          const rows = new Float32Array(pageSize * headDim);
          exact!.copier.read(exact!.page + partIndex * exact!.copier.partByteLength, plane, rows);
          const { partByteLength } = given!.copier;
          const part = kernels.allocate(partByteLength);
          given!.copier.write(part, plane, rows);
          const written = kernels.bytes(given!.page + partIndex * partByteLength, partByteLength);
          expect(Buffer.compare(kernels.bytes(part, partByteLength), written)).toBe(0);
        }
      });
    }
  });
});

describe("a copier refuses", () => {
  const shape = { headDim: 10, pageSize: 8, kvFormat: "f32" } as const;
  it("rows that do not hold a head, or have no two halves", () => {
    expect(() => new KVPartCopier(builds[0]!, shape, 8)).toThrow("rowDim must be at least 10. Given: 8");
    expect(() => new KVPartCopier(builds[0]!, shape, 11)).toThrow("two equal halves. Given: 11 elements");
    expect(() => new KVPartCopier(builds[0]!, { ...shape, headDim: 5 }, 10)).toThrow("Given: 5 elements");
  });

  it("rows of another number than a page has", () => {
    const copier = new KVPartCopier(builds[0]!, shape, 10);
    const part = builds[0]!.allocate(copier.partByteLength);
    for (const numRows of [7, 9]) {
      const rows = randomFloats(1, numRows * 10);
      expect(() => copier.write(part, "key", rows)).toThrow("rows must have 80 elements");
      expect(() => copier.read(part, "key", rows)).toThrow("rows must have 80 elements");
    }
  });
});

/** Rounds by arithmetic in float64: to 8 significant bits, or to multiples of the smallest subnormal number. */
function nearestBfloat16(value: number): number {
  if (!Number.isFinite(value) || value === 0) return value;
  const exponent = Math.max(Math.floor(Math.log2(Math.abs(value))), -126);
  const step = 2 ** (exponent - 7);
  const rounded = roundHalfEven(value / step) * step;
  return Math.abs(rounded) >= 2 ** 128 ? Math.sign(value) * Infinity : rounded;
}

/** Rounds a head to multiples of its largest magnitude / 127, with the same f32 operations as the kernels. */
function quantized(head: Float32Array): Float32Array {
  const amax = head.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
  if (amax < Math.fround(1e-30)) return new Float32Array(head.length);
  const inverse = Math.fround(127 / amax);
  const scale = Math.fround(amax / 127);
  // An integer has no negative zero.
  return head.map((value) => (roundHalfEven(Math.fround(value * inverse)) + 0) * scale);
}

function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return rest < 0.5 ? (floor === 0 && value < 0 ? -0 : floor) : Math.ceil(value);
  return floor % 2 === 0 ? floor : Math.ceil(value);
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

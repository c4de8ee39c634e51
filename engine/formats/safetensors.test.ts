import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { numCases } from "../../spec-tests/fixtures/property-size.js";
import {
  randomSource,
  safetensors,
  safetensorsFile,
  writeRandomModel,
  type RandomTensor,
} from "../../spec-tests/fixtures/random-model.js";
import { EngineError } from "../errors.js";
import { SafetensorsReader, type Dtype } from "./safetensors.js";

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "safetensors-"));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

/** Reads every tensor of the folder, by name. */
async function readAll(dir: string): Promise<Map<string, RandomTensor>> {
  const reader = await SafetensorsReader.open(dir);
  try {
    const tensors = new Map<string, RandomTensor>();
    for (const [name, { shape }] of reader.tensors) {
      const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
      await reader.readRows(name, 0, shape[0]!, values);
      tensors.set(name, { shape, values });
    }
    return tensors;
  } finally {
    await reader.close();
  }
}

async function folderWith(bytes: Uint8Array): Promise<string> {
  const dir = await mkdtemp(join(scratch, "one-"));
  await writeFile(join(dir, "model.safetensors"), bytes);
  return dir;
}

/** Returns a file with the given header entries and `dataBytes` zeros as data. */
function fileOf(entries: object | string, dataBytes: number): Uint8Array {
  return safetensorsFile(typeof entries === "string" ? entries : JSON.stringify(entries), new Uint8Array(dataBytes));
}

const f32 = (begin: number, end: number, shape = [(end - begin) / 4]): object => ({
  dtype: "F32",
  shape,
  data_offsets: [begin, end],
});

describe("reading", () => {
  test.each<[Dtype, number]>([
    ["F32", 1],
    ["F16", 1],
    ["BF16", 1],
    ["BF16", 3],
  ])("%s in %d file(s) gives the stored values", async (dtype, numShards) => {
    const dir = await mkdtemp(join(scratch, "model-"));
    const written = await writeRandomModel(dir, { dtype, numShards });
    const read = await readAll(dir);
    expect([...read.keys()].sort()).toEqual([...written.keys()].sort());
    for (const [name, tensor] of written) expect(read.get(name)).toEqual(tensor);
  });

  test("every float16 converts exactly", async () => {
    const finite = Array.from({ length: 1 << 16 }, (_, half) => half).filter((half) => (half & 0x7c00) !== 0x7c00);
    const header = { all: { dtype: "F16", shape: [finite.length], data_offsets: [0, 2 * finite.length] } };
    const dir = await folderWith(
      safetensorsFile(JSON.stringify(header), new Uint8Array(Uint16Array.from(finite).buffer)),
    );
    const expected = finite.map((half) => {
      const [exponent, fraction] = [(half >> 10) & 31, half & 1023];
      const size = exponent === 0 ? fraction / 2 ** 24 : (1024 + fraction) * 2 ** (exponent - 25);
      return half >> 15 === 0 ? size : -size;
    });
    // Compares bits, because -0 differs from 0.
    const { values } = (await readAll(dir)).get("all")!;
    expect(Buffer.from(values.buffer).equals(Buffer.from(Float32Array.from(expected).buffer))).toBe(true);
  });

  test("row ranges concatenate to the whole", async () => {
    const dir = await mkdtemp(join(scratch, "model-"));
    const written = await writeRandomModel(dir, { dtype: "BF16" });
    const name = "model.layers.1.mlp.down_proj.weight";
    const { shape, values } = written.get(name)!;
    const [rows, cols] = shape as [number, number];
    const reader = await SafetensorsReader.open(dir);
    const parts: number[] = [];
    for (let row = 0; row < rows; row += 7) {
      const part = new Float32Array(Math.min(7, rows - row) * cols);
      await reader.readRows(name, row, part.length / cols, part);
      parts.push(...part);
    }
    await reader.close();
    expect(Float32Array.from(parts)).toEqual(values);
  });

  test.each<[number, RegExp]>([
    [NaN, /^model\.safetensors: tensor "w" holds NaN at \[1, 2\]$/],
    [Infinity, /^model\.safetensors: tensor "w" holds an infinite value at \[1, 2\]$/],
    [-Infinity, /holds an infinite value at \[1, 2\]$/],
  ])("%d among the weights is refused with its position, in every dtype", async (bad, message) => {
    for (const dtype of ["F32", "F16", "BF16"] as const) {
      const values = Float32Array.of(1, 2, 3, 4, 5, bad);
      const dir = await folderWith(safetensors(new Map([["w", { shape: [2, 3], values }]]), dtype));
      await expect(readAll(dir)).rejects.toThrow(message);
    }
  });

  test("a file that shrinks while it is being read is refused", async () => {
    const dir = await mkdtemp(join(scratch, "model-"));
    await writeRandomModel(dir);
    const reader = await SafetensorsReader.open(dir);
    await truncate(join(dir, "model.safetensors"), 9000);
    await expect(reader.readRows("lm_head.weight", 0, 1, new Float32Array(48))).rejects.toThrow(
      /^model\.safetensors: the file ended inside tensor "lm_head\.weight"/,
    );
    await reader.close();
  });
});

test("a type that cannot be read is no fault of a tensor that nobody reads", async () => {
  const header = {
    __metadata__: null,
    a: { dtype: "F64", shape: [2], data_offsets: [0, 16] },
    b: { dtype: "I64", shape: [1, 1], data_offsets: [16, 24] },
    c: { dtype: "BOOL", shape: [4], data_offsets: [24, 28] },
    w: f32(28, 32),
  };
  const reader = await SafetensorsReader.open(await folderWith(fileOf(header, 32)));
  expect([...reader.tensors].map(([name, { dtype }]) => [name, dtype])).toEqual([
    ["a", "F64"],
    ["b", "I64"],
    ["c", "BOOL"],
    ["w", "F32"],
  ]);
  const into = new Float32Array(1);
  await reader.readRows("w", 0, 1, into);
  expect(into).toEqual(Float32Array.of(0));
  await reader.close();
  await expect(
    SafetensorsReader.open(await folderWith(fileOf({ a: { dtype: "F64", shape: [2], data_offsets: [0, 8] } }, 8))),
  ).rejects.toThrow(/of F64 takes 16 bytes/);
});

describe("an invalid header is refused", () => {
  test.each<[string, Uint8Array, RegExp]>([
    ["an empty file", new Uint8Array(0), /the file is truncated: it has 0 bytes/],
    [
      "a length beyond the bound",
      Buffer.concat([Buffer.from("0000000000000001", "hex"), Buffer.alloc(8)]),
      /its header claims 72057594037927936 bytes; at most 100000000/,
    ],
    [
      "a length beyond the file",
      Buffer.concat([Buffer.from("ff00000000000000", "hex"), Buffer.alloc(8)]),
      /the file is truncated: its header claims 255 bytes, the file has 16/,
    ],
    ["invalid JSON", fileOf("{]", 0), /its header is not valid JSON/],
    ["a list", fileOf("[]", 0), /its header must hold a JSON object/],
    [
      "a tensor named twice",
      fileOf(`{"w":${JSON.stringify(f32(0, 4))},"w":${JSON.stringify(f32(0, 4))}}`, 4),
      /its header is not valid JSON: The key "w" is repeated/,
    ],
    ["overlapping tensors", fileOf({ a: f32(0, 8), b: f32(4, 12) }, 12), /tensor "b" overlaps the one before it/],
    ["a gap", fileOf({ a: f32(0, 8), b: f32(12, 16) }, 16), /4 bytes before tensor "b" belong to no tensor/],
    ["bytes after the last tensor", fileOf({ a: f32(0, 8) }, 11), /3 bytes after the last tensor belong to no tensor/],
    [
      "offsets outside the file",
      fileOf({ a: f32(0, 16) }, 12),
      /tensor "a": data_offsets \[0, 16\] lie outside the file, which holds 12 bytes of data: it is shorter than its header requires; the download may be incomplete$/,
    ],
    ["offsets that run backwards", fileOf({ a: f32(8, 4, []) }, 8), /tensor "a": data_offsets \[8, 4\] run backwards/],
    [
      "a shape that does not match the byte range",
      fileOf({ a: f32(0, 8, [3]) }, 8),
      /tensor "a": shape \[3\] of F32 takes 12 bytes, its data_offsets hold 8/,
    ],
    ["a shape that overflows", fileOf({ a: f32(0, 8, [2 ** 52, 2 ** 52]) }, 8), /tensor "a": shape/],
    ["a negative size", fileOf({ a: f32(0, 8, [-2]) }, 8), /tensor "a": shape must be a list of sizes; it is \[-2\]/],
    [
      "a fractional offset",
      fileOf({ a: { dtype: "F32", shape: [1], data_offsets: [0, 4.5] } }, 8),
      /data_offsets must be two byte offsets/,
    ],
    ["an entry that is not an object", fileOf({ a: 7 }, 0), /tensor "a": its entry must be an object/],
    ["an unknown key", fileOf({ a: { ...f32(0, 4), stride: [1] } }, 4), /tensor "a": unknown key "stride"/],
    [
      "metadata that is not text",
      fileOf({ __metadata__: { format: 1 } }, 0),
      /__metadata__ must map strings to strings/,
    ],
    [
      "an unsupported dtype",
      fileOf({ a: { dtype: "C64", shape: [4], data_offsets: [0, 32] } }, 32),
      /tensor "a": dtype "C64" is not supported \(supported: F32, F16, BF16\)/,
    ],
    [
      "a dtype that names a prototype member",
      fileOf({ a: { dtype: "constructor", shape: [4], data_offsets: [0, 4] } }, 4),
      /dtype "constructor" is not supported/,
    ],
  ])("%s", async (_, bytes, message) => {
    const dir = await folderWith(bytes);
    await expect(SafetensorsReader.open(dir)).rejects.toThrow(message);
    await expect(SafetensorsReader.open(dir)).rejects.toThrow(/^model\.safetensors: /);
    await expect(SafetensorsReader.open(dir)).rejects.toBeInstanceOf(EngineError);
  });

  test("empty tensors do not overlap others, and tensors may have the names of prototype members", async () => {
    const dir = await folderWith(fileOf({ toString: f32(0, 4), empty: f32(4, 4, [0, 7]), b: f32(4, 8) }, 8));
    expect([...(await readAll(dir)).keys()]).toEqual(["toString", "empty", "b"]);
  });
});

/** Writes a model in two files, with an index that `index` derives from the correct one. */
async function sharded(index: (map: Record<string, string>) => unknown): Promise<string> {
  const dir = await mkdtemp(join(scratch, "sharded-"));
  const written = await writeRandomModel(dir, { numShards: 2 });
  const map = Object.fromEntries([...written.keys()].map((name, i) => [name, `model-${(i % 2) + 1}-of-2.safetensors`]));
  await writeFile(join(dir, "model.safetensors.index.json"), JSON.stringify(index(map)));
  return dir;
}

describe("an invalid index is refused", () => {
  test.each<[string, (map: Record<string, string>) => unknown, RegExp]>([
    ["one without a weight map", () => ({}), /index\.json: weight_map must be an object/],
    [
      "one that leads outside the folder",
      () => ({ weight_map: { a: "../model.safetensors" } }),
      /index\.json: tensor "a": "\.\.\/model\.safetensors" is not the name/,
    ],
    [
      "one that names a file that no file system can have",
      () => ({ weight_map: { a: `${"model".repeat(100)}.safetensors` } }),
      /^model\.safetensors\.index\.json: tensor "a": "[model]+\.\.\. is not the name of a \.safetensors file in this folder$/,
    ],
    [
      "one that names a missing file",
      (map) => ({ weight_map: { ...map, a: "model-3-of-2.safetensors" } }),
      /model-3-of-2\.safetensors is missing, though model\.safetensors\.index\.json lists it/,
    ],
    [
      "one that names a missing tensor",
      (map) => ({ weight_map: { ...map, a: "model-1-of-2.safetensors" } }),
      /^model-1-of-2\.safetensors: tensor "a", listed in .* is missing/,
    ],
    [
      "one that leaves a tensor out",
      (map) => ({ weight_map: Object.fromEntries(Object.entries(map).slice(1)) }),
      /tensor "model\.embed_tokens\.weight" is not listed for this file/,
    ],
  ])("%s", async (_, index, message) => {
    await expect(SafetensorsReader.open(await sharded(index))).rejects.toThrow(message);
  });
});

test("a folder without weights is refused", async () => {
  await expect(SafetensorsReader.open(scratch)).rejects.toThrow(
    /has neither model\.safetensors nor model\.safetensors\.index\.json$/,
  );
});

test("a damaged header gives either an EngineError or the same tensors", async () => {
  const random = randomSource(3);
  const tensors = new Map(
    [[2, 3], [4], [1, 1, 5]].map((shape, i) => [
      `t${i}`,
      { shape, values: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, random) },
    ]),
  );
  const whole = Buffer.from(safetensors(tensors, "F32"));
  const headerEnd = 8 + Number(whole.readBigUInt64LE());
  const dir = await folderWith(whole);
  const place = fc.nat(headerEnd - 1);
  const mutation = fc.oneof(
    fc.record({ kind: fc.constant("set" as const), at: place, byte: fc.nat(255) }),
    fc.record({ kind: fc.constant("digit" as const), at: place, byte: fc.integer({ min: 48, max: 57 }) }),
    fc.record({ kind: fc.constant("cut" as const), at: place, byte: fc.integer({ min: 1, max: 12 }) }),
    fc.record({ kind: fc.constant("insert" as const), at: place, byte: fc.nat(255) }),
    fc.record({ kind: fc.constant("truncate" as const), at: fc.nat(whole.length - 1), byte: fc.constant(0) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 3 }), async (mutations) => {
      let bytes = whole;
      for (const { kind, at, byte } of mutations) bytes = mutated(bytes, kind, at, byte);
      await writeFile(join(dir, "model.safetensors"), bytes);
      const outcome = await readAll(dir).then(valuesInOrder, (error: unknown) => {
        if (error instanceof EngineError && error.message.includes("model.safetensors")) return "refused";
        throw error;
      });
      // weights.ts detects a changed name or a reshaped tensor of the same size; here the values are the same bytes.
      expect(["refused", valuesInOrder(tensors)]).toContainEqual(outcome);
    }),
    { numRuns: numCases(600), seed: 20, examples: [[[{ kind: "digit", at: 154, byte: 49 }]]] },
  );
});

function mutated(
  bytes: Buffer,
  kind: "set" | "digit" | "cut" | "insert" | "truncate",
  at: number,
  byte: number,
): Buffer<ArrayBuffer> {
  switch (kind) {
    case "set":
    case "digit": {
      const copy = Buffer.from(bytes);
      if (at < copy.length) copy[at] = byte;
      return copy;
    }
    case "cut":
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + byte)]);
    case "insert":
      return Buffer.concat([bytes.subarray(0, at), Uint8Array.of(byte), bytes.subarray(at)]);
    case "truncate":
      return Buffer.from(bytes.subarray(0, at));
  }
}

function valuesInOrder(tensors: ReadonlyMap<string, RandomTensor>): number[] {
  return [...tensors.values()].flatMap(({ values }) => [...values]);
}

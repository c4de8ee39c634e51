import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { asset } from "../../spec-tests/fixtures/assets.js";
import { floats, ggufFile, type WrittenGguf } from "../../spec-tests/fixtures/gguf.js";
import { numCases } from "../../spec-tests/fixtures/property-size.js";
import { EngineError } from "../errors.js";
import { GGUF_TYPES } from "./gguf-blocks.js";
import { GgufReader } from "./gguf.js";
import { SafetensorsReader } from "./safetensors.js";

const dir = mkdtempSync(join(tmpdir(), "touchstone-gguf-"));
afterAll(() => rmSync(dir, { recursive: true }));

let numFiles = 0;
function written(bytes: Uint8Array, name = `${numFiles++}.gguf`): string {
  const path = join(dir, name);
  writeFileSync(path, bytes);
  return path;
}

async function failureOf(file: WrittenGguf | Uint8Array, name?: string): Promise<string> {
  const error: unknown = await GgufReader.open(written(file instanceof Uint8Array ? file : ggufFile(file), name)).then(
    async (reader) => {
      await reader.close();
      return null;
    },
    (reason: unknown) => reason,
  );
  if (!(error instanceof EngineError)) throw new Error(`no EngineError, but ${String(error)}`);
  expect(["invalid_model", "unsupported_model"]).toContain(error.code);
  return error.message;
}

const ONE = { name: "one", shape: [2, 32], type: 0, bytes: floats(Array.from({ length: 64 }, (_, i) => i / 4)) };
const TWO = {
  name: "two",
  shape: [1, 32],
  type: 8,
  bytes: Uint8Array.of(0, 0x3c, ...Array.from({ length: 32 }, (_, i) => i)),
};
const WHOLE: WrittenGguf = {
  metadata: {
    "general.architecture": { string: "llama" },
    "llama.block_count": { u32: 2 },
    big: { u64: 2n ** 60n },
    small: { i32: -3 },
    "llama.rope.freq_base": { f32: 10000 },
    "tokenizer.ggml.add_bos_token": { bool: true },
    "tokenizer.ggml.tokens": { strings: ["a", "é", ""] },
    "tokenizer.ggml.scores": { f32s: [0, -1.5] },
    "tokenizer.ggml.token_type": { i32s: [1, -2] },
  },
  tensors: [ONE, TWO],
};

describe("a GGUF file", () => {
  it.each([2, 3])("of version %i gives its metadata and its rows", async (version) => {
    const reader = await GgufReader.open(written(ggufFile({ ...WHOLE, version })));
    expect(Object.fromEntries(reader.metadata)).toEqual({
      "general.architecture": "llama",
      "llama.block_count": 2,
      big: 2n ** 60n,
      small: -3,
      "llama.rope.freq_base": 10000,
      "tokenizer.ggml.add_bos_token": true,
      "tokenizer.ggml.tokens": ["a", "é", ""],
      "tokenizer.ggml.scores": [0, -1.5],
      "tokenizer.ggml.token_type": [1, -2],
    });
    expect([...reader.tensors].map(([name, { shape, type }]) => [name, shape, type.name])).toEqual([
      ["one", [2, 32], "F32"],
      ["two", [1, 32], "Q8_0"],
    ]);
    const row = new Float32Array(32);
    await reader.readRows("one", 1, 1, row);
    expect(Array.from(row.subarray(0, 3))).toEqual([8, 8.25, 8.5]);
    await reader.readRows("two", 0, 1, row);
    expect([...row]).toEqual(Array.from({ length: 32 }, (_, i) => i));
    await reader.close();
  });

  it("may have another alignment", async () => {
    const metadata = { "general.alignment": { u32: 64 } };
    const reader = await GgufReader.open(written(ggufFile({ metadata, tensors: [ONE, TWO], alignment: 64 })));
    const row = new Float32Array(32);
    await reader.readRows("two", 0, 1, row);
    expect(row[31]).toBe(31);
    await reader.close();
  });

  it("is read with its other shards", async () => {
    const shard = (no: number, tensors: WrittenGguf["tensors"]): Buffer =>
      ggufFile({
        metadata: { "split.no": { u32: no }, "split.count": { u32: 2 }, "split.tensors.count": { i32: 2 } },
        tensors: tensors!,
      });
    const path = written(shard(0, [ONE]), "m-00001-of-00002.gguf");
    expect(await failureOf(shard(0, [ONE]), "m-00001-of-00002.gguf")).toMatch(/m-00002-of-00002\.gguf cannot be read/);
    const second = written(shard(1, [TWO]), "m-00002-of-00002.gguf");
    const reader = await GgufReader.open(path);
    expect([...reader.tensors.keys()]).toEqual(["one", "two"]);
    await reader.close();
    expect(await failureOf(readFileSync(second), "m-00002-of-00002.gguf")).toMatch(/not the first shard/);
    expect(await failureOf(shard(0, [ONE]), "other.gguf")).toMatch(/split.count is "2"/);
    written(shard(1, []), "m-00002-of-00002.gguf");
    expect(await failureOf(shard(0, [ONE]), "m-00001-of-00002.gguf")).toMatch(/have 1 tensors/);
  });

  it.skipIf(!existsSync(asset("stories260K")))("of stories260K has the values of its safetensors", async () => {
    const reader = await GgufReader.open(join(asset("stories260K"), "stories260K.gguf"));
    const other = await SafetensorsReader.open(asset("stories260K"));
    for (const [name, theirs] of [
      ["token_embd.weight", "model.embed_tokens.weight"],
      ["blk.1.ffn_down.weight", "model.layers.1.mlp.down_proj.weight"],
    ] as const) {
      const { shape } = reader.tensors.get(name)!;
      expect(shape).toEqual(other.tensor(theirs).shape);
      const [ours, expected] = [new Float32Array(shape[0]! * shape[1]!), new Float32Array(shape[0]! * shape[1]!)];
      await reader.readRows(name, 0, shape[0]!, ours);
      await other.readRows(theirs, 0, shape[0]!, expected);
      expect(ours).toEqual(expected);
    }
    await reader.close();
    await other.close();
  });
});

describe("a GGUF file that lies", () => {
  const entry = (type: number, ...raw: number[]): WrittenGguf => ({
    metadata: { key: { type, raw: Uint8Array.from(raw) } },
  });
  it.each<[string, WrittenGguf | Uint8Array, RegExp]>([
    ["another file", Buffer.from("not GGUF at all, but text"), /does not begin with GGUF/],
    ["an empty file", new Uint8Array(0), /ends within the magic/],
    ["version 1", { version: 1 }, /version 1 is not 2 or 3/],
    ["big-endian", { version: 0x03000000 }, /big-endian/],
    [
      "2^63 tensors",
      Buffer.concat([ggufFile({}).subarray(0, 8), Buffer.alloc(7), Buffer.of(0x80), Buffer.alloc(64)]),
      /the number of tensors is 9223372036854775808/,
    ],
    [
      "more entries than bytes",
      Buffer.concat([ggufFile({}).subarray(0, 16), Buffer.of(255, 255, 0, 0, 0, 0, 0, 0)]),
      /number of metadata entries is 65535; the file has room for fewer/,
    ],
    ["an unknown type of a value", entry(13), /"key" has the type 13/],
    ["a boolean of 2", entry(7, 2), /is 2, and not true or false/],
    [
      "arrays in arrays",
      entry(9, ...Array.from({ length: 6 }, () => [9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]).flat()),
      /arrays in arrays/,
    ],
    ["a long array", entry(9, 4, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0), /the length of "key" is 4294967296/],
    [
      "a list of 5,000,000 bytes",
      {
        metadata: {
          key: {
            type: 9,
            raw: Buffer.concat([Buffer.of(0, 0, 0, 0, 0x40, 0x4b, 0x4c, 0, 0, 0, 0, 0), Buffer.alloc(5_000_000)]),
          },
        },
      },
      /lists of its metadata have more than 4194304 values/,
    ],
    ["a string without end", entry(8, 255, 255, 0, 0, 0, 0, 0, 0, 65), /length of "key" is 65535/],
    ["alignment 0", { metadata: { "general.alignment": { u32: 0 } } }, /must be a multiple of 8\. Given: "0"/],
    ["alignment 3", { metadata: { "general.alignment": { u32: 3 } } }, /must be a multiple of 8/],
    ["alignment as text", { metadata: { "general.alignment": { string: "x" } } }, /must be a multiple of 8/],
    ["a type that is not known", { tensors: [{ ...ONE, type: 999 }] }, /tensor "one" has the type 999/],
    ["five dimensions", { tensors: [{ ...ONE, shape: [1, 1, 1, 2, 32] }] }, /has 5 dimensions/],
    ["too many values", { tensors: [{ ...ONE, shape: [2 ** 30, 2 ** 30] }] }, /has \[1073741824, 1073741824\] values/],
    ["half a block", { tensors: [{ ...TWO, shape: [1, 48] }] }, /rows of 48 values; Q8_0 has blocks of 32/],
    ["outside the file", { tensors: [{ ...ONE, offset: 1024 }] }, /the download may be incomplete/],
    ["overlapping", { tensors: [ONE, { ...TWO, offset: 0 }] }, /overlaps/],
    ["not aligned", { tensors: [{ ...ONE, offset: 4 }] }, /begins at 4, which is no multiple of 32/],
    ["twice the same", { tensors: [ONE, { ...ONE }] }, /is there twice/],
  ])("%s", async (_, file, message) => {
    expect(await failureOf(file)).toMatch(message);
  });

  it("has one clear error, whatever byte is changed, or opens", { timeout: 60_000 }, async () => {
    const whole = ggufFile(WHOLE);
    const change = fc.record({ at: fc.nat(whole.length - 1), byte: fc.nat(255), length: fc.nat(whole.length) });
    await fc.assert(
      fc.asyncProperty(change, fc.boolean(), async ({ at, byte, length }, isCut) => {
        const bytes = Buffer.from(isCut ? whole.subarray(0, length) : whole);
        if (at < bytes.length) bytes[at] = byte;
        const path = written(bytes, "mutated.gguf");
        try {
          await (await GgufReader.open(path)).close();
        } catch (error) {
          expect(error).toBeInstanceOf(EngineError);
        }
      }),
      { numRuns: numCases(500) },
    );
  });

  it("reports a value that is not finite with its place", async () => {
    const bytes = floats([...Array.from({ length: 33 }, () => 1), Infinity, ...Array.from({ length: 30 }, () => 1)]);
    const reader = await GgufReader.open(written(ggufFile({ tensors: [{ ...ONE, bytes }] })));
    await expect(reader.readRows("one", 0, 2, new Float32Array(64))).rejects.toThrow(/holds Infinity at \[1, 1\]/);
    await reader.close();
  });
});

interface Golden {
  /** Base64 of the blocks, and of the float32 values that the Python package gguf reads from them. */
  readonly blocks: string;
  readonly values: string;
}

describe("blocks stand for the values that ggml gives them", () => {
  const path = new URL("../../spec-tests/golden/gguf-blocks.json", import.meta.url);
  const golden = Object.entries(JSON.parse(readFileSync(path, "utf8")) as Record<string, Golden>);
  it.each(golden)("%s", (name, { blocks, values }) => {
    const type = [...GGUF_TYPES.values()].find((one) => one.name === name)!;
    const raw = Buffer.from(blocks, "base64");
    const expected = Buffer.from(values, "base64");
    const read = new Float32Array(expected.length / 4);
    type.dequantize!(new DataView(raw.buffer, raw.byteOffset, raw.length), 0, raw.length / type.blockBytes, read);
    expect(Buffer.from(read.buffer).equals(expected)).toBe(true);
  });

  it("all types that are built", () => {
    const built = [...GGUF_TYPES.values()].filter(({ dequantize }) => dequantize !== null).map(({ name }) => name);
    expect(built.filter((name) => !golden.some(([other]) => other === name))).toEqual(["F32", "F16"]);
  });
});

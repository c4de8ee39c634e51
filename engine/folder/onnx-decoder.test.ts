/** Tests graphs that were made to keep their reader busy: cycles, chains, numbers and places that make no sense. */

import { mkdtemp, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { lengthPrefix, MODEL_GRAPH_FIELD, encodeNode, TensorProto, ValueInfoProto } from "../formats/onnx.js";
import { readOnnxFile } from "../formats/onnx-file.js";
import { readDecoder, type OnnxDecoder } from "./onnx-decoder.js";

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "onnx-decoder-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const part = (field: number, contents: Uint8Array): Uint8Array =>
  Buffer.concat([lengthPrefix(field, contents.length), contents]);

const OPSET = part(8, Uint8Array.of(0x10, 21));
const INT64 = 7;
const FLOAT = 1;

function value(name: string, elemType: number, sizes: readonly (number | string)[]): Uint8Array {
  const dim = sizes.map((size) => (typeof size === "number" ? { dimValue: size } : { dimParam: size }));
  return ValueInfoProto.encode({ name, type: { tensorType: { elemType, shape: { dim } } } }).finish();
}

type Node = readonly [opType: string, inputs: readonly string[], outputs: readonly string[]];

interface Graph {
  readonly nodes: readonly Node[];
  readonly tensors?: readonly object[];
  readonly heads?: number;
  readonly vocab?: number;
}

/** Writes a decoder of one layer with these nodes, and returns its path. */
async function written({ nodes, tensors = [], heads = 2, vocab = 5 }: Graph): Promise<string> {
  const cache = ["batch", heads, "past", 4];
  const graph = [
    ...nodes.map(([opType, inputs, outputs]) =>
      part(1, encodeNode({ opType, domain: "", inputs, outputs, attributes: {} })),
    ),
    ...tensors.map((tensor) => part(5, TensorProto.encode(tensor).finish())),
    part(11, value("input_ids", INT64, ["batch", "length"])),
    ...["key", "value"].flatMap((kind) => [
      part(11, value(`past_key_values.0.${kind}`, FLOAT, cache)),
      part(12, value(`present.0.${kind}`, FLOAT, cache)),
    ]),
    part(12, value("logits", FLOAT, ["batch", "length", vocab])),
  ];
  const path = join(dir, `${Math.random()}.onnx`);
  await writeFile(path, Buffer.concat([OPSET, part(MODEL_GRAPH_FIELD, Buffer.concat(graph))]));
  return path;
}

async function decoderOf(graph: Graph): Promise<OnnxDecoder> {
  return readDecoder(readOnnxFile(await written(graph)), {});
}

describe("a graph is read once", () => {
  test("if its logits are made of themselves", async () => {
    expect((await decoderOf({ nodes: [["Identity", ["logits"], ["logits"]]] })).ending).toBe("as it is");
  });

  test("if the weights of its product are made of themselves", async () => {
    const nodes: Node[] = [
      ["MatMul", ["x", "w"], ["logits"]],
      ["Identity", ["v"], ["w"]],
      ["Identity", ["w"], ["v"]],
    ];
    expect((await decoderOf({ nodes })).ending).toBe("of the last position");
  });

  test("if each of forty scales is the square of the next", async () => {
    const squares = Array.from({ length: 40 }, (_, i): Node => ["Mul", [`s${i + 1}`, `s${i + 1}`], [`s${i}`]]);
    const nodes: Node[] = [
      ["Mul", ["product", "s0"], ["logits"]],
      ["MatMul", ["x", "w"], ["product"]],
      ["DynamicQuantizeLinear", ["x"], ["q", "s40", "zero"]],
    ];
    expect((await decoderOf({ nodes: [...nodes, ...squares] })).ending).toBe("of the last position");
  });

  test("if a hundred thousand scales depend on each other", async () => {
    const chain = Array.from({ length: 100_000 }, (_, i): Node => ["Identity", [`s${i + 1}`], [`s${i}`]]);
    const nodes: Node[] = [["Mul", ["x", "s0"], ["logits"]], ...chain];
    expect((await decoderOf({ nodes })).ending).toBe("as it is");
  });

  test("if a hundred thousand nodes are between its product and the logits", async () => {
    const chain = Array.from({ length: 100_000 }, (_, i): Node => [
      "Identity",
      [`s${i + 1}`],
      [i === 0 ? "logits" : `s${i}`],
    ]);
    expect((await decoderOf({ nodes: chain })).ending).toBe("as it is");
  });
});

describe("a graph is refused", () => {
  test("for a product without weights, by ONNX Runtime only", async () => {
    expect((await decoderOf({ nodes: [["MatMul", ["x"], ["logits"]]] })).ending).toBe("as it is");
  });

  test.each([
    [
      { heads: 2 ** 40 },
      /number and dimension of the heads of past_key_values.0.key must be from 1 to 16777216; the graph has 1099511627776/,
    ],
    [{ heads: -1 }, /the graph has -1/],
    [{ vocab: 2 ** 40 }, /the number of logits must be from 1 to 16777216/],
  ])("for the sizes %o", async (sizes, message) => {
    const graph = decoderOf({ nodes: [["Nothing", ["input_ids"], ["logits"]]], ...sizes });
    await expect(graph).rejects.toMatchObject({ code: "invalid_model", message: expect.stringMatching(message) });
  });

  test("for more nodes than decoders have", async () => {
    const path = await written({ nodes: Array.from({ length: 200_001 }, (): Node => ["A", [], []]) });
    const error = { code: "unsupported_model", message: "the ONNX graph has more than 200000 parts" };
    expect(() => readOnnxFile(path)).toThrow(expect.objectContaining(error));
  });

  test("for a node with more inputs than fit into memory as objects", async () => {
    // Each pair of bytes is an input with an empty name.
    const node = Buffer.alloc(34 << 20, Uint8Array.of(0x0a, 0x00));
    const path = join(dir, "inputs.onnx");
    await writeFile(path, Buffer.concat([OPSET, part(MODEL_GRAPH_FIELD, part(1, node))]));
    const error = {
      code: "unsupported_model",
      message: expect.stringMatching(/^the ONNX graph has more than \d+ bytes/),
    };
    expect(() => readOnnxFile(path)).toThrow(expect.objectContaining(error));
  });

  test.each([
    [{ location: ".." }, 'must be stored in a file of the same folder. Given: ".."'],
    [{ location: "../x" }, 'Given: "../x"'],
    [{ location: "/etc/passwd" }, 'Given: "/etc/passwd"'],
    [{ location: "a\0b" }, 'Given: "a\\u0000b"'],
    [{ location: "none" }, 'its weights are in "none", which does not exist'],
    [{ location: "device" }, 'its weights are in "device", which is not a file'],
    [{ location: "data", offset: "1e3" }, 'the offset of tensor "w" must be a number of bytes. Given: "1e3"'],
    [{ location: "data", length: "-1" }, 'the length of tensor "w" must be a number of bytes. Given: "-1"'],
    [{ location: "sparse", length: "8" }, 'its weights end at byte 8 of "sparse", which has 1099511627776 bytes'],
    [{ location: "data", offset: "4", length: "8" }, 'tensor "w" ends after the end of data, which has 8 bytes'],
  ])("for external weights at %o", async (place, message) => {
    await writeFile(join(dir, "data"), new Uint8Array(8));
    await writeFile(join(dir, "sparse"), "");
    await truncate(join(dir, "sparse"), 2 ** 40);
    await symlink("/dev/zero", join(dir, "device")).catch(() => undefined);
    const externalData = Object.entries(place).map(([key, value]) => ({ key, value }));
    const tensor = { name: "w", dims: [2], dataType: FLOAT, externalData, dataLocation: 1 };
    const path = await written({ nodes: [["Identity", ["w"], ["logits"]]], tensors: [tensor] });
    const error = { code: "invalid_model", message: expect.stringContaining(message) };
    expect(() => readOnnxFile(path)).toThrow(expect.objectContaining(error));
  });
});

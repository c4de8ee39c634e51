/**
 * Defines the messages of ONNX files and writes such files; onnx-file.ts reads them. The small parts (nodes, shapes,
 * names) are encoded with protobufjs. Weights are streamed after them, because a protobuf message may be written in
 * pieces once every length is known. A model too large for one protobuf message (2 GiB), or large enough to be worth
 * mapping, keeps its weights in a second file in the same folder (ONNX external data). This file knows nothing about
 * decoders; body-graph.ts defines the graph.
 */

import protobuf from "protobufjs/light.js";

import { assert } from "../errors.js";
import { LIMITS } from "../limits.js";
import type { ByteSink } from "./file-sink.js";

/**
 * Writes `graph` to `model`, and its weights to `external` unless that is null.
 *
 * @param contents the initializers' raw bytes in the order of `graph.initializers`, each in any number of pieces
 * @param external file for all but the smallest initializers, and its name in the model's folder; a loader needs
 *   the smallest ones, such as shapes, before it opens other files
 */
export async function writeOnnx(
  graph: Graph,
  contents: AsyncIterable<InitializerPiece>,
  model: ByteSink,
  external: { sink: ByteSink; location: string } | null,
): Promise<void> {
  const headers = tensorHeaders(graph, external === null ? null : external.location);
  const graphPrefix = encodeGraph(graph);
  const graphBytes = headers.reduce((sum, header) => sum + messageBytes(header.messageBytes), graphPrefix.length);
  const modelPrefix = ModelProto.encode({
    irVersion: IR_VERSION,
    producerName: "touchstone",
    opsetImport: [
      { domain: "", version: OPSET },
      { domain: "com.microsoft", version: 1 },
    ],
  }).finish();
  assert(
    modelPrefix.length + messageBytes(graphBytes) < LIMITS.maxProtobufBytes,
    "an ONNX file beyond protobuf's limit needs external data",
  );

  await model.write(modelPrefix);
  await model.write(lengthPrefix(MODEL_GRAPH_FIELD, graphBytes));
  await model.write(graphPrefix);
  const pieces = contents[Symbol.asyncIterator]();
  for (const [index, initializer] of graph.initializers.entries()) {
    const header = headers[index]!;
    await model.write(lengthPrefix(GRAPH_INITIALIZER_FIELD, header.messageBytes));
    await model.write(header.prefix);
    if (external !== null && header.offset !== null) {
      await padTo(external.sink, header.offset);
      await copyPieces(pieces, initializer, external.sink);
    } else await copyPieces(pieces, initializer, model);
  }
  assert((await pieces.next()).done === true, "more contents than initializers");
}

/** Returns about how many bytes a single file would have; the caller uses it to choose external data. */
export function onnxFileBytes(graph: Graph): number {
  const headers = tensorHeaders(graph, null);
  return headers.reduce((sum, header) => sum + messageBytes(header.messageBytes), encodeGraph(graph).length) + 1024;
}

export type DataType = "f32" | "f16" | "u8" | "i8" | "i32" | "i64" | "bool";

export interface Graph {
  readonly name: string;
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly nodes: readonly GraphNode[];
  readonly initializers: readonly Initializer[];
}

/** An input or output of the graph. */
export interface ValueInfo {
  readonly name: string;
  /** A string is the name of a dimension known only at run time; null declares no shape. */
  readonly shape: readonly (number | string)[] | null;
  /** f32 unless given. */
  readonly dataType?: DataType;
}

export interface GraphNode {
  readonly opType: string;
  readonly domain: "" | "com.microsoft";
  /** An empty name marks an optional input that is absent. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

export type Attribute =
  | { readonly type: "int"; readonly value: number }
  | { readonly type: "float"; readonly value: number }
  | { readonly type: "ints"; readonly value: readonly number[] };

export const int = (value: number): Attribute => ({ type: "int", value });
export const float = (value: number): Attribute => ({ type: "float", value });
export const ints = (value: readonly number[]): Attribute => ({ type: "ints", value });

export interface Initializer {
  readonly name: string;
  readonly dataType: DataType;
  readonly dims: readonly number[];
}

export interface InitializerPiece {
  readonly name: string;
  readonly bytes: Uint8Array;
}

export const BYTES_PER_ELEMENT: Readonly<Record<DataType, number>> = {
  f32: 4,
  f16: 2,
  u8: 1,
  i8: 1,
  i32: 4,
  i64: 8,
  bool: 1,
};

function initializerBytes(initializer: Initializer): number {
  return initializer.dims.reduce((product, dim) => product * dim, BYTES_PER_ELEMENT[initializer.dataType]);
}

const IR_VERSION = 10;
const OPSET = 21;
export const MODEL_GRAPH_FIELD = 7;
export const MODEL_OPSET_FIELD = 8;
export const GRAPH_NODE_FIELD = 1;
export const GRAPH_INITIALIZER_FIELD = 5;
export const GRAPH_INPUT_FIELD = 11;
export const GRAPH_OUTPUT_FIELD = 12;
export const NODE_INPUT_FIELD = 1;
export const NODE_ATTRIBUTE_FIELD = 5;
export const TENSOR_DIMS_FIELD = 1;
export const TENSOR_TYPE_FIELD = 2;
export const TENSOR_NAME_FIELD = 8;
export const TENSOR_RAW_DATA_FIELD = 9;
export const TENSOR_EXTERNAL_DATA_FIELD = 13;
export const TENSOR_DATA_LOCATION_FIELD = 14;
/** Page size in bytes: an alignment that lets a loader map a tensor instead of copying it. */
const EXTERNAL_ALIGNMENT = 4096;
/** Smaller initializers stay in the model file. */
export const EXTERNAL_TENSOR_FROM_BYTES = 1024;

/** ONNX's numbers of the element types. */
export const ONNX_DATA_TYPE: Readonly<Record<DataType, number>> = {
  f32: 1,
  u8: 2,
  i8: 3,
  i32: 6,
  i64: 7,
  bool: 9,
  f16: 10,
};
const ONNX_ATTRIBUTE_TYPE = { float: 1, int: 2, ints: 7 } as const;
export const ONNX_DATA_LOCATION_EXTERNAL = 1;

/** The part of onnx.proto (ONNX 1.16, IR version 10) that a decoder needs. */
const root = protobuf.Root.fromJSON({
  nested: {
    ModelProto: {
      fields: {
        irVersion: { type: "int64", id: 1 },
        producerName: { type: "string", id: 2 },
        graph: { type: "GraphProto", id: MODEL_GRAPH_FIELD },
        opsetImport: { rule: "repeated", type: "OperatorSetIdProto", id: MODEL_OPSET_FIELD },
      },
    },
    OperatorSetIdProto: { fields: { domain: { type: "string", id: 1 }, version: { type: "int64", id: 2 } } },
    GraphProto: {
      fields: {
        node: { rule: "repeated", type: "NodeProto", id: GRAPH_NODE_FIELD },
        name: { type: "string", id: 2 },
        initializer: { rule: "repeated", type: "TensorProto", id: GRAPH_INITIALIZER_FIELD },
        input: { rule: "repeated", type: "ValueInfoProto", id: GRAPH_INPUT_FIELD },
        output: { rule: "repeated", type: "ValueInfoProto", id: GRAPH_OUTPUT_FIELD },
      },
    },
    NodeProto: {
      fields: {
        input: { rule: "repeated", type: "string", id: NODE_INPUT_FIELD },
        output: { rule: "repeated", type: "string", id: 2 },
        name: { type: "string", id: 3 },
        opType: { type: "string", id: 4 },
        attribute: { rule: "repeated", type: "AttributeProto", id: NODE_ATTRIBUTE_FIELD },
        domain: { type: "string", id: 7 },
      },
    },
    AttributeProto: {
      fields: {
        name: { type: "string", id: 1 },
        f: { type: "float", id: 2 },
        i: { type: "int64", id: 3 },
        ints: { rule: "repeated", type: "int64", id: 8 },
        type: { type: "int32", id: 20 },
      },
    },
    TensorProto: {
      fields: {
        dims: { rule: "repeated", type: "int64", id: TENSOR_DIMS_FIELD },
        dataType: { type: "int32", id: TENSOR_TYPE_FIELD },
        name: { type: "string", id: TENSOR_NAME_FIELD },
        rawData: { type: "bytes", id: TENSOR_RAW_DATA_FIELD },
        externalData: { rule: "repeated", type: "StringStringEntryProto", id: TENSOR_EXTERNAL_DATA_FIELD },
        dataLocation: { type: "int32", id: TENSOR_DATA_LOCATION_FIELD },
      },
    },
    StringStringEntryProto: { fields: { key: { type: "string", id: 1 }, value: { type: "string", id: 2 } } },
    ValueInfoProto: { fields: { name: { type: "string", id: 1 }, type: { type: "TypeProto", id: 2 } } },
    TypeProto: { fields: { tensorType: { type: "TensorTypeProto", id: 1 } } },
    TensorTypeProto: { fields: { elemType: { type: "int32", id: 1 }, shape: { type: "TensorShapeProto", id: 2 } } },
    TensorShapeProto: { fields: { dim: { rule: "repeated", type: "DimensionProto", id: 1 } } },
    DimensionProto: { fields: { dimValue: { type: "int64", id: 1 }, dimParam: { type: "string", id: 2 } } },
  },
});
/** A message type of protobufjs, without its types, which need esModuleInterop in a user's project. */
export interface MessageType {
  encode(message: object): { finish(): Uint8Array };
  decode(bytes: Uint8Array): object;
  toObject(message: object, options: object): Record<string, unknown>;
}

const typeOf = (name: string): MessageType => {
  const type = root.lookupType(name);
  return {
    encode: (message) => type.encode(message),
    decode: (bytes) => type.decode(bytes),
    toObject: (message, options) => type.toObject(message as protobuf.Message, options),
  };
};

const ModelProto = typeOf("ModelProto");
export const NodeProto = typeOf("NodeProto");
export const OperatorSetIdProto = typeOf("OperatorSetIdProto");
export const TensorProto = typeOf("TensorProto");
export const ValueInfoProto = typeOf("ValueInfoProto");
const GraphProto = typeOf("GraphProto");

interface TensorHeader {
  /** The TensorProto up to its raw bytes, or all of it if the raw bytes are external. */
  readonly prefix: Uint8Array;
  /** Length of the whole TensorProto. */
  readonly messageBytes: number;
  /** Byte offset in the external file; null if the raw bytes are inside the TensorProto. */
  readonly offset: number | null;
}

function tensorHeaders(graph: Graph, location: string | null): TensorHeader[] {
  const headers: TensorHeader[] = [];
  let offset = 0;
  for (const initializer of graph.initializers) {
    const { name, dims, dataType } = initializer;
    const byteLength = initializerBytes(initializer);
    const tensor = { name, dims, dataType: ONNX_DATA_TYPE[dataType] };
    if (location === null || byteLength < EXTERNAL_TENSOR_FROM_BYTES) {
      const fields = TensorProto.encode(tensor).finish();
      const prefix = Buffer.concat([fields, lengthPrefix(TENSOR_RAW_DATA_FIELD, byteLength)]);
      headers.push({ prefix, messageBytes: prefix.length + byteLength, offset: null });
    } else {
      const externalData = Object.entries({ location, offset: `${offset}`, length: `${byteLength}` });
      const prefix = TensorProto.encode({
        ...tensor,
        externalData: externalData.map(([key, value]) => ({ key, value })),
        dataLocation: ONNX_DATA_LOCATION_EXTERNAL,
      }).finish();
      headers.push({ prefix, messageBytes: prefix.length, offset });
      offset += Math.ceil(byteLength / EXTERNAL_ALIGNMENT) * EXTERNAL_ALIGNMENT;
    }
  }
  return headers;
}

/** Encodes the GraphProto without its initializers. */
function encodeGraph(graph: Graph): Uint8Array {
  return GraphProto.encode({
    name: graph.name,
    input: graph.inputs.map(valueInfo),
    output: graph.outputs.map(valueInfo),
    node: graph.nodes.map(encodableNode),
  }).finish();
}

/** Encodes one node of a GraphProto. */
export function encodeNode(node: GraphNode): Uint8Array {
  return NodeProto.encode(encodableNode(node)).finish();
}

function encodableNode(node: GraphNode): object {
  return {
    name: node.outputs[0],
    opType: node.opType,
    domain: node.domain,
    input: node.inputs,
    output: node.outputs,
    attribute: Object.entries(node.attributes).map(([name, attribute]) => encodableAttribute(name, attribute)),
  };
}

function encodableAttribute(name: string, attribute: Attribute): object {
  const type = ONNX_ATTRIBUTE_TYPE[attribute.type];
  switch (attribute.type) {
    case "int":
      return { name, type, i: attribute.value };
    case "float":
      return { name, type, f: attribute.value };
    case "ints":
      return { name, type, ints: attribute.value };
  }
}

function valueInfo(value: ValueInfo): object {
  const dim = value.shape?.map((size) => (typeof size === "number" ? { dimValue: size } : { dimParam: size }));
  const elemType = ONNX_DATA_TYPE[value.dataType ?? "f32"];
  return { name: value.name, type: { tensorType: dim === undefined ? { elemType } : { elemType, shape: { dim } } } };
}

/** Returns the tag and length that precede a length-delimited field. */
export function lengthPrefix(field: number, byteLength: number): Uint8Array {
  const bytes: number[] = [(field << 3) | 2];
  let rest = byteLength;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  bytes.push(rest);
  return Uint8Array.from(bytes);
}

/** Returns the bytes of a sub-message with its tag and length. Every field number used here fits in one tag byte. */
function messageBytes(byteLength: number): number {
  return lengthPrefix(1, byteLength).length + byteLength;
}

async function copyPieces(
  pieces: AsyncIterator<InitializerPiece>,
  initializer: Initializer,
  sink: ByteSink,
): Promise<void> {
  let missing = initializerBytes(initializer);
  while (missing > 0) {
    const next = await pieces.next();
    assert(next.done !== true && next.value.name === initializer.name, `contents of ${initializer.name} are missing`);
    missing -= next.value.bytes.length;
    assert(missing >= 0, `contents of ${initializer.name} are too long`);
    await sink.write(next.value.bytes);
  }
}

async function padTo(sink: ByteSink, offset: number): Promise<void> {
  assert(sink.byteLength <= offset, "external data overlap");
  if (sink.byteLength < offset) await sink.write(new Uint8Array(offset - sink.byteLength));
}

/**
 * Reads ONNX files: the graph's inputs and outputs, its nodes, and the location of its weights, but not the weights.
 * Parts are kept as raw bytes, so that a file can be written again with a few parts changed. The weights then stay in
 * their files, because a tensor may refer to any range of any file as its contents (ONNX external data).
 */

import { closeSync, fstatSync, readSync, realpathSync, statSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";

import { EngineError, quoted } from "../errors.js";
import { LIMITS } from "../limits.js";
import { checkIsNoPointer, openModelFileSync } from "./model-files.js";
import {
  EXTERNAL_TENSOR_FROM_BYTES,
  GRAPH_INITIALIZER_FIELD,
  GRAPH_INPUT_FIELD,
  GRAPH_NODE_FIELD,
  GRAPH_OUTPUT_FIELD,
  lengthPrefix,
  MODEL_GRAPH_FIELD,
  MODEL_OPSET_FIELD,
  NODE_ATTRIBUTE_FIELD,
  type MessageType,
  NodeProto,
  ONNX_DATA_LOCATION_EXTERNAL,
  OperatorSetIdProto,
  TENSOR_DIMS_FIELD,
  TENSOR_EXTERNAL_DATA_FIELD,
  TENSOR_NAME_FIELD,
  TENSOR_TYPE_FIELD,
  TENSOR_DATA_LOCATION_FIELD,
  TENSOR_RAW_DATA_FIELD,
  TensorProto,
  ValueInfoProto,
} from "./onnx.js";

/**
 * Reads everything of an ONNX file except its weights.
 *
 * @throws EngineError `invalid_model` for a file that is not ONNX, is truncated, or refers to missing weights, and for
 *   pointers of Git LFS;
 *   `unsupported_model` if the graph itself is too large
 */
export function readOnnxFile(path: string): OnnxFile {
  const bytes = FileBytes.open(path);
  try {
    checkIsNoPointer(path);
    return readModel(path, bytes);
  } catch (cause) {
    if (cause instanceof EngineError) throw cause;
    throw new EngineError(
      "invalid_model",
      `${path} is not an ONNX file or is damaged: ${(cause as Error).message}`,
      null,
      { cause },
    );
  } finally {
    bytes.close();
  }
}

export interface OnnxFile {
  readonly path: string;
  /** Version of the standard operator set. */
  readonly opset: number;
  readonly inputs: readonly StoredValueInfo[];
  readonly outputs: readonly StoredValueInfo[];
  readonly nodes: readonly StoredNode[];
  readonly initializers: ReadonlyMap<string, StoredTensor>;
  /** Names of the files in the same folder that hold weights. */
  readonly dataFiles: readonly string[];
  /** Other parts of the model and of the graph, each with its tag. */
  readonly modelParts: readonly Uint8Array[];
  readonly graphParts: readonly Uint8Array[];
}

/** An input or output of the graph. Element types are ONNX's numbers. */
export interface StoredValueInfo {
  readonly name: string;
  readonly elementType: number;
  /** A string is the name of a dimension known only at run time; null means that the file does not specify it. */
  readonly shape: readonly (number | string | null)[] | null;
  readonly bytes: Uint8Array;
}

export interface StoredNode {
  readonly opType: string;
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Numbers and lists of integers; other attributes are left out. */
  readonly attributes: Readonly<Record<string, number | readonly number[]>>;
  readonly bytes: Uint8Array;
}

export interface StoredTensor {
  readonly name: string;
  readonly elementType: number;
  readonly dims: readonly number[];
  /** Null if the values are not raw bytes but numbers encoded by protobuf. */
  readonly contents: TensorContents | null;
  /** The TensorProto, without its contents and their location. */
  readonly bytes: Uint8Array;
}

export interface TensorContents {
  /** Path without symbolic links: those of a shared cache leave the folder, and ONNX Runtime refuses such files. */
  readonly file: string;
  readonly offset: number;
  readonly byteLength: number;
}

/** A model to load from memory. */
export interface RewrittenModel {
  readonly bytes: Uint8Array;
  /** Folder to which the locations of its weights are relative. */
  readonly weightsFolder: string;
}

/** Returns the model with other nodes and outputs and with more initializers; the weights stay in their files. */
export function rewriteOnnx(
  file: OnnxFile,
  changed: {
    readonly nodes: readonly Uint8Array[];
    readonly outputs: readonly Uint8Array[];
    readonly initializers: readonly Uint8Array[];
  },
): RewrittenModel {
  const tensors = [...file.initializers.values()];
  const folder = commonFolder(
    tensors.flatMap(({ contents }) => (contents === null ? [] : [contents.file])),
    dirname(file.path),
  );
  const initializers = tensors.map((tensor) => relocated(tensor, folder));
  const graph = [
    ...file.graphParts,
    ...changed.nodes.flatMap((node) => message(GRAPH_NODE_FIELD, node)),
    ...[...initializers, ...changed.initializers].flatMap((tensor) => message(GRAPH_INITIALIZER_FIELD, tensor)),
    ...file.inputs.flatMap((input) => message(GRAPH_INPUT_FIELD, input.bytes)),
    ...changed.outputs.flatMap((output) => message(GRAPH_OUTPUT_FIELD, output)),
  ];
  return {
    bytes: Buffer.concat([...file.modelParts, ...message(MODEL_GRAPH_FIELD, Buffer.concat(graph))]),
    weightsFolder: folder,
  };
}

/** Returns the fields of a message in memory: field number, and bytes with and without tag and length. */
export function fieldsOf(message: Uint8Array): { field: number; whole: Uint8Array; contents: Uint8Array }[] {
  const bytes = FileBytes.inMemory(message);
  return [...fields(bytes, 0, message.length)].map(({ field, start, contents, end }) => ({
    field,
    whole: message.subarray(start, end),
    contents: message.subarray(contents, end),
  }));
}

/** Returns tag and length, then contents, of a sub-message or string. */
export function message(field: number, contents: Uint8Array): Uint8Array[] {
  return [lengthPrefix(field, contents.length), contents];
}

/**
 * Returns the tensor with its weights as external data, which may be in the model file itself. The smallest weights
 * stay in the message, because loaders need them at once.
 */
function relocated({ contents, bytes }: StoredTensor, folder: string): Uint8Array {
  if (contents === null) return bytes;
  const { file, offset, byteLength } = contents;
  if (byteLength < EXTERNAL_TENSOR_FROM_BYTES) {
    const source = FileBytes.open(file);
    try {
      return Buffer.concat([bytes, ...message(TENSOR_RAW_DATA_FIELD, source.read(offset, byteLength))]);
    } finally {
      source.close();
    }
  }
  const place = { location: relative(folder, file).replaceAll(sep, "/"), offset: `${offset}`, length: `${byteLength}` };
  const external = TensorProto.encode({
    externalData: Object.entries(place).map(([key, value]) => ({ key, value })),
    dataLocation: ONNX_DATA_LOCATION_EXTERNAL,
  }).finish();
  return Buffer.concat([bytes, external]);
}

/** Returns the innermost folder that contains all the files; `other` if the list is empty. */
function commonFolder(files: readonly string[], other: string): string {
  let folder = files[0] === undefined ? other : dirname(files[0]);
  for (const file of new Set(files)) while (relative(folder, file).startsWith("..")) folder = dirname(folder);
  return folder;
}

function readModel(path: string, bytes: FileBytes): OnnxFile {
  if (bytes.byteLength > LIMITS.maxProtobufBytes)
    throw new Error(`it has ${bytes.byteLength} bytes; at most ${LIMITS.maxProtobufBytes} are allowed`);
  const modelParts: Uint8Array[] = [];
  let graph: Field | null = null;
  let opset = 0;
  for (const part of fields(bytes, 0, bytes.byteLength)) {
    if (part.field === MODEL_GRAPH_FIELD) {
      graph = part;
      continue;
    }
    modelParts.push(bytes.keep(part.start, part.end));
    if (part.field !== MODEL_OPSET_FIELD) continue;
    const { domain = "", version = 0 } = bytes.decode(OperatorSetIdProto, bytes.keep(part.contents, part.end)) as {
      domain?: string;
      version?: number;
    };
    if (domain === "" || domain === "ai.onnx") opset = version;
  }
  if (graph === null) throw new Error("it has no graph");

  const dataFiles = new Map<string, DataFile>();
  const inputs: StoredValueInfo[] = [];
  const outputs: StoredValueInfo[] = [];
  const nodes: StoredNode[] = [];
  const initializers = new Map<string, StoredTensor>();
  const graphParts: Uint8Array[] = [];
  const ownPath = realpathSync(path);
  for (const part of fields(bytes, graph.contents, graph.end)) {
    switch (part.field) {
      case GRAPH_INITIALIZER_FIELD: {
        const tensor = readTensor({ path, ownPath, dataFiles }, bytes, part);
        initializers.set(tensor.name, tensor);
        break;
      }
      case GRAPH_NODE_FIELD:
        nodes.push(readNode(bytes, part));
        break;
      case GRAPH_INPUT_FIELD:
        inputs.push(readValueInfo(bytes, part));
        break;
      case GRAPH_OUTPUT_FIELD:
        outputs.push(readValueInfo(bytes, part));
        break;
      default:
        graphParts.push(bytes.keep(part.start, part.end));
    }
  }
  if (nodes.length === 0 || outputs.length === 0) throw new Error("its graph is empty");
  for (const [name, file] of dataFiles) checkUsed(name, file, initializers.values());
  return {
    path,
    opset,
    inputs,
    outputs,
    nodes,
    initializers,
    dataFiles: [...dataFiles.keys()],
    modelParts,
    graphParts,
  };
}

/** Places where a file may keep its weights. */
interface WeightPlaces {
  readonly path: string;
  /** `path` without symbolic links. */
  readonly ownPath: string;
  /** The other files that hold weights, by name. */
  readonly dataFiles: Map<string, DataFile>;
}

interface DataFile {
  /** Path without symbolic links. */
  readonly path: string;
  readonly byteLength: number;
}

function readTensor(places: WeightPlaces, bytes: FileBytes, part: Field): StoredTensor {
  const kept: Uint8Array[] = [];
  /** The fields that are decoded: all but the numbers of a tensor that does not store them as raw bytes. */
  const described: Uint8Array[] = [];
  const place: Uint8Array[] = [];
  let contents: TensorContents | null = null;
  for (const { field, start, contents: first, end } of fields(bytes, part.contents, part.end)) {
    if (field === TENSOR_RAW_DATA_FIELD) contents = { file: places.ownPath, offset: first, byteLength: end - first };
    else {
      const whole = bytes.keep(start, end);
      (PLACE_FIELDS.has(field) ? place : kept).push(whole);
      if (DESCRIBING_FIELDS.has(field)) described.push(whole);
    }
  }
  const {
    name = "",
    dims = [],
    dataType = 0,
    externalData = [],
    dataLocation = 0,
  } = bytes.decode(TensorProto, Buffer.concat([...described, ...place])) as {
    name?: string;
    dims?: number[];
    dataType?: number;
    externalData?: { key?: string; value?: string }[];
    dataLocation?: number;
  };
  if (dataLocation === ONNX_DATA_LOCATION_EXTERNAL) {
    const data = new Map(externalData.map(({ key = "", value = "" }) => [key, value]));
    contents = externalContents(places, name, data);
  }
  return {
    name,
    elementType: dataType,
    dims,
    contents,
    bytes: Buffer.concat(contents === null ? [...kept, ...place] : kept),
  };
}

const DESCRIBING_FIELDS: ReadonlySet<number> = new Set([TENSOR_DIMS_FIELD, TENSOR_TYPE_FIELD, TENSOR_NAME_FIELD]);
const PLACE_FIELDS: ReadonlySet<number> = new Set([TENSOR_EXTERNAL_DATA_FIELD, TENSOR_DATA_LOCATION_FIELD]);

/** Locates the external data of a tensor. */
function externalContents(
  { path, dataFiles }: WeightPlaces,
  tensor: string,
  data: ReadonlyMap<string, string>,
): TensorContents {
  const location = (data.get("location") ?? "").replace(/^\.\//, "");
  if (location === "" || location === "." || location === ".." || /[/\\:\0]/.test(location)) {
    throw new Error(
      `tensor ${quoted(tensor)} must be stored in a file of the same folder. Given: ${quoted(data.get("location") ?? "")}`,
    );
  }
  let file = dataFiles.get(location);
  if (file === undefined) dataFiles.set(location, (file = dataFile(path, location)));
  const offset = byteCount(data, "offset", tensor) ?? 0;
  const byteLength = byteCount(data, "length", tensor) ?? Math.max(0, file.byteLength - offset);
  if (offset + byteLength > file.byteLength) {
    throw new Error(`tensor ${quoted(tensor)} ends after the end of ${location}, which has ${file.byteLength} bytes`);
  }
  return { file: file.path, offset, byteLength };
}

/** Refuses a file that consists mostly of bytes that no tensor has: a sparse file of a terabyte is hashed for an hour. */
function checkUsed(name: string, { path, byteLength }: DataFile, tensors: Iterable<StoredTensor>): void {
  let end = 0;
  for (const { contents } of tensors)
    if (contents?.file === path) end = Math.max(end, contents.offset + contents.byteLength);
  if (byteLength - end <= Math.max(end, MAX_UNUSED_BYTES)) return;
  throw new Error(`its weights end at byte ${end} of ${quoted(name)}, which has ${byteLength} bytes`);
}

/** Graphs that share a file of weights use different parts of it. */
const MAX_UNUSED_BYTES = 64 << 20;

function dataFile(path: string, location: string): DataFile {
  const file = join(dirname(path), location);
  const entry = statSync(file, { throwIfNoEntry: false });
  if (entry === undefined) throw new Error(`its weights are in ${quoted(location)}, which does not exist`);
  if (!entry.isFile()) throw new Error(`its weights are in ${quoted(location)}, which is not a file`);
  checkIsNoPointer(file);
  return { path: realpathSync(file), byteLength: entry.size };
}

/** Reads a number of bytes, which external data give as decimal text; undefined if it is absent. */
function byteCount(data: ReadonlyMap<string, string>, key: string, tensor: string): number | undefined {
  const text = data.get(key);
  if (text === undefined) return undefined;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new Error(`the ${key} of tensor ${quoted(tensor)} must be a number of bytes. Given: ${quoted(text)}`);
}

function readNode(file: FileBytes, part: Field): StoredNode {
  const bytes = file.keep(part.contents, part.end);
  const {
    opType = "",
    domain = "",
    input = [],
    output = [],
    attribute = [],
  } = file.decode(NodeProto, withoutLargeAttributes(bytes)) as {
    opType?: string;
    domain?: string;
    input?: string[];
    output?: string[];
    attribute?: { name?: string; f?: number; i?: number; ints?: number[] }[];
  };
  const attributes = Object.fromEntries(
    attribute.flatMap(({ name = "", f, i, ints }): [string, number | readonly number[]][] => {
      const value = ints !== undefined && ints.length > 0 ? ints : (i ?? f);
      return value === undefined ? [] : [[name, value]];
    }),
  );
  return { opType, domain: domain === "ai.onnx" ? "" : domain, inputs: input, outputs: output, attributes, bytes };
}

/** Leaves out the attributes that hold tensors and graphs, which are not looked at. */
function withoutLargeAttributes(node: Uint8Array): Uint8Array {
  if (node.length <= MAX_DECODED_ATTRIBUTE_BYTES) return node;
  const kept: Uint8Array[] = [];
  let keptTo = 0;
  for (const { field, start, end } of fields(FileBytes.inMemory(node), 0, node.length)) {
    if (field !== NODE_ATTRIBUTE_FIELD || end - start <= MAX_DECODED_ATTRIBUTE_BYTES) continue;
    kept.push(node.subarray(keptTo, start));
    keptTo = end;
  }
  return Buffer.concat([...kept, node.subarray(keptTo)]);
}

const MAX_DECODED_ATTRIBUTE_BYTES = 4096;

function readValueInfo(file: FileBytes, part: Field): StoredValueInfo {
  const bytes = file.keep(part.contents, part.end);
  const { name = "", type } = file.decode(ValueInfoProto, bytes) as {
    name?: string;
    type?: { tensorType?: { elemType?: number; shape?: { dim?: { dimValue?: number; dimParam?: string }[] } } };
  };
  const shape = type?.tensorType?.shape;
  return {
    name,
    elementType: type?.tensorType?.elemType ?? 0,
    shape: shape === undefined ? null : (shape.dim ?? []).map(({ dimValue, dimParam }) => dimValue ?? dimParam ?? null),
    bytes,
  };
}

/** A field of a message: its number and byte positions. */
interface Field {
  readonly field: number;
  readonly start: number;
  /** Position after tag and length. */
  readonly contents: number;
  readonly end: number;
}

function* fields(bytes: FileBytes, start: number, messageEnd: number): Generator<Field> {
  for (let position = start; position < messageEnd;) {
    const first = position;
    const tag = bytes.varint(position);
    const field = Math.floor(tag.value / 8);
    let contents = tag.end;
    let end: number;
    switch (tag.value % 8) {
      case 0:
        end = bytes.varint(contents).end;
        break;
      case 1:
        end = contents + 8;
        break;
      case 2: {
        const length = bytes.varint(contents);
        contents = length.end;
        end = contents + length.value;
        break;
      }
      case 5:
        end = contents + 4;
        break;
      default:
        throw new Error(`no field starts at byte ${first}`);
    }
    if (field === 0) throw new Error(`no field starts at byte ${first}`);
    if (end > messageEnd)
      throw new Error(
        `the field at byte ${first} ends at byte ${end}, after the end of its message at byte ${messageEnd}`,
      );
    yield { field, start: first, contents, end };
    position = end;
  }
}

/** Reads parts of a file, and limits the memory for the parts that are kept and for the objects made of them. */
class FileBytes {
  #window: Uint8Array = new Uint8Array(0);
  #windowStart = 0;
  #numKeptBytes = 0;
  #numParts = 0;
  #numDecodedBytes = 0;

  private constructor(
    readonly file: number | null,
    readonly byteLength: number,
  ) {}

  static open(path: string): FileBytes {
    try {
      const file = openModelFileSync(path);
      return new FileBytes(file, fstatSync(file).size);
    } catch (cause) {
      if (cause instanceof EngineError) throw cause;
      const { code } = cause as NodeJS.ErrnoException;
      throw new EngineError("invalid_model", `${path} cannot be read (${code})`, null, { cause });
    }
  }

  static inMemory(bytes: Uint8Array): FileBytes {
    const all = new FileBytes(null, bytes.length);
    all.#window = bytes;
    return all;
  }

  varint(position: number): { value: number; end: number } {
    let value = 0;
    for (let index = 0; index < MAX_VARINT_BYTES; index++) {
      const byte = this.#byte(position + index);
      value += (byte & 0x7f) * 2 ** (7 * index);
      if (byte < 0x80) return { value, end: position + index + 1 };
    }
    throw new Error(`no number starts at byte ${position}`);
  }

  read(position: number, length: number): Uint8Array {
    const bytes = Buffer.allocUnsafe(length);
    for (let done = 0; done < length;) {
      const count = this.file === null ? 0 : readSync(this.file, bytes, done, length - done, position + done);
      if (count === 0) throw new Error(`it ends after ${position + done} bytes`);
      done += count;
    }
    return bytes;
  }

  /** Reads a part that stays in memory. */
  keep(start: number, end: number): Uint8Array {
    this.#numKeptBytes += end - start;
    if (this.#numKeptBytes > LIMITS.maxOnnxGraphBytes)
      throw tooLarge(`${LIMITS.maxOnnxGraphBytes} bytes besides its weights`);
    if (++this.#numParts > LIMITS.maxOnnxParts) throw tooLarge(`${LIMITS.maxOnnxParts} parts`);
    return this.read(start, end - start);
  }

  /** Decodes a message; absent fields stay absent. */
  decode(type: MessageType, bytes: Uint8Array): object {
    this.#numDecodedBytes += bytes.length;
    if (this.#numDecodedBytes > LIMITS.maxOnnxDecodedBytes)
      throw tooLarge(`${LIMITS.maxOnnxDecodedBytes} bytes of names, numbers and shapes`);
    return type.toObject(type.decode(bytes), { longs: Number });
  }

  close(): void {
    if (this.file !== null) closeSync(this.file);
  }

  #byte(position: number): number {
    if (position >= this.byteLength) throw new Error(`it ends after ${this.byteLength} bytes`);
    if (position < this.#windowStart || position >= this.#windowStart + this.#window.length) {
      this.#window = this.read(position, Math.min(WINDOW_BYTES, this.byteLength - position));
      this.#windowStart = position;
    }
    return this.#window[position - this.#windowStart]!;
  }
}

const MAX_VARINT_BYTES = 10;
const WINDOW_BYTES = 1 << 16;

function tooLarge(limit: string): EngineError {
  return new EngineError("unsupported_model", `the ONNX graph has more than ${limit}`);
}

/**
 * Reads GGUF files, versions 2 and 3: the metadata, and the tensors as float32 rows. A file may be one of several
 * shards. Nothing that a file claims is believed: counts and lengths are checked against the bytes that are left before
 * anything is allocated, and tensors lie inside the file, aligned and apart.
 */

import type { FileHandle } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

import { assert, EngineError, fileSystemCode, quoted } from "../errors.js";
import { LIMITS } from "../limits.js";
import { GGUF_TYPES, type GgufType } from "./gguf-blocks.js";
import { checkIsNoPointer, openModelFile, readFully } from "./model-files.js";
import type { Tensor, TensorReader } from "./tensor-reader.js";

/** A value of the metadata. Numbers are exact: integers beyond 2^53 are bigints. */
export type GgufValue = number | bigint | boolean | string | readonly GgufValue[];

export type GgufMetadata = ReadonlyMap<string, GgufValue>;

export interface GgufTensor extends Tensor {
  readonly type: GgufType;
  /** Bytes from the start of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

export class GgufReader implements TensorReader {
  readonly readable = [...GGUF_TYPES.values()].filter(({ dequantize }) => dequantize !== null).map(({ name }) => name);
  readonly #handles: ReadonlyMap<string, FileHandle>;
  #scratch = new Uint8Array(0);

  private constructor(
    /** Of the first shard. */
    readonly metadata: GgufMetadata,
    readonly tensors: ReadonlyMap<string, GgufTensor>,
    handles: ReadonlyMap<string, FileHandle>,
  ) {
    this.#handles = handles;
  }

  /**
   * Opens a file and, if it is the first of several shards, the others.
   * @throws EngineError `invalid_model` or `unsupported_model` that names the file, and the key or the tensor
   */
  static async open(path: string): Promise<GgufReader> {
    const handles = new Map<string, FileHandle>();
    try {
      const first = await openShard(path, handles);
      const tensors = new Map(first.tensors);
      for (const shard of otherShards(path, first.metadata)) {
        const { tensors: own } = await openShard(shard, handles);
        for (const [name, tensor] of own) {
          if (tensors.has(name)) throw invalid(shard, `tensor ${quoted(name)} is in another shard too`);
          tensors.set(name, tensor);
        }
      }
      checkNumTensors(path, first.metadata, tensors.size);
      return new GgufReader(first.metadata, tensors, handles);
    } catch (error) {
      await Promise.all([...handles.values()].map((handle) => handle.close()));
      throw error;
    }
  }

  /** Paths of the shards, the first one first. */
  get files(): readonly string[] {
    return [...this.#handles.keys()];
  }

  async readRows(name: string, firstRow: number, numRows: number, into: Float32Array): Promise<void> {
    const { type, file, shape, offset } = this.#tensor(name);
    const [, ...others] = shape;
    const cols = others.reduce((product, size) => product * size, 1);
    assert(type.dequantize !== null, `${name} is ${type.name}`);
    assert(into.length === numRows * cols, `${name}: into must be [${numRows}, ${cols}]`);
    const rowBytes = (cols / type.blockSize) * type.blockBytes;
    if (this.#scratch.length < numRows * rowBytes) this.#scratch = new Uint8Array(numRows * rowBytes);
    const bytes = this.#scratch.subarray(0, numRows * rowBytes);
    await this.#readBytes(name, file, offset + firstRow * rowBytes, bytes);
    type.dequantize(new DataView(bytes.buffer), 0, (numRows * cols) / type.blockSize, into);
    const index = into.findIndex((value) => !Number.isFinite(value));
    if (index < 0) return;
    const place = shape.length < 2 ? `${firstRow + index}` : `${firstRow + Math.floor(index / cols)}, ${index % cols}`;
    throw invalid(file, `tensor ${quoted(name)} holds ${into[index]} at [${place}]`);
  }

  async sameBytes(first: string, second: string): Promise<boolean> {
    const [a, b] = [this.#tensor(first), this.#tensor(second)];
    if (a.type !== b.type || a.byteLength !== b.byteLength) return false;
    for (let at = 0; at < a.byteLength; at += READ_BYTES) {
      const [left, right] = [Buffer.alloc(Math.min(READ_BYTES, a.byteLength - at)), Buffer.alloc(READ_BYTES)];
      await this.#readBytes(first, a.file, a.offset + at, left);
      await this.#readBytes(second, b.file, b.offset + at, right.subarray(0, left.length));
      if (!left.equals(right.subarray(0, left.length))) return false;
    }
    return true;
  }

  /** Returns a tensor, which the caller must know to exist. */
  #tensor(name: string): GgufTensor {
    const tensor = this.tensors.get(name);
    assert(tensor !== undefined, `tensor ${name} does not exist and was not checked before`);
    return tensor;
  }

  async #readBytes(name: string, file: string, position: number, into: Uint8Array): Promise<void> {
    const isWhole = await readFully(this.#handles.get(file)!, position, into).catch((cause: unknown) => {
      throw invalid(file, `tensor ${quoted(name)} cannot be read (${fileSystemCode(cause)})`);
    });
    if (!isWhole) throw invalid(file, `the file ended inside tensor ${quoted(name)} while it was being read`);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#handles.values()].map((handle) => handle.close()));
  }
}

interface Shard {
  readonly metadata: GgufMetadata;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

async function openShard(path: string, handles: Map<string, FileHandle>): Promise<Shard> {
  const file = basename(path);
  try {
    checkIsNoPointer(path);
    const handle = await openModelFile(path);
    handles.set(path, handle);
    const size = (await handle.stat()).size;
    return await readHeader(new Cursor(handle, file, size), path);
  } catch (cause) {
    if (cause instanceof EngineError) throw cause;
    throw new EngineError("invalid_model", `${path} cannot be read (${fileSystemCode(cause)})`, null, { cause });
  }
}

async function readHeader(cursor: Cursor, path: string): Promise<Shard> {
  const { file } = cursor;
  const magic = await cursor.bytes(4, "the magic");
  if (magic.toString("latin1") !== "GGUF") throw invalid(file, "it does not begin with GGUF");
  const version = await cursor.uint32("the version");
  if (version === 0x02000000 || version === 0x03000000)
    throw unsupported(file, "it is big-endian; only little-endian files are read");
  if (version !== 2 && version !== 3) throw unsupported(file, `version ${version} is not 2 or 3`);
  const numTensors = await cursor.count("the number of tensors", MIN_TENSOR_BYTES);
  const numEntries = await cursor.count("the number of metadata entries", MIN_ENTRY_BYTES);
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < numEntries; i++) {
    const key = await cursor.text("a key of the metadata");
    if (metadata.has(key)) throw invalid(file, `the metadata have ${quoted(key)} twice`);
    metadata.set(key, await readValue(cursor, await cursor.uint32(`the type of ${quoted(key)}`), quoted(key), 0));
  }
  const alignment = metadata.get("general.alignment") ?? 32;
  if (typeof alignment !== "number" || alignment < 8 || alignment % 8 !== 0 || alignment > 1 << 20)
    throw invalid(file, `general.alignment must be a multiple of 8. Given: ${shown(alignment)}`);
  const described: Described[] = [];
  for (let i = 0; i < numTensors; i++) described.push(await readTensor(cursor));
  const dataStart = Math.ceil(cursor.position / alignment) * alignment;
  return { metadata, tensors: placed(described, path, { file, dataStart, alignment, size: cursor.size }) };
}

interface Described {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: GgufType;
  /** From the start of the data. */
  readonly offset: number;
}

async function readTensor(cursor: Cursor): Promise<Described> {
  const name = await cursor.text("the name of a tensor");
  const what = `tensor ${quoted(name)}`;
  const numDimensions = await cursor.uint32(`the number of dimensions of ${what}`);
  if (numDimensions < 1 || numDimensions > 4) throw invalid(cursor.file, `${what} has ${numDimensions} dimensions`);
  const sizes: number[] = [];
  for (let i = 0; i < numDimensions; i++) sizes.push(await cursor.size64(`a size of ${what}`));
  const number = await cursor.uint32(`the type of ${what}`);
  const type = GGUF_TYPES.get(number);
  if (type === undefined) throw unsupported(cursor.file, `${what} has the type ${number}, which is not known`);
  const offset = await cursor.size64(`the offset of ${what}`);
  return { name, shape: sizes.reverse(), type, offset };
}

interface Data {
  readonly file: string;
  readonly dataStart: number;
  readonly alignment: number;
  readonly size: number;
}

/** Checks that tensors lie inside the file, and apart. */
function placed(described: readonly Described[], path: string, data: Data): Map<string, GgufTensor> {
  const { file, dataStart, alignment, size } = data;
  const tensors = new Map<string, GgufTensor>();
  let end = dataStart;
  for (const { name, shape, type, offset } of [...described].sort((a, b) => a.offset - b.offset)) {
    const what = `tensor ${quoted(name)}`;
    if (tensors.has(name)) throw invalid(file, `${what} is there twice`);
    const numValues = shape.reduce((product, dimension) => product * dimension, 1);
    if (!Number.isSafeInteger(numValues)) throw invalid(file, `${what} has [${shape.join(", ")}] values`);
    if (shape.at(-1)! % type.blockSize !== 0)
      throw invalid(file, `${what} has rows of ${shape.at(-1)} values; ${type.name} has blocks of ${type.blockSize}`);
    const byteLength = (numValues / type.blockSize) * type.blockBytes;
    const start = dataStart + offset;
    if (offset % alignment !== 0)
      throw invalid(file, `${what} begins at ${offset}, which is no multiple of ${alignment}`);
    if (start < end) throw invalid(file, `${what} overlaps the one before it`);
    if (start + byteLength > size)
      throw invalid(
        file,
        `${what} ends at byte ${start + byteLength}, the file at ${size}; the download may be incomplete`,
      );
    end = start + byteLength;
    tensors.set(name, { file: path, dtype: type.name, type, shape, offset: start, byteLength });
  }
  return tensors;
}

/** Returns the paths of the other shards. */
function otherShards(path: string, metadata: GgufMetadata): string[] {
  const count = metadata.get("split.count") ?? 0;
  if (count === 0 || count === 1) return [];
  const file = basename(path);
  const match = /^(.+)-(\d{5})-of-(\d{5})\.gguf$/.exec(file);
  if (typeof count !== "number" || match === null || Number(match[3]) !== count)
    throw invalid(
      file,
      `split.count is ${shown(count)}, and the name is not that of a shard such as model-00001-of-00003.gguf`,
    );
  if (Number(match[2]) !== 1) throw invalid(file, "it is not the first shard; give the one with 00001 in its name");
  const [, stem, , total] = match;
  return Array.from({ length: count - 1 }, (_, i) =>
    join(dirname(path), `${stem}-${String(i + 2).padStart(5, "0")}-of-${total}.gguf`),
  );
}

function checkNumTensors(path: string, metadata: GgufMetadata, found: number): void {
  const expected = metadata.get("split.tensors.count") ?? found;
  if (expected !== found)
    throw invalid(basename(path), `its shards have ${found} tensors; split.tensors.count is ${shown(expected)}`);
}

/** Types of values, by their numbers, with the bytes of one. */
const VALUE_BYTES = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8] as const;
const [STRING, ARRAY] = [8, 9];
const MAX_ARRAY_DEPTH = 4;
/** A length, a type and a byte; a length, one dimension with its size, a type and an offset. */
const MIN_ENTRY_BYTES = 8 + 4 + 1;
const MIN_TENSOR_BYTES = 8 + 4 + 8 + 4 + 8;

async function readValue(cursor: Cursor, type: number, key: string, depth: number): Promise<GgufValue> {
  if (type === STRING) return cursor.text(key);
  if (type !== ARRAY) return scalar(cursor, await cursor.bytes(bytesOf(cursor, type, key), key), type, key);
  if (depth === MAX_ARRAY_DEPTH) throw invalid(cursor.file, `${key} has arrays in arrays in arrays`);
  const itemType = await cursor.uint32(`the type of the items of ${key}`);
  const itemBytes = itemType === STRING ? 8 : itemType === ARRAY ? 12 : bytesOf(cursor, itemType, key);
  const count = await cursor.count(`the length of ${key}`, itemBytes);
  cursor.spendValues(count);
  const items: GgufValue[] = [];
  if (itemType === STRING || itemType === ARRAY) {
    for (let i = 0; i < count; i++) items.push(await readValue(cursor, itemType, key, depth + 1));
    return items;
  }
  const bytes = await cursor.bytes(count * itemBytes, key);
  for (let i = 0; i < count; i++)
    items.push(scalar(cursor, bytes.subarray(i * itemBytes, (i + 1) * itemBytes), itemType, key));
  return items;
}

function bytesOf(cursor: Cursor, type: number, key: string): number {
  const size = VALUE_BYTES[type] ?? 0;
  if (size === 0) throw invalid(cursor.file, `${key} has the type ${type}, which is not known`);
  return size;
}

function scalar(cursor: Cursor, bytes: Buffer, type: number, key: string): number | bigint | boolean {
  switch (type) {
    case 0:
      return bytes.readUInt8();
    case 1:
      return bytes.readInt8();
    case 2:
      return bytes.readUInt16LE();
    case 3:
      return bytes.readInt16LE();
    case 4:
      return bytes.readUInt32LE();
    case 5:
      return bytes.readInt32LE();
    case 6:
      return bytes.readFloatLE();
    case 7: {
      const value = bytes.readUInt8();
      if (value > 1) throw invalid(cursor.file, `${key} is ${value}, and not true or false`);
      return value === 1;
    }
    case 12:
      return bytes.readDoubleLE();
    default: {
      const value = type === 10 ? bytes.readBigUInt64LE() : bytes.readBigInt64LE();
      return Number.isSafeInteger(Number(value)) ? Number(value) : value;
    }
  }
}

/** Reads a file from its beginning on, and never past its end. */
class Cursor {
  #position = 0;
  #numValues = 0;
  #buffer = Buffer.alloc(0);
  /** Position of the buffer's first byte. */
  #start = 0;

  constructor(
    readonly handle: FileHandle,
    readonly file: string,
    readonly size: number,
  ) {}

  get position(): number {
    return this.#position;
  }

  /** Returns bytes that stay valid. @param what is read, for the error */
  async bytes(length: number, what: string): Promise<Buffer> {
    if (length > this.size - this.#position) throw invalid(this.file, `the file ends within ${what}`);
    if (this.#position + length > LIMITS.maxGgufHeaderBytes)
      throw invalid(this.file, `its metadata have more than ${LIMITS.maxGgufHeaderBytes} bytes`);
    if (this.#position + length > this.#start + this.#buffer.length) await this.#fill(length);
    const from = this.#position - this.#start;
    this.#position += length;
    return this.#buffer.subarray(from, from + length);
  }

  async #fill(length: number): Promise<void> {
    const buffer = Buffer.alloc(Math.min(Math.max(length, READ_BYTES), this.size - this.#position));
    if (!(await readFully(this.handle, this.#position, buffer))) throw invalid(this.file, "the file became shorter");
    this.#buffer = buffer;
    this.#start = this.#position;
  }

  /** Counts the values of a list before they are read: each takes more memory than its bytes. */
  spendValues(count: number): void {
    this.#numValues += count;
    if (this.#numValues > LIMITS.maxGgufValues)
      throw invalid(this.file, `the lists of its metadata have more than ${LIMITS.maxGgufValues} values`);
  }

  async uint32(what: string): Promise<number> {
    return (await this.bytes(4, what)).readUInt32LE();
  }

  /** Reads a number of bytes, of values or an offset. */
  async size64(what: string): Promise<number> {
    const value = (await this.bytes(8, what)).readBigUInt64LE();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw invalid(this.file, `${what} is ${value}`);
    return Number(value);
  }

  /** Reads the number of things that follow, each of at least some bytes. */
  async count(what: string, minBytes: number): Promise<number> {
    const count = await this.size64(what);
    if (count * minBytes > this.size - this.#position)
      throw invalid(this.file, `${what} is ${count}; the file has room for fewer`);
    return count;
  }

  async text(what: string): Promise<string> {
    const bytes = await this.bytes(await this.count(`the length of ${what}`, 1), what);
    // Tokens need not be UTF-8 on their own: bytes that are not become U+FFFD, as in llama.cpp's own output.
    return bytes.toString("utf8");
  }
}

const READ_BYTES = 1 << 20;

function invalid(file: string, message: string): EngineError {
  return new EngineError("invalid_model", `${basename(file)}: ${message}`);
}

function unsupported(file: string, message: string): EngineError {
  return new EngineError("unsupported_model", `${file}: ${message}`);
}

function shown(value: GgufValue): string {
  return Array.isArray(value) ? `an array of ${value.length}` : quoted(String(value));
}

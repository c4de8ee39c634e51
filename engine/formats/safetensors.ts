/**
 * Reads weights from safetensors: one file, or shards listed by an index. A header is accepted only if its
 * tensors cover every byte of the file: offsets inside the file, no overlap, no gap, and shape times dtype
 * equal to the range. Rows are then read on demand as float32, so memory use does not depend on the model's size.
 */

import type { FileHandle } from "node:fs/promises";
import { join } from "node:path";

import { type JsonObject, isObject } from "../json.js";
import { assert, EngineError, fileSystemCode } from "../errors.js";
import { LIMITS } from "../limits.js";
import { parseJsonObject } from "./json.js";
import { checkIsNoPointer, fileExists, openModelFile, readFully, readModelFile } from "./model-files.js";
import type { TensorReader } from "./tensor-reader.js";

export const SINGLE_FILE = "model.safetensors";
export const INDEX_FILE = "model.safetensors.index.json";

export class SafetensorsReader implements TensorReader {
  readonly readable = READABLE_DTYPES;
  readonly #handles: ReadonlyMap<string, FileHandle>;
  #scratch = new Uint8Array(0);
  #halfTable: Float32Array | null = null;

  private constructor(
    readonly tensors: ReadonlyMap<string, StoredTensor>,
    handles: ReadonlyMap<string, FileHandle>,
  ) {
    this.#handles = handles;
  }

  /** Opens the weights of a model folder and checks every header. */
  static async open(dir: string): Promise<SafetensorsReader> {
    const index = await readIndex(dir);
    const handles = new Map<string, FileHandle>();
    const tensors = new Map<string, StoredTensor>();
    try {
      for (const file of index === null ? [SINGLE_FILE] : new Set(index.values())) {
        const handle = await openShard(dir, file);
        handles.set(file, handle);
        const header = await readHeader(handle, file).catch((cause: unknown) => {
          const code = fileSystemCode(cause);
          throw code === null ? cause : invalid(file, `its header cannot be read (${code})`);
        });
        for (const [name, tensor] of header) {
          if (index !== null && index.get(name) !== file) {
            throw invalid(file, `tensor ${quoted(name)} is not listed for this file in ${INDEX_FILE}`);
          }
          tensors.set(name, tensor);
        }
      }
      for (const [name, file] of index ?? []) {
        if (!tensors.has(name)) throw invalid(file, `tensor ${quoted(name)}, listed in ${INDEX_FILE}, is missing`);
      }
      return new SafetensorsReader(tensors, handles);
    } catch (error) {
      await closeAll(handles);
      throw error;
    }
  }

  /** Returns the description of a tensor, which the caller must know to exist. */
  tensor(name: string): StoredTensor {
    const tensor = this.tensors.get(name);
    assert(tensor !== undefined, `tensor ${name} does not exist and was not checked before`);
    return tensor;
  }

  /** F16 and BF16 convert exactly. */
  async readRows(name: string, firstRow: number, numRows: number, into: Float32Array): Promise<void> {
    const tensor = this.tensor(name);
    const { rows, cols } = rowsAndCols(tensor.shape);
    assert(firstRow >= 0 && numRows >= 0 && firstRow + numRows <= rows, `rows of ${name} out of range`);
    assert(into.length === numRows * cols, `${name}: into must be [${numRows}, ${cols}]`);
    assert(isReadable(tensor), `${name} is ${tensor.dtype}`);
    const elementBytes = DTYPE_BYTES[tensor.dtype];
    const raw = this.#rawBytes(tensor.dtype, into);
    await this.#readBytes(tensor, firstRow * cols * elementBytes, raw, name);
    switch (tensor.dtype) {
      case "F32":
        break;
      case "BF16":
        widenBfloat16(raw, into);
        break;
      case "F16":
        this.#halfTable ??= halfTable();
        widenHalf(raw, into, this.#halfTable);
        break;
    }
    const index = firstNotFinite(into);
    if (index === null) return;
    const kind = Number.isNaN(into[index]!) ? "NaN" : "an infinite value";
    const position = tensor.shape.length < 2 ? `${index}` : `${firstRow + Math.floor(index / cols)}, ${index % cols}`;
    throw invalid(tensor.file, `tensor ${quoted(name)} holds ${kind} at [${position}]`);
  }

  async sameBytes(first: string, second: string): Promise<boolean> {
    const a = this.tensor(first);
    const b = this.tensor(second);
    if (a.dtype !== b.dtype || a.byteLength !== b.byteLength) return false;
    for (let offset = 0; offset < a.byteLength; offset += COMPARE_BYTES) {
      const length = Math.min(COMPARE_BYTES, a.byteLength - offset);
      const left = Buffer.alloc(length);
      const right = Buffer.alloc(length);
      await this.#readBytes(a, offset, left, first);
      await this.#readBytes(b, offset, right, second);
      if (!left.equals(right)) return false;
    }
    return true;
  }

  async close(): Promise<void> {
    await closeAll(this.#handles);
  }

  /** Returns the buffer for the stored bytes: the result itself for F32, otherwise a buffer kept between calls. */
  #rawBytes(dtype: Dtype, into: Float32Array): Uint8Array {
    if (dtype === "F32") return new Uint8Array(into.buffer, into.byteOffset, into.byteLength);
    const byteLength = into.length * DTYPE_BYTES[dtype];
    if (this.#scratch.length < byteLength) this.#scratch = new Uint8Array(byteLength);
    return this.#scratch.subarray(0, byteLength);
  }

  async #readBytes(tensor: StoredTensor, offset: number, into: Uint8Array, name: string): Promise<void> {
    const handle = this.#handles.get(tensor.file);
    assert(handle !== undefined, `${tensor.file} is open`);
    const isWhole = await readFully(handle, tensor.offset + offset, into).catch((cause: NodeJS.ErrnoException) => {
      throw invalid(tensor.file, `tensor ${quoted(name)} cannot be read (${cause.code})`);
    });
    if (!isWhole) throw invalid(tensor.file, `the file ended inside tensor ${quoted(name)} while it was being read`);
  }
}

/** Types of elements that can be read as float32. */
export const READABLE_DTYPES = ["F32", "F16", "BF16"] as const;
export type Dtype = (typeof READABLE_DTYPES)[number];

export interface StoredTensor {
  readonly file: string;
  /** Any type of the format: tensors that nobody reads are not refused. */
  readonly dtype: Dtype | OtherDtype;
  readonly shape: readonly number[];
  /** Bytes from the start of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

/**
 * Checks the JSON header of a safetensors file whose tensors take the bytes from `dataStart` to `fileBytes`.
 * Returns the tensors in the order of their bytes.
 *
 * @throws EngineError `invalid_model` with the name of the file and, if one tensor is wrong, of that tensor
 */
export function parseHeader(
  json: Uint8Array,
  file: string,
  dataStart: number,
  fileBytes: number,
): Map<string, StoredTensor> {
  const header = parseJsonObject(json, `${file}: its header`, false);
  const tensors = new Map<string, StoredTensor>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") checkMetadata(entry, file);
    else tensors.set(name, parseEntry(name, entry, file, dataStart, fileBytes));
  }
  const inOrder = [...tensors].sort(([, a], [, b]) => a.offset - b.offset || a.byteLength - b.byteLength);
  let end = dataStart;
  for (const [name, tensor] of inOrder) {
    if (tensor.offset < end) throw invalid(file, `tensor ${quoted(name)} overlaps the one before it`);
    if (tensor.offset > end)
      throw invalid(file, `${tensor.offset - end} bytes before tensor ${quoted(name)} belong to no tensor`);
    end = tensor.offset + tensor.byteLength;
  }
  if (end !== fileBytes) throw invalid(file, `${fileBytes - end} bytes after the last tensor belong to no tensor`);
  return new Map(inOrder);
}

const isReadable = (tensor: StoredTensor): tensor is StoredTensor & { readonly dtype: Dtype } =>
  (READABLE_DTYPES as readonly string[]).includes(tensor.dtype);

const OTHER_DTYPE_BYTES = {
  F64: 8,
  I64: 8,
  U64: 8,
  I32: 4,
  U32: 4,
  I16: 2,
  U16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
} as const;
type OtherDtype = keyof typeof OTHER_DTYPE_BYTES;
const DTYPE_BYTES: Readonly<Record<Dtype | OtherDtype, number>> = { F32: 4, F16: 2, BF16: 2, ...OTHER_DTYPE_BYTES };
const LENGTH_BYTES = 8;
const COMPARE_BYTES = 4 << 20;

function parseEntry(name: string, entry: unknown, file: string, dataStart: number, fileBytes: number): StoredTensor {
  const tensor = `tensor ${quoted(name)}`;
  if (!isObject(entry)) throw invalid(file, `${tensor}: its entry must be an object`);
  for (const key of Object.keys(entry)) {
    if (!["dtype", "shape", "data_offsets"].includes(key)) throw invalid(file, `${tensor}: unknown key ${quoted(key)}`);
  }
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== "string" || !Object.hasOwn(DTYPE_BYTES, dtype)) {
    throw new EngineError(
      "unsupported_model",
      `${file}: ${tensor}: dtype ${shown(dtype ?? null)} is not supported (supported: ${READABLE_DTYPES.join(", ")})`,
    );
  }
  if (!isSizeList(shape)) throw invalid(file, `${tensor}: shape must be a list of sizes; it is ${shown(shape)}`);
  if (!isSizeList(offsets) || offsets.length !== 2) {
    throw invalid(file, `${tensor}: data_offsets must be two byte offsets; they are ${shown(offsets)}`);
  }
  const [begin, end] = offsets as [number, number];
  const dataBytes = fileBytes - dataStart;
  if (begin > end) throw invalid(file, `${tensor}: data_offsets [${begin}, ${end}] run backwards`);
  if (end > dataBytes) {
    throw invalid(
      file,
      `${tensor}: data_offsets [${begin}, ${end}] lie outside the file, which holds ${dataBytes} bytes of data: it is shorter than its header requires; the download may be incomplete`,
    );
  }
  const byteLength = shape.reduce((product, dim) => product * dim, DTYPE_BYTES[dtype as StoredTensor["dtype"]]);
  if (byteLength !== end - begin) {
    throw invalid(
      file,
      `${tensor}: shape ${shown(shape).replaceAll(",", ", ")} of ${dtype} takes ${byteLength} bytes, its data_offsets hold ${end - begin}`,
    );
  }
  return { file, dtype: dtype as StoredTensor["dtype"], shape, offset: dataStart + begin, byteLength };
}

function checkMetadata(metadata: unknown, file: string): void {
  if (metadata === null) return;
  if (!isObject(metadata) || Object.values(metadata).some((value) => typeof value !== "string")) {
    throw invalid(file, "__metadata__ must map strings to strings");
  }
}

function isSizeList(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && (size as number) >= 0);
}

async function readHeader(handle: FileHandle, file: string): Promise<Map<string, StoredTensor>> {
  const fileBytes = (await handle.stat()).size;
  const prefix = Buffer.alloc(LENGTH_BYTES);
  if (!(await readFully(handle, 0, prefix))) {
    throw invalid(
      file,
      `the file is truncated: it has ${fileBytes} bytes, but the length of the header alone takes ${LENGTH_BYTES}`,
    );
  }
  const headerBytes = prefix.readBigUInt64LE();
  if (headerBytes > LIMITS.maxSafetensorsHeaderBytes) {
    throw invalid(
      file,
      `its header claims ${headerBytes} bytes; at most ${LIMITS.maxSafetensorsHeaderBytes} are allowed`,
    );
  }
  const dataStart = LENGTH_BYTES + Number(headerBytes);
  if (dataStart > fileBytes) {
    throw invalid(file, `the file is truncated: its header claims ${headerBytes} bytes, the file has ${fileBytes}`);
  }
  const json = Buffer.alloc(Number(headerBytes));
  if (!(await readFully(handle, LENGTH_BYTES, json))) throw invalid(file, "the file ended inside its header");
  return parseHeader(json, file, dataStart, fileBytes);
}

/**
 * Returns the names of the files that hold the weights, the index first; empty if there are none.
 * @throws EngineError `invalid_model` for an index that cannot be used
 */
export async function weightFiles(dir: string): Promise<string[]> {
  if (await fileExists(join(dir, SINGLE_FILE))) return [SINGLE_FILE];
  const bytes = await readModelFile(dir, INDEX_FILE);
  if (bytes === null) return [];
  const shards = new Set(parseIndex(parseJsonObject(bytes, INDEX_FILE)).values());
  return [INDEX_FILE, ...[...shards].sort()];
}

/** Returns the index as a map from tensor name to file name, or null if the folder has a single file. */
async function readIndex(dir: string): Promise<Map<string, string> | null> {
  if (await fileExists(join(dir, SINGLE_FILE))) return null;
  const bytes = await readModelFile(dir, INDEX_FILE);
  if (bytes === null) {
    throw new EngineError("invalid_model", `${dir} has neither ${SINGLE_FILE} nor ${INDEX_FILE}`);
  }
  return parseIndex(parseJsonObject(bytes, INDEX_FILE));
}

function parseIndex(index: JsonObject): Map<string, string> {
  const map = index["weight_map"];
  if (!isObject(map)) throw new EngineError("invalid_model", `${INDEX_FILE}: weight_map must be an object`);
  for (const [name, file] of Object.entries(map)) {
    // A shard must be in the model's folder; a path could lead to files elsewhere. File systems allow 255 bytes.
    if (typeof file !== "string" || !/^[^/\\:]+\.safetensors$/.test(file) || Buffer.byteLength(file) > 255) {
      throw new EngineError(
        "invalid_model",
        `${INDEX_FILE}: tensor ${quoted(name)}: ${shown(file)} is not the name of a .safetensors file in this folder`,
      );
    }
  }
  return new Map(Object.entries(map) as [string, string][]);
}

async function openShard(dir: string, file: string): Promise<FileHandle> {
  try {
    const path = join(dir, file);
    checkIsNoPointer(path);
    return await openModelFile(path);
  } catch (cause) {
    if (cause instanceof EngineError) throw cause;
    const code = (cause as NodeJS.ErrnoException).code;
    const reason = code === "ENOENT" ? `is missing, though ${INDEX_FILE} lists it` : `cannot be read (${code})`;
    throw new EngineError("invalid_model", `${join(dir, file)} ${reason}`, null, { cause });
  }
}

async function closeAll(handles: ReadonlyMap<string, FileHandle>): Promise<void> {
  await Promise.all([...handles.values()].map((handle) => handle.close()));
}

function rowsAndCols(shape: readonly number[]): { rows: number; cols: number } {
  const [rows = 1, ...rest] = shape;
  return { rows, cols: rest.reduce((product, dim) => product * dim, 1) };
}

/** Converts bfloat16, which is the upper half of a float32. */
function widenBfloat16(raw: Uint8Array, into: Float32Array): void {
  const halves = new Uint16Array(raw.buffer, raw.byteOffset, into.length);
  const bits = new Uint32Array(into.buffer, into.byteOffset, into.length);
  for (let i = 0; i < bits.length; i++) bits[i] = halves[i]! << 16;
}

export function widenHalf(raw: Uint8Array, into: Float32Array, table: Float32Array): void {
  const halves = new Uint16Array(raw.buffer, raw.byteOffset, into.length);
  for (let i = 0; i < into.length; i++) into[i] = table[halves[i]!]!;
}

/** Returns every float16 as float32, f32 [65536]: sign, 5 bits of exponent (bias 15), 10 bits of fraction. */
export function halfTable(): Float32Array {
  return Float32Array.from({ length: 1 << 16 }, (_, half) => {
    const sign = half >> 15 === 0 ? 1 : -1;
    const exponent = (half >> 10) & 31;
    const fraction = (half & 1023) / 1024;
    if (exponent === 0) return sign * fraction * 2 ** -14;
    if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
    return sign * (1 + fraction) * 2 ** (exponent - 15);
  });
}

/** Returns the index of the first NaN or infinity (all exponent bits set), or null. */
function firstNotFinite(values: Float32Array): number | null {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < bits.length; i++) {
    if ((bits[i]! & 0x7f800000) === 0x7f800000) return i;
  }
  return null;
}

function invalid(file: string, message: string): EngineError {
  return new EngineError("invalid_model", `${file}: ${message}`);
}

/** Formats a name from the file for an error: escaped, and at most about one line long. */
function quoted(name: string): string {
  return JSON.stringify(name.length <= 120 ? name : `${name.slice(0, 117)}...`);
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "absent";
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`;
}

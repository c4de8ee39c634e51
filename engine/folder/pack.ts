/**
 * A pack: a converted model in the form that the engine runs. manifest.json lists its version, files and packed
 * tensors; the other files are the ONNX body, the kernels' weights and the model's text files. Opening checks that
 * every file exists, is complete and belongs to this version: large files by their size, small ones by their hash.
 * `verifyPack` checks the hashes of the large files, before a pack is run for the first time.
 */

import { createHash } from "node:crypto";
import { realpath, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { type JsonObject, isObject } from "../json.js";
import { packedByteLength, type MatrixFormat } from "../../kernels/index.js";
import { described, EngineError, fileSystemCode, quoted } from "../errors.js";
import { LIMITS } from "../limits.js";
import { modelWeights, packedWeights, readModelConfig, type ModelConfig } from "../architecture/index.js";
import { entryAt, openModelFile, readFully, readModelJson, type FileRecord } from "../formats/index.js";
import { readEndTokenIds } from "./end-tokens.js";
import {
  fileStates,
  hashFile,
  isSettled,
  memoryFile,
  readMemory,
  sameStates,
  writeMemory,
  type FileState,
} from "./file-states.js";
import type { ModelFolder } from "./model-folder.js";
import { readTextFiles, TEXT_FILES } from "./text-files.js";

/**
 * Opens the pack in `dir`.
 *
 * @throws EngineError `invalid_model` naming the file that is missing or damaged, `unsupported_model` for
 *   another format version
 */
export async function openPack(dir: string): Promise<ModelPack> {
  const manifest = await readManifest(dir);
  const texts = await readTextFiles(dir);
  for (const [name, bytes] of texts.files) {
    const record = Object.hasOwn(manifest.files, name) ? manifest.files[name] : undefined;
    if (record?.sha256 !== sha256(bytes)) throw damaged(dir, name, "its contents are not what manifest.json records");
  }
  for (const [name, { byteLength }] of Object.entries(manifest.files)) {
    const entry = await entryAt(join(dir, name));
    if (entry === null) throw damaged(dir, name, "the file is missing");
    if (!entry.isFile()) throw damaged(dir, name, "it is not a file");
    if (entry.size !== byteLength)
      throw damaged(dir, name, `it has ${entry.size} bytes, manifest.json records ${byteLength}`);
  }
  // Only a model with a head of its own has a second table.
  const hasHead = Object.hasOwn(manifest.tensors, "embed_tokens");
  const config = readModelConfig(texts.config, readEndTokenIds(texts), hasHead);
  checkTensors(dir, manifest, config);
  checkSizes(dir, manifest, config);
  return {
    kind: "pack",
    dir,
    modelHash: manifest.modelHash,
    contextLength: config.contextLength,
    vocabSize: config.vocabSize,
    endTokenIds: config.endTokenIds,
    manifest,
    config,
    bodyPath: join(dir, BODY_FILE),
    tokenizerJson: texts.tokenizer,
    tokenizerConfig: texts.tokenizerConfig,
    chatTemplate: texts.chatTemplate,
    messageFormat: texts.format,
    tensors: new Map(Object.entries(manifest.tensors)),
    weightsByteLength: manifest.files[WEIGHTS_FILE]!.byteLength,
    readWeights: (into, whileReading) => readWeights(dir, into, whileReading),
  };
}

/**
 * Checks that the large files have the contents which manifest.json records. Reading gigabytes at every start would be
 * slow, so the cache remembers which files were correct, and each is read again only if its metadata has changed.
 *
 * @throws EngineError `invalid_model` naming the file that is damaged, or the signal's reason
 */
export async function verifyPack({ dir, manifest }: ModelPack, cache: string, signal?: AbortSignal): Promise<void> {
  const path = await realpath(dir);
  const memory = memoryFile(cache, VERIFIED_FOLDER, path);
  const remembered = verifiedFiles(await readMemory(memory));
  const verified: Record<string, VerifiedFile> = {};
  let isKnown = true;
  for (const [name, { sha256: expected }] of Object.entries(manifest.files)) {
    if ((TEXT_FILES as readonly string[]).includes(name)) continue;
    const takenMs = Date.now();
    const states = await fileStates(path, [name]);
    const earlier = remembered[name];
    if (earlier?.sha256 === expected && isSettled(states, earlier.takenMs) && sameStates(earlier.states, states)) {
      verified[name] = earlier;
      continue;
    }
    if ((await hashFile(join(path, name), signal)) !== expected)
      throw damaged(dir, name, "its contents are not what manifest.json records");
    verified[name] = { sha256: expected, states, takenMs };
    isKnown = false;
  }
  if (!isKnown) await writeMemory(memory, { path, files: verified });
}

/** Removes what the cache remembers about a pack that is about to be removed. */
export async function forgetPack(dir: string, cache: string): Promise<void> {
  const path = await realpath(dir).catch(() => dir);
  await rm(memoryFile(cache, VERIFIED_FOLDER, path), { force: true });
}

/** A file that had this hash while it was in this state. */
interface VerifiedFile {
  readonly sha256: string;
  readonly states: readonly FileState[];
  readonly takenMs: number;
}

function verifiedFiles(memory: unknown): Readonly<Record<string, VerifiedFile | undefined>> {
  const isWhole = isObject(memory) && isRecordOf(memory["files"], isVerifiedFile);
  return isWhole ? (memory["files"] as unknown as Record<string, VerifiedFile>) : {};
}

function isVerifiedFile(value: unknown): boolean {
  return isObject(value) && Array.isArray(value["states"]) && typeof value["takenMs"] === "number";
}

export interface ModelPack extends ModelFolder {
  readonly kind: "pack";
  readonly manifest: Manifest;
  readonly config: ModelConfig;
  readonly bodyPath: string;
  /** Every weight (weights.ts); `lm_head` is also the embedding table if the two are tied. */
  readonly tensors: ReadonlyMap<string, PackedTensor>;
  readonly weightsByteLength: number;
  /**
   * Reads all packed tensors, each to its offset.
   *
   * @param into `weightsByteLength` bytes; a view of memory that must not grow during the read
   * @param whileReading called once the read has begun, which does not need the caller's thread; may throw
   */
  readWeights(into: Uint8Array, whileReading?: () => void): Promise<void>;
}

/** A weight in weights.bin, in the kernels' layout: a packed matrix, or a vector of plain f32 with one column. */
export interface PackedTensor {
  readonly format: MatrixFormat | "vector";
  readonly rows: number;
  readonly cols: number;
  /** Offset in weights.bin, in bytes. */
  readonly offset: number;
  readonly byteLength: number;
}

export interface Manifest {
  readonly kind: typeof PACK_KIND;
  readonly formatVersion: number;
  readonly format: MatrixFormat;
  /** sha256 over the names and hashes of all files: equal hashes mean equal models. */
  readonly modelHash: string;
  readonly files: Readonly<Record<string, FileRecord>>;
  readonly tensors: Readonly<Record<string, PackedTensor>>;
}

export const MANIFEST_FILE = "manifest.json";
export const BODY_FILE = "body.onnx";
export const BODY_DATA_FILE = "body.onnx.data";
export const WEIGHTS_FILE = "weights.bin";

/** Increased with every change to the output of a conversion, so that cached packs are converted again. */
export const FORMAT_VERSION = 5;

/** Subfolder of the cache with a file for each pack that has been verified. */
const VERIFIED_FOLDER = "verified";
const PACK_KIND = "touchstone-pack";
/** Alignment of every tensor in weights.bin, in bytes: for vector loads and mapped pages. */
export const TENSOR_ALIGNMENT = 64;

export async function writeManifest(
  dir: string,
  pack: {
    format: MatrixFormat;
    records: ReadonlyMap<string, FileRecord>;
    tensors: ReadonlyMap<string, PackedTensor>;
  },
): Promise<void> {
  const files = [...pack.records].sort(([a], [b]) => (a < b ? -1 : 1));
  const manifest: Manifest = {
    kind: PACK_KIND,
    formatVersion: FORMAT_VERSION,
    format: pack.format,
    modelHash: sha256(Buffer.from(files.map(([name, record]) => `${name} ${record.sha256}\n`).join(""))),
    files: Object.fromEntries(files),
    tensors: Object.fromEntries(pack.tensors),
  };
  await writeFile(join(dir, MANIFEST_FILE), `${JSON.stringify(manifest, null, 2)}\n`, { flag: "wx", flush: true });
}

async function readManifest(dir: string): Promise<Manifest> {
  const manifest = await readModelJson(dir, MANIFEST_FILE);
  if (manifest === null) throw new EngineError("invalid_model", `${dir} is not a pack: it has no ${MANIFEST_FILE}`);
  if (manifest["kind"] !== PACK_KIND) throw damaged(dir, MANIFEST_FILE, `it does not contain "kind": "${PACK_KIND}"`);
  if (manifest["formatVersion"] !== FORMAT_VERSION) {
    throw new EngineError(
      "unsupported_model",
      `${dir} is a pack of format version ${described(manifest["formatVersion"] ?? null)}; this program reads version ${FORMAT_VERSION}: convert the model again`,
    );
  }
  const { format, modelHash, files, tensors } = manifest;
  const isWhole =
    isMatrixFormat(format) &&
    typeof modelHash === "string" &&
    isRecordOf(files, isFileRecord) &&
    isRecordOf(tensors, isPackedTensor) &&
    [BODY_FILE, WEIGHTS_FILE].every((name) => Object.hasOwn(files, name));
  if (!isWhole) throw damaged(dir, MANIFEST_FILE, "it is incomplete");
  for (const name of Object.keys(files)) {
    if (/[/\\:]/.test(name))
      throw damaged(dir, MANIFEST_FILE, `${quoted(name)} is not the name of a file in this folder`);
  }
  return manifest as unknown as Manifest;
}

/** Checks that the tensors which this configuration needs exist and are inside weights.bin. */
function checkTensors(dir: string, manifest: Manifest, config: ModelConfig): void {
  const weightsBytes = manifest.files[WEIGHTS_FILE]!.byteLength;
  for (const { name, kind, rows, cols } of packedWeights(modelWeights(config))) {
    const tensor = Object.hasOwn(manifest.tensors, name) ? manifest.tensors[name] : undefined;
    const fits =
      tensor !== undefined &&
      (tensor.format === "vector") === (kind === "vector") &&
      tensor.rows === rows &&
      tensor.cols === cols &&
      tensor.byteLength === packedBytes(tensor) &&
      tensor.offset % TENSOR_ALIGNMENT === 0 &&
      tensor.offset + tensor.byteLength <= weightsBytes;
    if (!fits) throw damaged(dir, MANIFEST_FILE, `tensor ${name} does not fit config.json or ${WEIGHTS_FILE}`);
  }
}

/** Checks that no file is larger than a pack's can be: all bytes of a pack are hashed before it runs. */
function checkSizes(dir: string, { files, tensors }: Manifest, config: ModelConfig): void {
  const all = [...packedWeights(modelWeights(config))].map(({ name }) => tensors[name]!);
  const weightsEnd = all.reduce((end, { offset, byteLength }) => Math.max(end, offset + byteLength), 0);
  const bodyBytes = all.reduce((sum, { rows, cols }) => sum + rows * cols * BODY_VALUE_BYTES, MAX_GRAPH_BYTES);
  const maxBytes: Readonly<Record<string, number>> = {
    [WEIGHTS_FILE]: weightsEnd,
    [BODY_FILE]: bodyBytes,
    [BODY_DATA_FILE]: bodyBytes,
    ...Object.fromEntries(TEXT_FILES.map((name) => [name, LIMITS.maxModelJsonBytes])),
  };
  for (const [name, { byteLength }] of Object.entries(files)) {
    if (!Object.hasOwn(maxBytes, name)) throw damaged(dir, name, "a pack has no such file");
    if (byteLength > maxBytes[name]!)
      throw damaged(dir, name, `it has ${byteLength} bytes; its tensors need at most ${maxBytes[name]}`);
  }
}

/** Bytes of a weight in the body, and of a body without its weights. */
const BODY_VALUE_BYTES = 4;
const MAX_GRAPH_BYTES = 64 << 20;

function packedBytes({ format, rows, cols }: PackedTensor): number {
  return format === "vector" ? rows * 4 : packedByteLength(format, rows, cols);
}

async function readWeights(dir: string, into: Uint8Array, whileReading?: () => void): Promise<void> {
  try {
    const file = await openModelFile(join(dir, WEIGHTS_FILE));
    try {
      // Two reads at a time: most of it is the time in which the system provides memory.
      const half = Math.floor(into.length / 2);
      const reading = Promise.all([
        readFully(file, 0, into.subarray(0, half)),
        readFully(file, half, into.subarray(half)),
      ]);
      whileReading?.();
      if ((await reading).includes(false)) throw damaged(dir, WEIGHTS_FILE, `it has less than ${into.length} bytes`);
    } finally {
      await file.close();
    }
  } catch (cause) {
    const code = fileSystemCode(cause);
    throw code === null ? cause : damaged(dir, WEIGHTS_FILE, `it cannot be read (${code})`);
  }
}

function isMatrixFormat(value: unknown): value is MatrixFormat {
  return value === "f32" || value === "q8" || value === "q4";
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isFileRecord(value: unknown): boolean {
  return isObject(value) && isCount(value["byteLength"]) && typeof value["sha256"] === "string";
}

function isPackedTensor(value: unknown): boolean {
  return (
    isObject(value) &&
    (isMatrixFormat(value["format"]) || value["format"] === "vector") &&
    ["rows", "cols", "offset", "byteLength"].every((key) => isCount(value[key]))
  );
}

function isRecordOf(value: unknown, isEntry: (entry: unknown) => boolean): value is JsonObject {
  return isObject(value) && Object.values(value).every(isEntry);
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function damaged(dir: string, file: string, reason: string): EngineError {
  return new EngineError("invalid_model", `the pack is damaged: ${join(dir, file)}: ${reason}`);
}

/**
 * A folder with ONNX files in the layout of transformers.js: the model's text files, and below onnx/ one file for each
 * variant of its weights. It runs without conversion. Opening parses the graph and hashes the files unless the cache
 * remembers their hash; it does not load the weights.
 */

import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";

import { pack, PACK_ROWS } from "../../kernels/index.js";
import { EngineError, fileSystemCode } from "../errors.js";
import { halfTable, openModelFile, readOnnxFile, widenHalf } from "../formats/index.js";
import { readEndTokenIds } from "./end-tokens.js";
import { ONNX_DTYPES, ONNX_FOLDER, onnxFile, type OnnxDtype } from "./file-names.js";
import type { ModelFolder } from "./model-folder.js";
import { readDecoder, sizeOf, type OnnxDecoder, type OnnxHead } from "./onnx-decoder.js";
import { identifySource } from "./source-identity.js";
import { readTextFiles } from "./text-files.js";

/** Returns the ONNX variants in `dir`; empty if it is not such a folder. */
export async function onnxDtypesOf(dir: string): Promise<OnnxDtype[]> {
  const files = await readdir(join(dir, ONNX_FOLDER)).catch((): string[] => []);
  return ONNX_DTYPES.filter((dtype) => files.includes(basename(onnxFile(dtype))));
}

/**
 * @param dtype variant to open; by default the first of ONNX_DTYPES that exists
 * @param cache cache folder that remembers the hashes of large files
 * @param signal aborts the hashing
 * @throws EngineError `unsupported_value` for a dtype that does not exist, `invalid_model` or `unsupported_model`
 *   naming the problem with the graph
 */
export async function openOnnxFolder(
  dir: string,
  dtype: OnnxDtype | undefined,
  cache: string,
  signal?: AbortSignal,
): Promise<OnnxFolder> {
  const dtypes = await onnxDtypesOf(dir);
  const chosen = dtype ?? dtypes[0] ?? "fp32";
  if (!dtypes.includes(chosen)) {
    throw new EngineError(
      "unsupported_value",
      `${dir} has no ${onnxFile(chosen)} (dtype ${chosen}); available: ${dtypes.join(", ")}`,
      "dtype",
    );
  }
  const texts = await readTextFiles(dir);
  const file = readOnnxFile(join(dir, onnxFile(chosen)));
  const contextLength = sizeOf(texts.config, CONTEXT_LENGTH);
  if (contextLength === null)
    throw new EngineError(
      "invalid_model",
      `${dir}: config.json has none of ${CONTEXT_LENGTH.join(", ")}: the context length is not known`,
    );
  const endTokenIds = readEndTokenIds(texts);
  const decoder = readDecoder(file, texts.config);
  const weights = [onnxFile(chosen), ...file.dataFiles.map((name) => `${ONNX_FOLDER}/${name}`)];
  const identity = await identifySource(cache, dir, { weights, signal });
  await identity.remember();
  const sizes = await Promise.all(weights.map(async (name) => (await stat(join(dir, name))).size));
  const { model_type: architecture } = texts.config;
  return {
    kind: "onnx",
    dir,
    modelHash: identity.hash,
    contextLength,
    vocabSize: decoder.vocabSize,
    endTokenIds,
    tokenizerJson: texts.tokenizer,
    tokenizerConfig: texts.tokenizerConfig,
    chatTemplate: texts.chatTemplate,
    messageFormat: texts.format,
    architecture: typeof architecture === "string" ? architecture : "not named",
    dtype: chosen,
    byteLength: sizes.reduce((sum, size) => sum + size, 0),
    path: file.path,
    decoder,
  };
}

export interface OnnxFolder extends ModelFolder {
  readonly kind: "onnx";
  /** `model_type` of config.json; informational only. */
  readonly architecture: string;
  readonly dtype: OnnxDtype;
  /** Total size of the ONNX file and its external weight files. */
  readonly byteLength: number;
  /** Path of the ONNX file. */
  readonly path: string;
  readonly decoder: OnnxDecoder;
}

const CONTEXT_LENGTH = [
  "max_position_embeddings",
  "n_positions",
  "n_ctx",
  "max_seq_len",
  "seq_length",
  "max_sequence_length",
];

/**
 * Reads the final product's weights and packs them as f32.
 *
 * @param into the bytes of a packed f32 matrix [rows, cols]
 */
export async function readHead({ tensor, type, rows, cols, isTransposed }: OnnxHead, into: Uint8Array): Promise<void> {
  const elementBytes = type === "float32" ? 4 : 2;
  const table = type === "float16" ? halfTable() : null;
  const { file: path, offset } = tensor.contents;
  const file = await openModelFile(path).catch((cause: unknown) => {
    if (cause instanceof EngineError) throw cause;
    throw new EngineError("invalid_model", `${path} cannot be read (${fileSystemCode(cause)})`, null, { cause });
  });
  /** Fills `target`, f32 [count], with the elements from `first` on. */
  const readInto = async (first: number, target: Float32Array): Promise<void> => {
    const raw = new Uint8Array(
      table === null ? target.buffer : new ArrayBuffer(target.length * 2),
      table === null ? target.byteOffset : 0,
      target.length * elementBytes,
    );
    for (let done = 0; done < raw.length;) {
      const { bytesRead } = await file.read(raw, done, raw.length - done, offset + first * elementBytes + done);
      if (bytesRead === 0) throw new EngineError("invalid_model", `${path} became shorter while it was read`);
      done += bytesRead;
    }
    if (table !== null) widenHalf(raw, target, table);
  };
  try {
    const rowsPerChunk = Math.max(1, Math.floor(CHUNK_VALUES / cols / PACK_ROWS)) * PACK_ROWS;
    let written = 0;
    for (let first = 0; first < rows; first += rowsPerChunk) {
      const count = Math.min(rowsPerChunk, rows - first);
      const values = new Float32Array(count * cols);
      if (!isTransposed) await readInto(first * cols, values);
      else {
        const column = new Float32Array(count);
        for (let col = 0; col < cols; col++) {
          await readInto(col * rows + first, column);
          for (let row = 0; row < count; row++) values[row * cols + col] = column[row]!;
        }
      }
      const packed = pack({ format: "f32", rows: count, cols, values });
      into.set(packed, written);
      written += packed.length;
    }
  } finally {
    await file.close();
  }
}

/** Number of values read and packed per chunk; transposed weights take one read per column of a chunk. */
const CHUNK_VALUES = 16 << 20;

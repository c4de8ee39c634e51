/**
 * Converts a Hugging Face folder to a GGUF file for llama.cpp, format version 3: header, metadata, tensor table, tensor
 * data. Quantized values and scales are those of our pack, so both engines have the same weights: a bfloat16 scale is
 * exact in float16 unless it is below float16's normal range.
 */

import type { JsonObject } from "../../engine/json.js";
import { QUANTIZATION_BLOCK, type QuantizedMatrix } from "../../kernels/index.js";
import { EngineError } from "../../engine/errors.js";
import { FileSink } from "../../engine/formats/file-sink.js";
import { openSourceModel, type SourceModel } from "../../engine/folder/source-model.js";
import { bytesOf, chunksOf, quantizeChunk, type Chunk, type Quant } from "./weights.js";

/** @param path a file that does not exist */
export async function writeGguf(sourceDir: string, path: string, quant: Quant): Promise<void> {
  const source = await openSourceModel(sourceDir);
  const sink = await FileSink.create(path);
  try {
    const tensors = ggufTensors(source, quant);
    const fields = metadata(source, quant);
    const header = new Encoder().raw(Buffer.from("GGUF")).u32(3).u64(tensors.length).u64(fields.length);
    for (const [key, type, value] of fields) header.string(key).value(type, value);
    let offset = 0;
    for (const { name, dims, type, byteLength } of tensors) {
      header.string(name).u32(dims.length);
      for (const dim of dims) header.u64(dim);
      header.u32(TENSOR_TYPE[type]).u64(offset);
      offset += aligned(byteLength);
    }
    await sink.write(header.finish());
    for (const tensor of tensors) {
      await sink.write(new Uint8Array(aligned(sink.byteLength) - sink.byteLength));
      for await (const chunk of chunksOf(source, tensor.from, quant)) {
        await sink.write(
          encodeChunk(tensor.isRotated ? interleaveHeads(chunk, source.config.headDim) : chunk, tensor.type),
        );
      }
    }
    await sink.write(new Uint8Array(aligned(sink.byteLength) - sink.byteLength));
    await sink.finish();
  } finally {
    await sink.abandon();
    await source.reader.close();
  }
}

interface GgufTensor {
  readonly name: string;
  /** Name in the safetensors files. */
  readonly from: string;
  /** Dimensions, columns first. */
  readonly dims: readonly number[];
  readonly type: Quant;
  readonly byteLength: number;
  /** True for queries and keys whose rotary pairs are adjacent rows in llama.cpp, instead of rows of the two halves. */
  readonly isRotated: boolean;
}

const ALIGNMENT = 32;
const TENSOR_TYPE: Readonly<Record<Quant, number>> = { f32: 0, q4: 2, q8: 8 };
/** llama.cpp's numbers for the main format of a file. */
const FILE_TYPE: Readonly<Record<Quant, number>> = { f32: 0, q4: 2, q8: 7 };
/** Bytes of a block of 32 values: a float16 scale and the values. */
const BLOCK_BYTES: Readonly<Record<"q4" | "q8", number>> = { q4: 2 + 16, q8: 2 + 32 };

const LAYER_TENSORS: readonly (readonly [from: string, to: string])[] = [
  ["input_layernorm", "attn_norm"],
  ["self_attn.q_proj", "attn_q"],
  ["self_attn.k_proj", "attn_k"],
  ["self_attn.v_proj", "attn_v"],
  ["self_attn.o_proj", "attn_output"],
  ["post_attention_layernorm", "ffn_norm"],
  ["mlp.gate_proj", "ffn_gate"],
  ["mlp.up_proj", "ffn_up"],
  ["mlp.down_proj", "ffn_down"],
];

function ggufTensors({ config, reader }: SourceModel, quant: Quant): GgufTensor[] {
  const tensors: GgufTensor[] = [];
  const add = (from: string, to: string): void => {
    const stored = reader.tensors.get(from);
    if (stored === undefined) return;
    const dims = [...stored.shape].reverse();
    const type = dims.length === 2 && dims[0]! % QUANTIZATION_BLOCK === 0 ? quant : "f32";
    const length = dims.reduce((product, dim) => product * dim, 1);
    const byteLength = type === "f32" ? length * 4 : (length / QUANTIZATION_BLOCK) * BLOCK_BYTES[type];
    const isRotated = config.architecture === "llama" && /\.[qk]_proj\./.test(from);
    tensors.push({ name: to, from, dims, type, byteLength, isRotated });
  };
  add("model.embed_tokens.weight", "token_embd.weight");
  for (let layer = 0; layer < config.numLayers; layer++) {
    for (const [from, to] of LAYER_TENSORS) {
      for (const kind of ["weight", "bias"]) add(`model.layers.${layer}.${from}.${kind}`, `blk.${layer}.${to}.${kind}`);
    }
  }
  add("model.norm.weight", "output_norm.weight");
  if (!config.tiedEmbeddings) add("lm_head.weight", "output.weight");
  return tensors;
}

type Field = readonly [key: string, type: FieldType, value: string | number | readonly (string | number)[]];
type FieldType = "u32" | "f32" | "string" | "strings" | "i32s";

function metadata({ config, files }: SourceModel, quant: Quant): Field[] {
  const { architecture } = config;
  if (architecture !== "llama" && architecture !== "qwen2") {
    throw new EngineError("unsupported_model", `the bench writes llama and qwen2 as GGUF, not ${architecture}`);
  }
  const { tokens, merges, types } = vocabulary(
    JSON.parse(Buffer.from(files.get("tokenizer.json")!).toString()) as JsonObject,
    config.vocabSize,
  );
  return [
    ["general.architecture", "string", architecture],
    ["general.name", "string", "bench"],
    ["general.file_type", "u32", FILE_TYPE[quant]],
    [`${architecture}.block_count`, "u32", config.numLayers],
    [`${architecture}.context_length`, "u32", config.contextLength],
    [`${architecture}.embedding_length`, "u32", config.hiddenSize],
    [`${architecture}.feed_forward_length`, "u32", config.intermediateSize],
    [`${architecture}.attention.head_count`, "u32", config.numHeads],
    [`${architecture}.attention.head_count_kv`, "u32", config.numKvHeads],
    [`${architecture}.attention.key_length`, "u32", config.headDim],
    [`${architecture}.attention.value_length`, "u32", config.headDim],
    [`${architecture}.attention.layer_norm_rms_epsilon`, "f32", config.normEpsilon],
    [`${architecture}.rope.dimension_count`, "u32", config.headDim],
    [`${architecture}.rope.freq_base`, "f32", config.ropeTheta],
    [`${architecture}.vocab_size`, "u32", config.vocabSize],
    ["tokenizer.ggml.model", "string", "gpt2"],
    ["tokenizer.ggml.pre", "string", "gpt-2"],
    ["tokenizer.ggml.tokens", "strings", tokens],
    ["tokenizer.ggml.token_type", "i32s", types],
    ["tokenizer.ggml.merges", "strings", merges],
  ];
}

const NORMAL_TOKEN = 1;
const CONTROL_TOKEN = 3;

/** Returns the unmodified vocabulary. The bench passes ids, so only the numbers of tokens and merges matter. */
function vocabulary(tokenizer: JsonObject, vocabSize: number): { tokens: string[]; merges: string[]; types: number[] } {
  const model = tokenizer["model"] as { vocab: Record<string, number>; merges: (string | [string, string])[] };
  const tokens = Array.from({ length: vocabSize }, (_, id) => `[unused${id}]`);
  const types = tokens.map(() => NORMAL_TOKEN);
  for (const [token, id] of Object.entries(model.vocab)) tokens[id] = token;
  for (const { id, content } of tokenizer["added_tokens"] as { id: number; content: string }[]) {
    tokens[id] = content;
    types[id] = CONTROL_TOKEN;
  }
  return { tokens, types, merges: model.merges.map((merge) => (typeof merge === "string" ? merge : merge.join(" "))) };
}

/** Moves the pair (i, i + D/2) of each head to (2i, 2i + 1). */
function interleaveHeads({ values, rows, cols }: Chunk, headDim: number): Chunk {
  const result = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    const within = row % headDim;
    const half = headDim / 2;
    const target = row - within + (within < half ? 2 * within : 2 * (within - half) + 1);
    result.set(values.subarray(row * cols, (row + 1) * cols), target * cols);
  }
  return { values: result, rows, cols };
}

function encodeChunk(chunk: Chunk, type: Quant): Uint8Array {
  return type === "f32" ? bytesOf(chunk.values) : encodeBlocks(quantizeChunk(type, chunk));
}

/** Encodes blocks. q4_0 stores element i in the low half of byte i and element i + 16 in the high half. */
function encodeBlocks({ format, values, scales }: QuantizedMatrix): Uint8Array {
  const size = BLOCK_BYTES[format];
  const bytes = new Uint8Array(scales.length * size);
  const view = new DataView(bytes.buffer);
  for (let block = 0; block < scales.length; block++) {
    const at = block * size;
    const first = block * QUANTIZATION_BLOCK;
    view.setUint16(at, halfBits(scales[block]!), true);
    if (format === "q8") {
      for (let i = 0; i < QUANTIZATION_BLOCK; i++) view.setInt8(at + 2 + i, values[first + i]!);
    } else {
      for (let i = 0; i < 16; i++) bytes[at + 2 + i] = (values[first + i]! + 8) | ((values[first + 16 + i]! + 8) << 4);
    }
  }
  return bytes;
}

/** Converts to float16, rounded to nearest. */
function halfBits(value: number): number {
  const sign = value < 0 ? 0x8000 : 0;
  const size = Math.abs(value);
  const exponent = Math.max(-14, Math.floor(Math.log2(size)));
  const units = Math.round((size / 2 ** exponent) * 1024);
  return sign | (units < 1024 ? units : ((exponent + 15) << 10) + (units - 1024));
}

function aligned(byteLength: number): number {
  return Math.ceil(byteLength / ALIGNMENT) * ALIGNMENT;
}

/** Collects little-endian values, and joins and pads them to the alignment of tensors. */
class Encoder {
  readonly #pieces: Uint8Array[] = [];

  raw(bytes: Uint8Array): this {
    this.#pieces.push(bytes);
    return this;
  }

  u32(value: number): this {
    return this.raw(Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24));
  }

  u64(value: number): this {
    return this.raw(bytesOf(BigInt64Array.of(BigInt(value))));
  }

  string(value: string): this {
    const bytes = Buffer.from(value);
    return this.u64(bytes.length).raw(bytes);
  }

  /** Writes a metadata value after the number of its type. */
  value(type: FieldType, value: Field[2]): this {
    switch (type) {
      case "u32":
        return this.u32(4).u32(value as number);
      case "f32":
        return this.u32(6).raw(bytesOf(Float32Array.of(value as number)));
      case "string":
        return this.u32(8).string(value as string);
      case "strings":
      case "i32s": {
        const items = value as readonly (string | number)[];
        this.u32(9)
          .u32(type === "strings" ? 8 : 5)
          .u64(items.length);
        for (const item of items) {
          if (typeof item === "string") this.string(item);
          else this.u32(item);
        }
        return this;
      }
    }
  }

  finish(): Uint8Array {
    const bytes = Buffer.concat(this.#pieces);
    return Buffer.concat([bytes, new Uint8Array(aligned(bytes.length) - bytes.length)]);
  }
}

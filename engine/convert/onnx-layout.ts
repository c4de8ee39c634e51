/**
 * Writes a Hugging Face folder in the layout that transformers.js runs: its text files, and onnx/model*.onnx, a graph
 * from token ids and past keys and values to logits. As in common exports, products are MatMulNBits and attention is
 * GroupQueryAttention; the values are those of a pack of the same format. Where ONNX Runtime offers a faster form
 * (joined projections, int8 activations, logits of the last position only), the graph uses it.
 */

import { mkdir } from "node:fs/promises";
import { basename, join } from "node:path";

import type { JsonObject } from "../json.js";
import {
  dequantize,
  QUANTIZATION_BLOCK,
  quantize,
  type MatrixFormat,
  type QuantizedFormat,
} from "../../kernels/index.js";
import { EngineError } from "../errors.js";
import { LIMITS } from "../limits.js";
import { packedWeights, RotaryEmbedding, type ModelConfig, type StackedWeight } from "../architecture/index.js";
import {
  FileSink,
  float,
  int,
  ints,
  ONNX_DATA_TYPE,
  onnxFileBytes,
  parseJsonObject,
  writeOnnx,
  type Attribute,
  type DataType,
  type Graph,
  type GraphNode,
  type Initializer,
  type InitializerPiece,
  type ValueInfo,
} from "../formats/index.js";
import { ONNX_FOLDER, onnxFile, type OnnxDtype, type SourceModel } from "../folder/index.js";
import { countEqualized, countWeights, WeightReader, type ReadOptions } from "./weight-reader.js";

/** transformers.js's name for each format. */
export const DTYPE_OF_FORMAT: Readonly<Record<MatrixFormat, OnnxDtype>> = { f32: "fp32", q8: "q8", q4: "q4" };

export interface OnnxLayoutOptions extends ReadOptions {
  readonly format: MatrixFormat;
  /** Size in bytes from which the ONNX file keeps its weights in a separate file. */
  readonly externalFromBytes?: number;
}

/** Writes the model into the empty folder `dir`. */
export async function writeOnnxLayout(source: SourceModel, dir: string, options: OnnxLayoutOptions): Promise<void> {
  const { format } = options;
  const { headDim } = source.config;
  if (headDim % HEAD_MULTIPLE !== 0) {
    throw new EngineError(
      "unsupported_model",
      `head_dim ${headDim} is not a multiple of ${HEAD_MULTIPLE}, which ONNX Runtime's attention requires; convert to a pack instead`,
    );
  }
  const reader = new WeightReader(source, format, countRead(source, format), options);
  const graph = new DecoderGraph(source, format, reader);
  const name = basename(onnxFile(DTYPE_OF_FORMAT[format]));
  const isExternal = onnxFileBytes(graph) >= (options.externalFromBytes ?? LIMITS.maxInlineWeightsBytes);
  const sinks: FileSink[] = [];
  const create = async (path: string): Promise<FileSink> => {
    const sink = await FileSink.create(join(dir, path));
    sinks.push(sink);
    return sink;
  };
  try {
    await mkdir(join(dir, ONNX_FOLDER));
    for (const [file, bytes] of source.files) {
      const sink = await create(file);
      await sink.write(file === "config.json" ? withExternalData(bytes, isExternal ? name : null) : bytes);
      await sink.finish();
    }
    const model = await create(join(ONNX_FOLDER, name));
    const location = `${name}_data`;
    const external = isExternal ? { sink: await create(join(ONNX_FOLDER, location)), location } : null;
    await writeOnnx(graph, graph.contents(), model, external);
    await model.finish();
    await external?.sink.finish();
  } finally {
    await Promise.all(sinks.map((sink) => sink.abandon()));
  }
}

/** Adds the setting that tells transformers.js that `file` keeps its weights in a separate file; null adds nothing. */
function withExternalData(config: Uint8Array, file: string | null): Uint8Array {
  if (file === null) return config;
  const parsed = parseJsonObject(config, "config.json");
  const own = (parsed["transformers.js_config"] ?? {}) as JsonObject;
  const settings = { ...own, use_external_data_format: { [file]: 1 } };
  return Buffer.from(`${JSON.stringify({ ...parsed, "transformers.js_config": settings }, null, 2)}\n`);
}

function countRead(source: SourceModel, format: MatrixFormat): number {
  const { weights } = source;
  const tied = weights.lmHead === null ? [weights.embedding] : [];
  return countWeights([...packedWeights(weights), ...tied]) + countEqualized(source, format);
}

/** Name of the batch axis, which transformers.js uses to create its empty cache. */
const BATCH = "batch_size";

/** Builds the graph. Shapes: B sequences, S new positions, P past positions, D the dimension of a head. */
class DecoderGraph implements Graph {
  readonly name = "decoder";
  readonly inputs: ValueInfo[];
  readonly outputs: ValueInfo[];
  readonly nodes: GraphNode[] = [];
  readonly initializers: Initializer[] = [];
  /** Source of the contents of each initializer, in the same order. */
  readonly #fillers: (() => AsyncIterable<Uint8Array>)[] = [];

  constructor(
    readonly source: SourceModel,
    readonly format: MatrixFormat,
    readonly reader: WeightReader,
  ) {
    const { config, weights } = source;
    const cache = (prefix: string, length: string): ValueInfo[] =>
      Array.from({ length: config.numLayers }, (_, layer) =>
        ["key", "value"].map((kind) => ({
          name: `${prefix}.${layer}.${kind}`,
          shape: [BATCH, config.numKvHeads, length, config.headDim],
        })),
      ).flat();
    this.inputs = [
      { name: "input_ids", shape: [BATCH, "S"], dataType: "i64" },
      { name: "attention_mask", shape: [BATCH, "P+S"], dataType: "i64" },
      { name: "position_ids", shape: [BATCH, "S"], dataType: "i64" },
      { name: "num_logits_to_keep", shape: [], dataType: "i64" },
      ...cache("past_key_values", "P"),
    ];
    this.outputs = [{ name: "logits", shape: [BATCH, "N", config.vocabSize] }, ...cache("present", "P+S")];

    this.#positions();
    let residual = this.op("Gather", [this.#embedding(weights.embedding), "input_ids"], "embedded");
    let normed = this.op(
      "SimplifiedLayerNormalization",
      [residual, this.#vector(weights.layers[0]!.inputNorm)],
      "embedded.normed",
      {
        axis: int(-1),
        epsilon: float(config.normEpsilon),
      },
    );
    for (const [index, layer] of weights.layers.entries()) {
      const attended = this.#attended(this.#project(normed, layer.qkv, layer.qkvBias), index);
      const attention = this.#project(attended, layer.output, layer.outputBias);
      ({ normed, residual } = this.#addAndNorm(residual, attention, layer.attentionNorm));
      const fed = this.#project(this.#gated(this.#project(normed, layer.gateUp, null), index), layer.down, null);
      ({ normed, residual } = this.#addAndNorm(
        residual,
        fed,
        weights.layers[index + 1]?.inputNorm ?? weights.finalNorm,
      ));
    }
    // Keeps the last `num_logits_to_keep` positions; 0 keeps all.
    const count = this.op("Reshape", ["num_logits_to_keep", this.#constant([1])], "kept.count");
    const start = this.op("Neg", [count], "kept.start");
    const kept = this.op(
      "Slice",
      [normed, start, this.#constant([Number.MAX_SAFE_INTEGER]), this.#constant([1])],
      "kept",
    );
    this.op(
      "Identity",
      [this.#project(kept, { ...(weights.lmHead ?? weights.embedding), name: "lm_head" }, null)],
      "logits",
    );
  }

  async *contents(): AsyncGenerator<InitializerPiece> {
    for (const [index, { name }] of this.initializers.entries()) {
      for await (const bytes of this.#fillers[index]!()) {
        this.reader.options.signal?.throwIfAborted();
        yield { name, bytes };
      }
    }
  }

  /** Adds the inputs that GroupQueryAttention needs besides the heads: lengths and rotation tables. */
  #positions(): void {
    const { config } = this.source;
    const lengths = this.op("ReduceSum", ["attention_mask", this.#constant([1])], "lengths", { keepdims: int(0) });
    const last = this.op("Sub", [lengths, this.#constant([1])], "lengths.last");
    this.op("Cast", [last], "seqlens_k", { to: int(ONNX_DATA_TYPE.i32) });
    const total = this.op("Shape", ["attention_mask"], "total", { start: int(1) });
    this.op("Cast", [this.op("Squeeze", [total], "total.scalar")], "total_sequence_length", {
      to: int(ONNX_DATA_TYPE.i32),
    });
    const { contextLength, headDim } = config;
    for (const part of ["cos", "sin"] as const) {
      this.#initializer(`rope.${part}`, "f32", [contextLength, headDim / 2], () => ropeTable(config, part));
    }
  }

  /** qkv [B, S, (heads + 2 * kv_heads) * D] -> [B, S, heads * D] */
  #attended(qkv: string, index: number): string {
    const { numHeads, numKvHeads, headDim } = this.source.config;
    const name = (part: string): string => `layers.${index}.${part}`;
    const past = ["key", "value"].map((kind) => `past_key_values.${index}.${kind}`);
    const present = ["key", "value"].map((kind) => `present.${index}.${kind}`);
    const { qNorm, kNorm } = this.source.weights.layers[index]!;
    const rotates = headDim % ROTATED_HEAD_MULTIPLE === 0;
    let inputs = [qkv, "", ""];
    if (!rotates || qNorm !== null || kNorm !== null) {
      const [q, k, v] = ["q", "k", "v"].map(name) as [string, string, string];
      const widths = this.#constant([numHeads * headDim, numKvHeads * headDim, numKvHeads * headDim]);
      this.nodes.push({
        opType: "Split",
        domain: "",
        inputs: [qkv, widths],
        outputs: [q, k, v],
        attributes: { axis: int(-1) },
      });
      inputs = [this.#headNorm(q, qNorm, numHeads), this.#headNorm(k, kNorm, numKvHeads), v];
    }
    if (!rotates) {
      inputs = inputs.map((part, which) => (which === 2 ? part : this.#rotated(part)));
    }
    this.nodes.push({
      opType: "GroupQueryAttention",
      domain: "com.microsoft",
      inputs: [...inputs, ...past, "seqlens_k", "total_sequence_length", ...(rotates ? ["rope.cos", "rope.sin"] : [])],
      outputs: [name("attended"), ...present],
      attributes: { num_heads: int(numHeads), kv_num_heads: int(numKvHeads), do_rotary: int(rotates ? 1 : 0) },
    });
    return name("attended");
  }

  /** RMS norm of each head of [B, S, heads * D]. */
  #headNorm(input: string, gain: StackedWeight | null, heads: number): string {
    if (gain === null) return input;
    const { headDim, normEpsilon } = this.source.config;
    const split = this.op("Reshape", [input, this.#constant([0, -1, heads, headDim])], `${input}.heads`);
    const normed = this.op("SimplifiedLayerNormalization", [split, this.#vector(gain)], `${input}.normed`, {
      axis: int(-1),
      epsilon: float(normEpsilon),
    });
    return this.op("Reshape", [normed, this.#constant([0, -1, heads * headDim])], `${input}.joined`);
  }

  #rotated(input: string): string {
    const output = `${input}.rotated`;
    const inputs = [input, "position_ids", "rope.cos", "rope.sin"];
    this.nodes.push({ opType: "RotaryEmbedding", domain: "com.microsoft", inputs, outputs: [output], attributes: {} });
    return output;
  }

  /** gate_up [B, S, 2 * intermediate] -> silu(gate) * up */
  #gated(gateUp: string, index: number): string {
    const width = this.source.config.intermediateSize;
    const name = (part: string): string => `layers.${index}.${part}`;
    const split = [name("gate"), name("up")];
    this.nodes.push({
      opType: "Split",
      domain: "",
      inputs: [gateUp, this.#constant([width, width])],
      outputs: split,
      attributes: { axis: int(-1) },
    });
    const silu = this.op("Mul", [split[0]!, this.op("Sigmoid", [split[0]!], name("sigmoid"))], name("silu"));
    return this.op("Mul", [silu, split[1]!], name("gated"));
  }

  #addAndNorm(residual: string, added: string, gain: StackedWeight): { normed: string; residual: string } {
    const names = { normed: `${gain.name}.out`, residual: `${gain.name}.sum` };
    this.nodes.push({
      opType: "SkipSimplifiedLayerNormalization",
      domain: "com.microsoft",
      inputs: [residual, added, this.#vector(gain)],
      outputs: [names.normed, "", "", names.residual],
      attributes: { epsilon: float(this.source.config.normEpsilon) },
    });
    return names;
  }

  #project(input: string, weight: StackedWeight, bias: StackedWeight | null): string {
    const { format, reader } = this;
    const { name, rows, cols } = weight;
    const output = `${name}.out`;
    if (format === "f32") {
      const values = this.#initializer(name, "f32", [rows, cols], () => this.#floats(weight));
      const product = this.op(
        "MatMul",
        [input, this.op("Transpose", [values], `${name}.transposed`, { perm: ints([1, 0]) })],
        output,
      );
      return bias === null ? product : this.op("Add", [product, this.#vector(bias)], `${output}.biased`);
    }
    const bits = format === "q8" ? 8 : 4;
    const blocks = Math.ceil(cols / QUANTIZATION_BLOCK);
    const scales = new Float32Array(rows * blocks);
    const values = this.#initializer(name, "u8", [rows, blocks, (QUANTIZATION_BLOCK * bits) / 8], async function* () {
      for await (const chunk of reader.chunks(weight)) {
        const quantized = quantize(format, chunk.values, chunk.rows, cols);
        scales.set(quantized.scales, chunk.first * blocks);
        yield unsigned(format, quantized.values);
      }
    });
    const scalesName = this.#initializer(`${name}.scales`, "f32", [rows * blocks], async function* () {
      yield bytesOf(scales);
    });
    const inputs = [input, values, scalesName, ...(bias === null ? [] : ["", "", this.#vector(bias)])];
    const attributes = {
      K: int(cols),
      N: int(rows),
      bits: int(bits),
      block_size: int(QUANTIZATION_BLOCK),
      accuracy_level: int(INT8_ACTIVATIONS),
    };
    this.nodes.push({ opType: "MatMulNBits", domain: "com.microsoft", inputs, outputs: [output], attributes });
    return output;
  }

  /** f32 [vocab, hidden] in every format, as usual in these files; the values are those after quantization. */
  #embedding(weight: StackedWeight): string {
    const { format, reader } = this;
    const { name, rows, cols } = weight;
    return this.#initializer(name, "f32", [rows, cols], async function* () {
      for await (const chunk of reader.chunks(weight)) {
        yield bytesOf(format === "f32" ? chunk.values : dequantize(quantize(format, chunk.values, chunk.rows, cols)));
      }
    });
  }

  #vector(weight: StackedWeight): string {
    return this.#initializer(weight.name, "f32", [weight.rows], () => this.#floats(weight));
  }

  async *#floats(weight: StackedWeight): AsyncGenerator<Uint8Array> {
    for await (const { values } of this.reader.chunks(weight)) yield bytesOf(values);
  }

  /** int64 [values.length] */
  #constant(values: readonly number[]): string {
    const name = `constant.${values.join(",")}`;
    if (this.initializers.some((initializer) => initializer.name === name)) return name;
    return this.#initializer(name, "i64", [values.length], async function* () {
      yield bytesOf(BigInt64Array.from(values, BigInt));
    });
  }

  op(
    opType: string,
    inputs: readonly string[],
    output: string,
    attributes: Readonly<Record<string, Attribute>> = {},
  ): string {
    this.nodes.push({ opType, domain: "", inputs, outputs: [output], attributes });
    return output;
  }

  #initializer(
    name: string,
    dataType: DataType,
    dims: readonly number[],
    filler: () => AsyncIterable<Uint8Array>,
  ): string {
    this.initializers.push({ name, dataType, dims });
    this.#fillers.push(filler);
    return name;
  }
}

/** GroupQueryAttention supports only head dimensions that are a multiple of this. */
const HEAD_MULTIPLE = 8;
/** GroupQueryAttention rotates only heads whose dimension is a multiple of this. */
const ROTATED_HEAD_MULTIPLE = 16;
const INT8_ACTIVATIONS = 4;
const POSITIONS_PER_PIECE = 4096;

/** Yields f32 [contextLength, D / 2] in pieces. */
async function* ropeTable(config: ModelConfig, part: "cos" | "sin"): AsyncGenerator<Uint8Array> {
  const rope = new RotaryEmbedding(config);
  const half = config.headDim / 2;
  const other = new Float32Array(half);
  for (let first = 0; first < config.contextLength; first += POSITIONS_PER_PIECE) {
    const count = Math.min(POSITIONS_PER_PIECE, config.contextLength - first);
    const table = new Float32Array(count * half);
    for (let row = 0; row < count; row++) {
      const own = table.subarray(row * half, (row + 1) * half);
      rope.fill(first + row, part === "cos" ? own : other, part === "cos" ? other : own);
    }
    yield bytesOf(table);
  }
}

/** Shifts values to MatMulNBits's unsigned range. Of two 4-bit values, the first is the low half of the byte. */
function unsigned(format: QuantizedFormat, values: Int8Array): Uint8Array {
  if (format === "q8") return Uint8Array.from(values, (value) => value + 128);
  return Uint8Array.from(
    { length: values.length / 2 },
    (_, i) => (values[2 * i]! + 8) | ((values[2 * i + 1]! + 8) << 4),
  );
}

function bytesOf(values: Float32Array | BigInt64Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

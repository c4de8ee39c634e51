/**
 * Writes a Hugging Face folder in the layout that transformers.js runs: its text files, and onnx/model*.onnx from
 * token ids and past keys and values to logits. As in the exports people use, products are MatMulNBits and attention
 * is GroupQueryAttention; the values are those of our pack. Where ONNX Runtime offers a faster form (joined
 * projections, int8 activations, logits of the last position only) it gets it.
 */

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { QUANTIZATION_BLOCK, dequantize } from "../../kernels/index.js";
import type { ModelConfig } from "../../engine/model/config.js";
import { FileSink } from "../../engine/model/file-sink.js";
import { RotaryEmbedding } from "../../engine/model/index.js";
import {
  writeOnnx,
  type Attribute,
  type DataType,
  type GraphNode,
  type Initialiser,
  type InitialiserPiece,
  type ValueInfo,
} from "../../engine/model/onnx.js";
import { openSourceModel, type SourceModel } from "../../engine/model/source-model.js";
import type { StackedWeight } from "../../engine/model/weights.js";
import { bytesOf, chunksOf, quantizeChunk, type Quant } from "./weights.js";

/** transformers.js's name of each format: its `dtype`, and what that adds to the file's name. */
export const TRANSFORMERS_DTYPE: Readonly<Record<Quant, { dtype: string; suffix: string }>> = {
  q4: { dtype: "q4", suffix: "_q4" },
  q8: { dtype: "q8", suffix: "_quantized" },
  f32: { dtype: "fp32", suffix: "" },
};

/** @param dir a folder that may exist and holds no model of this format yet */
export async function writeTransformersLayout(sourceDir: string, dir: string, quant: Quant): Promise<void> {
  const source = await openSourceModel(sourceDir);
  try {
    await mkdir(join(dir, "onnx"), { recursive: true });
    for (const [name, bytes] of source.files) await writeFile(join(dir, name), bytes);
    const graph = new DecoderGraph(source, quant);
    const sink = await FileSink.create(join(dir, "onnx", `model${TRANSFORMERS_DTYPE[quant].suffix}.onnx`));
    try {
      await writeOnnx(graph, graph.contents(), sink, null);
      await sink.finish();
    } finally {
      await sink.abandon();
    }
  } finally {
    await source.reader.close();
  }
}

/** ONNX's numbers of element types, for Cast. */
const INT32 = 6;

/** transformers.js makes its empty cache by this name. */
const BATCH = "batch_size";

/** Shapes: B sequences, S new positions, P past ones, D a head's dimension. */
class DecoderGraph {
  readonly name = "decoder";
  readonly inputs: ValueInfo[];
  readonly outputs: ValueInfo[];
  readonly nodes: GraphNode[] = [];
  readonly initialisers: Initialiser[] = [];
  /** What fills each initialiser, in their order. */
  readonly #fillers: (() => AsyncIterable<Uint8Array>)[] = [];

  constructor(
    readonly source: SourceModel,
    readonly quant: Quant,
  ) {
    const { config, weights } = source;
    const cache = (prefix: string, length: string): ValueInfo[] =>
      Array.from({ length: config.numLayers }, (_, layer) =>
        ["key", "value"].map((kind) => ({ name: `${prefix}.${layer}.${kind}`, shape: [BATCH, config.numKvHeads, length, config.headDim] })),
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
    let normed = this.op("SimplifiedLayerNormalization", [residual, this.#vector(weights.layers[0]!.inputNorm)], "embedded.normed", {
      axis: int(-1),
      epsilon: float(config.normEpsilon),
    });
    for (const [index, layer] of weights.layers.entries()) {
      const attended = this.#attended(this.#project(normed, layer.qkv, layer.qkvBias), index);
      const attention = this.#project(attended, layer.output, layer.outputBias);
      ({ normed, residual } = this.#addAndNorm(residual, attention, layer.attentionNorm));
      const fed = this.#project(this.#gated(this.#project(normed, layer.gateUp, null), index), layer.down, null);
      ({ normed, residual } = this.#addAndNorm(residual, fed, weights.layers[index + 1]?.inputNorm ?? weights.finalNorm));
    }
    // The last `num_logits_to_keep` positions; 0 keeps all.
    const count = this.op("Reshape", ["num_logits_to_keep", this.#constant([1])], "kept.count");
    const start = this.op("Neg", [count], "kept.start");
    const kept = this.op("Slice", [normed, start, this.#constant([Number.MAX_SAFE_INTEGER]), this.#constant([1])], "kept");
    this.op("Identity", [this.#project(kept, { ...(weights.lmHead ?? weights.embedding), name: "lm_head" }, null)], "logits");
  }

  async *contents(): AsyncGenerator<InitialiserPiece> {
    for (const [index, { name }] of this.initialisers.entries()) {
      for await (const bytes of this.#fillers[index]!()) yield { name, bytes };
    }
  }

  /** What GroupQueryAttention asks for beside the heads: lengths, and the tables it rotates by. */
  #positions(): void {
    const { config } = this.source;
    const lengths = this.op("ReduceSum", ["attention_mask", this.#constant([1])], "lengths", { keepdims: int(0) });
    const last = this.op("Sub", [lengths, this.#constant([1])], "lengths.last");
    this.op("Cast", [last], "seqlens_k", { to: int(INT32) });
    const total = this.op("Shape", ["attention_mask"], "total", { start: int(1) });
    this.op("Cast", [this.op("Squeeze", [total], "total.scalar")], "total_sequence_length", { to: int(INT32) });
    const [cos, sin] = ropeTables(config);
    for (const [name, table] of [
      ["rope.cos", cos],
      ["rope.sin", sin],
    ] as const) {
      this.#initialiser(name, "f32", [POSITIONS_MAX, config.headDim / 2], async function* () {
        yield bytesOf(table);
      });
    }
  }

  /** qkv [B, S, (heads + 2 * kv_heads) * D] -> [B, S, heads * D] */
  #attended(qkv: string, index: number): string {
    const { numHeads, numKvHeads, headDim } = this.source.config;
    const name = (part: string): string => `layers.${index}.${part}`;
    const past = ["key", "value"].map((kind) => `past_key_values.${index}.${kind}`);
    const present = ["key", "value"].map((kind) => `present.${index}.${kind}`);
    const rotates = headDim % ROTATED_HEAD_MULTIPLE === 0;
    let inputs = [qkv, "", ""];
    if (!rotates) {
      const [q, k, v] = ["q", "k", "v"].map(name) as [string, string, string];
      const widths = this.#constant([numHeads * headDim, numKvHeads * headDim, numKvHeads * headDim]);
      this.nodes.push({ opType: "Split", domain: "", inputs: [qkv, widths], outputs: [q, k, v], attributes: { axis: int(-1) } });
      for (const part of [q, k]) {
        this.nodes.push({
          opType: "RotaryEmbedding",
          domain: "com.microsoft",
          inputs: [part, "position_ids", "rope.cos", "rope.sin"],
          outputs: [`${part}.rotated`],
          attributes: {},
        });
      }
      inputs = [`${q}.rotated`, `${k}.rotated`, v];
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
    const { quant, source } = this;
    const { name, rows, cols, parts } = weight;
    const output = `${name}.out`;
    if (quant === "f32") {
      const values = this.#initialiser(name, "f32", [rows, cols], async function* () {
        for (const part of parts) for await (const chunk of chunksOf(source, part.name, quant)) yield bytesOf(chunk.values);
      });
      const product = this.op("MatMul", [input, this.op("Transpose", [values], `${name}.transposed`, { perm: ints([1, 0]) })], output);
      return bias === null ? product : this.op("Add", [product, this.#vector(bias)], `${output}.biased`);
    }
    const bits = quant === "q8" ? 8 : 4;
    const blocks = Math.ceil(cols / QUANTIZATION_BLOCK);
    const scales = new Float32Array(rows * blocks);
    const values = this.#initialiser(name, "u8", [rows, blocks, (QUANTIZATION_BLOCK * bits) / 8], async function* () {
      let numScales = 0;
      for (const part of parts) {
        for await (const chunk of chunksOf(source, part.name, quant)) {
          const quantised = quantizeChunk(quant, chunk);
          scales.set(quantised.scales, numScales);
          numScales += quantised.scales.length;
          yield unsigned(quant, quantised.values);
        }
      }
    });
    const scalesName = this.#initialiser(`${name}.scales`, "f32", [rows * blocks], async function* () {
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

  /** f32 [vocab, hidden] whatever the format, as usual in these files; the numbers are the quantised ones. */
  #embedding({ name, rows, cols, parts }: StackedWeight): string {
    const { quant, source } = this;
    return this.#initialiser(name, "f32", [rows, cols], async function* () {
      for (const part of parts) {
        for await (const chunk of chunksOf(source, part.name, quant)) {
          yield bytesOf(quant === "f32" ? chunk.values : dequantize(quantizeChunk(quant, chunk)));
        }
      }
    });
  }

  #vector({ name, rows, parts }: StackedWeight): string {
    const { source, quant } = this;
    return this.#initialiser(name, "f32", [rows], async function* () {
      for (const part of parts) for await (const chunk of chunksOf(source, part.name, quant)) yield bytesOf(chunk.values);
    });
  }

  /** int64 [values.length] */
  #constant(values: readonly number[]): string {
    const name = `constant.${values.join(",")}`;
    if (this.initialisers.some((initialiser) => initialiser.name === name)) return name;
    return this.#initialiser(name, "i64", [values.length], async function* () {
      yield bytesOf(BigInt64Array.from(values, BigInt));
    });
  }

  op(opType: string, inputs: readonly string[], output: string, attributes: Readonly<Record<string, Attribute>> = {}): string {
    this.nodes.push({ opType, domain: "", inputs, outputs: [output], attributes });
    return output;
  }

  #initialiser(name: string, dataType: DataType, dims: readonly number[], filler: () => AsyncIterable<Uint8Array>): string {
    this.initialisers.push({ name, dataType, dims });
    this.#fillers.push(filler);
    return name;
  }
}

/** GroupQueryAttention rotates only heads of a multiple of this size. */
const ROTATED_HEAD_MULTIPLE = 16;
/** Positions that the bench ever uses. */
const POSITIONS_MAX = 2048;
const INT8_ACTIVATIONS = 4;

/** f32 [POSITIONS_MAX, D/2] each */
function ropeTables(config: ModelConfig): [cos: Float32Array, sin: Float32Array] {
  const rope = new RotaryEmbedding(config);
  const half = config.headDim / 2;
  const cos = new Float32Array(POSITIONS_MAX * half);
  const sin = new Float32Array(POSITIONS_MAX * half);
  for (let position = 0; position < POSITIONS_MAX; position++) {
    const at = [position * half, (position + 1) * half] as const;
    rope.fill(position, cos.subarray(...at), sin.subarray(...at));
  }
  return [cos, sin];
}

/** MatMulNBits counts from the middle of the range; of two 4-bit values the first is the low half of the byte. */
function unsigned(quant: "q4" | "q8", values: Int8Array): Uint8Array {
  if (quant === "q8") return Uint8Array.from(values, (value) => value + 128);
  return Uint8Array.from({ length: values.length / 2 }, (_, i) => (values[2 * i]! + 8) | ((values[2 * i + 1]! + 8) << 4));
}

function int(value: number): Attribute {
  return { type: "int", value };
}

function float(value: number): Attribute {
  return { type: "float", value };
}

function ints(value: readonly number[]): Attribute {
  return { type: "ints", value };
}

/**
 * Writes folders of ONNX files as others export them, from the tensors of a random model. Two styles: `plain`, as a tracing
 * exporter writes it (primitive operators, weights transposed, the causal mask made in the graph, keys and values
 * joined by Concat and repeated by Expand), and `fused`, as model builders for ONNX Runtime write it
 * (GroupQueryAttention, MatMulNBits, norms in one operator). Shares nothing with the layout that conversions write but
 * the writer of files.
 */

import { copyFile, mkdir } from "node:fs/promises";
import { basename, join } from "node:path";

import { FileSink } from "../engine/model/file-sink.js";
import { BYTES_PER_ELEMENT, float, int, ints, ONNX_DATA_TYPE, writeOnnx, type Attribute, type DataType, type Graph, type GraphNode, type Initialiser, type ValueInfo } from "../engine/model/onnx.js";
import { onnxFile, type OnnxDtype } from "../engine/hub/index.js";
import { TEXT_FILES } from "../engine/model/source-model.js";
import { quantize } from "../kernels/index.js";
import { toHalf, type RandomTensor } from "./random-model.js";

/** Sizes of a llama. */
export interface ExportShape {
  readonly hidden: number;
  readonly inner: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly vocab: number;
  readonly positions: number;
  readonly ropeTheta: number;
  readonly epsilon: number;
}

export interface ExportOptions {
  readonly dtype: OnnxDtype;
  /** The head is the embedding, transposed in the graph. */
  readonly tied?: boolean;
  /** An input that no decoder has. */
  readonly extraInput?: string;
  /** An input of this name: a number, or a list of one. */
  readonly numLogitsToKeep?: boolean | "list";
  /** Weights go beside the file. */
  readonly external?: boolean;
  /** The batch, head and width of the caches are names, as some exporters leave them. */
  readonly symbolicCaches?: boolean;
  readonly logitsCastTo?: "f32";
  /** Logits go through an operator of which nobody can tell whether it mixes positions. */
  readonly reshaped?: boolean;
  /** Values are divided before they become logits, so that the product is not the last operator. */
  readonly softcap?: number;
}

export const PLAIN_DTYPES = ["fp32", "fp16", "q8"] as const;
export const FUSED_DTYPES = ["q4", "q4f16"] as const;

/** Adds `onnx/model*.onnx` to `dir`, with the text files of `sourceDir` where that is another folder. */
export async function writeExport(sourceDir: string, dir: string, shape: ExportShape, tensors: ReadonlyMap<string, RandomTensor>, options: ExportOptions): Promise<void> {
  await mkdir(join(dir, "onnx"), { recursive: true });
  if (sourceDir !== dir) for (const name of TEXT_FILES) await copyFile(join(sourceDir, name), join(dir, name)).catch(() => undefined);
  const graph = new ExportedGraph(shape, tensors, options);
  const name = basename(onnxFile(options.dtype));
  const model = await FileSink.create(join(dir, "onnx", name));
  const location = `${name}_data`;
  const external = options.external === true ? { sink: await FileSink.create(join(dir, "onnx", location)), location } : null;
  await writeOnnx(graph, graph.contents(), model, external);
  await model.finish();
  await external?.sink.finish();
}

class ExportedGraph implements Graph {
  readonly name = "main_graph";
  readonly inputs: ValueInfo[] = [];
  readonly outputs: ValueInfo[] = [];
  readonly nodes: GraphNode[] = [];
  readonly initialisers: Initialiser[] = [];
  readonly #bytes: Uint8Array[] = [];
  readonly #float: "f32" | "f16";
  readonly #isFused: boolean;
  #count = 0;

  constructor(
    readonly shape: ExportShape,
    readonly tensors: ReadonlyMap<string, RandomTensor>,
    readonly options: ExportOptions,
  ) {
    const { dtype } = options;
    this.#float = dtype === "fp16" || dtype === "q4f16" ? "f16" : "f32";
    this.#isFused = dtype === "q4" || dtype === "q4f16";
    const { hidden, layers, kvHeads, heads, vocab } = shape;
    const dim = hidden / heads;
    const cacheShape = (length: string): (number | string)[] => (options.symbolicCaches === true ? ["b", "kv", length, "d"] : ["batch_size", kvHeads, length, dim]);
    this.inputs.push({ name: "input_ids", shape: ["batch_size", "sequence_length"], dataType: "i64" });
    this.inputs.push({ name: "attention_mask", shape: ["batch_size", "total_sequence_length"], dataType: "i64" });
    if (!this.#isFused) this.inputs.push({ name: "position_ids", shape: ["batch_size", "sequence_length"], dataType: "i64" });
    if (options.numLogitsToKeep) this.inputs.push({ name: "num_logits_to_keep", shape: options.numLogitsToKeep === "list" ? [1] : [], dataType: "i64" });
    if (options.extraInput !== undefined) this.inputs.push({ name: options.extraInput, shape: [], dataType: "i64" });
    const logits = options.logitsCastTo ?? this.#float;
    this.outputs.push({ name: "logits", shape: ["batch_size", "sequence_length", vocab], dataType: logits });
    for (let layer = 0; layer < layers; layer++) {
      for (const kind of ["key", "value"]) {
        this.inputs.push({ name: `past_key_values.${layer}.${kind}`, shape: cacheShape("past_sequence_length"), dataType: this.#float });
        this.outputs.push({ name: `present.${layer}.${kind}`, shape: cacheShape("total_sequence_length"), dataType: this.#float });
      }
    }
    const normed = this.#isFused ? this.#fusedBody() : this.#plainBody();
    this.#logits(normed);
  }

  async *contents(): AsyncGenerator<{ name: string; bytes: Uint8Array }> {
    for (const [index, { name }] of this.initialisers.entries()) yield { name, bytes: this.#bytes[index]! };
  }

  #logits(normed: string): void {
    const { softcap, numLogitsToKeep, logitsCastTo } = this.options;
    let x = normed;
    if (numLogitsToKeep) {
      const start = this.#op("Neg", [this.#op("Reshape", ["num_logits_to_keep", this.#ints([1])])]);
      x = this.#op("Slice", [x, start, this.#ints([Number.MAX_SAFE_INTEGER]), this.#ints([1])]);
    }
    let logits = this.#project(x, this.options.tied === true ? "model.embed_tokens.weight" : "lm_head.weight");
    if (softcap !== undefined) logits = this.#op("Mul", [this.#op("Tanh", [this.#op("Div", [logits, this.#floats([], [softcap])])]), this.#floats([], [softcap])]);
    if (this.options.reshaped === true) logits = this.#op("Reshape", [logits, this.#ints([0, -1, this.shape.vocab])]);
    this.nodes.push(
      logitsCastTo === undefined
        ? { opType: "Identity", domain: "", inputs: [logits], outputs: ["logits"], attributes: {} }
        : { opType: "Cast", domain: "", inputs: [logits], outputs: ["logits"], attributes: { to: int(ONNX_DATA_TYPE[logitsCastTo]) } },
    );
  }

  // Plain style. Shapes: B sequences, S new positions, T positions in all, D a head's dimension.

  #plainBody(): string {
    const { layers, hidden, heads, kvHeads } = this.shape;
    const dim = hidden / heads;
    let x = this.#op("Gather", [this.#weight("model.embed_tokens.weight"), "input_ids"]);
    const mask = this.#causalMask();
    const [cos, sin] = this.#rotary(dim);
    for (let layer = 0; layer < layers; layer++) {
      const at = `model.layers.${layer}`;
      const normed = this.#plainNorm(x, `${at}.input_layernorm.weight`);
      const inHeads = (name: string, count: number): string => {
        const flat = this.#project(normed, `${at}.self_attn.${name}.weight`);
        return this.#op("Transpose", [this.#op("Reshape", [flat, this.#ints([0, 0, count, dim])])], { perm: ints([0, 2, 1, 3]) });
      };
      const query = this.#rotate(inHeads("q_proj", heads), cos, sin, dim);
      const [key, value] = ["key", "value"].map((kind) => {
        const added = kind === "key" ? this.#rotate(inHeads("k_proj", kvHeads), cos, sin, dim) : inHeads("v_proj", kvHeads);
        const present = `present.${layer}.${kind}`;
        this.nodes.push({ opType: "Concat", domain: "", inputs: [`past_key_values.${layer}.${kind}`, added], outputs: [present], attributes: { axis: int(2) } });
        const repeated = this.#op("Expand", [this.#op("Unsqueeze", [present, this.#ints([2])]), this.#ints([1, 1, heads / kvHeads, 1, 1])]);
        return this.#op("Reshape", [repeated, this.#ints([0, heads, -1, dim])]);
      }) as [string, string];
      const scores = this.#op("MatMul", [query, this.#op("Transpose", [key], { perm: ints([0, 1, 3, 2]) })]);
      const scaled = this.#op("Mul", [scores, this.#floats([], [1 / Math.sqrt(dim)])]);
      const attention = this.#op("Softmax", [this.#op("Add", [scaled, mask])], { axis: int(-1) });
      const attended = this.#op("Transpose", [this.#op("MatMul", [attention, value])], { perm: ints([0, 2, 1, 3]) });
      x = this.#op("Add", [x, this.#project(this.#op("Reshape", [attended, this.#ints([0, 0, hidden])]), `${at}.self_attn.o_proj.weight`)]);
      x = this.#op("Add", [x, this.#feedForward(this.#plainNorm(x, `${at}.post_attention_layernorm.weight`), at)]);
    }
    return this.#plainNorm(x, "model.norm.weight");
  }

  /** [B, 1, S, T]: what a position must not see is far below zero. */
  #causalMask(): string {
    const size = (name: string, axis: number): string => this.#op("Gather", [this.#op("Shape", [name]), this.#ints(axis)]);
    const past = size("past_key_values.0.key", 2);
    const total = this.#op("Add", [past, size("input_ids", 1)]);
    const positions = (start: string): string => this.#op("Range", [start, total, this.#ints(1)]);
    const isBefore = this.#op("LessOrEqual", [positions(this.#ints(0)), this.#op("Unsqueeze", [positions(past), this.#ints([1])])]);
    const isThere = this.#op("Unsqueeze", [this.#op("Cast", ["attention_mask"], { to: int(ONNX_DATA_TYPE.bool) }), this.#ints([1, 2])]);
    const lowest = this.#float === "f16" ? -65504 : -3.4e38;
    return this.#op("Where", [this.#op("And", [isBefore, isThere]), this.#floats([], [0]), this.#floats([], [lowest])]);
  }

  #rotary(dim: number): [cos: string, sin: string] {
    const frequencies = Array.from({ length: dim / 2 }, (_, pair) => this.shape.ropeTheta ** ((-2 * pair) / dim));
    const row = this.#values("f32", [1, dim / 2], new Uint8Array(Float32Array.from(frequencies).buffer));
    const positions = this.#op("Unsqueeze", [this.#op("Cast", ["position_ids"], { to: int(ONNX_DATA_TYPE.f32) }), this.#ints([2])]);
    const half = this.#op("MatMul", [positions, row]);
    const angles = this.#op("Unsqueeze", [this.#op("Concat", [half, half], { axis: int(-1) }), this.#ints([1])]);
    return [this.#op("Cos", [angles]), this.#op("Sin", [angles])].map((table) => this.#op("Cast", [table], { to: int(ONNX_DATA_TYPE[this.#float]) })) as [string, string];
  }

  #rotate(x: string, cos: string, sin: string, dim: number): string {
    const part = (from: number, to: number): string => this.#op("Slice", [x, this.#ints([from]), this.#ints([to]), this.#ints([3])]);
    const turned = this.#op("Concat", [this.#op("Neg", [part(dim / 2, dim)]), part(0, dim / 2)], { axis: int(-1) });
    return this.#op("Add", [this.#op("Mul", [x, cos]), this.#op("Mul", [turned, sin])]);
  }

  #plainNorm(input: string, gain: string): string {
    const x = this.#op("Cast", [input], { to: int(ONNX_DATA_TYPE.f32) });
    const constant = (value: number): string => this.#values("f32", [], new Uint8Array(Float32Array.of(value).buffer));
    const meanSquare = this.#op("ReduceMean", [this.#op("Pow", [x, constant(2)]), this.#ints([-1])], { keepdims: int(1) });
    const normed = this.#op("Div", [x, this.#op("Sqrt", [this.#op("Add", [meanSquare, constant(this.shape.epsilon)])])]);
    return this.#op("Mul", [this.#op("Cast", [normed], { to: int(ONNX_DATA_TYPE[this.#float]) }), this.#weight(gain)]);
  }

  // Fused style.

  #fusedBody(): string {
    const { layers, hidden, heads, kvHeads, positions, ropeTheta, epsilon } = this.shape;
    const dim = hidden / heads;
    const lengths = this.#op("ReduceSum", ["attention_mask", this.#ints([1])], { keepdims: int(0) });
    const seqlens = this.#op("Cast", [this.#op("Sub", [lengths, this.#ints([1])])], { to: int(ONNX_DATA_TYPE.i32) });
    const total = this.#op("Cast", [this.#op("Gather", [this.#op("Shape", ["attention_mask"]), this.#ints(1)])], { to: int(ONNX_DATA_TYPE.i32) });
    const table = (f: (angle: number) => number): string => {
      const half = dim / 2;
      return this.#floats([positions, half], Array.from({ length: positions * half }, (_, i) => f(Math.floor(i / half) * ropeTheta ** ((-2 * (i % half)) / dim))));
    };
    const [cos, sin] = [table(Math.cos), table(Math.sin)];
    let residual = this.#op("Gather", [this.#weight("model.embed_tokens.weight"), "input_ids"]);
    let normed = this.#op("SimplifiedLayerNormalization", [residual, this.#weight("model.layers.0.input_layernorm.weight")], { axis: int(-1), epsilon: float(epsilon) });
    const addAndNorm = (added: string, gain: string): void => {
      const outputs = [this.#name(), "", "", this.#name()];
      this.nodes.push({ opType: "SkipSimplifiedLayerNormalization", domain: "com.microsoft", inputs: [residual, added, this.#weight(gain)], outputs, attributes: { epsilon: float(epsilon) } });
      [normed, residual] = [outputs[0]!, outputs[3]!];
    };
    for (let layer = 0; layer < layers; layer++) {
      const at = `model.layers.${layer}`;
      const [q, k, v] = ["q", "k", "v"].map((part) => this.#project(normed, `${at}.self_attn.${part}_proj.weight`)) as [string, string, string];
      const attended = this.#name();
      this.nodes.push({
        opType: "GroupQueryAttention",
        domain: "com.microsoft",
        inputs: [q, k, v, `past_key_values.${layer}.key`, `past_key_values.${layer}.value`, seqlens, total, cos, sin],
        outputs: [attended, `present.${layer}.key`, `present.${layer}.value`],
        attributes: { num_heads: int(heads), kv_num_heads: int(kvHeads), do_rotary: int(1), rotary_interleaved: int(0), scale: float(1 / Math.sqrt(dim)) },
      });
      addAndNorm(this.#project(attended, `${at}.self_attn.o_proj.weight`), `${at}.post_attention_layernorm.weight`);
      addAndNorm(this.#feedForward(normed, at), layer + 1 < layers ? `model.layers.${layer + 1}.input_layernorm.weight` : "model.norm.weight");
    }
    return normed;
  }

  #feedForward(x: string, at: string): string {
    const gate = this.#project(x, `${at}.mlp.gate_proj.weight`);
    const silu = this.#op("Mul", [gate, this.#op("Sigmoid", [gate])]);
    return this.#project(this.#op("Mul", [silu, this.#project(x, `${at}.mlp.up_proj.weight`)]), `${at}.mlp.down_proj.weight`);
  }

  /** x times the weight [rows, cols], transposed. */
  #project(x: string, weight: string): string {
    if (this.#isFused) return this.#matMulNBits(x, weight);
    if (this.options.dtype === "q8") return this.#matMulInteger(x, weight);
    if (weight === "model.embed_tokens.weight") return this.#op("MatMul", [x, this.#op("Transpose", [this.#weight(weight)], { perm: ints([1, 0]) })]);
    const { shape, values } = this.tensors.get(weight)!;
    return this.#op("MatMul", [x, this.#floats([shape[1]!, shape[0]!], transposed(values, shape), `${weight}.transposed`)]);
  }

  /** As ONNX Runtime's dynamic quantiser writes it: bytes with a scale and a zero point for the tensor. */
  #matMulInteger(x: string, weight: string): string {
    const { shape, values } = this.tensors.get(weight)!;
    const [low, high] = [Math.min(0, ...values), Math.max(0, ...values)];
    const scale = Math.fround((high - low) / 255);
    const zero = Math.round(-low / scale);
    const bytes = Uint8Array.from(transposed(values, shape), (value) => Math.max(0, Math.min(255, Math.round(value / scale) + zero)));
    const quantised = [this.#name(), this.#name(), this.#name()];
    this.nodes.push({ opType: "DynamicQuantizeLinear", domain: "", inputs: [x], outputs: quantised, attributes: {} });
    const [input, inputScale, inputZero] = quantised as [string, string, string];
    const matrix = this.#values("u8", [shape[1]!, shape[0]!], bytes, `${weight}_quantized`);
    const product = this.#op("MatMulInteger", [input, matrix, inputZero, this.#values("u8", [], Uint8Array.of(zero))]);
    const factor = this.#op("Mul", [inputScale, this.#floats([1], [scale])]);
    return this.#op("Mul", [this.#op("Cast", [product], { to: int(ONNX_DATA_TYPE.f32) }), factor]);
  }

  #matMulNBits(x: string, weight: string): string {
    const { shape, values } = this.tensors.get(weight)!;
    const [rows, cols] = shape as [number, number];
    const quantised = quantize("q4", values, rows, cols);
    const packed = Uint8Array.from({ length: quantised.values.length / 2 }, (_, i) => (quantised.values[2 * i]! + 8) | ((quantised.values[2 * i + 1]! + 8) << 4));
    const blocks = Math.ceil(cols / 32);
    const inputs = [x, this.#values("u8", [rows, blocks, 16], packed, `${weight}_Q4`), this.#floats([rows * blocks], quantised.scales, `${weight}_scales`)];
    return this.#op("MatMulNBits", inputs, { K: int(cols), N: int(rows), bits: int(4), block_size: int(32) }, "com.microsoft");
  }

  #weight(name: string): string {
    const { shape, values } = this.tensors.get(name)!;
    return this.#floats(shape, values, name);
  }

  /** In the graph's float type. */
  #floats(dims: readonly number[], values: ArrayLike<number>, name?: string): string {
    const bytes = this.#float === "f32" ? new Uint8Array(Float32Array.from(values).buffer) : new Uint8Array(Uint16Array.from(values, toHalf).buffer);
    return this.#values(this.#float, dims, bytes, name);
  }

  /** int64: one number has no dimension. */
  #ints(values: number | readonly number[]): string {
    const list = typeof values === "number" ? [values] : values;
    return this.#values("i64", typeof values === "number" ? [] : [list.length], new Uint8Array(BigInt64Array.from(list, BigInt).buffer));
  }

  #values(dataType: DataType, dims: readonly number[], bytes: Uint8Array, name = this.#name()): string {
    if (this.initialisers.some((other) => other.name === name)) return name;
    if (bytes.length !== dims.reduce((product, dim) => product * dim, BYTES_PER_ELEMENT[dataType])) throw new Error(`${name} has another size than its shape`);
    this.initialisers.push({ name, dataType, dims });
    this.#bytes.push(bytes);
    return name;
  }

  #op(opType: string, inputs: readonly string[], attributes: Readonly<Record<string, Attribute>> = {}, domain: GraphNode["domain"] = ""): string {
    const output = this.#name();
    this.nodes.push({ opType, domain, inputs, outputs: [output], attributes });
    return output;
  }

  #name(): string {
    return `/model/${this.#count++}`;
  }
}

/** [rows, cols] to [cols, rows]. */
function transposed(values: Float32Array, shape: readonly number[]): Float32Array {
  const [rows, cols] = shape as [number, number];
  return Float32Array.from(values, (_, i) => values[(i % rows) * cols + Math.floor(i / rows)]!);
}

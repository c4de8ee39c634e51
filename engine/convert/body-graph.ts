/**
 * The decoder without its embedding and its LM head, as an ONNX graph. Its inputs are embedded tokens and past keys and
 * values; its outputs are normed hidden states and the new keys and values. S is the number of tokens and P the number
 * of positions already in the KV cache, both multiples of 4; D is the dimension of a head, G the number of query heads
 * that share a key head. Each initializer names the tensors of the model that fill it, for write-pack.ts.
 */

import { QUANTIZATION_BLOCK, type MatrixFormat } from "../../kernels/index.js";
import type { LayerWeights, ModelConfig, ModelWeights, StackedWeight } from "../architecture/index.js";
import {
  float,
  int,
  ints,
  type Attribute,
  type DataType,
  type Graph,
  type GraphNode,
  type Initializer,
  type ValueInfo,
} from "../formats/index.js";

export interface BodyGraph extends Graph {
  readonly initializers: readonly BodyInitializer[];
}

/** An initializer and the source of its contents. */
export interface BodyInitializer extends Initializer {
  readonly contents:
    /** f32 [rows, cols] with all columns, or [rows] for a vector. */
    | { readonly kind: "rows"; readonly of: WeightPart }
    /** The part in int8, each row with one scale: i8 [cols, rows]. */
    | { readonly kind: "int8"; readonly of: WeightPart }
    /** f32 [rows] */
    | { readonly kind: "scales"; readonly of: WeightPart }
    | { readonly kind: "constant"; readonly values: BigInt64Array | Float32Array | Uint8Array };
}

/** Consecutive rows and columns of a weight; a vector has one column. */
export interface WeightPart {
  readonly weight: StackedWeight;
  readonly firstRow: number;
  readonly rows: number;
  readonly firstCol: number;
  readonly cols: number;
}

/** Builds the graph. `bodyInputs` and `bodyOutputs` define its inputs and outputs. */
export function bodyGraph(config: ModelConfig, weights: ModelWeights, format: MatrixFormat): BodyGraph {
  const body = new GraphBuilder(format, config.numLayers);
  let residual = "inputs_embeds";
  let normed = body.rmsNorm(residual, weights.layers[0]!.inputNorm, config.normEpsilon);
  for (const [index, layer] of weights.layers.entries()) {
    const attended = attention(body, config, layer, index, normed);
    const afterAttention = body.addAndNorm(residual, attended, layer.attentionNorm, config.normEpsilon);
    const fed = feedForward(body, layer, index, afterAttention.normed);
    const nextNorm = weights.layers[index + 1]?.inputNorm ?? weights.finalNorm;
    ({ normed, sum: residual } = body.addAndNorm(afterAttention.sum, fed, nextNorm, config.normEpsilon));
  }
  body.node("Identity", [normed], ["hidden"]);
  return {
    name: `${config.architecture} body`,
    inputs: bodyInputs(config),
    outputs: bodyOutputs(config),
    nodes: body.nodes,
    initializers: body.initializers,
  };
}

/** Keys have the layout of the KV cache's pages: four positions side by side. */
function bodyInputs(config: ModelConfig): ValueInfo[] {
  return [
    { name: "inputs_embeds", shape: ["S", config.hiddenSize] },
    { name: "rope_cos", shape: ["S", config.headDim / 2] },
    { name: "rope_sin", shape: ["S", config.headDim / 2] },
    { name: "attention_bias", shape: ["S", "P+S"] },
    ...perLayer(config, (layer) => [
      { name: `past_key.${layer}`, shape: [config.numKvHeads, "P/4", config.headDim, 4] },
      { name: `past_value.${layer}`, shape: [config.numKvHeads, "P", config.headDim] },
    ]),
  ];
}

/** Keys are returned in the form that is cached: normed and rotated. Only the new positions are returned. */
function bodyOutputs(config: ModelConfig): ValueInfo[] {
  return [
    { name: "hidden", shape: ["S", config.hiddenSize] },
    ...perLayer(config, (layer) => [
      { name: `key.${layer}`, shape: [config.numKvHeads, "S/4", config.headDim, 4] },
      { name: `value.${layer}`, shape: [config.numKvHeads, "S", config.headDim] },
    ]),
  ];
}

function perLayer<T>(config: ModelConfig, each: (layer: number) => T[]): T[] {
  return Array.from({ length: config.numLayers }, (_, layer) => each(layer)).flat();
}

/** normed [S, hidden] -> [S, hidden] */
function attention(
  body: GraphBuilder,
  config: ModelConfig,
  layer: LayerWeights,
  index: number,
  normed: string,
): string {
  const { headDim, numKvHeads } = config;
  const group = config.numHeads / numKvHeads;
  const name = (part: string): string => `layers.${index}.${part}`;
  const input = body.activations(normed);
  const [q, k, v] = partsOf(layer.qkv).map((rows, part) =>
    body.scaled(
      body.product(input, rows, name("qkv"[part]!)),
      layer.qkvBias === null ? null : { ...rows, weight: layer.qkvBias, cols: 1 },
    ),
  ) as [string, string, string];

  const query = rotatedHeads(body, config, q, config.numHeads, layer.qNorm); // [1, S, heads * D]
  const key = rotatedHeads(body, config, k, numKvHeads, layer.kNorm); // [1, S, kv_heads * D]

  const grouped = body.op("Reshape", [query, body.shape([-1, numKvHeads, group, headDim])], name("q.grouped"));
  const byKeyHead = body.op("Transpose", [grouped], name("q.heads"), { perm: ints([1, 2, 0, 3]) }); // [kv_heads, G, S, D]
  const newKey = fourPositions(body, config, key, `key.${index}`); // [kv_heads, S / 4, D, 4]
  const newValue = headsFirst(body, config, v, `value.${index}`); // [kv_heads, S, D]
  const fours = body.op("Concat", [`past_key.${index}`, newKey], name("keys.fours"), { axis: int(1) });
  const keys = positionsFirst(body, config, fours, name("keys")); // [kv_heads, P + S, D]
  const values = body.op("Concat", [`past_value.${index}`, newValue], name("values"), { axis: int(1) });

  // All query heads of one key head form one matrix, so keys and values are never repeated in memory.
  const rows = body.op("Reshape", [byKeyHead, body.shape([numKvHeads, -1, headDim])], name("q.rows")); // [kv_heads, G * S, D]
  const products = body.op(
    "FusedMatMul",
    [rows, keys],
    name("products"),
    { transB: int(1), alpha: float(1 / Math.sqrt(headDim)) },
    "com.microsoft",
  ); // [kv_heads, G * S, P + S]
  const perHead = body.op("Reshape", [products, body.scoresShape(numKvHeads, group)], name("products.heads"));
  const biased = body.op("Add", [perHead, "attention_bias"], name("scores")); // [kv_heads, G, S, P + S]
  const shares = body.op("Softmax", [biased], name("shares"), { axis: int(-1) });
  const shareRows = body.op("Reshape", [shares, body.rowsShape(numKvHeads)], name("shares.rows"));
  const mixed = body.op("MatMul", [shareRows, values], name("mixed")); // [kv_heads, G * S, D]
  const mixedHeads = body.op("Reshape", [mixed, body.shape([numKvHeads, group, -1, headDim])], name("mixed.heads"));
  const byToken = body.op("Transpose", [mixedHeads], name("mixed.tokens"), { perm: ints([2, 0, 1, 3]) });
  const joined = body.op("Reshape", [byToken, body.shape([-1, config.numHeads * headDim])], name("attended"));
  const attended = body.product(body.activations(joined), allOf(layer.output), name("output"));
  return body.scaled(attended, layer.outputBias === null ? null : allOf(layer.outputBias));
}

/** heads [S, numHeads * D] -> [1, S, numHeads * D], normed per head if the architecture does so, then rotated. */
function rotatedHeads(
  body: GraphBuilder,
  config: ModelConfig,
  heads: string,
  numHeads: number,
  norm: StackedWeight | null,
): string {
  let each = heads;
  if (norm !== null) {
    const split = body.op("Reshape", [heads, body.shape([-1, numHeads, config.headDim])], `${heads}.split`);
    each = body.rmsNorm(split, norm, config.normEpsilon);
  }
  const batched = body.op("Reshape", [each, body.shape([1, -1, numHeads * config.headDim])], `${heads}.batched`);
  // cos and sin hold exactly these S positions, so the operator starts at its row 0.
  return body.op(
    "RotaryEmbedding",
    [batched, body.shape([0]), "rope_cos", "rope_sin"],
    `${heads}.rotated`,
    {},
    "com.microsoft",
  );
}

/** [S, kv_heads * D] -> [kv_heads, S, D] */
function headsFirst(body: GraphBuilder, config: ModelConfig, heads: string, output: string): string {
  const split = body.op("Reshape", [heads, body.shape([-1, config.numKvHeads, config.headDim])], `${output}.split`);
  return body.op("Transpose", [split], output, { perm: ints([1, 0, 2]) });
}

/** [1, S, kv_heads * D] -> [kv_heads, S / 4, D, 4] */
function fourPositions(body: GraphBuilder, config: ModelConfig, heads: string, output: string): string {
  const split = body.op("Reshape", [heads, body.shape([-1, 4, config.numKvHeads, config.headDim])], `${output}.split`);
  return body.op("Transpose", [split], output, { perm: ints([2, 0, 3, 1]) });
}

/** [kv_heads, positions / 4, D, 4] -> [kv_heads, positions, D]: small transposes, faster than one across all. */
function positionsFirst(body: GraphBuilder, config: ModelConfig, fours: string, output: string): string {
  const split = body.op("Transpose", [fours], `${output}.split`, { perm: ints([0, 1, 3, 2]) });
  return body.op("Reshape", [split, body.shape([config.numKvHeads, -1, config.headDim])], output);
}

/** silu(gate) * up, then down. [S, hidden] -> [S, hidden] */
function feedForward(body: GraphBuilder, layer: LayerWeights, index: number, normed: string): string {
  const input = body.activations(normed);
  const [gate, up] = partsOf(layer.gateUp) as [WeightPart, WeightPart];
  const slices = body.innerSlices(up.rows);
  const gated = slices.map(({ first, count }, slice) => {
    const rowsOf = (part: WeightPart): WeightPart => ({ ...part, firstRow: part.firstRow + first, rows: count });
    return gateTimesUp(body, input, rowsOf(gate), rowsOf(up), (part) => `layers.${index}.${part}.${slice}`);
  });
  const sums = slices.map(({ first, count }, slice) => {
    const columns = { ...allOf(layer.down), firstCol: first, cols: count };
    const { values, scale } = gated[slice]!;
    // The row scales of `up` are carried through the quantization, which saves one multiplication of the wide matrix.
    return body.scaled(body.product(body.activations(values, scale), columns, `layers.${index}.down.${slice}`), null);
  });
  return sums.length === 1 ? sums[0]! : body.op("Sum", sums, `layers.${index}.down.sum`);
}

function gateTimesUp(
  body: GraphBuilder,
  input: ScaledRows,
  gate: WeightPart,
  up: WeightPart,
  name: (part: string) => string,
): ScaledRows {
  const gates = body.scaled(body.product(input, gate, name("gate")), null);
  const { values, scale } = body.product(input, up, name("up"));
  const sigmoid = body.op("Sigmoid", [gates], name("gate.sigmoid"));
  const silu = body.op("Mul", [gates, sigmoid], name("gate.silu"));
  return { values: body.op("Mul", [silu, values], name("gated")), scale };
}

function allOf(weight: StackedWeight): WeightPart {
  return { weight, firstRow: 0, rows: weight.rows, firstCol: 0, cols: weight.cols };
}

/** Returns the parts of a stacked weight. With one product per part, the body need not split the result. */
function partsOf(weight: StackedWeight): WeightPart[] {
  let firstRow = 0;
  return weight.parts.map(({ rows }) => {
    firstRow += rows;
    return { ...allOf(weight), firstRow: firstRow - rows, rows };
  });
}

/** A matrix whose rows must still be multiplied by `scale`, [S, 1]; null means that no scaling is pending. */
interface ScaledRows {
  readonly values: string;
  readonly scale: string | null;
}

/** Collects nodes and initializers; an operation returns the name of its result. */
class GraphBuilder {
  readonly nodes: GraphNode[] = [];
  readonly initializers: BodyInitializer[] = [];
  readonly #constants = new Set<string>();
  #scoresShape: string | null = null;
  #rowsShape: string | null = null;
  #zeroPointsName: string | null = null;

  constructor(
    readonly format: MatrixFormat,
    readonly numLayers: number,
  ) {}

  node(
    opType: string,
    inputs: readonly string[],
    outputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
    domain: GraphNode["domain"] = "",
  ): void {
    this.nodes.push({ opType, domain, inputs, outputs, attributes });
  }

  op(
    opType: string,
    inputs: readonly string[],
    output: string,
    attributes: Readonly<Record<string, Attribute>> = {},
    domain: GraphNode["domain"] = "",
  ): string {
    this.node(opType, inputs, [output], attributes, domain);
    return output;
  }

  /** int64 [values.length] */
  shape(values: readonly number[]): string {
    return this.#constant("i64", [values.length], BigInt64Array.from(values, BigInt));
  }

  /**
   * Prepares the input of a product: the rows unchanged, or quantized to int8 with one scale per row, stored as
   * unsigned values around a zero point. No scale spans several rows, so a row's result does not depend on the others.
   *
   * @param carried a scale by which the rows must still be multiplied
   */
  activations(input: string, carried: string | null = null): ScaledRows {
    if (this.format === "f32") return { values: input, scale: null };
    const magnitude = this.op("Abs", [input], `${input}.magnitude`);
    const largest = this.op("ReduceMax", [magnitude, this.shape([-1])], `${input}.largest`, { keepdims: int(0) });
    const step = this.op("Mul", [largest, this.#float(1 / INT8_MAX)], `${input}.step`);
    const divisor = this.op("Max", [step, this.#float(SMALLEST_STEP)], `${input}.divisor`);
    const values = this.op("QuantizeLinear", [input, divisor, this.#zeroPoints()], `${input}.int8`, { axis: int(0) });
    const own = this.op("Reshape", [divisor, this.shape([-1, 1])], `${input}.scale`);
    return { values, scale: carried === null ? own : this.op("Mul", [own, carried], `${input}.scale.carried`) };
  }

  /** input [S, cols] -> [S, rows] */
  product(input: ScaledRows, of: WeightPart, name: string): ScaledRows {
    const { rows, cols } = of;
    if (this.format === "f32") {
      const weight = this.#initializer(name, "f32", [rows, cols], { kind: "rows", of });
      return { values: this.op("Gemm", [input.values, weight], `${name}.out`, { transB: int(1) }), scale: null };
    }
    const weight = this.#initializer(name, "i8", [cols, rows], { kind: "int8", of });
    const scales = this.#initializer(`${name}.scales`, "f32", [rows], { kind: "scales", of });
    const inputs = [input.values, weight, this.#float(1), scales, this.#constant("u8", [], Uint8Array.of(ZERO_POINT))];
    return {
      values: this.op("MatMulIntegerToFloat", inputs, `${name}.product`, {}, "com.microsoft"),
      scale: input.scale,
    };
  }

  /** Applies the pending scale and adds a bias [rows]. */
  scaled(product: ScaledRows, bias: WeightPart | null): string {
    const { values, scale } = product;
    const whole = scale === null ? values : this.op("Mul", [values, scale], `${values}.scaled`);
    return bias === null ? whole : this.op("Add", [whole, this.#vector(bias)], `${values}.biased`);
  }

  /** Splits the inner width into slices of whole quantization blocks, except the last; a float body has one slice. */
  innerSlices(width: number): { first: number; count: number }[] {
    const numSlices = Math.min(MAX_INNER_SLICES, Math.max(1, Math.floor(MAX_SLICED_LAYERS / this.numLayers)));
    const blocks = Math.ceil(width / QUANTIZATION_BLOCK / numSlices);
    const step = this.format === "f32" ? width : blocks * QUANTIZATION_BLOCK;
    return Array.from({ length: Math.ceil(width / step) }, (_, i) => ({
      first: i * step,
      count: Math.min(step, width - i * step),
    }));
  }

  rmsNorm(input: string, gain: StackedWeight, epsilon: number): string {
    return this.op("SimplifiedLayerNormalization", [input, this.#vector(allOf(gain))], `${gain.name}.out`, {
      axis: int(-1),
      epsilon: float(epsilon),
    });
  }

  /** Computes the residual sum and its norm in one pass. */
  addAndNorm(residual: string, added: string, gain: StackedWeight, epsilon: number): { normed: string; sum: string } {
    const normed = `${gain.name}.out`;
    const sum = `${gain.name}.sum`;
    const inputs = [residual, added, this.#vector(allOf(gain))];
    this.node(
      "SkipSimplifiedLayerNormalization",
      inputs,
      [normed, "", "", sum],
      { epsilon: float(epsilon) },
      "com.microsoft",
    );
    return { normed, sum };
  }

  /** The run-time shape [kv_heads, G, S, P + S], computed once. */
  scoresShape(numKvHeads: number, group: number): string {
    this.#scoresShape ??= this.#shape(
      "scores.shape",
      [numKvHeads, group],
      [this.op("Shape", ["attention_bias"], "bias.shape")],
    );
    return this.#scoresShape;
  }

  /** The run-time shape [kv_heads, G * S, P + S], computed once. */
  rowsShape(numKvHeads: number): string {
    if (this.#rowsShape === null) {
      const length = this.op("Shape", ["attention_bias"], "bias.length", { start: int(1) });
      this.#rowsShape = this.#shape("rows.shape", [numKvHeads, -1], [length]);
    }
    return this.#rowsShape;
  }

  #shape(name: string, leading: readonly number[], trailing: readonly string[]): string {
    return this.op("Concat", [this.shape(leading), ...trailing], name, { axis: int(0) });
  }

  /** u8 [S]: QuantizeLinear requires one zero point per scale. */
  #zeroPoints(): string {
    if (this.#zeroPointsName === null) {
      const length = this.op("Shape", ["inputs_embeds"], "rows.length", { end: int(1) });
      const one = this.#constant("u8", [1], Uint8Array.of(ZERO_POINT));
      this.#zeroPointsName = this.op("Expand", [one, length], "rows.zero_points");
    }
    return this.#zeroPointsName;
  }

  #vector(of: WeightPart): string {
    const { weight, firstRow, rows } = of;
    return this.#initializer(rows === weight.rows ? weight.name : `${weight.name}.${firstRow}`, "f32", [rows], {
      kind: "rows",
      of,
    });
  }

  #float(value: number): string {
    return this.#constant("f32", [], Float32Array.of(value));
  }

  /** Adds a constant once, however often it is requested. */
  #constant(dataType: DataType, dims: readonly number[], values: BigInt64Array | Float32Array | Uint8Array): string {
    const name = `constant.${dataType}.${dims.length}.${values.join(",")}`;
    if (this.#constants.has(name)) return name;
    this.#constants.add(name);
    return this.#initializer(name, dataType, dims, { kind: "constant", values });
  }

  #initializer(
    name: string,
    dataType: DataType,
    dims: readonly number[],
    contents: BodyInitializer["contents"],
  ): string {
    this.initializers.push({ name, dataType, dims, contents });
    return name;
  }
}

const INT8_MAX = 127;
/** Zero point of the unsigned activations; processors multiply unsigned by signed bytes. */
const ZERO_POINT = 128;
/**
 * Maximum number of slices of the feed-forward's inner values, which have the widest range of all. Each slice has its
 * own scales, for the activations and for the weights that they are multiplied with: eight slices halve the divergence of
 * the body from the kernels. ONNX Runtime takes time quadratic in the number of nodes to open a body, so deep models,
 * which are also the wide ones, get fewer slices.
 */
const MAX_INNER_SLICES = 8;
const MAX_SLICED_LAYERS = 48;
/** Smallest divisor, used for a row of zeros such as the padding of a block. */
const SMALLEST_STEP = 1e-30;

/**
 * The decoder without its embedding and its LM head, as an ONNX graph. Its inputs are embedded tokens and room for keys
 * and values, of which the first positions are filled; its outputs are normed hidden states, and the same room with the
 * keys and values of the tokens appended. S is the number of tokens, D the dimension of a head, padded to a multiple of
 * 16. Each initializer names the tensors of the model that fill it, for write-pack.ts.
 */

import { QUANTIZATION_BLOCK, type MatrixFormat } from "../../kernels/index.js";
import {
  paddedHeadDim,
  type LayerWeights,
  type ModelConfig,
  type ModelWeights,
  type StackedWeight,
} from "../architecture/index.js";
import {
  float,
  int,
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
  const body = new GraphBuilder(format);
  let residual = "inputs_embeds";
  let normed = body.rmsNorm(residual, weights.layers[0]!.inputNorm, config.normEpsilon);
  for (const [index, layer] of weights.layers.entries()) {
    const attended = attention(body, config, layer, index, normed);
    const afterAttention = body.addAndNorm(residual, attended, layer.attentionNorm, config.normEpsilon);
    const fed = feedForward(body, config, layer, index, afterAttention.normed);
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

/**
 * The embeddings have no declared shape: ONNX Runtime would derive the shapes of all nodes from it, which takes most of
 * the time to open a body. C is the number of positions for which there is room, T the number of positions that have an
 * angle.
 */
function bodyInputs(config: ModelConfig): ValueInfo[] {
  const headDim = paddedHeadDim(config);
  return [
    { name: "inputs_embeds", shape: null },
    { name: "rope_cos", shape: ["T", headDim / 2] },
    { name: "rope_sin", shape: ["T", headDim / 2] },
    { name: "last_position", shape: [1], dataType: "i32" },
    { name: "num_positions", shape: [], dataType: "i32" },
    ...perLayer(config, (layer) =>
      PLANES.map((plane) => ({ name: `past_${plane}.${layer}`, shape: [1, config.numKvHeads, "C", headDim] })),
    ),
  ];
}

/** Keys are returned in the form that is cached: normed and rotated. */
function bodyOutputs(config: ModelConfig): ValueInfo[] {
  return [
    { name: "hidden", shape: ["S", config.hiddenSize] },
    ...perLayer(config, (layer) =>
      PLANES.map((plane) => ({
        name: `${plane}.${layer}`,
        shape: [1, config.numKvHeads, "C", paddedHeadDim(config)],
      })),
    ),
  ];
}

const PLANES = ["key", "value"] as const;

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
  const { numHeads, numKvHeads } = config;
  const name = (part: string): string => `layers.${index}.${part}`;
  const input = body.activations(normed, config.hiddenSize);
  const project = (rows: WeightPart, part: string): string =>
    body.scaled(
      body.product(input, rows, name(part)),
      layer.qkvBias === null ? null : { ...rows, weight: layer.qkvBias, cols: 1 },
    );
  let heads: string[];
  if (layer.qNorm === null && layer.kNorm === null) {
    const qkv = project(allOf(layer.qkv), "qkv");
    heads = [batchedHeads(body, config, qkv, numHeads + 2 * numKvHeads, null), "", ""];
  } else {
    const [q, k, v] = partsOf(layer.qkv).map((rows, part) => project(rows, "qkv"[part]!)) as [string, string, string];
    heads = [
      batchedHeads(body, config, q, numHeads, layer.qNorm),
      batchedHeads(body, config, k, numKvHeads, layer.kNorm),
      batchedHeads(body, config, v, numKvHeads, null),
    ];
  }
  // The runner passes the same memory as past and as output, and then only the new positions are written.
  const attended = name("attended");
  body.node(
    "GroupQueryAttention",
    [
      ...heads,
      `past_key.${index}`,
      `past_value.${index}`,
      "last_position",
      "num_positions",
      "rope_cos",
      "rope_sin",
      "",
      "",
      body.noSink(numHeads),
    ],
    [attended, `key.${index}`, `value.${index}`],
    {
      num_heads: int(numHeads),
      kv_num_heads: int(numKvHeads),
      scale: float(1 / Math.sqrt(config.headDim)),
      do_rotary: int(1),
    },
    "com.microsoft",
  ); // [1, S, heads * D]
  const joined = joinedHeads(body, config, attended);
  const output = body.product(body.activations(joined, numHeads * config.headDim), allOf(layer.output), name("output"));
  return body.scaled(output, layer.outputBias === null ? null : allOf(layer.outputBias));
}

/**
 * heads [S, numHeads * head_dim] -> [1, S, numHeads * D], normed per head if the architecture does so. The halves of a
 * head, whose dimensions are rotated in pairs, are padded with zeros.
 */
function batchedHeads(
  body: GraphBuilder,
  config: ModelConfig,
  heads: string,
  numHeads: number,
  norm: StackedWeight | null,
): string {
  const { headDim } = config;
  const padded = paddedHeadDim(config);
  let each = heads;
  if (norm !== null) {
    const split = body.op("Reshape", [heads, body.shape([-1, numHeads, headDim])], `${heads}.split`);
    each = body.rmsNorm(split, norm, config.normEpsilon);
  }
  if (padded !== headDim) {
    const halves = body.op("Reshape", [each, body.shape([-1, numHeads, 2, headDim / 2])], `${heads}.halves`);
    each = body.op("Pad", [halves, body.shape([0, 0, 0, 0, 0, 0, 0, (padded - headDim) / 2])], `${heads}.padded`);
  }
  return body.op("Reshape", [each, body.shape([1, -1, numHeads * padded])], `${heads}.batched`);
}

/** attended [1, S, heads * D] -> [S, heads * head_dim] */
function joinedHeads(body: GraphBuilder, config: ModelConfig, attended: string): string {
  const { headDim, numHeads } = config;
  const padded = paddedHeadDim(config);
  let each = attended;
  if (padded !== headDim) {
    const halves = body.op("Reshape", [attended, body.shape([-1, numHeads, 2, padded / 2])], `${attended}.halves`);
    each = body.op("Pad", [halves, body.shape([0, 0, 0, 0, 0, 0, 0, (headDim - padded) / 2])], `${attended}.unpadded`);
  }
  return body.op("Reshape", [each, body.shape([-1, numHeads * headDim])], `${attended}.joined`);
}

/** silu(gate) * up, then down. [S, hidden] -> [S, hidden] */
function feedForward(
  body: GraphBuilder,
  config: ModelConfig,
  layer: LayerWeights,
  index: number,
  normed: string,
): string {
  const input = body.activations(normed, config.hiddenSize);
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
    return body.scaled(
      body.product(body.activations(values, count, scale), columns, `layers.${index}.down.${slice}`),
      null,
    );
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
  const silu = body.op("QuickGelu", [gates], name("gate.silu"), { alpha: float(1) }, "com.microsoft");
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
  #zeroPointsName: string | null = null;

  constructor(readonly format: MatrixFormat) {}

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

  /**
   * f32 [numHeads]: for each head the score of a position that takes a share of the attention and has no value; here it
   * takes none. With it, ONNX Runtime does not choose the attention in tiles, whose sums depend on the size of a cache.
   */
  noSink(numHeads: number): string {
    return this.#constant("f32", [numHeads], new Float32Array(numHeads).fill(NO_SHARE));
  }

  /** int64 [values.length] */
  shape(values: readonly number[]): string {
    return this.#constant("i64", [values.length], BigInt64Array.from(values, BigInt));
  }

  /**
   * Prepares the input of a product: the rows unchanged, or quantized to int8 with one scale per row, stored as
   * unsigned values around a zero point. No scale spans several rows, so a row's result does not depend on the others.
   *
   * @param input f32 [S, cols]
   * @param carried a scale by which the rows must still be multiplied
   */
  activations(input: string, cols: number, carried: string | null = null): ScaledRows {
    if (this.format === "f32") return { values: input, scale: null };
    const [largest, smallest] = ["Max", "Min"].map((extreme) => {
      const values = this.op(`Reduce${extreme}`, [input, this.shape([-1])], `${input}.${extreme}`, {
        keepdims: int(1),
      });
      return this.op("Mul", [values, this.#float((extreme === "Max" ? 1 : -1) / INT8_MAX)], `${values}.step`);
    }) as [string, string];
    const step = this.op("Max", [largest, smallest, this.#float(SMALLEST_STEP)], `${input}.step`); // [S, 1]
    const values = this.op("QuantizeLinear", [input, step, this.#zeroPoints()], `${input}.int8`, {
      axis: int(1),
      block_size: int(cols),
    });
    return { values, scale: carried === null ? step : this.op("Mul", [step, carried], `${input}.scale.carried`) };
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

  /** Splits the inner width of a narrow feed-forward into slices of whole quantization blocks, except the last. */
  innerSlices(width: number): { first: number; count: number }[] {
    const numSlices = this.format === "f32" || width >= MIN_UNSLICED_WIDTH ? 1 : MAX_INNER_SLICES;
    const step = Math.ceil(width / QUANTIZATION_BLOCK / numSlices) * QUANTIZATION_BLOCK;
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

  /** Two nodes: ONNX Runtime's node that does both is slower. */
  addAndNorm(residual: string, added: string, gain: StackedWeight, epsilon: number): { normed: string; sum: string } {
    const sum = this.op("Add", [residual, added], `${gain.name}.sum`);
    return { sum, normed: this.rmsNorm(sum, gain, epsilon) };
  }

  /** u8 [S, 1]: QuantizeLinear requires one zero point per scale. */
  #zeroPoints(): string {
    if (this.#zeroPointsName === null) {
      const length = this.op("Shape", ["inputs_embeds"], "rows.length", { end: int(1) });
      const shape = this.op("Concat", [length, this.shape([1])], "rows.shape", { axis: int(0) });
      const one = this.#constant("u8", [1, 1], Uint8Array.of(ZERO_POINT));
      this.#zeroPointsName = this.op("Expand", [one, shape], "rows.zero_points");
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
 * the body from the kernels.
 */
const MAX_INNER_SLICES = 8;
/** Width from which there is one slice: a row averages over more values, and products of narrow slices are slow. */
const MIN_UNSLICED_WIDTH = 1024;
/** A score so low that its share is 0. */
const NO_SHARE = -3e38;
/** Smallest divisor, used for a row of zeros such as the padding of a block. */
const SMALLEST_STEP = 1e-30;

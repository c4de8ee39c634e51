/**
 * Interprets an ONNX graph as a decoder: the meaning of its inputs, the shapes of its KV cache, and the node that
 * computes its logits. All of this is derived from the graph's names, types and shapes; config.json supplies only the
 * sizes that the graph leaves open. Unknown inputs and outputs are refused by name: omitting or guessing one would
 * change results.
 */

import type { JsonObject } from "../json.js";
import { EngineError } from "../errors.js";
import { LIMITS } from "../limits.js";
import {
  encodeNode,
  fieldsOf,
  message,
  NODE_INPUT_FIELD,
  ONNX_DATA_TYPE,
  rewriteOnnx,
  TensorProto,
  ValueInfoProto,
  type OnnxFile,
  type RewrittenModel,
  type StoredNode,
  type StoredOnnxTensor,
  type StoredValueInfo,
} from "../formats/index.js";

/**
 * @throws EngineError `unsupported_model` naming the unsupported part of the graph, `invalid_model` if sizes are
 *   missing or contradictory
 */
export function readDecoder(file: OnnxFile, config: JsonObject): OnnxDecoder {
  const inputs: Partial<Record<IntegerInputName, IntegerType>> = {};
  const caches: CacheTensor[] = [];
  const outputs = new Map(file.outputs.map((output) => [output.name, output]));
  let numLogitsShape: readonly number[] = [];
  for (const input of file.inputs) {
    // Old files also list their weights as inputs.
    if (file.initializers.has(input.name)) continue;
    if (PAST_NAME.test(input.name)) caches.push(readCache(file, input, outputs, config));
    else if (isIntegerInput(input.name)) {
      inputs[input.name] = readInteger(file, input, input.name);
      if (input.name === NUM_LOGITS) numLogitsShape = input.shape?.length === 1 ? [1] : [];
    } else {
      const known = [...INTEGER_INPUTS, "past_key_values.N.key", "past_key_values.N.value"].join(", ");
      throw new EngineError(
        "unsupported_model",
        `${file.path}: the graph has the input ${shown(input.name)}; supported: ${known}`,
      );
    }
  }
  if (inputs.input_ids === undefined)
    throw new EngineError("unsupported_model", `${file.path}: the graph has no input input_ids`);
  if (caches.length > 2 * LIMITS.maxModelLayers || new Set(caches.map(({ past }) => past)).size < caches.length) {
    throw new EngineError(
      "unsupported_model",
      `${file.path}: the graph has ${caches.length} inputs past_key_values.N.key and past_key_values.N.value; supported: one of each for at most ${LIMITS.maxModelLayers} layers`,
    );
  }
  if (caches.length === 0) {
    throw new EngineError(
      "unsupported_model",
      `${file.path}: the graph has no inputs past_key_values.N.key and past_key_values.N.value: without a KV cache, every token would recompute the whole sequence`,
    );
  }
  const logits = outputs.get(LOGITS);
  if (logits === undefined)
    throw new EngineError("unsupported_model", `${file.path}: the graph has no output ${LOGITS}`);
  if (file.opset < MIN_OPSET)
    throw new EngineError(
      "unsupported_model",
      `${file.path}: the graph is of opset ${file.opset}; supported: ${MIN_OPSET} and up`,
    );
  const { nodes, output, head, ending } = readEnding(file);
  const size = head?.rows ?? logits.shape?.at(-1);
  const vocabSize = typeof size === "number" ? size : sizeOf(config, ["vocab_size"]);
  if (vocabSize !== null && !isSize(vocabSize)) throw wrongSize(file, "number of logits", vocabSize);
  if (vocabSize === null)
    throw new EngineError(
      "invalid_model",
      `${file.path}: neither the graph nor config.json gives the number of logits`,
    );
  const rewritten = rewriteOnnx(file, {
    nodes: [...nodes, ...newPositions(caches)],
    outputs: [
      outputInfo(output, head?.inputType ?? logits.elementType),
      ...caches.map(({ added, type }) => outputInfo(added, ELEMENT_TYPES[type])),
    ],
    initializers: constants(),
  });
  return { inputs, numLogitsShape, caches, vocabSize, output, head, ending, rewritten };
}

export interface OnnxDecoder {
  /** Inputs that the graph has, with their element types. */
  readonly inputs: Readonly<Partial<Record<IntegerInputName, IntegerType>>>;
  /** Shape of the input `num_logits_to_keep`: [] for a scalar, [1] for a list of one number. */
  readonly numLogitsShape: readonly number[];
  readonly caches: readonly CacheTensor[];
  /** Number of logits per row. */
  readonly vocabSize: number;
  /** Output whose last row determines the next token: logits, or the hidden states that the head turns into logits. */
  readonly output: string;
  /** The final product, or null if it was not removed from the graph. */
  readonly head: OnnxHead | null;
  /** Treatment of the final product: removed, computed for the last position only, or unchanged. */
  readonly ending: "cut off" | "of the last position" | "as it is";
  /** The graph to load. */
  readonly rewritten: RewrittenModel;
}

export type IntegerInputName = (typeof INTEGER_INPUTS)[number];
export type IntegerType = "int32" | "int64";

/** Keys or values of one layer: [1, numHeads, positions, headDim]. */
export interface CacheTensor {
  readonly past: string;
  /** Output of the rewritten graph that holds only the new positions. */
  readonly added: string;
  readonly numHeads: number;
  readonly headDim: number;
  readonly type: FloatType;
}

export type FloatType = "float32" | "float16";

/** The weights of the final product. */
export interface OnnxHead {
  readonly tensor: StoredOnnxTensor & { readonly contents: NonNullable<StoredOnnxTensor["contents"]> };
  readonly type: FloatType;
  /** ONNX data type number of the operand that the weights are multiplied with. */
  readonly inputType: number;
  /** Number of logits. */
  readonly rows: number;
  /** Hidden size. */
  readonly cols: number;
  /** True if the file stores [cols, rows]. */
  readonly isTransposed: boolean;
}

const INTEGER_INPUTS = ["input_ids", "attention_mask", "position_ids", "num_logits_to_keep"] as const;
const NUM_LOGITS = "num_logits_to_keep" satisfies IntegerInputName;
const LOGITS = "logits";
const PAST_NAME = /^past_key_values\.\d+\.(key|value)$/;
const ELEMENT_TYPES: Readonly<Record<FloatType, number>> = { float32: ONNX_DATA_TYPE.f32, float16: ONNX_DATA_TYPE.f16 };
const FLOAT_TYPES: Readonly<Record<number, FloatType>> = {
  [ONNX_DATA_TYPE.f32]: "float32",
  [ONNX_DATA_TYPE.f16]: "float16",
};
/** First opset in which Slice takes its range as inputs; no decoder was ever exported to an earlier one. */
const MIN_OPSET = 10;
/** Prefix of the names of everything that is added to the graph. */
const OWN = "touchstone";

/** Returns a size of config.json under any of `names`, or null. Multimodal models keep it in `text_config`. */
export function sizeOf(config: JsonObject, names: readonly string[]): number | null {
  for (const object of [config, config["text_config"] as JsonObject | undefined]) {
    for (const name of names) {
      const value = object?.[name];
      if (isSize(value)) return value;
    }
  }
  return null;
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 1 && (value as number) <= LIMITS.maxModelDimension;
}

function wrongSize({ path }: OnnxFile, what: string, given: number): EngineError {
  return new EngineError(
    "invalid_model",
    `${path}: the ${what} must be from 1 to ${LIMITS.maxModelDimension}; the graph has ${given}`,
  );
}

function isIntegerInput(name: string): name is IntegerInputName {
  return (INTEGER_INPUTS as readonly string[]).includes(name);
}

/** Ids, mask and positions must be [batch, length]; `num_logits_to_keep` must be a scalar or a list of one number. */
function readInteger(
  file: OnnxFile,
  { name, elementType, shape }: StoredValueInfo,
  which: IntegerInputName,
): IntegerType {
  const rank = shape?.length ?? null;
  const isShaped = rank === null || (which === NUM_LOGITS ? rank <= 1 : rank === 2);
  if (!isShaped) throw new EngineError("unsupported_model", `${file.path}: the input ${name} has ${rank} dimensions`);
  if (elementType === ONNX_DATA_TYPE.i64) return "int64";
  if (elementType === ONNX_DATA_TYPE.i32) return "int32";
  throw new EngineError(
    "unsupported_model",
    `${file.path}: the input ${name} has elements of type ${elementType}; supported: int64 and int32`,
  );
}

function readCache(
  file: OnnxFile,
  { name, elementType, shape }: StoredValueInfo,
  outputs: ReadonlyMap<string, StoredValueInfo>,
  config: JsonObject,
): CacheTensor {
  const type = FLOAT_TYPES[elementType];
  if (type === undefined) {
    throw new EngineError(
      "unsupported_model",
      `${file.path}: the input ${name} has elements of type ${elementType}; supported: float32 and float16`,
    );
  }
  if (shape?.length !== 4) {
    throw new EngineError(
      "unsupported_model",
      `${file.path}: the input ${name} has the shape ${shown(shape)}; supported: batch, heads, positions, dimension of a head`,
    );
  }
  const present = name.replace("past_key_values", "present");
  if (!outputs.has(present))
    throw new EngineError(
      "unsupported_model",
      `${file.path}: the graph has the input ${name}, but no output ${present}`,
    );
  const [, heads, , dim] = shape;
  const numHeads = typeof heads === "number" ? heads : sizeOf(config, ["num_key_value_heads", ...HEADS]);
  const headDim = typeof dim === "number" ? dim : (sizeOf(config, ["head_dim"]) ?? dividedSize(config));
  if (numHeads === null || headDim === null) {
    throw new EngineError(
      "invalid_model",
      `${file.path}: neither the graph nor config.json gives the number and the dimension of the heads of ${name}`,
    );
  }
  for (const size of [numHeads, headDim]) {
    if (!isSize(size)) throw wrongSize(file, `number and dimension of the heads of ${name}`, size);
  }
  return { past: name, added: `${OWN}.${present}`, numHeads, headDim, type };
}

const HEADS = ["num_attention_heads", "n_head"];

function dividedSize(config: JsonObject): number | null {
  const hidden = sizeOf(config, ["hidden_size", "n_embd"]);
  const heads = sizeOf(config, HEADS);
  return hidden === null || heads === null || hidden % heads !== 0 ? null : hidden / heads;
}

/**
 * Nodes that slice the new positions off the end of each cache: [1, heads, new positions, head_dim]. The engine already
 * has the earlier ones; fetching them would copy the whole cache into newly allocated memory for every token.
 */
function newPositions(caches: readonly CacheTensor[]): Uint8Array[] {
  const [length, shape, first] = [`${OWN}.length`, `${OWN}.shape`, `${OWN}.first`];
  return [
    encodeNode({ opType: "Shape", domain: "", inputs: ["input_ids"], outputs: [shape], attributes: {} }),
    encodeNode({
      opType: "Gather",
      domain: "",
      inputs: [shape, CONSTANTS.one.name],
      outputs: [length],
      attributes: {},
    }),
    encodeNode({ opType: "Neg", domain: "", inputs: [length], outputs: [first], attributes: {} }),
    ...caches.map(({ added }) => {
      const inputs = [added.slice(OWN.length + 1), first, CONSTANTS.end.name, CONSTANTS.lastButOne.name];
      return encodeNode({ opType: "Slice", domain: "", inputs, outputs: [added], attributes: {} });
    }),
  ];
}

/**
 * Follows the logits back to the final product. A product with float weights is removed: our kernels compute it, only
 * for the rows that need it. Any other product gets only the last position as its input, so that a long prompt does not
 * compute logits for all its positions. A graph that ends in another way is left unchanged.
 */
function readEnding(file: OnnxFile): Pick<OnnxDecoder, "output" | "head" | "ending"> & { nodes: Uint8Array[] } {
  const graph = new GraphIndex(file);
  const path = pathToProduct(graph);
  if (path === null)
    return { nodes: file.nodes.map(({ bytes }) => bytes), output: LOGITS, head: null, ending: "as it is" };
  const { product, behind, isPlain } = path;
  const inputs = [product.inputs[0]!, CONSTANTS.minusOne.name, CONSTANTS.end.name, CONSTANTS.lastButOne.name];
  const slice = encodeNode({ opType: "Slice", domain: "", inputs, outputs: [LAST_POSITION], attributes: {} });
  const found = isPlain ? headOf(graph, product) : null;
  if (found === null) {
    const nodes = file.nodes.flatMap((node) =>
      node === product ? [slice, withFirstInput(node.bytes, LAST_POSITION)] : [node.bytes],
    );
    return { nodes, output: LOGITS, head: null, ending: "of the last position" };
  }
  const removed = new Set([...behind, ...found.nodes]);
  const nodes = file.nodes.flatMap((node) => (node === product ? [slice] : removed.has(node) ? [] : [node.bytes]));
  return { nodes, output: LAST_POSITION, head: found.head, ending: "cut off" };
}

const LAST_POSITION = `${OWN}.last_position`;

/** int64 [1] each. The last axis but one is the positions, in [batch, positions, width] and in [positions, width]. */
const CONSTANTS = {
  one: { name: `${OWN}.one`, value: 1 },
  minusOne: { name: `${OWN}.minus_one`, value: -1 },
  end: { name: `${OWN}.end`, value: Number.MAX_SAFE_INTEGER },
  lastButOne: { name: `${OWN}.last_but_one`, value: -2 },
};

function constants(): Uint8Array[] {
  return Object.values(CONSTANTS).map(({ name, value }) => {
    const rawData = new Uint8Array(BigInt64Array.of(BigInt(value)).buffer);
    return TensorProto.encode({ name, dims: [1], dataType: ONNX_DATA_TYPE.i64, rawData }).finish();
  });
}

/** Declares an output without a shape: the original shape may refer to a length that no longer exists. */
function outputInfo(name: string, elemType: number): Uint8Array {
  return ValueInfoProto.encode({ name, type: { tensorType: { elemType } } }).finish();
}

function withFirstInput(node: Uint8Array, name: string): Uint8Array {
  let isFirst = true;
  const parts = fieldsOf(node).flatMap(({ field, whole }) => {
    if (field !== NODE_INPUT_FIELD || !isFirst) return [whole];
    isFirst = false;
    return message(NODE_INPUT_FIELD, Buffer.from(name));
  });
  return Buffer.concat(parts);
}

interface PathToProduct {
  readonly product: StoredNode;
  /** Nodes between the product and the logits. */
  readonly behind: readonly StoredNode[];
  /** True if these nodes only convert types. */
  readonly isPlain: boolean;
}

const PRODUCTS: ReadonlySet<string> = new Set(["MatMul", "Gemm", "MatMulNBits", "MatMulInteger"]);
const CONVERSIONS: ReadonlySet<string> = new Set(["Cast", "Identity"]);
/** Operators that compute each row independently if their other operand is the same for all rows. */
const ROW_WISE: ReadonlySet<string> = new Set(["Tanh", "Mul", "Div", "Add", "Sub"]);

/** Finds the producer of a value and counts its users. Graphs may have cycles until ONNX Runtime refuses them. */
class GraphIndex {
  readonly producers: ReadonlyMap<string, StoredNode>;
  readonly outputs: ReadonlySet<string>;
  readonly #numUsers = new Map<string, number>();
  readonly #isSameForAllRows = new Map<string, boolean>();

  constructor(readonly file: OnnxFile) {
    this.producers = new Map(file.nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)));
    this.outputs = new Set(file.outputs.map(({ name }) => name));
    for (const { inputs } of file.nodes) {
      for (const name of new Set(inputs)) this.#numUsers.set(name, (this.#numUsers.get(name) ?? 0) + 1);
    }
  }

  numUsers(name: string): number {
    return this.#numUsers.get(name) ?? 0;
  }

  /**
   * True for weights, constants, and the scales of dynamically quantized integers: these are computed from the whole
   * input of a product at once. A value is decided once, and false within a cycle and behind too many nodes.
   */
  isSameForAllRows(name: string, depth = 0): boolean {
    const known = this.#isSameForAllRows.get(name);
    if (known !== undefined) return known;
    this.#isSameForAllRows.set(name, false);
    const result = depth < MAX_SCALE_NODES && this.#isSameFor(name, depth);
    this.#isSameForAllRows.set(name, result);
    return result;
  }

  #isSameFor(name: string, depth: number): boolean {
    const weight = this.file.initializers.get(name);
    if (weight !== undefined) return weight.dims.length < 2;
    const node = this.producers.get(name);
    if (node === undefined) return false;
    if (node.opType === "Constant") return true;
    if (node.opType === "DynamicQuantizeLinear") return name !== node.outputs[0];
    return (
      (node.opType === "Mul" || CONVERSIONS.has(node.opType)) &&
      node.inputs.every((input) => this.isSameForAllRows(input, depth + 1))
    );
  }
}

/** Nodes in a row between the scales of a product and its result; exporters write two or three. */
const MAX_SCALE_NODES = 100;

/** Returns null if a node on the path mixes positions, or if a value on the path has another user. */
function pathToProduct(graph: GraphIndex): PathToProduct | null {
  const behind = new Set<StoredNode>();
  for (let name = LOGITS; ;) {
    const node = graph.producers.get(name);
    if (node === undefined || behind.has(node)) return null;
    const isShared = name !== LOGITS && (graph.outputs.has(name) || graph.numUsers(name) !== 1);
    if (isShared) return null;
    if (PRODUCTS.has(node.opType)) {
      if (node.inputs.length < 2) return null;
      const isPlain = [...behind].every(({ opType }) => CONVERSIONS.has(opType));
      return { product: node, behind: [...behind], isPlain };
    }
    if (!CONVERSIONS.has(node.opType) && !ROW_WISE.has(node.opType)) return null;
    const varying = node.inputs.filter((input) => !graph.isSameForAllRows(input));
    if (varying.length !== 1) return null;
    behind.add(node);
    name = varying[0]!;
  }
}

/** Returns the product's weights and the nodes that only it needed; null if the weights are not readable floats. */
function headOf(graph: GraphIndex, product: StoredNode): { head: OnnxHead; nodes: StoredNode[] } | null {
  const { file } = graph;
  const { opType, inputs, attributes } = product;
  const isGemm = opType === "Gemm";
  if (opType !== "MatMul" && !isGemm) return null;
  if (isGemm && (inputs.length > 2 || attributes["transA"] === 1 || (attributes["alpha"] ?? 1) !== 1)) return null;
  let isTransposed = !(isGemm && attributes["transB"] === 1);
  let name = inputs[1]!;
  let inputType: number | null = null;
  const nodes = new Set<StoredNode>();
  for (let weight = file.initializers.get(name); weight === undefined; weight = file.initializers.get(name)) {
    const node = graph.producers.get(name);
    if (node === undefined || nodes.has(node) || node.inputs.length === 0 || graph.numUsers(name) !== 1) return null;
    if (
      node.opType === "Transpose" &&
      (node.attributes["perm"] === undefined || `${node.attributes["perm"]}` === "1,0")
    )
      isTransposed = !isTransposed;
    else if (node.opType === "Cast") inputType ??= Number(node.attributes["to"]);
    else if (node.opType !== "Identity") return null;
    nodes.add(node);
    name = node.inputs[0]!;
  }
  const tensor = file.initializers.get(name)!;
  const { contents, dims, elementType } = tensor;
  const type = FLOAT_TYPES[elementType];
  if (contents === null || type === undefined || dims.length !== 2 || !dims.every(isSize)) return null;
  const [rows, cols] = isTransposed ? [dims[1]!, dims[0]!] : [dims[0]!, dims[1]!];
  if (contents.byteLength !== rows * cols * (type === "float32" ? 4 : 2)) {
    throw new EngineError(
      "invalid_model",
      `${file.path}: the tensor ${shown(name)} has ${contents.byteLength} bytes, not those of ${rows} x ${cols} numbers`,
    );
  }
  return {
    head: { tensor: { ...tensor, contents }, type, inputType: inputType ?? elementType, rows, cols, isTransposed },
    nodes: [...nodes],
  };
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "absent";
  return text.length <= 120 ? text : `${text.slice(0, 117)}...`;
}

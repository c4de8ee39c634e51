/**
 * What an ONNX graph is as a decoder: which of its inputs means what, the shapes of its cache, and where its logits
 * come from. Everything is told from the graph's own names, types and shapes; config.json fills in sizes that the
 * graph leaves open. What is not understood is refused by name: an input left out or guessed would change results.
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

/** @throws EngineError `unsupported_model` naming the input or output that is not known, `invalid_model` for what makes no sense */
export function readDecoder(file: OnnxFile, config: JsonObject): OnnxDecoder {
  const inputs: Partial<Record<IntegerInputName, IntegerType>> = {};
  const caches: CacheTensor[] = [];
  let numLogitsShape: readonly number[] = [];
  for (const input of file.inputs) {
    // Old files list their weights as inputs too.
    if (file.initializers.has(input.name)) continue;
    if (PAST_NAME.test(input.name)) caches.push(readCache(file, input, config));
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
  if (caches.length === 0) {
    throw new EngineError(
      "unsupported_model",
      `${file.path}: the graph has no inputs past_key_values.N.key and past_key_values.N.value: every token would run the whole text again`,
    );
  }
  const logits = file.outputs.find(({ name }) => name === LOGITS);
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
  if (vocabSize === null)
    throw new EngineError(
      "invalid_model",
      `${file.path}: neither the graph nor config.json says how many logits there are`,
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
  /** Those that the graph has, and their element types. */
  readonly inputs: Readonly<Partial<Record<IntegerInputName, IntegerType>>>;
  /** How the graph wants the one number `num_logits_to_keep`: by itself, or as a list. */
  readonly numLogitsShape: readonly number[];
  readonly caches: readonly CacheTensor[];
  /** Logits of a row. */
  readonly vocabSize: number;
  /** The output that says what the next token is: logits, or what the head makes logits of. Its last row counts. */
  readonly output: string;
  /** The final product, where it was taken off the graph. */
  readonly head: OnnxHead | null;
  /** What became of the final product. */
  readonly ending: "cut off" | "of the last position" | "as it is";
  /** The graph to be loaded. */
  readonly rewritten: RewrittenModel;
}

export type IntegerInputName = (typeof INTEGER_INPUTS)[number];
export type IntegerType = "int32" | "int64";

/** Keys or values of one layer: [1, numHeads, positions, headDim]. */
export interface CacheTensor {
  readonly past: string;
  /** The output of the rewritten graph that has the new positions alone. */
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
  /** Of what it is multiplied with: ONNX's number. */
  readonly inputType: number;
  /** Logits. */
  readonly rows: number;
  /** Hidden size. */
  readonly cols: number;
  /** Whether the file has [cols, rows]. */
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
/** From which version on Slice takes what to keep as inputs; no decoder was ever exported to an earlier one. */
const MIN_OPSET = 10;
/** What the names of everything we add begin with. */
const OWN = "touchstone";

/** A size of config.json under any of its names, also where a model of several parts keeps its decoder's apart. */
export function sizeOf(config: JsonObject, names: readonly string[]): number | null {
  for (const object of [config, config["text_config"] as JsonObject | undefined]) {
    for (const name of names) {
      const value = object?.[name];
      if (typeof value === "number" && Number.isSafeInteger(value) && value >= 1 && value <= LIMITS.maxModelDimension)
        return value;
    }
  }
  return null;
}

function isIntegerInput(name: string): name is IntegerInputName {
  return (INTEGER_INPUTS as readonly string[]).includes(name);
}

/** Ids, mask and positions are [batch, length]; how many logits to keep is one number, or a list of one. */
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

function readCache(file: OnnxFile, { name, elementType, shape }: StoredValueInfo, config: JsonObject): CacheTensor {
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
  const output = file.outputs.find((other) => other.name === present);
  if (output === undefined)
    throw new EngineError(
      "unsupported_model",
      `${file.path}: the graph has the input ${name}, and no output ${present}`,
    );
  const [, heads, , dim] = shape;
  const numHeads = typeof heads === "number" ? heads : sizeOf(config, ["num_key_value_heads", ...HEADS]);
  const headDim = typeof dim === "number" ? dim : (sizeOf(config, ["head_dim"]) ?? dividedSize(config));
  if (numHeads === null || headDim === null || numHeads < 1 || headDim < 1) {
    throw new EngineError(
      "invalid_model",
      `${file.path}: neither the graph nor config.json says how many heads ${name} has, and of what dimension`,
    );
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
 * The end of each cache, [1, heads, new positions, head_dim]. The engine has the others: fetching them would copy the
 * whole cache into fresh memory for every token.
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
 * Follows the logits back to the final product. A product with float weights is taken off: our kernels compute it, for
 * the rows that need it. Any other is given the last position alone, so that a long prompt does not make the logits of
 * all its positions. Where the graph ends otherwise it stays as it is.
 */
function readEnding(file: OnnxFile): Pick<OnnxDecoder, "output" | "head" | "ending"> & { nodes: Uint8Array[] } {
  const path = pathToProduct(file);
  if (path === null)
    return { nodes: file.nodes.map(({ bytes }) => bytes), output: LOGITS, head: null, ending: "as it is" };
  const { product, behind, isPlain } = path;
  const inputs = [product.inputs[0]!, CONSTANTS.minusOne.name, CONSTANTS.end.name, CONSTANTS.lastButOne.name];
  const slice = encodeNode({ opType: "Slice", domain: "", inputs, outputs: [LAST_POSITION], attributes: {} });
  const found = isPlain ? headOf(file, product) : null;
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

/** int64 [1] each. The last axis but one is that of positions, in [batch, positions, width] as in [positions, width]. */
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

/** Of any shape: what was declared may name a length that is no longer there. */
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
  /** Whether those do nothing but convert. */
  readonly isPlain: boolean;
}

const PRODUCTS: ReadonlySet<string> = new Set(["MatMul", "Gemm", "MatMulNBits", "MatMulInteger"]);
const CONVERSIONS: ReadonlySet<string> = new Set(["Cast", "Identity"]);
/** What computes each of its rows alone, beside an operand that is the same for all rows. */
const ROW_WISE: ReadonlySet<string> = new Set(["Tanh", "Mul", "Div", "Add", "Sub"]);

/** Null where a node on the way mixes positions, or something else uses what is on the way. */
function pathToProduct(file: OnnxFile): PathToProduct | null {
  const producers = new Map(file.nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)));
  const outputs = new Set(file.outputs.map(({ name }) => name));
  const behind: StoredNode[] = [];
  for (let name = LOGITS; ;) {
    const node = producers.get(name);
    if (node === undefined) return null;
    const isShared = name !== LOGITS && (outputs.has(name) || usersOf(file, name).length !== 1);
    if (isShared) return null;
    if (PRODUCTS.has(node.opType))
      return { product: node, behind, isPlain: behind.every(({ opType }) => CONVERSIONS.has(opType)) };
    if (!CONVERSIONS.has(node.opType) && !ROW_WISE.has(node.opType)) return null;
    const varying = node.inputs.filter((input) => !isSameForAllRows(file, producers, input));
    if (varying.length !== 1) return null;
    behind.push(node);
    name = varying[0]!;
  }
}

function usersOf(file: OnnxFile, name: string): StoredNode[] {
  return file.nodes.filter(({ inputs }) => inputs.includes(name));
}

/** Weights, constants, and the scales by which integers are quantized: they come from the whole input of a product at once. */
function isSameForAllRows(file: OnnxFile, producers: ReadonlyMap<string, StoredNode>, name: string): boolean {
  const weight = file.initializers.get(name);
  if (weight !== undefined) return weight.dims.length < 2;
  const node = producers.get(name);
  if (node === undefined) return false;
  if (node.opType === "Constant") return true;
  if (node.opType === "DynamicQuantizeLinear") return name !== node.outputs[0];
  return (
    (node.opType === "Mul" || CONVERSIONS.has(node.opType)) &&
    node.inputs.every((input) => isSameForAllRows(file, producers, input))
  );
}

/** The product's weights, if they are floats that can be read; and the nodes that only it needed. */
function headOf(file: OnnxFile, product: StoredNode): { head: OnnxHead; nodes: StoredNode[] } | null {
  const { opType, inputs, attributes } = product;
  const isGemm = opType === "Gemm";
  if (opType !== "MatMul" && !isGemm) return null;
  if (isGemm && (inputs.length > 2 || attributes["transA"] === 1 || (attributes["alpha"] ?? 1) !== 1)) return null;
  let isTransposed = !(isGemm && attributes["transB"] === 1);
  let name = inputs[1]!;
  let inputType: number | null = null;
  const nodes: StoredNode[] = [];
  for (let weight = file.initializers.get(name); weight === undefined; weight = file.initializers.get(name)) {
    const node = file.nodes.find(({ outputs }) => outputs.includes(name));
    if (node === undefined || usersOf(file, name).length !== 1) return null;
    if (
      node.opType === "Transpose" &&
      (node.attributes["perm"] === undefined || `${node.attributes["perm"]}` === "1,0")
    )
      isTransposed = !isTransposed;
    else if (node.opType === "Cast") inputType ??= node.attributes["to"] as number;
    else if (node.opType !== "Identity") return null;
    nodes.push(node);
    name = node.inputs[0]!;
  }
  const tensor = file.initializers.get(name)!;
  const { contents, dims, elementType } = tensor;
  const type = FLOAT_TYPES[elementType];
  if (contents === null || type === undefined || dims.length !== 2) return null;
  const [rows, cols] = isTransposed ? [dims[1]!, dims[0]!] : [dims[0]!, dims[1]!];
  if (contents.byteLength !== rows * cols * (type === "float32" ? 4 : 2)) {
    throw new EngineError(
      "invalid_model",
      `${file.path}: the tensor ${shown(name)} has ${contents.byteLength} bytes, not those of ${rows} x ${cols} numbers`,
    );
  }
  return {
    head: { tensor: { ...tensor, contents }, type, inputType: inputType ?? elementType, rows, cols, isTransposed },
    nodes,
  };
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "absent";
  return text.length <= 120 ? text : `${text.slice(0, 117)}...`;
}

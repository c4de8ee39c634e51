/** Mutations of ONNX files that follow protobuf's structure: fields, lengths, numbers and names. */

import { hostileString } from "./mutate-json.js";
import { joined } from "./mutate-bytes.js";
import type { Random } from "./random.js";

/** Returns a changed copy of an ONNX file, after one to four mutations. */
export function mutateOnnx(random: Random, bytes: Uint8Array): Uint8Array {
  let fields = parsed(bytes, "Model");
  const names = [...stringsOf(fields)];
  for (let left = random.pick([1, 1, 1, 2, 4]); left > 0; left--) fields = mutated(random, fields, names);
  return encoded(fields);
}

type MessageName =
  | "Model"
  | "Graph"
  | "Node"
  | "Attribute"
  | "Tensor"
  | "Pair"
  | "Value"
  | "Type"
  | "TensorType"
  | "Shape"
  | "Dim"
  | "Opset";

/** Messages inside messages, by field number, and the fields that hold text. */
const SCHEMA: Readonly<
  Record<MessageName, { messages: Readonly<Record<number, MessageName>>; texts: readonly number[] }>
> = {
  Model: { messages: { 7: "Graph", 8: "Opset" }, texts: [2] },
  Opset: { messages: {}, texts: [1] },
  Graph: { messages: { 1: "Node", 5: "Tensor", 11: "Value", 12: "Value" }, texts: [2] },
  Node: { messages: { 5: "Attribute" }, texts: [1, 2, 3, 4, 7] },
  Attribute: { messages: {}, texts: [1] },
  Tensor: { messages: { 13: "Pair" }, texts: [8] },
  Pair: { messages: {}, texts: [1, 2] },
  Value: { messages: { 2: "Type" }, texts: [1] },
  Type: { messages: { 1: "TensorType" }, texts: [] },
  TensorType: { messages: { 2: "Shape" }, texts: [] },
  Shape: { messages: { 1: "Dim" }, texts: [] },
  Dim: { messages: {}, texts: [2] },
};

type Contents =
  | { readonly type: "number"; readonly value: bigint }
  | { readonly type: "fixed"; readonly bytes: Uint8Array }
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "bytes"; readonly bytes: Uint8Array }
  | { readonly type: "message"; readonly fields: readonly Field[] }
  /** Bytes with tag and length, written as they are. */
  | { readonly type: "raw"; readonly bytes: Uint8Array };

interface Field {
  readonly number: number;
  readonly contents: Contents;
}

const NUMBERS = [
  0n,
  1n,
  2n,
  3n,
  7n,
  10n,
  16n,
  63n,
  64n,
  127n,
  128n,
  255n,
  257n,
  2n ** 16n,
  2n ** 24n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n,
  2n ** 53n,
  2n ** 62n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 1n,
];

const PLACES = [
  "../model.safetensors",
  "../../config.json",
  "/etc/passwd",
  "/dev/zero",
  ".",
  "..",
  "model.onnx",
  "./model.onnx_data",
  "missing",
  "model.onnx_data/x",
  "..\\x",
  "1e3",
  "-1",
  "0x10",
  "9007199254740993",
  " 5",
  "Infinity",
];

const OPERATORS = [
  "Loop",
  "If",
  "Scan",
  "Identity",
  "ConstantOfShape",
  "Expand",
  "Tile",
  "Range",
  "Cast",
  "Reshape",
  "MatMul",
  "Gemm",
  "Gather",
  "Nothing",
  "Softmax",
  "Concat",
];

function mutated(random: Random, fields: readonly Field[], names: readonly string[]): Field[] {
  const index = random.below(fields.length);
  const field = fields[index];
  if (field === undefined) return [{ number: 1, contents: { type: "number", value: random.pick(NUMBERS) } }];
  const { contents } = field;
  if (contents.type === "message" && random.chance(0.85)) {
    return replaced(fields, index, [
      { ...field, contents: { type: "message", fields: mutated(random, contents.fields, names) } },
    ]);
  }
  switch (random.below(9)) {
    case 0:
      return replaced(fields, index, []);
    case 1:
      return replaced(
        fields,
        index,
        random.times(random.pick([2, 2, 3, 1000]), () => field),
      );
    case 2:
      return replaced(fields, index, [{ ...field, number: random.pick([1, 2, 5, 7, 13, 20, 25, 100, 5000]) }]);
    case 3: {
      const other = random.below(fields.length);
      return replaced(replaced(fields, index, [fields[other]!]), other, [field]);
    }
    case 4:
      return replaced(fields, index, [{ ...field, contents: { type: "raw", bytes: lying(random, field) } }]);
    default:
      return replaced(fields, index, [{ ...field, contents: changed(random, contents, names) }]);
  }
}

function changed(random: Random, contents: Contents, names: readonly string[]): Contents {
  switch (contents.type) {
    case "number":
      return { type: "number", value: random.chance(0.3) ? contents.value + 1n : random.pick(NUMBERS) };
    case "text":
      return {
        type: "text",
        text: random.pick([
          random.pick(names),
          random.pick(names),
          hostileString(random),
          random.pick(PLACES),
          random.pick(OPERATORS),
        ]),
      };
    case "bytes":
    case "fixed": {
      const bytes = random.chance(0.5) ? contents.bytes.slice() : contents.bytes.slice(random.below(9));
      if (bytes.length > 0) bytes[random.below(bytes.length)] = random.pick([0, 1, 0x7f, 0x80, 0xff]);
      return { ...contents, bytes };
    }
    default:
      return { type: "number", value: random.pick(NUMBERS) };
  }
}

/** A field whose length or number does not end where it should. */
function lying(random: Random, { number, contents }: Field): Uint8Array {
  const tag = (wireType: number): Uint8Array => varint(BigInt(number * 8 + wireType));
  switch (random.below(4)) {
    case 0:
      return joined(tag(2), varint(random.pick(NUMBERS)), encodedContents(contents));
    case 1:
      return joined(tag(0), new Uint8Array(random.pick([9, 10, 11, 64])).fill(0xff));
    case 2:
      return joined(tag(random.pick([1, 3, 4, 5, 6, 7])), encodedContents(contents));
    default:
      return tag(2);
  }
}

function replaced(fields: readonly Field[], index: number, others: readonly Field[]): Field[] {
  return [...fields.slice(0, index), ...others, ...fields.slice(index + 1)];
}

function* stringsOf(fields: readonly Field[]): Generator<string> {
  for (const { contents } of fields) {
    if (contents.type === "text") yield contents.text;
    if (contents.type === "message") yield* stringsOf(contents.fields);
  }
}

function parsed(bytes: Uint8Array, name: MessageName): Field[] {
  const fields: Field[] = [];
  const { messages, texts } = SCHEMA[name];
  for (let position = 0; position < bytes.length;) {
    const tag = readVarint(bytes, position);
    const number = Number(tag.value >> 3n);
    const wireType = Number(tag.value & 7n);
    if (wireType === 0) {
      const { value, end } = readVarint(bytes, tag.end);
      fields.push({ number, contents: { type: "number", value } });
      position = end;
      continue;
    }
    if (wireType !== 2) {
      position = tag.end + (wireType === 5 ? 4 : 8);
      fields.push({ number, contents: { type: "fixed", bytes: bytes.subarray(tag.end, position) } });
      continue;
    }
    const length = readVarint(bytes, tag.end);
    position = length.end + Number(length.value);
    const inner = bytes.subarray(length.end, position);
    const message = messages[number];
    if (message !== undefined) fields.push({ number, contents: { type: "message", fields: parsed(inner, message) } });
    else if (texts.includes(number))
      fields.push({ number, contents: { type: "text", text: Buffer.from(inner).toString() } });
    else fields.push({ number, contents: { type: "bytes", bytes: inner } });
  }
  return fields;
}

function readVarint(bytes: Uint8Array, start: number): { value: bigint; end: number } {
  let value = 0n;
  for (let end = start; ; end++) {
    const byte = bytes[end]!;
    value |= BigInt(byte & 0x7f) << BigInt(7 * (end - start));
    if (byte < 0x80) return { value, end: end + 1 };
  }
}

function encoded(fields: readonly Field[]): Uint8Array {
  return joined(
    ...fields.map(({ number, contents }) => {
      const tag = (wireType: number): Uint8Array => varint(BigInt(number * 8 + wireType));
      const bytes = encodedContents(contents);
      switch (contents.type) {
        case "raw":
          return bytes;
        case "number":
          return joined(tag(0), bytes);
        case "fixed":
          return joined(tag(bytes.length === 4 ? 5 : 1), bytes);
        default:
          return joined(tag(2), varint(BigInt(bytes.length)), bytes);
      }
    }),
  );
}

function encodedContents(contents: Contents): Uint8Array {
  switch (contents.type) {
    case "number":
      return varint(contents.value);
    case "text":
      return new TextEncoder().encode(contents.text);
    case "message":
      return encoded(contents.fields);
    default:
      return contents.bytes;
  }
}

function varint(value: bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  return Uint8Array.from([...bytes, Number(rest)]);
}

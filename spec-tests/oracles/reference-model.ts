/**
 * A model folder's forward pass in float64, for tests. It reads config.json and the safetensors itself and shares no code with
 * the engine, so that a mistake in reading a folder shows as well as one in computing.
 */

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

export interface FolderTensor {
  readonly shape: readonly number[];
  readonly values: Float64Array;
}

export function readConfig(dir: string): Record<string, unknown> {
  return JSON.parse(readFileSync(join(dir, "config.json"), "utf8")) as Record<string, unknown>;
}

/** Every tensor of every safetensors file in the folder. */
export function readTensors(dir: string): Map<string, FolderTensor> {
  const tensors = new Map<string, FolderTensor>();
  for (const file of readdirSync(dir).filter((name) => name.endsWith(".safetensors"))) {
    const bytes = readFileSync(join(dir, file));
    const start = 8 + Number(bytes.readBigUInt64LE(0));
    const header = JSON.parse(bytes.toString("utf8", 8, start)) as Record<
      string,
      { dtype: string; shape: number[]; data_offsets: [number, number] }
    >;
    for (const [name, entry] of Object.entries(header)) {
      if (name === "__metadata__") continue;
      const read = READERS[entry.dtype]!;
      const count = entry.shape.reduce((product, size) => product * size, 1);
      const width = (entry.data_offsets[1] - entry.data_offsets[0]) / count;
      tensors.set(name, {
        shape: entry.shape,
        values: Float64Array.from({ length: count }, (_, i) => read(bytes, start + entry.data_offsets[0] + i * width)),
      });
    }
  }
  return tensors;
}

const READERS: Readonly<Record<string, (bytes: Buffer, at: number) => number>> = {
  F32: (bytes, at) => bytes.readFloatLE(at),
  BF16: (bytes, at) => {
    const word = Buffer.alloc(4);
    word.writeUInt16LE(bytes.readUInt16LE(at), 2);
    return word.readFloatLE(0);
  },
  F16: (bytes, at) => {
    const bits = bytes.readUInt16LE(at);
    const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
    const size = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25);
    return bits >> 15 === 0 ? size : -size;
  },
};

/** @returns the hidden state behind the final norm of every position, float64 [tokens][hidden] */
export function referenceHidden(
  config: Record<string, unknown>,
  tensors: ReadonlyMap<string, FolderTensor>,
  tokens: readonly number[],
): Float64Array[] {
  const number = (key: string, absent: number): number => (config[key] as number | null | undefined) ?? absent;
  const weight = (name: string): Float64Array => tensors.get(name)!.values;
  const [hidden, heads] = [number("hidden_size", 0), number("num_attention_heads", 0)];
  const kvHeads = number("num_key_value_heads", heads);
  const headDim = number("head_dim", hidden / heads);
  const epsilon = number("rms_norm_eps", 1e-6);
  const angles = rotaryAngles(config, headDim);
  const hasBias = config["model_type"] === "qwen2" || config["attention_bias"] === true;
  let states: Float64Array[] = tokens.map((token) =>
    weight("model.embed_tokens.weight").slice(token * hidden, (token + 1) * hidden),
  );
  for (let layer = 0; layer < number("num_hidden_layers", 0); layer++) {
    const at = `model.layers.${layer}`;
    const linear = (name: string, x: Float64Array): Float64Array => {
      const bias = name.startsWith("self_attn") && hasBias ? tensors.get(`${at}.${name}.bias`)?.values : undefined;
      return product(weight(`${at}.${name}.weight`), x, bias);
    };
    const normed = states.map((x) => norm(x, weight(`${at}.input_layernorm.weight`), epsilon));
    const turned = (name: string, position: number): Float64Array[] =>
      split(linear(`self_attn.${name}_proj`, normed[position]!), headDim).map((head) => {
        const own =
          config["model_type"] === "qwen3" ? norm(head, weight(`${at}.self_attn.${name}_norm.weight`), epsilon) : head;
        return rotated(
          own,
          angles.map((angle) => angle * position),
        );
      });
    const keys = tokens.map((_, position) => turned("k", position));
    const values = tokens.map((_, position) => split(linear("self_attn.v_proj", normed[position]!), headDim));
    states = states.map((x, position) => {
      const attended = turned("q", position).flatMap((query, head) => {
        const shared = Math.floor((head * kvHeads) / heads);
        const scores = keys
          .slice(0, position + 1)
          .map((key) => Math.exp(dot(query, key[shared]!) / Math.sqrt(headDim)));
        const total = scores.reduce((sum, score) => sum + score, 0);
        return Array.from(query, (_, i) =>
          scores.reduce((sum, score, past) => sum + (score / total) * values[past]![shared]![i]!, 0),
        );
      });
      return added(x, linear("self_attn.o_proj", Float64Array.from(attended)));
    });
    states = states.map((x) => {
      const fed = norm(x, weight(`${at}.post_attention_layernorm.weight`), epsilon);
      const up = linear("mlp.up_proj", fed);
      return added(
        x,
        linear(
          "mlp.down_proj",
          linear("mlp.gate_proj", fed).map((gate, i) => (gate / (1 + Math.exp(-gate))) * up[i]!),
        ),
      );
    });
  }
  return states.map((x) => norm(x, weight("model.norm.weight"), epsilon));
}

/** Radians per position of each pair (i, i + head_dim / 2). */
function rotaryAngles(config: Record<string, unknown>, headDim: number): number[] {
  const rope = (config["rope_parameters"] ?? config["rope_scaling"] ?? {}) as Record<string, number | string>;
  const theta = (rope["rope_theta"] ?? config["rope_theta"] ?? 10000) as number;
  const given = (key: string): number => rope[key] as number;
  return Array.from({ length: headDim / 2 }, (_, pair) => {
    const angle = 1 / theta ** ((2 * pair) / headDim);
    switch (rope["rope_type"] ?? rope["type"]) {
      case "linear":
        return angle / given("factor");
      case "llama3": {
        const turns = given("original_max_position_embeddings") / ((2 * Math.PI) / angle);
        if (turns > given("high_freq_factor")) return angle;
        if (turns < given("low_freq_factor")) return angle / given("factor");
        const smooth = (turns - given("low_freq_factor")) / (given("high_freq_factor") - given("low_freq_factor"));
        return ((1 - smooth) * angle) / given("factor") + smooth * angle;
      }
      default:
        return angle;
    }
  });
}

function rotated(head: Float64Array, angles: readonly number[]): Float64Array {
  const half = angles.length;
  return head.map((value, i) => {
    const [cos, sin] = [Math.cos(angles[i % half]!), Math.sin(angles[i % half]!)];
    return i < half ? value * cos - head[i + half]! * sin : value * cos + head[i - half]! * sin;
  });
}

function norm(x: Float64Array, gain: Float64Array, epsilon: number): Float64Array {
  const scale = 1 / Math.sqrt(dot(x, x) / x.length + epsilon);
  return x.map((value, i) => value * scale * gain[i]!);
}

function product(matrix: Float64Array, x: Float64Array, bias: Float64Array | undefined): Float64Array {
  return Float64Array.from(
    { length: matrix.length / x.length },
    (_, row) => dot(matrix.subarray(row * x.length, (row + 1) * x.length), x) + (bias?.[row] ?? 0),
  );
}

function dot(a: Float64Array, b: Float64Array): number {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += a[i]! * b[i]!;
  return total;
}

const split = (x: Float64Array, width: number): Float64Array[] =>
  Array.from({ length: x.length / width }, (_, i) => x.subarray(i * width, (i + 1) * width));

const added = (a: Float64Array, b: Float64Array): Float64Array => a.map((value, i) => value + b[i]!);

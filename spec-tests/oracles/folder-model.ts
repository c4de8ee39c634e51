/**
 * Builds the reference forward pass of a model folder. It reads config.json and the safetensors files without the
 * engine, so that tests also detect mistakes in the engine's reading of a folder.
 */

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

import { fromHalf } from "../fixtures/random-model.js";
import type { ReferenceModel } from "./forward.js";
import { type NamedConfig, namedModel } from "./named-model.js";

export interface FolderTensor {
  readonly shape: readonly number[];
  readonly values: Float64Array;
}

export function readConfig(dir: string): Record<string, unknown> {
  return JSON.parse(readFileSync(join(dir, "config.json"), "utf8")) as Record<string, unknown>;
}

/** Reads all tensors of all safetensors files in the folder. */
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
  BF16: (bytes, at) => new Float32Array(Uint32Array.of(bytes.readUInt16LE(at) << 16).buffer)[0]!,
  F16: (bytes, at) => fromHalf(bytes.readUInt16LE(at)),
};

/** @param config parsed config.json */
export function folderModel(
  config: Record<string, unknown>,
  tensors: ReadonlyMap<string, FolderTensor>,
): ReferenceModel {
  const number = (key: string, absent: number): number => (config[key] as number | null | undefined) ?? absent;
  const [hiddenSize, numHeads] = [number("hidden_size", 0), number("num_attention_heads", 0)];
  const attentionBias = config["model_type"] === "qwen2" || config["attention_bias"] === true;
  const rope = (config["rope_parameters"] ?? config["rope_scaling"] ?? {}) as Record<string, number | string>;
  return namedModel(
    {
      hiddenSize,
      numLayers: number("num_hidden_layers", 0),
      numHeads,
      numKvHeads: number("num_key_value_heads", numHeads),
      headDim: number("head_dim", hiddenSize / numHeads),
      normEpsilon: number("rms_norm_eps", 1e-6),
      ropeTheta: (rope["rope_theta"] ?? config["rope_theta"] ?? 10000) as number,
      ropeScaling: rotaryScaling(rope),
      attentionBias,
      outputBias: attentionBias && tensors.has("model.layers.0.self_attn.o_proj.bias"),
      qkNorm: config["model_type"] === "qwen3",
    },
    (name) => tensors.get(name)!.values,
  );
}

function rotaryScaling(rope: Readonly<Record<string, number | string>>): NamedConfig["ropeScaling"] {
  const given = (key: string): number => rope[key] as number;
  switch (rope["rope_type"] ?? rope["type"]) {
    case "linear":
      return { type: "linear", factor: given("factor") };
    case "llama3":
      return {
        type: "llama3",
        factor: given("factor"),
        lowFreqFactor: given("low_freq_factor"),
        highFreqFactor: given("high_freq_factor"),
        originalContextLength: given("original_max_position_embeddings"),
      };
    default:
      return { type: "none" };
  }
}

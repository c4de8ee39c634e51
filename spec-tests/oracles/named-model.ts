/**
 * Builds the reference forward pass from weights by their Hugging Face names. It shares no code with the conversion.
 */

import type { ModelConfig } from "../../engine/architecture/config.js";
import { add, exactly, product, valuesOf } from "./estimate.js";
import type { Linear, ReferenceModel } from "./forward.js";

/** The part of a configuration that the forward pass needs. */
export type NamedConfig = Omit<
  ModelConfig,
  "architecture" | "intermediateSize" | "vocabSize" | "contextLength" | "tiedEmbeddings" | "endTokenIds"
>;

/** Returns the row-major values of a tensor by its Hugging Face name. */
export type WeightSource = (name: string) => ArrayLike<number>;

/**
 * @param activations transforms the input of each matrix product, such as by rounding; deviations do not include its
 * error
 */
export function namedModel(
  config: NamedConfig,
  weight: WeightSource,
  activations: (x: Float64Array) => Float64Array = (x) => x,
): ReferenceModel {
  const { hiddenSize, numLayers, headDim, qkNorm, attentionBias, outputBias } = config;
  /** Concatenates several projections of the same input. */
  const linear =
    (names: readonly string[], hasBias = false): Linear =>
    (input) => {
      const seen = activations(valuesOf(input));
      const x = input.map(({ deviation }, i) => ({ value: seen[i]!, deviation }));
      return names.flatMap((name) => {
        const result = product(weight(`${name}.weight`), x);
        return hasBias ? add(result, exactly(weight(`${name}.bias`))) : result;
      });
    };
  const table = weight("model.embed_tokens.weight");
  const frequencies = Array.from({ length: headDim / 2 }, (_, pair) => rotaryFrequency(pair, config));
  return {
    ...config,
    embed: (tokenId) => Float64Array.from({ length: hiddenSize }, (_, i) => table[tokenId * hiddenSize + i]!),
    rotation: (position) => ({
      cos: frequencies.map((frequency) => Math.cos(position * frequency)),
      sin: frequencies.map((frequency) => Math.sin(position * frequency)),
    }),
    layers: Array.from({ length: numLayers }, (_, index) => {
      const at = `model.layers.${index}`;
      const attention = `${at}.self_attn`;
      return {
        inputNorm: weight(`${at}.input_layernorm.weight`),
        qkv: linear(
          ["q", "k", "v"].map((name) => `${attention}.${name}_proj`),
          attentionBias,
        ),
        qNorm: qkNorm ? weight(`${attention}.q_norm.weight`) : null,
        kNorm: qkNorm ? weight(`${attention}.k_norm.weight`) : null,
        output: linear([`${attention}.o_proj`], outputBias),
        attentionNorm: weight(`${at}.post_attention_layernorm.weight`),
        gateUp: linear([`${at}.mlp.gate_proj`, `${at}.mlp.up_proj`]),
        down: linear([`${at}.mlp.down_proj`]),
      };
    }),
    finalNorm: weight("model.norm.weight"),
    pages: { format: "f32", size: Infinity },
  };
}

/** @returns float64 [vocabSize] */
export function namedLogits(
  { tiedEmbeddings }: Pick<ModelConfig, "tiedEmbeddings">,
  weight: WeightSource,
  hidden: ArrayLike<number>,
): Float64Array {
  const head = weight(tiedEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight");
  return valuesOf(product(head, exactly(hidden)));
}

/**
 * Rotary frequency of a pair in radians per position, from the formulas of the Llama 3.1 release and of linear scaling.
 */
export function rotaryFrequency(
  pair: number,
  { headDim, ropeTheta, ropeScaling: scaling }: Pick<NamedConfig, "headDim" | "ropeTheta" | "ropeScaling">,
): number {
  const frequency = ropeTheta ** ((-2 * pair) / headDim);
  if (scaling.type === "none") return frequency;
  if (scaling.type === "linear") return frequency / scaling.factor;
  const wavelength = (2 * Math.PI) / frequency;
  if (wavelength < scaling.originalContextLength / scaling.highFreqFactor) return frequency;
  if (wavelength > scaling.originalContextLength / scaling.lowFreqFactor) return frequency / scaling.factor;
  const smooth =
    (scaling.originalContextLength / wavelength - scaling.lowFreqFactor) /
    (scaling.highFreqFactor - scaling.lowFreqFactor);
  return ((1 - smooth) * frequency) / scaling.factor + smooth * frequency;
}

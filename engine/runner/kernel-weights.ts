/**
 * Loads a pack's weights into the kernels' memory, where the decoder and the LM head read them. weights.bin stores them
 * in the kernels' layouts, so it is read without conversion and every tensor is found at its offset.
 */

import type { Address, DecoderLayer, Kernels, PackedMatrix } from "../../kernels/index.js";
import { assert } from "../errors.js";
import type { ModelPack } from "../folder/index.js";
import { modelWeights, type StackedWeight } from "../architecture/index.js";

export interface KernelWeights {
  /** [vocab, hidden]; the same matrix as `lmHead` if the two are tied. */
  readonly embedding: PackedMatrix;
  readonly layers: readonly DecoderLayer[];
  /** f32 [hidden] */
  readonly finalNorm: Address;
  /** [vocab, hidden] */
  readonly lmHead: PackedMatrix;
}

/**
 * Loads the weights; memory.ts has already refused models that cannot fit.
 * @param whileReading see `ModelPack.readWeights`; must not allocate memory of the kernels
 */
export async function loadWeights(
  kernels: Kernels,
  pack: ModelPack,
  whileReading?: () => void,
): Promise<KernelWeights> {
  const base = kernels.allocate(pack.weightsByteLength);
  await pack.readWeights(kernels.bytes(base, pack.weightsByteLength), whileReading);

  const tensor = (name: string) => {
    const found = pack.tensors.get(name);
    assert(found !== undefined, `the pack has no tensor ${name}`);
    return { ...found, address: base + found.offset };
  };
  const matrix = ({ name }: { readonly name: string }): PackedMatrix => {
    const { format, rows, cols, address, byteLength } = tensor(name);
    assert(format !== "vector", `${name} is not a matrix`);
    return { format, rows, cols, address, byteLength };
  };
  const vector = ({ name }: StackedWeight): Address => {
    const { format, address } = tensor(name);
    assert(format === "vector", `${name} is not a vector`);
    return address;
  };
  const optional = (weight: StackedWeight | null): Address | null => (weight === null ? null : vector(weight));

  const weights = modelWeights(pack.config);
  const lmHead = matrix(weights.lmHead ?? { name: "lm_head" });
  return {
    embedding: weights.lmHead === null ? lmHead : matrix(weights.embedding),
    layers: weights.layers.map((layer) => ({
      inputNorm: vector(layer.inputNorm),
      qkv: matrix(layer.qkv),
      qkvBias: optional(layer.qkvBias),
      qNorm: optional(layer.qNorm),
      kNorm: optional(layer.kNorm),
      output: matrix(layer.output),
      outputBias: optional(layer.outputBias),
      attentionNorm: vector(layer.attentionNorm),
      gateUp: matrix(layer.gateUp),
      down: matrix(layer.down),
    })),
    finalNorm: vector(weights.finalNorm),
    lmHead,
  };
}

/** Equalizes the weights of a model in memory, as a conversion does before quantization. */

import { equalize } from "../../engine/convert/equalize.js";
import type { ModelConfig } from "../../engine/architecture/config.js";
import { modelWeights, packedWeights, type StackedWeight } from "../../engine/architecture/weights.js";
import type { RandomTensor } from "../fixtures/random-model.js";

/** Returns the equalized values of each stacked weight, by its name in the pack. */
export async function equalizedWeights(
  config: ModelConfig,
  tensors: ReadonlyMap<string, RandomTensor>,
): Promise<Map<string, { weight: StackedWeight; values: Float32Array }>> {
  const read = ({ parts }: StackedWeight): Float32Array =>
    Float32Array.from(parts.flatMap(({ name }) => [...tensors.get(name)!.values]));
  const weights = modelWeights(config);
  const result = new Map([...packedWeights(weights)].map((weight) => [weight.name, { weight, values: read(weight) }]));
  for (const layer of weights.layers) {
    const rewrites = await equalize(config, layer, async function* (weight) {
      yield { values: read(weight), first: 0, rows: weight.rows };
    });
    for (const [name, rewrite] of rewrites) {
      const { weight, values } = result.get(name)!;
      rewrite(values, 0, weight.rows);
    }
  }
  return result;
}

/**
 * Returns the equalized values as tensors of the checkpoint. `use` transforms each stacked weight before it is split.
 */
export async function equalizedTensors(
  config: ModelConfig,
  tensors: ReadonlyMap<string, RandomTensor>,
  use: (values: Float32Array, weight: StackedWeight) => Float32Array = (values) => values,
): Promise<Map<string, RandomTensor>> {
  const result = new Map(tensors);
  for (const { weight, values } of (await equalizedWeights(config, tensors)).values()) {
    const used = use(values, weight);
    let row = 0;
    for (const part of weight.parts) {
      result.set(part.name, {
        shape: tensors.get(part.name)!.shape,
        values: used.slice(row * weight.cols, (row + part.rows) * weight.cols),
      });
      row += part.rows;
    }
  }
  return result;
}

/**
 * Builds the reference forward pass from the kernels' matrices. Products with quantized weights use quantized
 * activations.
 */

import {
  type FloatMatrix,
  type KVFormat,
  QUANTIZATION_BLOCK,
  type QuantizedFormat,
  type QuantizedMatrix,
  dequantize,
} from "../../kernels/index.js";
import { type Vector, add, exactly, product, quantized, split } from "./estimate.js";
import type { Linear, ReferenceModel } from "./forward.js";
import { LARGEST_ACTIVATION } from "./kernels.js";

export interface KernelLayer {
  readonly inputNorm: Float32Array;
  readonly qkv: QuantizedMatrix | FloatMatrix;
  readonly qkvBias: Float32Array | null;
  readonly qNorm: Float32Array | null;
  readonly kNorm: Float32Array | null;
  readonly output: QuantizedMatrix | FloatMatrix;
  readonly outputBias: Float32Array | null;
  readonly attentionNorm: Float32Array;
  readonly gateUp: QuantizedMatrix | FloatMatrix;
  readonly down: QuantizedMatrix | FloatMatrix;
}

export interface KernelModel {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly normEpsilon: number;
  readonly layers: readonly KernelLayer[];
  readonly finalNorm: Float32Array;
  readonly embedding: QuantizedMatrix | FloatMatrix;
  readonly kvFormat: KVFormat;
  readonly pageSize: number;
}

/** @param cos, sin f32 [positions, headDim / 2] */
export function kernelModel(model: KernelModel, cos: Float32Array, sin: Float32Array): ReferenceModel {
  const { hiddenSize, headDim, normEpsilon } = model;
  const embedding = weightsOf(model.embedding);
  const half = headDim / 2;
  return {
    ...model,
    normEpsilon: Math.fround(normEpsilon),
    embed: (tokenId) => embedding.subarray(tokenId * hiddenSize, (tokenId + 1) * hiddenSize),
    rotation: (position) => ({
      cos: cos.subarray(position * half, (position + 1) * half),
      sin: sin.subarray(position * half, (position + 1) * half),
    }),
    layers: model.layers.map((layer) => ({
      ...layer,
      qkv: linear(layer.qkv, layer.qkvBias),
      output: linear(layer.output, layer.outputBias),
      gateUp: linear(layer.gateUp, null),
      down: linear(layer.down, null),
    })),
    pages: { format: model.kvFormat, size: model.pageSize },
  };
}

function linear(matrix: QuantizedMatrix | FloatMatrix, bias: Float32Array | null): Linear {
  const weights = weightsOf(matrix);
  return (input) => {
    const result = matrix.format === "f32" ? product(weights, input) : blockProduct(weights, input, matrix.format);
    return bias === null ? result : add(result, exactly(bias));
  };
}

/** Product with integer sums per block, which are exact. Roundings: one per block, and some at the end. */
function blockProduct(weights: Float32Array, input: Vector, format: QuantizedFormat): Vector {
  const blocks = split(input, QUANTIZATION_BLOCK);
  const activations = blocks.flatMap((block) => quantized(block, LARGEST_ACTIVATION[format]));
  return product(weights, activations, blocks.length + 4);
}

function weightsOf(matrix: QuantizedMatrix | FloatMatrix): Float32Array {
  return matrix.format === "f32" ? matrix.values : dequantize(matrix);
}

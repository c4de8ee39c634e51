/** ONNX Runtime is loaded here, and only here: whoever computes with the kernels alone works where it does not. */

import type { Kernels, PackedMatrix } from "../../kernels/index.js";
import { LIMITS } from "../limits.js";
import type { ModelPack } from "../model/index.js";
import type { OnnxRunner } from "./onnx-runner.js";

/** @param embedding the pack's, in the memory of `kernels` */
export async function loadOnnxRunner(pack: ModelPack, kernels: Kernels, embedding: PackedMatrix, numThreads: number): Promise<OnnxRunner> {
  const { OnnxRunner } = await import("./onnx-runner.js");
  const row = kernels.allocate(embedding.cols * 4);
  return OnnxRunner.load({
    kernels,
    bodyPath: pack.bodyPath,
    config: pack.config,
    embed: (tokenId, target) => {
      kernels.readRow(embedding, tokenId, row);
      target.set(kernels.f32(row, embedding.cols));
    },
    numThreads,
    blockSize: LIMITS.promptBlockTokens,
  });
}

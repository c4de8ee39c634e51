/** Loads the runners that need ONNX Runtime, only when they are used: everything else works if it does not load. */

import type { Kernels, KVFormat, PackedMatrix } from "../../kernels/index.js";
import { LIMITS } from "../limits.js";
import type { ModelPack, OnnxFolder } from "../folder/index.js";
import type { OnnxGraphRunner } from "./onnx-graph-runner.js";
import type { OnnxRunner } from "./onnx-runner.js";
import { withOnnxRuntime } from "./onnx-runtime.js";

/**
 * Loads the prompt runner of a pack.
 * @param embedding the pack's embedding matrix, in the memory of `kernels`
 */
export async function loadOnnxRunner(
  pack: ModelPack,
  kernels: Kernels,
  embedding: PackedMatrix,
  { numThreads, kvFormat }: { readonly numThreads: number; readonly kvFormat: KVFormat },
): Promise<OnnxRunner> {
  const { OnnxRunner } = await withOnnxRuntime(() => import("./onnx-runner.js"));
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
    kvFormat,
  });
}

export async function loadOnnxGraphRunner(
  folder: OnnxFolder,
  kernels: Kernels,
  numThreads: number,
): Promise<{ readonly runner: OnnxGraphRunner; readonly blockSize: number; readonly pageByteLength: number }> {
  const { OnnxGraphRunner, graphPageByteLength } = await withOnnxRuntime(() => import("./onnx-graph-runner.js"));
  const { graphBlockTokens: pageSize } = LIMITS;
  const runner = await OnnxGraphRunner.load({ kernels, folder, numThreads, pageSize });
  return { runner, blockSize: pageSize, pageByteLength: graphPageByteLength(folder.decoder.caches, pageSize) };
}

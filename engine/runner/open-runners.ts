/** What computes a model: the one place where packs and folders of ONNX files differ once they are open. */

import {
  kvPageByteLength,
  packedByteLength,
  type Kernels,
  type KVFormat,
  type PackedMatrix,
} from "../../kernels/index.js";
import { EngineError } from "../errors.js";
import { LIMITS } from "../limits.js";
import { readHead, type ModelPack, type OnnxFolder, type OnnxHead, type RunnableModel } from "../folder/index.js";
import { loadWeights } from "./kernel-weights.js";
import { loadOnnxGraphRunner, loadOnnxRunner } from "./load-onnx-runner.js";
import type { EachTokenRunner, ModelRunner, PrefixReuse, Profile } from "./model-runner.js";
import { WasmRunner } from "./wasm-runner.js";

export interface ModelRunners {
  /** Runs prompts, a block at a time. */
  readonly promptRunner: ModelRunner;
  /** Runs generated tokens. */
  readonly tokenRunner: ModelRunner;
  /** What makes logits of the runners' rows; null where those are logits already. */
  readonly lmHead: PackedMatrix | null;
  /** Tokens of a prompt block, and positions of a page of keys and values. */
  readonly blockSize: number;
  /** Of a page, as the runners lay it out. */
  readonly pageByteLength: number;
  /** What of a computed prompt another may use. */
  readonly reuse: PrefixReuse;
}

/** A pack's runners give every token's hidden state on request, and its head is ours. */
export interface PackRunners extends ModelRunners {
  readonly promptRunner: ModelRunner & EachTokenRunner;
  readonly tokenRunner: ModelRunner & EachTokenRunner;
  readonly lmHead: PackedMatrix;
}

export interface RunnerOptions {
  readonly profile: Profile;
  readonly kvCache: KVFormat;
  readonly numThreads: number;
}

/** @throws EngineError for options that the folder cannot be run with, or weights that do not fit */
export function openRunners(folder: RunnableModel, kernels: Kernels, options: RunnerOptions): Promise<ModelRunners> {
  switch (folder.kind) {
    case "pack":
      return openPackRunners(folder, kernels, options);
    case "onnx":
      return graphRunners(folder, kernels, options);
  }
}

export async function openPackRunners(
  pack: ModelPack,
  kernels: Kernels,
  { profile, kvCache, numThreads }: RunnerOptions,
): Promise<PackRunners> {
  const { config } = pack;
  const { promptBlockTokens: pageSize } = LIMITS;
  const weights = await loadWeights(kernels, pack);
  const tokenRunner = new WasmRunner({ kernels, weights, config, maxRows: pageSize, pageSize, kvFormat: kvCache });
  return {
    promptRunner:
      profile === "exact" ? tokenRunner : await loadOnnxRunner(pack, kernels, weights.embedding, numThreads),
    tokenRunner,
    lmHead: weights.lmHead,
    blockSize: pageSize,
    pageByteLength: kvPageByteLength({ ...config, pageSize, kvFormat: kvCache }),
    // What ONNX Runtime computes depends on the block it is computed in; what the kernels compute does not.
    reuse: profile === "exact" ? "token" : "block",
  };
}

async function graphRunners(
  folder: OnnxFolder,
  kernels: Kernels,
  { profile, kvCache, numThreads }: RunnerOptions,
): Promise<ModelRunners> {
  const problem = `${folder.dir} holds ONNX files, which ONNX Runtime computes`;
  if (profile === "exact") {
    const message = `${problem}: they cannot give the same bytes on every machine, as the profile exact does.`;
    throw new EngineError("unsupported_value", message, "profile");
  }
  if (kvCache !== "f32") throw new EngineError("unsupported_value", `${problem}, with f32 keys and values.`, "kvCache");
  const { head } = folder.decoder;
  const { runner, ...page } = await loadOnnxGraphRunner(folder, kernels, numThreads);
  try {
    return {
      promptRunner: runner,
      tokenRunner: runner,
      lmHead: head === null ? null : await loadHead(head, kernels),
      ...page,
      reuse: "block",
    };
  } catch (error) {
    await runner.release();
    throw error;
  }
}

async function loadHead(head: OnnxHead, kernels: Kernels): Promise<PackedMatrix> {
  const [needed, left] = [
    packedByteLength("f32", head.rows, head.cols),
    kernels.numBytesLeft - LIMITS.maxKernelScratchBytes,
  ].map((bytes) => Math.round(bytes / 2 ** 20));
  if (needed! > left!)
    throw new EngineError(
      "out_of_memory",
      `The final product's weights take ${needed} MiB; one WebAssembly memory of 4 GiB has room for ${left} MiB.`,
    );
  const matrix = kernels.allocateMatrix("f32", head.rows, head.cols);
  await readHead(head, kernels.bytes(matrix.address, matrix.byteLength));
  return matrix;
}

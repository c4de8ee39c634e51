/** Opens the runners of a model. After this step, packs and folders of ONNX files run through the same interface. */

import {
  kvPageByteLength,
  packedByteLength,
  KernelChoiceError,
  Kernels,
  type KVFormat,
  type PackedMatrix,
} from "../../kernels/index.js";
import { EngineError } from "../errors.js";
import { LIMITS } from "../limits.js";
import { readHead, type ModelPack, type OnnxFolder, type OnnxHead, type RunnableModel } from "../folder/index.js";
import { loadWeights } from "./kernel-weights.js";
import { loadOnnxGraphRunner, loadOnnxRunner } from "./load-onnx-runner.js";
import type { EachTokenRunner, ModelRunner, PrefixReuse, Profile, SpeculationMode } from "./model-runner.js";
import { WasmRunner } from "./wasm-runner.js";

export interface ModelRunners {
  /** Runs prompts, at most `maxBlocks` blocks per call. */
  readonly promptRunner: ModelRunner;
  /** Runs generated tokens. */
  readonly tokenRunner: ModelRunner;
  /** Runs generated tokens with drafts of those that may follow; null if no tokens are drafted. */
  readonly draftRunner: EachTokenRunner | null;
  /** LM head matrix, which turns the runners' rows into logits; null if these rows are already logits. */
  readonly lmHead: PackedMatrix | null;
  /** Tokens per prompt block, and positions per KV cache page. */
  readonly blockSize: number;
  /** Blocks of a prompt that one call may hold. */
  readonly maxBlocks: number;
  /** Bytes per KV cache page in the runners' layout. */
  readonly pageByteLength: number;
  /** Part of a computed prompt that other requests may reuse. */
  readonly reuse: PrefixReuse;
}

/** Runners of a pack: they return every token's hidden state on request, and the kernels compute the LM head. */
export interface PackRunners extends ModelRunners {
  readonly promptRunner: ModelRunner & EachTokenRunner;
  readonly tokenRunner: ModelRunner & EachTokenRunner;
  readonly lmHead: PackedMatrix;
}

export interface RunnerOptions {
  readonly profile: Profile;
  readonly kvCache: KVFormat;
  readonly numThreads: number;
  /** By default `ngram` where drafts change no result. */
  readonly speculate?: SpeculationMode | undefined;
}

/** Loads the kernels. @throws EngineError unsupported_value for a build that TOUCHSTONE_KERNELS names in vain */
export async function openKernels(numThreads: number): Promise<Kernels> {
  try {
    return await Kernels.load({ numThreads });
  } catch (error) {
    if (error instanceof KernelChoiceError)
      throw new EngineError("unsupported_value", error.message, null, { cause: error });
    throw error;
  }
}

/**
 * Opens the runners of a model.
 * @param whileReading called while the weights of a pack are read, see `ModelPack.readWeights`; else before the opening
 * @throws EngineError for options that the folder does not support, or weights that do not fit into memory
 */
export async function openRunners(
  folder: RunnableModel,
  kernels: Kernels,
  options: RunnerOptions,
  whileReading: () => void,
): Promise<ModelRunners> {
  switch (folder.kind) {
    case "pack":
      return openPackRunners(folder, kernels, options, whileReading);
    case "onnx":
      whileReading();
      return graphRunners(folder, kernels, options);
  }
}

export async function openPackRunners(
  pack: ModelPack,
  kernels: Kernels,
  { profile, kvCache: kvFormat, numThreads, speculate = "ngram" }: RunnerOptions,
  whileReading?: () => void,
): Promise<PackRunners> {
  const { config } = pack;
  const { promptBlockTokens: pageSize } = LIMITS;
  const weights = await loadWeights(kernels, pack, whileReading);
  const tokenRunner = new WasmRunner({ kernels, weights, config, maxRows: pageSize, pageSize, kvFormat });
  return {
    promptRunner:
      profile === "exact"
        ? tokenRunner
        : await loadOnnxRunner(pack, kernels, weights.embedding, { numThreads, kvFormat }),
    tokenRunner,
    draftRunner: speculate === "off" ? null : tokenRunner,
    lmHead: weights.lmHead,
    blockSize: pageSize,
    // With rounded keys and values, blocks do not run together, so several would only delay the tokens of others.
    maxBlocks: profile === "exact" || kvFormat !== "f32" ? 1 : LIMITS.maxPromptBlocks,
    pageByteLength: kvPageByteLength({ ...config, pageSize, kvFormat }),
    // A block is computed as a whole in ONNX Runtime, where a row's result may depend on its place in the block.
    reuse: profile === "exact" ? "token" : "block",
  };
}

async function graphRunners(
  folder: OnnxFolder,
  kernels: Kernels,
  { profile, kvCache, numThreads, speculate = "off" }: RunnerOptions,
): Promise<ModelRunners> {
  const problem = `${folder.dir} holds ONNX files, which run in ONNX Runtime`;
  if (profile === "exact") {
    const message = `${problem}: the profile exact, which gives the same bytes on every machine, cannot run them.`;
    throw new EngineError("unsupported_value", message, "profile");
  }
  if (kvCache !== "f32")
    throw new EngineError("unsupported_value", `${problem}: keys and values must be f32.`, "kvCache");
  if (speculate !== "off") {
    const reason = "a token computed together with others may have another result";
    throw new EngineError("unsupported_value", `${problem}: speculation must be off, because ${reason}.`, "speculate");
  }
  const { head } = folder.decoder;
  const { runner, ...page } = await loadOnnxGraphRunner(folder, kernels, numThreads);
  try {
    return {
      promptRunner: runner,
      tokenRunner: runner,
      draftRunner: null,
      lmHead: head === null ? null : await loadHead(head, kernels),
      ...page,
      maxBlocks: 1,
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
      `The LM head's weights take ${needed} MiB; one WebAssembly memory of 4 GiB has room for ${left} MiB.`,
    );
  const matrix = kernels.allocateMatrix("f32", head.rows, head.cols);
  await readHead(head, kernels.bytes(matrix.address, matrix.byteLength));
  return matrix;
}

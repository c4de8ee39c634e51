/** The only file that imports onnxruntime-node: how sessions are opened, whatever they run. */

import { readFileSync } from "node:fs";

import * as ort from "onnxruntime-node";

export const { Tensor } = ort;
export type Tensor = ort.Tensor;
export type Session = ort.InferenceSession;
export type Outputs = ort.InferenceSession.OnnxValueMapType;

export interface SessionOptions {
  readonly numThreads: number;
  /** Whether ONNX Runtime rewrites the graph: one that was written as it should run gains nothing by it. */
  readonly optimizes: boolean;
  /** Whether the kernels run after each of its runs: its threads then do not wait busily, taking processors from theirs. */
  readonly alternates?: boolean;
  /** Where a model from memory finds the files with its weights. */
  readonly weightsFolder?: string;
}

/** @param model a file, or the bytes of one */
export function openSession(
  model: string | Uint8Array,
  { numThreads, optimizes, alternates = false, weightsFolder }: SessionOptions,
): Promise<Session> {
  const isExact = multipliesBytesExactly();
  const options: ort.InferenceSession.SessionOptions = {
    executionProviders: ["cpu"],
    intraOpNumThreads: numThreads,
    interOpNumThreads: 1,
    // The other product replaces the exact one when the graph is rewritten.
    graphOptimizationLevel: optimizes ? "all" : isExact ? "disabled" : "extended",
    // Fatal errors: the others are thrown.
    logSeverityLevel: 4,
    extra: {
      session: {
        x64quantprecision: isExact ? "0" : "1",
        ...(alternates ? { force_spinning_stop: "1" } : {}),
        ...(weightsFolder === undefined ? {} : { model_external_initializers_file_folder_path: weightsFolder }),
      },
    },
  };
  return typeof model === "string"
    ? ort.InferenceSession.create(model, options)
    : ort.InferenceSession.create(model, options);
}

/**
 * Without VNNI instructions, x64 processors add pairs of products of unsigned and signed bytes with saturation. ONNX
 * Runtime can be told to take another product, right everywhere and half as fast where it is not needed; so it is
 * told unless the processor is known to be exact.
 */
function multipliesBytesExactly(): boolean {
  if (process.arch !== "x64") return true;
  try {
    return /\b(avx_vnni|avx512_vnni)\b/.test(readFileSync("/proc/cpuinfo", "latin1"));
  } catch {
    return false; // no such file: another operating system
  }
}

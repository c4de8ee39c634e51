/** Opens ONNX Runtime sessions. This is the only file that imports onnxruntime-node. */

import { readFileSync } from "node:fs";

import * as ort from "onnxruntime-node";

import { EngineError } from "../errors.js";

export const { Tensor } = ort;
export type Tensor = ort.Tensor;
export type Session = ort.InferenceSession;
export type Outputs = ort.InferenceSession.OnnxValueMapType;

export interface SessionOptions {
  readonly numThreads: number;
  /** True if ONNX Runtime optimizes the graph; a graph that is already in its final form gains nothing by it. */
  readonly optimizes: boolean;
  /**
   * True if the kernels run after each run of the session. Its threads then do not spin while they wait, because that
   * would take processors from the kernels' threads.
   */
  readonly alternates?: boolean;
  /** Folder of the external weight files, for a model that is passed as bytes. */
  readonly weightsFolder?: string;
}

/**
 * Opens a session.
 * @param model path of an ONNX file, or its bytes
 */
export function openSession(
  model: string | Uint8Array,
  { numThreads, optimizes, alternates = false, weightsFolder }: SessionOptions,
): Promise<Session> {
  const isExact = multipliesBytesExactly();
  const options: ort.InferenceSession.SessionOptions = {
    executionProviders: ["cpu"],
    intraOpNumThreads: numThreads,
    interOpNumThreads: 1,
    // x64quantprecision takes effect only while the graph is optimized, which needs at least the level extended.
    graphOptimizationLevel: optimizes ? "all" : isExact ? "disabled" : "extended",
    // Only fatal errors are logged: other errors are thrown.
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
 * Runs a graph. Some faults of a graph show only with certain numbers of positions, so also after a run that succeeded.
 * @param path of the graph, for errors
 * @throws EngineError `invalid_model` with the error of ONNX Runtime
 */
export async function runSession(
  session: Session,
  path: string,
  feeds: Record<string, Tensor>,
  fetches: Record<string, Tensor | null>,
): Promise<Outputs> {
  try {
    return await session.run(feeds, fetches);
  } catch (cause) {
    throw graphError(path, cause);
  }
}

/** Returns an error of ONNX Runtime as an error about the model: on one line, cut to a readable length. */
export function graphError(path: string, cause: unknown): EngineError {
  if (cause instanceof EngineError) return cause;
  const reason = (cause as Error).message.replaceAll(/\s+/g, " ").slice(0, MAX_REASON_CHARACTERS);
  return new EngineError("invalid_model", `${path} cannot be run: ${reason}`, null, { cause });
}

const MAX_REASON_CHARACTERS = 500;

/**
 * Returns true if the processor is known to multiply int8 matrices exactly. Without VNNI instructions, x64 processors
 * add pairs of products of unsigned and signed bytes with saturation. ONNX Runtime has another product, which is exact
 * on every processor but half as fast where it is not needed; it is used unless this function returns true.
 */
function multipliesBytesExactly(): boolean {
  if (process.arch !== "x64") return true;
  try {
    return /\b(avx_vnni|avx512_vnni)\b/.test(readFileSync("/proc/cpuinfo", "latin1"));
  } catch {
    return false; // The file does not exist: another operating system.
  }
}

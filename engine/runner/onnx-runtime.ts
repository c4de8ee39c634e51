/** Checks if ONNX Runtime, an optional package, can be loaded. */

import { EngineError } from "../errors.js";

/** Package and version that the profile `fast` was built with. */
export const ONNX_RUNTIME = "onnxruntime-node@1.30.0";

export interface OnnxRuntimeProblem {
  /** False if the package is missing, which may be intended; true if it is installed but does not load. */
  readonly isInstalled: boolean;
  readonly message: string;
}

/** Returns the reason why ONNX Runtime does not load, or null if it loads. */
export async function onnxRuntimeProblem(): Promise<OnnxRuntimeProblem | null> {
  try {
    await import("./onnx-session.js");
    return null;
  } catch (error) {
    return problemOf(error);
  }
}

/**
 * Loads a module that uses ONNX Runtime.
 * @throws EngineError missing_dependency with the command that installs it, or the reason why it does not load
 */
export async function withOnnxRuntime<Module>(load: () => Promise<Module>): Promise<Module> {
  try {
    return await load();
  } catch (cause) {
    const { isInstalled, message } = problemOf(cause);
    const hint = isInstalled ? "." : `, or install it: npm install ${ONNX_RUNTIME} --ignore-scripts`;
    const text = `${message}. Use the profile exact, which does not need it${hint}`;
    throw new EngineError("missing_dependency", text, "profile", { cause });
  }
}

function problemOf(error: unknown): OnnxRuntimeProblem {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === "ERR_MODULE_NOT_FOUND" || code === "MODULE_NOT_FOUND") {
    return { isInstalled: false, message: "ONNX Runtime, which the profile fast needs, is not installed" };
  }
  return { isInstalled: true, message: `ONNX Runtime does not load (${message.split("\n", 1)[0]})` };
}

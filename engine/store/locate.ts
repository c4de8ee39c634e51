/** From what the user named to a folder on this machine: one that is there, else the hub's model of that name. */

import { stat } from "node:fs/promises";

import { EngineError } from "../errors.js";
import { checkTextFiles, type OnnxDtype } from "../folder/index.js";
import { hubReference, locateModel, pullModel as pullFromHub, type HubModel, type HubOptions } from "./hub/index.js";

/**
 * @returns the folder; a name that can be neither is returned as it is
 * @throws EngineError where there is no name, or the hub does not have the model or cannot be asked
 */
export async function modelFolder(model: string, options: HubOptions): Promise<string> {
  if (model === "") throw new EngineError("model_not_found", "the model's name is empty", "model");
  const reference = hubReference(model);
  if (reference === null || (await stat(model).catch(() => null)) !== null) return model;
  try {
    return (await locateModel(reference, options)).dir;
  } catch (error) {
    if (!(error instanceof EngineError) || !AMBIGUOUS_CODES.has(error.code)) throw error;
    throw new EngineError(error.code, `there is no folder ${model} here, and ${error.message}`, error.param, {
      cause: error,
    });
  }
}

export interface PullOptions {
  /** Which ONNX variant to download; safetensors where the model has them unless given. */
  readonly dtype?: OnnxDtype | undefined;
  /** Ends the download, which continues from there the next time. */
  readonly signal?: AbortSignal | undefined;
  /** Called as a file comes in, with its bytes so far (those of earlier runs included) and in all. */
  readonly onDownload?: ((done: number, total: number, file: string) => void) | undefined;
  /** Called with a sentence for people about something that is no error. */
  readonly onNotice?: ((message: string) => void) | undefined;
}

/**
 * Downloads a model of the hub as the hub has it now; only what has changed, and no safetensors that cannot be run.
 *
 * @param model `org/name` or `org/name@revision`, where a revision is a branch, a tag or a commit
 * @throws EngineError where the hub does not have the model, cannot be asked, or has one that cannot be run
 */
export async function pullModel(model: string, { onDownload, ...options }: PullOptions = {}): Promise<HubModel> {
  const reference = hubReference(model);
  if (reference === null) {
    const message = `${model} is not the name of a model on the hub, such as org/name or org/name@revision`;
    throw new EngineError("model_not_found", message, "model");
  }
  return pullFromHub(reference, { onTextFiles: checkTextFiles, onProgress: onDownload, ...options });
}

/** Failures that a mistyped path would end in too. */
const AMBIGUOUS_CODES: ReadonlySet<string> = new Set(["model_not_found", "hub_unreachable"]);

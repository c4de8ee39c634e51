/** From what the user named to a folder on this machine: one that is there, else the hub's model of that name. */

import { stat } from "node:fs/promises";

import { EngineError } from "../errors.js";
import { checkTextFiles } from "../folder/index.js";
import {
  hubReference,
  locateModel,
  pullModel as pullFromHub,
  type HubModel,
  type HubOptions,
  type HubReference,
} from "./hub/index.js";

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

/**
 * The hub's model as the hub has it now; only what changed is downloaded, and no safetensors that cannot be run.
 *
 * @throws EngineError where the hub does not have the model, cannot be asked, or has one that cannot be run
 */
export async function pullModel(reference: HubReference, options: HubOptions = {}): Promise<HubModel> {
  return pullFromHub(reference, { onTextFiles: checkTextFiles, ...options });
}

/** Failures that a mistyped path would end in too. */
const AMBIGUOUS_CODES: ReadonlySet<string> = new Set(["model_not_found", "hub_unreachable"]);

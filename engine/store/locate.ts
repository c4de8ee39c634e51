/** Resolves the model that the user named to a folder on this machine: an existing one, else the hub's model. */

import { readdir } from "node:fs/promises";
import { join } from "node:path";

import { EngineError, quoted, refuseUnknownOptions, wrongType } from "../errors.js";
import { checkTextFiles, isGguf, type OnnxDtype } from "../folder/index.js";
import { entryAt } from "../formats/index.js";
import {
  hubReference,
  locateModel,
  pullModel as pullFromHub,
  storedModels,
  type HubModel,
  type HubOptions,
} from "./hub/index.js";

/**
 * @returns the folder, or another thing at that path
 * @throws EngineError if nothing has that name, or if the hub does not have the model or cannot be reached
 */
export async function modelFolder(model: string, options: HubOptions): Promise<string> {
  if (model === "") throw new EngineError("model_not_found", "the model's name is empty", "model");
  const reference = hubReference(model);
  if ((await entryAt(model)) !== null) return (await onlyGguf(model)) ?? model;
  if (reference === null) {
    if (!/[/\\]/.test(model)) throw await nothingNamed(model);
    throw new EngineError("model_not_found", `there is no model folder at ${model}`, "model");
  }
  try {
    return (await locateModel(reference, options)).dir;
  } catch (error) {
    if (!(error instanceof EngineError) || !AMBIGUOUS_CODES.has(error.code)) throw error;
    throw new EngineError(error.code, `there is no folder ${model} here, and ${error.message}`, error.param, {
      cause: error,
    });
  }
}

/** Returns the GGUF file of a folder that has one, or the shards of one, and no other model. */
async function onlyGguf(dir: string): Promise<string | null> {
  const names = await readdir(dir).catch((): string[] => []);
  const isOther = names.some((name) => name === "config.json" || name.endsWith(".safetensors"));
  const first = names.filter((name) => isGguf(name) && !/-(?!00001)\d{5}-of-\d{5}\.gguf$/.test(name));
  if (isOther || first.length === 0) return null;
  if (first.length === 1) return join(dir, first[0]!);
  const shown = first.sort().slice(0, MAX_SHOWN_NAMES).join(", ");
  throw new EngineError(
    "model_not_found",
    `${dir} has ${first.length} GGUF models: name one of them (${shown})`,
    "model",
  );
}

/** Builds the error for a name that is neither a path nor a name on the hub, such as `llama3.2`. */
async function nothingNamed(model: string): Promise<EngineError> {
  const stored = await storedModels().catch(() => []);
  const names = [...new Set(stored.filter(({ isFinished }) => isFinished).map(({ repository }) => repository))];
  const more = names.length > MAX_SHOWN_NAMES ? `, … (${names.length} in all)` : "";
  const here =
    names.length === 0 ? "none is downloaded yet" : `downloaded: ${names.slice(0, MAX_SHOWN_NAMES).join(", ")}${more}`;
  return new EngineError(
    "model_not_found",
    `there is no folder ${quoted(model)}; on the hub, models are named org/name (${here})`,
    "model",
  );
}

const MAX_SHOWN_NAMES = 5;

export interface PullOptions {
  /** ONNX variant to download; by default safetensors, or the first ONNX variant if the model has none. */
  readonly dtype?: OnnxDtype | undefined;
  /** Aborts the download, which continues from there the next time. */
  readonly signal?: AbortSignal | undefined;
  /** Called while a file arrives, with its bytes so far (including those of earlier runs) and in total. */
  readonly onDownload?: ((done: number, total: number, file: string) => void) | undefined;
  /** Called with a sentence for people about something that is not an error. */
  readonly onNotice?: ((message: string) => void) | undefined;
}

const PULL_OPTIONS: Readonly<Record<keyof PullOptions, true>> = {
  dtype: true,
  signal: true,
  onDownload: true,
  onNotice: true,
};

/**
 * Downloads the hub's current version of a model. Only changed files are downloaded, and no safetensors of a model
 * that cannot be run.
 *
 * @param model `org/name` or `org/name@revision`, where a revision is a branch, a tag or a commit
 * @throws EngineError if the hub does not have the model, cannot be reached, or has a model that cannot be run
 */
export async function pullModel(model: string, given: PullOptions = {}): Promise<HubModel> {
  if (typeof model !== "string") throw wrongType("model", "a string", model);
  refuseUnknownOptions(given, Object.keys(PULL_OPTIONS), "a download");
  const { onDownload, ...options } = given;
  const reference = hubReference(model);
  if (reference === null) {
    const message = `${model} is not the name of a model on the hub, such as org/name or org/name@revision`;
    throw new EngineError("model_not_found", message, "model");
  }
  return pullFromHub(reference, { onTextFiles: checkTextFiles, onProgress: onDownload, ...options });
}

/** Failures that a mistyped path would also cause. */
const AMBIGUOUS_CODES: ReadonlySet<string> = new Set(["model_not_found", "hub_unreachable"]);

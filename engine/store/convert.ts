/**
 * Converts a model, given by its folder or its name on the hub, into a new folder: a pack, or the layout of
 * transformers.js.
 */

import { readdir, stat } from "node:fs/promises";
import { join, resolve } from "node:path";

import type { MatrixFormat } from "../../kernels/index.js";
import { writeOnnxLayout, writePack } from "../convert/index.js";
import { EngineError, fileSystemCode, refuseUnknownOptions, writeFailure, wrongType } from "../errors.js";
import {
  checkConfig,
  checkTextFiles,
  MANIFEST_FILE,
  ONNX_FOLDER,
  onnxDtypesOf,
  openSourceModel,
  TEXT_FILES,
} from "../folder/index.js";
import { fileExists, INDEX_FILE, isMissing, SINGLE_FILE } from "../formats/index.js";
import type { HubOptions } from "./hub/index.js";
import { modelFolder } from "./locate.js";
import { removeFolder, writeFolder } from "./staging.js";

export interface ConvertOptions extends Omit<HubOptions, "onProgress" | "onTextFiles"> {
  /** Format of the new weights. Default: q8. */
  readonly quant?: MatrixFormat | undefined;
  /** Layout of the new folder: a pack by default; `onnx` is the layout that transformers.js runs. */
  readonly layout?: "pack" | "onnx" | undefined;
  /** Called after each chunk with the number of weights done and the number of all weights. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  /** Aborts a download, which continues from there the next time, or the conversion, which then leaves nothing. */
  readonly signal?: AbortSignal | undefined;
  /** Called while a file of the model is being downloaded, with its bytes so far and in total. */
  readonly onDownload?: HubOptions["onProgress"];
  /** Set to replace an existing folder of the same kind. */
  readonly replace?: boolean;
  /**
   * Size in bytes from which the body keeps its weights in a separate file.
   * @internal
   */
  readonly externalFromBytes?: number;
}

const OPTIONS: Readonly<Record<keyof ConvertOptions, true>> = {
  quant: true,
  layout: true,
  dtype: true,
  offline: true,
  replace: true,
  signal: true,
  onProgress: true,
  onDownload: true,
  onNotice: true,
  environment: true,
  pace: true,
  externalFromBytes: true,
};

/**
 * Converts the model in the folder `model`, or the hub's model of that name, into a new folder `outDir`. On failure or
 * interruption nothing new is left there.
 *
 * @throws EngineError naming the file and the tensor that cannot be converted, or the folder that cannot be written
 */
export async function convert(model: string, outDir: string, options: ConvertOptions = {}): Promise<void> {
  for (const [name, value] of Object.entries({ model, outDir }))
    if (typeof value !== "string") throw wrongType(name, "a string", value);
  refuseUnknownOptions(options, Object.keys(OPTIONS), "a conversion");
  const target = resolve(outDir);
  const { layout = "pack" } = options;
  await checkTarget(target, layout, options.replace ?? false).catch((cause: unknown) => {
    throw targetError(target, cause);
  });
  const onTextFiles = layout === "onnx" ? checkConfig : checkTextFiles;
  const folder = await modelFolder(model, { ...options, onProgress: options.onDownload, onTextFiles });
  await refusePack(folder);
  const source = await openSourceModel(folder);
  try {
    await writeFolder(target, async (dir) => {
      const { quant: format = "q8", ...settings } = options;
      const write = layout === "onnx" ? writeOnnxLayout : writePack;
      await write(source, dir, { ...settings, format });
      if (options.replace === true) await removeFolder(target);
    });
  } catch (cause) {
    throw targetError(target, cause);
  } finally {
    await source.reader.close();
  }
}

/** Turns an error of the file system at the target into one about the target; returns other errors. */
function targetError(target: string, cause: unknown): unknown {
  const code = fileSystemCode(cause);
  if (code === null) return cause;
  return new EngineError("output_unavailable", `cannot write ${target} (${writeFailure(code)})`, null, { cause });
}

/** Refuses a pack as the source: it no longer has the weights that another format would need. */
async function refusePack(dir: string): Promise<void> {
  const has = (name: string): Promise<boolean> => fileExists(join(dir, name));
  if (!(await has(MANIFEST_FILE)) || (await has(SINGLE_FILE)) || (await has(INDEX_FILE))) return;
  throw new EngineError(
    "unsupported_model",
    `${dir} is already a pack; convert the model folder that it was made from instead`,
    "model",
  );
}

/** Refuses an existing target, unless it is empty or a folder of the same kind that may be replaced. */
async function checkTarget(target: string, layout: "pack" | "onnx", replace: boolean): Promise<void> {
  const entry = await stat(target).catch((cause: unknown) => {
    if (isMissing(cause)) return null;
    throw cause;
  });
  if (entry === null) return;
  if (entry.isDirectory() && (await readdir(target)).length === 0) return;
  const isOfKind = layout === "pack" ? await fileExists(join(target, MANIFEST_FILE)) : await holdsOnnxAlone(target);
  if (!isOfKind) {
    const kind = layout === "pack" ? "not a pack" : "not a folder with only ONNX files";
    throw new EngineError("output_unavailable", `${target} exists and is ${kind}; a conversion needs a new folder`);
  }
  if (!replace) throw new EngineError("output_unavailable", `${target} exists already`);
}

async function holdsOnnxAlone(dir: string): Promise<boolean> {
  const own = new Set<string>([...TEXT_FILES, ONNX_FOLDER]);
  return (await onnxDtypesOf(dir)).length > 0 && (await readdir(dir)).every((name) => own.has(name));
}

/** A model, by its folder or its name on the hub, converted into a new folder: a pack, or the layout of transformers.js. */

import { readdir, stat } from "node:fs/promises";
import { join, resolve } from "node:path";

import type { MatrixFormat } from "../../kernels/index.js";
import { writeOnnxLayout, writePack } from "../convert/index.js";
import { EngineError, fileSystemCode } from "../errors.js";
import {
  checkConfig,
  checkTextFiles,
  MANIFEST_FILE,
  ONNX_FOLDER,
  onnxDtypesOf,
  openSourceModel,
  TEXT_FILES,
} from "../folder/index.js";
import { fileExists, INDEX_FILE, SINGLE_FILE } from "../formats/index.js";
import type { HubOptions } from "./hub/index.js";
import { modelFolder } from "./locate.js";
import { removeFolder, writeFolder } from "./staging.js";

export interface ConvertOptions extends Omit<HubOptions, "onProgress" | "onTextFiles"> {
  readonly format: MatrixFormat;
  /** A pack unless given; `onnx` is what transformers.js runs. */
  readonly layout?: "pack" | "onnx" | undefined;
  /** Called after each chunk with the number of weights done and of all weights. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  /** Ends a download, which goes on from there the next time, or the conversion, of which nothing is left then. */
  readonly signal?: AbortSignal | undefined;
  /** Called while a file of the model is being downloaded, with its bytes so far and in all. */
  readonly onDownload?: HubOptions["onProgress"];
  /** Puts what is new in the place of a folder of its kind that is there already. */
  readonly replace?: boolean;
  /**
   * Bytes of the body from which its weights go into a file of their own.
   * @internal
   */
  readonly externalFromBytes?: number;
}

/**
 * Converts the model in the folder `model`, or of that name on the hub, into a new folder `outDir`. On failure or interruption
 * nothing new is left there.
 *
 * @throws EngineError naming the file and the tensor that cannot be converted, or the folder that cannot be written
 */
export async function convert(model: string, outDir: string, options: ConvertOptions): Promise<void> {
  const target = resolve(outDir);
  const { layout = "pack" } = options;
  await checkTarget(target, layout, options.replace ?? false);
  const onTextFiles = layout === "onnx" ? checkConfig : checkTextFiles;
  const folder = await modelFolder(model, { ...options, onProgress: options.onDownload, onTextFiles });
  await refusePack(folder);
  const source = await openSourceModel(folder);
  try {
    await writeFolder(target, async (dir) => {
      if (layout === "onnx") await writeOnnxLayout(source, dir, options);
      else await writePack(source, dir, options);
      if (options.replace === true) await removeFolder(target);
    });
  } catch (cause) {
    const code = fileSystemCode(cause);
    if (code === null) throw cause;
    throw new EngineError("output_unavailable", `cannot write ${target} (${code})`, null, { cause });
  } finally {
    await source.reader.close();
  }
}

/** A pack has lost what another format would need. */
async function refusePack(dir: string): Promise<void> {
  const has = (name: string): Promise<boolean> => fileExists(join(dir, name));
  if (!(await has(MANIFEST_FILE)) || (await has(SINGLE_FILE)) || (await has(INDEX_FILE))) return;
  throw new EngineError(
    "unsupported_model",
    `${dir} is a pack already; another one is made from the folder that it was converted from`,
    "model",
  );
}

/** A folder of the same kind may be replaced on request; anything else that is there stays. */
async function checkTarget(target: string, layout: "pack" | "onnx", replace: boolean): Promise<void> {
  const entry = await stat(target).catch(() => null);
  if (entry === null) return;
  if (entry.isDirectory() && (await readdir(target)).length === 0) return;
  const isOfKind = layout === "pack" ? await fileExists(join(target, MANIFEST_FILE)) : await holdsOnnxAlone(target);
  if (!isOfKind) {
    const kind = layout === "pack" ? "no pack" : "no folder of ONNX files alone";
    throw new EngineError("output_unavailable", `${target} exists and is ${kind}; a conversion writes a new folder`);
  }
  if (!replace) throw new EngineError("output_unavailable", `${target} exists already`);
}

async function holdsOnnxAlone(dir: string): Promise<boolean> {
  const own = new Set<string>([...TEXT_FILES, ONNX_FOLDER]);
  return (await onnxDtypesOf(dir)).length > 0 && (await readdir(dir)).every((name) => own.has(name));
}

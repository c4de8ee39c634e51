/**
 * Resolves the model that the user named to one that an engine can run. A pack or a folder of ONNX files is used as it
 * is, a model folder is converted on its first use and then read from the cache, the name of a model on the hub is
 * downloaded first, and no name selects the embedded model. A cached pack is named after the contents of the model's
 * files, so a changed model is converted again and a moved one is not.
 */

import { utimes } from "node:fs/promises";
import { dirname, join } from "node:path";

import type { MatrixFormat } from "../../kernels/index.js";
import { readModelConfig, type ModelConfig } from "../architecture/index.js";
import { writePack, type WriteOptions } from "../convert/index.js";
import { EngineError, fileSystemCode } from "../errors.js";
import {
  checkTextFiles,
  identifySource,
  isGguf,
  MANIFEST_FILE,
  onnxDtypesOf,
  openOnnxFolder,
  openPack,
  openSourceModel,
  readGgufTexts,
  refuseOtherLayout,
  verifyPack,
  type ModelPack,
  type OnnxDtype,
  type RunnableModel,
  type SourceIdentity,
} from "../folder/index.js";
import type { JsonObject } from "../json.js";
import { entryAt, fileExists, INDEX_FILE, readModelJson, SINGLE_FILE } from "../formats/index.js";
import { cacheError, cacheFolder, embeddedPack, packName, PACKS } from "./cache.js";
import type { HubOptions } from "./hub/index.js";
import { modelFolder } from "./locate.js";
import { removeFolder, removeStale, writeFolder } from "./staging.js";

export interface PrepareOptions extends Omit<HubOptions, "onProgress" | "onTextFiles"> {
  /** A model folder, a pack, a folder of ONNX files, or the name of a model on the hub; null for the embedded model. */
  readonly model: string | null;
  /** Format to which a model folder is converted; by default q8. A pack of another format is refused. */
  readonly format?: MatrixFormat | undefined;
  /**
   * Called with a model's configuration before anything large is downloaded, read or written. May throw. `canConvert` is
   * false for a pack, whose format is settled.
   */
  readonly onConfig?: ((config: ModelConfig, format: MatrixFormat, canConvert: boolean) => void) | undefined;
  /** Aborts a download, which continues from there the next time, or a conversion, which then leaves nothing. */
  readonly signal?: AbortSignal | undefined;
  /** Called while a model is being converted, with the number of weights done and the number of all weights. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  /** Called while a file of the model is being downloaded, with its bytes so far and in total. */
  readonly onDownload?: HubOptions["onProgress"];
}

/** @throws EngineError naming what is missing, damaged, not supported or not writable */
export async function prepareModel(options: PrepareOptions): Promise<RunnableModel> {
  const { model, format, dtype, signal } = options;
  const target = format ?? "q8";
  if (model === null) {
    refuseDtype("the embedded model", dtype);
    const embedded = await embeddedPack();
    if (embedded === null)
      throw new EngineError("model_not_found", "this installation has no embedded model: name a model folder");
    return verified(ofFormat(await openPack(embedded), format, "the embedded model"), signal);
  }
  const dir = await modelFolder(model, {
    ...options,
    onProgress: options.onDownload,
    onTextFiles: async (folder) => {
      const config = await checkTextFiles(folder);
      options.onConfig?.(config, target, true);
    },
  });
  switch (await kindOfFolder(dir, dtype)) {
    case "onnx":
      if (format === undefined) return openOnnxFolder(dir, dtype, cacheFolder(), signal);
      throw new EngineError(
        "unsupported_value",
        `${dir} holds ONNX files, which run as they are: quant converts safetensors, dtype chooses the file`,
        "quant",
      );
    case "pack": {
      refuseDtype(dir, dtype);
      const pack = ofFormat(await openPack(dir), format);
      options.onConfig?.(pack.config, pack.manifest.format, false);
      return verified(pack, signal);
    }
    case "model":
      refuseDtype(dir, dtype);
      options.onConfig?.(readModelConfig(await configIn(dir), []), target, true);
      return cachedPack(dir, { format: target, signal, onProgress: options.onProgress });
  }
}

async function configIn(dir: string): Promise<JsonObject> {
  return isGguf(dir) ? (await readGgufTexts(dir)).config : ((await readModelJson(dir, "config.json")) ?? {});
}

async function cachedPack(modelDir: string, options: WriteOptions): Promise<ModelPack> {
  const cache = cacheFolder();
  // The headers limit what is read: a file of a terabyte that no tensor needs would be hashed for an hour.
  const check = async (): Promise<void> => (await openSourceModel(modelDir)).reader.close();
  const identity = await identifySource(cache, modelDir, { check, signal: options.signal });
  const target = join(cache, PACKS, packName(identity.hash, options.format));
  let pack = await openCached(target, options.signal);
  if (pack === null) {
    await convertInto(target, modelDir, identity, options);
    pack = await verified(await openPack(target), options.signal);
  } else {
    // A conversion removes the folders of killed ones; a process that converts nothing does so too.
    await removeStale(dirname(target)).catch(() => undefined);
  }
  await identity.remember();
  // The folder's time stamp records when the pack was last used; a cache that is not writable records nothing.
  await utimes(target, new Date(), new Date()).catch(() => undefined);
  return pack;
}

/**
 * Opens the pack at `target`. Returns null if it does not exist or is damaged; a damaged pack is removed. One that cannot
 * be read may be whole, so it is kept, and the error is thrown.
 */
async function openCached(target: string, signal: AbortSignal | undefined): Promise<ModelPack | null> {
  if ((await entryAt(target)) === null) return null;
  try {
    return await verified(await openPack(target), signal);
  } catch (error) {
    const isDamage = error instanceof EngineError && !(error.cause instanceof Error && fileSystemCode(error.cause));
    if (!isDamage) throw error;
    await removeFolder(target).catch((cause: unknown) => {
      throw cacheError(cause);
    });
    return null;
  }
}

/** Returns the pack after the contents of all its files have been checked. */
async function verified(pack: ModelPack, signal: AbortSignal | undefined): Promise<ModelPack> {
  await verifyPack(pack, cacheFolder(), signal);
  return pack;
}

async function convertInto(
  target: string,
  modelDir: string,
  identity: SourceIdentity,
  options: WriteOptions,
): Promise<void> {
  const source = await openSourceModel(modelDir);
  try {
    await writeFolder(target, async (dir) => {
      await writePack(source, dir, options);
      if (!(await identity.isUnchanged())) {
        throw new EngineError("invalid_model", `${modelDir} changed while it was being converted`);
      }
    });
  } catch (error) {
    throw cacheError(error);
  } finally {
    await source.reader.close();
  }
}

/** Returns the kind of a folder. If it has both kinds of weights, safetensors are used unless a dtype is given. */
async function kindOfFolder(dir: string, dtype: OnnxDtype | undefined): Promise<"pack" | "model" | "onnx"> {
  const entry = await entryAt(dir);
  if (entry === null) throw new EngineError("model_not_found", `there is no model folder at ${dir}`);
  if (entry.isFile() && isGguf(dir)) return "model";
  if (!entry.isDirectory()) {
    throw new EngineError(
      "model_not_found",
      `${dir} is a file; a model is a folder with config.json, tokenizer.json and ${SINGLE_FILE}`,
    );
  }
  const has = (name: string): Promise<boolean> => fileExists(join(dir, name));
  const hasSafetensors = (await has(SINGLE_FILE)) || (await has(INDEX_FILE));
  if ((dtype !== undefined || !hasSafetensors) && (await onnxDtypesOf(dir)).length > 0) return "onnx";
  if (!hasSafetensors && (await has(MANIFEST_FILE))) return "pack";
  await refuseOtherLayout(dir);
  if (await has("config.json")) return "model";
  throw new EngineError(
    "model_not_found",
    `${dir} is not a model: it has neither config.json (a model folder) nor ${MANIFEST_FILE} (a pack)`,
  );
}

function refuseDtype(name: string, dtype: OnnxDtype | undefined): void {
  if (dtype === undefined) return;
  throw new EngineError("unsupported_value", `dtype chooses among a model's ONNX files; ${name} has none`, "dtype");
}

function ofFormat(pack: ModelPack, format: MatrixFormat | undefined, name = pack.dir): ModelPack {
  if (format === undefined || format === pack.manifest.format) return pack;
  throw new EngineError(
    "unsupported_value",
    `${name} is a pack of ${pack.manifest.format} weights, not ${format}; quant applies only to model folders, which are converted`,
    "quant",
  );
}

/**
 * From what the user named to what an engine runs: a pack and a folder of ONNX files as they are, a model folder
 * through the cache (converted on its first use), the embedded model for nothing. A cached pack is named after the contents of the model's files, so
 * a changed model is converted anew and a moved one is not.
 */

import { stat } from "node:fs/promises";
import { homedir, platform } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

import type { MatrixFormat } from "../../kernels/index.js";
import { EngineError } from "../errors.js";
import { writePack, type ConvertOptions } from "./convert.js";
import { fileExists } from "./model-files.js";
import { ONNX_FOLDER, onnxDtypesOf, onnxFileName, openOnnxFolder, type OnnxDtype, type OnnxFolder } from "./onnx-folder.js";
import { FORMAT_VERSION, MANIFEST_FILE, openPack, type ModelPack } from "./pack.js";
import { INDEX_FILE, SINGLE_FILE } from "./safetensors.js";
import { identifySource, rememberedSources, type SourceIdentity } from "./source-identity.js";
import { openSourceModel } from "./source-model.js";
import { fileSystemCode, removeFolder, writeFolder } from "./staging.js";

export interface PrepareOptions {
  /** A model folder, a pack or a folder of ONNX files; null for the embedded model. */
  readonly model: string | null;
  /** How a model folder is converted; by default q8. A pack of another format is refused. */
  readonly format?: MatrixFormat | undefined;
  /** Which of a folder's ONNX files is run; by default the first of ONNX_DTYPES. Other folders are refused. */
  readonly dtype?: OnnxDtype | undefined;
  /** Called while a model is being converted, with the number of weights done and of all weights. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

export type RunnableModel = ModelPack | OnnxFolder;

/** @throws EngineError naming what is missing, damaged, not supported or not writable */
export async function prepareModel(options: PrepareOptions): Promise<RunnableModel> {
  const { model: dir, format, dtype } = options;
  if (dir === null || !(await isOnnxFolder(dir, dtype))) {
    if (dtype === undefined) return preparePack(options);
    if (dir !== null) await kindOfFolder(dir);
    throw new EngineError("unsupported_value", `dtype chooses among the files of an onnx folder; ${dir ?? "the embedded model"} has none`, "dtype");
  }
  if (format !== undefined) {
    throw new EngineError("unsupported_value", `${dir} holds ONNX files, which run as they are: quant converts safetensors, dtype chooses the file`, "quant");
  }
  return openOnnxFolder(dir, dtype, cacheFolder());
}

/** @throws EngineError naming what is missing, damaged, not supported or not writable */
export async function preparePack(options: Omit<PrepareOptions, "dtype">): Promise<ModelPack> {
  if (options.model === null) {
    const embedded = await embeddedPack();
    if (embedded === null) throw new EngineError("model_not_found", "this installation has no embedded model: name a model folder");
    return ofFormat(await openPack(embedded), options.format);
  }
  const dir = options.model;
  switch (await kindOfFolder(dir)) {
    case "pack":
      return ofFormat(await openPack(dir), options.format);
    case "model":
      return cachedPack(dir, options.format ?? "q8", options.onProgress);
  }
}

/** The folder for everything this program keeps: `TOUCHSTONE_CACHE`, else the platform's place for caches. */
export function cacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  const chosen = environment["TOUCHSTONE_CACHE"];
  if (chosen !== undefined && chosen !== "") return chosen;
  switch (platform()) {
    case "win32":
      return join(environment["LOCALAPPDATA"] || join(homedir(), "AppData", "Local"), "touchstone", "cache");
    case "darwin":
      return join(homedir(), "Library", "Caches", "touchstone");
    default:
      return join(environment["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "touchstone");
  }
}

/** A model that is ready to run. */
export interface ModelSummary {
  readonly name: string;
  readonly architecture: string;
  readonly format: MatrixFormat | OnnxDtype;
  /** Of all its files. */
  readonly byteLength: number;
  /** The model folder it was converted from, or is; null for the embedded model. */
  readonly source: string | null;
}

/** The embedded model, then the packs of the cache and the ONNX folders that were run, by name. What cannot be opened is left out. */
export async function listModels(): Promise<ModelSummary[]> {
  const embedded = await embeddedPack();
  const summaries = embedded === null ? [] : [summary(await openPack(embedded), "tiny", null)];
  const cache = cacheFolder();
  const cached: ModelSummary[] = [];
  for (const { path, hash, names } of await rememberedSources(cache)) {
    for (const dtype of await onnxDtypesOf(path)) {
      if (!names.includes(`${ONNX_FOLDER}/${onnxFileName(dtype)}`)) continue;
      const folder = await openOnnxFolder(path, dtype, cache).catch(() => null);
      if (folder !== null) cached.push({ name: basename(path), architecture: folder.architecture, format: dtype, byteLength: folder.byteLength, source: path });
    }
    for (const format of ["q8", "q4", "f32"] as const) {
      const pack = await openPack(join(cache, PACKS, packName(hash, format))).catch(() => null);
      if (pack !== null) cached.push(summary(pack, basename(path), path));
    }
  }
  return [...summaries, ...cached.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))];
}

function summary({ config, manifest }: ModelPack, name: string, source: string | null): ModelSummary {
  const byteLength = Object.values(manifest.files).reduce((sum, file) => sum + file.byteLength, 0);
  return { name, architecture: config.architecture, format: manifest.format, byteLength, source };
}

const PACKS = "packs";
/** Hexadecimal digits of a sha256 that file names in the cache keep. */
const HASH_DIGITS = 32;

function packName(hash: string, format: MatrixFormat): string {
  return `${hash.slice(0, HASH_DIGITS)}-${format}-v${FORMAT_VERSION}`;
}

async function cachedPack(
  modelDir: string,
  format: MatrixFormat,
  onProgress: PrepareOptions["onProgress"],
): Promise<ModelPack> {
  const cache = cacheFolder();
  const identity = await identifySource(cache, modelDir);
  const target = join(cache, PACKS, packName(identity.hash, format));
  let pack = await openCached(target);
  if (pack === null) {
    await convertInto(target, modelDir, identity, { format, onProgress });
    pack = await openPack(target);
  }
  await identity.remember();
  return pack;
}

/** The pack at `target`, or null where there is none or a damaged one, which is then removed. */
async function openCached(target: string): Promise<ModelPack | null> {
  if ((await stat(target).catch(() => null)) === null) return null;
  try {
    return await openPack(target);
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    await removeFolder(target).catch((cause: unknown) => {
      throw cacheError(cause);
    });
    return null;
  }
}

async function convertInto(
  target: string,
  modelDir: string,
  identity: SourceIdentity,
  options: ConvertOptions,
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

/** What the file system refuses while the cache is written is about the cache, not about the model. */
function cacheError(cause: unknown): unknown {
  const code = fileSystemCode(cause);
  if (code === null) return cause;
  return new EngineError(
    "cache_unavailable",
    `cannot write to the cache folder ${cacheFolder()} (${code}); set TOUCHSTONE_CACHE to a folder with room that can be written`,
    null,
    { cause },
  );
}

/** A folder with both kinds of weights is one of safetensors, unless a dtype asks for the other. */
async function isOnnxFolder(dir: string, dtype: OnnxDtype | undefined): Promise<boolean> {
  if ((await onnxDtypesOf(dir)).length === 0) return false;
  return dtype !== undefined || !(await hasSafetensors(dir));
}

async function hasSafetensors(dir: string): Promise<boolean> {
  return (await fileExists(join(dir, SINGLE_FILE))) || fileExists(join(dir, INDEX_FILE));
}

async function kindOfFolder(dir: string): Promise<"pack" | "model"> {
  const entry = await stat(dir).catch(() => null);
  if (entry === null) throw new EngineError("model_not_found", `there is no model folder at ${dir}`);
  if (!entry.isDirectory()) {
    throw new EngineError("model_not_found", `${dir} is a file; a model is a folder with config.json, tokenizer.json and ${SINGLE_FILE}`);
  }
  const has = (name: string): Promise<boolean> => fileExists(join(dir, name));
  if (!(await hasSafetensors(dir)) && (await has(MANIFEST_FILE))) return "pack";
  if (await has("config.json")) return "model";
  throw new EngineError("model_not_found", `${dir} is no model: it has neither config.json (a model folder) nor ${MANIFEST_FILE} (a pack)`);
}

function ofFormat(pack: ModelPack, format: MatrixFormat | undefined): ModelPack {
  if (format === undefined || format === pack.manifest.format) return pack;
  throw new EngineError("unsupported_value", `${pack.dir} is a pack of ${pack.manifest.format} weights, not ${format}: convert the model again`, "format");
}

/** The pack that comes with the package, beside the compiled program or in a source tree that has been built; null where it is missing. */
async function embeddedPack(): Promise<string | null> {
  for (const place of ["../../models/tiny/pack", "../../dist/models/tiny/pack"]) {
    const dir = fileURLToPath(new URL(place, import.meta.url));
    if (await fileExists(join(dir, MANIFEST_FILE))) return dir;
  }
  return null;
}

/**
 * From what the user named to an open pack: a pack as it is, a model folder through the cache (converted on its
 * first use), nothing for the embedded model. A cached pack is named after the contents of the model's files, so
 * a changed model is converted anew and a moved one is not.
 */

import { stat } from "node:fs/promises";
import { homedir, platform } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

import type { MatrixFormat } from "../../kernels/index.js";
import { EngineError } from "../errors.js";
import { type Architecture, type ModelConfig, readModelConfig } from "./config.js";
import { writePack, type ConvertOptions } from "./convert.js";
import { fileExists, readModelJson } from "./model-files.js";
import { FORMAT_VERSION, MANIFEST_FILE, openPack, type ModelPack } from "./pack.js";
import { INDEX_FILE, SINGLE_FILE } from "./safetensors.js";
import { identifySource, rememberedSources, type SourceIdentity } from "./source-identity.js";
import { openSourceModel } from "./source-model.js";
import { fileSystemCode, removeFolder, writeFolder } from "./staging.js";

export interface PrepareOptions {
  /** A model folder or a pack; null for the embedded model. */
  readonly model: string | null;
  /** How a model folder is converted; by default q8. A pack of another format is refused. */
  readonly format?: MatrixFormat | undefined;
  /** Called with a model folder's configuration before anything large is read or written. May throw. */
  readonly onConfig?: ((config: ModelConfig, format: MatrixFormat) => void) | undefined;
  /** Called while a model is being converted, with the number of weights done and of all weights. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** @throws EngineError naming what is missing, damaged, not supported or not writable */
export async function preparePack(options: PrepareOptions): Promise<ModelPack> {
  if (options.model === null) {
    const embedded = await embeddedPack();
    if (embedded === null) throw new EngineError("model_not_found", "this installation has no embedded model: name a model folder");
    return ofFormat(await openPack(embedded), options.format);
  }
  const dir = options.model;
  switch (await kindOfFolder(dir)) {
    case "pack":
      return ofFormat(await openPack(dir), options.format);
    case "model": {
      const format = options.format ?? "q8";
      options.onConfig?.(readModelConfig((await readModelJson(dir, "config.json")) ?? {}, []), format);
      return cachedPack(dir, format, options.onProgress);
    }
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

/** A pack that is ready to run. */
export interface PackSummary {
  readonly name: string;
  readonly architecture: Architecture;
  readonly format: MatrixFormat;
  /** Of all its files. */
  readonly byteLength: number;
  /** The model folder it was converted from; null for the embedded model. */
  readonly source: string | null;
}

/** The embedded model, then the packs of the cache by name. Packs that cannot be opened are left out. */
export async function listPacks(): Promise<PackSummary[]> {
  const embedded = await embeddedPack();
  const summaries = embedded === null ? [] : [summary(await openPack(embedded), "tiny", null)];
  const cache = cacheFolder();
  const cached: PackSummary[] = [];
  for (const { path, hash } of await rememberedSources(cache)) {
    for (const format of ["q8", "q4", "f32"] as const) {
      const pack = await openPack(join(cache, PACKS, packName(hash, format))).catch(() => null);
      if (pack !== null) cached.push(summary(pack, basename(path), path));
    }
  }
  return [...summaries, ...cached.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))];
}

function summary({ config, manifest }: ModelPack, name: string, source: string | null): PackSummary {
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

async function kindOfFolder(dir: string): Promise<"pack" | "model"> {
  const entry = await stat(dir).catch(() => null);
  if (entry === null) throw new EngineError("model_not_found", `there is no model folder at ${dir}`);
  if (!entry.isDirectory()) {
    throw new EngineError("model_not_found", `${dir} is a file; a model is a folder with config.json, tokenizer.json and ${SINGLE_FILE}`);
  }
  const has = (name: string): Promise<boolean> => fileExists(join(dir, name));
  const hasWeights = (await has(SINGLE_FILE)) || (await has(INDEX_FILE));
  if (!hasWeights && (await has(MANIFEST_FILE))) return "pack";
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

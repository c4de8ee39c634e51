/** What this machine keeps of models: the embedded one, those downloaded from the hub, and the packs that were made of models. */

import { readdir, realpath, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";

import type { MatrixFormat } from "../../kernels/index.js";
import { EngineError, fileSystemCode } from "../errors.js";
import { hubReference, ONNX_DTYPES, onnxFile, removeStored, snapshotName, storedModels, type OnnxDtype } from "../hub/index.js";
import { readModelJson } from "./model-files.js";
import { openOnnxFolder } from "./onnx-folder.js";
import { openPack, type ModelPack } from "./pack.js";
import { cacheError, cacheFolder, embeddedPack, PACKS, packPrefix } from "./prepare.js";
import { forgetSource, rememberedSources } from "./source-identity.js";
import { removeFolder } from "./staging.js";

export interface ModelSummary {
  /** `org/name` for a model of the hub, else the name of its folder. */
  readonly name: string;
  /** Of the hub's models: a branch, a tag or a commit. */
  readonly revision: string | null;
  readonly architecture: string;
  /** Null for a download that has not been converted. */
  readonly format: MatrixFormat | OnnxDtype | null;
  /** Of all its files. */
  readonly byteLength: number;
  /** The folder that it is, or that it was converted from; null for the embedded model. */
  readonly source: string | null;
  /** When a pack was last opened, or a download came in; null for the embedded model. */
  readonly lastUsedMs: number | null;
}

const EMBEDDED = "tiny";

/** The embedded model, then downloads and packs by name. What cannot be opened is left out. */
export async function listModels(): Promise<ModelSummary[]> {
  const embedded = await embeddedPack();
  const first = embedded === null ? [] : [packSummary(await openPack(embedded), { name: EMBEDDED, revision: null, source: null, lastUsedMs: null })];
  const rest = [...(await downloads()), ...(await runnable())];
  const key = ({ name, revision, format }: ModelSummary): string => `${name}\0${revision}\0${format ?? ""}`;
  return [...first, ...rest.sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0))];
}

async function downloads(): Promise<ModelSummary[]> {
  const models = await storedModels();
  return Promise.all(
    models.map(async ({ repository, revisions, dir, byteLength, downloadedMs }) => {
      const config = await readModelJson(dir, "config.json").catch(() => null);
      const architecture = config?.["model_type"];
      return {
        name: repository,
        revision: revisions.join(", "),
        architecture: typeof architecture === "string" ? architecture : "unknown",
        format: null,
        byteLength,
        source: dir,
        lastUsedMs: downloadedMs,
      };
    }),
  );
}

/** Packs, and folders of ONNX files that were run. */
async function runnable(): Promise<ModelSummary[]> {
  const cache = cacheFolder();
  const folders = await readdir(join(cache, PACKS)).catch(() => []);
  const summaries: ModelSummary[] = [];
  const revisions = new Map((await storedModels()).map((model) => [model.commit, model.revisions.join(", ")]));
  for (const { path, hash, names } of await rememberedSources(cache)) {
    const hub = await snapshotName(path);
    const name = hub === null ? basename(path) : hub.repository;
    const revision = hub === null ? null : (revisions.get(hub.commit) ?? hub.commit);
    for (const folder of folders.filter((name) => name.startsWith(packPrefix(hash)))) {
      const dir = join(cache, PACKS, folder);
      const pack = await openPack(dir).catch(() => null);
      if (pack !== null) summaries.push(packSummary(pack, { name, revision, source: path, lastUsedMs: (await stat(dir)).mtimeMs }));
    }
    for (const dtype of ONNX_DTYPES.filter((dtype) => names.includes(onnxFile(dtype)))) {
      const folder = await openOnnxFolder(path, dtype, cache).catch(() => null);
      if (folder !== null) summaries.push({ name, revision, architecture: folder.architecture, format: dtype, byteLength: folder.byteLength, source: path, lastUsedMs: null });
    }
  }
  return summaries;
}

function packSummary({ config, manifest }: ModelPack, known: Pick<ModelSummary, "name" | "revision" | "source" | "lastUsedMs">): ModelSummary {
  const byteLength = Object.values(manifest.files).reduce((sum, file) => sum + file.byteLength, 0);
  return { ...known, architecture: config.architecture, format: manifest.format, byteLength };
}

export interface Removal {
  /** What went, for people; empty where the only pack is another folder's too. */
  readonly removed: readonly string[];
  /** That are free now. */
  readonly byteLength: number;
}

/**
 * Removes what the caches hold of a model: the download of `org/name` or `org/name@revision`, and the packs of that
 * or of a folder, named as `listModels` does or by its path. A folder of the user's own stays as it is.
 *
 * @returns null where nothing is kept under that name
 * @throws EngineError for the embedded model, and for a name that several folders have
 */
export async function removeModel(name: string): Promise<Removal | null> {
  if (name === EMBEDDED) throw new EngineError("unsupported_value", `${name} comes with the program and cannot be removed`, "name");
  const cache = cacheFolder();
  const sources = await rememberedSources(cache);
  const named: string[] = [];
  const removed: string[] = [];
  let byteLength = 0;
  const reference = hubReference(name);
  if (reference !== null) {
    const { repository } = reference;
    const download = await removeStored({ repository, revision: name.includes("@") ? reference.revision : null });
    if (download !== null) {
      removed.push(`${name}, as downloaded`);
      byteLength += download.byteLength;
    }
    for (const { path } of sources) {
      const hub = await snapshotName(path);
      const isMeant = !name.includes("@") || hub?.commit === reference.revision || download?.commits.includes(hub?.commit ?? "") === true;
      if (hub?.repository === repository && isMeant) named.push(path);
    }
  }
  named.push(...(await folderNamed(name, new Set(sources.map(({ path }) => path)))));
  for (const path of new Set(named)) {
    const source = (await snapshotName(path))?.repository ?? basename(path);
    for (const { what, byteLength: numBytes } of await removeTraces(cache, path, source)) {
      removed.push(what);
      byteLength += numBytes;
    }
  }
  return removed.length === 0 && named.length === 0 ? null : { removed, byteLength };
}

/** @throws EngineError where several folders have that name */
async function folderNamed(name: string, paths: ReadonlySet<string>): Promise<string[]> {
  const named = await realpath(name).catch(() => resolve(name));
  if (paths.has(named)) return [named];
  const matching = [...paths].filter((path) => basename(path) === name);
  if (matching.length <= 1) return matching;
  throw new EngineError("unsupported_value", `several models are called ${name}: give one of the paths ${matching.sort().join(", ")}`, "name");
}

/** The packs of one folder, and that its ONNX files were run; packs of equal files that another folder has too stay. */
async function removeTraces(cache: string, path: string, name: string): Promise<{ what: string; byteLength: number }[]> {
  const sources = await rememberedSources(cache);
  const removed = [];
  try {
    for (const source of sources.filter((other) => other.path === path)) {
      const { hash, names } = source;
      const isShared = sources.some((other) => other.path !== path && other.hash === hash);
      const folders = isShared ? [] : (await readdir(join(cache, PACKS)).catch(() => [])).filter((folder) => folder.startsWith(packPrefix(hash)));
      for (const folder of folders) {
        const dir = join(cache, PACKS, folder);
        const files = await readdir(dir);
        const sizes = await Promise.all(files.map(async (file) => (await stat(join(dir, file))).size));
        await removeFolder(dir);
        const format = folder.slice(packPrefix(hash).length).split("-")[0]!;
        removed.push({ what: `the pack ${name} ${format}`, byteLength: sizes.reduce((sum, size) => sum + size, 0) });
      }
      await forgetSource(source);
      const dtype = ONNX_DTYPES.find((other) => names.includes(onnxFile(other)));
      if (dtype !== undefined) removed.push({ what: `${name} ${dtype} from the list`, byteLength: 0 });
    }
  } catch (error) {
    throw fileSystemCode(error) === null ? error : cacheError(error);
  }
  return removed;
}

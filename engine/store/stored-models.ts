/** What this machine keeps of models: the embedded one, those downloaded from the hub, and the packs that were made of models. */

import { readdir, realpath, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";

import type { MatrixFormat } from "../../kernels/index.js";
import { EngineError, fileSystemCode } from "../errors.js";
import {
  forgetSource,
  ONNX_DTYPES,
  onnxFile,
  openOnnxFolder,
  openPack,
  rememberedSources,
  type ModelPack,
  type OnnxDtype,
} from "../folder/index.js";
import { readModelJson } from "../formats/index.js";
import { cacheError, cacheFolder, embeddedPack, PACKS, packPrefix } from "./cache.js";
import { hubReference, removeStored, snapshotName, storedModels } from "./hub/index.js";
import { removeFolder } from "./staging.js";

export interface ModelSummary {
  /** `org/name` for a model of the hub, else the name of its folder. */
  readonly name: string;
  /** Of the hub's models: a branch, a tag or a commit. */
  readonly revision: string | null;
  readonly architecture: string;
  /** Null for a download as it is. */
  readonly format: MatrixFormat | OnnxDtype | null;
  /** False for a download that was interrupted. */
  readonly isFinished: boolean;
  /** Of all its files. */
  readonly byteLength: number;
  /** The folder that it is, or that it was converted from; null for the embedded model. */
  readonly source: string | null;
  /** When a pack was last opened, or a download came in; null for the embedded model. */
  readonly lastUsedMs: number | null;
}

/** The name of the model that comes with the program. */
export const EMBEDDED_MODEL = "tiny";

/** The embedded model, then downloads and packs by name. What cannot be opened is left out. */
export async function listModels(): Promise<ModelSummary[]> {
  const embedded = await embeddedPack();
  const first =
    embedded === null
      ? []
      : [
          packSummary(await openPack(embedded), {
            name: EMBEDDED_MODEL,
            revision: null,
            source: null,
            lastUsedMs: null,
          }),
        ];
  const rest = [...(await downloads()), ...(await runnable())];
  const key = ({ name, revision, format }: ModelSummary): string => `${name}\0${revision}\0${format ?? ""}`;
  return [...first, ...rest.sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0))];
}

async function downloads(): Promise<ModelSummary[]> {
  const models = await storedModels();
  return Promise.all(
    models.map(async ({ repository, revisions, isFinished, dir, byteLength, downloadedMs }) => {
      const config = await readModelJson(dir, "config.json").catch(() => null);
      const architecture = config?.["model_type"];
      return {
        isFinished,
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
      if (pack !== null)
        summaries.push(packSummary(pack, { name, revision, source: path, lastUsedMs: (await stat(dir)).mtimeMs }));
    }
    for (const dtype of ONNX_DTYPES.filter((dtype) => names.includes(onnxFile(dtype)))) {
      const folder = await openOnnxFolder(path, dtype, cache).catch(() => null);
      if (folder !== null)
        summaries.push({
          name,
          revision,
          architecture: folder.architecture,
          format: dtype,
          isFinished: true,
          byteLength: folder.byteLength,
          source: path,
          lastUsedMs: null,
        });
    }
  }
  return summaries;
}

function packSummary(
  { config, manifest }: ModelPack,
  known: Pick<ModelSummary, "name" | "revision" | "source" | "lastUsedMs">,
): ModelSummary {
  const byteLength = Object.values(manifest.files).reduce((sum, file) => sum + file.byteLength, 0);
  return { ...known, architecture: config.architecture, format: manifest.format, isFinished: true, byteLength };
}

export interface Removal {
  /** What went, for people; empty where the model was only remembered. */
  readonly removed: readonly string[];
  /** What stays of a model of which no pack went, and why, for people. */
  readonly kept: readonly string[];
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
  const cache = cacheFolder();
  const sources = await rememberedSources(cache);
  if (name === EMBEDDED_MODEL) throw embeddedStays(sources.map(({ path }) => path));
  const named: string[] = [];
  const removed: string[] = [];
  const kept: string[] = [];
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
      const isMeant =
        !name.includes("@") ||
        hub?.commit === reference.revision ||
        download?.commits.includes(hub?.commit ?? "") === true;
      if (hub?.repository === repository && isMeant) named.push(path);
    }
  }
  named.push(...(await folderNamed(name, new Set(sources.map(({ path }) => path)))));
  for (const path of new Set(named)) {
    const hub = await snapshotName(path);
    const { packs, sharedWith } = await removeTraces(cache, path);
    for (const pack of packs) {
      removed.push(`the pack ${hub?.repository ?? basename(path)} ${pack.format}`);
      byteLength += pack.byteLength;
    }
    if (sharedWith !== null) kept.push(`the packs, which ${sharedWith} needs too: it has the same files`);
    else if (packs.length === 0 && hub === null && (await stat(path).catch(() => null)) !== null)
      kept.push(`the folder ${path} itself`);
  }
  return removed.length === 0 && named.length === 0 ? null : { removed, kept, byteLength };
}

/** A folder of the user's own may have the same name. */
function embeddedStays(paths: readonly string[]): EngineError {
  const others = paths.filter((path) => basename(path) === EMBEDDED_MODEL);
  const hint =
    others.length === 0 ? "" : `; the other model of that name goes by its path, ${others.sort().join(" or ")}`;
  return new EngineError(
    "unsupported_value",
    `${EMBEDDED_MODEL} comes with the program and cannot be removed${hint}`,
    "name",
  );
}

/** @throws EngineError where several folders have that name */
async function folderNamed(name: string, paths: ReadonlySet<string>): Promise<string[]> {
  const named = await realpath(name).catch(() => resolve(name));
  if (paths.has(named)) return [named];
  const matching = [...paths].filter((path) => basename(path) === name);
  if (matching.length <= 1) return matching;
  throw new EngineError(
    "unsupported_value",
    `several models are called ${name}: give one of the paths ${matching.sort().join(", ")}`,
    "name",
  );
}

interface RemovedTraces {
  readonly packs: readonly { readonly format: string; readonly byteLength: number }[];
  /** Another folder of equal files, for which packs stay. */
  readonly sharedWith: string | null;
}

/** The packs of one folder, and that it was ever run: with its safetensors, or with some of its ONNX files. */
async function removeTraces(cache: string, path: string): Promise<RemovedTraces> {
  const sources = await rememberedSources(cache);
  const packs = [];
  let sharedWith: string | null = null;
  try {
    for (const source of sources.filter((other) => other.path === path)) {
      const { hash } = source;
      const folders = (await readdir(join(cache, PACKS)).catch(() => [])).filter((folder) =>
        folder.startsWith(packPrefix(hash)),
      );
      const other = sources.find((other) => other.path !== path && other.hash === hash);
      if (other !== undefined && folders.length > 0) sharedWith = other.path;
      for (const folder of other === undefined ? folders : []) {
        const dir = join(cache, PACKS, folder);
        const files = await readdir(dir);
        const sizes = await Promise.all(files.map(async (file) => (await stat(join(dir, file))).size));
        await removeFolder(dir);
        packs.push({
          format: folder.slice(packPrefix(hash).length).split("-")[0]!,
          byteLength: sizes.reduce((sum, size) => sum + size, 0),
        });
      }
      await forgetSource(source);
    }
  } catch (error) {
    throw fileSystemCode(error) === null ? error : cacheError(error);
  }
  return { packs, sharedWith };
}

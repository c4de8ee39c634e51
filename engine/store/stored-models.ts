/** Lists and removes the models on this machine: the embedded model, downloads from the hub, and cached packs. */

import { readdir, realpath, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";

import type { MatrixFormat } from "../../kernels/index.js";
import { EngineError, fileSystemCode, wrongType } from "../errors.js";
import {
  forgetPack,
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
import { hubReference, isCommit, removeStored, snapshotName, storedModels } from "./hub/index.js";
import { removeFolder } from "./staging.js";

export interface ModelSummary {
  /** `org/name` for a model of the hub, otherwise the name of its folder. */
  readonly name: string;
  /** Branches and tags of a hub model, or its commit; null for other models. */
  readonly revision: string | null;
  readonly architecture: string;
  /** Format of a pack or of an ONNX file; null for a download. */
  readonly format: MatrixFormat | OnnxDtype | null;
  /** False for a download that was interrupted. */
  readonly isFinished: boolean;
  /** Total size of its files. */
  readonly byteLength: number;
  /** Folder of the model, or folder that it was converted from; null for the embedded model. */
  readonly source: string | null;
  /**
   * Time at which a pack was last opened or a download was last written, in milliseconds since the epoch; null for
   * the embedded model and for ONNX files.
   */
  readonly lastUsedMs: number | null;
}

/** Name of the model that comes with the program. */
export const EMBEDDED_MODEL = "tiny";

/** Returns the embedded model, then downloads and packs by name. Models that cannot be opened are left out. */
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

/** Returns cached packs, and folders of ONNX files that have been run. */
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
  /** Descriptions, for people, of what was removed; empty if the cache held only a record of the model. */
  readonly removed: readonly string[];
  /** Descriptions, for people, of what stays if no pack was removed, and why. */
  readonly kept: readonly string[];
  /** Number of bytes freed. */
  readonly byteLength: number;
  /** False if all of it is kept and still listed. */
  readonly isForgotten: boolean;
}

/**
 * Removes a model from the caches: the download of `org/name` or `org/name@revision` and its packs, or the packs of a
 * folder, given by its name in `listModels` or by its path. The user's own folder is not changed.
 *
 * @returns null if nothing is stored under that name
 * @throws EngineError for the embedded model, and for a name that several folders share
 */
export async function removeModel(name: string): Promise<Removal | null> {
  if (typeof name !== "string") throw wrongType("name", "a string", name);
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
    if (download !== null && download.usedBy.length > 0) {
      const users = download.usedBy.join(", ");
      // The name of a commit itself cannot be removed; that of a branch or a tag has been.
      return isCommit(reference.revision)
        ? { removed: [], kept: [`${name}, which the revision ${users} needs`], byteLength: 0, isForgotten: false }
        : {
            removed: [`the name ${name}`],
            kept: [`its files, which the revision ${users} needs too`],
            byteLength: 0,
            isForgotten: true,
          };
    }
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
  return removed.length === 0 && named.length === 0 ? null : { removed, kept, byteLength, isForgotten: true };
}

/** Builds the error for the embedded model, with a hint if a user's folder has the same name. */
function embeddedStays(paths: readonly string[]): EngineError {
  const others = paths.filter((path) => basename(path) === EMBEDDED_MODEL);
  const hint =
    others.length === 0 ? "" : `; to remove the other model of that name, give its path: ${others.sort().join(" or ")}`;
  return new EngineError(
    "unsupported_value",
    `${EMBEDDED_MODEL} comes with the program and cannot be removed${hint}`,
    "name",
  );
}

/** @throws EngineError if several folders have that name */
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
  /** Another folder with the same files, for which the packs are kept. */
  readonly sharedWith: string | null;
}

/** Removes the packs of one folder and the cache's records of it, for its safetensors and for its ONNX files. */
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
        await forgetPack(dir, cache);
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

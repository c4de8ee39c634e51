/**
 * The hub's cache on disk. It is shared with Python's huggingface_hub and has the same layout:
 *
 *     models--org--name/refs/<revision>                 the commit of this revision
 *     models--org--name/snapshots/<commit>/<path>       -> ../../blobs/<hash>
 *     models--org--name/blobs/<hash>                    a complete file; <hash>.incomplete: the beginning of a file
 *     models--org--name/.no_exist/<commit>/<path>       marks a file that the repository does not have
 *     .locks/models--org--name/
 *
 * If links cannot be created, the snapshot contains the file itself.
 */

import { randomUUID } from "node:crypto";
import {
  copyFile,
  lstat,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  unlink,
  writeFile,
} from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";

import { EngineError, fileSystemCode, writeFailure } from "../../errors.js";
import { ONNX_DTYPES, onnxFile, OPTIONAL_TEXT_FILES, REQUIRED_TEXT_FILES, type OnnxDtype } from "../../folder/index.js";
import { INDEX_FILE, makeFolder, SINGLE_FILE } from "../../formats/index.js";
import type { RemoteFile } from "./listing.js";
import { isCommit, isSafePath, type HubReference } from "./reference.js";
import { dataFile, selectWeights, shardsOf } from "./selection.js";

/** Completeness of a snapshot. `usable` means that it has all required files, but may lack optional ones. */
export type Completeness = "complete" | "usable" | "missing";

/** The part of the cache that belongs to one repository. */
export class CachedRepository {
  readonly path: string;
  readonly lockFile: string;

  constructor(
    readonly cache: string,
    readonly repository: string,
    private readonly hasSymlinks = true,
  ) {
    const folder = `models--${repository.replace("/", "--")}`;
    // Absolute, like the resolved targets of the links in it.
    this.path = resolve(cache, folder);
    // A separate lock: Python's lock files are named after hashes and held by flock, which Node does not offer.
    this.lockFile = resolve(cache, ".locks", folder, "touchstone.lock");
  }

  snapshotDir(commit: string): string {
    return join(this.path, "snapshots", commit);
  }

  blobFile({ hash }: RemoteFile): string {
    return join(this.path, "blobs", hash);
  }

  partFile(file: RemoteFile): string {
    return `${this.blobFile(file)}.incomplete`;
  }

  /** Returns the commit that a revision had when it was last looked up, or null. */
  async commitOf({ revision }: HubReference): Promise<string | null> {
    if (isCommit(revision)) return revision;
    const text = await readFile(join(this.path, "refs", ...revision.split("/")), "utf8").catch(() => "");
    return isCommit(text.trim()) ? text.trim() : null;
  }

  async completeness(commit: string, dtype: OnnxDtype | null): Promise<Completeness> {
    const paths = await this.paths(commit);
    if (!REQUIRED_TEXT_FILES.every((path) => paths.has(path))) return "missing";
    const weights = selectWeights(paths, dtype);
    if (weights === null) return "missing";
    // Files that would have been preferred or needed if the repository has them.
    const others: string[] = OPTIONAL_TEXT_FILES.filter((path) => !paths.has(path));
    switch (weights.kind) {
      case "single":
        break;
      case "sharded": {
        const dir = this.snapshotDir(commit);
        const shards = shardsOf(await readFile(join(dir, INDEX_FILE)), dir);
        if (!shards.every((shard) => paths.has(shard))) return "missing";
        break;
      }
      case "onnx":
        if (dtype === null)
          others.push(
            SINGLE_FILE,
            INDEX_FILE,
            ...ONNX_DTYPES.map(onnxFile).slice(0, ONNX_DTYPES.map(onnxFile).indexOf(weights.graph)),
          );
        others.push(dataFile(weights.graph, weights.data.length));
    }
    const known = await Promise.all(others.map((path) => exists(this.#absenceFile(commit, path))));
    return known.every(Boolean) ? "complete" : "usable";
  }

  /** Returns the existing files of a snapshot: those in its folder and in onnx/. */
  async paths(commit: string): Promise<ReadonlySet<string>> {
    const dir = this.snapshotDir(commit);
    const names = [
      ...(await readdir(dir).catch(() => [])),
      ...(await readdir(join(dir, "onnx")).catch(() => [])).map((name) => `onnx/${name}`),
    ];
    const files = await Promise.all(
      names.map(async (name) => ((await stat(join(dir, name)).catch(() => null))?.isFile() === true ? [name] : [])),
    );
    return new Set(files.flat());
  }

  /** Returns true if a snapshot has the complete file. */
  async has(commit: string, { path, size, hash }: RemoteFile): Promise<boolean> {
    const pointer = join(this.snapshotDir(commit), path);
    const link = await readlink(pointer).catch(() => null);
    if (link !== null && !link.endsWith(hash)) return false;
    return (await stat(pointer).catch(() => null))?.size === size;
  }

  async hasBlob(file: RemoteFile): Promise<boolean> {
    return (await stat(this.blobFile(file)).catch(() => null))?.size === file.size;
  }

  /** Adds an existing blob to a snapshot. */
  async link(commit: string, file: RemoteFile, isNew: boolean): Promise<void> {
    const pointer = join(this.snapshotDir(commit), file.path);
    const blob = this.blobFile(file);
    await makeFolder(dirname(pointer));
    const aside = `${blob}.${randomUUID()}.incomplete`;
    const isLink = this.hasSymlinks && (await linked(relative(dirname(pointer), blob), aside));
    const isMoved = !isLink && isNew;
    try {
      if (isMoved) await rename(blob, aside);
      else if (!isLink) await copyFile(blob, aside);
      await rename(aside, pointer);
    } catch (error) {
      await (isMoved ? rename(aside, blob) : rm(aside, { force: true })).catch(() => undefined);
      throw error;
    }
  }

  async markAbsent(commit: string, paths: readonly string[]): Promise<void> {
    for (const path of paths) {
      const file = this.#absenceFile(commit, path);
      await makeFolder(dirname(file));
      await writeFile(file, "");
    }
  }

  async setCommit({ revision }: HubReference, commit: string): Promise<void> {
    if (revision === commit) return;
    const file = join(this.path, "refs", ...revision.split("/"));
    if ((await readFile(file, "utf8").catch(() => null)) === commit) return;
    await makeFolder(dirname(file));
    const aside = `${file}.${randomUUID().slice(0, 8)}.tmp`;
    try {
      await writeFile(aside, commit);
      await rename(aside, file);
    } catch (error) {
      await rm(aside, { force: true }).catch(() => undefined);
      throw error;
    }
  }

  /** Returns the names of the revisions of each commit. */
  async refs(): Promise<ReadonlyMap<string, readonly string[]>> {
    const names = new Map<string, string[]>();
    const folder = join(this.path, "refs");
    for (const entry of await readdir(folder, { withFileTypes: true, recursive: true }).catch(() => [])) {
      if (!entry.isFile()) continue;
      const file = join(entry.parentPath, entry.name);
      const commit = (await readFile(file, "utf8").catch(() => "")).trim();
      const name = relative(folder, file).replaceAll("\\", "/");
      if (isCommit(commit) && isSafePath(name)) names.set(commit, [...(names.get(commit) ?? []), name].sort());
    }
    return names;
  }

  /** Returns the commits that have a snapshot. */
  async commits(): Promise<string[]> {
    const entries = await readdir(join(this.path, "snapshots"), { withFileTypes: true }).catch(() => []);
    return entries
      .filter((entry) => entry.isDirectory() && isCommit(entry.name))
      .map(({ name }) => name)
      .sort();
  }

  /** Returns the blobs that a snapshot links to and the files it contains itself: absolute paths, sizes in bytes. */
  async files(commit: string): Promise<ReadonlyMap<string, number>> {
    const bytes = new Map<string, number>();
    const dir = this.snapshotDir(commit);
    for (const entry of await readdir(dir, { withFileTypes: true, recursive: true }).catch(() => [])) {
      const path = join(entry.parentPath, entry.name);
      const target = entry.isSymbolicLink() ? resolve(dirname(path), await readlink(path)) : path;
      const state = await stat(target).catch(() => null);
      if (state?.isFile() === true) bytes.set(target, state.size);
    }
    return bytes;
  }

  /** Returns the partial files of interrupted downloads: absolute paths, sizes in bytes. */
  async parts(): Promise<ReadonlyMap<string, number>> {
    const bytes = new Map<string, number>();
    const blobs = join(this.path, "blobs");
    for (const name of (await readdir(blobs).catch(() => [])).filter((name) => name.endsWith(".incomplete"))) {
      const state = await lstat(join(blobs, name)).catch(() => null);
      if (state?.isFile() === true) bytes.set(join(blobs, name), state.size);
    }
    return bytes;
  }

  /**
   * Removes snapshots with the names of their revisions, and the blobs that no other snapshot links to.
   *
   * @returns the number of bytes freed
   */
  async remove(commits: readonly string[]): Promise<number> {
    const kept = (await this.commits()).filter((commit) => !commits.includes(commit));
    if (kept.length === 0) {
      const numBytes = await bytesBelow(this.path);
      await rm(this.path, { recursive: true, force: true });
      return numBytes;
    }
    const keptFiles = new Set(
      (await Promise.all(kept.map(async (commit) => [...(await this.files(commit)).keys()]))).flat(),
    );
    const blobs = join(this.path, "blobs");
    let numBytes = 0;
    for (const commit of commits) {
      for (const [file, byteLength] of await this.files(commit)) {
        if (keptFiles.has(file)) continue;
        const isBlob = dirname(file) === blobs;
        // A link to any other place is removed with the snapshot, and its target stays.
        if (!isBlob && !file.startsWith(this.snapshotDir(commit))) continue;
        if (isBlob) await unlink(file);
        numBytes += byteLength;
      }
      for (const folder of [this.snapshotDir(commit), join(this.path, ".no_exist", commit)])
        await rm(folder, { recursive: true, force: true });
      await rm(join(this.path, "trees", `${commit}.json`), { force: true });
      for (const name of (await this.refs()).get(commit) ?? []) await this.removeRef(name);
    }
    return numBytes;
  }

  /** Removes the name of a revision and keeps the snapshot. */
  async removeRef(revision: string): Promise<void> {
    await rm(join(this.path, "refs", ...revision.split("/")), { force: true });
  }

  #absenceFile(commit: string, path: string): string {
    return join(this.path, ".no_exist", commit, path);
  }
}

/** Returns the model repositories in a cache, sorted by name. */
export async function cachedRepositories(cache: string): Promise<CachedRepository[]> {
  const names = await readdir(cache).catch(() => []);
  const repositories = names.flatMap((name) => /^models--(.+?)--(.+)$/.exec(name)?.slice(1).join("/") ?? []);
  return repositories.sort().map((repository) => new CachedRepository(cache, repository));
}

/** Turns a file system error into an error that names the cache. */
export function hubCacheError(cause: unknown, cache: string): unknown {
  const code = fileSystemCode(cause);
  if (code === null) return cause;
  const message = `the folder for downloaded models, ${cache}, cannot be written (${writeFailure(code)}); set HF_HUB_CACHE to another folder`;
  return new EngineError("cache_unavailable", message, null, { cause });
}

async function linked(target: string, path: string): Promise<boolean> {
  try {
    await symlink(target, path);
    return true;
  } catch (error) {
    if (
      ["EPERM", "EACCES", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "UNKNOWN"].includes(
        (error as NodeJS.ErrnoException).code ?? "",
      )
    )
      return false;
    throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null)) !== null;
}

/** Returns the total size of the files below `path`; the targets of links are not counted. */
async function bytesBelow(path: string): Promise<number> {
  let numBytes = 0;
  for (const entry of await readdir(path, { withFileTypes: true, recursive: true }).catch(() => [])) {
    if (entry.isFile()) numBytes += (await lstat(join(entry.parentPath, entry.name))).size;
  }
  return numBytes;
}

/**
 * The cache on disk, laid out as Python's huggingface_hub does, which shares it:
 *
 *     models--org--name/refs/<revision>                 the commit it stands for
 *     models--org--name/snapshots/<commit>/<path>       -> ../../blobs/<hash>
 *     models--org--name/blobs/<hash>                    a whole file; <hash>.incomplete: the beginning of one
 *     models--org--name/.no_exist/<commit>/<path>       known not to be in the repository
 *     .locks/models--org--name/
 *
 * Where links cannot be made, a file lies in its snapshot itself.
 */

import { randomUUID } from "node:crypto";
import {
  copyFile,
  lstat,
  mkdir,
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

import { EngineError, fileSystemCode } from "../../errors.js";
import { ONNX_DTYPES, onnxFile, OPTIONAL_TEXT_FILES, REQUIRED_TEXT_FILES, type OnnxDtype } from "../../folder/index.js";
import { INDEX_FILE, SINGLE_FILE } from "../../formats/index.js";
import type { RemoteFile } from "./listing.js";
import { isCommit, isSafePath, type HubReference } from "./reference.js";
import { dataFile, selectWeights, shardsOf } from "./selection.js";

/** Whether a snapshot can be run: `usable` lacks nothing that is needed, but may lack optional files. */
export type Completeness = "complete" | "usable" | "missing";

/** One repository's part of the cache. */
export class CachedRepository {
  readonly path: string;
  readonly lockFile: string;

  constructor(
    readonly cache: string,
    readonly repository: string,
    private readonly hasSymlinks = true,
  ) {
    const folder = `models--${repository.replace("/", "--")}`;
    // Absolute, as what the links in it point at is.
    this.path = resolve(cache, folder);
    // Python's locks are named after hashes and held by flock, which nothing but this process could see.
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

  /** The commit that a revision stood for when it was last asked for. */
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
    // What the repository may have too, and would have been chosen or needed.
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

  /** The files of a snapshot that are there, two folders deep. */
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

  /** Whether a snapshot has this file, whole. */
  async has(commit: string, { path, size, hash }: RemoteFile): Promise<boolean> {
    const pointer = join(this.snapshotDir(commit), path);
    const link = await readlink(pointer).catch(() => null);
    if (link !== null && !link.endsWith(hash)) return false;
    return (await stat(pointer).catch(() => null))?.size === size;
  }

  async hasBlob(file: RemoteFile): Promise<boolean> {
    return (await stat(this.blobFile(file)).catch(() => null))?.size === file.size;
  }

  /** Puts a blob that is there into a snapshot. */
  async link(commit: string, file: RemoteFile, isNew: boolean): Promise<void> {
    const pointer = join(this.snapshotDir(commit), file.path);
    const blob = this.blobFile(file);
    await mkdir(dirname(pointer), { recursive: true });
    const aside = `${blob}.${randomUUID()}.incomplete`;
    if (!this.hasSymlinks || !(await linked(relative(dirname(pointer), blob), aside))) {
      await (isNew ? rename(blob, aside) : copyFile(blob, aside));
    }
    await rename(aside, pointer);
  }

  async markAbsent(commit: string, paths: readonly string[]): Promise<void> {
    for (const path of paths) {
      const file = this.#absenceFile(commit, path);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, "");
    }
  }

  async setCommit({ revision }: HubReference, commit: string): Promise<void> {
    if (revision === commit) return;
    const file = join(this.path, "refs", ...revision.split("/"));
    if ((await readFile(file, "utf8").catch(() => null)) === commit) return;
    await mkdir(dirname(file), { recursive: true });
    const aside = `${file}.${randomUUID().slice(0, 8)}.tmp`;
    await writeFile(aside, commit);
    await rename(aside, file);
  }

  /** Revision names by commit. */
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

  /** Commits that have a snapshot. */
  async commits(): Promise<string[]> {
    const entries = await readdir(join(this.path, "snapshots"), { withFileTypes: true }).catch(() => []);
    return entries
      .filter((entry) => entry.isDirectory() && isCommit(entry.name))
      .map(({ name }) => name)
      .sort();
  }

  /** The blobs that a snapshot points at, and files that lie in it themselves: absolute paths, and their bytes. */
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

  /** What interrupted downloads have left: absolute paths, and their bytes. */
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
   * Removes snapshots, and the blobs that no other one points at.
   *
   * @returns the bytes that are free now
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
        // A link of the snapshot to anywhere else is removed with it, and what it points at stays.
        if (!isBlob && !file.startsWith(this.snapshotDir(commit))) continue;
        if (isBlob) await unlink(file);
        numBytes += byteLength;
      }
      for (const folder of [this.snapshotDir(commit), join(this.path, ".no_exist", commit)])
        await rm(folder, { recursive: true, force: true });
      await rm(join(this.path, "trees", `${commit}.json`), { force: true });
      for (const name of (await this.refs()).get(commit) ?? [])
        await rm(join(this.path, "refs", ...name.split("/")), { force: true });
    }
    return numBytes;
  }

  #absenceFile(commit: string, path: string): string {
    return join(this.path, ".no_exist", commit, path);
  }
}

/** The repositories of models that a cache holds, by name. */
export async function cachedRepositories(cache: string): Promise<CachedRepository[]> {
  const names = await readdir(cache).catch(() => []);
  const repositories = names.flatMap((name) => /^models--(.+?)--(.+)$/.exec(name)?.slice(1).join("/") ?? []);
  return repositories.sort().map((repository) => new CachedRepository(cache, repository));
}

/** What the file system refuses, in words that name the cache. */
export function hubCacheError(cause: unknown, cache: string): unknown {
  const code = fileSystemCode(cause);
  if (code === null) return cause;
  const what = code === "ENOSPC" ? "is full" : "cannot be written";
  const message = `the folder for downloaded models, ${cache}, ${what} (${code}); HF_HUB_CACHE names another one`;
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

/** Of the files themselves: what links point at is not counted. */
async function bytesBelow(path: string): Promise<number> {
  let numBytes = 0;
  for (const entry of await readdir(path, { withFileTypes: true, recursive: true }).catch(() => [])) {
    if (entry.isFile()) numBytes += (await lstat(join(entry.parentPath, entry.name))).size;
  }
  return numBytes;
}

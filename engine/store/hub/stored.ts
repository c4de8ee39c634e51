/** Lists, names and removes the models in the hub's cache. */

import { realpath, stat } from "node:fs/promises";
import { join, relative, sep } from "node:path";

import { EngineError } from "../../errors.js";
import { CachedRepository, cachedRepositories, hubCacheError } from "./cache.js";
import { acquireLock } from "./lock.js";
import { isCommit } from "./reference.js";
import { hubCacheFolder } from "./settings.js";

/** A snapshot that can be run, or an unfinished download. */
export interface StoredModel {
  readonly repository: string;
  /** Branches and tags that pointed to it when they were last looked up; the commit if none did. */
  readonly revisions: readonly string[];
  /** Null if it is not known to which snapshot an unfinished download belongs. */
  readonly commit: string | null;
  readonly isFinished: boolean;
  readonly dir: string;
  readonly byteLength: number;
  readonly downloadedMs: number;
}

/** Returns the models by name. Models of other programs that the engine cannot use are left out. */
export async function storedModels(cache: string = hubCacheFolder()): Promise<StoredModel[]> {
  const models: StoredModel[] = [];
  for (const repository of await cachedRepositories(cache)) {
    const refs = await repository.refs();
    const begun: string[] = [];
    const add = async (
      isFinished: boolean,
      commit: string | null,
      files: ReadonlyMap<string, number>,
    ): Promise<void> => {
      const times = await Promise.all(
        [...files.keys()].map(async (file) => (await stat(file).catch(() => null))?.mtimeMs ?? 0),
      );
      models.push({
        repository: repository.repository,
        revisions: commit === null ? [] : (refs.get(commit) ?? [commit]),
        commit,
        isFinished,
        dir: commit === null ? repository.path : repository.snapshotDir(commit),
        byteLength: [...files.values()].reduce((sum, byteLength) => sum + byteLength, 0),
        downloadedMs: Math.max(0, ...times),
      });
    };
    for (const commit of await repository.commits()) {
      const completeness = await repository.completeness(commit, null).catch(() => "missing");
      if (completeness === "missing") begun.push(commit);
      else await add(true, commit, await repository.files(commit));
    }
    const parts = await repository.parts();
    // It is not recorded to which of several unfinished snapshots a part belongs.
    const commit = begun.length === 1 ? begun[0]! : null;
    if (parts.size > 0)
      await add(false, commit, new Map([...parts, ...(commit === null ? [] : await repository.files(commit))]));
  }
  return models;
}

/** Returns the repository and commit of a snapshot in the cache; null for any other folder. */
export async function snapshotName(
  dir: string,
  cache: string = hubCacheFolder(),
): Promise<{ readonly repository: string; readonly commit: string } | null> {
  const root = await realpath(cache).catch(() => null);
  if (root === null) return null;
  const [folder = "", kind, commit = "", ...rest] = relative(root, dir).split(sep);
  const match = /^models--(.+?)--(.+)$/.exec(folder);
  return match !== null && kind === "snapshots" && isCommit(commit) && rest.length === 0
    ? { repository: `${match[1]}/${match[2]}`, commit }
    : null;
}

export interface StoredRemoval {
  /** Commits whose snapshots were removed. */
  readonly commits: readonly string[];
  /** Number of bytes freed. */
  readonly byteLength: number;
  /** Other revisions of the same commit, for which its snapshot was kept. */
  readonly usedBy: readonly string[];
}

/**
 * Removes a revision of a repository, or all of them for null. A snapshot that other revisions name too stays, and so
 * do the blobs that another snapshot needs.
 *
 * @returns null if nothing was stored
 */
export async function removeStored(
  { repository: name, revision }: { readonly repository: string; readonly revision: string | null },
  cache: string = hubCacheFolder(),
): Promise<StoredRemoval | null> {
  const repository = new CachedRepository(cache, name);
  if ((await stat(repository.path).catch(() => null)) === null) return null;
  await checkInside(repository, cache);
  const commit = revision === null ? null : await repository.commitOf({ repository: name, revision });
  const commits = (await repository.commits()).filter((other) => revision === null || other === commit);
  if (revision !== null && commits.length === 0) return null;
  try {
    const lock = await acquireLock(repository.lockFile, new AbortController().signal, () => {});
    try {
      const names = commit === null ? [] : ((await repository.refs()).get(commit) ?? []);
      const usedBy = names.filter((other) => other !== revision);
      if (revision === null || usedBy.length === 0)
        return { commits, byteLength: await repository.remove(commits), usedBy: [] };
      if (names.includes(revision)) await repository.removeRef(revision);
      return { commits: [], byteLength: 0, usedBy };
    } finally {
      await lock.release();
    }
  } catch (error) {
    throw hubCacheError(error, cache);
  }
}

/** Refuses folders that are linked into the cache from outside: we must not remove their contents. */
async function checkInside({ path }: CachedRepository, cache: string): Promise<void> {
  const root = await realpath(cache);
  for (const folder of [path, join(path, "blobs"), join(path, "snapshots")]) {
    const target = await realpath(folder).catch(() => folder);
    if (target !== folder && !target.startsWith(`${root}${sep}`)) {
      throw new EngineError(
        "cache_unavailable",
        `${folder} is a link to ${target}, outside the cache: nothing has been removed`,
      );
    }
  }
}

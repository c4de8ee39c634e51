/**
 * Resolves the name of a model on the hub to a folder that holds it, from the cache or else by a download. A model that
 * has been downloaded once is found without a request.
 */

import { readFile, statfs } from "node:fs/promises";
import { join } from "node:path";

import { EngineError, sizeText } from "../../errors.js";
import { ONNX_DTYPES, onnxFile, OPTIONAL_TEXT_FILES, REQUIRED_TEXT_FILES, type OnnxDtype } from "../../folder/index.js";
import { INDEX_FILE, makeFolder, SINGLE_FILE } from "../../formats/index.js";
import { LIMITS } from "../../limits.js";
import { CachedRepository, hubCacheError, type Completeness } from "./cache.js";
import { HubClient, PACE, type Pace } from "./client.js";
import { downloadFile, partLength } from "./download.js";
import { fetchListing, fileUrl, remoteFile, type Listing, type RemoteFile } from "./listing.js";
import { acquireLock } from "./lock.js";
import { referenceText, type HubReference } from "./reference.js";
import { dataFile, selectWeights, shardsOf, unsuitable, type Weights } from "./selection.js";
import { hubSettings } from "./settings.js";

export interface HubOptions {
  /** ONNX variant to use instead of safetensors; by default safetensors, or the first ONNX variant without them. */
  readonly dtype?: OnnxDtype | undefined;
  /** Set to work without the hub; `HF_HUB_OFFLINE` has the same effect. */
  readonly offline?: boolean | undefined;
  /** Aborts a download, which continues from there the next time. */
  readonly signal?: AbortSignal | undefined;
  /** Called with the folder once its text files exist, before safetensors are downloaded. May throw. */
  readonly onTextFiles?: ((dir: string) => Promise<unknown>) | undefined;
  /** Called while a file arrives, with its bytes so far (including those of earlier runs) and in total. */
  readonly onProgress?: ((done: number, total: number, file: string) => void) | undefined;
  /** Called with a sentence for people about something that is not an error. */
  readonly onNotice?: ((message: string) => void) | undefined;
  /** Environment with the hub's settings; by default this process's. */
  readonly environment?: NodeJS.ProcessEnv | undefined;
  /** @internal */
  readonly pace?: Pace | undefined;
}

export interface HubModel {
  /** Folder with the files of the model. */
  readonly dir: string;
  readonly commit: string;
}

/**
 * Returns the model as cached, without a request to the hub; downloads it if the cache lacks it.
 *
 * @throws EngineError model_not_found, access_denied, unsupported_model, hub_unreachable, download_failed,
 *   cache_unavailable
 */
export async function locateModel(reference: HubReference, options: HubOptions = {}): Promise<HubModel> {
  const session = await Session.open(reference, options);
  const { cached } = session;
  if (cached === null) return session.pull(reference);
  if (cached.completeness === "complete" || session.isOffline) return cached.model;
  try {
    // Completes the cached commit; only `pullModel` looks up the current commit of the revision.
    return await session.pull({ ...reference, revision: cached.model.commit });
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    session.notice(error.message);
    return cached.model;
  }
}

/**
 * Returns the hub's current version of the model; downloads only files that have changed.
 *
 * @throws EngineError as locateModel
 */
export async function pullModel(reference: HubReference, options: HubOptions = {}): Promise<HubModel> {
  return (await Session.open(reference, options)).pull(reference);
}

/** Number of digits of a commit in messages. */
const COMMIT_DIGITS = 8;

interface CachedModel {
  readonly model: HubModel;
  readonly completeness: Exclude<Completeness, "missing">;
}

class Session {
  private constructor(
    readonly reference: HubReference,
    readonly client: HubClient,
    readonly repository: CachedRepository,
    /** Cached model to use if the hub cannot be reached. */
    readonly cached: CachedModel | null,
    readonly options: HubOptions,
  ) {}

  static async open(reference: HubReference, options: HubOptions): Promise<Session> {
    const {
      environment = process.env,
      offline = false,
      signal = new AbortController().signal,
      dtype = null,
      pace = PACE,
    } = options;
    const settings = await hubSettings(environment, offline);
    const repository = new CachedRepository(settings.cache, reference.repository, settings.hasSymlinks);
    const commit = await repository.commitOf(reference);
    const completeness = commit === null ? "missing" : await repository.completeness(commit, dtype);
    const cached =
      commit === null || completeness === "missing"
        ? null
        : { model: { dir: repository.snapshotDir(commit), commit }, completeness };
    // With a cached model to fall back on, do not wait long for a hub that does not answer.
    const maxAttempts = cached === null ? Math.min(pace.maxAttempts, LIMITS.maxHubFirstAttempts) : 1;
    const patience = { ...pace, maxAttempts, stallMs: cached === null ? pace.stallMs : pace.stallMs / 2 };
    return new Session(reference, new HubClient(settings, signal, patience), repository, cached, options);
  }

  get isOffline(): boolean {
    return this.client.settings.isOffline;
  }

  /** Reports why the cached model is used. */
  notice(reason: string): void {
    const commit = this.cached?.model.commit.slice(0, COMMIT_DIGITS);
    this.options.onNotice?.(
      `${reason}; using the copy of ${referenceText(this.reference)} that was downloaded before (${commit})`,
    );
  }

  /** @param asked the reference, or the commit that it had when it was cached */
  async pull(asked: HubReference): Promise<HubModel> {
    const { client, reference, cached } = this;
    if (this.isOffline) {
      if (cached !== null) return cached.model;
      throw new EngineError(
        "model_not_found",
        `${referenceText(reference)} is not in ${client.settings.cache}, and the hub is not contacted while offline`,
      );
    }
    let listing: Listing;
    try {
      listing = await fetchListing(client, asked);
    } catch (error) {
      if (cached === null || !(error instanceof EngineError) || error.code !== "hub_unreachable") throw error;
      this.notice(error.message);
      return cached.model;
    }
    const { commit } = listing;
    try {
      await this.#download(listing);
      await this.repository.setCommit(reference, commit);
    } catch (error) {
      throw hubCacheError(error, client.settings.cache);
    }
    return { dir: this.repository.snapshotDir(commit), commit };
  }

  async #download(listing: Listing): Promise<void> {
    const { repository, reference, options } = this;
    const { settings, signal } = this.client;
    const { commit } = listing;
    const paths = new Set(listing.files.keys());
    const weights = selectWeights(paths, options.dtype ?? null);
    if (weights === null || !REQUIRED_TEXT_FILES.every((path) => paths.has(path)))
      throw unsuitable(reference.repository, paths, options.dtype ?? null);
    const texts = [...REQUIRED_TEXT_FILES, ...OPTIONAL_TEXT_FILES].filter((path) => paths.has(path));
    // The hub has answered, so from here on it is worth waiting for.
    const client = new HubClient(settings, signal, options.pace ?? PACE);
    const lock = await acquireLock(repository.lockFile, signal, () => {
      options.onNotice?.(`another process is downloading ${reference.repository}; waiting for it`);
    });
    try {
      const missingOf = async (names: readonly string[]): Promise<RemoteFile[]> => {
        const files = await inTurns(names, (path) => remoteFile(client, reference, commit, listing.files.get(path)!));
        const missing: RemoteFile[] = [];
        for (const file of files) if (!(await repository.has(commit, file))) missing.push(file);
        await this.#checkRoom(missing);
        return missing;
      };
      const fetchFiles = async (missing: readonly RemoteFile[]): Promise<void> => {
        const fetchOne = (file: RemoteFile): Promise<void> =>
          this.#fetchFile(client, commit, file, () => lock.isHeld());
        // Equal files share a blob, and large files are fetched in parallel parts; so these are fetched one by one.
        const isAlone = (file: RemoteFile): boolean =>
          file.size > LIMITS.hubPartBytes || missing.find(({ hash }) => hash === file.hash) !== file;
        await inTurns(
          missing.filter((file) => !isAlone(file)),
          fetchOne,
        );
        for (const file of missing.filter(isAlone)) await fetchOne(file);
      };
      const dir = repository.snapshotDir(commit);
      const missing = await missingOf([...texts, ...listedFiles(weights)]);
      const isText = ({ path }: RemoteFile): boolean => texts.some((text) => text === path);
      await fetchFiles(missing.filter(isText));
      if (weights.kind !== "onnx") await options.onTextFiles?.(dir);
      await fetchFiles(missing.filter((file) => !isText(file)));
      if (weights.kind === "sharded") {
        const shards = shardsOf(await readFile(join(dir, INDEX_FILE)), reference.repository);
        const lacking = shards.find((shard) => !paths.has(shard));
        if (lacking !== undefined)
          throw new EngineError(
            "invalid_model",
            `${reference.repository} has no ${lacking}, which its ${INDEX_FILE} names`,
          );
        await fetchFiles(await missingOf(shards));
      }
      await repository.markAbsent(commit, absentFiles(paths, weights));
    } finally {
      await lock.release();
    }
  }

  async #fetchFile(client: HubClient, commit: string, file: RemoteFile, isHeld: () => Promise<boolean>): Promise<void> {
    const { repository, reference, options } = this;
    const { path, size } = file;
    const isNew = !(await repository.hasBlob(file));
    if (isNew) {
      await downloadFile({
        client,
        file,
        url: fileUrl(client, reference, commit, path),
        subject: { ...reference, path },
        partFile: repository.partFile(file),
        blobFile: repository.blobFile(file),
        isHeld,
        onBytes: (done) => options.onProgress?.(done, size, path),
      });
    }
    await repository.link(commit, file, isNew);
  }

  async #checkRoom(files: readonly RemoteFile[]): Promise<void> {
    const { repository, client } = this;
    let numBytes = 0;
    for (const file of files) {
      if (!(await repository.hasBlob(file)))
        numBytes += Math.max(0, file.size - (await partLength(repository.partFile(file))));
    }
    await makeFolder(repository.path);
    const { bavail, bsize } = await statfs(repository.path);
    const numFree = bavail * bsize;
    if (numBytes <= numFree) return;
    const { cache } = client.settings;
    throw new EngineError(
      "cache_unavailable",
      `${referenceText(this.reference)} needs ${sizeText(numBytes)} more, but ${cache} has ${sizeText(numFree)} left; set HF_HUB_CACHE to another folder`,
    );
  }
}

/** Returns the files of these weights that are known by name, without the shards that an index lists. */
function listedFiles(weights: Weights): string[] {
  switch (weights.kind) {
    case "single":
      return [SINGLE_FILE];
    case "sharded":
      return [INDEX_FILE];
    case "onnx":
      return [weights.graph, ...weights.data];
  }
}

/** Returns files that the repository lacks and that would be used in addition to these weights or instead of them. */
function absentFiles(paths: ReadonlySet<string>, weights: Weights): string[] {
  const others =
    weights.kind === "onnx"
      ? [SINGLE_FILE, INDEX_FILE, ...ONNX_DTYPES.map(onnxFile), dataFile(weights.graph, weights.data.length)]
      : [];
  return [...OPTIONAL_TEXT_FILES, ...others].filter((path) => !paths.has(path));
}

/** Works through a list, a few items at a time. The first failure stops it, after the items in progress have ended. */
async function inTurns<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = new Array<R>(items.length);
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length) {
      const index = next++;
      results[index] = await work(items[index]!);
    }
  };
  const workers = Array.from({ length: Math.min(LIMITS.hubFilesAtOnce, items.length) }, () =>
    worker().finally(() => {
      next = items.length;
    }),
  );
  await Promise.allSettled(workers);
  await Promise.all(workers);
  return results;
}

/**
 * From the name of a model on the hub to a folder that holds it: from the cache where it is there, else from the
 * hub. What has been downloaded once is found without a request.
 */

import { mkdir, readFile, statfs } from "node:fs/promises";
import { join } from "node:path";

import { EngineError } from "../../errors.js";
import { ONNX_DTYPES, onnxFile, OPTIONAL_TEXT_FILES, REQUIRED_TEXT_FILES, type OnnxDtype } from "../../folder/index.js";
import { INDEX_FILE, SINGLE_FILE } from "../../formats/index.js";
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
  /** Which ONNX variant to take, instead of safetensors; by default whichever weights there are, safetensors first. */
  readonly dtype?: OnnxDtype | undefined;
  /** Whether to do without the hub; `HF_HUB_OFFLINE` says so too. */
  readonly offline?: boolean | undefined;
  /** Ends a download, which goes on from there the next time. */
  readonly signal?: AbortSignal | undefined;
  /** Called with the folder once its text files are there, before safetensors are downloaded. May throw. */
  readonly onTextFiles?: ((dir: string) => Promise<unknown>) | undefined;
  /** Called as a file comes in, with its bytes so far (those of earlier runs included) and in all. */
  readonly onProgress?: ((done: number, total: number, file: string) => void) | undefined;
  /** Called with a sentence for people about something that is no error. */
  readonly onNotice?: ((message: string) => void) | undefined;
  /** Where the hub's settings come from: this process's environment unless given. */
  readonly environment?: NodeJS.ProcessEnv | undefined;
  /** @internal */
  readonly pace?: Pace | undefined;
}

export interface HubModel {
  /** The folder with its files. */
  readonly dir: string;
  readonly commit: string;
}

/**
 * The model as the cache has it, without asking the hub; downloaded where the cache lacks it.
 *
 * @throws EngineError model_not_found, access_denied, unsupported_model, hub_unreachable, download_failed, cache_unavailable
 */
export async function locateModel(reference: HubReference, options: HubOptions = {}): Promise<HubModel> {
  const session = await Session.open(reference, options);
  const { cached } = session;
  if (cached === null) return session.pull(reference);
  if (cached.completeness === "complete" || session.isOffline) return cached.model;
  try {
    // What the revision stands for by now is the business of whoever pulls it.
    return await session.pull({ ...reference, revision: cached.model.commit });
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    session.notice(error.message);
    return cached.model;
  }
}

/**
 * The model as the hub has it now; only what changed is downloaded.
 *
 * @throws EngineError as locateModel
 */
export async function pullModel(reference: HubReference, options: HubOptions = {}): Promise<HubModel> {
  return (await Session.open(reference, options)).pull(reference);
}

/** Of a commit, for people. */
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
    /** What can be used if the hub cannot. */
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
    // Whoever has something to fall back on does not wait long for a hub that does not answer.
    const maxAttempts = cached === null ? Math.min(pace.maxAttempts, LIMITS.maxHubFirstAttempts) : 1;
    const patience = { ...pace, maxAttempts, stallMs: cached === null ? pace.stallMs : pace.stallMs / 2 };
    return new Session(reference, new HubClient(settings, signal, patience), repository, cached, options);
  }

  get isOffline(): boolean {
    return this.client.settings.isOffline;
  }

  /** Tells why the model is used as it was. */
  notice(reason: string): void {
    const commit = this.cached?.model.commit.slice(0, COMMIT_DIGITS);
    this.options.onNotice?.(
      `${reason}; ${referenceText(this.reference)} is used as it was downloaded before (${commit})`,
    );
  }

  /** @param asked the reference, or the commit that it stood for */
  async pull(asked: HubReference): Promise<HubModel> {
    const { client, reference, cached } = this;
    if (this.isOffline) {
      if (cached !== null) return cached.model;
      throw new EngineError(
        "model_not_found",
        `${referenceText(reference)} is not in ${client.settings.cache}, and the hub is not asked while offline`,
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
    // The hub has answered: from here on it is worth waiting for.
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
        // Equal files share a blob; large ones are fetched in parts, which is enough at the same time.
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
    await mkdir(repository.path, { recursive: true });
    const { bavail, bsize } = await statfs(repository.path);
    const numFree = bavail * bsize;
    if (numBytes <= numFree) return;
    const { cache } = client.settings;
    throw new EngineError(
      "cache_unavailable",
      `${referenceText(this.reference)} needs ${gigabytes(numBytes)} more, but ${cache} has ${gigabytes(numFree)} left; HF_HUB_CACHE names another folder`,
    );
  }
}

/** The files of these weights that are known by name, without those that an index names. */
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

/** Of the files that would be of use beside these weights, or instead of them, those that a repository does not have. */
function absentFiles(paths: ReadonlySet<string>, weights: Weights): string[] {
  const others =
    weights.kind === "onnx"
      ? [SINGLE_FILE, INDEX_FILE, ...ONNX_DTYPES.map(onnxFile), dataFile(weights.graph, weights.data.length)]
      : [];
  return [...OPTIONAL_TEXT_FILES, ...others].filter((path) => !paths.has(path));
}

/** Works through a list, a few at a time. The first failure ends it, once nothing of it runs any more. */
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

function gigabytes(numBytes: number): string {
  return `${(numBytes / 1e9).toFixed(2)} GB`;
}

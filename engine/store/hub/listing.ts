/** Reads the contents of a repository at a revision: its commit, and each file's size and hash. */

import { EngineError } from "../../errors.js";
import type { HubClient } from "./client.js";
import { isCommit, isSafePath, type HubReference } from "./reference.js";

export interface Listing {
  readonly commit: string;
  /** Files by path. */
  readonly files: ReadonlyMap<string, ListedFile>;
}

/** Entry of a file in the list; mirrors may leave out size and hash. */
export interface ListedFile {
  readonly path: string;
  readonly size: number | null;
  readonly hash: string | null;
}

/** A file with everything that is needed to fetch and verify it. */
export interface RemoteFile {
  readonly path: string;
  readonly size: number;
  /** Name of the blob, in hexadecimal: the sha256 of a large file, the git object id (sha1) of a small one. */
  readonly hash: string;
}

/** @throws EngineError if the hub refuses, or if its answer is not a list of the files of a repository */
export async function fetchListing(client: HubClient, reference: HubReference): Promise<Listing> {
  const { repository, revision } = reference;
  const { endpoint } = client.settings;
  const url = `${endpoint}/api/models/${repository}/revision/${encodeURIComponent(revision)}?blobs=true`;
  const answer = await client.retrying(async () => (await client.request(url, { ...reference, path: null })).json());
  const { sha, siblings } = (answer ?? {}) as { sha?: unknown; siblings?: unknown };
  if (typeof sha !== "string" || !isCommit(sha) || !Array.isArray(siblings) || !siblings.every(isSibling)) {
    throw new EngineError(
      "download_failed",
      `${endpoint} answers with something that is not a list of the files of ${repository}`,
    );
  }
  // The engine needs no file whose path would not be safe in the snapshot's folder on every platform.
  const files = siblings.filter(({ rfilename }) => isSafePath(rfilename)).map(listedFile);
  return { commit: sha, files: new Map(files.map((file) => [file.path, file])) };
}

/** Returns a file with size and hash, which are read from the file's own headers if the list omits them. */
export async function remoteFile(
  client: HubClient,
  reference: HubReference,
  commit: string,
  listed: ListedFile,
): Promise<RemoteFile> {
  const { path } = listed;
  if (listed.size !== null && listed.hash !== null) return { path, size: listed.size, hash: listed.hash };
  const ask = { method: "HEAD", leavesEndpoint: false } as const;
  const url = fileUrl(client, reference, commit, path);
  const { hubHeaders, headers, status } = await client.retrying(() => client.request(url, { ...reference, path }, ask));
  const size = headers.get("x-linked-size") ?? (status === 200 ? headers.get("content-length") : null);
  const hash = hubHeaders === null ? null : hashOf(hubHeaders);
  if (size === null || !/^\d{1,15}$/.test(size) || hash === null) {
    throw new EngineError(
      "download_failed",
      `${client.settings.endpoint} gives no size and hash for ${path} of ${reference.repository}`,
    );
  }
  return { path, size: Number(size), hash };
}

export function fileUrl(client: HubClient, { repository }: HubReference, commit: string, path: string): string {
  return `${client.settings.endpoint}/${repository}/resolve/${commit}/${path.split("/").map(encodeURIComponent).join("/")}`;
}

/** Returns the hash of a file in the hub's own headers; null if they have none that can be checked. */
export function hashOf(hubHeaders: Headers): string | null {
  const etag = (hubHeaders.get("x-linked-etag") ?? hubHeaders.get("etag"))?.replace(/^W\//, "").replaceAll('"', "");
  return etag !== undefined && isHash(etag) ? etag : null;
}

/** A file as the hub lists it; large files have `lfs`. */
interface Sibling {
  readonly rfilename: string;
  readonly size?: unknown;
  readonly blobId?: unknown;
  readonly lfs?: { readonly sha256?: unknown } | null;
}

function isSibling(value: unknown): value is Sibling {
  return typeof (value as Partial<Sibling> | null)?.rfilename === "string";
}

function listedFile({ rfilename: path, size, blobId, lfs }: Sibling): ListedFile {
  const hash = lfs === undefined || lfs === null ? blobId : lfs.sha256;
  return {
    path,
    size: typeof size === "number" && Number.isSafeInteger(size) && size >= 0 ? size : null,
    hash: typeof hash === "string" && isHash(hash) ? hash : null,
  };
}

function isHash(text: string): boolean {
  return /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(text);
}

/**
 * A local hub for tests. It lists repositories, sends small files itself and large files from a second port, like the
 * hub's file servers, and can be given faults. Files may be generated while they are sent, so that large files use no
 * memory.
 */

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

import { randomSource } from "../fixtures/random-model.js";

export interface HubFile {
  readonly size: number;
  /** The hub's hash of the file: sha256 of a large file, git object id of a small file. */
  readonly hash: string;
  readonly isLarge: boolean;
  read(start: number, end: number): Uint8Array;
}

export interface HubRepository {
  readonly commit: string;
  readonly files: ReadonlyMap<string, HubFile>;
  /** Branches and tags. Default: only `main`. */
  readonly revisions?: readonly string[];
  readonly access?: "public" | "private" | "gated";
}

/** Faults that a test can set. Functions are called for every answer that they may affect. */
export interface Faults {
  /** Returns a status and headers to answer with, or null. */
  refuse?: (request: HubRequest) => { readonly status: number; readonly headers?: Record<string, string> } | null;
  /** Returns the number of bytes after which the connection breaks, ends as if complete, or stalls, or null. */
  cut?: (request: HubRequest) => { readonly after: number; readonly how: "break" | "end" | "stall" } | null;
  /** Changes bytes of the file, which begin at offset `start`. */
  alter?: (bytes: Uint8Array, start: number, request: HubRequest) => void;
  /** Milliseconds between blocks of 64 KiB, so that sent data does not accumulate in network buffers. */
  pauseMs?: number;
  /** Send the complete file, whatever range is requested. */
  ignoreRange?: boolean;
  /** Hash in the headers of a file, instead of the correct one. */
  hash?: string;
  /** Etag of the file server. */
  etag?: () => string;
  /** Omit sizes and hashes from the list of files. */
  bareList?: boolean;
  /** Name of a file that is added to the list of files. */
  listed?: string;
}

export interface HubRequest {
  readonly server: "hub" | "files";
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
}

export const TOKEN = "hf_opensesame";

export class HubServer {
  readonly repositories = new Map<string, HubRepository>();
  readonly requests: HubRequest[] = [];
  readonly endpoint: string;
  faults: Faults = {};
  /** Called with the number of bytes of files that have been sent since the server started. */
  onSent: (numBytes: number) => void = () => {};
  #numSent = 0;

  private constructor(
    private readonly hub: Server,
    private readonly fileServer: Server,
  ) {
    this.endpoint = addressOf(hub);
  }

  static async start(): Promise<HubServer> {
    const servers = [createServer(), createServer()] as const;
    await Promise.all(
      servers.map((server) => new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening))),
    );
    const hub = new HubServer(...servers);
    for (const [index, server] of servers.entries()) {
      server.on(
        "request",
        (request, response) =>
          void hub.#answer(index === 0 ? "hub" : "files", request, response).catch(() => response.destroy()),
      );
    }
    return hub;
  }

  get numSent(): number {
    return this.#numSent;
  }

  /** Environment variables with which programs use this hub and store files only below `folder`. */
  environment(folder: string): Record<string, string> {
    return {
      HF_ENDPOINT: this.endpoint,
      HF_HOME: join(folder, "home"),
      HF_HUB_CACHE: join(folder, "hub"),
      HF_TOKEN: "",
      HF_HUB_OFFLINE: "",
    };
  }

  async close(): Promise<void> {
    for (const server of [this.hub, this.fileServer]) {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    }
  }

  async #answer(server: HubRequest["server"], message: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(message.url!, this.endpoint);
    const request: HubRequest = {
      server,
      method: message.method!,
      path: decodeURIComponent(url.pathname),
      headers: message.headers,
    };
    this.requests.push(request);
    const refusal = this.faults.refuse?.(request) ?? null;
    if (refusal !== null) return end(response, refusal.status, refusal.headers);
    if (server === "files") return this.#sendStored(request, response);
    const list = /^\/api\/models\/([^/]+\/[^/]+)\/revision\/(.+)$/.exec(request.path);
    const file = /^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(request.path);
    const [, name, revision, path] = (list ?? file)!;
    const repository = this.repositories.get(name!);
    const isKnown = message.headers.authorization === `Bearer ${TOKEN}`;
    if (message.headers.authorization !== undefined && !isKnown) {
      return end(response, 401, { "x-error-message": "Invalid credentials in Authorization header" });
    }
    // The hub does not reveal whether a hidden repository exists.
    if (repository === undefined || (repository.access === "private" && !isKnown))
      return end(response, isKnown ? 404 : 401, { "x-error-code": "RepoNotFound" });
    if (revision !== repository.commit && !(repository.revisions ?? ["main"]).includes(revision!))
      return end(response, 404, { "x-error-code": "RevisionNotFound" });
    if (list !== null) return this.#sendList(repository, response);
    if (repository.access === "gated") return end(response, isKnown ? 403 : 401, { "x-error-code": "GatedRepo" });
    const stored = repository.files.get(path!);
    if (stored === undefined) return end(response, 404, { "x-error-code": "EntryNotFound" });
    return this.#sendFile(stored, repository, request, response);
  }

  #sendList({ commit, files }: HubRepository, response: ServerResponse): void {
    const siblings: object[] = [...files].map(([rfilename, { size, hash, isLarge }]) => {
      if (this.faults.bareList === true) return { rfilename };
      return {
        rfilename,
        size,
        blobId: isLarge ? "0".repeat(40) : hash,
        ...(isLarge ? { lfs: { sha256: hash, size, pointerSize: 134 } } : {}),
      };
    });
    if (this.faults.listed !== undefined)
      siblings.push({ rfilename: this.faults.listed, size: 1, blobId: "0".repeat(40) });
    end(response, 200, { "content-type": "application/json" }, JSON.stringify({ sha: commit, siblings }));
  }

  #sendFile(
    file: HubFile,
    { commit }: HubRepository,
    request: HubRequest,
    response: ServerResponse,
  ): void | Promise<void> {
    const hash = this.faults.hash ?? file.hash;
    const headers = { "x-repo-commit": commit, "x-linked-etag": `"${hash}"`, "x-linked-size": String(file.size) };
    if (!file.isLarge) return this.#sendBytes(file, request, response, { ...headers, etag: `"${hash}"` });
    // Real addresses are signed and expire.
    end(response, 302, { ...headers, location: `${addressOf(this.fileServer)}/${file.hash}?signature=secret` });
  }

  #sendStored(request: HubRequest, response: ServerResponse): void | Promise<void> {
    const hash = request.path.slice(1);
    for (const { files } of this.repositories.values()) {
      const file = [...files.values()].find((other) => other.hash === hash);
      if (file !== undefined)
        return this.#sendBytes(file, request, response, { etag: this.faults.etag?.() ?? '"stored"' });
    }
    end(response, 403);
  }

  async #sendBytes(
    file: HubFile,
    request: HubRequest,
    response: ServerResponse,
    headers: Record<string, string>,
  ): Promise<void> {
    const { method, headers: asked } = request;
    const range = /^bytes=(\d+)-(\d+)$/.exec(asked.range ?? "");
    const isCurrent = asked["if-range"] === undefined || asked["if-range"] === headers["etag"];
    const isPart = range !== null && isCurrent && this.faults.ignoreRange !== true;
    const start = isPart ? Number(range[1]) : 0;
    const last = isPart ? Math.min(Number(range[2]), file.size - 1) : file.size - 1;
    const cut = this.faults.cut?.(request) ?? null;
    response.writeHead(isPart ? 206 : 200, {
      ...headers,
      ...(isPart ? { "content-range": `bytes ${start}-${last}/${file.size}` } : {}),
      ...(cut?.how === "end" ? {} : { "content-length": String(last + 1 - start) }),
    });
    if (method === "HEAD") return void response.end();
    const stop = cut === null ? last + 1 : Math.min(last + 1, start + cut.after);
    for (let position = start; position < stop; position += SENT_BYTES) {
      const bytes = Uint8Array.from(file.read(position, Math.min(position + SENT_BYTES, stop)));
      this.faults.alter?.(bytes, position, request);
      if (!response.write(bytes)) await drained(response);
      if (this.faults.pauseMs !== undefined) await pause(this.faults.pauseMs);
      if (response.destroyed) return;
      this.onSent((this.#numSent += bytes.length));
    }
    if (cut === null || cut.how === "end") return void response.end();
    // The delay lets written data arrive before the connection breaks.
    if (cut.how === "break") setTimeout(() => response.destroy(), 5);
  }
}

/** Creates a file. As on the hub, files of weights are large files. */
export function storedFile(path: string, bytes: Uint8Array): HubFile {
  const isLarge = /\.(safetensors|onnx|onnx_data(_\d+)?)$/.test(path);
  const hash = isLarge
    ? createHash("sha256").update(bytes)
    : createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes);
  return { size: bytes.length, hash: hash.digest("hex"), isLarge, read: (start, end) => bytes.subarray(start, end) };
}

/** Creates a large file of random bytes, of which only 64 KiB are stored. */
export function randomFile(size: number, seed = 1): HubFile {
  const random = randomSource(seed);
  const block = Uint8Array.from({ length: BLOCK_BYTES }, () => Math.floor(random() * 256));
  // Each block has the same bytes, rotated by a different offset, so that blocks differ.
  const blocks = Buffer.concat([block, block, block]);
  const read = (start: number, end: number): Uint8Array => {
    const bytes = new Uint8Array(end - start);
    for (let position = start; position < end;) {
      const offset = position % BLOCK_BYTES;
      const length = Math.min(BLOCK_BYTES - offset, end - position);
      const from = ((Math.floor(position / BLOCK_BYTES) * 7919) % BLOCK_BYTES) + offset;
      bytes.set(blocks.subarray(from, from + length), position - start);
      position += length;
    }
    return bytes;
  };
  const hash = createHash("sha256");
  for (let position = 0; position < size; position += SENT_BYTES)
    hash.update(read(position, Math.min(position + SENT_BYTES, size)));
  return { size, hash: hash.digest("hex"), isLarge: true, read };
}

/** Creates a repository with the files of a folder. */
export function folderRepository(folder: string, options: Partial<HubRepository> = {}): HubRepository {
  return textRepository(
    Object.fromEntries(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name))])),
    options,
  );
}

/** Creates a repository from file contents, which also determine its commit. */
export function textRepository(
  contents: Readonly<Record<string, string | Uint8Array | HubFile>>,
  options: Partial<HubRepository> = {},
): HubRepository {
  const files = new Map(
    Object.entries(contents).map(([path, content]) => {
      if (typeof content === "string") return [path, storedFile(path, Buffer.from(content))] as const;
      return [path, content instanceof Uint8Array ? storedFile(path, content) : content] as const;
    }),
  );
  const commit = createHash("sha1");
  for (const [path, { hash }] of files) commit.update(`${path} ${hash}\n`);
  return { commit: commit.digest("hex"), files, ...options };
}

const SENT_BYTES = 64 << 10;
const BLOCK_BYTES = 64 << 10;

function addressOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Resolves when the response has drained or closed. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((done) => {
    const go = (): void => {
      response.off("drain", go).off("close", go);
      done();
    };
    response.once("drain", go).once("close", go);
  });
}

function end(response: ServerResponse, status: number, headers: Record<string, string> = {}, body = ""): void {
  response.writeHead(status, headers).end(body);
}

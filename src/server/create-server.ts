/** Creates a complete server, for programs and tests: models in worker threads, and the HTTP server. */

import { readFileSync } from "node:fs";

import { pino, type Logger } from "pino";

import { EngineError, refuseUnknownOptions } from "../../engine/errors.js";
import type { LoadModelOptions } from "../../engine/index.js";
import { LIMITS } from "../../engine/limits.js";
import type { Dialect } from "../openai/index.js";
import { EngineHost } from "./host.js";
import { ModelRegistry, servedNames, type ServedModel } from "./models.js";
import { checkServerOptions } from "./server-options.js";
import { startServer, type ApiServer } from "./server.js";
import type { WorkerModel } from "./worker-protocol.js";

/** A model and its load options, except for the callbacks and the signal, which the server sets. */
export interface ServedModelOptions extends WorkerModel {
  /** Name of the model in requests. */
  readonly id: string;
}

export interface CreateServerOptions {
  /** Models to serve; the first one is the default model. Default: the embedded model, as `tiny`. */
  readonly models?: readonly ServedModelOptions[];
  /** Additional names, each mapped to the id of a served model. */
  readonly aliases?: Readonly<Record<string, string>>;
  /** Address to listen on. Default: 127.0.0.1. */
  readonly host?: string;
  /** Port to listen on. Default: 0, any free port. */
  readonly port?: number;
  /** API keys, one of which every request must carry. Default: none, requests need no key. */
  readonly apiKeys?: readonly string[];
  /**
   * Further host names to which requests without a key may be sent. Without keys, other names are refused, so that web
   * pages cannot use the server under a name of their own. Names of this machine (loopback) are always allowed, and IP
   * addresses on a server that listens beyond this machine. Default: none.
   */
  readonly allowedHosts?: readonly string[];
  /** Set to listen on a non-loopback address without API keys. Default: false. */
  readonly insecure?: boolean;
  /** Allowed CORS origins; `*` allows all. Default: none. */
  readonly corsOrigins?: readonly string[];
  /** Request format of all paths. Default: the path determines the format (contract, section 1). */
  readonly dialect?: Dialect | null;
  /**
   * Date that chat templates write, such as `2026-11-30`, unless a request has its own (`chat_template_kwargs.date`).
   * Default: today's date in UTC.
   */
  readonly date?: string | null;
  /** Maximum number of waiting requests for each model. Default: 128. */
  readonly maxQueue?: number;
  /** Maximum size of a request body in bytes. Default: 8 MiB. */
  readonly maxBodyBytes?: number;
  /** Logger. Default: nothing is logged. */
  readonly log?: Logger;
  /** Set to log the text of messages and answers. Default: false. */
  readonly logContent?: boolean;
  /** Called with a model's id; returns the callbacks that receive the loading progress of this model. */
  readonly onLoading?: (id: string) => LoadingCallbacks;
}

const OPTIONS: Readonly<Record<keyof CreateServerOptions, true>> = {
  models: true,
  aliases: true,
  host: true,
  port: true,
  apiKeys: true,
  allowedHosts: true,
  insecure: true,
  corsOrigins: true,
  dialect: true,
  date: true,
  maxQueue: true,
  maxBodyBytes: true,
  log: true,
  logContent: true,
  onLoading: true,
};

export type LoadingCallbacks = Pick<LoadModelOptions, "onProgress" | "onDownload" | "onNotice">;

export interface RunningServer {
  /** URL of the server, such as `http://127.0.0.1:8000`. The base URL for OpenAI clients is this URL plus `/v1`. */
  readonly url: string;
  /** All ids and aliases that requests may use as `model`. */
  readonly modelNames: readonly string[];
  /**
   * Resolves if a model's engine has stopped three times within a minute: it is not started again, its requests get
   * `model_loading`, and the server should be restarted.
   */
  readonly failed: Promise<EngineError>;
  /** Lets running answers finish for up to `graceMs` (default: 0), then stops the server and its models. */
  close(graceMs?: number): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A listening server whose models may still be loading. */
export interface ListeningServer extends RunningServer {
  /** Resolves with the numerics profile of each model, by id, when all models are loaded. */
  readonly loaded: Promise<ReadonlyMap<string, string>>;
}

/**
 * Starts a server and waits until its models are loaded.
 *
 * @throws EngineError for an invalid option, a model that cannot be loaded, or an address that is not available
 */
export async function createServer(options: CreateServerOptions = {}): Promise<RunningServer> {
  const server = await listen(options);
  try {
    await server.loaded;
    return server;
  } catch (error) {
    await server.close();
    throw error;
  }
}

export interface ListenParts {
  /** Returns the number of log lines that the logger's destination has dropped, for the metrics. */
  readonly numDroppedLogLines?: () => number;
  /** Time for which requests wait for a model that is being loaded; they then get `model_loading`. */
  readonly holdMs?: number;
}

/** Starts a server without waiting for its models; requests wait until they are loaded. */
export async function listen(
  options: CreateServerOptions,
  { numDroppedLogLines, holdMs }: ListenParts = {},
): Promise<ListeningServer> {
  const {
    models = [{ id: "tiny" }],
    aliases = {},
    host = "127.0.0.1",
    port = 0,
    apiKeys = [],
    maxQueue = 128,
  } = options;
  const { log = pino({ level: "silent" }), onLoading = () => ({}) } = options;
  refuseUnknownOptions(options, Object.keys(OPTIONS), "a server");
  checkServerOptions(options);
  // Check the names before any worker starts.
  const aliasMap = new Map(Object.entries(aliases));
  servedNames(
    models.map(({ id }) => id),
    aliasMap,
  );
  const hosts: ServedModel[] = [];
  const closeHosts = async (): Promise<void> => {
    await Promise.all(hosts.map(({ host }) => host.close()));
  };
  try {
    for (const { id, ...model } of models) {
      const numPlaces = model.maxConcurrency ?? LIMITS.runningSequencesDefault;
      const queue = { numPlaces, maxWaiting: maxQueue };
      const parts = { ...queue, holdMs, log: log.child({ model: id }), ...onLoading(id) };
      hosts.push({ id, host: new EngineHost({ model, ...parts }) });
    }
    const registry = new ModelRegistry(hosts, aliasMap);
    const server = await startServer({
      host,
      port,
      models: registry,
      apiKeys,
      allowedHosts: options.allowedHosts ?? [],
      corsOrigins: options.corsOrigins ?? [],
      dialect: options.dialect ?? null,
      date: options.date ?? null,
      maxBodyBytes: options.maxBodyBytes ?? 8 << 20,
      version: programVersion(),
      log,
      logContent: options.logContent ?? false,
      ...(numDroppedLogLines === undefined ? {} : { numDroppedLogLines }),
    }).catch((cause: Error) => {
      const message = `Cannot listen on ${host}, port ${port}: ${cause.message}`;
      throw new EngineError("address_unavailable", message, "port", { cause });
    });
    return running(server, registry, closeHosts);
  } catch (error) {
    await closeHosts();
    throw error;
  }
}

function running(server: ApiServer, registry: ModelRegistry, closeHosts: () => Promise<void>): ListeningServer {
  const close = async (graceMs = 0): Promise<void> => {
    await server.close(graceMs);
    await closeHosts();
  };
  const infos = registry.all().map(async ({ id, host }) => [id, (await host.loaded).profile] as const);
  const loaded = Promise.all(infos).then((profiles) => new Map(profiles));
  // The caller handles a rejection; until it does, the rejection must not end the process as unhandled.
  loaded.catch(() => {});
  const failed = Promise.race(
    registry.all().map(async ({ id, host }) => {
      const cause = await host.failed;
      return new EngineError("internal_error", `The model ${id} is not served any more: ${cause.message}`, null, {
        cause,
      });
    }),
  );
  return { url: server.url, modelNames: registry.names(), failed, loaded, close, [Symbol.asyncDispose]: () => close() };
}

function programVersion(): string {
  const manifest = readFileSync(new URL("../../../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}

/** A server in one call, for programs and tests: models in worker threads, HTTP in front. */

import { readFileSync } from "node:fs";

import { pino, type Logger } from "pino";

import { EngineError, type Naming } from "../../engine/errors.js";
import type { LoadModelOptions } from "../../engine/index.js";
import { LIMITS } from "../../engine/limits.js";
import type { Dialect } from "../openai/index.js";
import { EngineHost } from "./host.js";
import { isLoopback } from "./keys.js";
import { ModelRegistry, servedNames } from "./models.js";
import { startServer, type ApiServer } from "./server.js";

/** A model and how it is loaded; callbacks and signal are the server's. */
export interface ServedModelOptions extends Omit<
  LoadModelOptions,
  "onProgress" | "onDownload" | "onNotice" | "signal"
> {
  /** What requests call it. */
  readonly id: string;
}

export interface CreateServerOptions {
  /** The first is the default one. The embedded model, as `tiny`, unless given. */
  readonly models?: readonly ServedModelOptions[];
  /** More names, each with the id that it stands for. */
  readonly aliases?: Readonly<Record<string, string>>;
  /** The address to listen on: 127.0.0.1 unless given. */
  readonly host?: string;
  /** 0, the default, takes any free one. */
  readonly port?: number;
  /** Requests need one of them; none by default. */
  readonly apiKeys?: readonly string[];
  /** Whether others may reach the server without a key: false unless given. */
  readonly insecure?: boolean;
  /** Origins that browsers may call from; `*` for all; none by default. */
  readonly corsOrigins?: readonly string[];
  /** The request format of every path; it follows the path unless given (contract, section 1). */
  readonly dialect?: Dialect | null;
  /** Requests to a model that may wait: 128 unless given. */
  readonly maxQueue?: number;
  /** Bytes of a request's body: 8 MiB unless given. */
  readonly maxBodyBytes?: number;
  /** Nothing is logged unless given. */
  readonly log?: Logger;
  /** Whether the log may carry the text of messages and answers: false unless given. */
  readonly logContent?: boolean;
  /** Called with a model's id; what it returns is told how that model is loaded. */
  readonly onLoading?: (id: string) => LoadingCallbacks;
}

export type LoadingCallbacks = Pick<LoadModelOptions, "onProgress" | "onDownload" | "onNotice">;

export interface RunningServer {
  /** Such as `http://127.0.0.1:8000`; OpenAI's clients take it with `/v1` as their base URL. */
  readonly url: string;
  /** Every name that requests may give as their model. */
  readonly modelNames: readonly string[];
  /** Lets running answers finish for that long, 0 unless given, then ends the server and its models. */
  close(graceMs?: number): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A server that listens, whose models may still be loading. */
export interface ListeningServer extends RunningServer {
  /** The profile that each model runs in, once all are loaded. */
  readonly loaded: Promise<ReadonlyMap<string, string>>;
}

/**
 * Starts a server, and waits until its models are loaded.
 * @throws EngineError for an option or a model that cannot be used, or an address that is taken
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

/** Starts a server, and does not wait for its models: until they are loaded it answers with `model_loading`. */
export async function listen(options: CreateServerOptions): Promise<ListeningServer> {
  const {
    models = [{ id: "tiny" }],
    aliases = {},
    host = "127.0.0.1",
    port = 0,
    apiKeys = [],
    maxQueue = 128,
  } = options;
  const { log = pino({ level: "silent" }), onLoading = () => ({}) } = options;
  if (apiKeys.length === 0 && options.insecure !== true && !isLoopback(host)) {
    const message = (named: Naming): string =>
      `Listening on ${host} lets others reach the server: set an API key, or allow it with ${named("insecure")}.`;
    throw new EngineError("unsupported_value", message, "host");
  }
  // Names are checked before an engine starts to work.
  const aliasMap = new Map(Object.entries(aliases));
  servedNames(
    models.map(({ id }) => id),
    aliasMap,
  );
  const hosts = models.map(({ id, ...model }) => {
    const numPlaces = model.maxConcurrency ?? LIMITS.runningSequencesDefault;
    const queue = { numPlaces, maxWaiting: maxQueue };
    return { id, host: new EngineHost({ model, ...queue, log: log.child({ model: id }), ...onLoading(id) }) };
  });
  const closeHosts = async (): Promise<void> => {
    await Promise.all(hosts.map(({ host }) => host.close()));
  };
  try {
    const registry = new ModelRegistry(hosts, aliasMap);
    const server = await startServer({
      host,
      port,
      models: registry,
      apiKeys,
      corsOrigins: options.corsOrigins ?? [],
      dialect: options.dialect ?? null,
      maxBodyBytes: options.maxBodyBytes ?? 8 << 20,
      version: programVersion(),
      log,
      logContent: options.logContent ?? false,
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
  // The caller looks at it; a rejection must not end the process before.
  loaded.catch(() => {});
  return { url: server.url, modelNames: registry.names(), loaded, close, [Symbol.asyncDispose]: () => close() };
}

function programVersion(): string {
  const manifest = readFileSync(new URL("../../../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}

/**
 * The HTTP server: listens, checks host, path, method and key of each request in the contract's order, calls its route
 * (routes.ts), and shuts down gracefully.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";

import type { Logger } from "pino";

import { dateOf } from "../../engine/model/index.js";
import { ApiError, RETRY_SOON, type Dialect } from "../openai/index.js";
import { Connection } from "./connection.js";
import { Exchange } from "./exchange.js";
import { ApiKeys } from "./keys.js";
import { Metrics } from "./metrics.js";
import type { ModelRegistry } from "./models.js";
import { RequestParser, type RequestParserOptions } from "./request-parser.js";
import { BodyRoom } from "./request-body.js";
import { AllowedHosts } from "./request-host.js";
import { findRoute, type Route } from "./routes.js";
import type { Services } from "./services.js";

export interface ServerOptions {
  readonly host: string;
  /** Port to listen on; 0 for any free port. */
  readonly port: number;
  readonly models: ModelRegistry;
  /** Accepted API keys; if empty, requests need no key. */
  readonly apiKeys: readonly string[];
  /** Host names to which requests without a key may be sent, in addition to those of this machine. */
  readonly allowedHosts: readonly string[];
  /** Allowed CORS origins; `*` allows all; if empty, CORS is off. */
  readonly corsOrigins: readonly string[];
  /** Dialect of all paths; null if the path determines the dialect. */
  readonly dialect: Dialect | null;
  /** Date for chat templates, unless a request has its own; null for today's in UTC. */
  readonly date: string | null;
  readonly maxBodyBytes: number;
  readonly bodyTimeoutMs?: number;
  readonly heartbeatMs?: number;
  /** Time that a client may take for the part of a response that waits for it. */
  readonly stallMs?: number;
  readonly parser?: RequestParserOptions;
  readonly version: string;
  readonly log: Logger;
  readonly logContent: boolean;
  /** Number of log lines that the logger's destination has dropped. */
  readonly numDroppedLogLines?: () => number;
}

/** Resolves when the server listens. */
export async function startServer(options: ServerOptions): Promise<ApiServer> {
  const server = new ApiServer(options);
  await server.listen();
  return server;
}

export class ApiServer {
  readonly #options: ServerOptions;
  readonly #keys: ApiKeys;
  /** Null if keys are required: a web page that uses another name for this server has no key. */
  readonly #hosts: AllowedHosts | null;
  readonly #services: Services;
  readonly #server: Server;
  readonly #active = new Set<Exchange>();
  #onIdle: () => void = () => {};
  #isDraining = false;

  constructor(options: ServerOptions) {
    const {
      models,
      dialect,
      date,
      version,
      log,
      logContent,
      maxBodyBytes,
      bodyTimeoutMs = BODY_TIMEOUT_MS,
      heartbeatMs = HEARTBEAT_MS,
      stallMs = STALL_MS,
    } = options;
    this.#options = options;
    this.#keys = new ApiKeys(options.apiKeys);
    this.#hosts = this.#keys.isEmpty ? new AllowedHosts(options.host, options.allowedHosts) : null;
    this.#services = {
      models,
      metrics: new Metrics(models, options.numDroppedLogLines),
      dialect,
      requests: new RequestParser(options.parser),
      bodyLimits: {
        maxBytes: maxBodyBytes,
        timeoutMs: bodyTimeoutMs,
        room: new BodyRoom(MAX_BODIES_HELD * maxBodyBytes),
      },
      date: () => date ?? dateOf(new Date()),
      pace: { heartbeatMs, stallMs },
      version,
      needsKey: !this.#keys.isEmpty,
      startedAt: Math.floor(Date.now() / 1000),
      log,
      logContent,
      isDraining: () => this.#isDraining,
      noteError: (exchange, error, cause) => this.#noteError(exchange, error, cause),
    };
    const connections = new WeakMap<Socket, Connection>();
    const receive = (request: IncomingMessage, response: ServerResponse): void => {
      const exchange = new Exchange(request, response);
      connections.get(request.socket)!.add(exchange);
      void this.#receive(exchange);
    };
    // `100 Continue` is sent when the body is read, so the client need not send the body of a refused request. Other
    // expectations are ignored, and Node does not check the Host header, so that every refusal has this server's format.
    const timeouts = {
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: HEADERS_TIMEOUT_MS + bodyTimeoutMs,
      keepAliveTimeout: KEEP_ALIVE_MS,
    };
    this.#server = createServer({ requireHostHeader: false, ...timeouts }, receive)
      .on("checkContinue", receive)
      .on("checkExpectation", receive)
      .on("connection", (socket: Socket) => connections.set(socket, new Connection(socket)))
      .on("clientError", (error, socket: Socket) => void connections.get(socket)!.refuse(error));
    // Otherwise Node drops the answers to a client that has ended its sending side. Node's types lack this property.
    Object.assign(this.#server, { httpAllowHalfOpen: true });
  }

  get url(): string {
    const { address, family, port } = this.#server.address() as AddressInfo;
    return `http://${family === "IPv6" ? `[${address}]` : address}:${port}`;
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(this.#options.port, this.#options.host, resolve);
    });
  }

  /** Refuses new requests, lets running ones finish for `graceMs`, aborts the rest, and stops listening. */
  async close(graceMs: number): Promise<void> {
    this.#isDraining = true;
    await this.#idle(graceMs);
    for (const exchange of this.#active)
      exchange.abort(
        new ApiError("shutting_down", "The server is shutting down and ended this answer.", null, RETRY_SOON),
      );
    await this.#idle(LAST_WORDS_MS);
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
    await this.#services.requests.close();
  }

  async #receive(exchange: Exchange): Promise<void> {
    this.#active.add(exchange);
    try {
      await this.#answer(exchange);
    } catch (error) {
      const apiError = exchange.fail(error);
      if (apiError !== null) this.#noteError(exchange, apiError, error);
    } finally {
      // Cancel any work that still runs for this exchange.
      exchange.abort(new Error("The exchange is over"));
    }
    await exchange.closed;
    this.#active.delete(exchange);
    if (this.#active.size === 0) this.#onIdle();
    this.#note(exchange);
  }

  async #answer(exchange: Exchange): Promise<void> {
    this.#allowOrigin(exchange);
    if (this.#isDraining) exchange.setHeader("connection", "close");
    const host = exchange.host();
    this.#hosts?.check(host);
    const route = findRoute(exchange.path, this.#options.dialect);
    exchange.route = route.name;
    if (this.#isPreflight(exchange)) return preflight(exchange, route);
    checkMethod(exchange, route);
    if (!route.isHealth) {
      this.#keys.check(exchange.header("authorization"));
      if (this.#isDraining) throw shuttingDown();
    }
    await route.answer(exchange, this.#services);
  }

  #allowOrigin(exchange: Exchange): void {
    const { corsOrigins } = this.#options;
    if (corsOrigins.length === 0) return;
    const origin = exchange.header("origin");
    const allowsAll = corsOrigins.includes("*");
    if (!allowsAll) exchange.setHeader("vary", "Origin");
    if (!allowsAll && (origin === undefined || !corsOrigins.includes(origin))) return;
    exchange.setHeader("access-control-allow-origin", allowsAll ? "*" : origin!);
    exchange.setHeader(
      "access-control-expose-headers",
      "x-request-id, x-touchstone-seed, x-touchstone-date, x-touchstone-schema-notes, retry-after",
    );
  }

  #isPreflight(exchange: Exchange): boolean {
    const isAsked = exchange.method === "OPTIONS" && exchange.header("access-control-request-method") !== undefined;
    return isAsked && this.#options.corsOrigins.length > 0;
  }

  #note(exchange: Exchange): void {
    const { requestId, method, path, route, status, facts, arrivedAtMs } = exchange;
    this.#services.metrics.countRequest(route, status);
    const level = route === "healthz" || route === "readyz" || route === "metrics" ? "debug" : "info";
    const durationMs = Math.round(performance.now() - arrivedAtMs);
    const line = { requestId, method, path: path.slice(0, 200), status, durationMs, ...facts };
    this.#services.log[level](line, exchange.isClientGone ? "client gone" : "answered");
  }

  #noteError(exchange: Exchange, error: ApiError, cause: unknown): void {
    exchange.facts["error"] = error.code;
    this.#services.metrics.countError(error.code);
    if (error.code === "internal_error")
      this.#services.log.error({ requestId: exchange.requestId, err: cause }, "internal error");
  }

  /** Resolves when no exchange is active, or after `timeoutMs`. */
  async #idle(timeoutMs: number): Promise<void> {
    if (this.#active.size === 0) return;
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<void>((resolve) => (timer = setTimeout(resolve, timeoutMs)));
    await Promise.race([timeout, new Promise<void>((resolve) => (this.#onIdle = resolve))]);
    clearTimeout(timer);
  }
}

const HEADERS_TIMEOUT_MS = 30_000;
const BODY_TIMEOUT_MS = 30_000;
/** The bodies of all requests in progress may together take as much memory as this number of the largest ones. */
const MAX_BODIES_HELD = 8;
/** Longer than clients keep idle connections: if the server closes one first, a request on it may be lost. */
const KEEP_ALIVE_MS = 75_000;
const HEARTBEAT_MS = 15_000;
const STALL_MS = 60_000;
/** Time for aborted answers to send their last chunk during shutdown. */
const LAST_WORDS_MS = 1_000;

function checkMethod({ method }: Exchange, route: Route): void {
  const allowed = route.method === "GET" ? ["GET", "HEAD"] : [route.method];
  if (allowed.includes(method)) return;
  throw new ApiError(
    "method_not_allowed",
    `The method ${method} is not allowed for this path. Allowed: ${allowed.join(", ")}`,
    null,
    {
      headers: { allow: allowed.join(", ") },
    },
  );
}

function preflight(exchange: Exchange, route: Route): void {
  exchange.setHeader("access-control-allow-methods", route.method);
  exchange.setHeader(
    "access-control-allow-headers",
    exchange.header("access-control-request-headers") ?? "authorization, content-type",
  );
  exchange.setHeader("access-control-max-age", "600");
  exchange.sendNothing();
}

function shuttingDown(): ApiError {
  return new ApiError("shutting_down", "The server is shutting down and accepts no new requests.", null, RETRY_SOON);
}

/**
 * Client for requests to the hub: follows redirects, limits silence, retries, and explains refusals to the user. The
 * token is sent only to the endpoint, so redirects are followed here and not by fetch.
 */

import { setTimeout as pause } from "node:timers/promises";

import { EngineError } from "../../errors.js";
import { LIMITS } from "../../limits.js";
import type { HubReference } from "./reference.js";
import type { HubSettings } from "./settings.js";

/** Limits for retries and silence; tests use smaller ones. */
export interface Pace {
  readonly maxAttempts: number;
  readonly pauseMs: number;
  readonly stallMs: number;
}

export const PACE: Pace = {
  maxAttempts: LIMITS.maxHubAttempts,
  pauseMs: LIMITS.hubPauseMs,
  stallMs: LIMITS.hubStallMs,
};

/** Subject of a request, named in the error if it is refused. */
export interface Subject extends HubReference {
  /** Path of a file; null for the repository itself. */
  readonly path: string | null;
}

export interface Ask {
  readonly method?: "GET" | "HEAD";
  readonly headers?: Readonly<Record<string, string>>;
  /** True (the default) to follow redirects to other hosts; otherwise such a redirect is itself the answer. */
  readonly leavesEndpoint?: boolean;
}

/** A failure that a retry may resolve. */
export class Transient extends Error {
  override readonly name = "Transient";

  constructor(
    message: string,
    readonly retryAfterMs: number | null = null,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

export class HubClient {
  constructor(
    readonly settings: HubSettings,
    readonly signal: AbortSignal,
    readonly pace: Pace = PACE,
  ) {}

  /**
   * Runs `attempt` until it ends without a transient failure.
   *
   * @param progress returns a number that grows when attempts make progress, which resets the count of failures
   * @throws EngineError hub_unreachable with the last failure
   */
  async retrying<T>(attempt: () => Promise<T>, progress: () => number = () => 0): Promise<T> {
    let numFailures = 0;
    for (let before = progress(); ;) {
      try {
        this.signal.throwIfAborted();
        return await attempt();
      } catch (error) {
        if (!(error instanceof Transient)) throw error;
        if (progress() > before) numFailures = 0;
        before = progress();
        if (++numFailures >= this.pace.maxAttempts || (error.retryAfterMs ?? 0) > LIMITS.maxHubRetryAfterMs)
          throw this.#unreachable(error);
        // Half of the pause is random, so that clients that failed together do not retry together.
        const longestMs = Math.min(this.pace.pauseMs * 2 ** (numFailures - 1), LIMITS.maxHubPauseMs);
        const pauseMs = error.retryAfterMs ?? longestMs * (0.5 + Math.random() / 2);
        await pause(pauseMs, undefined, { signal: this.signal }).catch(() => this.signal.throwIfAborted());
      }
    }
  }

  /**
   * Sends one request and follows redirects.
   *
   * @throws Transient for a failure that a retry may resolve, EngineError for any other
   */
  async request(
    url: string,
    subject: Subject,
    { method = "GET", headers = {}, leavesEndpoint = true }: Ask = {},
  ): Promise<Answer> {
    const endpoint = new URL(this.settings.endpoint);
    let hubHeaders: Headers | null = null;
    let target = new URL(url);
    for (let numRedirects = 0; numRedirects <= LIMITS.maxHubRedirects; numRedirects++) {
      const isEndpoint = target.origin === endpoint.origin;
      const answer = await this.#fetch(target, method, {
        // Ranges and sizes must be those of the file, not of a compressed form of it.
        "accept-encoding": "identity",
        "user-agent": "touchstone",
        ...headers,
        ...(isEndpoint && this.settings.token !== null ? { authorization: `Bearer ${this.settings.token}` } : {}),
      });
      if (isEndpoint) hubHeaders = answer.headers;
      answer.hubHeaders = hubHeaders;
      const location = REDIRECTS.has(answer.status) ? answer.headers.get("location") : null;
      if (location === null) {
        if (answer.isOk || answer.status === RANGE_NOT_SATISFIABLE) return answer;
        answer.discard();
        throw isEndpoint ? this.#refusal(answer, subject) : elsewhereRefusal(answer, target);
      }
      const next = URL.canParse(location, target.href) ? new URL(location, target) : null;
      if (
        next === null ||
        !/^https?:$/.test(next.protocol) ||
        // fetch refuses such an address with an error that contains the password.
        next.username !== "" ||
        next.password !== "" ||
        (target.protocol === "https:" && next.protocol === "http:")
      ) {
        answer.discard();
        throw new EngineError("download_failed", `${target.host} redirects to an address that is not followed`);
      }
      if (!leavesEndpoint && next.origin !== endpoint.origin) return answer;
      answer.discard();
      target = next;
    }
    throw new EngineError("download_failed", `${endpoint.host} redirects more than ${LIMITS.maxHubRedirects} times`);
  }

  async #fetch(url: URL, method: string, headers: Record<string, string>): Promise<Answer> {
    const clock = new Clock(url.host, this.signal, this.pace.stallMs);
    const response = await clock.watch(() =>
      this.settings.fetch(url, { method, headers, redirect: "manual", signal: clock.signal }),
    );
    return new Answer(url, response, clock);
  }

  /** Builds the error for an answer of the endpoint that is neither the requested data nor a redirect to it. */
  #refusal({ status, headers }: Answer, { repository, revision, path }: Subject): Error {
    const { endpoint, token } = this.settings;
    const transient = transientRefusal(status, headers, endpoint);
    if (transient !== null) return transient;
    const page = `${endpoint}/${repository}`;
    const code = headers.get("x-error-code");
    const isMissing =
      code === "RepoNotFound" || (code === null && (status === 401 || (status === 404 && path === null)));
    if (status === 401 && /invalid credentials/i.test(headers.get("x-error-message") ?? "")) {
      return new EngineError(
        "access_denied",
        `${endpoint} does not accept the token: set HF_TOKEN to a valid one, or unset it for public models`,
      );
    }
    if (code === "GatedRepo") {
      const message =
        token === null
          ? `${repository} is gated: accept its terms at ${page}, then set HF_TOKEN to a token of that account`
          : `${repository} is gated, and the token's account has no access: ask for it at ${page}`;
      return new EngineError("access_denied", message);
    }
    if (code === "RevisionNotFound")
      return new EngineError("model_not_found", `${repository} has no revision ${revision} at ${endpoint}`);
    if (code === "EntryNotFound" || (status === 404 && path !== null)) {
      return new EngineError("model_not_found", `${repository} has no file ${path} at revision ${revision}`);
    }
    if (isMissing) {
      const otherwise =
        token === null ? "or it is private: then set HF_TOKEN" : "or the token does not give access to it";
      return new EngineError("model_not_found", `there is no model ${repository} at ${endpoint}, ${otherwise}`);
    }
    if (status === 401 || status === 403)
      return new EngineError("access_denied", `${endpoint} denies access to ${repository} (${status})`);
    return new EngineError("download_failed", `${endpoint} answers ${status} for ${path ?? repository}`);
  }

  #unreachable(cause: Transient): EngineError {
    return new EngineError("hub_unreachable", `the hub cannot be reached: ${cause.message}`, null, { cause });
  }
}

/** An answer whose body is read with a limit on silence. */
export class Answer {
  /** Headers of the endpoint's own answer, even if it was a redirect; null if another host was asked directly. */
  hubHeaders: Headers | null = null;

  constructor(
    readonly url: URL,
    readonly response: Response,
    private readonly clock: Clock,
  ) {}

  get status(): number {
    return this.response.status;
  }

  get isOk(): boolean {
    return this.response.ok;
  }

  get headers(): Headers {
    return this.response.headers;
  }

  /** Yields the body as it arrives. A caller that stops reading early closes the connection. */
  async *chunks(): AsyncGenerator<Uint8Array> {
    const reader = this.response.body?.getReader();
    if (reader === undefined) return;
    try {
      while (true) {
        const { done, value } = await this.clock.watch(() => reader.read());
        if (done) return;
        yield value as Uint8Array;
      }
    } finally {
      this.discard();
    }
  }

  /** @throws Transient if the body is not JSON, such as an error page of a proxy */
  async json(): Promise<unknown> {
    const parts: Uint8Array[] = [];
    let byteLength = 0;
    for await (const part of this.chunks()) {
      byteLength += part.length;
      if (byteLength > LIMITS.maxHubListingBytes) {
        const limit = LIMITS.maxHubListingBytes;
        throw new EngineError(
          "download_failed",
          `${this.url.host} answers with more than ${limit} bytes, but a list of files was requested`,
        );
      }
      parts.push(part);
    }
    try {
      return JSON.parse(Buffer.concat(parts).toString());
    } catch (cause) {
      throw new Transient(`${this.url.host} answers with something that is not JSON`, null, { cause });
    }
  }

  discard(): void {
    this.clock.stop();
  }
}

/** Aborts requests to a host that has been silent for too long, and requests that the caller has canceled. */
class Clock {
  readonly signal: AbortSignal;
  readonly #silence = new AbortController();

  constructor(
    private readonly host: string,
    private readonly caller: AbortSignal,
    private readonly stallMs: number,
  ) {
    this.signal = AbortSignal.any([caller, this.#silence.signal]);
  }

  /** @throws Transient for silence and for any failure of the network */
  async watch<T>(wait: () => Promise<T>): Promise<T> {
    const timer = setTimeout(() => this.#silence.abort(), this.stallMs);
    try {
      return await wait();
    } catch (error) {
      this.caller.throwIfAborted();
      if (this.#silence.signal.aborted)
        throw new Transient(`${this.host} has been silent for ${this.stallMs / 1000} s`);
      throw new Transient(`${this.host}: ${networkFailure(error, this.host)}`, null, { cause: error });
    } finally {
      clearTimeout(timer);
    }
  }

  stop(): void {
    this.#silence.abort();
  }
}

/** Status that is left to the caller that requested the range. */
const RANGE_NOT_SATISFIABLE = 416;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** Errors of other hosts are transient: a signed address expires after a while, and the endpoint gives a new one. */
function elsewhereRefusal({ status, headers }: Answer, { host }: URL): Error {
  return transientRefusal(status, headers, host) ?? new Transient(`${host} answers ${status}`);
}

function transientRefusal(status: number, headers: Headers, who: string): Transient | null {
  return status === 408 || status === 429 || status >= 500
    ? new Transient(`${who} answers ${status}`, retryAfterMs(headers))
    : null;
}

/** Reads `retry-after`, seconds or a date; else `ratelimit`, the seconds until the quota of the hub is renewed. */
function retryAfterMs(headers: Headers): number | null {
  const text = headers.get("retry-after")?.trim();
  if (text === undefined) {
    const renewal = /;\s*r=0\s*;\s*t=(\d+)/.exec(headers.get("ratelimit") ?? "");
    return renewal === null ? null : (Number(renewal[1]) + 1) * 1000;
  }
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  const date = Date.parse(text);
  return Number.isNaN(date) ? null : Math.max(0, date - Date.now());
}

/**
 * Returns the reason that fetch wraps in its own error. An address that is not the host's own is included, because it
 * may be a proxy's.
 */
function networkFailure(error: unknown, host: string): string {
  let innermost = error;
  while (innermost instanceof Error && innermost.cause instanceof Error) innermost = innermost.cause;
  const { code, message, hostname, address, port } = innermost as NodeJS.ErrnoException & {
    hostname?: string;
    address?: string;
    port?: number;
  };
  const proxyStatus = /^Proxy response \((\d+)\)/.exec(message)?.[1];
  if (proxyStatus !== undefined) return `the proxy answers ${proxyStatus}`;
  const words = code === undefined ? undefined : FAILURES[code];
  if (words === undefined) return code ?? withoutAddresses(message);
  const where = hostname ?? (address === undefined ? host : `${address}:${port}`);
  return `${words} (${host.startsWith(where) ? code : `${code} ${where}`})`;
}

/** Cuts addresses down to their host: the rest may contain passwords or signatures. */
function withoutAddresses(message: string): string {
  return message.replace(/\b[a-z][a-z0-9+.-]*:\/\/\S*/gi, (address) =>
    URL.canParse(address) ? new URL(address).host : "an address",
  );
}

const FAILURES: Readonly<Record<string, string>> = {
  ENOTFOUND: "no such host",
  EAI_AGAIN: "the host's name cannot be looked up",
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset",
  ETIMEDOUT: "connection timed out",
  UND_ERR_SOCKET: "connection closed",
};

/**
 * One HTTP request and its response. Its signal aborts when the client disconnects or the exchange is over, so that no
 * work continues for an answer that nobody reads. Independent of the routes.
 */

import { randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { setImmediate as nextTurn } from "node:timers/promises";

import { apiErrorOf, type ApiError } from "../openai/index.js";
import { jsonPieces } from "./json-pieces.js";
import { readJsonBody, type BodyLimits } from "./request-body.js";
import { requestHost } from "./request-host.js";
import { SseStream, type SseOptions } from "./sse.js";
import { write } from "./write.js";

export class Exchange {
  readonly requestId: string;
  readonly method: string;
  readonly path: string;
  readonly arrivedAtMs = performance.now();
  /** Additional fields of this request's log line; message text only with the option `logContent`. */
  readonly facts: Record<string, unknown> = {};
  /** Name of the route, for logs and metrics. */
  route = "unknown";
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #abort = new AbortController();
  #stream: SseStream | null = null;
  /** Resolves when the response is closed, complete or not. */
  readonly closed: Promise<void>;

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.#request = request;
    this.#response = response;
    this.method = request.method ?? "GET";
    // A proxy may send the absolute URL.
    this.path = (request.url ?? "/").replace(/^https?:\/\/[^/?]*/i, "").split("?", 1)[0]! || "/";
    const given = request.headers["x-request-id"];
    this.requestId =
      typeof given === "string" && /^[\w.:-]{1,128}$/.test(given) ? given : `req_${randomBytes(12).toString("hex")}`;
    response.setHeader("x-request-id", this.requestId);
    // Writing to a disconnected client is not an error; the `close` event reports the disconnect.
    response.on("error", () => {});
    this.closed = new Promise((resolve) =>
      response.once("close", () => {
        if (!response.writableFinished) this.abort(new ClientGone());
        resolve();
      }),
    );
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Status as sent; 0 if the client disconnected before the headers were sent. */
  get status(): number {
    return this.#response.headersSent ? this.#response.statusCode : 0;
  }

  get isClientGone(): boolean {
    return this.signal.reason instanceof ClientGone;
  }

  /**
   * Returns the host that the request names, without its port; null if it names none.
   *
   * @throws ApiError invalid_host
   */
  host(): string | null {
    return requestHost(this.#request);
  }

  header(name: string): string | undefined {
    const value = this.#request.headers[name];
    return Array.isArray(value) ? value.join(", ") : value;
  }

  setHeader(name: string, value: string): void {
    this.#response.setHeader(name, value);
  }

  /** False while parts of the request are missing. */
  get isRequestComplete(): boolean {
    return this.#request.complete;
  }

  get isAnswerStarted(): boolean {
    return this.#response.headersSent;
  }

  /** Closes a response whose connection is closed. */
  disconnect(): void {
    this.#response.destroy().emit("close");
  }

  /** Writes something that clients ignore, if the response is a stream. */
  keepAlive(): void {
    this.#stream?.keepAlive();
  }

  /** Cancels all work for this exchange. Only the first call's reason counts. */
  abort(reason: Error): void {
    this.#abort.abort(reason);
  }

  readJsonBody(limits: BodyLimits): Promise<Uint8Array> {
    return readJsonBody(this.#request, this.#response, limits, this.signal);
  }

  stream(options: SseOptions): SseStream {
    this.#stream = new SseStream(this.#response, options);
    return this.#stream;
  }

  sendJson(body: object, status = 200): void {
    this.sendJsonBytes(Buffer.from(JSON.stringify(body)), status);
  }

  sendJsonBytes(json: Buffer, status = 200): void {
    this.#send(json, JSON_TYPE, status);
  }

  /** Sends a body that may take long to serialize; yields to the event loop between parts. */
  async sendLargeJson(body: object, stallMs: number): Promise<void> {
    const parts: Buffer[] = [];
    let text = "";
    for (const piece of jsonPieces(body)) {
      text += piece;
      if (text.length < JSON_PART_CHARS) continue;
      parts.push(Buffer.from(text));
      text = "";
      await nextTurn();
    }
    parts.push(Buffer.from(text));
    if (this.isClientGone) return;
    const numBytes = parts.reduce((sum, part) => sum + part.length, 0);
    this.#response.writeHead(200, { "content-type": JSON_TYPE, "content-length": numBytes });
    // Each part is released when it has been sent.
    for (let part = parts.shift(); part !== undefined; part = parts.shift()) await write(this.#response, part, stallMs);
    this.#response.end();
  }

  sendText(text: string, contentType: string): void {
    this.#send(Buffer.from(text), contentType, 200);
  }

  sendNothing(): void {
    this.#response.writeHead(204).end();
  }

  /**
   * Sends an error response; closes the connection instead if the headers have already been sent.
   *
   * @returns the error to report; null if the client has disconnected
   */
  fail(error: unknown): ApiError | null {
    if (this.isClientGone || this.#response.headersSent) this.#response.destroy();
    if (this.isClientGone) return null;
    const apiError = apiErrorOf(error);
    if (this.#response.headersSent) return apiError;
    for (const [name, value] of Object.entries(apiError.headers)) this.setHeader(name, value);
    // After `Expect: 100-continue` the client may or may not still send the body, so the connection is not reusable.
    if (this.header("expect") !== undefined) this.setHeader("connection", "close");
    this.sendJson(apiError.toBody(), apiError.status);
    return apiError;
  }

  #send(bytes: Buffer, contentType: string, status: number): void {
    this.#response.writeHead(status, { "content-type": contentType, "content-length": bytes.length });
    this.#response.end(bytes);
  }
}

const JSON_TYPE = "application/json; charset=utf-8";
/** Takes about a millisecond to serialize. */
const JSON_PART_CHARS = 128 << 10;

/** Abort reason of an exchange whose client disconnected; no response is sent. */
export class ClientGone extends Error {
  override readonly name = "ClientGone";

  constructor() {
    super("The client closed the connection");
  }
}

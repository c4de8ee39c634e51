/** Writes server-sent events to a ServerResponse, at the pace of the client. Comment lines keep idle streams open. */

import type { ServerResponse } from "node:http";

import { write } from "./write.js";

export interface SseOptions {
  /** Time without an event after which a comment line is sent. */
  readonly heartbeatMs: number;
  /** Time that a client may take for the text that waits for it. */
  readonly stallMs: number;
}

export class SseStream {
  readonly #response: ServerResponse;
  readonly #stallMs: number;
  readonly #heartbeat: NodeJS.Timeout;

  /** Sends the headers. */
  constructor(response: ServerResponse, { heartbeatMs, stallMs }: SseOptions) {
    this.#response = response;
    this.#stallMs = stallMs;
    response.writeHead(200, {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-cache, no-transform",
      "x-accel-buffering": "no", // proxies that support this header forward chunks immediately
    });
    response.flushHeaders();
    this.#heartbeat = setInterval(() => this.keepAlive(), heartbeatMs);
  }

  /** Writes a comment line, unless earlier text still waits to be sent. */
  keepAlive(): void {
    if (this.#isOpen && !this.#response.writableNeedDrain) this.#response.write(": keep-alive\n\n");
  }

  /** Writes one event per object, in a single write. Resolves when more can be written or the stream is closed. */
  async send(objects: readonly object[]): Promise<void> {
    if (objects.length === 0) return;
    this.#heartbeat.refresh();
    const text = objects.map((object) => `data: ${JSON.stringify(object)}\n\n`).join("");
    await write(this.#response, text, this.#stallMs);
  }

  /** Sends the last event and ends the stream. */
  done(): void {
    clearInterval(this.#heartbeat);
    if (this.#isOpen) this.#response.end("data: [DONE]\n\n");
  }

  /** Closes the stream without a last event, for a disconnected client. */
  abandon(): void {
    clearInterval(this.#heartbeat);
    this.#response.destroy();
  }

  get #isOpen(): boolean {
    return !this.#response.destroyed && !this.#response.writableEnded;
  }
}

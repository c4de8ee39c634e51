/**
 * Writes server-sent events to a ServerResponse. Under backpressure, a write waits for `drain`, `close` or `error`, so
 * a disconnected client never blocks the sender. Comment lines keep idle streams open.
 */

import type { ServerResponse } from "node:http";

export class SseStream {
  readonly #response: ServerResponse;
  readonly #heartbeat: NodeJS.Timeout;

  /** Sends the headers. */
  constructor(response: ServerResponse, heartbeatMs: number) {
    this.#response = response;
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
    await this.#write(objects.map((object) => `data: ${JSON.stringify(object)}\n\n`).join(""));
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

  async #write(text: string): Promise<void> {
    const response = this.#response;
    if (!this.#isOpen || response.write(text)) return;
    await new Promise<void>((resolve) => {
      const settle = (): void => {
        for (const event of WRITE_EVENTS) response.off(event, settle);
        resolve();
      };
      for (const event of WRITE_EVENTS) response.on(event, settle);
    });
  }
}

const WRITE_EVENTS = ["drain", "close", "error"] as const;

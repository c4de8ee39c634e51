/**
 * Server-sent events on a ServerResponse. A write that the socket cannot take waits for drain, close or error,
 * whichever comes first, so a client that has gone never holds anybody up. Comment lines keep idle streams open.
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
      "x-accel-buffering": "no", // proxies that understand it pass chunks on at once
    });
    response.flushHeaders();
    this.#heartbeat = setInterval(() => {
      if (this.#isOpen && !response.writableNeedDrain) response.write(": keep-alive\n\n");
    }, heartbeatMs);
  }

  /** Writes one event for each object, in one piece. Resolves when more can be written, or never will. */
  async send(objects: readonly object[]): Promise<void> {
    if (objects.length === 0) return;
    this.#heartbeat.refresh();
    await this.#write(objects.map((object) => `data: ${JSON.stringify(object)}\n\n`).join(""));
  }

  /** The last event. Nothing may be sent after it. */
  done(): void {
    clearInterval(this.#heartbeat);
    if (this.#isOpen) this.#response.end("data: [DONE]\n\n");
  }

  /** Stops without a last event: the client has gone. */
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

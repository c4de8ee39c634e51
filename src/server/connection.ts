/**
 * One TCP connection. Its responses are sent in the order of its requests, which also holds for the refusal of bytes
 * that are not HTTP. A client that has ended its sending side gets its answers; work for one that is gone is canceled.
 */

import type { Socket } from "node:net";

import { assert } from "../../engine/errors.js";
import type { Exchange } from "./exchange.js";

export class Connection {
  readonly #socket: Socket;
  /** Exchanges whose responses are not complete, in the order of the requests. */
  readonly #open = new Set<Exchange>();
  #latest: Exchange | null = null;
  #isRefused = false;
  /** Bytes of the next status line that were sent ahead of it. */
  #numSentAhead = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.once("end", () => this.#probe(FIRST_PROBE_PAUSE_MS));
    // Node closes the response that is being sent, but not the responses that wait for it.
    socket.once("close", () =>
      setImmediate(() => {
        for (const exchange of this.#open) exchange.disconnect();
      }),
    );
  }

  add(exchange: Exchange): void {
    this.#open.add(exchange);
    this.#latest = exchange;
    void exchange.closed.then(() => this.#open.delete(exchange));
  }

  /** Refuses input that is not HTTP, or that did not arrive in time, in its turn, and closes the connection. */
  async refuse(error: NodeJS.ErrnoException): Promise<void> {
    const socket = this.#socket;
    if (!socket.writable || error.code === "ECONNRESET") {
      socket.destroy();
      return;
    }
    if (this.#isRefused) return;
    this.#isRefused = true;
    // The input is the rest of the latest request, unless that one is complete.
    const broken = this.#latest?.isRequestComplete === false ? this.#latest : null;
    for (const exchange of this.#open) if (exchange !== broken) await exchange.closed;
    if (broken?.isAnswerStarted === true) await broken.closed;
    if (!socket.writable) return;
    if (broken?.isAnswerStarted === true) socket.end();
    else socket.end(malformed(error));
    setTimeout(() => socket.destroy(), LINGER_MS).unref();
  }

  /**
   * Finds out whether a client that has ended its sending side is still there: only a write tells. The operating system
   * of a client that is gone rejects the first bytes, which makes the next write fail.
   */
  #probe(pauseMs: number): void {
    const [exchange] = this.#open;
    if (exchange === undefined || !exchange.isRequestComplete || !this.#socket.writable) return;
    if (exchange.isAnswerStarted) exchange.keepAlive();
    else this.#sendAhead();
    setTimeout(() => this.#probe(PROBE_PAUSE_FACTOR * pauseMs), pauseMs).unref();
  }

  /** Sends the next byte of the status line before the status is known. The response then leaves it out. */
  #sendAhead(): void {
    const socket = this.#socket;
    if (this.#numSentAhead === STATUS_LINE_START.length) return;
    // The response that comes next calls `write` for its first bytes, which are a string.
    Reflect.deleteProperty(socket, "write");
    socket.write(STATUS_LINE_START[this.#numSentAhead++]!);
    socket.write = ((head: string, ...rest: [BufferEncoding]) => {
      assert(head.startsWith(STATUS_LINE_START), "a response does not start with its status line");
      Reflect.deleteProperty(socket, "write");
      const numSent = this.#numSentAhead;
      this.#numSentAhead = 0;
      return socket.write(head.slice(numSent), ...rest);
    }) as Socket["write"];
  }
}

/** Node sends this version for every request. */
const STATUS_LINE_START = "HTTP/1.1 ";
/** The pauses between probes grow, so that the nine bytes of `STATUS_LINE_START` last for half an hour. */
const FIRST_PROBE_PAUSE_MS = 20;
const PROBE_PAUSE_FACTOR = 5;
/** Time for a client to read a refusal and close the connection. */
const LINGER_MS = 1000;

function malformed({ code: reason = "" }: NodeJS.ErrnoException): string {
  const [status, code, message] = MALFORMED[reason] ?? [
    "400 Bad Request",
    null,
    "The request is not well-formed HTTP/1.1.",
  ];
  const body = JSON.stringify({ error: { message, type: "invalid_request_error", param: null, code } });
  return `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

const MALFORMED: Readonly<Record<string, readonly [status: string, code: string, message: string]>> = {
  HPE_HEADER_OVERFLOW: ["413 Payload Too Large", "request_too_large", "The request's headers are too large."],
  ERR_HTTP_REQUEST_TIMEOUT: ["408 Request Timeout", "request_timeout", "The request did not arrive in time."],
};

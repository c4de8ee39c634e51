/** The stream writer with a full, closed or broken socket. */

import { EventEmitter } from "node:events";
import type { ServerResponse } from "node:http";

import { expect, test } from "vitest";

import { SseStream } from "./sse.js";

class FakeResponse extends EventEmitter {
  readonly written: string[] = [];
  destroyed = false;
  writableEnded = false;
  writableNeedDrain = false;
  isFull = false;

  writeHead(): void {}
  flushHeaders(): void {}

  write(text: string): boolean {
    this.written.push(text);
    this.writableNeedDrain = this.isFull;
    return !this.isFull;
  }

  end(text: string): void {
    this.written.push(text);
    this.writableEnded = true;
  }
}

function stream(heartbeatMs = 60_000) {
  const response = new FakeResponse();
  return { response, sse: new SseStream(response as unknown as ServerResponse, { heartbeatMs, stallMs: 60_000 }) };
}

test("writes events as lines of JSON in a single write", async () => {
  const { response, sse } = stream();
  await sse.send([{ a: "x\ny" }, { b: 1 }]);
  await sse.send([]);
  sse.done();
  expect(response.written).toEqual(['data: {"a":"x\\ny"}\n\ndata: {"b":1}\n\n', "data: [DONE]\n\n"]);
});

test.each(["drain", "close", "error"])("waits for %s on a full socket and leaves no listener", async (event) => {
  const { response, sse } = stream();
  response.isFull = true;
  let isSent = false;
  const sent = sse.send([{}]).then(() => (isSent = true));
  await new Promise((resolve) => setImmediate(resolve));
  expect(isSent).toBe(false);
  response.emit(event, new Error("from the test"));
  await sent;
  expect(response.eventNames()).toEqual([]);
  sse.done();
});

test("writes nothing to a disconnected client", async () => {
  const { response, sse } = stream();
  response.destroyed = true;
  await sse.send([{}]);
  sse.done();
  expect(response.written).toEqual([]);
});

test("comment lines do not accumulate for a client that does not read", async () => {
  const { response, sse } = stream(1);
  response.isFull = true;
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect(response.written).toEqual([": keep-alive\n\n"]);
  sse.done();
});

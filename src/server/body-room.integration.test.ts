/** The bodies of all requests in progress together are bounded by the bytes that have arrived. */

import type { IncomingMessage, ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import { PassThrough } from "node:stream";

import { afterEach, describe, expect, test } from "vitest";

import { BodyRoom, readJsonBody } from "./request-body.js";
import { chatBody, fakeWorkers, post, testServer, until, type TestServer } from "../../spec-tests/fixtures/server.js";

/** Room for 8 bodies of this size. */
const MAX_BODY_BYTES = 10_000;
const open: TestServer[] = [];
const sockets: Socket[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of open.splice(0)) await server.close();
});

async function start(): Promise<TestServer> {
  const server = await testServer({ workers: fakeWorkers(), maxBodyBytes: MAX_BODY_BYTES });
  open.push(server);
  return server;
}

const chat = ({ url }: TestServer, fields: object = {}) =>
  post(`${url}/v1/chat/completions`, chatBody({ max_tokens: 1, ...fields }));

/** Sends part of a body. */
function unfinished({ url }: TestServer, numBytes: number, length = MAX_BODY_BYTES) {
  const { hostname, port } = new URL(url);
  const head = `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`;
  const socket = connect(Number(port), hostname, () => socket.write(head + " ".repeat(numBytes)));
  sockets.push(socket);
  const received = { text: "" };
  socket.setEncoding("utf8").on("data", (part: string) => (received.text += part));
  socket.on("error", () => {});
  return { socket, received };
}

const isRefused = ({ received }: { received: { text: string } }) => received.text !== "";

describe("bodies that do not end", () => {
  test("past the limit, the largest are refused with 503, and small requests are answered", async () => {
    const server = await start();
    const bodies = Array.from({ length: 30 }, (_, index) => unfinished(server, 9000 + index));
    await until(() => bodies.filter(isRefused).length === 22);
    for (const { received } of bodies.filter(isRefused))
      expect(received.text).toMatch(/^HTTP\/1\.1 503 [^]*\r\nretry-after: \d+\r\n[^]*"code":"server_overloaded"/i);
    expect((await chat(server)).status).toBe(200);
    expect((await chat(server, { user: "x".repeat(5000) })).status).toBe(200);
  });

  test("bytes that are only promised do not count", async () => {
    const server = await start();
    const bodies = Array.from({ length: 30 }, () => unfinished(server, 10));
    expect((await chat(server, { user: "x".repeat(9000) })).status).toBe(200);
    expect(bodies.filter(isRefused)).toEqual([]);
  });

  test.each([
    ["their clients leave", MAX_BODY_BYTES, ({ socket }: { socket: Socket }) => void socket.destroy()],
    ["they become too large", 12_000, ({ socket }: { socket: Socket }) => void socket.write(" ".repeat(2500))],
    ["they are answered", MAX_BODY_BYTES, ({ socket }: { socket: Socket }) => void socket.write(" ".repeat(500))],
  ])("their room is free again when %s", async (_, length, end) => {
    const server = await start();
    for (let round = 0; round < 3; round++) {
      const bodies = Array.from({ length: 8 }, () => unfinished(server, 9500, length));
      const tooMuch = unfinished(server, 9999);
      await until(() => isRefused(tooMuch));
      expect(tooMuch.received.text).toContain("server_overloaded");
      expect(bodies.filter(isRefused)).toEqual([]);
      bodies.forEach(end);
      await until(() => bodies.every(({ received, socket }) => socket.destroyed || received.text !== ""));
    }
    await until(() => server.logs.filter((line) => /"client gone"|"status":4/.test(line)).length === 24);
    expect((await chat(server)).status).toBe(200);
  });

  test("a refused client that sends the rest of its body may use the connection again", async () => {
    const server = await start();
    for (let index = 0; index < 8; index++) unfinished(server, 9500);
    const { socket, received } = unfinished(server, 9999);
    await until(() => received.text.includes("server_overloaded"));
    socket.write(" GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await until(() => received.text.endsWith('{"status":"ok"}'));
  });
});

test("a body in pieces of one byte is whole", async () => {
  const numBytes = 200_000;
  const response = { setHeader: () => {} } as unknown as ServerResponse;
  const request = Object.assign(new PassThrough(), {
    headers: { "content-type": "application/json" },
    complete: false,
  });
  const limits = { maxBytes: numBytes, timeoutMs: 60_000, room: new BodyRoom(numBytes) };
  const reading = readJsonBody(request as unknown as IncomingMessage, response, limits, new AbortController().signal);
  const expected = Buffer.from(Array.from({ length: numBytes }, (_, index) => 32 + (index % 90)));
  for (const byte of expected) request.write(Uint8Array.of(byte));
  request.end();
  expect(expected.equals(await reading)).toBe(true);
});

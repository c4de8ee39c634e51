/**
 * Connections as raw sockets see them: pipelined requests, bytes that are not HTTP behind a request, clients that end
 * their sending side, and clients that are gone.
 */

import { connect, type Socket } from "node:net";

import { afterEach, describe, expect, test } from "vitest";

import {
  chatBody,
  fakeWorkers,
  raw,
  testServer,
  until,
  type TestServer,
  type TestServerOptions,
} from "../../spec-tests/fixtures/server.js";

const open: TestServer[] = [];
const sockets: Socket[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of open.splice(0)) await server.close();
});

async function start(options: TestServerOptions = {}): Promise<TestServer> {
  const server = await testServer({ workers: fakeWorkers(), ...options });
  open.push(server);
  return server;
}

/** Opens a connection, sends bytes, and collects what is received. */
function client({ url }: TestServer, bytes: string) {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true }, () => socket.write(bytes));
  sockets.push(socket);
  const received = { text: "", isClosed: false };
  socket.setEncoding("utf8").on("data", (part: string) => (received.text += part));
  socket.on("error", () => {}).on("close", () => (received.isClosed = true));
  socket.on("end", () => socket.end());
  return { socket, received };
}

function chat(fields: object, headers = ""): string {
  const body = chatBody(fields);
  return `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n${headers}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

const GET = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
const STREAM = { stream: true, max_tokens: 30 };
const WHOLE = { max_tokens: 30 };
/** The answer begins after a while. */
const LATE = { messages: [{ role: "user", content: "late" }] };
const MALFORMED = /^HTTP\/1\.1 400 Bad Request\r\n[^]*"code":null\}\}$/;

/** Splits bytes into responses, and decodes their bodies. Throws if anything else is between them. */
function responses(text: string): { status: number; head: string; body: string }[] {
  const all = [];
  for (let rest = text; rest !== "";) {
    const [, head, status] = /^(HTTP\/1\.1 (\d{3}) [^]*?\r\n)\r\n/.exec(rest) ?? [];
    if (head === undefined) throw new Error(`Not a response: ${rest.slice(0, 200)}`);
    rest = rest.slice(head.length + 2);
    let body = "";
    if (/^transfer-encoding: chunked\r$/im.test(head)) {
      for (let size = -1; size !== 0;) {
        const [line, digits] = /^([0-9a-f]+)\r\n/.exec(rest) ?? [];
        if (line === undefined) throw new Error(`Not a chunk: ${rest.slice(0, 200)}`);
        size = parseInt(digits!, 16);
        body += rest.slice(line.length, line.length + size);
        if (rest.slice(line.length + size, line.length + size + 2) !== "\r\n") throw new Error("A chunk does not end");
        rest = rest.slice(line.length + size + 2);
      }
    } else {
      const length = Number(/^content-length: (\d+)\r$/im.exec(head)![1]);
      body = rest.slice(0, length);
      if (body.length < length) throw new Error("A body is cut off");
      rest = rest.slice(length);
    }
    all.push({ status: Number(status), head, body });
  }
  return all;
}

describe("bytes that are not HTTP behind a request", () => {
  test.each([
    ["garbage", "\x00\x01garbage\r\n\r\n"],
    ["TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
    ["a header without a colon", "GET / HTTP/1.1\r\nHost\r\n\r\n"],
    ["too large headers", `GET / HTTP/1.1\r\nA: ${"x".repeat(40_000)}\r\n\r\n`],
    ["a bad length", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n"],
  ])("%s: the running stream ends as it should, and the refusal follows", async (_, bytes) => {
    const server = await start();
    const { socket, received } = client(server, chat(STREAM));
    await until(() => received.text.includes("data: "));
    socket.write(bytes, "latin1");
    socket.write(bytes, "latin1");
    await until(() => received.isClosed);
    const [answer, refusal, ...others] = responses(received.text);
    expect(answer!.status).toBe(200);
    expect(answer!.body).toMatch(/data: \[DONE\]\n\n$/);
    expect(refusal!.status).toBeGreaterThanOrEqual(400);
    expect(refusal!.head).toMatch(/^connection: close\r$/im);
    expect(others).toEqual([]);
  });

  test("sent at once with the requests: answers come first, in order", async () => {
    const server = await start();
    const answers = responses(await raw(server.url, `${chat(WHOLE)}${GET}${chat(STREAM)}\x00\r\n\r\n`));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 400]);
    expect(answers[0]!.body).toContain('"finish_reason":"length"');
    expect(answers[1]!.body).toBe('{"status":"ok"}');
    expect(answers[2]!.body).toMatch(/data: \[DONE\]\n\n$/);
  });

  test("after a request that closes the connection: they are ignored", async () => {
    const server = await start();
    const answers = responses(await raw(server.url, `${chat(STREAM, "Connection: close\r\n")}\x00\r\n\r\n`));
    expect(answers.map(({ status, body }) => [status, body.endsWith("data: [DONE]\n\n")])).toEqual([[200, true]]);
  });

  test("in a body: that request is refused, in its turn", async () => {
    const server = await start();
    const head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    const broken = `${head}Transfer-Encoding: chunked\r\n\r\n5\r\n{"mod\r\nxyz\r\n`;
    expect(await raw(server.url, broken)).toMatch(MALFORMED);
    const answers = responses(await raw(server.url, chat(STREAM) + broken));
    expect(answers.map(({ status }) => status)).toEqual([200, 400]);
    expect(answers[0]!.body).toMatch(/data: \[DONE\]\n\n$/);
  });

  test("in the body of a request that is already refused: nothing is added", async () => {
    const server = await start();
    const { socket, received } = client(
      server,
      "POST /v1/nowhere HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
    );
    await until(() => received.text.includes("not_found"));
    socket.write("{}\r\n\r\n\x00\r\nxyz\r\n");
    await until(() => received.isClosed);
    expect(responses(received.text).map(({ status }) => status)).toEqual([404]);
  });
});

describe("a client that ends its sending side", () => {
  test.each([
    ["a stream", chat(STREAM), [200], "data: [DONE]\n\n"],
    ["a whole answer", chat(WHOLE), [200], '"finish_reason":"length"'],
    ["a whole answer that takes longer", chat({ max_tokens: 120 }), [200], '"finish_reason":"length"'],
    ["a refusal", chat({ n: 0 }), [400], "out_of_range"],
    ["several answers", chat(WHOLE) + GET + chat(STREAM), [200, 200, 200], "data: [DONE]\n\n"],
    ["a whole answer in HTTP/1.0", chat(WHOLE).replace("HTTP/1.1", "HTTP/1.0"), [200], '"finish_reason":"length"'],
  ])("gets %s, and nothing else", async (_, bytes, statuses, end) => {
    const server = await start();
    const answers = responses(await raw(server.url, bytes, true));
    expect(answers.map(({ status }) => status)).toEqual(statuses);
    expect(answers.at(-1)!.body).toContain(end);
    expect(server.logs.filter((line) => line.includes('"client gone"'))).toEqual([]);
  });

  test("before its request is complete is refused", async () => {
    const server = await start();
    expect(await raw(server.url, chat(WHOLE).slice(0, -1), true)).toMatch(MALFORMED);
    expect(await raw(server.url, "GET / HTTP/1.1\r\nHo", true)).toMatch(MALFORMED);
    expect(await raw(server.url, "", true)).toBe("");
  });

  test("gets its answer after waiting in the queue", async () => {
    const server = await start();
    const answer = raw(server.url, chat({ ...LATE, max_tokens: 1 }), true);
    await until(() => server.host.numWaiting === 1);
    expect(responses(await answer).map(({ status }) => status)).toEqual([200]);
  });
});

describe("a client that is gone", () => {
  const LONG = { max_tokens: 100_000 };

  test.each([
    ["a stream", chat({ ...LONG, stream: true })],
    ["a whole answer", chat(LONG)],
    ["pipelined requests", chat({ ...LONG, stream: true }) + chat({ ...LONG, stream: true }) + chat(LONG)],
  ])("%s: its work is canceled, and nothing is left of it", async (_, bytes) => {
    const server = await start({ numPlaces: 3 });
    const { socket } = client(server, bytes);
    await until(() => server.host.numRunning === bytes.split("POST ").length - 1);
    socket.destroy();
    await until(() => server.host.numRunning === 0);
    await until(
      () => server.logs.filter((line) => line.includes('"client gone"')).length === bytes.split("POST ").length - 1,
    );
  });

  test.each([
    ["a stream", chat({ ...LONG, stream: true })],
    ["a whole answer", chat(LONG)],
  ])("after it has ended its sending side: %s is canceled", async (_, bytes) => {
    const server = await start({ numPlaces: 1 });
    const { socket } = client(server, bytes);
    await until(() => server.host.numRunning === 1);
    socket.end();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(server.host.numRunning).toBe(1);
    socket.destroy();
    await until(() => server.host.numRunning === 0);
  });

  test("in the queue: its place is freed", async () => {
    const server = await start();
    client(server, chat(LONG));
    await until(() => server.host.numRunning === 1);
    const { socket } = client(server, chat({ ...LONG, ...LATE }));
    await until(() => server.host.numWaiting === 1);
    socket.destroy();
    await until(() => server.host.numWaiting === 0);
    expect(server.host.numRunning).toBe(1);
  });
});

/** Servers that send without end, too much, too slowly, or nested too deeply: one exchange each, and a whole run. */

import { createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";

import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";

import { parseJson, ResponseBody } from "./bounds.js";
import { Client, readAnswer, sseEvents } from "./client.js";
import { conform, report } from "./conform.js";
import { Violation, type Exchange } from "./law.js";
import { completion, exchangeWith } from "../fixtures/tiny-server.js";

const MIB = 1 << 20;
const { signal } = new AbortController();
const chat = { method: "POST", path: "/chat/completions", body: "{}" };
const servers: { readonly server: Server; readonly sockets: Set<Socket> }[] = [];

afterEach(() => {
  for (const { server, sockets } of servers.splice(0)) {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
});

/** Starts a server that writes whatever `answer` writes, without the rules of HTTP. */
async function rawServer(answer: (socket: Socket, request: string) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    socket.once("data", (bytes) => answer(socket, bytes.toString()));
  });
  servers.push({ server, sockets });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
}

/** Writes a text over and over, as fast as the client reads it. */
function pour(socket: Socket, text: string): void {
  const piece = Buffer.from(text.repeat(Math.ceil(MIB / 16 / text.length)));
  const next = (error?: Error | null): void => {
    // A failed write calls back at once, and writing again would never return to the event loop.
    if (error == null && !socket.destroyed) socket.write(piece, next);
  };
  next();
}

/** Writes one byte at a time. */
function drip(socket: Socket, text: string): void {
  let index = 0;
  const timer = setInterval(() => socket.write(text[index++ % text.length]!), 20);
  socket.on("close", () => clearInterval(timer));
}

function head(type: string, ...more: string[]): string {
  return ["HTTP/1.1 200 OK", `content-type: ${type}`, "connection: close", ...more, "", ""].join("\r\n");
}

const CHUNK = `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: "a" }, finish_reason: null }] })}\n\n`;

/** Asks a raw server, and checks that memory stays near the bound. */
async function ask(answer: (socket: Socket) => void, timeoutMs = 20_000): Promise<Exchange> {
  const baseUrl = await rawServer(answer);
  const beforeBytes = process.memoryUsage.rss();
  const exchange = await new Client({ baseUrl, apiKey: null }, timeoutMs).exchange(chat, signal);
  expect(process.memoryUsage.rss() - beforeBytes).toBeLessThan(200 * MIB);
  return exchange;
}

function violation(exchange: Exchange, isStream: boolean): Violation {
  try {
    readAnswer(exchange, isStream);
  } catch (error) {
    if (error instanceof Violation) return error;
    throw error;
  }
  throw new Error("The answer was read.");
}

describe("a body", () => {
  test.each<[string, string, string, string, RegExp]>([
    ["JSON", "application/json", '{"choices":[{"a":"', "a", /more than 8388608 bytes/],
    ["one line of a stream", "text/event-stream", "data: ", "a", /more than 8388608 bytes/],
    ["one event of a stream", "text/event-stream", "", "data: a\n", /more than 8388608 bytes/],
    ["comments of a stream", "text/event-stream", "", ": keep-alive\n\n", /more than 8388608 bytes/],
    ["empty lines of a stream", "text/event-stream", "", "\n", /more than 8388608 bytes/],
    ["events of a stream", "text/event-stream", "", CHUNK, /more than (8388608 bytes|65536 events)/],
    ["tiny events of a stream", "text/event-stream", "", "data:\n\n", /more than 65536 events/],
    ["an error", "application/json", '{"error":"', "é", /more than 8388608 bytes/],
  ])("without end: %s", async (_, type, beginning, rest, excess) => {
    const exchange = await ask((socket) => {
      socket.write(head(type) + beginning);
      pour(socket, rest);
    });
    expect(exchange.status).toBe(200);
    expect(exchange.incomplete).toMatch(excess);
    expect(exchange.text.length).toBeLessThanOrEqual(1 << 16);
    const { message, clause } = violation(exchange, type === "text/event-stream");
    expect(message).toMatch(/^The answer cannot be read: it has more than/);
    expect(clause).toBe(type === "text/event-stream" ? "TS-8.5" : "TS-8.1");
  });

  test.each([
    ["JSON", "application/json", '{"choices":['],
    ["a stream", "text/event-stream", CHUNK],
    ["comments", "text/event-stream", ": still here\n\n"],
  ])("that arrives byte by byte and does not end: %s", async (_, type, text) => {
    const exchange = await ask((socket) => {
      socket.write(head(type));
      drip(socket, text);
    }, 400);
    expect(exchange).toMatchObject({ status: 200, incomplete: "it had not ended after 0.4 seconds" });
    expect(exchange.text).not.toBe("");
    expect(violation(exchange, type === "text/event-stream").message).toMatch(/it had not ended after 0\.4 seconds\.$/);
  });

  test("in very many small chunks", async () => {
    const chunks = "1\r\na\r\n".repeat(200_000);
    const exchange = await ask((socket) => {
      socket.end(`${head("application/json", "transfer-encoding: chunked")}${chunks}0\r\n\r\n`);
    });
    expect(exchange).toMatchObject({ incomplete: null, text: "a".repeat(200_000) });
  });

  test("that is compressed: it is not unpacked, and named as the reason", async () => {
    const bomb = gzipSync(Buffer.alloc(64 * MIB));
    const exchange = await ask((socket) => {
      socket.write(head("application/json", "content-encoding: gzip", `content-length: ${bomb.length}`));
      socket.end(bomb);
    });
    expect(exchange.text.length).toBeLessThanOrEqual(bomb.length);
    expect(violation(exchange, false).message).toBe('The content encoding is "gzip", which was not requested.');
  });

  test("that is nested deeply", async () => {
    for (const text of [
      "[".repeat(4 * MIB),
      `{"choices":${"[".repeat(100_000)}${"]".repeat(100_000)}}`,
      `${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`,
    ]) {
      expect(violation(exchangeWith({ text }), false).message).toMatch(/not JSON \(more than 256 levels\)/);
      const stream = { responseHeaders: { "content-type": "text/event-stream" }, text: `data: ${text}\n\n` };
      expect(violation(exchangeWith(stream), true).message).toMatch(/not JSON \(more than 256 levels\)/);
    }
  });

  test("with log-probabilities in tens of thousands of events", () => {
    const entry = { token: "a", logprob: 0 };
    const event = { choices: [{ index: 0, delta: {}, finish_reason: null, logprobs: { content: [entry] } }] };
    const text = `data: ${JSON.stringify(event)}\n\n`.repeat(60_000);
    const answer = readAnswer(exchangeWith({ responseHeaders: { "content-type": "text/event-stream" }, text }), true);
    expect(answer.choices[0]!.logprobs).toHaveLength(60_000);
  });
});

describe("headers", () => {
  test.each<[string, (socket: Socket) => void]>([
    ["without end", (socket) => (socket.write("HTTP/1.1 200 OK\r\n"), pour(socket, "x-a: b\r\n"))],
    ["of one endless line", (socket) => (socket.write("HTTP/1.1 200 OK\r\nx-a: "), pour(socket, "b"))],
    ["of an endless status line", (socket) => (socket.write("HTTP/1.1 200 "), pour(socket, "OK"))],
    ["that arrive byte by byte", (socket) => (socket.write("HTTP/1.1 200 OK\r\n"), drip(socket, "x-a: b\r\n"))],
    ["of endless preliminary answers", (socket) => pour(socket, "HTTP/1.1 102 Processing\r\n\r\n")],
    ["of another protocol", (socket) => pour(socket, "SSH-2.0-x\r\n")],
    [
      "that switch the protocol",
      (socket) => {
        socket.write("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n");
        pour(socket, "x");
      },
    ],
  ])("%s: no answer", async (_, answer) => {
    const exchange = await ask(answer, 1500);
    expect(exchange).toMatchObject({ status: 0, incomplete: null });
    expect(exchange.text.length).toBeLessThan(200);
    expect(violation(exchange, false).message).toMatch(/^No answer: ./);
  });

  test("after the body, without end", async () => {
    const exchange = await ask((socket) => {
      socket.write(`${head("application/json", "transfer-encoding: chunked")}2\r\n{}\r\n0\r\n`);
      pour(socket, "x-a: b\r\n");
    }, 1500);
    expect(exchange.status).toBe(200);
  });
});

test("events are counted as they arrive, wherever the pieces are cut", () => {
  const texts = fc
    .array(
      fc.constantFrom(
        "data",
        "data:",
        "data: a",
        "dat",
        "database",
        ":",
        "\n",
        "\r",
        "\r\n",
        "\uFEFF",
        "é",
        "",
        "\uFB00",
      ),
    )
    .map((parts) => parts.join(""));
  fc.assert(
    fc.property(texts, fc.integer({ min: 1, max: 9 }), (text, size) => {
      const body = new ResponseBody();
      const bytes = Buffer.from(text);
      for (let at = 0; at < bytes.length; at += size) body.append(bytes.subarray(at, at + size));
      expect(body.numEvents).toBe(sseEvents(text).length);
      expect(body.text()).toBe(text);
    }),
    {
      numRuns: 500,
      examples: [
        ["\uFEFFdata: a\n\n", 1],
        ["data: a\r\r\n", 1],
        ["data\n\r\n", 2],
      ],
    },
  );
});

test("JSON is parsed as by JSON.parse up to 256 levels; brackets in strings do not count", () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      expect(parseJson(text)).toEqual(JSON.parse(text));
    }),
  );
  const nested = (depth: number): string => `${"[".repeat(depth)}${"]".repeat(depth)}`;
  expect(parseJson(nested(256))).toBeInstanceOf(Array);
  expect(() => parseJson(nested(257))).toThrow(SyntaxError);
  expect(parseJson(JSON.stringify(`\\"${"[{".repeat(1000)}`))).toContain("[{[{");
  expect(parseJson(`[${"[],".repeat(1000)}[]]`)).toHaveLength(1001);
});

describe("a run", () => {
  const isChat = (request: string): boolean => request.startsWith("POST /v1/chat/completions");
  const send = (socket: Socket, value: object): void => {
    const body = JSON.stringify(value);
    socket.end(head("application/json", `content-length: ${Buffer.byteLength(body)}`) + body);
  };
  const flood = (socket: Socket, type = "application/json"): void => {
    socket.write(head(type));
    pour(socket, type === "application/json" ? '{"a":1},' : CHUNK);
  };

  test("of a server whose list of models does not end cannot check anything", async () => {
    const baseUrl = await rawServer((socket) => flood(socket));
    await expect(conform({ baseUrl })).rejects.toMatchObject({
      name: "ConformError",
      code: "cannot_run",
      message: expect.stringMatching(/lists no model \(Status 200, and it has more than 8388608 bytes: /),
    });
  });

  test("of a server whose every answer does not end cannot check anything", async () => {
    const baseUrl = await rawServer((socket) => flood(socket));
    await expect(conform({ baseUrl, model: "m" })).rejects.toMatchObject({
      code: "cannot_run",
      message: "The answer to the simplest request to m cannot be read: it has more than 8388608 bytes.",
    });
  });

  test("of a server whose streams do not end has a finding, and small reports", async () => {
    const baseUrl = await rawServer((socket, request) => {
      if (!isChat(request)) send(socket, { data: [{ id: "m" }] });
      else if (/"stream":true/.test(request)) flood(socket, "text/event-stream");
      else send(socket, completion("a"));
    });
    const result = await conform({ baseUrl, only: ["P3", "P8"], budget: { calls: 120, seconds: 60 }, seed: 1 });
    const finding = result.findings.find(({ lawId }) => lawId === "P3")!;
    expect(finding).toMatchObject({
      clause: "TS-8.5",
      message: expect.stringMatching(/^The answer cannot be read: it has more than/),
    });
    expect(report(result, "json").length).toBeLessThan(2 * MIB);
    expect(report(result, "html")).toContain("Only the beginning of the response: it has more than");
  });

  test("of a server with large answers keeps only the beginning of each as evidence", async () => {
    const baseUrl = await rawServer((socket, request) =>
      send(socket, isChat(request) ? completion("a".repeat(MIB)) : { data: [{ id: "m" }] }),
    );
    const { findings } = await conform({ baseUrl, only: ["P8"], budget: { calls: 60 }, seed: 1 });
    expect(findings).not.toEqual([]);
    for (const { exchanges, message } of findings) {
      expect(message.length).toBeLessThan(5000);
      for (const { text, incomplete } of exchanges) {
        expect(text).toHaveLength(1 << 18);
        expect(incomplete).toMatch(/^only 262144 of its \d+ characters were kept$/);
      }
    }
  });
});

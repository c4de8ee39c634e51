/** Tests of the client: parsing of correct and broken answers, and recording of exchanges. */

import { setTimeout as pause } from "node:timers/promises";

import { afterEach, describe, expect, test } from "vitest";

import { Client, readAnswer, sseEvents } from "./client.js";
import { Violation, type Exchange } from "./law.js";
import { completion, exchangeWith, json, sse, tinyServer, type TinyServer } from "../fixtures/tiny-server.js";

const servers: TinyServer[] = [];

async function serve(...[answer]: Parameters<typeof tinyServer>): Promise<TinyServer> {
  const server = await tinyServer(answer);
  servers.push(server);
  return server;
}

afterEach(() => servers.splice(0).forEach((server) => server.close()));

const { signal } = new AbortController();
const chat = { method: "POST", path: "/chat/completions", body: "{}" };

describe("the events of a stream", () => {
  test.each([
    ["one line, with and without the space", "data: a\n\ndata:b\n\n", ["a", "b"]],
    ["lines of one event are joined", "data: a\ndata:\ndata:  b\n\n", ["a\n\n b"]],
    ["any line end", "data: a\r\n\r\ndata: b\r\rdata: c\n\n", ["a", "b", "c"]],
    ["comments, other fields and empty events are left out", ": keep-alive\n\nevent: x\nid: 1\ndata: a\n\n\n\n", ["a"]],
    ["a byte order mark is ignored", "\uFEFFdata: a\n\n", ["a"]],
    ["an event without an empty line at its end is ignored", "data: a\n\ndata: [DONE]\n", ["a"]],
    ["a field whose name only starts with data is ignored", "database: a\n\n", []],
  ])("%s", (_, text, expected) => {
    expect(sseEvents(text)).toEqual(expected);
  });
});

describe("readAnswer", () => {
  const entry = (token: string, top: object[] = []): object => ({
    token,
    logprob: -0.5,
    bytes: [...Buffer.from(token)],
    top_logprobs: top,
  });
  const usage = {
    prompt_tokens: 3,
    completion_tokens: 2,
    total_tokens: 5,
    prompt_tokens_details: { cached_tokens: 1 },
    completion_tokens_details: { reasoning_tokens: 1 },
  };
  const call = (id: string, text: string): object => ({
    id,
    type: "function",
    function: { name: "f", arguments: text },
  });
  const inOnePiece = {
    choices: [
      { index: 1, message: { role: "assistant", content: null }, logprobs: null, finish_reason: "length" },
      {
        index: 0,
        message: {
          content: "ab",
          reasoning_content: "r",
          tool_calls: [call("call_1", '{"a":1}'), call("call_2", "{}")],
        },
        logprobs: { content: [entry("a", [{ token: "b", logprob: -1 }]), entry("b")] },
        finish_reason: "stop",
      },
    ],
    usage,
  };
  const chunk = (index: number, delta: object, rest: object = {}): object => ({
    choices: [{ index, delta, finish_reason: null, ...rest }],
    usage: null,
  });
  const inChunks = [
    chunk(0, { role: "assistant", content: "" }),
    chunk(1, { role: "assistant", content: "" }),
    chunk(0, { reasoning_content: "r" }),
    chunk(0, { content: "a" }, { logprobs: { content: [entry("a", [{ token: "b", logprob: -1 }])] } }),
    chunk(1, {}, { finish_reason: "length" }),
    chunk(0, { content: "b" }),
    chunk(0, { tool_calls: [{ index: 0, ...call("call_1", "") }] }),
    chunk(0, { tool_calls: [{ index: 0, function: { arguments: '{"a"' } }] }),
    chunk(0, {
      tool_calls: [
        { index: 0, function: { arguments: ":1}" } },
        { index: 1, ...call("call_2", "{") },
      ],
    }),
    chunk(0, { tool_calls: [{ index: 1, function: { arguments: "}" } }] }),
    chunk(0, {}, { logprobs: { content: [entry("b")] }, finish_reason: "stop" }),
    { choices: [], usage },
  ];
  const streamed = (events: readonly unknown[], end = "data: [DONE]\n\n", type = "text/event-stream") =>
    exchangeWith({
      responseHeaders: { "content-type": type },
      text:
        events.map((event) => `data: ${typeof event === "string" ? event : JSON.stringify(event)}\n\n`).join("") + end,
    });

  test("parses a stream and an unstreamed response into the same answer", () => {
    const whole = readAnswer(exchangeWith({ text: JSON.stringify(inOnePiece) }), false);
    const stream = readAnswer(streamed(inChunks), true);
    expect(whole.choices).toEqual([
      {
        index: 0,
        content: "ab",
        reasoning: "r",
        toolCalls: [
          { id: "call_1", type: "function", name: "f", arguments: '{"a":1}' },
          { id: "call_2", type: "function", name: "f", arguments: "{}" },
        ],
        finishReason: "stop",
        logprobs: [
          { token: "a", logprob: -0.5, bytes: [97], topLogprobs: [{ token: "b", logprob: -1, bytes: null }] },
          { token: "b", logprob: -0.5, bytes: [98], topLogprobs: [] },
        ],
      },
      { index: 1, content: "", reasoning: null, toolCalls: [], finishReason: "length", logprobs: null },
    ]);
    expect(whole.usage).toEqual({
      promptTokens: 3,
      completionTokens: 2,
      totalTokens: 5,
      cachedTokens: 1,
      reasoningTokens: 1,
    });
    expect({ choices: stream.choices, usage: stream.usage }).toEqual({ choices: whole.choices, usage: whole.usage });
    expect([stream.chunks, stream.isDone, whole.chunks, whole.isDone]).toEqual([inChunks, true, [], true]);
    expect(readAnswer(streamed(inChunks, ""), true).isDone).toBe(false);
  });

  const broken = (change: object): object => ({ ...inOnePiece, ...change });
  const oneChoice = (change: object): object =>
    broken({ choices: [{ index: 0, message: { content: "a" }, finish_reason: "stop", ...change }] });
  const pieces = (...calls: readonly object[]) => streamed(calls.map((piece) => chunk(0, { tool_calls: [piece] })));
  test.each([
    ["another status", exchangeWith({ status: 500, text: "boom" }), false, "TS-9.3", /^Status 500: boom$/],
    ["no answer", exchangeWith({ status: 0, text: "reset" }), false, "TS-8.1", /^No answer: reset$/],
    ["text that is not JSON", exchangeWith({ text: "{" }), false, "TS-8.1", /not JSON/],
    ["a list", exchangeWith({ text: "[]" }), false, "TS-8.1", /not an object/],
    ["no choices", broken({ choices: [] }), false, "TS-8.3", /0 entries/],
    [
      "the same index twice",
      broken({ choices: [inOnePiece.choices[0], inOnePiece.choices[0]] }),
      false,
      "TS-8.3",
      /2 entries with 1 different/,
    ],
    ["no message", oneChoice({ message: undefined }), false, "TS-8.3", /message is missing/],
    ["content of another type", oneChoice({ message: { content: 1 } }), false, "TS-8.3", /content is 1/],
    ["an invalid index", oneChoice({ index: -1 }), false, "TS-8.3", /index is -1/],
    [
      "a finish reason of another type",
      oneChoice({ finish_reason: false }),
      false,
      "TS-5.10",
      /finish_reason is false/,
    ],
    [
      "a log-probability of another type",
      oneChoice({ logprobs: { content: [{ token: "a", logprob: null }] } }),
      false,
      "TS-4.1",
      /logprob is null/,
    ],
    [
      "invalid bytes",
      oneChoice({ logprobs: { content: [{ token: "a", logprob: 0, bytes: [256] }] } }),
      false,
      "TS-4.5",
      /\[256\]/,
    ],
    ["invalid counts", broken({ usage: { ...usage, total_tokens: "5" } }), false, "TS-8.4", /total_tokens is "5"/],
    ["a stream of another type", streamed(inChunks, "", "application/json"), true, "TS-8.5", /application\/json/],
    [
      "arguments that are an object",
      oneChoice({ message: { tool_calls: [{ ...call("call_1", ""), function: { name: "f", arguments: {} } }] } }),
      false,
      "TS-11.5",
      /function\.arguments of a tool call is \{\}/,
    ],
    ["a streamed call without an index", pieces(call("call_1", "")), true, "TS-11.6", /index of call 0 is undefined/],
    [
      "a streamed call that begins twice",
      pieces({ index: 0, ...call("call_1", "") }, { index: 0, ...call("call_2", "") }),
      true,
      "TS-11.6",
      /Call 0 begins a second time/,
    ],
    [
      "a streamed call that begins without a name",
      pieces({ index: 0, id: "call_1", type: "function", function: { arguments: "{}" } }),
      true,
      "TS-11.6",
      /function\.name of a tool call is missing/,
    ],
    [
      "a call after the finish reason",
      streamed([...inChunks, chunk(0, { tool_calls: [{}] })]),
      true,
      "TS-8.6",
      /continues/,
    ],
    ["an event that is not JSON", streamed(["{"]), true, "TS-8.5", /Event 0/],
    ["events after the last", streamed(inChunks, "data: [DONE]\n\ndata: {}\n\n"), true, "TS-8.5", /follow/],
    ["an empty stream", streamed([]), true, "TS-8.5", /No event/],
    [
      "an error in a stream",
      streamed([inChunks[0], { error: { message: "out of memory" } }]),
      true,
      "TS-8.9",
      /out of memory/,
    ],
    ["text after the finish reason", streamed([...inChunks, chunk(0, { content: "c" })]), true, "TS-8.6", /continues/],
    [
      "two finish reasons",
      streamed([...inChunks, chunk(0, {}, { finish_reason: "stop" })]),
      true,
      "TS-8.6",
      /continues/,
    ],
  ])("refuses %s", (_, given, isStream, clause, message) => {
    const exchange = "durationMs" in given ? (given as Exchange) : exchangeWith({ text: JSON.stringify(given) });
    const error = (() => {
      try {
        return readAnswer(exchange, isStream);
      } catch (error) {
        return error;
      }
    })();
    expect(error).toBeInstanceOf(Violation);
    expect(error).toMatchObject({ clause, exchanges: [exchange], message: expect.stringMatching(message) as string });
  });
});

describe("exchanges", () => {
  test("are recorded as sent and as received, without the API key", async () => {
    const seen: unknown[] = [];
    const { baseUrl } = await serve((_, response, { headers }) => {
      seen.push(headers.authorization, headers["content-type"], headers["x-law"]);
      response.setHeader("x-echo", headers.authorization ?? "");
      json(response, 401, { error: { message: `Wrong key: ${headers.authorization}` } });
    });
    const client = new Client({ baseUrl, apiKey: "sk-secret-1" });
    const exchange = await client.exchange({ ...chat, headers: { "X-Law": "P8", "content-type": "" } }, signal);
    expect(seen).toEqual(["Bearer sk-secret-1", undefined, "P8"]);
    expect(exchange).toMatchObject({
      ...chat,
      status: 401,
      headers: { authorization: "Bearer $API_KEY", "x-law": "P8" },
    });
    expect(exchange.text).toBe('{"error":{"message":"Wrong key: Bearer $API_KEY"}}');
    expect(JSON.stringify(exchange)).not.toContain("sk-secret-1");
  });

  test("include failed, broken and timed-out connections", async () => {
    const { baseUrl, close } = await serve(({ how }, response) => {
      if (how === "break") response.destroy();
      if (how === "stop") {
        response.writeHead(200).write('{"choices"');
        setTimeout(() => response.destroy(), 50);
      }
    });
    const client = new Client({ baseUrl, apiKey: null }, 300);
    const ask = (how: string) => client.exchange({ ...chat, body: JSON.stringify({ how }) }, signal);
    expect(await ask("break")).toMatchObject({ status: 0, text: "socket hang up" });
    expect(await ask("stop")).toMatchObject({ status: 200, text: '{"choices"' });
    expect(await ask("nothing")).toMatchObject({ status: 0, text: "No answer in time." });
    close();
    const refused = await ask("nothing");
    expect(refused.status).toBe(0);
    expect(refused.text).toMatch(/ECONNREFUSED/);
  });

  test("end at once when the signal is aborted", async () => {
    const { baseUrl } = await serve(() => {});
    const controller = new AbortController();
    const call = new Client({ baseUrl, apiKey: null }).exchange(chat, controller.signal);
    controller.abort(new Error("enough"));
    await expect(call).rejects.toThrow("enough");
  });

  test("are not started if the signal is already aborted", async () => {
    const { baseUrl, requests } = await serve((_, response) => json(response, 200, completion("é")));
    const call = new Client({ baseUrl, apiKey: null }).exchange(chat, AbortSignal.abort(new Error("enough")));
    await expect(call).rejects.toThrow("enough");
    await pause(50); // an unhandled error of a destroyed request would end the process here
    expect(requests).toEqual([]);
  });

  test("can be abandoned after a number of events or milliseconds, or end with the answer", async () => {
    const gone: number[] = [];
    const { baseUrl, requests } = await serve(({ numEvents }, response) => {
      const start = performance.now();
      response.on("close", () => gone.push(performance.now() - start));
      if (numEvents === 2) return sse(response, {}, {});
      response.writeHead(200, { "content-type": "text/event-stream" });
      const timer = setInterval(() => response.write("data: {}\n\n"), 20);
      response.on("close", () => clearInterval(timer));
    });
    const client = new Client({ baseUrl, apiKey: null });
    const body = JSON.stringify({ stream: true });
    expect(sseEvents((await client.abandon({ ...chat, body }, { chunks: 3 }, signal)).text)).toHaveLength(3);
    expect((await client.abandon({ ...chat, body }, { chunks: 0 }, signal)).text).toBe("");
    const { durationMs } = await client.abandon({ ...chat, body }, { ms: 100 }, signal);
    expect(durationMs).toBeGreaterThan(90);
    const { text } = await client.abandon({ ...chat, body: JSON.stringify({ numEvents: 2 }) }, { chunks: 30 }, signal);
    expect(sseEvents(text)).toEqual(["{}", "{}", "[DONE]"]);
    while (gone.length < requests.length) await pause(5);
    expect(requests).toHaveLength(4);
  });

  test("an unstreamed answer is read over HTTP", async () => {
    const { baseUrl } = await serve((_, response) => json(response, 200, completion("é")));
    const exchange = await new Client({ baseUrl, apiKey: null }).exchange(chat, signal);
    expect(readAnswer(exchange, false).choices[0]!.content).toBe("é");
  });
});

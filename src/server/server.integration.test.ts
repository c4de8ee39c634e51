/** The server over HTTP with the embedded model: answers and refusals. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { withoutCachedTokens } from "../../spec-tests/fixtures/chat-requests.js";
import { chatBody, events, post, raw, testServer, until, type TestServer } from "../../spec-tests/fixtures/server.js";

let tested: TestServer;
let chatUrl: string;

beforeAll(async () => {
  tested = await testServer({ maxBodyBytes: 10_000, bodyTimeoutMs: 300, numPlaces: 1 });
  chatUrl = `${tested.url}/v1/chat/completions`;
});

afterAll(() => tested.close());

interface Completion {
  readonly id: string;
  readonly choices: readonly { readonly message: { readonly content: string }; readonly finish_reason: string }[];
  readonly usage: object;
}

interface Chunk {
  readonly id: string;
  readonly choices: readonly {
    readonly delta: { readonly role?: string; readonly content?: string };
    readonly finish_reason: string | null;
  }[];
  readonly usage?: object;
}

const SHORT = { max_tokens: 24, temperature: 0.8, seed: 5 };

describe("answers", () => {
  test("an answer as one object with seed and request id headers is the same under every prefix", async () => {
    const answers = [];
    for (const prefix of ["/v1", "/v3/openai", "/openai/v1"]) {
      const response = await post(`${tested.url}${prefix}/chat/completions`, chatBody(SHORT));
      expect(response.status).toBe(200);
      expect(response.headers.get("x-touchstone-seed")).toBe("5");
      expect(response.headers.get("x-request-id")).toMatch(/^req_[0-9a-f]{24}$/);
      const { id, choices, usage } = (await response.json()) as Completion;
      expect(id).toMatch(/^chatcmpl-.{24}$/);
      answers.push({ choices, usage: withoutCachedTokens(usage) });
    }
    expect(answers[1]).toEqual(answers[0]);
    expect(answers[2]).toEqual(answers[0]);
  });

  test("a drawn seed is reported and replays the answer", async () => {
    const first = await post(chatUrl, chatBody({ max_tokens: 24 }));
    const seed = Number(first.headers.get("x-touchstone-seed"));
    const again = await post(chatUrl, chatBody({ max_tokens: 24, seed }));
    expect(((await again.json()) as Completion).choices).toEqual(((await first.json()) as Completion).choices);
  });

  test("the date of the chat template is reported, and a request can fix it", async () => {
    const before = new Date().toISOString().slice(0, 10);
    const today = (await post(chatUrl, chatBody(SHORT))).headers.get("x-touchstone-date");
    expect([before, new Date().toISOString().slice(0, 10)]).toContain(today);
    const given = { chat_template_kwargs: { date: "2026-11-30" } };
    for (const stream of [false, true]) {
      const response = await post(chatUrl, chatBody({ ...SHORT, ...given, stream }));
      expect(response.headers.get("x-touchstone-date")).toBe("2026-11-30");
      await response.text();
    }
    const refused = await post(chatUrl, chatBody({ chat_template_kwargs: { date: "yesterday" } }));
    expect(refused.status).toBe(400);
    expect(await refused.json()).toMatchObject({ error: { code: "out_of_range", param: "chat_template_kwargs.date" } });
  });

  test("tokenize shows the prompt of variables and date, and reports the date", async () => {
    const url = chatUrl.replace("chat/completions", "tokenize");
    const messages = [{ role: "user", content: "Hi" }];
    const dated = await post(
      url,
      JSON.stringify({ model: "tiny", messages, chat_template_kwargs: { date: "2026-11-30" } }),
    );
    expect([dated.status, dated.headers.get("x-touchstone-date")]).toEqual([200, "2026-11-30"]);
    const text = await post(url, JSON.stringify({ model: "tiny", text: "Hi" }));
    expect([text.status, text.headers.get("x-touchstone-date")]).toEqual([200, null]);
    const refused = await post(url, JSON.stringify({ model: "tiny", messages, chat_template_kwargs: { tools: [] } }));
    expect(await refused.json()).toMatchObject({ error: { param: "chat_template_kwargs.tools" } });
  });

  test("a stream has role, text, finish and usage chunks and equals the unstreamed answer", async () => {
    const whole = (await (await post(chatUrl, chatBody(SHORT))).json()) as Completion;
    const response = await post(chatUrl, chatBody({ ...SHORT, stream: true }));
    expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    expect(response.headers.get("x-touchstone-seed")).toBe("5");
    const chunks = (await events(response)) as unknown as Chunk[];
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    expect(chunks[0]!.choices[0]!.delta).toEqual({ role: "assistant", content: "" });
    expect(chunks.map(({ choices }) => choices[0]!.delta.content ?? "").join("")).toBe(
      whole.choices[0]!.message.content,
    );
    expect(chunks.at(-1)!.choices[0]).toMatchObject({ delta: {}, finish_reason: whole.choices[0]!.finish_reason });
    expect(withoutCachedTokens(chunks.at(-1)!.usage)).toEqual(withoutCachedTokens(whole.usage));
  });

  test("more choices than places run in turns with unchanged answers", async () => {
    const three = (await (await post(chatUrl, chatBody({ ...SHORT, n: 3 }))).json()) as Completion;
    const two = (await (await post(chatUrl, chatBody({ ...SHORT, n: 2 }))).json()) as Completion;
    expect(three.choices.slice(0, 2)).toEqual(two.choices);
  });

  test("a client that disconnects releases its places", async () => {
    const leave = new AbortController();
    const response = await post(chatUrl, chatBody({ n: 128, max_tokens: 400, stream: true }), { signal: leave.signal });
    await response.body!.getReader().read();
    expect(tested.host.numRunning).toBe(1);
    leave.abort();
    await until(() => tested.host.numRunning === 0);
    expect((await post(chatUrl, chatBody(SHORT))).status).toBe(200);
  });

  test("model names may contain slashes, raw or encoded", async () => {
    const list = (await (await fetch(`${tested.url}/v1/models`)).json()) as { data: { id: string }[] };
    expect(list.data.map(({ id }) => id)).toEqual(["tiny", "org/alias", "deepseek/deepseek-r1-turbo"]);
    for (const path of ["tiny", "deepseek/deepseek-r1-turbo", "deepseek%2Fdeepseek-r1-turbo", "org%2falias"]) {
      const response = await fetch(`${tested.url}/v3/openai/models/${path}`);
      expect(response.status).toBe(200);
      expect(await response.json()).toMatchObject({
        id: decodeURIComponent(path),
        object: "model",
        owned_by: "touchstone",
      });
    }
    for (const path of ["other", "org%2Fother", "__proto__"])
      await refuses(fetch(`${tested.url}/v1/models/${path}`), 404, "model_not_found", "model");
    await refuses(fetch(`${tested.url}/v1/models/%ff`), 404, "not_found");
    await refuses(fetch(`${tested.url}/v1/models/`), 404, "not_found");
  });

  test("tokenize and detokenize are inverse", async () => {
    const ask = async (route: string, body: object) =>
      (await post(`${tested.url}/v1/${route}`, JSON.stringify({ model: "org/alias", ...body }))).json();
    const { token_ids: ids, tokens } = (await ask("tokenize", { text: "Hello, 12!" })) as {
      token_ids: number[];
      tokens: string[];
    };
    expect(tokens).toHaveLength(ids.length);
    expect(await ask("detokenize", { token_ids: ids })).toEqual({ text: "Hello, 12!" });
    const chat = (await ask("tokenize", { messages: [{ role: "user", content: "Hello" }] })) as { token_ids: number[] };
    expect(chat.token_ids.length).toBeGreaterThan(1);
    await refuses(
      post(`${tested.url}/v1/detokenize`, JSON.stringify({ model: "tiny", token_ids: [1, 99_999] })),
      400,
      "out_of_range",
      "token_ids[1]",
    );
  });

  test("capabilities, the OpenAPI document and the health routes return JSON", async () => {
    for (const path of ["/v1/capabilities", "/openapi.json", "/healthz", "/readyz"]) {
      const response = await fetch(`${tested.url}${path}`);
      expect({ path, status: response.status }).toEqual({ path, status: 200 });
      expect(response.headers.get("x-request-id")).not.toBeNull();
      expect(await response.json()).toBeTypeOf("object");
    }
  });

  test("the client's request id is kept if it is valid", async () => {
    const idOf = async (id: string) =>
      (await fetch(`${tested.url}/healthz`, { headers: { "x-request-id": id } })).headers.get("x-request-id");
    expect(await idOf("my-trace.7")).toBe("my-trace.7");
    expect(await idOf("a b")).toMatch(/^req_/);
  });
});

async function refuses(
  pending: Promise<Response>,
  status: number,
  code: string,
  param: string | null = null,
): Promise<Response> {
  const response = await pending;
  const body = (await response.json()) as { error: Record<string, unknown> };
  expect({ status: response.status, body }).toEqual({
    status,
    body: { error: { message: expect.stringMatching(/./), type: expect.stringMatching(/_error$/), param, code } },
  });
  expect(response.headers.get("x-request-id")).not.toBeNull();
  return response;
}

describe("refusals", () => {
  test("unknown paths and methods", async () => {
    for (const path of [
      "/v1",
      "/v1/",
      "/v2/models",
      "/chat/completions",
      "/v1/chat/completions/",
      "/__proto__",
      "/v1/constructor",
    ]) {
      await refuses(fetch(`${tested.url}${path}`), 404, "not_found");
    }
    expect((await refuses(fetch(chatUrl), 405, "method_not_allowed")).headers.get("allow")).toBe("POST");
    expect((await refuses(post(`${tested.url}/v1/models`, "{}"), 405, "method_not_allowed")).headers.get("allow")).toBe(
      "GET, HEAD",
    );
    await refuses(fetch(chatUrl, { method: "OPTIONS" }), 405, "method_not_allowed");
    expect((await fetch(`${tested.url}/healthz`, { method: "HEAD" })).status).toBe(200);
  });

  test("unsupported media types", async () => {
    for (const type of ["text/plain", "application/json; charset=latin1", "multipart/form-data", "application/jsonp"]) {
      await refuses(post(chatUrl, chatBody(), { headers: { "content-type": type } }), 415, "unsupported_media_type");
    }
    await refuses(
      post(chatUrl, chatBody(), { headers: { "content-encoding": "gzip" } }),
      415,
      "unsupported_media_type",
    );
    expect(
      (await post(chatUrl, chatBody(SHORT), { headers: { "content-type": 'Application/JSON; Charset="UTF-8"' } }))
        .status,
    ).toBe(200);
    expect(
      (await post(chatUrl, chatBody(SHORT), { headers: { "content-type": "application/json; charset = latin1" } }))
        .status,
    ).toBe(415);
  });

  test("invalid bodies", async () => {
    await refuses(post(chatUrl, "{"), 400, "invalid_json");
    await refuses(post(chatUrl, ""), 400, "invalid_json");
    await refuses(post(chatUrl, chatBody({ temperature: 3 })), 400, "out_of_range", "temperature");
    await refuses(post(chatUrl, chatBody({ temperatur: 1 })), 400, "unknown_parameter", "temperatur");
    await refuses(post(chatUrl, chatBody({ model: "gpt-4o" })), 404, "model_not_found", "model");
    await refuses(
      post(chatUrl, chatBody({ max_tokens: 5000, context_length_exceeded_behavior: "error", stream: true })),
      400,
      "context_length_exceeded",
      "max_tokens",
    );
  });

  test("bodies that are too large, with and without Content-Length", async () => {
    await refuses(post(chatUrl, chatBody({ user: "x".repeat(20_000) })), 413, "request_too_large");
    await refuses(post(chatUrl, chatBody({ user: "x".repeat(200_000) })), 413, "request_too_large");
    const endless = new ReadableStream(
      { pull: (controller) => controller.enqueue(new Uint8Array(1000)) },
      { highWaterMark: 0 },
    );
    const piecewise = new ReadableStream({
      start(controller) {
        for (let i = 0; i < 20; i++) controller.enqueue(new Uint8Array(1000));
        controller.close();
      },
    });
    const streamed = { method: "POST", headers: { "content-type": "application/json" }, duplex: "half" };
    await refuses(fetch(chatUrl, { ...streamed, body: piecewise } as RequestInit), 413, "request_too_large");
    await fetch(chatUrl, { ...streamed, body: endless } as RequestInit).catch(() => {}); // the response or a closed connection: both are fine
  });

  test("an incomplete body: 408", async () => {
    const answer = await raw(
      tested.url,
      `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"mod`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 408 [^]*connection: close[^]*"code":"request_timeout"/i);
  });

  test("malformed HTTP", async () => {
    const answer = await raw(tested.url, "GET /v1/models HTTP/1.1\r\nHost\r\n\r\n");
    expect(answer).toMatch(
      /^HTTP\/1\.1 400 [^]*\{"error":\{"message":"[^"]+","type":"invalid_request_error","param":null,"code":null\}\}$/,
    );
    expect(await raw(tested.url, `GET /${"x".repeat(40_000)} HTTP/1.1\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 413 [^]*"code":"request_too_large"/,
    );
  });

  test("unknown expectations are ignored, proxies may send the absolute URL", async () => {
    const head = "HTTP/1.1\r\nHost: localhost\r\nExpect: something\r\nConnection: close\r\n";
    expect(
      await raw(
        tested.url,
        `POST /v1/chat/completions ${head}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`,
      ),
    ).toMatch(/^HTTP\/1\.1 400 [^]*missing_required_parameter/);
    for (const address of ["http://localhost:1/healthz", "HTTPS://localhost/healthz?a=b"])
      expect(await raw(tested.url, `GET ${address} ${head}\r\n`)).toMatch(/^HTTP\/1\.1 200 /);
    expect(await raw(tested.url, `GET http://localhost ${head}\r\n`)).toMatch(/^HTTP\/1\.1 200 /);
  });

  test("Expect: 100-continue gets 100 Continue only if the body will be read", async () => {
    const head = (length: number, type: string) =>
      `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${type}\r\nContent-Length: ${length}\r\nExpect: 100-continue\r\n\r\n`;
    expect(await raw(tested.url, head(5, "text/plain"))).toMatch(/^HTTP\/1\.1 415 /);
    expect(await raw(tested.url, head(20_000, "application/json"))).toMatch(/^HTTP\/1\.1 413 /);
    expect(await raw(tested.url, head(20, "application/json"))).toMatch(
      /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 408 /,
    );
  });
});

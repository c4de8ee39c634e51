/** Operation of the server: keys, CORS, the queue, crashes, shutdown, metrics, logs. */

import { rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";

import { afterEach, describe, expect, test } from "vitest";

import {
  chatBody,
  events,
  fakeWorkers,
  mortalWorkers,
  post,
  scratchFile,
  testServer,
  until,
  type TestServer,
  type TestServerOptions,
} from "../../spec-tests/fixtures/server.js";

const open: TestServer[] = [];

afterEach(async () => {
  for (const tested of open.splice(0)) await tested.close();
});

async function start(options: TestServerOptions = {}) {
  const tested = await testServer({ workers: fakeWorkers(), ...options });
  open.push(tested);
  const chat = (fields: object = {}, init: RequestInit = {}) =>
    post(`${tested.url}/v1/chat/completions`, chatBody({ max_tokens: 3, ...fields }), init);
  return { ...tested, chat };
}

async function codeOf(pending: Response | Promise<Response>): Promise<{ status: number; code: string }> {
  const response = await pending;
  const { error } = (await response.json()) as { error: { code: string } };
  return { status: response.status, code: error.code };
}

const tokenize = ({ url }: { url: string }) => post(`${url}/v1/tokenize`, '{"model":"tiny","text":"a"}');
const says = (content: string) => ({ messages: [{ role: "user", content }] });
const isReady = async ({ url }: { url: string }) => (await fetch(`${url}/readyz`)).status === 200;

/** Number of other answers in progress in the engine, as it reports it. */
async function numInEngine(chat: (fields: object) => Promise<Response>): Promise<number> {
  const response = await chat(says("count"));
  const { choices } = (await response.json()) as { choices: { message: { content: string } }[] };
  return Number(choices[0]!.message.content);
}

describe("the page for people", () => {
  test("names the models and their state, and loads nothing", async () => {
    const { url } = await start();
    const response = await fetch(url);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(response.headers.get("content-security-policy")).toContain("default-src 'none'");
    const page = await response.text();
    expect(page).toContain(`<code>${url}/v1</code>`);
    expect(page).toContain("<td>ready</td>");
    const [, id] = /<td><code>([^<]+)<\/code>/.exec(page)!;
    expect((await fetch(`${url}/v1/models/${id}`)).status).toBe(200);
    for (const [, path] of page.matchAll(/href="([^"]+)"/g)) expect((await fetch(`${url}${path}`)).status).toBe(200);
    expect((await post(`${url}/`, "{}")).status).toBe(405);
  });

  test("names no model where requests need a key", async () => {
    const { url } = await start({ apiKeys: ["first-key"] });
    const page = await (await fetch(url)).text();
    expect(page).toContain("It needs a key.");
    expect(page).not.toContain("<td>");
  });
});

test("a path without the prefix of the API, or with another, names the route", async () => {
  const { url } = await start();
  const messageOf = async (path: string): Promise<string> => {
    const response = await post(`${url}${path}`, chatBody());
    expect(response.status).toBe(404);
    return ((await response.json()) as { error: { message: string } }).error.message;
  };
  for (const path of ["/chat/completions", "/v1/v1/chat/completions", "/api/chat/completions", "/v2/chat/completions"])
    expect(await messageOf(path)).toBe(
      `No route matches the path "${path}". A base URL ends with /v1: the route is /v1/chat/completions.`,
    );
  expect(await messageOf("/models/abc")).toContain("the route is /v1/models/{id}.");
  expect(await messageOf("/nowhere")).toBe('No route matches the path "/nowhere". GET /openapi.json lists all routes.');
});

describe("keys", () => {
  test("every route except health needs a key; only path and method are checked before it", async () => {
    const { url, chat } = await start({ apiKeys: ["first-key", "second-key"] });
    const bearer = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });
    for (const key of ["first-key", "second-key"]) expect((await chat({}, bearer(key))).status).toBe(200);
    for (const key of ["first-ke", "first-keys", "FIRST-KEY", "first-key,second-key"]) {
      expect(await codeOf(chat({}, bearer(key)))).toEqual({ status: 401, code: "invalid_api_key" });
    }
    for (const path of ["/v1/models", "/v1/models/none", "/v1/capabilities", "/metrics", "/openapi.json"]) {
      expect((await fetch(`${url}${path}`)).status).toBe(401);
      expect(
        (await fetch(`${url}${path}`, { headers: { authorization: "Basic first-key" } })).headers.get(
          "www-authenticate",
        ),
      ).toBe("Bearer");
    }
    for (const path of ["/healthz", "/readyz"]) expect((await fetch(`${url}${path}`)).status).toBe(200);
    expect((await fetch(`${url}/nowhere`)).status).toBe(404);
    expect((await fetch(`${url}/v1/chat/completions`)).status).toBe(405);
    expect(
      await codeOf(post(`${url}/v1/chat/completions`, "{", { headers: { "content-type": "text/plain" } })),
    ).toMatchObject({ status: 401 });
  });
});

describe("CORS", () => {
  const preflight = (url: string, origin: string) =>
    fetch(`${url}/v1/chat/completions`, {
      method: "OPTIONS",
      headers: {
        origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-os",
      },
    });

  test("is off by default", async () => {
    const { url } = await start();
    expect((await preflight(url, "https://app.example")).status).toBe(405);
    const response = await fetch(`${url}/healthz`, { headers: { origin: "https://app.example" } });
    expect(response.headers.get("access-control-allow-origin")).toBeNull();
  });

  test("allows the named origins, also on errors, and needs no key for the preflight", async () => {
    const { url } = await start({ corsOrigins: ["https://app.example"], apiKeys: ["key"] });
    const allowed = await preflight(url, "https://app.example");
    expect(allowed.status).toBe(204);
    expect(allowed.headers.get("access-control-allow-origin")).toBe("https://app.example");
    expect(allowed.headers.get("access-control-allow-methods")).toBe("POST");
    expect(allowed.headers.get("access-control-allow-headers")).toContain("x-stainless-os");
    expect((await preflight(url, "https://other.example")).headers.get("access-control-allow-origin")).toBeNull();
    const refused = await fetch(`${url}/v1/models`, { headers: { origin: "https://app.example" } });
    expect(refused.status).toBe(401);
    expect(refused.headers.get("access-control-allow-origin")).toBe("https://app.example");
    expect(refused.headers.get("vary")).toBe("Origin");
  });
});

describe("the queue", () => {
  test("answers 429 when full, and takes another request when a client leaves", async () => {
    const { chat, host } = await start({ numPlaces: 1, maxWaiting: 2 });
    const leavers = [new AbortController(), new AbortController(), new AbortController()];
    await Promise.all(leavers.map(({ signal }) => chat({ max_tokens: 100_000, stream: true }, { signal })));
    await until(() => host.numRunning === 3);
    const full = await chat();
    expect(full.headers.get("retry-after")).toMatch(/^\d+$/);
    expect(await codeOf(full)).toEqual({ status: 429, code: "queue_full" });
    leavers[0]!.abort();
    await until(() => host.numRunning === 2);
    expect(await numInEngine(chat)).toBe(2);
    for (const leaver of leavers) leaver.abort();
    await until(() => host.numRunning === 0);
    expect(await numInEngine(chat)).toBe(0);
    await until(() => host.numRunning + host.numWaiting === 0);
  });
});

describe("streams", () => {
  test("comment lines keep an idle stream open, and clients skip them", async () => {
    const { chat } = await start({ heartbeatMs: 3 });
    const response = await chat({ stream: true, max_tokens: 20 });
    const copy = response.clone();
    expect(await response.text()).toMatch(/(^|\n\n): keep-alive\n\n/);
    expect((await events(copy)).length).toBe(22);
  });

  test("a client that stops reading blocks nobody and releases its place when it disconnects", async () => {
    const tested = await start({ numPlaces: 1 });
    const { hostname, port } = new URL(tested.url);
    const body = chatBody({ ...says("much"), stream: true, max_tokens: 100_000 });
    const socket = connect(Number(port), hostname);
    socket.pause();
    socket.write(
      `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    await until(() => tested.host.numRunning === 1);
    await new Promise((resolve) => setTimeout(resolve, 300)); // socket buffers fill up
    expect((await fetch(`${tested.url}/healthz`)).status).toBe(200);
    socket.destroy();
    await until(() => tested.host.numRunning === 0);
    expect(await numInEngine(tested.chat)).toBe(0);
  });
});

describe("readers", () => {
  const ask = (fields: object): string => {
    const body = chatBody({ ...says("much"), max_tokens: 200, ...fields });
    return `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  };

  test.each([{ stream: true }, {}])("that take nothing for a while count as gone: %o", async (fields) => {
    const tested = await start({ stallMs: 500 });
    const { hostname, port } = new URL(tested.url);
    const socket = connect(Number(port), hostname).on("error", () => {});
    socket.pause();
    socket.write(ask(fields));
    await until(() => tested.host.numRunning === 1);
    await until(() => tested.logs.some((line) => line.includes('"client gone"')), 20_000);
    expect(await numInEngine(tested.chat)).toBe(0);
    socket.destroy();
  });

  test("of answers that are not streamed get at most 64 MiB, which is known before", async () => {
    const tested = await start();
    const response = await tested.chat({ n: 128, max_tokens: 400, logprobs: true, top_logprobs: 20 });
    expect(response.status).toBe(400);
    const { error } = (await response.json()) as { error: object };
    expect(error).toEqual({
      message:
        "With n 128, max_tokens 400, top_logprobs 20 the answer may have 83 MiB; an answer that is not streamed may have 64 MiB. Lower one of them, or stream the answer.",
      type: "invalid_request_error",
      param: "n",
      code: "out_of_range",
    });
  });
});

describe("an engine", () => {
  test("that dies fails its answers and is replaced; readyz reports it", async () => {
    const tested = await start({ numPlaces: 3, maxWaiting: 5 });
    const { chat, url } = tested;
    const stream = await chat({ max_tokens: 100_000, stream: true });
    const whole = chat({ max_tokens: 100_000 });
    await until(() => tested.host.numRunning === 2);
    const deadly = chat(says("die"));

    expect(await codeOf(whole)).toEqual({ status: 500, code: "internal_error" });
    expect(await codeOf(deadly)).toEqual({ status: 500, code: "internal_error" });
    const chunks = await events(stream);
    expect(chunks.at(-1)).toEqual({
      error: { message: expect.any(String), type: "api_error", param: null, code: "internal_error" },
    });
    expect(await codeOf(fetch(`${url}/readyz`))).toEqual({ status: 503, code: "model_loading" });
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    expect((await chat()).status).toBe(200);
    expect(await isReady(tested)).toBe(true);
    expect([tested.host.numRunning, tested.host.numWaiting, tested.host.numRestarts]).toEqual([0, 0, 1]);
    expect(await (await fetch(`${url}/metrics`)).text()).toContain('touchstone_engine_restarts{model_name="tiny"} 1');
  });

  /** Starts a server whose engine has died, and is loaded again when `open` is called. */
  async function startWithoutEngine(options: TestServerOptions = {}) {
    const gate = `${scratchFile("gate", "")}.closed`;
    const tested = await start({ ...options, workers: fakeWorkers(gate) });
    writeFileSync(gate, "");
    expect((await tested.chat(says("die"))).status).toBe(500);
    return { ...tested, open: () => rmSync(gate) };
  }

  test("that is being replaced holds requests for a bounded time", async () => {
    const tested = await startWithoutEngine({ times: { holdMs: 500 } });
    const startMs = performance.now();
    const held = codeOf(tested.chat());
    // Garbage is collected meanwhile.
    while (performance.now() - startMs < 400) {
      Array.from({ length: 100_000 }, () => ({}));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await held).toEqual({ status: 503, code: "model_loading" });
    expect(performance.now() - startMs).toBeGreaterThan(490);
    expect(await codeOf(tokenize(tested))).toEqual({ status: 503, code: "model_loading" });
    tested.open();
    await until(() => isReady(tested));
    expect((await tested.chat()).status).toBe(200);
    expect([tested.host.numRunning, tested.host.numWaiting]).toEqual([0, 0]);
  });

  test("that is being replaced holds as many requests as may wait, and none of clients that leave", async () => {
    const tested = await startWithoutEngine({ numPlaces: 1, maxWaiting: 2 });
    const leaver = new AbortController();
    const left = tested.chat({}, { signal: leaver.signal });
    const held = [tested.chat(), tokenize(tested)];
    await until(() => tested.host.numWaiting === 3);
    expect(await codeOf(tested.chat())).toEqual({ status: 429, code: "queue_full" });
    leaver.abort();
    await expect(left).rejects.toThrow("aborted");
    await until(() => tested.host.numWaiting === 2);
    tested.open();
    expect((await Promise.all(held)).map(({ status }) => status)).toEqual([200, 200]);
    expect([tested.host.numRunning, tested.host.numWaiting]).toEqual([0, 0]);
  });

  test("that is being replaced when the server closes leaves no request waiting", async () => {
    const tested = await startWithoutEngine();
    const held = tested.chat();
    await until(() => tested.host.numWaiting === 1);
    await tested.close();
    expect(await codeOf(held)).toEqual({ status: 503, code: "shutting_down" });
  });

  test("that hangs is replaced", async () => {
    const tested = await start({ times: { maxSilenceMs: 1000 } });
    const stream = await tested.chat({ max_tokens: 100_000, stream: true });
    const hung = tested.chat(says("hang"));
    expect(await codeOf(hung)).toEqual({ status: 500, code: "internal_error" });
    expect((await events(stream)).at(-1)).toMatchObject({ error: { code: "internal_error" } });
    await until(() => isReady(tested));
    expect((await tested.chat()).status).toBe(200);
    expect(tested.host.numRestarts).toBe(1);
  });

  test("that dies three times within a minute stays down", async () => {
    const tested = await start();
    for (let death = 1; death <= 3; death++) {
      await until(() => isReady(tested));
      expect(tested.host.state).toBe("ready");
      expect(await codeOf(tested.chat(says("die")))).toEqual({ status: 500, code: "internal_error" });
    }
    const { message } = await tested.host.failed;
    expect(message).toBe("the engine stopped 3 times within 60 s, the last time with: died as asked");
    expect(tested.host.state).toBe("failed");
    expect(await isReady(tested)).toBe(false);
    const down = await tested.chat();
    expect([down.status, down.headers.get("retry-after")]).toEqual([503, null]);
    expect(await down.json()).toMatchObject({
      error: { code: "model_loading", message: expect.stringContaining("stopped too often") as string },
    });
  });

  test("that is real gives the same answers after its replacement", async () => {
    const tested = await start({ workers: mortalWorkers(666) });
    const answer = async () =>
      ((await (await tested.chat({ max_tokens: 20, seed: 3 })).json()) as { choices: object[] }).choices;
    const before = await answer();
    expect((await tested.chat({ seed: 666 })).status).toBe(500);
    await until(() => tested.host.numRestarts === 1);
    await until(() => isReady(tested));
    expect(await answer()).toEqual(before);
    expect(tested.logs.find((line) => line.includes("engine stopped"))).toContain("died as asked");
  });

  test.each(["engineUrl", "preparerUrl"])("whose %s cannot be loaded rejects the start of the server", async (name) => {
    const workers = { ...fakeWorkers(), [name]: new URL("file:///nowhere/worker.js") };
    await expect(testServer({ workers })).rejects.toThrow("nowhere");
  });
});

describe("a preparer", () => {
  test.each([
    ["die", 500, "internal_error"],
    ["hang", 413, "request_too_large"],
    ["grow", 413, "request_too_large"],
  ])("that would %s because of a request ends only that request", async (how, status, code) => {
    const tested = await start({ times: { maxPreparationMs: 3000 } });
    const stream = await tested.chat({ max_tokens: 50, stream: true });
    const fatal = tested.chat(says(`prepare: ${how}`));
    const next = tested.chat();
    expect(await codeOf(fatal)).toEqual({ status, code });
    expect((await next).status).toBe(200);
    expect(await events(stream)).toHaveLength(52);
    expect([tested.host.numRestarts, tested.host.state]).toEqual([0, "ready"]);
  });
});

describe("shutdown", () => {
  test("lets running answers finish and refuses new requests", async () => {
    const { chat, url, server } = await start();
    const running = await chat({ max_tokens: 30, stream: true });
    const closing = server.close(10_000);
    expect(await codeOf(chat())).toEqual({ status: 503, code: "shutting_down" });
    expect(await codeOf(fetch(`${url}/readyz`))).toEqual({ status: 503, code: "shutting_down" });
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    expect(await events(running)).toHaveLength(32);
    await closing;
    await expect(fetch(`${url}/healthz`)).rejects.toThrow();
  });

  test("ends answers that still run after the grace period with an error", async () => {
    const { chat, server } = await start();
    const stream = await chat({ max_tokens: 100_000, stream: true });
    const whole = chat({ max_tokens: 100_000 });
    await new Promise((resolve) => setTimeout(resolve, 50));
    await server.close(50);
    expect((await events(stream)).at(-1)).toMatchObject({
      error: { code: "shutting_down", message: "The server is shutting down and ended this answer." },
    });
    expect(await codeOf(whole)).toEqual({ status: 503, code: "shutting_down" });
  });
});

describe("metrics and logs", () => {
  test("metrics have vLLM's names and count requests and tokens", async () => {
    const { chat, url } = await start();
    await (await chat({ max_tokens: 4, n: 2 })).json();
    await chat({ temperature: 9 });
    const response = await fetch(`${url}/metrics`);
    expect(response.headers.get("content-type")).toMatch(/^text\/plain; version=0\.0\.4/);
    const text = await response.text();
    for (const line of [
      'vllm:num_requests_running{model_name="tiny"} 0',
      'vllm:num_requests_waiting{model_name="tiny"} 0',
      'vllm:prompt_tokens_total{model_name="tiny"} 3',
      'vllm:generation_tokens_total{model_name="tiny"} 8',
      'vllm:request_success_total{model_name="tiny",finished_reason="length"} 2',
      'vllm:time_to_first_token_seconds_count{model_name="tiny"} 1',
      'vllm:request_time_per_output_token_seconds_count{model_name="tiny"} 1',
      'vllm:e2e_request_latency_seconds_count{model_name="tiny"} 1',
      'touchstone_http_requests_total{route="chat/completions",status="200"} 1',
      'touchstone_errors_total{code="out_of_range"} 1',
    ]) {
      expect(text).toContain(`${line}\n`);
    }
  });

  test("the log line of a client that disconnected has the number of tokens sent", async () => {
    const { chat, logs } = await start();
    const leave = new AbortController();
    const response = await chat({ max_tokens: 100_000, stream: true }, { signal: leave.signal });
    await response.body!.getReader().read();
    leave.abort();
    await until(() => logs.some((line) => line.includes('"client gone"')));
    const line = JSON.parse(logs.find((line) => line.includes('"client gone"'))!) as { completionTokens: number };
    expect(line).toMatchObject({ status: 200, promptTokens: 3, completionTokens: expect.any(Number) });
  });

  test("log lines carry ids, durations and counts, and text only with logContent", async () => {
    const logged = async (logContent: boolean) => {
      const { chat, logs } = await start({ logContent });
      const response = await chat(says("a secret"));
      const { message } = ((await response.json()) as { choices: { message: { content: string } }[] }).choices[0]!;
      expect(message.content).toBe("x x x ");
      await until(() => logs.some((line) => line.includes('"answered"')));
      return {
        line: logs.find((line) => line.includes('"answered"'))!,
        requestId: response.headers.get("x-request-id"),
      };
    };
    const quiet = await logged(false);
    expect(JSON.parse(quiet.line)).toMatchObject({
      requestId: quiet.requestId,
      status: 200,
      model: "tiny",
      seed: 7,
      promptTokens: 3,
      completionTokens: 3,
      durationMs: expect.any(Number),
      firstTokenMs: expect.any(Number),
    });
    expect(quiet.line).not.toMatch(/secret|x x/);
    expect((await logged(true)).line).toMatch(/a secret.*x x x /);
  });
});

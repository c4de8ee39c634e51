/** Contract, section 9, over HTTP: a case for each error code, in both dialects, and the order of checks. */

import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";
import { text } from "node:stream/consumers";

import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";

import { ERROR_CODES, type ApiErrorCode } from "../openai/api-error.js";
import type { Dialect } from "../openai/index.js";
import {
  chatBody,
  fakeWorkers,
  post,
  raw,
  testServer,
  until,
  type TestServer,
  type TestServerOptions,
} from "../../spec-tests/fixtures/server.js";

const DIALECTS = ["ppio", "openai"] as const;
const LIMITS = { apiKeys: ["key"], maxBodyBytes: 20_000 };
const servers: Partial<Record<Dialect, TestServer>> = {};
const open: TestServer[] = [];

beforeAll(async () => {
  for (const dialect of DIALECTS) servers[dialect] = await testServer({ dialect, ...LIMITS });
});
afterEach(async () => {
  for (const server of open.splice(0)) await server.close();
});
afterAll(() => Promise.all(Object.values(servers).map((server) => server.close())));

interface Told {
  readonly status: number;
  readonly type: string;
  readonly code: string;
  readonly param: string | null;
}

/** Reads an error response and checks that its body has exactly the four fields. */
async function told(pending: Promise<Response> | Response): Promise<Told> {
  const response = await pending;
  const body = (await response.json()) as { error: Record<string, unknown> };
  expect(body).toEqual({
    error: {
      message: expect.stringMatching(/./),
      type: expect.any(String),
      param: body.error["param"],
      code: expect.any(String),
    },
  });
  const { type, code, param } = body.error as unknown as Told;
  return { status: response.status, type, code, param };
}

/** Reads the bytes of an error response. */
function toldIn(answer: string): Promise<Told> {
  const [, status, body] = /^HTTP\/1\.1 (\d+) [^]*?\r\n\r\n([^]*)$/.exec(answer)!;
  return told(new Response(body, { status: Number(status) }));
}

const CODES_TOLD = new Set<string>();
const row = (status: number, type: string, code: ApiErrorCode, param: string | null = null): Told => {
  CODES_TOLD.add(code);
  return { status, type, code, param };
};
const invalid = (code: ApiErrorCode, param: string | null = null, status = 400): Told =>
  row(status, "invalid_request_error", code, param);

/** Changes that make a valid request invalid. */
interface Wrong {
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array<ArrayBuffer>;
  readonly fields?: object;
}

function send(
  { url }: TestServer,
  {
    path = "/v1/chat/completions",
    method = "POST",
    headers = {},
    fields = {},
    body = chatBody({ max_tokens: 1, ...fields }),
  }: Wrong,
): Promise<Response> {
  return fetch(`${url}${path}`, {
    method,
    body,
    headers: { "content-type": "application/json", authorization: "Bearer key", ...headers },
  });
}

const digits = (count: number) => ({ messages: [{ role: "user", content: "1".repeat(count) }] });
/** Number of tokens that the template adds to one message. The embedded model's context is 1024 tokens. */
const NUM_FRAME_TOKENS = 6;
const TOOL = { role: "tool", content: "Hi" };

const REFUSALS: readonly (readonly [what: string, wrong: Wrong, told: Told])[] = [
  ["a body that is not JSON", { body: "{" }, invalid("invalid_json")],
  ["an empty body", { body: "" }, invalid("invalid_json")],
  ["a repeated key", { body: chatBody().replace("{", '{"model":"tiny",') }, invalid("invalid_json")],
  ["bytes that are not UTF-8", { body: Uint8Array.of(0x22, 0xff, 0x22) }, invalid("invalid_json")],
  ["a body that is not an object", { body: "[]" }, invalid("invalid_type")],
  ["the wrong JSON type", { fields: { temperature: "hot" } }, invalid("invalid_type", "temperature")],
  ["a fraction for an integer", { fields: { n: 1.5 } }, invalid("invalid_type", "n")],
  ["a value out of range", { fields: { stop: ["a", ""] } }, invalid("out_of_range", "stop[1]")],
  [
    "an id that is not a token",
    { fields: { logit_bias: { 1023: 0, 1024: 0 } } },
    invalid("out_of_range", "logit_bias.1024"),
  ],
  ["a required field that is absent", { body: '{"model":"tiny"}' }, invalid("missing_required_parameter", "messages")],
  ["a required field that is null", { fields: { model: null } }, invalid("missing_required_parameter", "model")],
  ["an unknown field", { fields: { temprature: null } }, invalid("unknown_parameter", "temprature")],
  ["an unimplemented field", { fields: { store: true } }, invalid("unsupported_parameter", "store")],
  [
    "a value that is not in the list",
    { fields: { messages: [{ role: "user", content: [{ type: "image_url" }] }] } },
    invalid("unsupported_value", "messages[0].content[0].type"),
  ],
  [
    "two different limits",
    { fields: { max_tokens: 1, max_completion_tokens: 2 } },
    invalid("unsupported_value", "max_tokens"),
  ],
  [
    "include_usage without a stream",
    { fields: { stream_options: { include_usage: true } } },
    invalid("unsupported_value", "stream_options"),
  ],
  ["top_logprobs without logprobs", { fields: { top_logprobs: 1 } }, invalid("unsupported_value", "top_logprobs")],
  [
    "a prompt that fills the context",
    { fields: digits(1024 - NUM_FRAME_TOKENS) },
    invalid("context_length_exceeded", "messages"),
  ],
  [
    "a prompt that fills the context, with truncate",
    { fields: { ...digits(1024 - NUM_FRAME_TOKENS), context_length_exceeded_behavior: "truncate" } },
    invalid("context_length_exceeded", "messages"),
  ],
  [
    "more tokens than the context leaves",
    { fields: { ...digits(1023 - NUM_FRAME_TOKENS), max_tokens: 2, context_length_exceeded_behavior: "error" } },
    invalid("context_length_exceeded", "max_tokens"),
  ],
  ["a role that the template refuses", { fields: { messages: [TOOL] } }, invalid("template_error", "messages")],
  [
    "a schema keyword that is not enforced",
    {
      fields: {
        response_format: {
          type: "json_schema",
          json_schema: { name: "a", schema: { properties: { a: { extends: {} } } } },
        },
      },
    },
    invalid("unsupported_schema", "response_format.json_schema.schema/properties/a/extends"),
  ],
  [
    "an invalid schema",
    { fields: { response_format: { type: "json_object", schema: { type: "text" } } } },
    invalid("invalid_schema", "response_format.schema/type"),
  ],
  [
    "a schema that no value satisfies",
    { fields: { response_format: { type: "json_schema", schema: false } } },
    invalid("invalid_schema", "response_format.schema"),
  ],
  [
    "an invalid regular expression",
    { fields: { response_format: { type: "regex", regex: "(" } } },
    invalid("invalid_schema", "response_format.regex"),
  ],
  [
    "a regular expression that is not regular",
    { fields: { response_format: { type: "regex", regex: "(a)\\1" } } },
    invalid("unsupported_schema", "response_format.regex"),
  ],
  [
    "an expression whose matches start with white space",
    { fields: { response_format: { type: "regex", regex: "[ \\n]a" } } },
    invalid("unsupported_schema", "response_format.regex"),
  ],
  ["a missing key", { headers: { authorization: "" } }, row(401, "authentication_error", "invalid_api_key")],
  ["a wrong key", { headers: { authorization: "Bearer kei" } }, row(401, "authentication_error", "invalid_api_key")],
  ["a model that is not served", { fields: { model: "tinny" } }, invalid("model_not_found", "model", 404)],
  ["an unknown path", { path: "/v1/completion" }, invalid("not_found", null, 404)],
  ["a method that is not allowed", { method: "PUT" }, invalid("method_not_allowed", null, 405)],
  [
    "a body one byte too large",
    { body: chatBody({ user: "x".repeat(20_001 - chatBody({ user: "" }).length) }) },
    invalid("request_too_large", null, 413),
  ],
  ["another media type", { headers: { "content-type": "text/json" } }, invalid("unsupported_media_type", null, 415)],
];

/** Errors that depend on the server's state or on timing. */
const STATE_ERRORS = {
  slowBody: invalid("request_timeout", null, 408),
  otherHost: invalid("host_not_allowed", null, 403),
  noHost: invalid("invalid_host"),
  otherEncoding: invalid("unsupported_transfer_encoding", null, 501),
  manyBodies: row(503, "api_error", "server_overloaded"),
  fullQueue: row(429, "rate_limit_error", "queue_full"),
  deadEngine: row(500, "api_error", "internal_error"),
  noModelYet: row(503, "api_error", "model_loading"),
  shutdown: row(503, "api_error", "shutting_down"),
};

describe.each(DIALECTS)("%s refuses", (dialect) => {
  test.each(REFUSALS)("%s", async (_, wrong, expected) => {
    expect(await told(send(servers[dialect]!, wrong))).toEqual(expected);
  });
});

test.each(DIALECTS)("%s answers requests just within the limits", async (dialect) => {
  for (const given of [
    { body: chatBody({ max_tokens: 1, user: "x".repeat(20_000 - chatBody({ max_tokens: 1, user: "" }).length) }) },
    { fields: { ...digits(1023 - NUM_FRAME_TOKENS), max_tokens: 1, context_length_exceeded_behavior: "error" } },
    { fields: { logit_bias: { 0: 0, 1023: 0 } } },
  ]) {
    expect((await send(servers[dialect]!, given)).status).toBe(200);
  }
});

describe("errors of state and timing", () => {
  async function start(options: TestServerOptions): Promise<TestServer> {
    const server = await testServer({ workers: fakeWorkers(), ...options });
    open.push(server);
    return server;
  }
  const chat = ({ url }: TestServer, fields: object = {}) =>
    post(`${url}/v1/chat/completions`, chatBody({ max_tokens: 3, ...fields }));

  test("an incomplete body: 408", async () => {
    const { url } = await start({ bodyTimeoutMs: 50 });
    const headers = { "content-type": "application/json", "content-length": 2 };
    const sending = request(`${url}/v1/chat/completions`, { method: "POST", headers });
    sending.flushHeaders();
    const [answer] = (await once(sending, "response")) as [IncomingMessage];
    sending.on("error", () => {}); // the server closes the connection
    const response = new Response(await text(answer), { status: answer.statusCode! });
    expect(await told(response)).toEqual(STATE_ERRORS.slowBody);
  });

  test("another host without keys, and no host: 403 and 400", async () => {
    const { url } = await start({});
    const toHost = (headers: string) => raw(url, `GET /v1/models HTTP/1.1\r\n${headers}Connection: close\r\n\r\n`);
    expect(await toldIn(await toHost("Host: evil.example\r\n"))).toEqual(STATE_ERRORS.otherHost);
    expect(await toldIn(await toHost(""))).toEqual(STATE_ERRORS.noHost);
  });

  test.each(["gzip, chunked", "GZIP,chunked", "gzip\r\nTransfer-Encoding: chunked", "x, chunked", "identity, chunked"])(
    "Transfer-Encoding: %s: 501",
    async (encoding) => {
      const { url } = await start({});
      const head = `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n`;
      const bytes = `${head}Content-Type: application/json\r\nTransfer-Encoding: ${encoding}\r\n\r\n2\r\n{}\r\n0\r\n\r\n`;
      expect(await toldIn(await raw(url, bytes))).toEqual(STATE_ERRORS.otherEncoding);
    },
  );

  test("too many bodies at the same time: 503 with Retry-After", async () => {
    const server = await start({ maxBodyBytes: 400 });
    const headers = { "content-type": "application/json", "content-length": 400 };
    const answers = Array.from({ length: 9 }, () => {
      const sending = request(`${server.url}/v1/chat/completions`, { method: "POST", headers });
      sending.on("error", () => {}).write(" ".repeat(390));
      return once(sending, "response") as Promise<[IncomingMessage]>;
    });
    const [answer] = await Promise.race(answers);
    expect(answer.headers["retry-after"]).toMatch(/^[1-9]\d*$/);
    expect(await told(new Response(await text(answer), { status: answer.statusCode! }))).toEqual(
      STATE_ERRORS.manyBodies,
    );
    for (const other of answers) other.catch(() => {});
  });

  test("a full queue: 429 with Retry-After", async () => {
    const server = await start({ numPlaces: 1, maxWaiting: 0 });
    await chat(server, { max_tokens: 100_000, stream: true });
    const response = await chat(server);
    expect(response.headers.get("retry-after")).toMatch(/^[1-9]\d*$/);
    expect(await told(response)).toEqual(STATE_ERRORS.fullQueue);
  });

  test("an engine that dies: 500 without stack or paths, then 503 if it restarts too late", async () => {
    const server = await start({ times: { holdMs: 1 } });
    const running = chat(server, { max_tokens: 100_000 });
    await until(() => server.host.numRunning === 1);
    chat(server, { messages: [{ role: "user", content: "die" }] }).catch(() => {});
    const response = await running;
    expect(await response.clone().text()).not.toMatch(/\/|\bat |\.js/);
    expect(await told(response)).toEqual(STATE_ERRORS.deadEngine);
    expect(await told(chat(server))).toEqual(STATE_ERRORS.noModelYet);
  });

  test("shutdown: 503", async () => {
    const server = await start({});
    await chat(server, { max_tokens: 50, stream: true });
    const closing = server.server.close(10_000);
    expect(await told(chat(server))).toEqual(STATE_ERRORS.shutdown);
    await closing;
  });
});

test("every error code has a case", () => {
  expect([...CODES_TOLD].sort()).toEqual(Object.keys(ERROR_CODES).sort());
});

describe.each(DIALECTS)("%s: checks run in this order", (dialect) => {
  test("method and path, key, media type, size, JSON, fields, model, schema, template, context", async () => {
    // The first request has every error; each later one fixes one of them.
    const tooMuch = { context_length_exceeded_behavior: "error", max_tokens: 5000 };
    const allWrong = { model: "none", messages: [TOOL], ...tooMuch };
    const stranger = { authorization: "Bearer none", "content-type": "text/plain" };
    const ladder: readonly (readonly [Wrong, ApiErrorCode])[] = [
      [{ path: "/v1/nothing", method: "PUT", headers: stranger, body: "{".repeat(30_000) }, "not_found"],
      [{ method: "PUT", headers: stranger, body: "{".repeat(30_000) }, "method_not_allowed"],
      [{ headers: stranger, body: "{".repeat(30_000) }, "invalid_api_key"],
      [{ headers: { "content-type": "text/plain" }, body: "{".repeat(30_000) }, "unsupported_media_type"],
      [{ body: "{".repeat(30_000) }, "request_too_large"],
      [{ body: `${chatBody({ ...allWrong, n: 0 })}}` }, "invalid_json"],
      [{ fields: { ...allWrong, odd: 1, n: 0 } }, "out_of_range"],
      [{ fields: { ...allWrong, odd: 1 } }, "unknown_parameter"],
      [{ fields: allWrong }, "model_not_found"],
      [{ fields: { ...allWrong, model: "tiny", logit_bias: { 1024: 0 } } }, "out_of_range"],
      [{ fields: { ...allWrong, model: "tiny", response_format: { type: "regex", regex: "(" } } }, "invalid_schema"],
      [{ fields: { ...allWrong, model: "tiny" } }, "template_error"],
      [{ fields: tooMuch }, "context_length_exceeded"],
    ];
    const codes = [];
    for (const [wrong] of ladder) codes.push((await told(send(servers[dialect]!, wrong))).code);
    expect(codes).toEqual(ladder.map(([, code]) => code));
  });
});

/** Tests the hosts that are answered (contract, TS-9.18 and TS-9.19): without keys, no web page may use its own name. */

import { afterEach, describe, expect, test } from "vitest";

import {
  chatBody,
  fakeWorkers,
  raw,
  testServer,
  type TestServer,
  type TestServerOptions,
} from "../../spec-tests/fixtures/server.js";

const open: TestServer[] = [];

afterEach(async () => {
  for (const server of open.splice(0)) await server.close();
});

async function start(options: TestServerOptions = {}): Promise<TestServer> {
  const server = await testServer({ workers: fakeWorkers(), ...options });
  open.push(server);
  return server;
}

interface Sent {
  readonly line?: string;
  /** Header lines. */
  readonly headers?: readonly string[];
}

/** Returns status and error code. */
async function told({ url }: TestServer, { line = "GET /healthz HTTP/1.1", headers = [] }: Sent): Promise<string> {
  const answer = await raw(url, `${[line, ...headers, "Connection: close"].join("\r\n")}\r\n\r\n`);
  const [, status] = /^HTTP\/1\.1 (\d+) /.exec(answer)!;
  const [, code = ""] = /"code":"(\w+)"/.exec(answer) ?? [];
  return `${status} ${code}`.trim();
}

const toHost = (host: string): Sent => ({ headers: [`Host: ${host}`] });
const OK = "200";
const FOREIGN = "403 host_not_allowed";
const INVALID = "400 invalid_host";

describe("without keys", () => {
  test.each([
    ["localhost", OK],
    ["localhost:8000", OK],
    ["LocalHost:1", OK],
    ["localhost.", OK],
    ["app.localhost:3000", OK],
    ["127.0.0.1:8000", OK],
    ["127.255.0.9", OK],
    ["[::1]", OK],
    ["[::1]:8000", OK],
    ["[0:0:0:0:0:0:0:1]:8000", OK],
    ["evil.example", FOREIGN],
    ["evil.example:8000", FOREIGN],
    ["localhost.evil.example", FOREIGN],
    ["notlocalhost", FOREIGN],
    [".localhost.evil", FOREIGN],
    ["127.0.0.1.evil.example", FOREIGN],
    ["128.0.0.1", FOREIGN],
    ["192.168.1.2:8000", FOREIGN],
    ["0.0.0.0:8000", FOREIGN],
    ["[::]:8000", FOREIGN],
    ["[fe80::1]", FOREIGN],
    ["2130706433", FOREIGN],
    ["%6cocalhost", FOREIGN],
    ["localhost,evil.example", FOREIGN],
    ["", INVALID],
    [":8000", INVALID],
    ["localhost:80:80", INVALID],
    ["localhost:x", INVALID],
    ["localhost evil.example", INVALID],
    ["evil@localhost", INVALID],
    ["localhost/", INVALID],
    ["http://localhost", INVALID],
    ["::1", INVALID],
    ["[::1", INVALID],
    ["[localhost]", INVALID],
    ["[:::1]", INVALID],
    ["bücher.example", INVALID],
  ])("Host: %s is %s", async (host, expected) => {
    expect(await told(await start(), toHost(host))).toBe(expected);
  });

  test("every route and method is refused, before anything else is looked at", async () => {
    const server = await start({ corsOrigins: ["https://app.example"] });
    const evil = ["Host: evil.example", "Origin: http://evil.example"];
    for (const line of [
      "POST /v1/chat/completions",
      "POST /v3/openai/chat/completions",
      "POST /v1/tokenize",
      "GET /v1/models",
      "GET /v1/capabilities",
      "GET /metrics",
      "GET /openapi.json",
      "GET /healthz",
      "HEAD /readyz",
      "GET /nowhere",
      "PUT /v1/models",
      "OPTIONS /v1/chat/completions",
    ])
      expect(await told(server, { line: `${line} HTTP/1.1`, headers: evil })).toMatch(/^403/);
    const preflight = ["Access-Control-Request-Method: POST", ...evil];
    expect(await told(server, { line: "OPTIONS /v1/models HTTP/1.1", headers: preflight })).toBe(FOREIGN);
  });

  test("a rebound page's chat request reaches no engine, and the message says what to do", async () => {
    const { url, logs } = await start();
    const body = chatBody();
    const head = "POST /v1/chat/completions HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\n";
    const answer = await raw(
      url,
      `${head}Connection: close\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 403 [^]*"message":"[^\n]*\\"evil\.example\\"[^\n]*--allowed-host/);
    expect(answer).not.toMatch(/access-control-allow-origin/i);
    expect(logs.find((line) => line.includes('"answered"'))).toContain('"error":"host_not_allowed"');
  });

  test("one Host header is required in HTTP/1.1 and optional in HTTP/1.0", async () => {
    const server = await start();
    expect(await told(server, {})).toBe(INVALID);
    expect(await told(server, { line: "GET /nowhere HTTP/1.1" })).toBe(INVALID);
    expect(await told(server, { line: "GET /healthz HTTP/1.0" })).toBe(OK);
    expect(await told(server, { line: "GET /healthz HTTP/1.0", ...toHost("evil.example") })).toBe(FOREIGN);
    expect(await told(server, { headers: ["Host: localhost", "Host: localhost"] })).toBe(INVALID);
    expect(await told(server, { headers: ["Host: localhost", "host: evil.example"] })).toBe(INVALID);
    expect(await told(server, { line: "GET /healthz HTTP/1.0", headers: ["Host: a", "Host: b"] })).toBe(INVALID);
  });

  test("the host of an absolute request target counts instead of the header's", async () => {
    const server = await start();
    const target = (url: string, host = "localhost"): Sent => ({ line: `GET ${url} HTTP/1.1`, ...toHost(host) });
    expect(await told(server, target("http://127.0.0.1:8000/healthz", "evil.example"))).toBe(OK);
    expect(await told(server, target("HTTP://LOCALHOST/healthz", "evil.example"))).toBe(OK);
    for (const url of [
      "http://evil.example/healthz",
      "https://evil.example:8000/healthz",
      "http://evil.example?/healthz",
    ])
      expect(await told(server, target(url))).toBe(FOREIGN);
    for (const url of ["http://localhost@evil.example/healthz", "http://evil@localhost/healthz", "http:///healthz"])
      expect(await told(server, target(url))).toMatch(/^400/);
    expect(await told(server, target("http://localhost/healthz", "a b"))).toBe(INVALID);
    expect(await told(server, { line: "GET http://localhost/healthz HTTP/1.1" })).toBe(INVALID);
    expect(await told(server, { line: "OPTIONS * HTTP/1.1", ...toHost("evil.example") })).toBe(FOREIGN);
  });

  test("allowed hosts are answered too", async () => {
    const server = await start({ allowedHosts: ["Proxy.Example.", "my_service", "10.0.0.1", "FE80:0::1"] });
    for (const host of [
      "proxy.example",
      "PROXY.example:443",
      "my_service:8000",
      "10.0.0.1",
      "[fe80::1]:80",
      "localhost",
    ])
      expect(await told(server, toHost(host))).toBe(OK);
    for (const host of ["a.proxy.example", "example", "10.0.0.2", "[fe80::2]"])
      expect(await told(server, toHost(host))).toBe(FOREIGN);
  });

  test("a server that listens beyond this machine is reached by any address, but not by any name", async () => {
    const server = await start({ host: "0.0.0.0", allowedHosts: ["my-server"] });
    for (const host of ["localhost:80", "192.168.1.2:8000", "[2001:db8::1]:8000", "my-server"])
      expect(await told(server, toHost(host))).toBe(OK);
    for (const host of ["evil.example", "192.168.1.2.evil.example", "other-server"])
      expect(await told(server, toHost(host))).toBe(FOREIGN);
  });
});

test("with keys, any valid host is answered", async () => {
  const server = await start({ apiKeys: ["key"] });
  const headers = ["Host: evil.example", "Authorization: Bearer key"];
  expect(await told(server, { line: "GET /v1/models HTTP/1.1", headers })).toBe(OK);
  expect(await told(server, { line: "GET /v1/models HTTP/1.1", ...toHost("evil.example") })).toBe(
    "401 invalid_api_key",
  );
  expect(await told(server, {})).toBe(INVALID);
  expect(await told(server, { headers: ["Host: a", "Host: b"] })).toBe(INVALID);
});

import { expect, test } from "vitest";

import { createServer, type CreateServerOptions } from "./create-server.js";
import { checkServerOptions } from "./server-options.js";

const invalid = (param: string) => ({ code: "out_of_range", param });
const wrongType = (param: string) => ({ code: "invalid_type", param });

test.each<[options: object, error: object]>([
  [{ apiKey: "secret" }, { code: "unknown_parameter", param: "apiKey" }],
  [{ models: [] }, invalid("models")],
  [{ models: [{ id: "" }] }, invalid("models")],
  [{ models: [{ id: "a" }, { id: "a" }] }, { code: "unsupported_value", param: "models" }],
  [{ aliases: { "": "tiny" } }, invalid("models")],
  [{ host: "0.0.0.0" }, { code: "unsupported_value", param: "host" }],
  [{ host: "0.0.0.0", insecure: "no" }, wrongType("insecure")],
  [{ host: "", apiKeys: ["key"] }, invalid("host")],
  [{ host: " ", insecure: true }, invalid("host")],
  [{ date: "30.11.2026" }, invalid("date")],
  [{ port: -1 }, invalid("port")],
  [{ port: "8000" }, wrongType("port")],
  [{ maxQueue: Number.NaN }, wrongType("maxQueue")],
  [{ maxQueue: -1 }, invalid("maxQueue")],
  [{ maxBodyBytes: Number.POSITIVE_INFINITY }, wrongType("maxBodyBytes")],
  [{ maxBodyBytes: 0 }, invalid("maxBodyBytes")],
  [{ apiKeys: "secret" }, wrongType("apiKeys")],
  [{ apiKeys: [undefined] }, wrongType("apiKeys")],
  ...["", " ", "a b", "a ", "a\n", "a\u0000", "schlüssel", "a\u00a0", "\ud800", "long".repeat(2049)].map(
    (key): [object, object] => [{ apiKeys: ["right", key] }, invalid("apiKeys")],
  ),
  [{ allowedHosts: "example.com" }, wrongType("allowedHosts")],
  ...[
    "",
    " ",
    "*",
    "*.example.com",
    "example.com:80",
    "https://example.com",
    "a/b",
    "a b",
    "bücher.example",
    "[::1",
  ].map((name): [object, object] => [{ allowedHosts: [name] }, invalid("allowedHosts")]),
  [{ corsOrigins: "https://example.com" }, wrongType("corsOrigins")],
  ...[
    "",
    "example.com",
    "https://example.com/",
    "https://example.com/a",
    "https://example.com:443",
    "https://Example.com",
    "HTTPS://example.com",
    "https://bücher.example",
    "https://*.example.com",
    "https://user@example.com",
    "https://example.com ",
    "https://",
  ].map((origin): [object, object] => [{ corsOrigins: [origin] }, invalid("corsOrigins")]),
])("refuses %j before it starts anything", async (options, error) => {
  await expect(createServer(options as CreateServerOptions)).rejects.toMatchObject({ name: "EngineError", ...error });
});

test("does not repeat a refused key", async () => {
  await expect(createServer({ apiKeys: ["right", "se cret"] })).rejects.toThrow(
    /^Key 2 of apiKeys contains (?!.*cret)/,
  );
});

test.each([
  ["apiKeys", ["sk-0_9.~+/=,!", "x".repeat(8192)]],
  [
    "allowedHosts",
    ["proxy", "my_service.internal", "Example.COM.", "10.0.0.1", "::1", "[fe80::1]", "xn--bcher-kva.example"],
  ],
  [
    "corsOrigins",
    ["*", "null", "https://example.com", "http://localhost:3000", "http://[::1]:5173", "app://obsidian.md"],
  ],
])("accepts valid %s", (name, values) => {
  for (const value of values) expect(() => checkServerOptions({ [name]: [value] })).not.toThrow();
});

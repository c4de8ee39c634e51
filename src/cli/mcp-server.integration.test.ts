/** The MCP client against a real server of the SDK, over stdio and HTTP, and against servers that hang or crash. */

import { createServer, type AddressInfo, type Server } from "node:net";

import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";

import { httpMcpServer, MCP_PROGRAM } from "../../spec-tests/fixtures/mcp-server.js";
import { isRunning } from "../../spec-tests/fixtures/processes.js";
import { connectMcp, type McpServer, type McpWaits } from "./mcp-server.js";

const SHORT: McpWaits = { startMs: 500, callMs: 500, endMs: 300 };
const LONG: McpWaits = { startMs: 30_000, callMs: 30_000, endMs: 5000 };
const NEVER = new AbortController().signal;

const command = (how = ""): string => `"${process.execPath}" "${MCP_PROGRAM}" ${how}`;
const seconds = async (work: Promise<unknown>): Promise<number> => {
  const start = performance.now();
  await work;
  return (performance.now() - start) / 1000;
};

let http: Awaited<ReturnType<typeof httpMcpServer>>;
beforeAll(async () => {
  http = await httpMcpServer();
});
afterAll(() => http.close());

describe.each([
  ["a command", () => command()],
  ["a URL", () => http.url],
])("a server at %s", (_, address) => {
  let server: McpServer;
  beforeAll(async () => {
    server = await connectMcp(address(), LONG);
  });
  afterAll(() => server.close());

  test("has a name and tools, from all pages", () => {
    expect(server.name).toBe("Test server");
    const names = server.tools.map(({ name }) => name);
    expect(names).toEqual(["add", "look.up", "parts", "fail", "refuse", "hang", "die", "pid"]);
    expect(server.tools[0]).toMatchObject({ description: "Adds two numbers.", parameters: { required: ["a", "b"] } });
    expect(server.tools[1]!.description).toBeNull();
  });

  test.each([
    ["add", { a: 1, b: 2 }, "3"],
    ["look.up", { word: "tin" }, "tin is a metal"],
    ["parts", {}, "one\n[image left out]\ntwo"],
    ["fail", {}, "Error: no such file"],
  ])("%s gives its text", async (name, args, expected) => {
    expect(await server.call(name, args, NEVER)).toBe(expected);
  });

  test("a call that fails throws the server's message", async () => {
    await expect(server.call("refuse", {}, NEVER)).rejects.toThrow(/^not today$/);
  });

  test("a call ends when its signal is aborted, and the server still answers", async () => {
    const stop = new AbortController();
    const call = server.call("hang", {}, stop.signal);
    setTimeout(() => stop.abort(new Error("enough")), 50);
    const failed = call.catch(String);
    expect(await seconds(failed)).toBeLessThan(5);
    expect(await failed).toContain("enough");
    expect(await server.call("add", { a: 2, b: 2 }, NEVER)).toBe("4");
  });
});

describe("a server that hangs", () => {
  test("in a call costs that call", async () => {
    const server = await connectMcp(command(), { ...LONG, callMs: 300 });
    await expect(server.call("hang", {}, NEVER)).rejects.toThrow(/^It has not answered for 0\.3 s\.$/);
    expect(await server.call("add", { a: 1, b: 1 }, NEVER)).toBe("2");
    await server.close();
  });

  test("from the beginning cannot be used", async () => {
    await expect(connectMcp(command("silent"), SHORT)).rejects.toMatchObject({
      name: "EngineError",
      message: `The MCP server ${command("silent")} cannot be used: It has not answered for 0.5 s.`,
    });
  });

  test("behind a URL cannot be used", async () => {
    const silent = await listening(createServer(() => {}));
    const { port } = silent.address() as AddressInfo;
    const connect = connectMcp(`http://127.0.0.1:${port}/mcp`, SHORT);
    await expect(connect).rejects.toThrow(/cannot be used: It has not answered for 0\.5 s\.$/);
    silent.close();
  });
});

test.each([
  ["that ends with its input", ""],
  ["that does not end", "deaf"],
])("a server %s is gone when it was closed", async (_, how) => {
  const server = await connectMcp(command(how), { ...LONG, endMs: how === "" ? 5000 : 300 });
  const pid = Number(await server.call("pid", {}, NEVER));
  expect(isRunning(pid)).toBe(true);
  expect(await seconds(server.close())).toBeLessThan(5);
  await vi.waitFor(() => expect(isRunning(pid)).toBe(false));
  await expect(server.call("add", { a: 1, b: 1 }, NEVER)).rejects.toThrow();
});

describe("a server that crashes", () => {
  test("in a call costs that call and the later ones, with its last words", async () => {
    const server = await connectMcp(command(), LONG);
    await expect(server.call("die", {}, NEVER)).rejects.toThrow(/^out of ideas$/);
    await expect(server.call("add", { a: 1, b: 1 }, NEVER)).rejects.toThrow(/^out of ideas$/);
    expect(await seconds(server.close())).toBeLessThan(2);
  });

  test.each([
    ["at once", command("crash"), /cannot be used: no configuration$/],
    ["because there is no such command", "no-such-command-here", /cannot be used: .*not (?:found|recognized)/],
    ["without a word", "exit 7", /cannot be used: The command has ended with exit code 7\.$/],
    ["in silence", "exit 0", /cannot be used: The command has ended\.$/],
    ["with other output", "echo hello", /cannot be used: The command has ended\.$/],
    ["as it has no tools", command("bare"), /cannot be used: It has no tools\.$/],
  ])("%s cannot be used", async (_, address, message) => {
    await expect(connectMcp(address, LONG)).rejects.toThrow(message);
  });
});

test("a URL where nobody listens", async () => {
  const connect = connectMcp(`http://127.0.0.1:${await closedPort()}/mcp`, LONG);
  await expect(connect).rejects.toThrow(/cannot be used: .*ECONNREFUSED/);
});

test("a URL that is none", async () => {
  await expect(connectMcp("http://", LONG)).rejects.toThrow(/^--mcp http:\/\/ is not a URL\.$/);
});

function listening(server: Server): Promise<Server> {
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

/** Returns a port on which nothing listens. */
async function closedPort(): Promise<number> {
  const server = await listening(createServer());
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

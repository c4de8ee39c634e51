/** Names under which the tools of MCP servers are offered. */

import { expect, test } from "vitest";

import { toolsOfServers } from "./chat-tools.js";
import type { McpServer } from "./mcp-server.js";

const server = (name: string, ...tools: string[]): McpServer => ({
  name,
  tools: tools.map((tool) => ({ name: tool, description: null, parameters: { type: "object" } })),
  call: (tool) => Promise.resolve(`${name}: ${tool}`),
  close: () => Promise.resolve(),
});
const names = (servers: readonly McpServer[], ...taken: string[]): string[] =>
  toolsOfServers(servers, new Set(taken)).map(({ tool }) => tool.function.name);

test.each<[string, McpServer[], string[], string[]]>([
  ["a name that is allowed stays", [server("s", "a-B_9")], [], ["a-B_9"]],
  ["other characters are replaced", [server("s", "look.up/über")], [], ["look_up__ber"]],
  ["a long name is cut", [server("s", "x".repeat(70))], [], ["x".repeat(64)]],
  ["a name that a file has", [server("My files", "add", "sub")], ["add"], ["My_files_add", "sub"]],
  ["a name that two servers have", [server("a", "x"), server("b", "x", "y")], [], ["a_x", "b_x", "y"]],
  ["two servers of one name", [server("a", "x"), server("a", "x")], [], ["a_x", "a_x_2"]],
  ["names that are equal when replaced", [server("a", "x.y", "x y")], [], ["a_x_y", "a_x_y_2"]],
  ["a prefixed name that another tool has", [server("a", "x", "a_x")], ["x"], ["a_x", "a_x_2"]],
  [
    "long names that are equal when cut",
    [server("a", "y".repeat(64), `${"y".repeat(64)}z`)],
    [],
    [`a_${"y".repeat(62)}`, `a_${"y".repeat(60)}_2`],
  ],
])("%s", (_, servers, taken, expected) => {
  expect(names(servers, ...taken)).toEqual(expected);
});

test("a call goes to the server and the tool by its own name", async () => {
  const [, second] = toolsOfServers([server("a", "x.y"), server("b", "x.y")], new Set());
  const call = { id: "c", name: second!.tool.function.name, arguments: "{}" };
  expect(second!.run!.question).toBe("Let the MCP server b run it?");
  expect(await second!.run!.result(call, new AbortController().signal)).toBe("b: x.y");
});

/** Tests of the laws of tool calls with servers that do not offer everything: what is refused breaks no law. */

import { afterEach, expect, test } from "vitest";

import { completion, json, tinyServer, type TinyServer } from "../fixtures/tiny-server.js";
import { conform, type LawResult } from "./index.js";

const servers: TinyServer[] = [];
afterEach(() => servers.splice(0).forEach((server) => server.close()));

/** Checks laws against a server that refuses some requests, and answers the others with one word. */
async function lawsOf(
  only: readonly string[],
  isRefused: (request: Readonly<Record<string, unknown>>) => boolean,
): Promise<readonly LawResult[]> {
  const server = await tinyServer((request, response) => {
    if (isRefused(request)) json(response, 400, { error: { message: "Not supported." } });
    else json(response, 200, completion("Hello!"));
  });
  servers.push(server);
  return (await conform({ baseUrl: server.baseUrl, only: [...only], seed: 1, budget: { calls: 200 } })).laws;
}

const LAWS_OF_TOOLS = ["P17", "P18", "P19", "P20", "P21", "P22"];

test("a server that refuses tools skips the laws of tool calls", async () => {
  const laws = await lawsOf(["P16", ...LAWS_OF_TOOLS], ({ tools }) => tools !== undefined);
  for (const { law, outcome, reason } of laws.slice(1)) {
    expect([law.id, outcome]).toEqual([law.id, "skipped"]);
    expect(reason).toContain('tools: Status 400: {"error":{"message":"Not supported."}}');
  }
});

test("a choice that a server refuses is noted, and one that it ignores is a finding", async () => {
  const [refusing] = await lawsOf(["P19"], ({ tool_choice: choice = "auto" }) => choice !== "auto");
  expect(refusing).toMatchObject({ outcome: "holds" });
  expect(refusing!.notes).toContain("The endpoint refuses the tool_choice required, which was not checked.");
  expect(refusing!.notes).toContain("The endpoint refuses a named tool in tool_choice, which was not checked.");
  const [ignoring] = await lawsOf(["P19"], () => false);
  expect(ignoring!.findings.map(({ message }) => message)).toContain(
    "With the tool_choice required, a tool must be called; choice 0 has calls of []",
  );
});

test("many tools may be refused only if one tool, or their text, is refused too", async () => {
  const numOf = (request: Readonly<Record<string, unknown>>) =>
    (request["tools"] as unknown[] | undefined)?.length ?? 0;
  const [limited] = await lawsOf(["P21"], (request) => numOf(request) > 20);
  expect(limited!.findings[0]?.message).toMatch(/^A request with (64|22) tools must be accepted/);
  const [small] = await lawsOf(["P21"], (request) => JSON.stringify(request).length > 2000);
  expect(small).toMatchObject({ outcome: "holds", findings: [] });
  expect(small!.notes).toContain("The endpoint refuses a prompt with 64 tools, which was not checked.");
});

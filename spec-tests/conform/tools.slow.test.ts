/** The laws of tool calls hold for Touchstone, in both dialects, with and without reasoning. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { testServer } from "../fixtures/server.js";
import { writeToolModel } from "../fixtures/tool-model.js";
import { conform } from "./index.js";

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "touchstone-conform-tools-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const LAWS_OF_TOOLS = ["P17", "P18", "P19", "P20", "P21", "P22"];

describe.each(["ppio", "openai"] as const)("%s", (dialect) => {
  test.each([
    ["a model that answers at once", false],
    ["a model whose prompts end inside the reasoning", true],
  ])("%s", { timeout: 900_000 }, async (_, thinks) => {
    const model = await writeToolModel(join(dir, `${dialect}-${thinks}`), thinks);
    const server = await testServer({ dialect, model: { model, profile: "exact" } });
    const { findings, laws } = await conform({
      baseUrl: `${server.url}/v1`,
      only: LAWS_OF_TOOLS,
      budget: { calls: 190, seconds: 840 },
      seed: 1,
    });
    await server.close();
    expect(findings.map(({ lawId, message, curls }) => `${lawId}: ${message}\n${curls.join("\n")}`)).toEqual([]);
    expect(laws.map(({ law, outcome, reason }) => [law.id, outcome, reason])).toEqual(
      LAWS_OF_TOOLS.map((id) => [id, "holds", null]),
    );
  });
});

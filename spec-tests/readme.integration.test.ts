/** Tests that the examples of the README run as printed. The test of the example for OpenAI's client is in peers. */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { afterAll, beforeAll, expect, test, vi } from "vitest";

import type { ChatCompletion, ChatCompletionChunk } from "../src/openai/response-schema.js";
import { folderRepository, HubServer } from "./hub/hub-server.js";
import { randomModel } from "./fixtures/random-model.js";
import { codeBlock, readersFolder } from "./fixtures/readme.js";

const folder = readersFolder();
afterAll(() => folder.close());

beforeAll(() => folder.serve(codeBlock("touchstone serve --port")));

test("the server answers the curl command", async () => {
  const stream = await folder.run(codeBlock("curl -N"));
  const events = stream
    .trimEnd()
    .split("\n\n")
    .map((event) => event.slice("data: ".length));
  expect(events.pop()).toBe("[DONE]");
  const chunks = events.map((event) => JSON.parse(event) as ChatCompletionChunk);
  const answer = chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("");
  expect(answer.split("</think>").at(-1)).toContain("65");
});

test("the server answers according to a schema", async () => {
  const { choices } = JSON.parse(await folder.run(codeBlock("response_format"))) as ChatCompletion;
  expect(JSON.parse(choices[0]!.message.content!)).toMatchObject({
    name: expect.any(String) as string,
    age: expect.any(Number) as number,
  });
});

test("the library example answers", async () => {
  const output = await folder.runProgram(codeBlock('from "touchstone"'));
  expect(output).toContain("65");
  expect(output).not.toContain("think>");
});

test("the library example is the one in examples/, which is type-checked", () => {
  const [, code] = readFileSync("examples/chat.ts", "utf8").split("*/\n\n");
  expect(codeBlock('from "touchstone"')).toBe(code);
});

test("the library example compiles with no other types than Node's", async () => {
  const packages = resolve("node_modules");
  const options = `--strict --module nodenext --target es2022 --lib es2022 --types node --typeRoots "${packages}/@types" --noEmit`;
  const program = `cat > program.mts <<'END'\n${codeBlock('from "touchstone"')}END\n`;
  expect(
    await folder.run(`${program}"${process.execPath}" "${packages}/typescript/bin/tsc" ${options} program.mts || true`),
  ).toBe("");
});

test("a model of the hub is downloaded, converted and used, and then runs offline", async () => {
  const scratch = mkdtempSync(join(tmpdir(), "readme-hub-"));
  const hub = await HubServer.start();
  const files = { "chat_template.jinja": "{{ messages[0].content }}" };
  hub.repositories.set(
    "HuggingFaceTB/SmolLM2-135M-Instruct",
    folderRepository(await randomModel(join(scratch, "model"), { files })),
  );
  const command = codeBlock("--quant q4 --once")
    .split("\n")
    .find((line) => line.includes("--once"))!;
  try {
    vi.stubEnv("TOUCHSTONE_CACHE", join(scratch, "packs"));
    for (const [name, value] of Object.entries(hub.environment(scratch))) vi.stubEnv(name, value);
    await folder.run(`${command} --max-tokens 3 --json`);
    await hub.close();
    vi.stubEnv("HF_HUB_OFFLINE", "1");
    expect(JSON.parse(await folder.run(`${command} --max-tokens 3 --json`))).toMatchObject({
      // The random model may draw its end token.
      finish_reason: expect.stringMatching(/^(?:length|stop)$/) as string,
    });
  } finally {
    vi.unstubAllEnvs();
    rmSync(scratch, { recursive: true });
  }
});

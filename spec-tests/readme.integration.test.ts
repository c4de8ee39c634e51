/** Tests that the examples of the README run as printed. The test of the example for OpenAI's client is in peers. */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { afterAll, beforeAll, expect, test, vi } from "vitest";

import type { ChatCompletion, ChatCompletionChunk } from "../src/openai/response-schema.js";
import { folderRepository, HubServer } from "./hub/hub-server.js";
import { ANSWERED, callingModel } from "./fixtures/calling-model.js";
import { randomModel } from "./fixtures/random-model.js";
import { codeBlock, readersFolder } from "./fixtures/readme.js";

/** Texts that only one example of the library contains, and their files. */
const CHAT = "model.chat(";
const EXAMPLES = [
  [CHAT, "examples/chat.ts"],
  ["model.runTools(", "examples/tools.ts"],
] as const;

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
  const output = await folder.runProgram(codeBlock(CHAT));
  expect(output).toContain("65");
  expect(output).not.toContain("think>");
});

test.each(EXAMPLES)("the library example with %s is %s, which is type-checked", (text, file) => {
  const [, code] = readFileSync(file, "utf8").split("*/\n\n");
  expect(codeBlock(text)).toBe(code);
});

test.each(EXAMPLES)("the library example with %s compiles with no other types than Node's", async (text) => {
  const packages = resolve("node_modules");
  const options = `--strict --module nodenext --target es2022 --lib es2022 --types node --typeRoots "${packages}/@types" --noEmit`;
  const program = `cat > program.mts <<'END'\n${codeBlock(text)}END\n`;
  expect(
    await folder.run(`${program}"${process.execPath}" "${packages}/typescript/bin/tsc" ${options} program.mts || true`),
  ).toBe("");
});

/** Runs a body with a hub that has one model, and with empty caches. */
async function withHub(name: string, model: (dir: string) => Promise<string>, body: (hub: HubServer) => Promise<void>) {
  const scratch = mkdtempSync(join(tmpdir(), "readme-hub-"));
  const hub = await HubServer.start();
  hub.repositories.set(name, folderRepository(await model(join(scratch, "model"))));
  try {
    vi.stubEnv("TOUCHSTONE_CACHE", join(scratch, "packs"));
    for (const [variable, value] of Object.entries(hub.environment(scratch))) vi.stubEnv(variable, value);
    await body(hub);
  } finally {
    vi.unstubAllEnvs();
    await hub.close();
    rmSync(scratch, { recursive: true });
  }
}

test("the library example with tools runs the function that the model calls", async () => {
  await withHub("Qwen/Qwen3-0.6B", callingModel, async () => {
    expect(await folder.runProgram(codeBlock("model.runTools("))).toBe(`${ANSWERED} (4 messages)\n`);
  });
});

test("a model of the hub is downloaded, converted and used, and then runs offline", async () => {
  const files = { "chat_template.jinja": "{{ messages[0].content }}" };
  const command = codeBlock("--quant q4 --once")
    .split("\n")
    .find((line) => line.includes("--once"))!;
  await withHub(
    "HuggingFaceTB/SmolLM2-135M-Instruct",
    (dir) => randomModel(dir, { files }),
    async (hub) => {
      await folder.run(`${command} --max-tokens 3 --json`);
      await hub.close();
      vi.stubEnv("HF_HUB_OFFLINE", "1");
      expect(JSON.parse(await folder.run(`${command} --max-tokens 3 --json`))).toMatchObject({
        // The random model may draw its end token.
        finish_reason: expect.stringMatching(/^(?:length|stop)$/) as string,
      });
    },
  );
});

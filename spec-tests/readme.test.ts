/** What the README promises: its examples run as they are printed. The one for OpenAI's client is in peers. */

import { readFileSync } from "node:fs";

import { afterAll, beforeAll, expect, test } from "vitest";

import type { ChatCompletion, ChatCompletionChunk } from "../src/openai/response-schema.js";
import { codeBlock, readersFolder } from "./readme.js";

const folder = readersFolder();
afterAll(() => folder.close());

beforeAll(() => folder.serve(codeBlock("touchstone serve")));

test("the server answers the curl command", async () => {
  const stream = await folder.run(codeBlock("curl -N"));
  const events = stream.trimEnd().split("\n\n").map((event) => event.slice("data: ".length));
  expect(events.pop()).toBe("[DONE]");
  const chunks = events.map((event) => JSON.parse(event) as ChatCompletionChunk);
  const answer = chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("");
  expect(answer.split("</think>").at(-1)).toContain("65");
});

test("the server answers as a schema says", async () => {
  const { choices } = JSON.parse(await folder.run(codeBlock("response_format"))) as ChatCompletion;
  expect(JSON.parse(choices[0]!.message.content)).toMatchObject({ name: expect.any(String) as string, age: expect.any(Number) as number });
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

/**
 * Conversations of several turns with unmodified clients, in both dialects. Each client keeps the answers in its own
 * way and sends them back. A proxy records what they send: each field must be in the recordings of docs/CLIENTS.md.
 */

import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { HumanMessage, type AIMessageChunk, type BaseMessage } from "@langchain/core/messages";
import { ChatOpenAI } from "@langchain/openai";
import { Agent, OpenAIProvider, Runner, setTracingDisabled, type AgentInputItem } from "@openai/agents";
import { generateText, Output, streamText, type LanguageModel, type ModelMessage } from "ai";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";

import type { Body } from "../clients/recordings.js";
import { testServer, type TestServer } from "../fixtures/server.js";
import { expectKnown, recorded as recordedAt } from "./recorded.js";

const QUESTIONS = ["What is 27 + 38?", "What is 12 x 7?", "Tell me a story about a fox."] as const;
const JSON_QUESTION = "Give name and age of Alice, 30, as JSON.";
const Person = z.object({ name: z.string().max(12), age: z.number().int() });
const apiKey = "none";

let server: TestServer;
beforeAll(async () => {
  server = await testServer({ dialect: null });
  setTracingDisabled(true);
});
afterAll(() => server.close());

describe.each(["/v1", "/v3/openai"])("under %s", (prefix) => {
  const recorded = (talk: (baseURL: string) => Promise<void>): Promise<readonly Body[]> =>
    recordedAt(`${server.url}${prefix}`, talk);
  const answersIn = (body: object | undefined): number =>
    (body as { messages: { role: string }[] }).messages.filter(({ role }) => role === "assistant").length;

  test("openai: create, a stream, and parse", async () => {
    const bodies = await recorded(async (baseURL) => {
      const { completions } = new OpenAI({ baseURL, apiKey, maxRetries: 0 }).chat;
      const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: "user", content: QUESTIONS[0] }];
      const request = { model: "tiny", messages, temperature: 0 };
      const first = (await completions.create(request)).choices[0]!.message;
      expect(first.content).toContain("27 + 38 = 65");
      messages.push(first, { role: "user", content: QUESTIONS[1] });
      messages.push(await completions.stream(request).finalMessage(), { role: "user", content: JSON_QUESTION });
      const parsed = await completions.parse({ ...request, response_format: zodResponseFormat(Person, "person") });
      expect(Person.safeParse(parsed.choices[0]!.message.parsed).success).toBe(true);
      messages.push(parsed.choices[0]!.message, { role: "user", content: QUESTIONS[2] });
      expect((await completions.create(request)).choices[0]!.message.content).toMatch(/./);
    });
    expect(answersIn(bodies.at(-1))).toBe(3);
    expectKnown("openai", bodies);
  });

  test.each<[string, (baseURL: string) => LanguageModel]>([
    [
      "@ai-sdk/openai-compatible",
      (baseURL) =>
        createOpenAICompatible({ name: "touchstone", baseURL, apiKey, supportsStructuredOutputs: true })("tiny"),
    ],
    ["@ai-sdk/openai", (baseURL) => createOpenAI({ baseURL, apiKey }).chat("tiny")],
  ])("%s: generateText, streamText, and an object", async (_, modelOf) => {
    const bodies = await recorded(async (baseURL) => {
      const settings = { model: modelOf(baseURL), temperature: 0, maxRetries: 0 };
      const messages: ModelMessage[] = [{ role: "user", content: QUESTIONS[0] }];
      const first = await generateText({ ...settings, messages });
      expect(first.text).toContain("27 + 38 = 65");
      messages.push(...first.response.messages, { role: "user", content: QUESTIONS[1] });
      const stream = streamText({ ...settings, messages });
      expect(await stream.text).toMatch(/./);
      messages.push(...(await stream.response).messages, { role: "user", content: JSON_QUESTION });
      const { output } = await generateText({ ...settings, messages, output: Output.object({ schema: Person }) });
      expect(Person.safeParse(output).success).toBe(true);
    });
    expect(answersIn(bodies.at(-1))).toBe(2);
    expectKnown("AI SDK", bodies);
  });

  test("LangChain.js: invoke, a stream, and withStructuredOutput", async () => {
    const bodies = await recorded(async (baseURL) => {
      const chat = new ChatOpenAI({ model: "tiny", apiKey, temperature: 0, maxRetries: 0, configuration: { baseURL } });
      const messages: BaseMessage[] = [new HumanMessage(QUESTIONS[0])];
      const first = await chat.invoke(messages);
      expect(first.content).toContain("27 + 38 = 65");
      messages.push(first, new HumanMessage(QUESTIONS[1]));
      let second: AIMessageChunk | undefined;
      for await (const chunk of await chat.stream(messages)) second = second?.concat(chunk) ?? chunk;
      messages.push(second!, new HumanMessage(JSON_QUESTION));
      const person = await chat.withStructuredOutput(Person, { name: "person" }).invoke(messages);
      expect(Person.safeParse(person).success).toBe(true);
    });
    expect(answersIn(bodies.at(-1))).toBe(2);
    expectKnown("LangChain.js", bodies);
  });

  test("@openai/agents: run, a stream, and an output type, with the history", async () => {
    const bodies = await recorded(async (baseURL) => {
      const modelProvider = new OpenAIProvider({ baseURL, apiKey, useResponses: false });
      const runner = new Runner({ modelProvider, model: "tiny", modelSettings: { temperature: 0 } });
      const agent = new Agent({ name: "Assistant", instructions: "Answer briefly." });
      const first = await runner.run(agent, QUESTIONS[0]);
      expect(first.finalOutput).toMatch(/./);
      const asked = (history: AgentInputItem[], content: string): AgentInputItem[] => [
        ...history,
        { role: "user", content },
      ];
      const second = await runner.run(agent, asked(first.history, QUESTIONS[1]), { stream: true });
      await second.completed;
      const typed = new Agent({ name: "Typed", instructions: "Answer as JSON.", outputType: Person });
      const third = await runner.run(typed, asked(second.history, JSON_QUESTION));
      expect(Person.safeParse(third.finalOutput).success).toBe(true);
      expect((await runner.run(agent, asked(third.history, QUESTIONS[2]))).finalOutput).toMatch(/./);
    });
    expect(answersIn(bodies.at(-1))).toBe(3);
    expectKnown("@openai/agents", bodies);
  });

  test("promptfoo: two prompts, of which one keeps the conversation", async () => {
    const folder = mkdtempSync(join(tmpdir(), "touchstone-promptfoo-"));
    const bodies = await recorded(async (apiBaseUrl) => {
      const { results } = await evaluation(folder, apiBaseUrl);
      expect(results).toHaveLength(2 * 2);
      expect(results.map(({ error }) => error ?? null)).toEqual([null, null, null, null]);
      expect(results[0]!.response.output).toContain("27 + 38 = 65");
    }).finally(() => rmSync(folder, { recursive: true }));
    expect(bodies.map(answersIn).sort()).toEqual([0, 0, 0, 1]);
    expectKnown("promptfoo", bodies);
  });
});

/** Result of promptfoo's command. */
interface Evaluation {
  readonly results: readonly { readonly error?: string | null; readonly response: { readonly output: string } }[];
}

/** Runs promptfoo's command with its default settings. */
async function evaluation(folder: string, apiBaseUrl: string): Promise<Evaluation> {
  const conversation =
    '[{% for turn in _conversation %}{"role": "user", "content": {{ turn.input | dump }}},' +
    '{"role": "assistant", "content": {{ turn.output | dump }}},{% endfor %}{"role": "user", "content": "{{ question }}"}]';
  const config = {
    prompts: ["{{ question }}", conversation],
    providers: [{ id: "openai:chat:tiny", config: { apiBaseUrl, apiKey } }],
    tests: QUESTIONS.slice(0, 2).map((question) => ({ vars: { question } })),
  };
  const [input, output] = [join(folder, "config.json"), join(folder, "output.json")];
  writeFileSync(input, JSON.stringify(config));
  const command = fileURLToPath(new URL("node_modules/promptfoo/dist/src/entrypoint.js", import.meta.url));
  const env = {
    ...process.env,
    PROMPTFOO_CONFIG_DIR: folder,
    PROMPTFOO_DISABLE_TELEMETRY: "1",
    PROMPTFOO_DISABLE_UPDATE: "1",
  };
  await promisify(execFile)(process.execPath, [command, "eval", "-c", input, "-o", output, "--no-cache"], { env });
  return (JSON.parse(readFileSync(output, "utf8")) as { results: Evaluation }).results;
}

/** Real clients, unmodified, against the served embedded model. */

import { execFile, spawn, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, streamText } from "ai";
import OpenAI, { APIUserAbortError, AuthenticationError, BadRequestError, NotFoundError } from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const MAIN = fileURLToPath(new URL("../../dist/src/cli/main.js", import.meta.url));
const QUESTION = { model: "tiny", messages: [{ role: "user" as const, content: "What is 27 + 38?" }], temperature: 0 };
const STORY = { model: "tiny", messages: [{ role: "user" as const, content: "Tell me a story about a fox." }], seed: 7 };

let server: ChildProcess;
let url: string;
let client: OpenAI;

beforeAll(async () => {
  server = spawn(process.execPath, [MAIN, "serve", "--port", "0", "--dialect", "openai", "--api-key", "secret"], { stdio: ["ignore", "pipe", "inherit"] });
  url = await new Promise((listening, failed) => {
    server.stdout!.setEncoding("utf8").on("data", (text: string) => {
      const match = /^Listening on (\S+\/v1) /m.exec(text);
      if (match !== null) listening(match[1]!);
    });
    server.once("close", (code) => failed(new Error(`The server ended with ${code}`)));
  });
  client = new OpenAI({ baseURL: url, apiKey: "secret", maxRetries: 0 });
});

afterAll(() => server.kill());

describe("openai", () => {
  test("create", async () => {
    const { choices, usage } = await client.chat.completions.create(QUESTION);
    expect(choices[0]).toMatchObject({ finish_reason: "stop", message: { content: "27 + 38 = 65" } });
    expect(usage!.total_tokens).toBe(usage!.prompt_tokens + usage!.completion_tokens);
  });

  test("stream", async () => {
    let content = "";
    for await (const { choices } of await client.chat.completions.create({ ...QUESTION, stream: true })) content += choices[0]?.delta.content ?? "";
    expect(content).toBe("27 + 38 = 65");
  });

  test(".stream() aggregates what create answers, logprobs and three choices included", async () => {
    const request = { ...STORY, n: 3, logprobs: true, top_logprobs: 2 };
    const whole = await client.chat.completions.create(request);
    const streamed = await client.chat.completions.stream(request).finalChatCompletion();
    expect(streamed.choices).toHaveLength(3);
    for (const [index, { message, logprobs, finish_reason }] of whole.choices.entries()) {
      expect(streamed.choices[index]).toMatchObject({ finish_reason, logprobs, message: { content: message.content } });
    }
  });

  test("abort", async () => {
    const controller = new AbortController();
    const stream = await client.chat.completions.create({ ...STORY, stream: true }, { signal: controller.signal });
    let numChunks = 0;
    const reading = (async () => {
      for await (const _ of stream) if (++numChunks === 3) controller.abort();
    })();
    // Whether the loop ends or throws is the client's choice; that it ends early is ours.
    await reading.catch((error: unknown) => expect(error).toBeInstanceOf(APIUserAbortError));
    expect(numChunks).toBeLessThan(20);
  });

  test("its typed errors", async () => {
    await expect(client.chat.completions.create({ ...QUESTION, temperature: 3 })).rejects.toBeInstanceOf(BadRequestError);
    await expect(client.chat.completions.create({ ...QUESTION, model: "none" })).rejects.toBeInstanceOf(NotFoundError);
    const stranger = new OpenAI({ baseURL: url, apiKey: "wrong", maxRetries: 0 });
    await expect(stranger.chat.completions.create(QUESTION)).rejects.toBeInstanceOf(AuthenticationError);
  });

  test("models", async () => {
    const { data } = await client.models.list();
    expect(data.map(({ id }) => id)).toContain("tiny");
  });
});

describe("@ai-sdk/openai-compatible", () => {
  const model = () => createOpenAICompatible({ name: "touchstone", baseURL: url, apiKey: "secret" })("tiny");

  test("generateText", async () => {
    const { text, reasoningText, finishReason } = await generateText({ model: model(), prompt: "What is 27 + 38?", temperature: 0 });
    expect({ text, finishReason }).toEqual({ text: "27 + 38 = 65", finishReason: "stop" });
    expect(reasoningText).toContain("7+8=15");
  });

  test("streamText", async () => {
    let text = "";
    for await (const part of streamText({ model: model(), prompt: "What is 27 + 38?", temperature: 0 }).textStream) text += part;
    expect(text).toBe("27 + 38 = 65");
  });
});

test("curl -N", async () => {
  const body = JSON.stringify({ ...QUESTION, stream: true });
  const { stdout } = await promisify(execFile)("curl", [
    "-sN", `${url}/chat/completions`, "-H", "content-type: application/json", "-H", "authorization: Bearer secret", "-d", body,
  ]);
  const events = stdout.trimEnd().split("\n\n");
  expect(events.at(-1)).toBe("data: [DONE]");
  const content = events.slice(0, -1).map((event) => (JSON.parse(event.slice("data: ".length)) as OpenAI.ChatCompletionChunk).choices[0]?.delta.content ?? "");
  expect(content.join("")).toBe("27 + 38 = 65");
});

/** Replays the recorded requests of clients against a server, in both dialects. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import type { ChatCompletion, ChatCompletionChunk } from "../../src/openai/response-schema.js";
import { concatenated } from "../fixtures/chat-requests.js";
import { events, testServer, type TestServer } from "../fixtures/server.js";
import { writeToolModel } from "../fixtures/tool-model.js";
import { CLIENTS, type Body, type Recording } from "./recordings.js";

const PREFIXES = ["/v1", "/v3/openai"];
const NAMES = [
  "openai",
  "AI SDK",
  "LangChain.js",
  "@openai/agents",
  "instructor",
  "LlamaIndex.TS",
  "promptfoo",
  "Portkey",
  "Open WebUI",
  "Continue",
  "Cline",
  "LiteLLM",
];

const dir = mkdtempSync(join(tmpdir(), "touchstone-replay-"));
let server: TestServer;
/** A server whose model has a template with tools. */
let toolServer: TestServer;
beforeAll(async () => {
  server = await testServer({ dialect: null });
  toolServer = await testServer({ dialect: null, model: { model: await writeToolModel(dir), profile: "exact" } });
});
afterAll(async () => {
  await Promise.all([server.close(), toolServer.close()]);
  rmSync(dir, { recursive: true });
});

function send(prefix: string, { method, path, headers, body }: Recording): Promise<Response> {
  const hasTools = body?.tools !== undefined || JSON.stringify(body ?? {}).includes('"tool_calls":[{');
  return fetch(`${(hasTools ? toolServer : server).url}${prefix}${path}`, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

/** Checks an answer, or the whole of a stream. */
function checkAnswer({ choices, usage }: Partial<ChatCompletion>, body: Body): void {
  expect(choices).toHaveLength(body.n ?? 1);
  for (const { message, finish_reason: finishReason } of choices!) {
    expect(message.role).toBe("assistant");
    const calls = message.tool_calls ?? [];
    expect(["stop", "length", "tool_calls"]).toContain(finishReason);
    if (finishReason === "tool_calls") expect(calls.length).toBeGreaterThan(0);
    else if (calls.length === 0) expect((message.content ?? "") + (message.reasoning_content ?? "")).not.toBe("");
    for (const { function: of } of calls) {
      expect((body.tools ?? []).map((tool) => tool.function.name)).toContain(of.name);
      if (finishReason !== "length") expect(JSON.parse(of.arguments)).toBeTypeOf("object");
    }
    if (calls.length > 0) continue;
    if ((body.response_format?.type ?? "text") !== "text" && finishReason === "stop") JSON.parse(message.content!);
  }
  if (usage !== undefined) expect(usage.total_tokens).toBe(usage.prompt_tokens + usage.completion_tokens);
}

test("there are recordings of twelve clients", () => {
  expect(CLIENTS.map(({ name }) => name)).toEqual(NAMES);
});

describe.each(PREFIXES)("under %s", (prefix) => {
  const all = CLIENTS.flatMap(({ name, requests }) => requests.map((recording) => ({ name, ...recording })));
  const answered = all.filter(({ body, refused }) => body !== undefined && refused === undefined);

  test.each(answered.filter(({ body }) => body!.stream !== true))("$name, $title: an answer", async (recording) => {
    const response = await send(prefix, recording);
    const answer = (await response.json()) as ChatCompletion;
    expect(response.status, JSON.stringify(answer)).toBe(200);
    expect(answer).toMatchObject({ object: "chat.completion", model: "tiny", usage: {} });
    checkAnswer(answer, recording.body!);
  });

  test.each(answered.filter(({ body }) => body!.stream === true))("$name, $title: a stream", async (recording) => {
    const response = await send(prefix, recording);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/);
    const chunks = (await events(response)) as unknown as ChatCompletionChunk[];
    for (const chunk of chunks) expect(chunk).toMatchObject({ object: "chat.completion.chunk", model: "tiny" });
    const answer = concatenated(chunks, false);
    checkAnswer(answer, recording.body!);
    if (recording.body!.stream_options?.include_usage === true)
      expect(chunks.at(-1)).toMatchObject({ choices: [], usage: {} });
  });

  test.each(all.filter(({ refused }) => refused !== undefined))("$name, $title: refused", async (recording) => {
    const response = await send(prefix, recording);
    const { error } = (await response.json()) as { error: object };
    expect(response.status).toBe(400);
    expect(error).toMatchObject({ type: "invalid_request_error", message: expect.any(String), ...recording.refused });
  });

  test.each(all.filter(({ method }) => method === "GET"))("$name, $title: a list", async (recording) => {
    const list = (await (await send(prefix, recording)).json()) as { data: { id: string }[] };
    expect(list.data.map(({ id }) => id)).toContain("tiny");
  });
});

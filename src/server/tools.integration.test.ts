/** Contract, section 11, over HTTP: calls in responses and streams, and conversations that go on with their results. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import type { ChatCompletion, ChatCompletionChunk } from "../openai/response-schema.js";
import { events, post, testServer, type TestServer } from "../../spec-tests/fixtures/server.js";
import { writeToolModel } from "../../spec-tests/fixtures/tool-model.js";

const TOOLS = [
  {
    type: "function",
    function: {
      name: "get_weather",
      parameters: {
        type: "object",
        properties: { city: { type: "string", maxLength: 8 } },
        required: ["city"],
        additionalProperties: false,
      },
    },
  },
  { type: "function", function: { name: "now" } },
];
const QUESTION = { role: "user", content: "What is the weather in Oslo?" };

let dir: string;
let server: TestServer;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "touchstone-tools-"));
  server = await testServer({ dialect: null, model: { model: await writeToolModel(dir), profile: "exact" } });
});
afterAll(async () => {
  await server.close();
  await rm(dir, { recursive: true, force: true });
});

const send = (fields: object): Promise<Response> =>
  post(
    `${server.url}/v1/chat/completions`,
    JSON.stringify({ model: "tiny", messages: [QUESTION], tools: TOOLS, seed: 5, max_tokens: 200, ...fields }),
  );

async function answer(fields: object): Promise<ChatCompletion["choices"][number]> {
  const response = await send(fields);
  const body = (await response.json()) as ChatCompletion;
  expect(response.status, JSON.stringify(body)).toBe(200);
  return body.choices[0]!;
}

async function refusal(fields: object): Promise<object> {
  const response = await send(fields);
  const { error } = (await response.json()) as { error: { code: string; param: string | null } };
  return { status: response.status, code: error.code, param: error.param };
}

describe("calls", () => {
  test("are the same streamed and not", async () => {
    for (let seed = 0; seed < 8; seed++) {
      const fields = { tool_choice: "required", seed };
      const { message, finish_reason: reason } = await answer(fields);
      const chunks = (await events(await send({ ...fields, stream: true }))) as unknown as ChatCompletionChunk[];
      const deltas = chunks.flatMap(({ choices }) => choices.map(({ delta }) => delta));
      expect(deltas[0]).toEqual({ role: "assistant", content: null });
      const calls: { id: string; type: string; function: { name: string; arguments: string } }[] = [];
      for (const { index, id, type, function: of } of deltas.flatMap(({ tool_calls: pieces = [] }) => pieces)) {
        if (id !== undefined) calls[index] = { id, type: type!, function: { name: of.name!, arguments: of.arguments } };
        else calls[index]!.function.arguments += of.arguments;
      }
      expect(calls).toEqual(message.tool_calls);
      expect(message.content).toBeNull();
      expect(chunks.flatMap(({ choices }) => choices.map((choice) => choice.finish_reason)).filter(Boolean)).toEqual([
        reason,
      ]);
      if (reason === "length") continue;
      expect(reason).toBe("tool_calls");
      for (const { function: of } of calls) expect(JSON.parse(of.arguments)).toBeTypeOf("object");
    }
  });

  test("a named tool ends with stop; none and text end as ever", async () => {
    const named = await answer({
      tool_choice: { type: "function", function: { name: "now" } },
      parallel_tool_calls: false,
    });
    expect(named).toMatchObject({
      message: { content: null, tool_calls: [{ type: "function", function: { name: "now", arguments: "{}" } }] },
      finish_reason: "stop",
    });
    const none = await answer({ tool_choice: "none", max_tokens: 60 });
    expect(none.message).not.toHaveProperty("tool_calls");
    expect(none.message.content).not.toBe("");
  });

  test("stop sequences do not apply within them, and log-probabilities cover their tokens", async () => {
    const fields = { tool_choice: { type: "function", function: { name: "now" } }, parallel_tool_calls: false };
    const { message, logprobs } = await answer({ ...fields, stop: ["now", "arguments", "}"], logprobs: true });
    expect(message.tool_calls).toMatchObject([{ function: { name: "now", arguments: "{}" } }]);
    const bytes = logprobs!.content.flatMap((entry) => entry.bytes);
    expect(Buffer.from(bytes).toString()).toContain('<call>{"name": "now", "arguments": {}}</call>');
  });

  test("an answer can be sent back with its results", async () => {
    const { message } = await answer({ tool_choice: "required", parallel_tool_calls: false, seed: 11 });
    const results = message.tool_calls!.map(({ id }) => ({ role: "tool", tool_call_id: id, content: "rain" }));
    const next = await answer({ messages: [QUESTION, message, ...results], tool_choice: "none", max_tokens: 60 });
    expect(next.message.content).not.toBeNull();
    expect(await refusal({ messages: [QUESTION, message] })).toEqual({
      status: 400,
      code: "missing_required_parameter",
      param: "messages[1].tool_calls[0].id",
    });
  });
});

test.each<[object, string, string]>([
  [{ tool_choice: { type: "function", function: { name: "f" } } }, "out_of_range", "tool_choice.function.name"],
  [{ tools: [], tool_choice: "required" }, "out_of_range", "tool_choice"],
  [{ tools: [TOOLS[1], TOOLS[1]] }, "out_of_range", "tools[1].function.name"],
  [
    { tools: [{ type: "function", function: { name: "f", parameters: { type: "object", required: 1 } } }] },
    "invalid_schema",
    "tools[0].function.parameters/required",
  ],
  [{ functions: [{ name: "f" }] }, "unsupported_parameter", "functions"],
])("refuses %j", async (fields, code, param) => {
  expect(await refusal(fields)).toEqual({ status: 400, code, param });
});

test("a schema that cannot be enforced is noted in a header", async () => {
  const parameters = { type: "object", properties: { a: { pattern: "(a)\\1" } } };
  const response = await send({
    tools: [{ type: "function", function: { name: "f", parameters } }],
    tool_choice: "none",
    max_tokens: 1,
  });
  expect(response.headers.get("x-touchstone-schema-notes")).toBeNull();
  const noted = await send({ tools: [{ type: "function", function: { name: "f", parameters } }], max_tokens: 1 });
  expect(noted.headers.get("x-touchstone-schema-notes")).toContain("tools[0].function.parameters");
});
